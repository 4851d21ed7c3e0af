"""What needs no network to map surface melt: the published simple methods of MeltwaterBench (arXiv 2512.12142).

A baseline is called like a model: network input (batch, y, x, channels) to network output (batch, y, x, 1), logits. It
brings the task by which its input is made (`task`: its own channels in physical units, missing values 0) and what it
predicts on the ocean is 0. What is fitted is fitted to the mean absolute error on labelled pixels of the training
split, of which a fixed random choice is taken.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage, optimize

from ..errors import InputError
from ..tasks import Meltwater, Task

THRESHOLD_SLOPE, THRESHOLD_KELVIN = 0.48, 128.0
ALTITUDE_MEAN_M, ALTITUDE_STD_M = 1175.094, 993.852
SHELF = 4.0  # half width of the shelf of two tanh
MAX_WINDOWS = 256  # windows that a baseline is fitted to
MAX_TRIES = 32  # Gaussians that are tried for MAR
MAX_PIXELS = 1 << 17  # pixels that a baseline is fitted to, of each month for the monthly one


def melt_baselines(task: Task) -> list[MeltBaseline]:
    """One of each, not yet fitted."""
    kinds = (ZeroMelt, Persistence, TimeInterpolateSar, ThresholdPmw, InterpolateMar, LinearDem)
    return [kind(task) for kind in kinds]


class MeltBaseline(abc.ABC):
    """A method that maps melt.

    Args:
        task: The task that judges; windows are taken from it.

    Attributes:
        name: Name in tables.
        inputs: Channels that it looks at; "land" is added.
        task: The task with these channels in physical units.
    """

    name: str
    inputs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, task: Task | None = None) -> None:
        judge = Meltwater() if task is None else task
        self.task = dataclasses.replace(judge, inputs=(*self.inputs, "land"), normalization="none")  # type: ignore[call-arg]

    def fit(self, batches: Any, statistics: Mapping[str, Any] | None = None) -> MeltBaseline:
        """Learns what there is to learn from batches of the training split; most have nothing.

        Args:
            batches: Batches of `task` (or any (input, target) pairs of its form).
            statistics: Not used: inputs are in physical units.
        """
        return self

    @abc.abstractmethod
    def fraction(self, channels: Mapping[str, np.ndarray]) -> np.ndarray:
        """Melt fraction (batch, y, x) from channels in physical units, (batch, y, x) each, 0 where missing."""

    def __call__(self, x: Any) -> np.ndarray:
        """Logits of the melt fraction.

        Args:
            x: Network input of `task`, (batch, y, x, channels).

        Returns:
            (batch, y, x, 1), float32.
        """
        channels = self._channels(np.asarray(x))
        fraction = np.where(channels["land"] > 0, self.fraction(channels), 0)
        return self.task.encode(np.clip(fraction, 0, 1), x)

    def _channels(self, x: np.ndarray) -> dict[str, np.ndarray]:
        if x.ndim != 4 or x.shape[-1] != len(self.task.channel_names()):
            raise InputError(
                f"The baseline '{self.name}' takes (batch, y, x, {len(self.task.channel_names())}), the channels "
                f"{', '.join(self.task.channel_names())}. Received the shape {x.shape}."
            )
        return {name: x[..., i] for i, name in enumerate(self.task.channel_names())}


class ZeroMelt(MeltBaseline):
    """No melt anywhere."""

    name = "zero_melt"

    def fraction(self, channels):
        return np.zeros_like(channels["land"])


class Persistence(MeltBaseline):
    """The last earlier training date of the year on which SAR saw the pixel; no melt where there is none."""

    name = "persistence"
    inputs = ("sar_previous",)

    def fraction(self, channels):
        return channels["sar_previous"]


class TimeInterpolateSar(MeltBaseline):
    """The mean of the three earlier and three later training dates of the year; no melt where SAR never saw."""

    name = "time_interpolate_sar"
    inputs = ("sar_mean",)

    def fraction(self, channels):
        return channels["sar_mean"]


class ThresholdPmw(MeltBaseline):
    """Melt where the brightness temperature exceeds 0.48 times its winter mean + 128 K.

    No melt where either is missing. Reference: Colosio et al. 2021, doi 10.5194/tc-15-2623-2021, equation 3.
    """

    name = "threshold_pmw"
    inputs = ("brightness_temperature", "winter_brightness_temperature")

    def fraction(self, channels):
        winter = channels["winter_brightness_temperature"]
        melts = channels["brightness_temperature"] > THRESHOLD_SLOPE * winter + THRESHOLD_KELVIN
        return (melts & (winter > 0)).astype(np.float32)


class InterpolateMar(MeltBaseline):
    """Liquid water of the MAR model, blurred and stretched: clip(brightness * G(w), 0, 1) ** gamma.

    G is a Gaussian of `kernel` x `kernel` pixels and standard deviation `sigma`, the image mirrored at its edges; w in
    kg/kg. The attributes are the published values until `fit` replaces all four. `fit` tries the widths of `SIGMAS`
    with two kernels each, then climbs from the best by small steps of either; no kernel is wider than the task's margin
    allows (beyond it a tile differs from the whole grid). Brightness and gamma are fitted to each Gaussian by the
    simplex method from several starts.

    Attributes:
        kernel: Rows and columns of the Gaussian, odd.
        sigma: Its standard deviation in pixels.
        brightness: Factor, per kg/kg.
        gamma: Exponent.
    """

    name = "interpolate_mar"
    inputs = ("liquid_water",)
    SIGMAS = (2, 5, 11, 22, 33)

    def __init__(self, task: Task | None = None) -> None:
        super().__init__(task)
        self.kernel, self.sigma, self.brightness, self.gamma = 93, 33.0, 143.484, 29.176

    def fraction(self, channels):
        return stretched(blurred(channels["liquid_water"], self.kernel, self.sigma), self.brightness, self.gamma)

    def fit(self, batches, statistics=None):
        windows = [(self._channels(x), y) for x, y in _chosen(batches)]
        if not windows:
            raise _nothing(self.name)
        water = np.concatenate([channels["liquid_water"] for channels, _ in windows])
        target = np.concatenate([y for _, y in windows])
        where = _pixels(target)
        truth = target[where].astype(np.float64)
        tried: dict[tuple[int, float], tuple[float, float, float]] = {}

        def loss(width: tuple[int, float]) -> float:
            if width not in tried:
                tried[width] = _fit_stretch(blurred(water, *width)[where].astype(np.float64), truth)
            return tried[width][0]

        best = min(self._candidates(), key=loss)
        while len(tried) < MAX_TRIES:
            step = next((width for width in self._neighbours(*best) if loss(width) < loss(best)), None)
            if step is None:
                break
            best = step
        (self.kernel, self.sigma), (_, self.brightness, self.gamma) = best, tried[best]
        return self

    def _largest(self) -> int:
        windows = self.task.windows()
        return 2 * windows.margin + 1 if windows is not None else 1 << 30

    def _neighbours(self, kernel: int, sigma: float) -> list[tuple[int, float]]:
        kernels = {n for n in (kernel - 10, kernel - 2, kernel + 2, kernel + 10) if 1 <= n <= self._largest()}
        return [*((n, sigma) for n in sorted(kernels)), (kernel, sigma / 1.25), (kernel, sigma * 1.25)]

    def _candidates(self) -> list[tuple[int, float]]:
        found = {(1, 1.0)}  # as it is
        for sigma in self.SIGMAS:
            for ratio in (93 / 33, 6.0):
                kernel = 2 * round(ratio * sigma / 2) + 1
                found.add((min(kernel, self._largest()), float(sigma)))
        return sorted(found)


class LinearDem(MeltBaseline):
    """Melt by altitude, for each month its own shelf: 0.5 (tanh(4 + z) + tanh(4 - z)), z = scale * h + offset.

    h is the altitude minus 1175.094 m, over 993.852 m. `fit` takes the best of a grid of starts and refines it by the
    simplex method; a month without labelled pixels gets what fits all months together.

    Attributes:
        scale: Of each month, January first.
        offset: Likewise.
    """

    name = "linear_dem"
    inputs = ("surface_altitude", "month")

    def __init__(self, task: Task | None = None) -> None:
        super().__init__(task)
        self.scale: np.ndarray | None = None
        self.offset: np.ndarray | None = None

    def fraction(self, channels):
        if self.scale is None or self.offset is None:
            raise InputError("The baseline 'linear_dem' must be fitted before it is called: `.fit(batches)`.")
        month = np.clip(channels["month"].astype(int), 1, 12) - 1
        altitude = normalized_altitude(channels["surface_altitude"])
        return shelf(self.scale[month] * altitude + self.offset[month])

    def fit(self, batches, statistics=None):
        altitudes: list[list[np.ndarray]] = [[] for _ in range(12)]
        targets: list[list[np.ndarray]] = [[] for _ in range(12)]
        for x, y in _chosen(batches):
            channels = self._channels(x)
            where = _pixels(y)
            altitude, month = normalized_altitude(channels["surface_altitude"][where]), channels["month"][where]
            for m in range(12):
                altitudes[m].append(altitude[month == m + 1])
                targets[m].append(y[where][month == m + 1])
        pairs = [_thinned(np.concatenate(a), np.concatenate(t)) for a, t in zip(altitudes, targets, strict=True) if a]
        if not sum(len(a) for a, _ in pairs):
            raise _nothing(self.name)
        everything = _fit_shelf(*_thinned(*(np.concatenate(parts) for parts in zip(*pairs, strict=True))))
        found = np.array([_fit_shelf(a, t) if len(a) else everything for a, t in pairs])
        self.scale, self.offset = found[:, 0], found[:, 1]
        return self


# ---- formulas ------------------------------------------------------------------------------------------------------


def blurred(images: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    """Gaussian means over `kernel` x `kernel` pixels of (batch, y, x), mirrored at the edges (not repeating them)."""
    offsets = np.arange(kernel) - kernel // 2
    window = np.exp(-0.5 * (offsets / sigma) ** 2)
    window /= window.sum()
    rows = ndimage.correlate1d(np.asarray(images, np.float32), window, axis=1, mode="mirror")
    return ndimage.correlate1d(rows, window, axis=2, mode="mirror")


def stretched(values: np.ndarray, brightness: float, gamma: float) -> np.ndarray:
    """clip(brightness * values, 0, 1) ** gamma."""
    return np.clip(brightness * values, 0, 1) ** gamma


def shelf(z: np.ndarray) -> np.ndarray:
    """0.5 (tanh(4 + z) + tanh(4 - z)): 1 around z = 0, 0 beyond 4 either way."""
    return 0.5 * (np.tanh(SHELF + z) + np.tanh(SHELF - z))


def normalized_altitude(altitude_m: np.ndarray) -> np.ndarray:
    """Altitude as the benchmark normalises it."""
    return (altitude_m - ALTITUDE_MEAN_M) / ALTITUDE_STD_M


# ---- fitting -------------------------------------------------------------------------------------------------------


def _nothing(name: str) -> InputError:
    return InputError(f"The baseline '{name}' needs labelled pixels in the training split. Received none.")


def _chosen(batches: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Input and target (windows, y, x) of about `MAX_WINDOWS` windows with labels, a fixed random choice over batches.

    A few windows of each of many batches: those of one batch may be neighbours of the same day.
    """
    rng = np.random.default_rng(0)
    pairs, each = iter(batches), MAX_WINDOWS
    if hasattr(batches, "__len__") and hasattr(batches, "__getitem__"):
        chosen = np.sort(rng.permutation(len(batches))[:MAX_WINDOWS])
        pairs, each = (batches[int(i)] for i in chosen), -(-MAX_WINDOWS // max(1, len(chosen)))
    for x, y in pairs:
        target = np.asarray(y["final"] if isinstance(y, Mapping) else y)[..., 0]
        labelled = np.flatnonzero(np.isfinite(target).any(axis=(1, 2)))
        kept = np.sort(rng.permutation(labelled)[:each])
        if kept.size:
            yield np.asarray(x)[kept], target[kept]


def _pixels(target: np.ndarray) -> tuple[np.ndarray, ...]:
    """Indices of labelled pixels, at most `MAX_PIXELS`, a fixed random choice."""
    where = np.nonzero(np.isfinite(target))
    count = len(where[0])
    if count <= MAX_PIXELS:
        return where
    chosen = np.sort(np.random.default_rng(0).choice(count, MAX_PIXELS, replace=False))
    return tuple(index[chosen] for index in where)


def _thinned(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same random choice of at most `MAX_PIXELS` entries of each array."""
    if len(arrays[0]) <= MAX_PIXELS:
        return arrays
    chosen = np.sort(np.random.default_rng(0).choice(len(arrays[0]), MAX_PIXELS, replace=False))
    return tuple(values[chosen] for values in arrays)


def _refined(loss: Any, starts: Sequence[tuple[float, float]], polish: int = 3) -> tuple[float, np.ndarray]:
    """Least loss of two parameters: the best starts, each refined by the simplex method."""
    ranked = sorted(starts, key=lambda start: loss(np.array(start)))[:polish]
    options = {"xatol": 1e-3, "fatol": 1e-7, "maxiter": 200}
    found = [optimize.minimize(loss, np.array(start), method="Nelder-Mead", options=options) for start in ranked]
    best = min(found, key=lambda result: result.fun)
    return float(best.fun), best.x


def _fit_stretch(values: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """Mean absolute error, brightness and gamma; the search is over their logarithms."""

    def loss(parameters: np.ndarray) -> float:
        brightness, gamma = np.exp(np.clip(parameters, -20, 20))
        return float(np.abs(stretched(values, brightness, gamma) - target).mean())

    positive = values[values > 0]
    levels = np.quantile(positive, (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)) if len(positive) else np.array([1 / 143.484])
    starts = [(-math.log(max(level, 1e-9)), math.log(gamma)) for level in levels for gamma in (0.5, 1, 4, 29.176)]
    least, (brightness, gamma) = _refined(loss, [*starts, (math.log(143.484), math.log(29.176))])
    return least, math.exp(np.clip(brightness, -20, 20)), math.exp(np.clip(gamma, -20, 20))


def _fit_shelf(altitude: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Scale and offset with the least mean absolute error."""
    altitude, target = altitude.astype(np.float64), target.astype(np.float64)

    def loss(parameters: np.ndarray) -> float:
        return float(np.abs(shelf(parameters[0] * altitude + parameters[1]) - target).mean())

    starts = [(scale, offset) for scale in (-8, -4, -2, -1, 1, 2, 4, 8) for offset in range(-12, 13, 2)]
    _, (scale, offset) = _refined(loss, starts)
    return float(scale), float(offset)
