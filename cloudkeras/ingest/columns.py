"""Hourly model columns over a site, merged from forecasts and interpolated to a radar's profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, check, check_choice
from .era5 import is_gridded, read_era5
from .netcdf import open_granule, read_constant, read_times, read_variable

# The task's names, the names in Cloudnet's files, the units they come in, and the names in ERA5.
_MODEL_VARIABLES = {
    "temperature": ("temperature", ("K",), "t"),
    "specific_humidity": ("q", ("1", "kg kg-1", "kg kg**-1"), "q"),
    "eastward_wind": ("uwind", ("m s-1", "m s**-1"), "u"),
    "northward_wind": ("vwind", ("m s-1", "m s**-1"), "v"),
}
CONTEXT = tuple(_MODEL_VARIABLES)
SITE_DEGREES = 1.0
_TWO_METRES = "sfc_temp_2m"
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
        near_surface: (time,) temperature at 2 m in K, at the lowest level where the file has none.
    """

    files: tuple[str, ...]
    time: np.ndarray
    lead_hours: np.ndarray
    height: np.ndarray
    fields: dict[str, np.ndarray]
    near_surface: np.ndarray

    def interpolate(
        self, time: np.ndarray, height: np.ndarray, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Linear interpolation, first in height at each model time, then in time, to each profile's own time stamp.

        Nothing is extrapolated: below the lowest model level (about 10 m; of pressure levels the lowest above ground)
        its value is held, above the highest the result is NaN. By its time stamp, a profile never drifts from the
        model's hours (references: ERA5 hours repeated 896 columns instead of 900).

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
        if len(self.time) < 2 or time.min() < self.time[0] or time.max() > self.time[-1]:
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


class ModelFiles:
    """Model files of any number of sites, read once for each site that is asked for.

    Args:
        files: As `read_model_columns` takes them.
        names: Fields that must be there.
        interpolation: "bilinear" or "nearest", between the points of gridded files.
    """

    def __init__(self, files: Sequence[str | Path], *, names: Sequence[str] = CONTEXT, interpolation: str = "bilinear"):
        self.files = tuple(files)
        self._options: dict[str, Any] = {"names": tuple(names), "interpolation": interpolation}
        self._known: dict[tuple[float, float], ModelColumns] = {}

    def at(self, latitude: float, longitude: float, altitude_m: float | None = None) -> ModelColumns:
        """Columns at a site; see `read_model_columns`.

        Args:
            latitude: Degrees north.
            longitude: Degrees east.
            altitude_m: Of the ground, m above mean sea level.
        """
        key = (round(latitude, 2), round(longitude, 2))
        if key not in self._known:
            self._known[key] = read_model_columns(
                self.files, latitude=latitude, longitude=longitude, altitude_m=altitude_m, **self._options
            )
        return self._known[key]

    def read(self) -> list[ModelColumns]:
        """The columns of all sites asked for so far."""
        return list(self._known.values())


def read_model_columns(
    files: Sequence[str | Path],
    *,
    latitude: float | None = None,
    longitude: float | None = None,
    altitude_m: float | None = None,
    names: Sequence[str] = CONTEXT,
    interpolation: str = "bilinear",
) -> ModelColumns:
    """Reads model files of any kind and keeps, for each valid time, the column with the shortest lead time.

    | file | columns |
    |---|---|
    | Cloudnet model file (ICON, ECMWF, ...) | as they are; `height` is above ground |
    | Cloudnet categorize file | the model's columns on `model_time`, `model_height` |
    | ERA5 on pressure levels, NetCDF or GRIB, and single levels | see `era5` |

    Cloudnet cuts a forecast into files by lead time (e.g. ICON 12-23, 24-35, 36-47 hours), each of which covers the
    day with more than one run. The shortest lead is nearest to the analysis; where it changes run (23 h back to 12 h
    at noon) the interpolation in time goes from one run to the next within that hour. Of equal leads, the first file
    named wins.

    Args:
        files: The files, in any order and of several sites.
        latitude: Of the site, degrees north. Gridded files need it; of files that hold one column those farther than
            a degree are passed over.
        longitude: Of the site, degrees east.
        altitude_m: Of the site, m above mean sea level; gridded files without surface geopotential need it.
        names: Fields that must be there, by the task's names; others are not read.
        interpolation: "bilinear" or "nearest", between the points of gridded files.

    Raises:
        InputError: If no file is given, or an option is wrong.
        DataError: If a file is not of that kind, or none is of the site.
    """
    check(len(files) > 0, "`model_files` needs at least one file of model columns.", model_files=tuple(map(str, files)))
    for name in names:
        check_choice(name, CONTEXT, "names")
    site = None if latitude is None or longitude is None else (latitude, longitude)
    gridded = [path for path in files if is_gridded(path)]
    parts = [ModelColumns((str(path),), *_read_one(path, names, site)) for path in files if path not in gridded]
    parts = [part for part in parts if part.time.size]
    if gridded:
        read = read_era5(gridded, site, altitude_m, [_MODEL_VARIABLES[name][2] for name in names], interpolation)
        for sources, time, height, fields, near_surface in read:
            renamed = {name: fields[_MODEL_VARIABLES[name][2]] for name in names}
            parts.append(ModelColumns(sources, time, np.zeros_like(time), height, renamed, near_surface))
    if not parts:
        raise DataError(
            ", ".join(map(str, files)),
            expected=f"a model column within {SITE_DEGREES:g} degree of {latitude:g} N, {longitude:g} E",
            found="none",
            remedy="Add the model file of that site.",
        )
    return _merged(parts)


def _merged(parts: Sequence[ModelColumns]) -> ModelColumns:
    """All parts in one, each time once: with the shortest lead."""
    levels = max(part.height.shape[1] for part in parts)
    time = np.concatenate([part.time for part in parts])
    lead = np.concatenate([part.lead_hours for part in parts])
    # By time, then by lead (a lead that is not known counts as the longest); lexsort is stable in the order of files.
    order = np.lexsort((np.where(np.isnan(lead), np.inf, lead), time))
    order = order[np.concatenate([[True], np.diff(time[order]) > 0])]
    height = np.concatenate([_pad(part.height, levels) for part in parts])[order]
    fields = {
        name: np.concatenate([_pad(part.fields[name], levels) for part in parts])[order] for name in parts[0].fields
    }
    files = tuple(dict.fromkeys(file for part in parts for file in part.files))
    near_surface = np.concatenate([part.near_surface for part in parts])[order]
    return ModelColumns(files, time[order], lead[order], height, fields, near_surface)


def _altitude(path: str | Path, dataset: Any) -> float:
    """Height of the site above sea level in m, which `model_height` is counted from."""
    altitude = read_constant(dataset, ("altitude",), 1)
    if altitude is None:
        raise DataError(
            path,
            variable="altitude",
            expected="the site's height above sea level, which `model_height` is counted from",
            found="no such variable",
            remedy="Take the model file of the site and day (--model).",
        )
    return float(np.mean(altitude))


def _read_one(path: str | Path, names: Sequence[str], site: tuple[float, float] | None):
    """Time, lead, height, fields and near-surface temperature of a file of columns; empty if of another site."""
    with open_granule(path) as dataset:
        own = [read_constant(dataset, (name,), 1) for name in ("latitude", "longitude")]
        if site is not None and None not in own and _far(site, (float(own[0]), float(own[1]))):  # type: ignore[arg-type]
            nothing = np.empty((0, 1))
            return nothing[:, 0], nothing[:, 0], nothing, {name: nothing for name in names}, nothing[:, 0]
        categorize = "model_height" in dataset.variables
        dims = ("model_time", "model_height") if categorize else ("time", "level")
        time = read_times(dataset, dims[0], least=1)
        if categorize:
            height = read_variable(dataset, "model_height", units=("m",), dims=dims[1:]) - _altitude(path, dataset)
            height = np.broadcast_to(height, (len(time), len(height)))
        else:
            height = read_variable(dataset, "height", units=("m",), dims=dims)
        fields = {
            name: read_variable(dataset, _MODEL_VARIABLES[name][0], units=_MODEL_VARIABLES[name][1], dims=dims)
            for name in names
        }
        lead = np.full(time.shape, np.nan)
        if "forecast_time" in dataset.variables:
            lead = read_variable(dataset, "forecast_time", units=("hours",), dims=("time",))
        near_surface = None
        if _TWO_METRES in dataset.variables:
            near_surface = read_variable(dataset, _TWO_METRES, units=("K",), dims=("time",))
    if height.shape[1] > 1 and (height[:, 0] > height[:, -1]).all():
        height, fields = height[:, ::-1], {name: values[:, ::-1] for name, values in fields.items()}
    if not (np.isfinite(height).all() and (np.diff(height, axis=1) > 0).all()):
        raise DataError(
            path,
            variable="height",
            expected="heights that increase (or decrease) along the level in every column, none missing",
            found="heights that do not",
        )
    if near_surface is None:
        near_surface = fields["temperature"][:, 0] if "temperature" in fields else np.full(time.shape, np.nan)
    return time, lead, height, fields, near_surface


def _far(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two places lie farther apart than a degree of latitude, along a meridian or a parallel."""
    east = (one[1] - other[1] + 180) % 360 - 180
    return max(abs(one[0] - other[0]), abs(east) * np.cos(np.radians(one[0]))) > SITE_DEGREES


def _at_heights(target: np.ndarray, height: np.ndarray, values: np.ndarray) -> np.ndarray:
    known = np.isfinite(height) & np.isfinite(values)
    if not known.any():
        return np.full(target.shape, np.nan)
    return np.interp(target, height[known], values[known], right=np.nan)


def _pad(values: np.ndarray, levels: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, levels - values.shape[1])), constant_values=np.nan)


def _utc(seconds: float) -> str:
    return f"{np.datetime64(round(float(seconds)), 's')}Z"
