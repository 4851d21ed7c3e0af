"""A day of the benchmark as a scene file, which `cloudkeras predict` reads window by window."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from .._version import __version__
from ..datasets.manifest import MANIFEST_NAME
from ..datasets.packing import pack
from ..datasets.schema import CONVENTIONS, SCHEMA_VERSION, Variable
from ..datasets.shards import NETCDF_LOCK, new_file, variable_attributes
from ..errors import DataError, check
from ..tasks import get_task
from .meltwater import OBSERVED_SOURCE, SIMULATED_SOURCE
from .meltwater_days import BenchmarkDays, grid_coordinates
from .meltwater_splits import day_seconds

_CHUNK = 256


def training_days(dataset: str | Path) -> list[datetime.date]:
    """The training days of a folder of shards, from its manifest: the SAR images that a prediction may see.

    Raises:
        DataError: If the folder holds no shards of the benchmark.
    """
    path = Path(dataset) / MANIFEST_NAME
    try:
        days = json.loads(path.read_text())["provenance"]["train_days"]
        return [datetime.date.fromisoformat(day) for day in days]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            path,
            expected="the manifest of shards made by `cloudkeras ingest meltwaterbench`",
            found=f"none that names training days ({type(error).__name__})",
        ) from None


def predictable_days(days: BenchmarkDays) -> Iterator[datetime.date]:
    """Days with PMW and MAR in order, whether or not SAR saw them: those that can be mapped."""
    yield from sorted(set(days.layout.days("pmw")) & set(days.layout.days("mar")))


def write_scene_file(
    days: BenchmarkDays | str | Path,
    day: datetime.date,
    path: str | Path,
    *,
    train_days: Iterable[datetime.date] | None = None,
) -> Path:
    """Writes a day on the full grid: the variables of `meltwater` without the sample dimension, chunked for windows.

    Where SAR saw the day it is written as `melt_fraction`, for comparison; networks do not read it.

    Args:
        days: The benchmark: its folder, or an open `BenchmarkDays` (cheaper for a season: days in order).
        day: The date; PMW and MAR must be there.
        path: The file; it appears when it is complete.
        train_days: Days whose SAR images make `sar_mean` and `sar_previous`; see `training_days`. Needed with a folder,
            and refused with `BenchmarkDays`, which has its own.

    Returns:
        The path.

    Raises:
        DataError: If a raster of the day is missing or wrong.
    """
    if isinstance(days, BenchmarkDays):
        check(train_days is None, "`train_days` goes with a folder; `BenchmarkDays` has its own.")
    else:
        check(train_days is not None, "`train_days` are needed with a folder; see `training_days`.", folder=str(days))
        days = BenchmarkDays(days, train_days=train_days or ())
    check(path not in ("", Path()), "`path` names a file.", path=str(path))
    fields = {**days.fields(day, target=days.layout.file("sar", day).is_file()), **days.static()}
    coordinates = {**grid_coordinates(days.grid), "time": _time(day)}
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts(_attributes(days, day))
        for name, size in zip(("y", "x"), days.grid.shape, strict=True):
            file.createDimension(name, size)
        for name, (dims, values, attributes) in coordinates.items():
            coordinate = file.createVariable(name, np.asarray(values).dtype, dims)
            coordinate.setncatts(attributes)
            coordinate[...] = values
        for variable in get_task("meltwater").variables():
            if variable.name in fields:
                _write(file, variable, fields[variable.name])
    return Path(path)


def _time(day: datetime.date) -> tuple[tuple[str, ...], np.ndarray, dict[str, Any]]:
    attributes = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "standard", "standard_name": "time"}
    return (), np.asarray(day_seconds(day), np.float64), attributes


def _write(file: netCDF4.Dataset, variable: Variable, values: np.ndarray) -> None:
    fill = variable.packing.fill
    stored = file.createVariable(
        variable.name,
        variable.packing.dtype,
        ("y", "x"),
        fill_value=False if fill is None else fill,
        compression="zlib",
        complevel=1,
        chunksizes=tuple(min(size, _CHUNK) for size in values.shape),
    )
    stored.set_auto_maskandscale(False)
    stored.setncatts(variable_attributes(variable))
    stored.grid_mapping = "crs"
    stored.coordinates = "time"
    stored[...] = pack(variable, values)


def _attributes(days: BenchmarkDays, day: datetime.date) -> dict[str, Any]:
    simulated = days.simulated()
    return {
        "Conventions": CONVENTIONS,
        "title": f"Inputs of meltwater mapping on {day.isoformat()}" + (" (simulated)" if simulated else ""),
        "source": SIMULATED_SOURCE if simulated else OBSERVED_SOURCE,
        "history": f"{datetime.datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} written by cloudkeras {__version__}",
        "cloudkeras_task": "meltwater",
        "cloudkeras_schema_version": np.int32(SCHEMA_VERSION),
        "simulated": "true" if simulated else "false",
        "granule": day.isoformat(),
        "training_days": np.int32(len(days.train_days)),
    }
