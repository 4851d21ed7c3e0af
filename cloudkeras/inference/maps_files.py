"""Maps on disk: a cloud-optimised GeoTIFF a day, a CF NetCDF file a season."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..datasets.schema import CONVENTIONS
from ..datasets.shards import NETCDF_LOCK, new_file
from ..errors import DataError
from ..ingest.meltwater_days import grid_coordinates
from ..ingest.meltwater_rasters import Grid, import_rasterio
from ..ingest.meltwater_splits import day_seconds
from .maps_day import MISSING, STEP, DayMap, unpack_fraction

BLOCK = 256  # rows and columns of a block of a raster and of a chunk of a season's file
_TIME = "seconds since 1970-01-01 00:00:00"
_DAY_SECONDS = 86400.0


# ---- a day ---------------------------------------------------------------------------------------------------------


def write_day_raster(path: Path, day_map: DayMap, names: Sequence[str], grid: Grid, tags: Mapping[str, str]) -> Path:
    """Writes a day as a cloud-optimised GeoTIFF: int16 with scale, nodata, 256 x 256 blocks, overviews (means).

    Args:
        path: The file; it appears when it is complete.
        day_map: The first band, and with several members the second.
        names: A description for each band.
        grid: The grid.
        tags: Provenance, as metadata of the file.
    """
    rasterio = import_rasterio()
    bands = day_map.bands
    with (
        new_file(path) as temporary,
        rasterio.open(
            temporary,
            "w",
            driver="COG",
            height=grid.shape[0],
            width=grid.shape[1],
            count=len(bands),
            dtype="int16",
            crs=grid.crs,
            transform=grid.affine(),
            nodata=MISSING,
            compress="DEFLATE",
            predictor="YES",
            blocksize=BLOCK,
            overview_resampling="average",
        ) as file,
    ):
        for number, (values, name) in enumerate(zip(bands, names, strict=True), 1):
            file.write(values, number)
            file.set_band_description(number, name)
        file.scales = (STEP,) * len(bands)
        file.offsets = (0.0,) * len(bands)
        file.units = ("1",) * len(bands)
        file.update_tags(**dict(tags))
    return path


def read_day_raster(path: Path, *, shape: tuple[int, int] | None = None) -> DayMap:
    """The bands of a day's raster as they are stored.

    Args:
        path: The file.
        shape: Rows and columns wanted; fewer than there are are means, from the overviews.

    Raises:
        DataError: If it is damaged.
    """
    rasterio = import_rasterio()
    try:
        with rasterio.open(path) as file:
            size = None if shape is None else (file.count, *shape)
            bands = file.read(out_shape=size, resampling=rasterio.enums.Resampling.average)
    except rasterio.errors.RasterioIOError as error:
        raise DataError(
            path,
            expected="a map written by `cloudkeras predict`",
            found=f"a file that cannot be read ({str(error.__cause__ or error).splitlines()[0]})",
            remedy="Remove it and give the command again.",
        ) from None
    return DayMap(bands[0], bands[1] if len(bands) > 1 else None)


def read_fraction(path: Path, *, shape: tuple[int, int] | None = None) -> np.ndarray:
    """The map of a day, (rows, columns) float32 with NaN; see `read_day_raster`."""
    return unpack_fraction(read_day_raster(path, shape=shape).values)


# ---- a season ------------------------------------------------------------------------------------------------------


def write_season(
    path: Path,
    rasters: Mapping[datetime.date, Path],
    names: Sequence[str],
    long_names: Sequence[str],
    grid: Grid,
    *,
    static: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]],
    attributes: Mapping[str, Any],
) -> Path:
    """Writes the days of a season into one CF NetCDF file, a day in memory at a time.

    Args:
        path: The file; it appears when it is complete.
        rasters: Day to its raster, of `write_day_raster`.
        names: Variables, one a band.
        long_names: Of the variables.
        grid: The grid.
        static: Images without time: name to values and attributes.
        attributes: Global attributes.
    """
    days = sorted(rasters)
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": CONVENTIONS, **attributes})
        _define_axes(file, grid, days)
        for name, (values, described) in static.items():
            stored = _define(file, name, ("y", "x"), values.dtype, None)
            stored.setncatts(dict(described))
            stored[...] = values
        variables = []
        for name, long_name in zip(names, long_names, strict=True):
            stored = _define(file, name, ("time", "y", "x"), np.dtype("i2"), MISSING)
            limits = np.rint(np.array([0, 1]) / STEP).astype("i2")
            stored.setncatts(
                {
                    "long_name": long_name,
                    "units": "1",
                    "scale_factor": np.float64(STEP),
                    "add_offset": np.float64(0),
                    "valid_range": limits,
                }
            )
            variables.append(stored)
        if len(variables) > 1:
            variables[0].ancillary_variables = " ".join(names[1:])
        for number, day in enumerate(days):
            for stored, band in zip(variables, read_day_raster(rasters[day]).bands, strict=True):
                stored[number] = band
    return path


def _define_axes(file: netCDF4.Dataset, grid: Grid, days: Sequence[datetime.date]) -> None:
    for name, size in (("time", len(days)), ("y", grid.shape[0]), ("x", grid.shape[1]), ("bounds", 2)):
        file.createDimension(name, size)
    start = np.array([day_seconds(day) for day in days])
    time = file.createVariable("time", "f8", ("time",))
    time.setncatts({"standard_name": "time", "long_name": "start of the day (UTC)", "axis": "T"})
    time.setncatts({"units": _TIME, "calendar": "standard", "units_metadata": "leap_seconds: none"})
    time.bounds = "time_bounds"
    time[:] = start
    file.createVariable("time_bounds", "f8", ("time", "bounds"))[:] = start[:, None] + [0.0, _DAY_SECONDS]
    for name, (dims, values, attributes) in grid_coordinates(grid).items():
        coordinate = file.createVariable(name, np.asarray(values).dtype, dims)
        coordinate.setncatts(attributes)
        coordinate[...] = values


def _define(file: netCDF4.Dataset, name: str, dims: tuple[str, ...], dtype: Any, fill: Any) -> netCDF4.Variable:
    sizes = [1 if dim == "time" else min(BLOCK, len(file.dimensions[dim])) for dim in dims]
    stored = file.createVariable(
        name,
        dtype,
        dims,
        fill_value=False if fill is None else fill,
        compression="zlib",
        complevel=2,
        shuffle=True,
        chunksizes=sizes,
    )
    stored.set_auto_maskandscale(False)
    stored.grid_mapping = "crs"
    return stored


def season_days(path: Path) -> list[datetime.date]:
    """The days that a season's file holds; none where there is no such file, or one that cannot be read."""
    if not path.is_file():
        return []
    try:
        with NETCDF_LOCK, netCDF4.Dataset(path) as file:
            seconds = np.asarray(file["time"][:], np.float64)
    except (OSError, RuntimeError, IndexError):
        return []
    return [datetime.date(1970, 1, 1) + datetime.timedelta(seconds=float(s)) for s in seconds]


def by_year(days: Iterable[datetime.date]) -> dict[int, list[datetime.date]]:
    """Days of each year, in order."""
    years: dict[int, list[datetime.date]] = {}
    for day in sorted(days):
        years.setdefault(day.year, []).append(day)
    return years
