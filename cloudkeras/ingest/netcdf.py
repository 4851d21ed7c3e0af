"""Reads variables out of granules and says what is wrong with a bad one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np

from ..datasets.shards import NETCDF_LOCK
from ..errors import DataError
from .record import check_plausible

_DECIBEL_UNITS = ("dbz", "dbze", "10log10(mm6m-3)")
_LINEAR_UNITS = ("mm6m-3", "mm6m3")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@contextmanager
def open_granule(path: str | Path) -> Iterator[netCDF4.Dataset]:
    """Opens a NetCDF file for reading, alone in this process (netCDF4 is not thread-safe).

    Raises:
        DataError: If the file is missing, truncated or no NetCDF file.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise DataError(path, expected="a NetCDF file", found=found, remedy="Check the path.")
    with NETCDF_LOCK:
        try:
            dataset = netCDF4.Dataset(path)
        except (OSError, RuntimeError) as error:
            raise DataError(
                path, expected="a NetCDF file", found=f"{path.stat().st_size} bytes that do not open as one ({error})"
            ) from error
        try:
            yield dataset
        finally:
            dataset.close()


def read_variable(
    dataset: netCDF4.Dataset,
    name: str,
    *,
    units: Sequence[str] | None = None,
    dims: Sequence[str] | None = None,
) -> np.ndarray:
    """A whole variable as float64, NaN where it is missing.

    Args:
        dataset: An open file.
        name: The variable.
        units: The unit strings that mean the unit expected; None does not look.
        dims: The dimensions expected; None does not look.

    Raises:
        DataError: If the variable is absent, has another unit or other dimensions, or cannot be read.
    """
    path = dataset.filepath()
    if name not in dataset.variables:
        present = ", ".join(sorted(dataset.variables)) or "none"
        raise DataError(path, variable=name, expected="the variable", found=f"the variables {present}")
    variable = dataset.variables[name]
    if units is not None and getattr(variable, "units", None) not in units:
        raise DataError(
            path,
            variable=name,
            expected=f"units '{units[0]}'",
            found=f"units {getattr(variable, 'units', None)!r}",
            remedy="Convert the variable and its `units` attribute.",
        )
    if dims is not None and variable.dimensions != tuple(dims):
        raise DataError(path, variable=name, expected=f"dimensions {tuple(dims)}", found=f"{variable.dimensions}")
    try:
        values = variable[...]
    except (OSError, RuntimeError) as error:
        raise DataError(path, variable=name, expected="readable values", found=f"a read error ({error})") from error
    return np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)


def read_reflectivity(dataset: netCDF4.Dataset, name: str, dims: Sequence[str]) -> np.ndarray:
    """Reflectivity in dBZ as float64, NaN where masked, converted if the file has it in mm6 m-3 (-inf for 0).

    Raises:
        DataError: If the unit is another one, or the values cannot be in that unit.
    """
    path = dataset.filepath()
    values = read_variable(dataset, name, dims=dims)
    unit = re.sub(r"[\s^*/]", "", str(getattr(dataset.variables[name], "units", ""))).lower()
    if unit in _LINEAR_UNITS:
        if (values < 0).any():
            raise DataError(path, variable=name, expected="0 mm6 m-3 or more", found=f"{np.nanmin(values):g}")
        with np.errstate(divide="ignore"):
            values = 10 * np.log10(values)
    elif unit not in _DECIBEL_UNITS:
        raise DataError(
            path,
            variable=name,
            expected="units 'dBZ' or 'mm6 m-3'",
            found=f"units {getattr(dataset.variables[name], 'units', None)!r}",
            remedy="Set the attribute `units` to what the values are in.",
        )
    check_plausible(path, name, values)
    return values


def read_constant(dataset: netCDF4.Dataset, names: Sequence[str], profiles: int) -> float | np.ndarray | None:
    """The number in the first of `names` that is there, whatever its dimensions; None if none is.

    Some files repeat a site's position along a dimension. Values that differ along the profiles (a ship's) come as
    (profile,).

    Args:
        dataset: An open file.
        names: Names of one quantity in different files.
        profiles: How many the file has.

    Raises:
        DataError: If the values differ otherwise, or none is finite.
    """
    name = next((n for n in names if n in dataset.variables), None)
    if name is None:
        return None
    values = read_variable(dataset, name)
    known = values[np.isfinite(values)]
    if known.size and np.ptp(known) <= 1e-6 * max(1.0, float(np.abs(known).max())):
        return float(known.ravel()[0])
    if values.shape == (profiles,) and known.size == profiles:
        return values
    raise DataError(
        dataset.filepath(),
        variable=name,
        expected="one number, or one a profile",
        found=f"{known.size} numbers that differ in shape {values.shape}" if known.size else "missing values alone",
    )


def read_times(dataset: netCDF4.Dataset, name: str = "time", *, ordered: bool = True, least: int = 2) -> np.ndarray:
    """A time coordinate in seconds since 1970-01-01 UTC, strictly increasing unless `ordered` is false.

    Understands "hours since 2021-01-04 ..." (UTC) and, as older Cloudnet files have it, "decimal hours since midnight"
    with the day in the global attributes `year`, `month`, `day`.

    Raises:
        DataError: If the unit is another one, a time is missing, or times repeat or go back.
    """
    path = dataset.filepath()
    values = read_variable(dataset, name)
    unit, epoch = _time_unit(dataset, name)
    if values.ndim != 1 or values.size < least:
        count = "two times" if least == 2 else "one time"
        raise DataError(path, variable=name, expected=f"{count} or more along one dimension", found=f"{values.shape}")
    if not np.isfinite(values).all():
        raise DataError(path, variable=name, expected="no missing time", found=f"{np.isnan(values).sum()} missing")
    back = np.flatnonzero(np.diff(values) <= 0)
    if ordered and back.size:
        i = int(back[0])
        raise DataError(
            path,
            variable=name,
            expected="times that increase",
            found=f"{values[i]:g} followed by {values[i + 1]:g} at index {i} ({back.size} such steps)",
            remedy="Sort the record by time and drop repeated profiles.",
        )
    return epoch + values * unit


def _time_unit(dataset: netCDF4.Dataset, name: str) -> tuple[float, float]:
    """Seconds per unit, and the reference time in seconds since 1970-01-01 UTC."""
    text = str(getattr(dataset.variables[name], "units", ""))
    since = re.match(
        r"\s*(day|hour|minute|second)s?\s+since\s+(\d+)-(\d+)-(\d+)(?:[T ]+(\d+):(\d+)(?::(\d+))?(\.\d+)?)?", text
    )
    if since and not re.search(r"[+-](?!0+:?0*\s*$)\d+:?\d*\s*$", text[since.end() :]):
        year, month, day, hour, minute, second = (int(part or 0) for part in since.groups()[1:7])
        epoch = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
        return _SECONDS[since.group(1)], epoch + float(since.group(8) or 0)
    if text == "decimal hours since midnight" and all(hasattr(dataset, part) for part in ("year", "month", "day")):
        date = datetime(int(dataset.year), int(dataset.month), int(dataset.day), tzinfo=UTC)
        return _SECONDS["hour"], date.timestamp()
    raise DataError(
        dataset.filepath(), variable=name, expected="units 'hours since YYYY-MM-DD 00:00:00' (UTC)", found=repr(text)
    )
