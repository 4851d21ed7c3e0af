"""What needs no network for the cloud phase: constants, climatology by level, and a brightness-temperature threshold.

A baseline maps the network input (batch, y, x, channel) to logits (batch, level, y, x, class).
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError, check
from ..metrics.classification import averages
from ..tasks.cloud_phase import EMISSIVE_BANDS_UM, LEVEL_HEIGHT_KM, NUM_LEVELS, REFLECTIVE_BANDS_UM, CloudPhase

CLEAR, ICE, MIXED, LIQUID = range(4)
FREEZING_K = 273.15
HOMOGENEOUS_FREEZING_K = 235.15  # -38 C: no liquid water below
LAPSE_RATE_K_PER_KM = 6.5
WINDOW_BAND = EMISSIVE_BANDS_UM.index(10.41)
CONFIDENCE = 0.97  # probability that a categorical method gives to its class

_MAX_FIT_SAMPLES = 256


def classification_baselines() -> list[PhaseBaseline]:
    """One of each, not yet fitted."""
    return [AllClear(), Climatology(), BalancedClimatology(), Threshold()]


def _categorical_logits(num_classes: int) -> np.ndarray:
    """(class, class): row k is the logits of a method that is sure of class k."""
    others = (1 - CONFIDENCE) / (num_classes - 1)
    return np.log(np.where(np.eye(num_classes, dtype=bool), CONFIDENCE, others)).astype(np.float32)


class PhaseBaseline(abc.ABC):
    """A method that gives logits on levels."""

    name: str

    def fit(self, batches: Any, statistics: Mapping[str, Any] | None = None) -> PhaseBaseline:
        """Learns what there is to learn from the training split.

        Args:
            batches: Batches (x, y) of the training split, without augmentation.
            statistics: The manifest's statistics of the training split.
        """
        return self

    @abc.abstractmethod
    def __call__(self, x: Any) -> np.ndarray:
        """(batch, y, x, channel), normalized, to logits (batch, level, y, x, class), float32."""


class _ByLevel(PhaseBaseline):
    """One distribution of classes a level, the same everywhere."""

    def __init__(self) -> None:
        self.logits: np.ndarray | None = None

    def __call__(self, x):
        if self.logits is None:
            raise InputError(f"The baseline '{self.name}' must be fitted before it is called: `.fit(batches)`.")
        levels, classes = self.logits.shape
        samples, rows, columns = np.asarray(x).shape[:3]
        return np.broadcast_to(self.logits[None, :, None, None], (samples, levels, rows, columns, classes))


class AllClear(_ByLevel):
    """No cloud anywhere: what a score is worth when nine voxels of ten are clear.

    It is also the most frequent class, of all voxels and, as a rule, of each level.
    """

    name = "all_clear"

    def __init__(self) -> None:
        super().__init__()
        self.logits = np.tile(_categorical_logits(4)[CLEAR], (NUM_LEVELS, 1))


class Climatology(_ByLevel):
    """Logarithm of the class frequencies of each level in the training split.

    Its most likely class is "clear" wherever a level is cloudy less than half of the time, so that its scores as a
    classifier are mostly those of `all_clear`; `climatology_balanced` is the level-only method that is made to score.
    """

    name = "climatology"

    def fit(self, batches, statistics=None):
        counts = _class_counts(batches, statistics)
        # Half a voxel is added to each class: what was not seen is unlikely, not impossible.
        self.logits = np.log((counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)).astype(np.float32)
        return self


class BalancedClimatology(_ByLevel):
    """Climatology by level divided by the overall class frequencies to the power that gives the best macro F1.

    The power is chosen on the training split, among 0 (climatology) to 1 (all classes alike). No method that sees
    nothing but the level can do much better, so what beats it has used the image.
    """

    name = "climatology_balanced"
    powers = np.linspace(0.0, 1.0, 41)

    def __init__(self) -> None:
        super().__init__()
        self.power: float | None = None

    def fit(self, batches, statistics=None):
        counts = _class_counts(batches, statistics)
        by_level = np.log((counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True))
        overall = np.log((counts.sum(axis=0) + 0.5) / (counts.sum() + 2))
        candidates = [by_level - power * overall for power in self.powers]
        best = int(np.argmax([_macro_f1_by_level(counts, logits.argmax(axis=1)) for logits in candidates]))
        self.power, self.logits = float(self.powers[best]), candidates[best].astype(np.float32)
        return self


class Threshold(PhaseBaseline):
    """Cloud where the 10.4 um window is cold, its top where the air is as cold, its phase by temperature.

    1. The surface temperature of a patch is its `percentile`-th percentile of the 10.4 um brightness temperature T_b;
       patches without a clear pixel are the known weakness.
    2. A column is cloudy where T_b is more than `contrast_k` below it.
    3. Cloud-top height is (surface temperature - T_b) / 6.5 K km-1: the emission height of an opaque cloud.
    4. The cloud fills `depth_km` below its top, not below the surface.
    5. Phase by the temperature at the level: ice below -38 C, liquid above 0 C; between, ice below `ice_below_k`,
       liquid above `liquid_above_k` and mixed in between.

    Contrast, depth and the two temperatures are those of a grid that give the best macro F1 on the training split.

    Args:
        percentile: See 1.
    """

    name = "threshold"
    contrasts_k = (4.0, 8.0, 12.0, 18.0, 25.0, 35.0)
    depths_km = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    phase_limits_k = (
        (HOMOGENEOUS_FREEZING_K, FREEZING_K),
        (243.15, 268.15),
        (253.15, 268.15),
        (253.15, FREEZING_K),
        (258.15, 263.15),
        (263.15, FREEZING_K),
    )

    def __init__(self, percentile: float = 98.0):
        check(0 < percentile <= 100, "`percentile` lies above 0 and not above 100.", percentile=percentile)
        self.percentile = float(percentile)
        self.mean_k = self.std_k = float("nan")
        self.contrast_k = self.depth_km = self.ice_below_k = self.liquid_above_k = float("nan")

    def brightness_temperature(self, x: Any) -> np.ndarray:
        """10.4 um brightness temperature in K, (batch, y, x), from the normalized input."""
        return np.asarray(x)[..., len(REFLECTIVE_BANDS_UM) + WINDOW_BAND] * self.std_k + self.mean_k

    def surface_temperature(self, brightness_k: np.ndarray) -> np.ndarray:
        """Of each patch in K, (batch,)."""
        return np.percentile(brightness_k.reshape(len(brightness_k), -1), self.percentile, axis=1)

    def fit(self, batches, statistics=None):
        if statistics is None or "brightness_temperature" not in statistics:
            raise InputError("The baseline 'threshold' needs the statistics of `brightness_temperature` to undo them.")
        of_bands = statistics["brightness_temperature"]
        self.mean_k, self.std_k = (float(of_bands[key][WINDOW_BAND]) for key in ("mean", "std"))
        self.std_k = max(self.std_k, 1e-6)  # as the task does
        brightness, surface, labels = self._columns(batches)
        labelled = labels >= 0
        true = 4 * labels[labelled].astype(np.int64)
        phases = [_phase_by_temperature(surface, *limits)[labelled] for limits in self.phase_limits_k]
        best = -1.0
        for contrast in self.contrasts_k:
            for depth in self.depths_km:
                cloudy = _cloudy(brightness, surface, contrast, depth)[labelled]
                for phase, limits in zip(phases, self.phase_limits_k, strict=True):
                    counts = np.bincount(
                        true + phase * cloudy,  # CLEAR is 0
                        minlength=16,
                    ).reshape(4, 4)
                    score = float(averages(counts, CloudPhase.classes)["f1_macro"])
                    if score > best:
                        best, self.contrast_k, self.depth_km = score, contrast, depth
                        self.ice_below_k, self.liquid_above_k = limits
        return self

    def _columns(self, batches: Any, columns_a_sample: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Brightness temperature (column,), surface temperature (column,), labels (column, level) to fit to.

        At most 256 samples spread over the split, and of each about 64 of the labelled columns at equal steps.
        """
        parts = []
        step = max(1, round(len(batches) * getattr(batches, "batch_size", 1) / _MAX_FIT_SAMPLES))
        for i in range(0, len(batches), step):
            x, y = batches[i]
            y = np.asarray(y["final"] if isinstance(y, Mapping) else y)
            brightness = self.brightness_temperature(x)
            surface = self.surface_temperature(brightness)
            for sample in range(len(y)):
                row, column = np.nonzero((y[sample] >= 0).any(axis=0))
                keep = slice(None, None, max(1, len(row) // columns_a_sample))
                row, column = row[keep], column[keep]
                labels = y[sample][:, row, column].T
                parts.append((brightness[sample, row, column], np.full(len(row), surface[sample]), labels))
        if not parts or sum(len(part[0]) for part in parts) == 0:
            raise InputError("The baseline 'threshold' needs labelled columns in the training split. Received none.")
        brightness, surface, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return brightness, surface, labels

    def __call__(self, x):
        if np.isnan(self.contrast_k):
            raise InputError(
                "The baseline 'threshold' must be fitted before it is called: `.fit(batches, statistics)`."
            )
        brightness = self.brightness_temperature(x)
        surface = np.broadcast_to(self.surface_temperature(brightness)[:, None, None], brightness.shape)
        cloudy = _cloudy(brightness, surface, self.contrast_k, self.depth_km)
        by_level = _phase_by_temperature(surface[:, 0, 0], self.ice_below_k, self.liquid_above_k)
        phase = cloudy * by_level[:, None, None]  # CLEAR is 0
        return _categorical_logits(4)[np.moveaxis(phase, -1, 1)]


def _heights_km() -> np.ndarray:
    """Centres of the levels."""
    return (np.arange(NUM_LEVELS) + 0.5) * LEVEL_HEIGHT_KM


def _cloudy(brightness_k: np.ndarray, surface_k: np.ndarray, contrast_k: float, depth_km: float) -> np.ndarray:
    """Whether each level of each column is in the cloud, (..., level). The level that holds the top always is."""
    contrast = surface_k - brightness_k
    top = contrast / LAPSE_RATE_K_PER_KM
    top_level = np.clip(np.floor(top / LEVEL_HEIGHT_KM), 0, NUM_LEVELS - 1)
    levels = np.arange(NUM_LEVELS)
    base_level = np.minimum(np.ceil((top - depth_km) / LEVEL_HEIGHT_KM - 0.5), top_level)
    inside = (levels <= top_level[..., None]) & (levels >= base_level[..., None])
    return inside & (contrast > contrast_k)[..., None]


def _phase_by_temperature(surface_k: np.ndarray, ice_below_k: float, liquid_above_k: float) -> np.ndarray:
    """Class of a cloud at each level, (..., level)."""
    temperature = np.asarray(surface_k)[..., None] - LAPSE_RATE_K_PER_KM * _heights_km()
    ice = temperature < max(ice_below_k, HOMOGENEOUS_FREEZING_K)
    liquid = temperature > min(liquid_above_k, FREEZING_K)
    return np.where(ice, ICE, np.where(liquid, LIQUID, MIXED)).astype(np.int8)


def _class_counts(batches: Any, statistics: Mapping[str, Any] | None) -> np.ndarray:
    """Voxels by level and class in the training split, float64.

    From the statistics where they hold the counts of the labels that the batches carry, else from the batches.
    """
    labels = getattr(getattr(batches, "task", None), "labels", None)
    variable = {"dense": "phase_dense", "track": "phase"}.get(labels or "", "")
    if statistics is not None and "class_counts" in statistics.get(variable, {}):
        counts = np.asarray(statistics[variable]["class_counts"], np.float64)
    else:
        counts = np.zeros((0, 4))
        for i in range(len(batches)):
            y = batches[i][1]
            y = np.asarray(y["final"] if isinstance(y, Mapping) else y)
            in_batch = np.stack([[(y[:, level] == k).sum() for k in range(4)] for level in range(y.shape[1])])
            counts = in_batch + (counts if len(counts) else 0)
    if counts.sum() == 0:
        raise InputError("A climatology needs labels in the training split. Received none.")
    return counts


def _macro_f1_by_level(counts: np.ndarray, choice: np.ndarray) -> float:
    """Macro F1 of the method that chooses one class a level, from the voxels by level and class."""
    confusion = np.zeros((counts.shape[1], counts.shape[1]))
    np.add.at(confusion.T, choice, counts)
    return float(averages(confusion, CloudPhase.classes)["f1_macro"])
