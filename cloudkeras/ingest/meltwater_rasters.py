"""One-band GeoTIFFs on one grid: read whole or by windows, brought to the grid where they have another one."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, InputError

logger = logging.getLogger("cloudkeras")

ALIGNED_PIXELS = 0.01  # corners that agree to this part of a pixel are the same
_BLOCK = 256


def import_rasterio() -> Any:
    """The package rasterio.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import rasterio
        import rasterio.warp
        import rasterio.windows
    except ImportError:
        raise InputError("GeoTIFFs need the package rasterio: pip install 'cloudkeras[geo]'.") from None
    return rasterio


@dataclass(frozen=True)
class Grid:
    """A raster's grid.

    Attributes:
        shape: Rows and columns.
        transform: Six numbers (a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f, pixel corners.
        wkt: The projection as WKT.
    """

    shape: tuple[int, int]
    transform: tuple[float, float, float, float, float, float]
    wkt: str

    @classmethod
    def north_up(cls, shape: tuple[int, int], left: float, top: float, resolution: float, epsg: int) -> Grid:
        """A north-up grid of square pixels from its upper left corner in m."""
        wkt = import_rasterio().crs.CRS.from_epsg(epsg).to_wkt()
        return cls(shape, (float(resolution), 0.0, float(left), 0.0, -float(resolution), float(top)), wkt)

    @classmethod
    def of(cls, source: Any) -> Grid:
        """The grid of an open raster.

        Raises:
            DataError: If it has no projection, or is not north up.
        """
        if source.crs is None or source.transform.is_identity:
            raise DataError(
                source.name,
                expected="a GeoTIFF with projection and position",
                found="none",
                remedy="Set them: gdal_edit.py -a_srs EPSG:3413 -a_ullr LEFT TOP RIGHT BOTTOM.",
            )
        grid = cls((source.height, source.width), tuple(source.transform)[:6], source.crs.to_wkt())
        a, b, _, d, e, _ = grid.transform
        if b or d or a <= 0 or e >= 0:
            raise DataError(
                source.name,
                expected="a raster with north up and east to the right",
                found=f"the transform {grid.transform}",
                remedy="Warp it: gdalwarp.",
            )
        return grid

    @property
    def crs(self) -> Any:
        """The projection as rasterio has it."""
        return _crs(self.wkt)

    @property
    def epsg(self) -> int | None:
        """The projection's EPSG code, if it has one."""
        return self.crs.to_epsg()

    def affine(self, row: int = 0, column: int = 0) -> Any:
        """The transform of the part that begins at a row and column, as rasterio takes it."""
        a, b, c, d, e, f = self.transform
        return import_rasterio().Affine(a, b, c + a * column, d, e, f + e * row)

    def x(self) -> np.ndarray:
        """Centres of the columns."""
        return self.transform[2] + (np.arange(self.shape[1]) + 0.5) * self.transform[0]

    def y(self) -> np.ndarray:
        """Centres of the rows, from north to south."""
        return self.transform[5] + (np.arange(self.shape[0]) + 0.5) * self.transform[4]

    def center(self) -> tuple[float, float]:
        """Latitude and longitude of the middle, degrees."""
        x, y = (0.5 * float(axis[0] + axis[-1]) for axis in (self.x(), self.y()))
        longitude, latitude = import_rasterio().warp.transform(self.crs, "EPSG:4326", [x], [y])
        return float(latitude[0]), float(longitude[0])

    def same_as(self, other: Grid) -> bool:
        """Whether both have the same pixels."""
        if self.shape != other.shape or (self.wkt != other.wkt and self.crs != other.crs):
            return False
        pixel = abs(self.transform[0])
        return bool(np.allclose(self.transform, other.transform, rtol=0, atol=ALIGNED_PIXELS * pixel))

    def describe(self) -> str:
        """One line for messages."""
        code = self.epsg
        place = f"corner ({self.transform[2]:.0f}, {self.transform[5]:.0f})"
        unit = "m" if self.crs.is_projected else "degrees"
        return f"{self.shape[0]} x {self.shape[1]} pixels of {self.transform[0]:g} {unit}, {place}, EPSG:{code or '?'}"


@functools.lru_cache(maxsize=16)
def _crs(wkt: str) -> Any:
    return import_rasterio().crs.CRS.from_wkt(wkt)


@contextmanager
def opened_raster(path: Path) -> Iterator[Any]:
    """An open raster with one band; GDAL's errors become `DataError`."""
    rasterio = import_rasterio()
    if not path.is_file():
        raise DataError(path, expected="a GeoTIFF", found="no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            source = rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise DataError(
            path,
            expected="a GeoTIFF",
            found=f"{path.stat().st_size} bytes that GDAL refuses ({_short(error)})",
            remedy="The file is truncated or of another kind; copy it again.",
        ) from None
    with source:
        if source.count != 1:
            raise DataError(path, expected="a raster of one band", found=f"{source.count} bands")
        try:
            yield source
        except rasterio.errors.RasterioIOError as error:
            cause = error.__cause__ or error
            raise DataError(
                path,
                expected="values that can be read",
                found=f"a damaged file ({_short(cause)})",
                remedy="It may be truncated; copy it again.",
            ) from None


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def read_grid(path: Path) -> Grid:
    """The grid of a raster.

    Raises:
        DataError: If it is not a GeoTIFF, has no projection or is not north up.
    """
    with opened_raster(path) as source:
        return Grid.of(source)


def read_raster(
    path: Path,
    grid: Grid,
    resampling: str,
    *,
    window: tuple[slice, slice] | None = None,
    classes: bool = False,
) -> np.ndarray:
    """Values of a raster on the pixels of a grid, NaN where it has none.

    A raster on the same grid is read as it is. One on another grid or projection is brought there, with a line in the
    log.

    Args:
        path: The file.
        grid: The pixels wanted.
        resampling: "bilinear" for quantities that vary smoothly, "nearest" for masks and SAR.
        window: Rows and columns of the grid; None for all.
        classes: Whether integers are classes, which need no scale.

    Returns:
        (rows, columns) float32.

    Raises:
        DataError: If the file is damaged, does not overlap the grid, or holds integers without a scale.
    """
    rows, columns = window or (slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    with opened_raster(path) as source:
        own, rasterio = Grid.of(source), import_rasterio()
        scale, offset = _scale(path, source, classes)
        if own.same_as(grid):
            view = rasterio.windows.Window.from_slices(rows, columns)
            stored = source.read(1, window=view, masked=True)
        else:
            logger.info("%s: %s brought to %s (%s)", path, own.describe(), grid.describe(), resampling)
            stored = _warped(path, source, own, grid, (rows, columns), resampling)
    values = np.ma.filled(stored.astype(np.float32), np.nan)
    return values if (scale, offset) == (1.0, 0.0) else values * np.float32(scale) + np.float32(offset)


def _scale(path: Path, source: Any, classes: bool) -> tuple[float, float]:
    """Scale and offset of the band; integers must have a scale."""
    scale, offset = float(source.scales[0]), float(source.offsets[0])
    if np.dtype(source.dtypes[0]).kind in "iu" and not classes and (scale, offset) == (1.0, 0.0):
        raise DataError(
            path,
            expected="floating-point values, or integers with a scale",
            found=f"{source.dtypes[0]} without one",
            remedy="Say what a step means, e.g. for percent: gdal_edit.py -scale 0.01 FILE.",
        )
    return scale, offset


def _warped(
    path: Path, source: Any, own: Grid, grid: Grid, window: tuple[slice, slice], resampling: str
) -> np.ma.MaskedArray:
    rasterio = import_rasterio()
    left, bottom, right, top = rasterio.warp.transform_bounds(own.crs, grid.crs, *source.bounds)
    x, y, half = grid.x(), grid.y(), abs(grid.transform[0]) / 2
    if left >= x[-1] + half or right <= x[0] - half or bottom >= y[0] + half or top <= y[-1] - half:
        raise DataError(
            path,
            expected=f"a raster that overlaps the grid {grid.describe()}",
            found=f"{own.describe()}",
            remedy="Does it belong to another area, or is its projection wrong?",
        )
    rows, columns = window
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    values = np.full(shape, np.nan, np.float32)
    stored = np.ma.filled(source.read(1, masked=True).astype(np.float32), np.nan)
    rasterio.warp.reproject(
        stored,
        values,
        src_transform=source.transform,
        src_crs=source.crs,
        src_nodata=np.nan,
        dst_transform=grid.affine(row=rows.start, column=columns.start),
        dst_crs=grid.crs,
        dst_nodata=np.nan,
        resampling=rasterio.warp.Resampling[resampling],
    )
    return np.ma.masked_invalid(values)


def write_raster(
    path: Path, values: np.ndarray, grid: Grid, *, tags: Mapping[str, str] | None = None, nodata: float | None = None
) -> Path:
    """Writes a one-band GeoTIFF, deflated, in tiles where it is large; it appears when it is complete.

    Args:
        path: The file.
        values: (rows, columns).
        grid: Its grid.
        tags: Metadata of the file.
        nodata: The value that means missing.
    """
    rasterio = import_rasterio()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    tiled = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK} if min(values.shape) > _BLOCK else {}
    try:
        with rasterio.open(
            temporary,
            "w",
            driver="GTiff",
            height=values.shape[0],
            width=values.shape[1],
            count=1,
            dtype=values.dtype.name,
            crs=grid.crs,
            transform=grid.affine(),
            nodata=nodata,
            compress="deflate",
            zlevel=4,
            **tiled,
        ) as file:
            file.write(values, 1)
            file.update_tags(**dict(tags or {}))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
