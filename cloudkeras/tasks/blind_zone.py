"""Filling the radar blind zone: the lowest 1.25 km of a cloud-radar curtain (King et al. 2024, AIES-D-23-0063)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..datasets.schema import ECHO_ABOVE_DBZ, NO_ECHO_DBZ, Packing, Variable
from ..errors import check
from .base import Fields, OutputRange, Task

# Physical range that is mapped to -0.5 .. 1 (King et al. 2024, code): 1.5 (x - min) / (max - min) - 0.5; no echo is -1.
RANGES = {
    "reflectivity": (-60.0, 30.0),
    "temperature": (180.0, 300.0),
    "specific_humidity": (5.7e-8, 0.0115),
    "eastward_wind": (-30.0, 30.0),
    "northward_wind": (-30.0, 30.0),
}
CONTEXT = ("temperature", "specific_humidity", "eastward_wind", "northward_wind")
HIDDEN = -1.0  # in the network's space: hidden, missing or no echo
SNOW_DBZ = -20.0  # an echo from there on is precipitation (King et al. 2024: shallow snowfall)
ECHO_THRESHOLD = -0.5  # in the network's space: a value above it is an echo, decoded above -60 dBZ

_DIMS = ("sample", "height", "profile")
_FILL = Packing("f4", fill=float(np.float32(9.96921e36)))
REFLECTIVITY = Variable(
    "reflectivity",
    _DIMS,
    "dBZ",
    (-60.0, 60.0),
    Packing("i2", 0.01, 0.0, -32768),
    "radar reflectivity, -60 where observed without echo",
    "equivalent_reflectivity_factor",
)
_CONTEXT_VARIABLES = (
    Variable("temperature", _DIMS, "K", (150.0, 330.0), _FILL, "air temperature", "air_temperature", required=False),
    Variable(
        "specific_humidity", _DIMS, "1", (0.0, 0.05), _FILL, "specific humidity", "specific_humidity", required=False
    ),
    Variable("eastward_wind", _DIMS, "m s-1", (-150.0, 150.0), _FILL, "eastward wind", "eastward_wind", required=False),
    Variable(
        "northward_wind", _DIMS, "m s-1", (-150.0, 150.0), _FILL, "northward wind", "northward_wind", required=False
    ),
)


def _scale(values: Any, name: str) -> Any:
    low, high = RANGES[name]
    return (values - low) * np.float32(1.5 / (high - low)) - np.float32(0.5)


def _chosen_context(context: Any) -> bool | tuple[str, ...]:
    """The option `context` in one form for each choice: True for all, False for none, else names in order."""
    if isinstance(context, (list, tuple)):
        check(
            all(name in CONTEXT for name in context) and len(set(context)) == len(context),
            f"`context` is true, false, or a list of different names out of {', '.join(CONTEXT)}.",
            context=context,
        )
        names = tuple(name for name in CONTEXT if name in context)
        return names if 0 < len(names) < len(CONTEXT) else bool(names)
    check(
        isinstance(context, (bool, np.bool_)),
        f"`context` is true, false, or a list of different names out of {', '.join(CONTEXT)}.",
        context=context,
    )
    return bool(context)


def _checked_range(value: Any, blind_rows: int) -> tuple[int, int]:
    check(
        isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(n, int) for n in value),
        "`train_blind_rows` is the fewest and the most rows hidden in training, or None.",
        train_blind_rows=value,
    )
    check(
        1 <= value[0] <= blind_rows <= value[1],
        "`train_blind_rows` counts at least 1 row and covers `blind_rows`, which validation and scores hide.",
        train_blind_rows=value,
        blind_rows=blind_rows,
    )
    return (value[0], value[1])


@dataclass(frozen=True)
class BlindZone(Task):
    """Reflectivity below the blind-zone top from what the radar sees above it.

    Rows are heights, the lowest first. The last channel of the input is the mask: 1 in the blind zone, then a linear
    ramp to 0. What is published (King et al. 2024 and its code) is kept but for two things, each with its reason:

    - The target covers the ramp as well as the blind zone. `decode` blends prediction and observation along the ramp,
      so a network that never saw a label there would put whatever it likes into rows that the radar saw. The truth
      that scores are made of is the blind zone alone.
    - Context (`context=True`) stays visible inside the blind zone, since a reanalysis knows the lowest kilometre as
      well as any other; `keep_context=False` hides it as published.

    Reflectivity that is missing is -1 in the input like "no echo", since the published network knows no third state; in
    the target it is NaN. Outside the mask `decode` gives back what was observed, clipped to -60..30 dBZ, with -60 for
    missing.

    Attributes:
        context: Which variables of a reanalysis are further channels: True for temperature, humidity and both winds,
            False for none, or names out of `CONTEXT` (kept in that order; all four are the same as True).
        blind_rows: Rows hidden, counted from the lowest (16 of 78.1 m: 1.25 km).
        train_blind_rows: Fewest and most rows hidden in training, drawn anew for each sample, so that one net serves
            instruments with other blind zones; outside training `blind_rows` are hidden, which lies among them. None
            hides `blind_rows` always. (Geiss & Hardin 2021 draw 0.2 to 2 km: 3 to 25 rows.)
        ramp_rows: Shortest and longest linear ramp of the mask above the blind zone in training, in rows; (0, 0) is a
            hard mask, 1 in the blind zone and 0 above it.
        evaluation_ramp_rows: Length of the ramp outside training; 0 is a hard mask.
        keep_context: Whether context channels stay visible inside the blind zone.
        shift_rows: In training, half of the samples are moved down by up to so many rows, the lowest of them dropped,
            so that the net also fills layers from higher up. For records too short to show clear air and cloud bases
            near the ground; what is special about the lowest kilometre is learned from the other half.
    """

    context: bool | tuple[str, ...] = False
    blind_rows: int = 16
    ramp_rows: tuple[int, int] = (1, 9)
    evaluation_ramp_rows: int = 8
    keep_context: bool = True
    shift_rows: int = 0
    train_blind_rows: tuple[int, int] | None = None

    name: ClassVar[str] = "blind_zone"
    kind: ClassVar[str] = "regression"
    input_options: ClassVar[frozenset[str]] = frozenset(
        {"context", "keep_context", "ramp_rows", "evaluation_ramp_rows", "shift_rows", "train_blind_rows"}
    )
    default_model: ClassVar[str] = "unet3plus"
    default_loss: ClassVar[str] = "masked_mae"
    row_dim: ClassVar[str] = "height"
    column_dim: ClassVar[str] = "profile"

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", _chosen_context(self.context))
        object.__setattr__(self, "ramp_rows", tuple(self.ramp_rows))
        check(self.blind_rows >= 1, "`blind_rows` counts at least 1 row.", blind_rows=self.blind_rows)
        check(
            len(self.ramp_rows) == 2 and 0 <= self.ramp_rows[0] <= self.ramp_rows[1],
            "`ramp_rows` is the shortest and the longest ramp, each 0 (a hard mask) or more.",
            ramp_rows=self.ramp_rows,
        )
        check(
            self.evaluation_ramp_rows >= 0,
            "`evaluation_ramp_rows` counts 0 rows or more.",
            evaluation_ramp_rows=self.evaluation_ramp_rows,
        )
        check(self.shift_rows >= 0, "`shift_rows` counts 0 rows or more.", shift_rows=self.shift_rows)
        if self.train_blind_rows is not None:
            object.__setattr__(self, "train_blind_rows", _checked_range(self.train_blind_rows, self.blind_rows))

    def serves(self, blind_rows: int) -> bool:
        """Whether a net trained for this task has learned to fill a blind zone of so many rows."""
        fewest, most = self.train_blind_rows or (self.blind_rows, self.blind_rows)
        return fewest <= blind_rows <= most

    def misfits(self, judge: Task) -> dict[str, tuple[Any, Any]]:
        """As the base class says; `blind_rows` may differ where training has covered that of the judge."""
        different = super().misfits(judge)
        if isinstance(judge, BlindZone) and self.serves(judge.blind_rows):
            different.pop("blind_rows", None)
        return different

    def context_names(self) -> tuple[str, ...]:
        """Names of the context channels, in their order."""
        return self.context if isinstance(self.context, tuple) else CONTEXT if self.context else ()

    def variables(self) -> tuple[Variable, ...]:
        return (REFLECTIVITY, *_CONTEXT_VARIABLES)

    def read_names(self) -> tuple[str, ...]:
        return ("reflectivity", *self.context_names())

    def channel_names(self) -> tuple[str, ...]:
        return (*self.read_names(), "blind_zone_mask")

    def builder_arguments(self) -> dict[str, Any]:
        return {"num_classes": 1}

    def physical_inputs(self) -> dict[str, tuple[str, ...]]:
        return {name: ("height", "profile") for name in self.channel_names()}

    def prepare(self, fields: Fields, rng: np.random.Generator | None = None) -> Fields:
        """Adds `blind_zone_mask` (image shape); with `rng`, draws ramp and top, flips in time and moves down."""
        fields = dict(fields)
        samples, rows, columns = fields["reflectivity"].shape
        check(
            self._most_rows(rng) < rows,
            "`blind_rows` must leave visible rows above it.",
            blind_rows=self._most_rows(rng),
            rows=rows,
        )
        tops = np.full(samples, self.blind_rows)
        if rng is None:
            ramps = np.full(samples, self.evaluation_ramp_rows)
        else:
            ramps = rng.integers(self.ramp_rows[0], self.ramp_rows[1] + 1, (samples,))
            if self.train_blind_rows is not None:
                tops = rng.integers(self.train_blind_rows[0], self.train_blind_rows[1] + 1, (samples,))
            flip = rng.random((samples, 1, 1)) < 0.5
            for name in self.read_names():
                if name in fields:
                    fields[name] = np.where(flip, fields[name][:, :, ::-1], fields[name])
            self._move_down(fields, rng)
        mask = self.mask_rows(rows, ramps, tops)
        fields["blind_zone_mask"] = np.repeat(mask[:, :, None], columns, axis=2)
        return fields

    def _most_rows(self, rng: np.random.Generator | None) -> int:
        """The most rows that `prepare` may hide."""
        return self.blind_rows if rng is None or self.train_blind_rows is None else self.train_blind_rows[1]

    def _move_down(self, fields: Fields, rng: np.random.Generator) -> None:
        """Moves half of the samples down by random numbers of rows, in place; what comes in at the top is missing."""
        samples, rows, _ = fields["reflectivity"].shape
        check(
            self.shift_rows <= rows - self._most_rows(rng),
            "`shift_rows` must leave the blind zone inside the image.",
            shift_rows=self.shift_rows,
            rows=rows,
        )
        if not self.shift_rows:
            return
        shifts = np.where(rng.random(samples) < 0.5, rng.integers(1, self.shift_rows + 1, (samples,)), 0)
        for name in self.read_names():
            moved = np.full_like(fields[name], np.nan)
            for i, shift in enumerate(shifts):
                moved[i, : rows - shift] = fields[name][i, shift:]
            fields[name] = moved

    def mask_rows(self, rows: int, ramps: np.ndarray, tops: np.ndarray | None = None) -> np.ndarray:
        """The mask by row: 1 in the blind zone, k/(ramp+1) for k = ramp, ..., 1 in the ramp above it, 0 from there on.

        Args:
            rows: Rows of the image.
            ramps: (batch,) rows of the ramp; 0 for a hard mask.
            tops: (batch,) rows of the blind zone; `blind_rows` if None.

        Returns:
            (batch, rows), float32.
        """
        ramps = np.asarray(ramps)[:, None]
        tops = np.full(ramps.shape, self.blind_rows) if tops is None else np.asarray(tops)[:, None]
        above = np.arange(rows) - (tops - 1)
        return np.clip(1 - above / (ramps + 1), 0, 1).astype(np.float32)

    def network_inputs(self, fields: Any, statistics: Any, xp: Any = np) -> Any:
        """Published scaling to -0.5..1; the blind zone (mask 1), missing values and "no echo" are -1.

        No value of the reflectivity in the blind zone has any influence on what is returned.
        """
        mask = fields["blind_zone_mask"]
        hidden = mask >= 1
        reflectivity = fields["reflectivity"]
        scaled = _scale(reflectivity, "reflectivity")
        filler = xp.full_like(scaled, HIDDEN)
        channels = [xp.where(hidden | xp.isnan(scaled) | (reflectivity <= ECHO_ABOVE_DBZ), filler, scaled)]
        for name in self.context_names():
            scaled = _scale(fields[name], name)
            missing = xp.isnan(scaled)
            channels.append(xp.where(missing if self.keep_context else missing | hidden, filler, scaled))
        return xp.stack([*channels, xp.ones_like(scaled) * mask], axis=-1)

    def fixed_scaling(self) -> dict[str, tuple[float, float]] | None:
        """The published ranges, as -0.5 to 1."""
        scaled = ("reflectivity", *self.context_names())
        steps = {name: (RANGES[name][1] - RANGES[name][0]) / 1.5 for name in scaled}
        return {name: (RANGES[name][0] + 0.5 * step, step) for name, step in steps.items()}

    def target(self, fields: Any) -> np.ndarray:
        """(batch, height, profile, 1): normalised, in blind zone and ramp; -1 without echo, NaN elsewhere."""
        reflectivity = fields["reflectivity"]
        scaled = np.where(reflectivity <= ECHO_ABOVE_DBZ, HIDDEN, _scale(reflectivity, "reflectivity"))
        return np.where(fields["blind_zone_mask"] > 0, scaled, np.nan).astype(np.float32)[..., None]

    def truth(self, fields: Any) -> np.ndarray:
        """(batch, height, profile): dBZ in the blind zone, -60 without echo, NaN elsewhere or where missing."""
        reflectivity = fields["reflectivity"]
        dbz = np.where(reflectivity <= ECHO_ABOVE_DBZ, NO_ECHO_DBZ, reflectivity)
        return np.where(fields["blind_zone_mask"] >= 1, dbz, np.nan).astype(np.float32)

    def presence(self, target: np.ndarray) -> np.ndarray:
        """(batch, 1): whether a sample's target holds any echo."""
        return np.any(target.reshape(len(target), -1) > ECHO_THRESHOLD, axis=1, keepdims=True).astype(np.float32)

    def decode(self, outputs: Any, inputs: Any, xp: Any = np) -> Any:
        """`mask * prediction + (1 - mask) * input` in dBZ, (batch, height, profile).

        Clipped to -60..30 dBZ. Network values at or below -0.5 decode to -60, "no echo": a net trained on an absolute
        error gives values between -1 (no echo) and echo, and that is where it has decided.
        """
        mask = inputs[..., -1]
        blended = mask * outputs[..., 0] + (1 - mask) * inputs[..., 0]
        low, high = RANGES["reflectivity"]
        return xp.clip((blended + 0.5) * ((high - low) / 1.5) + low, low, high)

    def encode(self, values: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """(batch, height, profile, 1): what `decode` blends to `values`; "no echo" is -1, 0 where the mask is 0."""
        mask = inputs[..., -1]
        scaled = np.where((values <= NO_ECHO_DBZ) & (mask >= 1), HIDDEN, _scale(values, "reflectivity"))
        network = (scaled - (1 - mask) * inputs[..., 0]) / np.where(mask > 0, mask, 1)
        return np.where(mask > 0, network, 0).astype(np.float32)[..., None]

    def output_range(self) -> OutputRange:
        low, high = RANGES["reflectivity"]
        events = (("echo", NO_ECHO_DBZ), ("precipitation", SNOW_DBZ))
        return OutputRange(low, high, "dBZ", NO_ECHO_DBZ, events)

    def calibration_factors(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """`visible_echo`: the lowest row above the blind zone shows echo; `depth`: quarter of it, 0 at its top."""
        inputs = np.asarray(inputs)
        hidden = inputs[..., -1] >= 1
        rows = hidden.sum(axis=1, keepdims=True)  # hidden rows of each profile, the lowest of the image
        first = np.minimum(rows, hidden.shape[1] - 1)
        echo = np.take_along_axis(inputs[..., 0], first, axis=1) > ECHO_THRESHOLD
        below_top = rows - 1 - np.arange(hidden.shape[1])[:, None]
        depth = np.where(hidden, 4 * below_top // np.maximum(rows, 1), 0)
        return {"visible_echo": np.broadcast_to(echo, hidden.shape).astype(np.int8), "depth": depth.astype(np.int8)}

    def filled(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(inputs)[..., -1] >= 1

    def output_name(self) -> str:
        return "reflectivity"
