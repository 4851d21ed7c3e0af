"""One day of the benchmark as the fields of the task `meltwater`, on the whole grid."""

from __future__ import annotations

import datetime
import functools
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, check, check_choice
from .meltwater_layout import LAND, OCEAN, WINTER_MONTHS, MeltwaterLayout, find_layout, winter_name
from .meltwater_rasters import Grid, opened_raster, read_grid, read_raster
from .meltwater_smoothing import MAR_KERNEL, MAR_SIGMA, PMW_KERNEL, PMW_SIGMA, gaussian_smooth

logger = logging.getLogger("cloudkeras")

SMOOTHING = ("published", "none")
NEIGHBOURS = 3  # training dates before and after that make `sar_mean`
_CACHED = 2 * NEIGHBOURS + 2

_RANGES = {
    "sar": (0.0, 1.0, "a melt fraction of 0 to 1", "Is it in percent? Divide by 100, or set a scale of 0.01."),
    "pmw": (50.0, 350.0, "brightness temperatures of 50 to 350 K", "Convert to K; mask what is no measurement (NaN)."),
    "mar": (0.0, 0.3, "liquid water of 0 to 0.3 kg/kg", "Convert to kg/kg; mask what is no value (NaN)."),
    "dem": (-500.0, 4700.0, "altitudes of -500 to 4700 m", "Convert to m; mask what is no altitude (nodata)."),
}


class BenchmarkDays:
    """Reads days of a benchmark folder.

    Everything is brought to the grid of the SAR rasters (of the DEM where there is no SAR): PMW, MAR and DEM
    bilinearly, masks and SAR by their nearest pixel; rasters on that grid are read as they are. One day is in memory at
    a time, beside the SAR images that its context needs.

    Args:
        folder: The benchmark; see `meltwater_layout`.
        train_days: Days whose SAR images may be used for `sar_mean` and `sar_previous`.
        smoothing: "published" adds the smoothed PMW and MAR, "none" does not.

    Attributes:
        layout: Where the files are.
        grid: The grid of everything.
        land: (y, x) bool.
        altitude: (y, x) m.
        train_days: In order.
    """

    def __init__(self, folder: str | Path, *, train_days: Iterable[datetime.date] = (), smoothing: str = "published"):
        self.layout: MeltwaterLayout = find_layout(folder)
        self.smoothing = check_choice(smoothing, SMOOTHING, "smoothing")
        first = self.layout.days("sar")
        self.grid: Grid = read_grid(self.layout.file("sar", first[0]) if first else self.layout.dem)
        mask = read_raster(self.layout.land, self.grid, "nearest", classes=True)
        classes = np.unique(mask[np.isfinite(mask)])
        if not set(classes.tolist()) <= {float(OCEAN), 0.0, float(LAND)}:
            raise DataError(
                self.layout.land,
                expected=f"a mask of {OCEAN} (or 0) for ocean and {LAND} for land",
                found=f"the values {classes[:6].tolist()}",
            )
        self.land = mask == LAND
        if not self.land.any():
            raise DataError(self.layout.land, expected=f"land ({LAND}) on {self.grid.describe()}", found="none")
        # Altitudes are whole metres in some products: integers are taken as they are.
        altitude = read_raster(self.layout.dem, self.grid, "bilinear", classes=True)
        self._check_range("dem", self.layout.dem, altitude)
        self.altitude = np.where(np.isfinite(altitude), altitude, 0).astype(np.float32)
        self._winter: dict[int, np.ndarray | None] = {}
        self._cache: dict[datetime.date, np.ndarray] = {}
        self._behind: tuple[int, int, np.ndarray] | None = None
        self.use_training_days(train_days)

    def use_training_days(self, days: Iterable[datetime.date]) -> None:
        """Sets the days whose SAR images make the context."""
        self.train_days = sorted(set(days))
        missing = [day for day in self.train_days if not self.layout.file("sar", day).is_file()]
        check(not missing, "Training days have a SAR raster.", missing=[day.isoformat() for day in missing[:5]])
        self._behind = None

    # ---- single rasters ----

    def read(self, product: str, day: datetime.date) -> np.ndarray:
        """SAR, PMW or MAR ("sar", "pmw", "mar") of a day, (y, x) with NaN where missing.

        SAR is NaN on the ocean too.

        Raises:
            DataError: If the file is missing, damaged, elsewhere, without a scale or out of range.
        """
        path = self.layout.file(product, day)
        values = read_raster(path, self.grid, "nearest" if product == "sar" else "bilinear")
        self._check_range(product, path, values)
        if product == "sar":
            return np.where(self.land, np.clip(values, 0, 1), np.float32(np.nan))
        return values

    def _check_range(self, product: str, path: Path, values: np.ndarray) -> None:
        low, high, expected, remedy = _RANGES[product]
        slack = 1e-4 * (high - low)
        bad = (values < low - slack) | (values > high + slack) | np.isinf(values)
        if bad.any():
            raise DataError(
                path,
                expected=expected,
                found=f"{values[bad][0]:g} ({int(bad.sum())} such pixels)",
                remedy=remedy,
            )

    def simulated(self) -> bool:
        """Whether the rasters say that they are simulated."""
        with opened_raster(self.layout.dem) as source:
            return str(source.tags().get("simulated", "")).lower() == "true"

    # ---- whole days ----

    def fields(
        self, day: datetime.date, *, target: bool = True, names: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """The variables of the task on a day, without the static ones, (y, x) float32 in physical units.

        Args:
            day: The date; PMW and MAR must be there (where they are wanted).
            target: Whether to read the day's SAR as `melt_fraction`, which must be there then; otherwise it is NaN.
            names: Variables wanted; None for all that there are.
        """
        nothing = np.full(self.grid.shape, np.nan, np.float32)
        rasters: dict[str, np.ndarray] = {}

        def pmw() -> np.ndarray:
            return rasters["pmw"] if "pmw" in rasters else rasters.setdefault("pmw", self.read("pmw", day))

        def mar() -> np.ndarray:
            return rasters["mar"] if "mar" in rasters else rasters.setdefault("mar", self.read("mar", day).clip(0))

        def winter() -> np.ndarray:
            mean = self.winter(day.year)
            return nothing if mean is None else mean

        made: dict[str, Callable[[], np.ndarray]] = {
            "melt_fraction": lambda: self.read("sar", day) if target else nothing,
            "brightness_temperature": pmw,
            "liquid_water": mar,
            "sar_mean": lambda: self.sar_mean(day),
            "sar_previous": lambda: self.sar_previous(day),
        }
        if self.smoothing == "published":
            made["brightness_temperature_smooth"] = lambda: gaussian_smooth(pmw(), PMW_KERNEL, PMW_SIGMA)
            made["liquid_water_smooth"] = lambda: gaussian_smooth(mar(), MAR_KERNEL, MAR_SIGMA)
        if self.has_winter:
            made["winter_brightness_temperature"] = winter
        wanted = made if names is None else set(names)
        return {name: make() for name, make in made.items() if name in wanted}

    def static(self) -> dict[str, np.ndarray]:
        """The static variables of the task."""
        return {"surface_altitude": self.altitude, "land": self.land.astype(np.int8)}

    # ---- winter ----

    @functools.cached_property
    def has_winter(self) -> bool:
        """Whether there is a winter mean, or PMW of January or February, for any year."""
        if self.layout.winter is not None and any(self.layout.winter.glob("*_jan_feb.tif")):
            return True
        return any(day.month in WINTER_MONTHS for day in self.layout.days("pmw"))

    def winter(self, year: int) -> np.ndarray | None:
        """Mean brightness temperature of January and February of a year; None where nothing tells it.

        The benchmark's own file where it is there, else the mean of the PMW days without a gap on land.
        """
        if year not in self._winter:
            self._winter = {year: self._read_winter(year)}  # one year at a time
        return self._winter[year]

    def _read_winter(self, year: int) -> np.ndarray | None:
        if self.layout.winter is not None and (file := self.layout.winter / winter_name(year)).is_file():
            values = read_raster(file, self.grid, "bilinear")
            self._check_range("pmw", file, values)
            return values
        total, count = np.zeros(self.grid.shape, np.float64), 0
        for day in self.layout.days("pmw"):
            if day.year == year and day.month in WINTER_MONTHS:
                values = self.read("pmw", day)
                if np.isfinite(values[self.land]).all():
                    total, count = total + values, count + 1
        if count == 0:
            logger.warning("%s: no PMW of January and February %d; no winter mean", self.layout.pmw, year)
            return None
        return (total / count).astype(np.float32)

    # ---- SAR of other days ----

    def sar_mean(self, day: datetime.date) -> np.ndarray:
        """Mean of the valid pixels of the three earlier and three later training dates of the year, own date left out.

        NaN where none of them saw the pixel (the authors put 0 there).
        """
        others = [other for other in self.train_days if other.year == day.year and other != day]
        near = [other for other in others if other < day][-NEIGHBOURS:] + [o for o in others if o > day][:NEIGHBOURS]
        total = np.zeros(self.grid.shape, np.float32)
        count = np.zeros(self.grid.shape, np.float32)
        for other in near:
            values = self._sar(other)
            seen = np.isfinite(values)
            np.add(total, values, out=total, where=seen)
            count += seen
        return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))

    def sar_previous(self, day: datetime.date) -> np.ndarray:
        """The last valid value of an earlier training date of the year, pixel by pixel; NaN where there is none.

        Days in order cost one image each; a day further back starts the year again.
        """
        earlier = [other for other in self.train_days if other.year == day.year and other < day]
        year, used, last = self._behind or (0, 0, np.empty(0))
        if year != day.year or used > len(earlier):
            used, last = 0, np.full(self.grid.shape, np.nan, np.float32)
        for other in earlier[used:]:
            values = self._sar(other)
            last = np.where(np.isfinite(values), values, last)
        self._behind = (day.year, len(earlier), last)
        return last.copy()

    def _sar(self, day: datetime.date) -> np.ndarray:
        """A SAR image from a cache of the last few."""
        if day not in self._cache:
            while len(self._cache) >= _CACHED:
                self._cache.pop(next(iter(self._cache)))
            self._cache[day] = self.read("sar", day)
        return self._cache[day]


def grid_coordinates(grid: Grid) -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
    """`y`, `x` and the projection as CF coordinate variables: dimensions, values, attributes.

    The variable `crs` carries the WKT, the EPSG code where there is one, GDAL's `GeoTransform`, and for polar
    stereographic grids the CF parameters.
    """
    parameters = {key: value for key, value in grid.crs.to_dict().items() if not isinstance(value, bool)}
    names = {"stere": "polar_stereographic", "longlat": "latitude_longitude", "laea": "lambert_azimuthal_equal_area"}
    kind = str(parameters.get("proj", ""))
    mapping: dict[str, Any] = {
        "grid_mapping_name": names.get(kind, "transverse_mercator" if kind in ("utm", "tmerc") else "unknown"),
        "crs_wkt": grid.wkt,
        "spatial_ref": grid.wkt,
        "GeoTransform": " ".join(f"{grid.transform[i]:.10g}" for i in (2, 0, 1, 5, 3, 4)),
    }
    if grid.epsg is not None:
        mapping["epsg_code"] = f"EPSG:{grid.epsg}"
    if kind == "stere":
        mapping |= {
            "latitude_of_projection_origin": float(parameters.get("lat_0", 90.0)),
            "standard_parallel": float(parameters.get("lat_ts", parameters.get("lat_0", 90.0))),
            "straight_vertical_longitude_from_pole": float(parameters.get("lon_0", 0.0)),
            "false_easting": float(parameters.get("x_0", 0.0)),
            "false_northing": float(parameters.get("y_0", 0.0)),
        }
    unit = "degree" if kind == "longlat" else "m"
    axes = {}
    for name, values in (("y", grid.y()), ("x", grid.x())):
        standard = {"standard_name": f"projection_{name}_coordinate", "axis": name.upper(), "units": unit}
        axes[name] = ((name,), values, {**standard, "long_name": f"{name} of the pixels' centres"})
    return {**axes, "crs": ((), np.int32(0), mapping)}
