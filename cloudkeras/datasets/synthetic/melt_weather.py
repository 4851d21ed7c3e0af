"""Air temperature over the simulated terrain, day by day: season, synoptic weather, lapse rate, slow maps.

The climate is that of the south-east coast of Greenland in round numbers (some -8 C in January and 6 C in July at sea
level, a degree or two less over ice); nothing is fitted to a station.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

SEASON_MEAN_C, SEASON_RANGE_C, WARMEST_DAY = -1.5, 6.6, 203
LAPSE_K_PER_KM = 6.2
SYNOPTIC_K, SYNOPTIC_DAYS = 2.2, 5.0
YEAR_K = 0.7
LAPSE_SPREAD_K_PER_KM, LAPSE_DAYS = 0.8, 5.0
MAP_K, MAP_KM, MAP_DAYS = 1.1, 25.0, 4.0
MODEL_DAY_K, MODEL_MAP_K, MODEL_DAYS = 1.2, 1.2, 2.0


@dataclass(frozen=True)
class DayWeather:
    """Weather of a day.

    Attributes:
        day: The date.
        sea_level_c: Daily mean air temperature at sea level.
        lapse_k_per_km: Decrease of temperature with altitude.
        sun: 0 in midwinter to 1 at midsummer.
        map_k: (y, x) departure from place to place on a coarse grid; `spread` brings it to the pixels.
        error_k: Of the day's temperature in the regional model.
        error_map_k: (y, x) of that error from place to place, on the same coarse grid.
    """

    day: datetime.date
    sea_level_c: float
    lapse_k_per_km: float
    sun: float
    map_k: np.ndarray
    error_k: float
    error_map_k: np.ndarray

    def air_c(self, altitude: np.ndarray, *, model: bool = False) -> np.ndarray:
        """Daily mean air temperature in C over a terrain of any shape, as it is or as the regional model has it."""
        field = self.map_k + self.error_map_k if model else self.map_k
        sea_level = self.sea_level_c + (self.error_k if model else 0.0)
        air = spread(field, altitude.shape)
        air += np.float32(sea_level)
        air -= np.float32(self.lapse_k_per_km / 1e3) * altitude
        return air


def year_weather(seed: int, year: int, shape: tuple[int, int], resolution_m: float = 100.0) -> Iterator[DayWeather]:
    """The weather of January to September, the same for the same seed and year.

    Slow quantities are first-order autoregressive, with their spread and memory as named at the top of this file.
    """
    rng = np.random.default_rng([seed, year, 1])
    cells = [max(4, round(n * resolution_m / 1e3 / (MAP_KM / 4)) + 2) for n in shape]
    anomaly = YEAR_K * rng.standard_normal()
    synoptic, lapse, error = rng.standard_normal(3)
    field, error_field = _map(rng, cells), _map(rng, cells)
    day = datetime.date(year, 1, 1)
    while day.month <= 9:
        number = day.timetuple().tm_yday
        season = np.cos(2 * np.pi * (number - WARMEST_DAY) / 365.25)
        yield DayWeather(
            day,
            SEASON_MEAN_C + SEASON_RANGE_C * season + anomaly + SYNOPTIC_K * (1.25 - 0.4 * season) * synoptic,
            float(np.clip(LAPSE_K_PER_KM + LAPSE_SPREAD_K_PER_KM * lapse, 3.5, 8.5)),
            float(np.clip(0.5 + 0.5 * np.cos(2 * np.pi * (number - 172) / 365.25), 0, 1)),
            MAP_K * field,
            MODEL_DAY_K * error,
            MODEL_MAP_K * error_field,
        )
        synoptic = _step(synoptic, SYNOPTIC_DAYS, rng.standard_normal())
        lapse = _step(lapse, LAPSE_DAYS, rng.standard_normal())
        error = _step(error, MODEL_DAYS, rng.standard_normal())
        field = _step(field, MAP_DAYS, _map(rng, cells))
        error_field = _step(error_field, MODEL_DAYS, _map(rng, cells))
        day += datetime.timedelta(days=1)


def spread(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolates a coarse map linearly to all pixels, float32."""
    rows, columns = (np.linspace(0, n - 1, m) for n, m in zip(coarse.shape, shape, strict=True))
    # Separable: along the columns of the coarse rows first, so that the full grid is touched once.
    narrow = np.stack([np.interp(columns, np.arange(coarse.shape[1]), line) for line in coarse])
    before = np.minimum(rows.astype(int), coarse.shape[0] - 2)
    weight = (rows - before).astype(np.float32)[:, None]
    narrow = narrow.astype(np.float32)
    return narrow[before] * (1 - weight) + narrow[before + 1] * weight


def _step(value: Any, days: float, fresh: Any) -> Any:
    """One day of a first-order autoregressive quantity with the given memory."""
    memory = np.exp(-1.0 / days)
    return memory * value + np.sqrt(1 - memory**2) * fresh


def _map(rng: np.random.Generator, cells: list[int]) -> np.ndarray:
    """Noise of mean 0 and variance 1 with a correlation length of two cells."""
    white = rng.standard_normal([n + 12 for n in cells])
    smooth = gaussian_filter(white, 1.5)[6:-6, 6:-6]
    return smooth * (2 * np.sqrt(np.pi) * 1.5)
