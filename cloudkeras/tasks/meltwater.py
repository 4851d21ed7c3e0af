"""Daily surface meltwater at 100 m from coarse inputs that see through clouds (MeltwaterBench, arXiv 2512.12142)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..datasets.schema import Packing, Variable, Windows
from ..errors import check, check_choice
from .base import Fields, OutputRange, Task

MELT_THRESHOLD = 0.1  # a fraction above it counts as melt (MeltwaterBench)
LARGEST_LOGIT = 40.0

_DIMS, _STATIC = ("sample", "y", "x"), ("y", "x")
_FRACTION = Packing("i2", 1e-4, 0.0, -32768)
_KELVIN = Packing("i2", 0.01, 200.0, -32768)  # steps of 0.01 K
_LIQUID = Packing("i2", 1e-5, 0.0, -32768)  # steps of 0.1 % of the benchmark's standard deviation
_METRES = Packing("i2", 0.1, 1500.0, -32768)


def _fraction(name: str, long_name: str, required: bool = False) -> Variable:
    return Variable(name, _DIMS, "1", (0.0, 1.0), _FRACTION, long_name, required=required)


def _kelvin(name: str, long_name: str) -> Variable:
    return Variable(name, _DIMS, "K", (50.0, 350.0), _KELVIN, long_name, "toa_brightness_temperature", required=False)


def _liquid(name: str, long_name: str) -> Variable:
    return Variable(name, _DIMS, "kg kg-1", (0.0, 0.3), _LIQUID, long_name, required=False)


VARIABLES: tuple[Variable, ...] = (
    _fraction("melt_fraction", "surface meltwater fraction seen by SAR", required=True),
    _kelvin("brightness_temperature", "passive microwave brightness temperature"),
    _kelvin("brightness_temperature_smooth", "passive microwave brightness temperature, smoothed"),
    _kelvin("winter_brightness_temperature", "mean brightness temperature of January and February of the year"),
    _liquid("liquid_water", "liquid water content of the top metre in the MAR regional model"),
    _liquid("liquid_water_smooth", "liquid water content of the top metre in the MAR regional model, smoothed"),
    _fraction("sar_mean", "mean meltwater fraction of the nearest three training dates before and after"),
    _fraction("sar_previous", "meltwater fraction of the last training date before"),
    Variable("surface_altitude", _STATIC, "m", (-500.0, 4700.0), _METRES, "height of the surface", "surface_altitude"),
    Variable("land", _STATIC, "1", (0, 1), Packing("i1"), "1 on land and ice, 0 on the ocean", "land_binary_mask"),
)
_NAMES = tuple(variable.name for variable in VARIABLES)

# Mean and standard deviation by which MeltwaterBench normalises; the mean of earlier and later SAR is left as it is.
_PMW, _MAR = (206.104, 26.772), (0.005986, 0.008952)
PUBLISHED: dict[str, tuple[float, float]] = {
    "brightness_temperature": _PMW,
    "brightness_temperature_smooth": _PMW,
    "winter_brightness_temperature": _PMW,
    "liquid_water": _MAR,
    "liquid_water_smooth": _MAR,
    "surface_altitude": (1175.094, 993.852),
}
# Channels that are made from the date of a sample, the same number at every pixel.
_CALENDAR = ("month", "season_cos", "season_sin")
DEFAULT_INPUTS = ("brightness_temperature_smooth", "liquid_water_smooth", "sar_mean", "surface_altitude")


def _pair(value: Any) -> tuple[int, int]:
    """(rows, columns); one number stands for both."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    whole = len(pair) == 2 and all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in pair)
    check(whole, "A window has whole rows and columns, e.g. [256, 256].", window=value)
    return int(pair[0]), int(pair[1])


@dataclass(frozen=True)
class Meltwater(Task):
    """Melt fraction of each 100 m pixel and day, learned from the days and places that SAR saw.

    A sample is one day of the whole grid, north up. Networks see windows of it: in training random crops, in evaluation
    tiles whose cores cover the grid once; see `schema.Windows`.

    The network's output is linear, a logit: `decode` puts it through a sigmoid, and so do the losses
    (`from_logits`), the training metric and exported models. Nothing else keeps the result within 0 and 1.

    What is missing in the input is 0 after normalising: the mean, or no melt for the fractions. A pixel is labelled
    where SAR saw it and it is not ocean.

    Attributes:
        inputs: Channels of the network's input, in order: variables of the shard, "land", or "month" (1 to 12),
            "season_cos", "season_sin" (of the day of the year), the same at every pixel.
        normalization: "published" takes mean and standard deviation of MeltwaterBench, "training" those of the
            training split (in both the fractions stay as they are), "none" leaves physical units, missing 0.
        crop: Rows and columns of the crops that training draws.
        crops_per_day: Crops of each day in an epoch.
        evaluation_window: Rows and columns of the tiles outside training. Crops and tiles larger than the grid are cut
            to it.
        margin: Pixels along the inner edges of a tile that are not judged; what looks no further than that gives
            through tiles what it gives on the whole grid (smoothing of MAR: 46).
        flips: Whether training flips rows and columns at random.
    """

    inputs: tuple[str, ...] = DEFAULT_INPUTS
    normalization: str = "published"
    crop: tuple[int, int] = (256, 256)
    crops_per_day: int = 4
    evaluation_window: tuple[int, int] = (256, 256)
    margin: int = 48
    flips: bool = False

    name: ClassVar[str] = "meltwater"
    kind: ClassVar[str] = "regression"
    input_options: ClassVar[frozenset[str]] = frozenset(
        {"inputs", "normalization", "crop", "crops_per_day", "evaluation_window", "margin", "flips"}
    )
    default_model: ClassVar[str] = "unet"
    default_loss: ClassVar[str] = "masked_mae"
    row_dim: ClassVar[str] = "y"
    column_dim: ClassVar[str] = "x"
    sample_columns: ClassVar[tuple[str, ...]] = ("time_start",)
    block_seconds: ClassVar[float] = 7 * 86400.0
    one_site: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        for name in ("crop", "evaluation_window"):
            object.__setattr__(self, name, _pair(getattr(self, name)))
        check(len(self.inputs) > 0, "`inputs` names at least one channel.", inputs=self.inputs)
        check(len(set(self.inputs)) == len(self.inputs), "`inputs` names a channel once.", inputs=self.inputs)
        for name in self.inputs:
            check_choice(name, tuple(n for n in (*_NAMES, *_CALENDAR) if n != "melt_fraction"), "inputs")
        check_choice(self.normalization, ("published", "training", "none"), "normalization")
        check(
            min(self.evaluation_window) > 2 * self.margin,
            "`evaluation_window` is larger than twice `margin`, or nothing of a tile would be judged. (A window larger "
            "than the grid is cut to it: leave it as it is for a small grid.)",
            evaluation_window=self.evaluation_window,
            margin=self.margin,
        )
        self.windows()

    def windows(self) -> Windows:
        """Random crops in training, tiles in evaluation."""
        return Windows(self.crop, self.crops_per_day, self.evaluation_window, self.margin)

    def loss_options(self) -> dict[str, Any]:
        """Through the sigmoid, the mean of each image first (MeltwaterBench), fractions between 0 and 1."""
        return {"from_logits": True, "per_image": True, "data_range": 1.0}

    def variables(self) -> tuple[Variable, ...]:
        return VARIABLES

    def label_names(self) -> tuple[str, ...]:
        return ("melt_fraction",)

    def read_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(("melt_fraction", *(n for n in self.inputs if n in _NAMES), "land")))

    def channel_names(self) -> tuple[str, ...]:
        return self.inputs

    def builder_arguments(self) -> dict[str, Any]:
        return {"num_classes": 1}

    def physical_inputs(self) -> dict[str, tuple[str, ...]]:
        """The inputs, images alike also where the shard stores them once; "month" and "day_of_year" are numbers."""
        calendar = [name for name in self.inputs if name in _CALENDAR]
        numbers = {"month": ()} if "month" in calendar else {}
        if any(name.startswith("season") for name in calendar):
            numbers["day_of_year"] = ()
        return {**{name: ("y", "x") for name in self.inputs if name in _NAMES}, **numbers}

    def mask_names(self) -> tuple[str, ...]:
        return ("land",)

    def covered(self, fields: Mapping[str, np.ndarray]) -> np.ndarray:
        """Land and ice on which each input of the day has a value.

        SAR of other days may be missing, unless nothing else of the season is known.
        """
        image = fields[next(name for name in (*self.inputs, "land") if name in _NAMES and name in fields)]
        found = np.ones(np.shape(image), bool) if "land" not in fields else np.asarray(fields["land"]) > 0
        of_day = [name for name in self.inputs if name in _NAMES and not name.startswith("sar_")]
        for name in of_day:
            found = found & np.isfinite(fields[name])
        sar = [np.isfinite(fields[name]) for name in self.inputs if name.startswith("sar_")]
        alone = all(dict(zip(_NAMES, VARIABLES, strict=True))[name].static for name in of_day)
        return found & np.any(sar, axis=0) if sar and alone else found

    def prepare(self, fields: Fields, rng: np.random.Generator | None = None) -> Fields:
        """Adds `month` and `day_of_year` (batch,), from `time_start`; leaves no label on the ocean; flips."""
        fields = dict(fields)
        if "time_start" in fields:
            fields.update(_calendar(fields["time_start"]))
        if "land" in fields and "melt_fraction" in fields:
            fields["melt_fraction"] = np.where(fields["land"] > 0, fields["melt_fraction"], np.float32(np.nan))
        if rng is not None and self.flips:
            images = [name for name in fields if name in _NAMES]
            for axis in (1, 2):
                flip = (rng.random(len(fields["melt_fraction"])) < 0.5)[:, None, None]
                for name in images:
                    fields[name] = np.where(flip, np.flip(fields[name], axis=axis), fields[name])
        return fields

    def network_inputs(self, fields: Any, statistics: Any, xp: Any = np) -> Any:
        channels = [self._channel(name, fields, statistics, xp) for name in self.inputs if name in _NAMES]
        image = channels[0] if channels else fields["land"]
        made = dict(zip((n for n in self.inputs if n in _NAMES), channels, strict=True))
        for name in (n for n in self.inputs if n in _CALENDAR):
            made[name] = xp.ones_like(image) * _calendar_channel(name, fields, xp)[:, None, None]
        return xp.stack([made[name] for name in self.inputs], axis=-1)

    def _channel(self, name: str, fields: Any, statistics: Any, xp: Any) -> Any:
        values = fields[name] * np.float32(1)
        if self.normalization != "none" and name in PUBLISHED:
            if self.normalization == "published":
                mean, std = PUBLISHED[name]
            else:
                mean, std = statistics[name]["mean"][0], max(statistics[name]["std"][0], 1e-6)
            values = (values - np.float32(mean)) / np.float32(std)
        return xp.where(xp.isnan(values), xp.zeros_like(values), values)

    def fixed_scaling(self) -> dict[str, tuple[float, float]] | None:
        """The published numbers, or none."""
        if self.normalization == "training":
            return None
        return {n: v for n, v in PUBLISHED.items() if n in self.inputs} if self.normalization == "published" else {}

    def target(self, fields: Any) -> np.ndarray:
        """(batch, y, x, 1), NaN where there is no label."""
        return np.asarray(fields["melt_fraction"], np.float32)[..., None]

    def truth(self, fields: Any) -> np.ndarray:
        """(batch, y, x), NaN where there is no label."""
        return np.asarray(fields["melt_fraction"], np.float32)

    def presence(self, target: np.ndarray) -> np.ndarray:
        """(batch, 1): whether a window's target holds any melt."""
        return np.any(target.reshape(len(target), -1) > MELT_THRESHOLD, axis=1, keepdims=True).astype(np.float32)

    def decode(self, outputs: Any, inputs: Any, xp: Any = np) -> Any:
        """The sigmoid of the output, (batch, y, x); as a tanh, which no logit overflows."""
        return 0.5 * (1 + xp.tanh(0.5 * outputs[..., 0]))

    def encode(self, values: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """(batch, y, x, 1): the logit; -40 for 0 and 40 for 1, of which `decode` makes 0 and 1 exactly."""
        values = np.asarray(values, np.float64)
        inside = np.clip(values, 1e-17, 1 - 1e-16)
        logits = np.clip(np.log(inside / (1 - inside)), -LARGEST_LOGIT, LARGEST_LOGIT)
        logits = np.where(values <= 0, -LARGEST_LOGIT, np.where(values >= 1, LARGEST_LOGIT, logits))
        return logits.astype(np.float32)[..., None]

    def output_range(self) -> OutputRange:
        return OutputRange(0.0, 1.0, "1", 0.0, (("melt", MELT_THRESHOLD),))

    def output_name(self) -> str:
        return "melt_fraction"


def _calendar(time_start: np.ndarray) -> Fields:
    """Month (1 to 12) and day of the year (1 to 366) in UTC of seconds since 1970, (batch,)."""
    day = np.asarray(time_start, np.float64).astype("datetime64[s]").astype("datetime64[D]")
    month, year = day.astype("datetime64[M]"), day.astype("datetime64[Y]")
    return {
        "month": ((month - year).astype(np.int64) + 1).astype(np.float32),
        "day_of_year": ((day - year.astype("datetime64[D]")).astype(np.int64) + 1).astype(np.float32),
    }


def _calendar_channel(name: str, fields: Any, xp: Any) -> Any:
    source = "month" if name == "month" else "day_of_year"
    check(source in fields, f"The channel '{name}' needs `{source}`, from the time of each sample.")
    if name == "month":
        return fields["month"]
    angle = fields["day_of_year"] * np.float32(2 * np.pi / 365.25)
    return xp.cos(angle) if name == "season_cos" else xp.sin(angle)
