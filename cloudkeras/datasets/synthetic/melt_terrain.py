"""Terrain under the simulated meltwater: read from observations, or generated (fjord, outlet glacier, ice sheet).

The grid is north up, 100 m, NSIDC polar stereographic north (EPSG:3413), as in the benchmark. What is simulated over a
real terrain is still simulated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import binary_closing, distance_transform_edt, gaussian_filter, label

from ...errors import DataError, check
from ..shards import NETCDF_LOCK
from .random_fields import PIXEL_KM, gaussian_field, red_spectrum

EPSG = 3413
RESOLUTION_M = 100.0
GENERATED_ORIGIN = (236_200.0, -2_444_000.0)  # upper left corner of a generated terrain: east Greenland

_SEAM = 4
_ALTITUDE_NAMES = ("surf_elv", "surface", "surface_altitude", "dem", "elevation")
_MASK_NAMES = ("surf_mask", "mask", "land_mask")
_BALANCE_NAMES = ("surf_SMB", "smb", "SMB", "surface_mass_balance")
_AXES = {"x": ("surf_x", "x"), "y": ("surf_y", "y")}


@dataclass(frozen=True)
class Terrain:
    """A terrain on a 100-m grid, rows from north to south.

    Attributes:
        altitude: (y, x) m above sea level, 0 where unknown.
        land: (y, x) whether there is land or ice; False for ocean and where no terrain is known.
        ice: (y, x) whether the land is ice.
        balance: (y, x) surface mass balance in m water equivalent a year.
        left, top: Outer corner of the first pixel, m.
        source: Where it comes from, in words.
        resolution: Size of a pixel, m.
    """

    altitude: np.ndarray
    land: np.ndarray
    ice: np.ndarray
    balance: np.ndarray
    left: float
    top: float
    source: str
    resolution: float = RESOLUTION_M

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.altitude.shape
        return int(rows), int(columns)

    def slopes(self, smooth_pixels: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Rise of the surface towards the north and towards the east, m/m.

        Off the land the altitude of the nearest land is taken, so that the edge of what is known is no cliff.
        """
        altitude = self.altitude
        if self.land.any() and not self.land.all():
            nearest = distance_transform_edt(~self.land, return_distances=False, return_indices=True)
            altitude = altitude[tuple(nearest)]
        if smooth_pixels:
            altitude = gaussian_filter(altitude, smooth_pixels)
        north, east = np.gradient(altitude, -self.resolution, self.resolution)
        return north, east

    def crop(self, size: tuple[int, int]) -> Terrain:
        """The middle `size` rows and columns, or fewer where the terrain is smaller."""
        parts, starts = [], []
        for have, want in zip(self.shape, size, strict=True):
            start = max(0, (have - want) // 2)
            parts.append(slice(start, start + want))
            starts.append(start)
        window = tuple(parts)
        return replace(
            self,
            altitude=self.altitude[window],
            land=self.land[window],
            ice=self.ice[window],
            balance=self.balance[window],
            left=self.left + starts[1] * self.resolution,
            top=self.top - starts[0] * self.resolution,
        )


def balance_of_altitude(altitude: np.ndarray) -> np.ndarray:
    """Surface mass balance in m water equivalent a year: a plausible profile where none is given.

    Follows the mean of the one around Helheim Glacier: -2.4 at 300 m, 0 at 800 m, 1.3 from 1400 m upward.
    """
    points = [0.0, 275.0, 425.0, 575.0, 725.0, 875.0, 1025.0, 1175.0, 1325.0, 1475.0, 2500.0]
    return np.interp(altitude, points, [-3.6, -2.4, -1.85, -1.04, -0.28, 0.29, 0.80, 1.10, 1.26, 1.33, 0.9]).astype(
        "f4"
    )


# ---- read ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    """A field on the file's own regular grid: coordinates of pixel centres, both increasing."""

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray  # (y, x)

    def at(self, x: np.ndarray, y: np.ndarray, method: str) -> np.ndarray:
        """Values at the centres of a grid, NaN outside: (len(y), len(x))."""
        half = 0.5 * abs(float(self.x[1] - self.x[0]))
        inside_x = (x >= self.x[0] - half) & (x <= self.x[-1] + half)
        inside_y = (y >= self.y[0] - half) & (y <= self.y[-1] + half)
        read = RegularGridInterpolator((self.y, self.x), self.values, method=method, bounds_error=False)
        points = np.meshgrid(y.clip(self.y[0], self.y[-1]), x.clip(self.x[0], self.x[-1]), indexing="ij")
        return np.where(inside_y[:, None] & inside_x, read(tuple(points)), np.nan).astype(np.float32)


def read_terrain(files: Sequence[str | Path], balance_file: str | Path | None = None) -> Terrain:
    """Reads terrain from NetCDF or HDF5 files in EPSG:3413 and resamples it to 100 m.

    Altitude and surface mass balance are interpolated bilinearly, masks take their nearest value; where files overlap,
    the first one that knows a pixel wins, and a seam of a few pixels between them is bridged. Pixels that no file knows
    are masked as ocean is. Outside the mass balance file its own mean by altitude (in bins of 150 m) is used.

    Args:
        files: Each with an altitude in m (`surf_elv`, `surface`, ...), `x` and `y` (or `surf_x`, `surf_y`) in m, and a
            mask (`mask` or `surf_mask`: 0 ocean, 1 ice-free land, above: ice) where there is one.
        balance_file: With `surf_SMB` or `smb` in m water equivalent a year; None takes a profile by altitude.

    Raises:
        DataError: If a file holds no altitude, has another projection or no regular grid.
    """
    check(len(files) > 0, "`files` needs at least one terrain file.", files=list(files))
    fields = [_read_fields(Path(file), {"altitude": _ALTITUDE_NAMES, "mask": _MASK_NAMES}) for file in files]
    edges = [_edges(found["altitude"]) for found in fields]
    left, right = min(edge[0] for edge in edges), max(edge[1] for edge in edges)
    bottom, top = min(edge[2] for edge in edges), max(edge[3] for edge in edges)
    columns, rows = (int((high - low) // RESOLUTION_M) for low, high in ((left, right), (bottom, top)))
    x = left + (np.arange(columns) + 0.5) * RESOLUTION_M
    y = top - (np.arange(rows) + 0.5) * RESOLUTION_M
    altitude = np.full((rows, columns), np.nan, np.float32)
    mask = np.full((rows, columns), np.nan, np.float32)
    for found in fields:
        values = found["altitude"].at(x, y, "linear")
        kind = found["mask"].at(x, y, "nearest") if "mask" in found else np.where(values > 0, 2.0, 0.0)
        free = np.isnan(altitude) & np.isfinite(values)
        altitude, mask = np.where(free, values, altitude), np.where(free, kind, mask)
    altitude, mask = _bridge(altitude, mask)
    land = np.isfinite(altitude) & (mask > 0)
    altitude = np.where(land, np.nan_to_num(altitude).clip(0), 0).astype(np.float32)
    balance, said = balance_of_altitude(altitude), "surface mass balance by altitude"
    if balance_file is not None:
        read = _read_fields(Path(balance_file), {"balance": _BALANCE_NAMES})["balance"].at(x, y, "linear")
        balance, said = _fill_by_altitude(read, altitude), f"surface mass balance of {Path(balance_file).name}"
    names = ", ".join(Path(file).name for file in files)
    return Terrain(altitude, land, land & (mask >= 2), balance, left, top, f"terrain of {names}; {said}")


def _bridge(altitude: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fills the seam between neighbouring files, up to 2 `_SEAM` pixels wide: altitude linear along x, mask nearest."""
    known = np.isfinite(altitude)
    padded = np.pad(known, _SEAM, mode="edge")
    closed = binary_closing(padded, iterations=_SEAM)[_SEAM:-_SEAM, _SEAM:-_SEAM]
    altitude, mask = altitude.copy(), mask.copy()
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    gap = closed & ~known
    mask[gap] = mask[tuple(nearest)][gap]
    for row in np.flatnonzero(gap.any(axis=1)):
        there = np.flatnonzero(known[row])
        if there.size:
            altitude[row, gap[row]] = np.interp(np.flatnonzero(gap[row]), there, altitude[row, there])
    return altitude, mask


def _edges(field: _Field) -> tuple[float, float, float, float]:
    half_x, half_y = (0.5 * float(axis[1] - axis[0]) for axis in (field.x, field.y))
    return field.x[0] - half_x, field.x[-1] + half_x, field.y[0] - half_y, field.y[-1] + half_y


def _read_fields(path: Path, wanted: Mapping[str, Sequence[str]]) -> dict[str, _Field]:
    """The wanted fields of a file; the first of `wanted` must be there."""
    if not path.is_file():
        raise DataError(path, expected="a terrain file", found="no such file")
    try:
        with NETCDF_LOCK, netCDF4.Dataset(path) as file:
            _check_projection(path, file)
            axes = {axis: _axis(path, file, axis) for axis in "yx"}
            found = {}
            for name, choices in wanted.items():
                stored = next((file[choice] for choice in choices if choice in file.variables), None)
                if stored is not None:
                    found[name] = _oriented(path, stored, axes["x"], axes["y"])
    except (OSError, RuntimeError) as error:
        raise DataError(path, expected="a NetCDF-4 or HDF5 file", found=f"one that cannot be read ({error})") from None
    first, choices = next(iter(wanted.items()))
    if first not in found:
        raise DataError(path, expected=f"{first} as one of {', '.join(choices)}", found="none of them")
    return found


def _check_projection(path: Path, file: Any) -> None:
    for variable in file.variables.values():
        wkt = str(getattr(variable, "crs_wkt", getattr(variable, "spatial_ref", "")))
        if wkt and "3413" not in wkt and "Polar_Stereographic" not in wkt:
            raise DataError(
                path,
                variable=variable.name,
                expected=f"the projection EPSG:{EPSG}",
                found=wkt[:60],
                remedy=f"Reproject the file: gdalwarp -t_srs EPSG:{EPSG}.",
            )


def _axis(path: Path, file: Any, axis: str) -> np.ndarray:
    stored = next((file[name] for name in _AXES[axis] if name in file.variables), None)
    if stored is None:
        raise DataError(path, expected=f"the coordinate {axis} in m", found=", ".join(file.variables))
    values = np.unique(np.ma.filled(np.ma.asarray(stored[:]).astype(np.float64), np.nan))
    if values.size < 2 or not np.allclose(np.diff(values), values[1] - values[0], rtol=1e-3):
        raise DataError(path, variable=stored.name, expected="a regular grid in m", found="uneven steps")
    return values


def _oriented(path: Path, stored: Any, x: np.ndarray, y: np.ndarray) -> _Field:
    """The variable as (y, x), both increasing; which axis is which is told by the coordinates, or by the sizes."""
    file, values = stored.group(), np.ma.filled(np.ma.asarray(stored[:]).astype(np.float64), np.nan)
    grids = {axis: next(file[n] for n in _AXES[axis] if n in file.variables) for axis in "xy"}
    if grids["x"].ndim == 2:
        plane_x, plane_y = np.asarray(grids["x"][:]), np.asarray(grids["y"][:])
        if plane_x[0, 0] == plane_x[0, 1]:
            values, plane_x, plane_y = values.T, plane_x.T, plane_y.T
        flip_x, flip_y = plane_x[0, 0] > plane_x[0, 1], plane_y[0, 0] > plane_y[1, 0]
    else:
        if stored.dimensions[0] == grids["x"].dimensions[0]:
            values = values.T
        flip_x, flip_y = (grids[a][0] > grids[a][1] for a in "xy")
    values = values[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    if values.shape != (y.size, x.size):
        raise DataError(
            path, variable=stored.name, expected=f"the shape {(y.size, x.size)} of y and x", found=str(values.shape)
        )
    return _Field(x, y, values)


def _fill_by_altitude(balance: np.ndarray, altitude: np.ndarray) -> np.ndarray:
    known = np.isfinite(balance)
    level = (altitude // 150.0).astype(int)
    count = np.bincount(level[known], minlength=level.max() + 1)
    total = np.bincount(level[known], weights=balance[known].astype(np.float64), minlength=level.max() + 1)
    there = np.flatnonzero(count)
    if there.size == 0:
        return balance_of_altitude(altitude)
    by_level = np.interp(altitude, (there + 0.5) * 150.0, total[there] / count[there])
    return np.where(known, balance, by_level).astype(np.float32)


# ---- generated -----------------------------------------------------------------------------------------------------


def generate_terrain(size: tuple[int, int], seed: int = 0) -> Terrain:
    """A generated coast: ocean in the east, a fjord with an outlet glacier, rugged land, ice sheet in the west.

    The ice sheet follows the square-root profile of plastic ice (Nye 1951, Proc. R. Soc. A 207, 554) from the coast
    inland. Relief grows with the square root of the width up to 120 km, so that small grids show all zones without
    cliffs. Rugged mountains stand out near the coast and drown in the ice inland.

    Args:
        size: Rows and columns.
        seed: Of the family of terrains.
    """
    rows, columns = size
    check(min(rows, columns) >= 16, "`size` is at least 16 rows and columns.", size=size)
    rng = np.random.default_rng([seed, 71])
    width = columns * RESOLUTION_M / 1e3
    relief = 2600.0 * min(1.0, math.sqrt(width / 120.0))
    along = np.linspace(0.0, 1.0, columns, dtype=np.float32)
    coast = 0.86 + 0.03 * _noise(rng, (rows, 1), width / 6)
    inland = np.clip((coast - along) / 0.86, -0.2, 1.0)  # 1 in the west, 0 at the coast, negative at sea
    sheet = relief * np.sqrt(np.clip(inland - 0.12, 0, None)) * 1.05
    rough = gaussian_field(rng, size, red_spectrum(8.0 * PIXEL_KM / 0.1, 3.6), margin_km=120.0)
    sheet = sheet + 0.012 * relief * rough
    land = 0.3 * relief * (np.clip(inland, -0.2, 0.4) * 3.0 + 0.35 + 0.4 * rough)
    altitude = _smooth_maximum(sheet, land, 0.03 * relief)
    fjords = 1 + rows // 900
    trough = np.zeros(size, np.float32)
    for number in range(fjords):
        np.maximum(trough, _trough(rng, size, (number + 0.5) / fjords, fjords, inland), out=trough)
    floor = relief * (1.1 * np.clip(inland - 0.22, 0, None) + 0.15 * np.sqrt(np.clip(inland - 0.14, 0, None)) - 0.02)
    altitude = altitude * (1 - trough) + np.minimum(floor, altitude) * trough
    altitude = gaussian_filter(altitude, 1.5)
    land_mask = ~_sea(altitude <= 0)
    altitude = np.maximum(altitude, 1.0)
    ice = land_mask & ((sheet >= land) | ((trough > 0.6) & (inland > 0.14)))
    altitude = np.where(land_mask, altitude, 0).astype(np.float32)
    noise = gaussian_field(rng, size, red_spectrum(10.0 * PIXEL_KM / 0.1), margin_km=120.0)
    balance = (balance_of_altitude(altitude) + 0.25 * noise).astype(np.float32)
    return Terrain(altitude, land_mask, ice, balance, *GENERATED_ORIGIN, source="generated terrain")


def _trough(
    rng: np.random.Generator, size: tuple[int, int], middle: float, fjords: int, inland: np.ndarray
) -> np.ndarray:
    """How much of a pixel is valley floor, 0 to 1: a winding fjord that narrows inland and ends under the ice."""
    rows, columns = size
    along = np.linspace(0.0, 1.0, columns, dtype=np.float32)[None, :]
    row = np.arange(rows, dtype=np.float32)[:, None] / rows
    valley = middle + 0.08 / fjords * _noise(rng, (1, columns), columns * RESOLUTION_M / 4e3)
    breadth = (0.025 + 0.05 * along**2 + 0.006 * _noise(rng, (1, columns), columns * RESOLUTION_M / 1e4)) / fjords
    cross = np.clip(np.abs(row - valley) / np.maximum(breadth, 0.01 / fjords), 0, 4)
    return np.exp(-0.5 * cross**4) * np.exp(-0.5 * (np.clip(inland - 0.2, 0, None) / 0.2) ** 2)


def _sea(water: np.ndarray) -> np.ndarray:
    """The water that reaches the eastern or southern edge of the grid; what is enclosed is land."""
    bodies, _ = label(water)
    open_sea = np.unique(np.concatenate([bodies[:, -1], bodies[-1]]))
    return water & np.isin(bodies, open_sea[open_sea > 0])


def _noise(rng: np.random.Generator, shape: tuple[int, int], scale_km: float) -> np.ndarray:
    """Noise of variance 1 along the longer axis of a (n, 1) or (1, n) shape, correlated over `scale_km`."""
    sigma = max(1.0, scale_km * 1e3 / RESOLUTION_M / 2)
    white = rng.standard_normal(max(shape))
    smooth = gaussian_filter(white, sigma, mode="wrap")
    return (smooth / max(float(smooth.std()), 1e-9)).reshape(shape).astype(np.float32)


def _smooth_maximum(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    difference = (first - second) / width
    return second + width * np.logaddexp(0, difference)
