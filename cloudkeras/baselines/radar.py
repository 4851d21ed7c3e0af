"""What needs no network in the radar blind zone: constants, climatology, and three ways to fill downwards.

A baseline is called like a model: network input (batch, height, profile, channels), reflectivity first and the mask
last, to network output (batch, height, profile, 1). Where the mask is below 1 the observation is returned as it is.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import InputError, check
from ..tasks.blind_zone import ECHO_THRESHOLD, HIDDEN

WINDOW = 17  # King et al. 2024: the marching average looks 8 pixels each way


def radar_baselines() -> list[RadarBaseline]:
    """One of each, not yet fitted."""
    return [AllEcho(), AllClear(), Climatology(), Repeat(), LinearExtrapolation(), MarchingAverage()]


class RadarBaseline(abc.ABC):
    """A method that fills the blind zone."""

    name: str

    def fit(self, batches: Any, statistics: Mapping[str, Any] | None = None) -> RadarBaseline:
        """Learns what there is to learn from the batches of the training split; most have nothing."""
        return self

    @abc.abstractmethod
    def fill(self, values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Replaces the hidden pixels.

        Args:
            values: (batch, height, profile), reflectivity in network space, lowest row first.
            hidden: The same shape, True where it is to be filled.
        """

    def __call__(self, x: Any) -> np.ndarray:
        """Fills what the mask (last channel) hides.

        Args:
            x: Network input (batch, height, profile, channels).

        Returns:
            (batch, height, profile, 1), float32.
        """
        x = np.asarray(x)
        hidden = x[..., -1] >= 1
        filled = self.fill(x[..., 0], hidden)
        return np.where(hidden, filled, x[..., 0]).astype(np.float32)[..., None]


class AllClear(RadarBaseline):
    """No echo anywhere."""

    name = "all_clear"

    def fill(self, values, hidden):
        return np.full_like(values, HIDDEN)


class AllEcho(RadarBaseline):
    """Echo everywhere: one value, the median of the echoes in the blind zone of the training split."""

    name = "all_echo"

    def __init__(self) -> None:
        self.value: float | None = None

    def fit(self, batches, statistics=None):
        counts = _histogram(batches)[:, _bin(ECHO_THRESHOLD) + 1 :].sum(axis=0)
        if counts.sum() == 0:
            raise InputError("The baseline 'all_echo' needs an echo in the training split's blind zone. Received none.")
        self.value = float(_CENTERS[_bin(ECHO_THRESHOLD) + 1 :][_median_bin(counts)])
        return self

    def fill(self, values, hidden):
        if self.value is None:
            raise InputError("The baseline 'all_echo' must be fitted before it is called: `.fit(batches)`.")
        return np.full_like(values, self.value)


class Climatology(RadarBaseline):
    """The median of each row in the training split, "no echo" being one of the values.

    The median is the constant with the smallest mean absolute error, in the network's space as in dBZ, since the way
    from one to the other never turns back. A row that is clear more often than not is therefore clear.
    """

    name = "climatology"

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def fit(self, batches, statistics=None):
        counts = _histogram(batches)
        medians = _CENTERS[[_median_bin(row) for row in counts]]
        self.values = np.where(counts.sum(axis=1) > 0, medians, HIDDEN).astype(np.float32)
        return self

    def fill(self, values, hidden):
        if self.values is None:
            raise InputError("The baseline 'climatology' must be fitted before it is called: `.fit(batches)`.")
        if values.shape[1] != len(self.values):
            raise InputError(
                f"The baseline 'climatology' was fitted to {len(self.values)} rows. Received {values.shape[1]} rows."
            )
        return np.broadcast_to(self.values[:, None], values.shape)


class Repeat(RadarBaseline):
    """Copies the lowest visible row down (REP of King et al. 2024).

    For a mask of any form: a hidden pixel takes the nearest visible one above it in its profile, or, with none above,
    the nearest below.
    """

    name = "repeat"

    def fill(self, values, hidden):
        rows = values.shape[1]
        row = np.arange(rows)[None, :, None]
        above = np.minimum.accumulate(np.where(hidden, rows, row)[:, ::-1], axis=1)[:, ::-1]
        below = np.maximum.accumulate(np.where(hidden, -1, row), axis=1)
        source = np.where(above < rows, above, below)
        filled = np.take_along_axis(values, np.maximum(source, 0), axis=1)
        return np.where(source >= 0, filled, HIDDEN)


class LinearExtrapolation(RadarBaseline):
    """Continues each profile downwards along a straight line.

    The line is fitted by least squares to reflectivity (in dB, to which the network's values are proportional) over
    height, through those of the lowest `rows` visible rows of the profile that show echo without a break from the
    lowest visible row upwards. It is drawn to the ground and clipped to -60..30 dBZ; what it carries to -60 dBZ is no
    echo. Where fewer than 2 such rows show echo there is no line, and the lowest visible row is repeated; so is the
    nearest visible row in gaps higher up.

    Args:
        rows: Most rows that the line is fitted to, at least 2. Of 2 to 48, 8 rows (625 m) have the smallest mean
            absolute error on the training split of the simulated sample in `data/`; on observed training hours all
            from 3 on are within 0.6 dB of each other.

    Raises:
        InputError: If `rows` is less than 2.
    """

    name = "linear_extrapolation"

    def __init__(self, rows: int = 8) -> None:
        check(rows >= 2, "`rows` counts at least the 2 rows of a line.", rows=rows)
        self.rows = int(rows)

    def fill(self, values, hidden):
        filled = Repeat().fill(values, hidden)
        lowest = np.argmin(hidden, axis=1)[:, None]  # (batch, 1, profile): first visible row; 0 if there is none
        height = np.arange(values.shape[1])[None, :, None] - lowest  # rows above the lowest visible one
        inside = (height >= 0) & (height < self.rows) & ~hidden & (values > ECHO_THRESHOLD)
        gap = np.maximum.accumulate((height >= 0) & ~inside, axis=1)
        used = inside & ~gap
        count = used.sum(axis=1, keepdims=True)
        # Used rows lie together, so their heights are 0 .. count - 1, whose mean and sum of squares are known.
        offset = height - (count - 1) / 2
        squares = count * (count**2 - 1) / 12
        value = np.where(used, values, 0.0).astype(np.float64)
        slope = (value * offset).sum(axis=1, keepdims=True) / np.where(count >= 2, squares, 1)
        line = value.sum(axis=1, keepdims=True) / np.maximum(count, 1) + slope * offset
        line = np.where(line > ECHO_THRESHOLD, np.minimum(line, 1.0), HIDDEN)
        return np.where((height < 0) & (count >= 2), line, filled)


class MarchingAverage(RadarBaseline):
    """Marches into the masked pixels front by front (MAR of King et al. 2024).

    While pixels are masked, every masked pixel with an unmasked neighbour (left, right, above or below) takes the
    mean of the unmasked pixels in a 17 x 17 window around it, the image reflected at its edges (the edge itself not
    repeated); then the whole front counts as unmasked. As published, the average is taken of the scaled values that
    the network sees, where "no echo" is -1.

    Where whole rows are hidden, as in a blind zone, each front is a row, the unmasked part of its windows is whole rows
    too, and the mean is a product with two small matrices. For a mask of any other form, sums over the window are
    differences of cumulative sums over the rows of the front. `benchmarks/marching_average.py` compares both with the
    loop over pixels.

    Args:
        window: Rows and columns of the window, odd.

    Raises:
        InputError: If the window is not odd.
    """

    name = "marching_average"

    def __init__(self, window: int = WINDOW) -> None:
        check(window >= 1 and window % 2 == 1, "`window` is an odd number of pixels.", window=window)
        self.window = window

    def fill(self, values, hidden):
        total, visible = values.astype(np.float64), ~hidden
        total[hidden] = 0.0
        if (visible == visible[:1, :, :1]).all():
            return self._fill_rows(total, visible[0, :, 0])
        return self._fill_any(total, visible)

    def _fill_rows(self, total: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Fills whole rows in place; `visible` is (height,), `total` 0 where it is not."""
        down = _window_counts(total.shape[1], self.window)
        across = _window_counts(total.shape[2], self.window).T / self.window
        visible = visible.copy()
        while True:
            beside = np.zeros_like(visible)
            beside[1:] |= visible[:-1]
            beside[:-1] |= visible[1:]
            front = np.flatnonzero(beside & ~visible)
            if front.size == 0:
                break
            weights = down[front] * visible
            weights /= weights.sum(axis=1, keepdims=True)
            total[:, front] = weights @ total @ across
            visible[front] = True
        return np.where(visible[:, None], total, HIDDEN)

    def _fill_any(self, total: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Fills a mask of any form in place."""
        while True:
            front = ~visible & _has_neighbour(visible)
            rows = np.flatnonzero(front.any(axis=(0, 2)))
            if rows.size == 0:
                break
            first, last = rows[0], rows[-1]
            band = front[:, first : last + 1]
            count = _window_sums(visible, first, last, self.window)[band]
            total[:, first : last + 1][band] = _window_sums(total, first, last, self.window)[band] / count
            visible |= front
        return np.where(visible, total, HIDDEN)


@functools.lru_cache(maxsize=8)
def _window_counts(size: int, window: int) -> np.ndarray:
    """(size, size): how often pixel k lies in the window around pixel i, the axis reflected at its ends."""
    counts = np.zeros((size, size))
    center = np.arange(size)[:, None]
    np.add.at(counts, (center, _reflect(center + np.arange(window) - window // 2, size)), 1.0)
    counts.flags.writeable = False
    return counts


def _has_neighbour(visible: np.ndarray) -> np.ndarray:
    """Whether one of the four neighbours is visible; there is nothing outside the image."""
    found = np.zeros_like(visible)
    found[:, 1:] |= visible[:, :-1]
    found[:, :-1] |= visible[:, 1:]
    found[:, :, 1:] |= visible[:, :, :-1]
    found[:, :, :-1] |= visible[:, :, 1:]
    return found


def _window_sums(image: np.ndarray, first: int, last: int, window: int) -> np.ndarray:
    """Sums over windows centred in rows `first` to `last`, the image reflected at its edges: (batch, row, column)."""
    half = window // 2
    rows = _reflect(np.arange(first - half, last + half + 1), image.shape[1])
    columns = _reflect(np.arange(-half, image.shape[2] + half), image.shape[2])
    return _running_sum(_running_sum(image[:, rows], window, axis=1)[:, :, columns], window, axis=2)


def _running_sum(values: np.ndarray, window: int, axis: int) -> np.ndarray:
    """Sums of `window` neighbours along an axis, which gets shorter by `window - 1`."""
    if values.shape[axis] == window:
        return values.sum(axis=axis, keepdims=True, dtype=np.float64)
    total = np.cumsum(values, axis=axis, dtype=np.float64)
    zero = np.zeros_like(total.take([0], axis=axis))
    total = np.concatenate([zero, total], axis=axis)
    length = total.shape[axis]
    return total.take(np.arange(window, length), axis=axis) - total.take(np.arange(length - window), axis=axis)


def _reflect(index: np.ndarray, size: int) -> np.ndarray:
    """Indices reflected into 0 .. size - 1 without repeating the edge: -1 is 1, `size` is `size - 2`."""
    period = max(2 * (size - 1), 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index) if size > 1 else np.zeros_like(index)


# Medians over a whole split, in bounded memory: counts of values by row, in bins of 0.001 (0.06 dB).
_LOW, _HIGH, _WIDTH = -1.0, 1.5, 1e-3
_CENTERS = np.arange(_LOW, _HIGH + _WIDTH / 2, _WIDTH)


def _bin(values: Any) -> Any:
    return np.clip(np.rint((np.asarray(values) - _LOW) / _WIDTH), 0, len(_CENTERS) - 1).astype(np.int64)


def _median_bin(counts: np.ndarray) -> int:
    return int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))


def _histogram(batches: Any) -> np.ndarray:
    """Counts (row, bin) of the labelled values in the blind zone, over all batches of (x, y)."""
    total: np.ndarray | None = None
    for x, y in _pairs(batches):
        target = np.asarray(y["final"] if isinstance(y, Mapping) else y)[..., 0]
        labelled = (np.asarray(x)[..., -1] >= 1) & np.isfinite(target)
        _, row, _ = np.nonzero(labelled)
        if total is None:
            total = np.zeros((target.shape[1], len(_CENTERS)), np.int64)
        total += np.bincount(row * len(_CENTERS) + _bin(target[labelled]), minlength=total.size).reshape(total.shape)
    if total is None:
        raise InputError("A baseline is fitted to at least one batch. Received none.")
    return total


def _pairs(batches: Any) -> Iterator[tuple[Any, Any]]:
    if hasattr(batches, "__len__") and hasattr(batches, "__getitem__"):
        return (batches[i] for i in range(len(batches)))
    return iter(batches)
