"""What needs no learning in the radar blind zone: constants, climatology, and the two published ways to fill downwards.

A baseline is called like a model: network input (batch, height, profile, channels), reflectivity first and the mask
last, to network output (batch, height, profile, 1). Where the mask is below 1 the observation is returned as it is.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from ..tasks.blind_zone import ECHO_THRESHOLD, HIDDEN

WINDOW = 17  # King et al. 2024: the marching average looks 8 pixels each way


def radar_baselines() -> list[RadarBaseline]:
    """One of each, not yet fitted."""
    return [AllEcho(), AllClear(), Climatology(), Repeat(), MarchingAverage()]


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


class MarchingAverage(RadarBaseline):
    """Marches into the masked pixels front by front (MAR of King et al. 2024).

    While pixels are masked, every masked pixel with an unmasked neighbour (left, right, above or below) takes the
    mean of the unmasked pixels in a 17 x 17 window around it, the image reflected at its edges (the edge itself not
    repeated); then the whole front counts as unmasked. As published, the average is taken of the scaled values that
    the network sees, where "no echo" is -1.

    Sums over the window are differences of cumulative sums, taken over the rows of the front alone: for a blind zone
    each front is one row.

    Args:
        window: Rows and columns of the window, odd.
    """

    name = "marching_average"

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window

    def fill(self, values, hidden):
        total, visible = values.astype(np.float64), ~hidden
        total[hidden] = 0.0
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
