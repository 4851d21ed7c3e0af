"""3-D cloud phase from a geostationary imager, learned from a profiler's track (SGMAGNet, arXiv 2509.15706)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..datasets.schema import CLASS_MISSING, Packing, Variable
from ..errors import check_choice
from .base import Fields, Task

NUM_LEVELS = 38
LEVEL_HEIGHT_KM = 0.5

REFLECTIVE_BANDS_UM = (0.47, 0.51, 0.64, 0.86, 1.61, 2.26)
EMISSIVE_BANDS_UM = (3.89, 6.24, 6.94, 7.35, 8.59, 9.64, 10.41, 11.24, 12.38, 13.28)

REFLECTANCE = Variable(
    "reflectance",
    ("sample", "y", "x", "reflective_band"),
    "1",
    (-0.05, 2.0),
    Packing("i2", 1e-4, 0.0, -32768),
    "reflectance, AHI bands 1 to 6",
    "toa_bidirectional_reflectance",
    sizes=(None, None, None, len(REFLECTIVE_BANDS_UM)),
)
BRIGHTNESS_TEMPERATURE = Variable(
    "brightness_temperature",
    ("sample", "y", "x", "emissive_band"),
    "K",
    (130.0, 450.0),
    Packing("i2", 0.01, 273.15, -32768),
    "brightness temperature, AHI bands 7 to 16",
    "toa_brightness_temperature",
    sizes=(None, None, None, len(EMISSIVE_BANDS_UM)),
)
SOLAR_ZENITH_ANGLE = Variable(
    "solar_zenith_angle",
    ("sample", "y", "x"),
    "degree",
    (0.0, 180.0),
    Packing("i2", 0.01, 0.0, -32768),
    "solar zenith angle",
    "solar_zenith_angle",
)
SENSOR_ZENITH_ANGLE = Variable(
    "sensor_zenith_angle",
    ("sample", "y", "x"),
    "degree",
    (0.0, 90.0),
    Packing("i2", 0.01, 0.0, -32768),
    "sensor zenith angle",
    "sensor_zenith_angle",
)
_PHASES = ("clear", "ice", "mixed", "liquid")
PHASE = Variable(
    "phase",
    ("sample", "profile", "level"),
    "1",
    (0, 3),
    Packing("i1", fill=CLASS_MISSING),
    "cloud phase along the track",
    flag_meanings=_PHASES,
    sizes=(None, None, NUM_LEVELS),
)
PHASE_DENSE = Variable(
    "phase_dense",
    ("sample", "level", "y", "x"),
    "1",
    (0, 3),
    Packing("i1", fill=CLASS_MISSING),
    "cloud phase everywhere",
    required=False,
    flag_meanings=_PHASES,
    sizes=(None, NUM_LEVELS, None, None),
)
PROFILE_Y = Variable(
    "profile_y", ("sample", "profile"), "1", (-1, 32767), Packing("i2"), "row of each profile in the patch, -1 for none"
)
PROFILE_X = Variable(
    "profile_x",
    ("sample", "profile"),
    "1",
    (-1, 32767),
    Packing("i2"),
    "column of each profile in the patch, -1 for none",
)


def _standardise(values: Any, statistics: Any, xp: Any) -> Any:
    """(values - mean) / std along the last axis, missing values at the mean (0)."""
    mean = np.asarray(statistics["mean"], np.float32)
    std = np.maximum(np.asarray(statistics["std"], np.float32), 1e-6)
    scaled = (values - mean) / std
    return xp.where(xp.isnan(scaled), xp.zeros_like(scaled), scaled)


@dataclass(frozen=True)
class CloudPhase(Task):
    """Four phases on 38 levels of 500 m, from 16 AHI bands.

    Attributes:
        labels: "track" for the labels of the profiler (`phase`), "dense" for those everywhere (`phase_dense`).
        angles: Whether cosines of the solar and the sensor zenith angle are two further channels.
    """

    labels: str = "track"
    angles: bool = False

    name: ClassVar[str] = "cloud_phase"
    kind: ClassVar[str] = "classification"
    classes: ClassVar[tuple[str, ...]] = _PHASES
    input_options: ClassVar[frozenset[str]] = frozenset({"labels", "angles"})
    default_model: ClassVar[str] = "sgmagnet"
    default_loss: ClassVar[str] = "sparse_crossentropy"
    row_dim: ClassVar[str] = "y"
    column_dim: ClassVar[str] = "x"

    def __post_init__(self) -> None:
        check_choice(self.labels, ("track", "dense"), "labels")

    def variables(self) -> tuple[Variable, ...]:
        return (
            REFLECTANCE,
            BRIGHTNESS_TEMPERATURE,
            SOLAR_ZENITH_ANGLE,
            SENSOR_ZENITH_ANGLE,
            PHASE,
            PROFILE_Y,
            PROFILE_X,
            PHASE_DENSE,
        )

    def read_names(self) -> tuple[str, ...]:
        images = ("reflectance", "brightness_temperature")
        angles = ("solar_zenith_angle", "sensor_zenith_angle") if self.angles else ()
        labels = ("phase_dense",) if self.labels == "dense" else ("phase", "profile_y", "profile_x")
        return images + angles + labels

    def channel_names(self) -> tuple[str, ...]:
        bands = [f"reflectance_{um:.2f}um" for um in REFLECTIVE_BANDS_UM]
        bands += [f"brightness_temperature_{um:.2f}um" for um in EMISSIVE_BANDS_UM]
        return (*bands, *(("cos_solar_zenith", "cos_sensor_zenith") if self.angles else ()))

    def builder_arguments(self) -> dict[str, Any]:
        return {"num_classes": len(self.classes), "levels": NUM_LEVELS}

    def physical_inputs(self) -> dict[str, tuple[str, ...]]:
        dims = {v.name: v.dims[1:] for v in self.variables()}
        return {name: dims[name] for name in self.read_names() if not name.startswith(("phase", "profile"))}

    def prepare(self, fields: Fields, rng: np.random.Generator | None = None) -> Fields:
        """Adds the labels on the grid, `target` (batch, level, y, x); flips rows and columns at random."""
        fields = dict(fields)
        if "phase_dense" in fields:
            fields["target"] = fields["phase_dense"]
        elif "phase" in fields:
            fields["target"] = self._labels_on_grid(fields)
        if rng is not None:
            flip_y, flip_x = rng.random((2, len(fields["reflectance"]))) < 0.5
            for name, (row_axis, column_axis) in self._image_axes().items():
                if name in fields:
                    fields[name] = _flip(fields[name], flip_y, row_axis, flip_x, column_axis)
        return fields

    @staticmethod
    def _image_axes() -> dict[str, tuple[int, int]]:
        images = ("reflectance", "brightness_temperature", "solar_zenith_angle", "sensor_zenith_angle")
        return {**{name: (1, 2) for name in images}, "target": (2, 3)}

    @staticmethod
    def _labels_on_grid(fields: Fields) -> np.ndarray:
        phase, rows, columns = fields["phase"], fields["profile_y"].astype(int), fields["profile_x"].astype(int)
        samples, height, width = fields["reflectance"].shape[:3]
        target = np.full((samples, phase.shape[2], height, width), CLASS_MISSING, np.int8)
        sample, profile = np.nonzero((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
        target[sample, :, rows[sample, profile], columns[sample, profile]] = phase[sample, profile]
        return target

    def network_inputs(self, fields: Any, statistics: Any, xp: Any = np) -> Any:
        channels = [_standardise(fields[n], statistics[n], xp) for n in ("reflectance", "brightness_temperature")]
        if self.angles:
            for name in ("solar_zenith_angle", "sensor_zenith_angle"):
                cosine = xp.cos(fields[name] * np.float32(np.pi / 180))
                channels.append(xp.where(xp.isnan(cosine), xp.zeros_like(cosine), cosine)[..., None])
        return xp.concatenate(channels, axis=-1)

    def target(self, fields: Any) -> np.ndarray:
        return fields["target"]

    def truth(self, fields: Any) -> np.ndarray:
        return fields["target"]

    def decode(self, outputs: Any, inputs: Any, xp: Any = np) -> Any:
        """Softmax over the last axis: (batch, level, y, x, class)."""
        exponential = xp.exp(outputs - xp.max(outputs, axis=-1, keepdims=True))
        return exponential / xp.sum(exponential, axis=-1, keepdims=True)

    def output_name(self) -> str:
        return "phase_probability"


def _flip(values: np.ndarray, flip_rows: np.ndarray, row_axis: int, flip_columns: np.ndarray, column_axis: int):
    """Flips chosen samples (axis 0) of an array along its row and column axes."""
    values = values.copy()
    values[flip_rows] = np.flip(values[flip_rows], axis=row_axis)
    values[flip_columns] = np.flip(values[flip_columns], axis=column_axis)
    return values
