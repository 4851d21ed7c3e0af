"""What SAR, passive microwave and a regional model see of the simulated melt."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .melt_physics import MeltRules, next_water
from .melt_surface import Surface, bareness_of
from .melt_terrain import Terrain, balance_of_altitude
from .melt_weather import LAPSE_K_PER_KM, DayWeather, spread

PMW_CELL_M = 3125.0  # grid of the enhanced-resolution brightness temperatures (NSIDC-0630)
PMW_FOOTPRINT_CELLS = 1.5  # standard deviation of what a cell really sees: a footprint of about 11 km
MAR_CELL_M = 6000.0

DRY_EMISSIVITY, BARE_EMISSIVITY, WET_EMISSIVITY, OCEAN_K = 0.80, 0.93, 0.94, 155.0
PMW_WATER_MM = 2.5  # water that makes the surface look wet at 37 GHz, e-folding
PMW_NOISE_K = 1.5
MAR_MOST_KG_KG, MAR_WATER_MM = 0.035, 20.0  # what firn holds at most, and the water that comes near to it
MAR_WARM_BIAS_K = 1.5

SUBPIXELS = 25  # independent looks of 20 m in a pixel
MISSED, FALSE = 0.05, 0.012  # of wet and of dry ones
TRACKS = 3
SHADOW_SLOPE = 0.45  # slopes that face the radar more steeply are lost (layover)


# ---- coarse cells --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """Square cells laid over the 100-m grid from its upper left corner.

    Attributes:
        rows, columns: First pixel of each cell along the axis.
        shape: Pixels of the fine grid.
    """

    rows: np.ndarray
    columns: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def over(cls, shape: tuple[int, int], cell_m: float, resolution_m: float) -> Cells:
        """Cells of `cell_m`, the last of them cut off by the edge."""
        step = cell_m / resolution_m
        starts = [np.rint(np.arange(0, n, step)).astype(int) for n in shape]
        rows, columns = (s[s < n] for s, n in zip(starts, shape, strict=True))
        return cls(rows, columns, shape)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of each cell, float64."""
        total = np.add.reduceat(np.add.reduceat(values.astype(np.float64), self.rows, axis=0), self.columns, axis=1)
        return total / np.outer(*self._sizes())

    def pixels(self, cells: np.ndarray) -> np.ndarray:
        """Each pixel with the value of its cell, float32."""
        high, wide = self._sizes()
        return np.repeat(np.repeat(cells.astype(np.float32), high, axis=0), wide, axis=1)

    def _sizes(self) -> tuple[np.ndarray, np.ndarray]:
        high, wide = (np.diff(np.append(s, n)) for s, n in zip((self.rows, self.columns), self.shape, strict=True))
        return high, wide


class PassiveMicrowave:
    """Brightness temperature at 37 GHz, horizontal polarisation: warm where the surface is wet, cold where dry.

    Dry firn scatters (emissivity 0.80), bare ice and land less; wet snow is nearly black. The signal saturates at some
    millimetres of water, and a cell of 3.125 km sees some 11 km around it, ocean included.
    """

    def __init__(self, terrain: Terrain, bareness: np.ndarray):
        self._land, self._altitude = terrain.land, terrain.altitude
        self._cells = Cells.over(terrain.shape, PMW_CELL_M, terrain.resolution)
        bare = np.where(terrain.ice, 0.6 * bareness, 1.0)
        self._dry = (DRY_EMISSIVITY + (BARE_EMISSIVITY - DRY_EMISSIVITY) * bare).astype(np.float32)

    def cells(self, water: np.ndarray, weather: DayWeather, rng: np.random.Generator) -> np.ndarray:
        """Brightness temperature of the cells in K."""
        skin = np.minimum(weather.air_c(self._altitude) + np.float32(273.15), np.float32(273.15))
        wet = 1 - np.exp(-water / np.float32(PMW_WATER_MM))
        emissivity = self._dry + (np.float32(WET_EMISSIVITY) - self._dry).clip(0) * wet
        seen = self._cells.mean(np.where(self._land, emissivity * skin, np.float32(OCEAN_K)))
        seen = gaussian_filter(seen, PMW_FOOTPRINT_CELLS, mode="nearest")
        return seen + PMW_NOISE_K * rng.standard_normal(seen.shape)

    def pixels(self, cells: np.ndarray) -> np.ndarray:
        """The cells on the 100-m grid, nearest neighbour."""
        return self._cells.pixels(cells)


class RegionalModel:
    """Liquid water of the top metre in a model of 6-km cells with its own weather and a terrain without detail.

    The model is too warm over ice by 1.5 K, wrong by about 1 K from day to day and from place to place, and knows
    neither channels nor lakes.
    """

    def __init__(self, terrain: Terrain):
        self._cells = Cells.over(terrain.shape, MAR_CELL_M, terrain.resolution)
        land = self._cells.mean(terrain.land)
        self._land = land >= 0.5
        altitude = self._cells.mean(terrain.altitude * terrain.land) / np.maximum(land, 0.05)
        nothing = np.zeros(altitude.shape, np.float32)
        surface = Surface(nothing, nothing, nothing, bareness_of(balance_of_altitude(altitude)), nothing)
        self._rules = MeltRules.of(altitude - 1e3 * MAR_WARM_BIAS_K / LAPSE_K_PER_KM, surface)
        self._water = nothing

    def step(self, weather: DayWeather) -> None:
        """Goes on by a day."""
        self._water = next_water(self._water, self._rules, weather, model=True)

    def pixels(self) -> np.ndarray:
        """Liquid water content in kg/kg on the 100-m grid, nearest neighbour; 0 on the ocean."""
        content = np.where(self._land, MAR_MOST_KG_KG * (1 - np.exp(-self._water / MAR_WATER_MM)), 0)
        return self._cells.pixels(content)


# ---- SAR -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """A radar image of a day.

    Attributes:
        day: The date.
        track: 0 to `TRACKS` - 1.
        patch: Whether a part of the swath is lost.
    """

    day: datetime.date
    track: int
    patch: bool


def plan_passes(seed: int, year: int) -> list[Pass]:
    """The days of April to September with a radar image, at least 2 and at most 12 days apart.

    Each of three tracks repeats every 6 days while two satellites fly, every 12 days from 2022 on (Sentinel-1B failed
    in December 2021); 2017 is sparse. Some images fail.
    """
    rng = np.random.default_rng([seed, year, 2])
    repeat, fails = (12, 0.05) if year >= 2022 else (6, 0.35 if year == 2017 else 0.08)
    offsets = {6: (0, 2, 4), 12: (0, 5, 9)}[repeat]
    first, last = datetime.date(year, 4, 1), datetime.date(year, 9, 30)
    shift = int(rng.integers(0, 3))
    passes: list[Pass] = []
    for number in range((last - first).days + 1):
        if (number - shift) % repeat not in offsets:
            continue
        day = first + datetime.timedelta(days=number)
        gap = (day - passes[-1].day).days if passes else number
        failed, patch = rng.random() < fails, rng.random() < 0.12
        if failed and gap + (6 if repeat == 12 else 2) <= 12:
            continue
        passes.append(Pass(day, offsets.index((number - shift) % repeat), bool(patch)))
    return passes


class SyntheticApertureRadar:
    """Melt fraction as thresholded backscatter gives it: speckle, missed and false detections, gaps.

    Track 0 sees all, track 1 misses a strip in the west, track 2 one in the east; edges follow the inclined orbit.
    Slopes that face the radar too steeply are lost. Each track has its own time of day: the evening tracks see more
    water than the morning one.
    """

    def __init__(self, terrain: Terrain):
        self._land = terrain.land
        _, east = terrain.slopes()
        rows, columns = terrain.shape
        across = np.arange(columns) / columns + 0.18 * (np.arange(rows)[:, None] / rows - 0.5)
        self._across = across.astype(np.float32)
        looks = (np.ones(terrain.shape, bool), across > 0.24, across < 0.72)
        facing = (east, -east, east)  # descending tracks look west, ascending ones east
        self._seen = [self._land & look & (slope < SHADOW_SLOPE) for look, slope in zip(looks, facing, strict=True)]

    def see(self, fraction: np.ndarray, image: Pass, rng: np.random.Generator) -> np.ndarray:
        """The image of a pass: melt fraction 0 to 1 in steps of a look, NaN on the ocean and where nothing was seen.

        Args:
            fraction: (y, x) true share of each pixel that is wet.
            image: Which pass it is.
            rng: Source of the noise.
        """
        shift = (-0.25, 0.2, 0.1)[image.track] + 0.15 * spread(rng.standard_normal((4, 4)), fraction.shape)
        odds = fraction / np.maximum(1 - fraction, 1e-4) * np.exp(shift)
        wet = odds / (1 + odds)
        detected = wet * (1 - MISSED) + (1 - wet) * FALSE
        # The normal form of a binomial of SUBPIXELS looks, smoothed a little: speckle is correlated.
        noise = gaussian_filter(rng.standard_normal(fraction.shape, dtype=np.float32), 0.6) / np.float32(0.47)
        image_values = detected + noise * np.sqrt(detected * (1 - detected) / SUBPIXELS)
        image_values = np.clip(np.rint(image_values * SUBPIXELS) / SUBPIXELS, 0, 1)
        seen = self._seen[image.track]
        if image.patch:
            start = float(rng.uniform(0.1, 0.8))
            seen = seen & ~((self._across > start) & (self._across < start + 0.15))
        return np.where(seen, image_values, np.nan).astype(np.float32)
