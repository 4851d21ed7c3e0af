"""ERA5 on pressure levels over a site: NetCDF as the Climate Data Store gives it, in old and new form, or GRIB.

| in the files | use |
|---|---|
| `t`, `q`, `u`, `v` on (time or valid_time, level or pressure_level, latitude, longitude) | fields |
| `z` on pressure levels, m2 s-2 | height above ground, `(z - z_surface) / 9.80665` |
| `z` on single levels | `z_surface`, the model's orography; without it the altitude of the site, times 9.80665 |
| `t2m` on single levels | near-surface temperature; without it that of the lowest level above ground |
| levels below the ground, which ERA5 makes up | left out |
| `expver` (final and preliminary data side by side) | the one that is not missing |
| `number` (members of the ensemble) | the first, the control |

Fields of one kind may be spread over files, or times over files. Between grid points: bilinear, or the nearest.
Differences between geopotential and geometric height (0.16 % at 10 km) are neglected. Model levels are refused: their
heights need the coefficients of the hybrid coordinate, which the Climate Data Store leaves out of NetCDF.

Source: Hersbach et al. 2020, Q. J. R. Meteorol. Soc. 146, 1999-2049; doi:10.24381/cds.bd0915c6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..datasets.shards import NETCDF_LOCK
from ..errors import DataError, InputError, check_choice
from .netcdf import open_granule, read_times, read_variable

GRAVITY = 9.80665

_TIME = ("valid_time", "time")
_LEVEL = ("pressure_level", "level", "isobaricInhPa")
_MODEL_LEVEL = ("model_level", "hybrid")
_UNITS = {
    "t": ("K",),
    "q": ("kg kg**-1", "kg kg-1", "1"),
    "u": ("m s**-1", "m s-1"),
    "v": ("m s**-1", "m s-1"),
    "z": ("m**2 s**-2", "m2 s-2"),
    "t2m": ("K",),
}
_PRESSURE_UNITS = {"hPa": 1.0, "millibars": 1.0, "mbar": 1.0, "Pa": 0.01}


@dataclass
class _Group:
    """Fields at the site that share times and levels: (time, level); `levels` is empty for single levels."""

    files: list[str]
    time: np.ndarray
    levels: np.ndarray
    fields: dict[str, np.ndarray] = field(default_factory=dict)


def is_gridded(path: str | Path) -> bool:
    """Whether a file holds fields on a grid of latitudes and longitudes rather than a column."""
    if _is_grib(path):
        return True
    with open_granule(path) as dataset:
        return {"latitude", "longitude"} <= set(dataset.dimensions)


def _is_grib(path: str | Path) -> bool:
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"GRIB"


def read_era5(
    files: Sequence[str | Path],
    site: tuple[float, float] | None,
    altitude_m: float | None,
    names: Sequence[str],
    interpolation: str = "bilinear",
) -> list[tuple[tuple[str, ...], np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Columns at a site, one entry for each set of times in the files.

    Args:
        files: Pressure levels, and single levels if need be; see the module's table.
        site: Latitude and longitude in degrees.
        altitude_m: Of the site, for files without surface geopotential.
        names: Of the fields wanted: "t", "q", "u", "v".
        interpolation: "bilinear" or "nearest".

    Returns:
        Files, time (time,) s since 1970, height (time, level) m above ground with NaN below it, fields by name
        (time, level), temperature near the surface (time,).

    Raises:
        InputError: If the site is not given, or cfgrib is not installed.
        DataError: If a field is missing, the grid does not hold the site, or the surface's height is not known.
    """
    check_choice(interpolation, ("bilinear", "nearest"), "interpolation")
    if site is None:
        raise InputError(f"{files[0]}: fields on a grid need the site. Give `latitude` and `longitude`.")
    groups: dict[tuple[bytes, bytes], _Group] = {}
    wanted = (*names, "z", "t2m")
    for path in files:
        read = _read_grib if _is_grib(path) else _read_netcdf
        for part in read(str(path), site, wanted, interpolation):
            group = groups.setdefault((part.time.tobytes(), part.levels.tobytes()), _Group([], part.time, part.levels))
            group.files.append(str(path))
            group.fields.update(part.fields)
    columns = [group for group in groups.values() if group.levels.size]
    single = [group for group in groups.values() if not group.levels.size]
    all_files = ", ".join(map(str, files))
    if not columns:
        raise DataError(all_files, expected="fields on pressure levels", found="none", remedy="Add their file.")
    surface = _surface_geopotential(all_files, single, altitude_m)
    return [_column(group, surface, single, names) for group in columns]


def _surface_geopotential(files: str, single: Sequence[_Group], altitude_m: float | None) -> float:
    for group in single:
        if "z" in group.fields:
            return float(group.fields["z"].ravel()[0])
    if altitude_m is None or not np.isfinite(altitude_m):
        raise DataError(
            files,
            variable="z",
            expected="geopotential of the surface (single levels), or the altitude of the site",
            found="neither",
            remedy="Add the file of single levels with `z`, or give the altitude.",
        )
    return GRAVITY * altitude_m


def _column(group: _Group, surface: float, single: Sequence[_Group], names: Sequence[str]):
    missing = [name for name in (*names, "z") if name not in group.fields]
    if missing:
        raise DataError(
            ", ".join(group.files),
            variable=missing[0],
            expected=f"the fields {', '.join((*names, 'z'))} on pressure levels",
            found=f"{', '.join(sorted(group.fields)) or 'none'}, without {', '.join(missing)}",
            remedy="Request all of them for the same times and levels.",
        )
    order = np.argsort(-group.levels, kind="stable")  # from the ground up
    height = (group.fields["z"][:, order] - surface) / GRAVITY
    above = height > 0
    fields = {name: np.where(above, group.fields[name][:, order], np.nan) for name in names}
    near = np.full(len(group.time), np.nan)
    if "t" in fields:
        lowest = above.argmax(axis=1)
        near = np.where(above.any(axis=1), fields["t"][np.arange(len(lowest)), lowest], np.nan)
    for other in single:
        if "t2m" in other.fields:
            known, at = np.isin(group.time, other.time), np.searchsorted(other.time, group.time)
            near = np.where(known, other.fields["t2m"][at.clip(0, len(other.time) - 1), 0], near)
    return tuple(dict.fromkeys(group.files)), group.time, np.where(above, height, np.nan), fields, near


def _read_netcdf(path: str, site: tuple[float, float], wanted: Sequence[str], interpolation: str) -> list[_Group]:
    with open_granule(path) as dataset:
        _refuse_model_levels(path, dataset.dimensions)
        time_name = next((name for name in _TIME if name in dataset.dimensions), None)
        if time_name is None:
            raise DataError(
                path,
                expected=f"a dimension {' or '.join(_TIME)}",
                found=f"the dimensions {', '.join(dataset.dimensions)}",
            )
        time = read_times(dataset, time_name, least=1)
        level_name = next((name for name in _LEVEL if name in dataset.dimensions), None)
        levels = _levels(dataset, level_name) if level_name else np.empty(0)
        grid = (read_variable(dataset, "latitude"), read_variable(dataset, "longitude"))
        corners = _corners(path, *grid, site, interpolation)
        groups = [_Group([path], time, levels), _Group([path], time, np.empty(0))]
        for name in wanted:
            if name in dataset.variables:
                on_levels = level_name is not None and level_name in dataset.variables[name].dimensions
                values = _at_site(dataset, name, (time_name, level_name or ""), corners)
                groups[0 if on_levels else 1].fields[name] = values
    return [group for group in groups if group.fields or group.levels.size]


def _levels(dataset: netCDF4.Dataset, name: str) -> np.ndarray:
    values = read_variable(dataset, name, units=tuple(_PRESSURE_UNITS), dims=(name,))
    return values * _PRESSURE_UNITS[dataset.variables[name].units]


def _at_site(
    dataset: netCDF4.Dataset, name: str, dims: tuple[str, str], corners: Sequence[tuple[int, int, float]]
) -> np.ndarray:
    """A field at the site: (time, level), or (time, 1) for single levels."""
    variable, path = dataset.variables[name], dataset.filepath()
    unit = getattr(variable, "units", None)
    if unit not in _UNITS[name]:
        raise DataError(path, variable=name, expected=f"units '{_UNITS[name][0]}'", found=f"units {unit!r}")
    total: Any = 0.0
    for i, j, weight in corners:
        at = {"latitude": i, "longitude": j, "number": 0}
        values = variable[tuple(at.get(d, slice(None)) for d in variable.dimensions)]
        values = np.ma.filled(np.ma.asarray(values, np.float64), np.nan)
        left = [d for d in variable.dimensions if d not in at]
        if "expver" in left:  # preliminary and final data, one of them missing at each time
            axis = left.index("expver")
            first, *others = np.moveaxis(values, axis, 0)
            for other in others:
                first = np.where(np.isnan(first), other, first)
            values = first
            left.remove("expver")
        order = [d for d in dims if d in left]
        if sorted(order) != sorted(left):
            raise DataError(path, variable=name, expected=f"dimensions {dims} and the grid", found=f"{left}")
        values = values.transpose([left.index(d) for d in order])
        total = total + weight * values
    if not order or order[0] != dims[0]:  # a static field
        total = np.broadcast_to(total, (dataset.dimensions[dims[0]].size, *total.shape))
    return total if total.ndim == 2 else total[:, None]


def _read_grib(path: str, site: tuple[float, float], wanted: Sequence[str], interpolation: str) -> list[_Group]:
    try:
        import cfgrib  # noqa: F401
        import xarray
    except ImportError as error:
        raise InputError(f"{path}: GRIB files need cfgrib. Install it: pip install 'cloudkeras[ingest]'.") from error
    groups = []
    kinds = [(name, name, "isobaricInhPa") for name in wanted if name != "t2m"]
    for name, short, kind in (*kinds, ("z", "z", "surface"), ("t2m", "2t", "heightAboveGround")):
        options = {"indexpath": "", "filter_by_keys": {"shortName": short, "typeOfLevel": kind}}
        with NETCDF_LOCK, xarray.open_dataset(path, engine="cfgrib", backend_kwargs=options) as dataset:
            if not dataset.data_vars:
                continue
            array = dataset[next(iter(dataset.data_vars))]
            array = array.isel(number=0) if "number" in array.dims else array
            dims = ("time", "isobaricInhPa") if kind == "isobaricInhPa" else ("time",)
            for axis in dims:
                array = array if axis in array.dims else array.expand_dims(axis)
            corners = _corners(path, array.latitude.values, array.longitude.values, site, interpolation)
            array = array.transpose(*dims, "latitude", "longitude")
            levels = array.isobaricInhPa.values.astype(float) if len(dims) == 2 else np.empty(0)
            time = np.atleast_1d(array.valid_time.values).astype("datetime64[ns]").astype(np.int64) / 1e9
            values: Any = sum(w * array.values[..., i, j].astype(float) for i, j, w in corners)
        values = values if values.ndim == 2 else values[:, None]
        groups.append(_Group([path], time, levels, {name: values}))
    if not groups:
        raise DataError(
            path,
            expected=f"fields {', '.join(wanted)} on pressure levels",
            found="none of them",
            remedy="Model levels are not read.",
        )
    return groups


def _refuse_model_levels(path: str, dimensions: Any) -> None:
    if name := next((name for name in _MODEL_LEVEL if name in dimensions), None):
        raise DataError(
            path,
            variable=name,
            expected="pressure levels",
            found="model levels",
            remedy="Request ERA5 on pressure levels: heights of model levels need coefficients that are not in there.",
        )


def _corners(
    path: str, latitude: np.ndarray, longitude: np.ndarray, site: tuple[float, float], interpolation: str
) -> list[tuple[int, int, float]]:
    """Grid points around the site as (row, column, weight); weights sum to 1.

    Raises:
        DataError: If the site lies off the grid by more than half a step.
    """
    rows = _bracket(latitude, site[0])
    east = np.mod(longitude - longitude[0], 360.0)
    target = np.mod(site[1] - longitude[0], 360.0)
    step = float(np.median(np.diff(east))) if east.size > 1 else 0.0
    if east.size > 1 and east[-1] + step > 360 - 1e-6:  # around the globe
        columns = [(i % east.size, w) for i, w in _bracket(np.append(east, 360.0), target) or []]
    else:
        margin = step / 2 if step else _LONE_POINT_DEGREES
        columns = _bracket(east, target - 360.0 if target > 360 - margin else target) or []
    if not rows or not columns:
        raise DataError(
            path,
            variable="latitude, longitude",
            expected=f"a grid that holds {site[0]:g} N, {site[1]:g} E",
            found=f"{latitude.min():g} to {latitude.max():g} N, {longitude.min():g} to {longitude.max():g} E",
            remedy="Request an area around the site.",
        )
    if interpolation == "nearest":
        return [(max(rows, key=lambda p: p[1])[0], max(columns, key=lambda p: p[1])[0], 1.0)]
    return [(i, j, v * w) for i, v in rows for j, w in columns if v * w > 0]


_LONE_POINT_DEGREES = 0.25


def _bracket(axis: np.ndarray, target: float) -> list[tuple[int, float]] | None:
    """Neighbours of the target on a monotonic axis with their weights; None if it is off by more than half a step."""
    order = np.argsort(axis, kind="stable")
    points = axis[order]
    margin = float(np.median(np.diff(points))) / 2 if points.size > 1 else _LONE_POINT_DEGREES
    if not points[0] - margin - 1e-9 <= target <= points[-1] + margin + 1e-9:
        return None
    target = min(max(target, points[0]), points[-1])
    after = int(np.clip(np.searchsorted(points, target), 1, max(points.size - 1, 1)))
    if points.size == 1:
        return [(0, 1.0)]
    weight = float((target - points[after - 1]) / (points[after] - points[after - 1]))
    return [(int(order[after - 1]), 1 - weight), (int(order[after]), weight)]
