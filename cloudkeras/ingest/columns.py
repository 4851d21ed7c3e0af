"""Hourly model columns over a site, merged from forecasts and interpolated to a radar's profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, check
from .netcdf import open_granule, read_times, read_variable

# The task's names, the files' names, and the units they come in.
_MODEL_VARIABLES = {
    "temperature": ("temperature", ("K",)),
    "specific_humidity": ("q", ("1", "kg kg-1", "kg kg**-1")),
    "eastward_wind": ("uwind", ("m s-1", "m s**-1")),
    "northward_wind": ("vwind", ("m s-1", "m s**-1")),
}
MAX_MODEL_STEP_S = 6 * 3600.0


@dataclass(frozen=True)
class ModelColumns:
    """Columns of a model over one site.

    Attributes:
        files: Where they come from.
        time: (time,) s since 1970-01-01 UTC, increasing.
        lead_hours: (time,) hours since the forecast began; NaN if the file does not say.
        height: (time, level) m above ground, increasing along the level, NaN beyond a column's last level.
        fields: By the task's names (temperature in K, specific_humidity in kg/kg, winds in m/s): (time, level).
    """

    files: tuple[str, ...]
    time: np.ndarray
    lead_hours: np.ndarray
    height: np.ndarray
    fields: dict[str, np.ndarray]

    def interpolate(
        self, time: np.ndarray, height: np.ndarray, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Linear interpolation, first in height at each model time, then in time, to each profile's own time stamp.

        Nothing is extrapolated: below the lowest model level (10 m) its value is held, above the highest the result is
        NaN. By its time stamp, a profile never drifts from the model's hours (references: ERA5 hours repeated 896
        columns instead of 900).

        Args:
            time: (profile,) s since 1970-01-01 UTC.
            height: (height,) m above ground.
            names: Which fields; None for all.

        Returns:
            By name: (height, profile), float32.

        Raises:
            DataError: If the columns do not cover the times, or lie more than six hours apart around one of them.
        """
        self._check_coverage(time)
        after = np.clip(np.searchsorted(self.time, time, side="right"), 1, len(self.time) - 1)
        before = after - 1
        weight = np.clip((time - self.time[before]) / (self.time[after] - self.time[before]), 0.0, 1.0)
        result = {}
        for name in self.fields if names is None else names:
            table = np.stack(
                [_at_heights(height, h, v) for h, v in zip(self.height, self.fields[name], strict=True)], axis=1
            )
            result[name] = (table[:, before] * (1 - weight) + table[:, after] * weight).astype(np.float32)
        return result

    def _check_coverage(self, time: np.ndarray) -> None:
        files = ", ".join(self.files)
        if time.min() < self.time[0] or time.max() > self.time[-1]:
            raise DataError(
                files,
                variable="time",
                expected=f"model columns that cover the radar's {_utc(time.min())} to {_utc(time.max())}",
                found=f"columns from {_utc(self.time[0])} to {_utc(self.time[-1])}",
                remedy="Add the model file of that day.",
            )
        after = np.clip(np.searchsorted(self.time, time, side="right"), 1, len(self.time) - 1)
        step = self.time[after] - self.time[after - 1]
        if step.max() > MAX_MODEL_STEP_S:
            i = int(after[step.argmax()])
            raise DataError(
                files,
                variable="time",
                expected=f"model columns at most {MAX_MODEL_STEP_S / 3600:g} hours apart",
                found=f"none between {_utc(self.time[i - 1])} and {_utc(self.time[i])}",
                remedy="Add the model file that holds them.",
            )


def read_model_columns(files: Sequence[str | Path]) -> ModelColumns:
    """Reads Cloudnet model files and keeps, for each valid time, the column with the shortest lead time.

    Cloudnet cuts a forecast into files by lead time (e.g. ICON 12-23, 24-35, 36-47 hours), each of which covers the
    day with more than one run. The shortest lead is nearest to the analysis; where it changes run (23 h back to 12 h
    at noon) the interpolation in time goes from one run to the next within that hour. Of equal leads, the first file
    named wins.

    Args:
        files: Files with `time`, `height` (m above ground), `temperature`, `q`, `uwind`, `vwind` on (time, level).

    Raises:
        InputError: If no file is given.
        DataError: If a file is not of that kind.
    """
    check(len(files) > 0, "`model_files` needs at least one file of model columns.", model_files=tuple(map(str, files)))
    parts = [_read_one(path) for path in files]
    levels = max(part.height.shape[1] for part in parts)
    time = np.concatenate([part.time for part in parts])
    lead = np.concatenate([part.lead_hours for part in parts])
    # By time, then by lead (a lead that is not known counts as the longest); lexsort is stable in the order of files.
    order = np.lexsort((np.where(np.isnan(lead), np.inf, lead), time))
    order = order[np.concatenate([[True], np.diff(time[order]) > 0])]
    height = np.concatenate([_pad(part.height, levels) for part in parts])[order]
    fields = {
        name: np.concatenate([_pad(part.fields[name], levels) for part in parts])[order] for name in _MODEL_VARIABLES
    }
    return ModelColumns(tuple(str(path) for path in files), time[order], lead[order], height, fields)


def _read_one(path: str | Path) -> ModelColumns:
    with open_granule(path) as dataset:
        time = read_times(dataset)
        height = read_variable(dataset, "height", units=("m",), dims=("time", "level"))
        fields = {
            name: read_variable(dataset, theirs, units=units, dims=("time", "level"))
            for name, (theirs, units) in _MODEL_VARIABLES.items()
        }
        lead = np.full(time.shape, np.nan)
        if "forecast_time" in dataset.variables:
            lead = read_variable(dataset, "forecast_time", units=("hours",), dims=("time",))
    if height.shape[1] > 1 and (height[:, 0] > height[:, -1]).all():
        height, fields = height[:, ::-1], {name: values[:, ::-1] for name, values in fields.items()}
    if not (np.isfinite(height).all() and (np.diff(height, axis=1) > 0).all()):
        raise DataError(
            path,
            variable="height",
            expected="heights that increase (or decrease) along the level in every column, none missing",
            found="heights that do not",
        )
    return ModelColumns((str(path),), time, lead, height, fields)


def _at_heights(target: np.ndarray, height: np.ndarray, values: np.ndarray) -> np.ndarray:
    known = np.isfinite(height) & np.isfinite(values)
    if not known.any():
        return np.full(target.shape, np.nan)
    return np.interp(target, height[known], values[known], right=np.nan)


def _pad(values: np.ndarray, levels: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, levels - values.shape[1])), constant_values=np.nan)


def _utc(seconds: float) -> str:
    return f"{np.datetime64(round(float(seconds)), 's')}Z"
