"""Liquid water at the surface and the melt fraction of a pixel, simulated day by day.

A degree-day model with a store: what melts enters it, cold refreezes it, runoff drains it. Deliberately simple: it is
to carry the information that the real problem has (altitude and season, weather, memory of some days, terrain finer
than any coarse cell), not to reproduce an energy balance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .melt_surface import Surface
from .melt_weather import DayWeather

SNOW_MM_PER_K_DAY, ICE_MM_PER_K_DAY = 3.5, 7.5  # degree-day factors of snow and bare ice
MELT_OFFSET_K = 0.5  # melt begins where the daily mean is this far below 0 C: afternoons are warmer
SUN_K = 1.0  # sunlight at midsummer counts as this much warmth
SLOPE_K = 1.8  # so does a steep slope to the south
SOFT_K = 0.7  # days are not of one temperature
REFREEZE_MM_PER_K_DAY = 2.2
DRAIN_DAYS, LAKE_DRAIN_DAYS = 3.0, 16.0
STORE_MM = 60.0  # what a pixel holds at most

HALF_WET_MM = 11.0  # water at which half of a pixel of middling wetness is wet
FRACTION_SPREAD = 0.6  # of the logarithm of the water at which a part of a pixel is wet
WETNESS_EFFECT, LAKE_EFFECT = 0.6, 1.4  # on that logarithm


@dataclass(frozen=True)
class MeltRules:
    """What of the surface counts, computed once for a grid of any resolution.

    Attributes:
        altitude: m.
        factor: Degree-day factor, mm/K/day.
        warmth: K, extra for sunlit slopes at midsummer.
        keep: Share of the water that is left after a day without melt.
        favour: Departure of the logarithm of the water at which half of the pixel is wet, below 0 where water gathers.
    """

    altitude: np.ndarray
    factor: np.ndarray
    warmth: np.ndarray
    keep: np.ndarray
    favour: np.ndarray

    @classmethod
    def of(cls, altitude: np.ndarray, surface: Surface) -> MeltRules:
        """The rules of a terrain."""
        factor = SNOW_MM_PER_K_DAY + (ICE_MM_PER_K_DAY - SNOW_MM_PER_K_DAY) * surface.bareness
        days = DRAIN_DAYS + (LAKE_DRAIN_DAYS - DRAIN_DAYS) * surface.lakes + 1.2 * np.clip(surface.wetness, 0, 3)
        days = days / (1 + 8 * np.clip(surface.steepness - 0.05, 0, 0.3))
        favour = -WETNESS_EFFECT * surface.wetness - LAKE_EFFECT * surface.lakes
        return cls(
            altitude.astype(np.float32),
            factor.astype(np.float32),
            (SUN_K + SLOPE_K * surface.sunlit).astype(np.float32),
            np.exp(-1 / days).astype(np.float32),
            favour.astype(np.float32),
        )


def next_water(water: np.ndarray, rules: MeltRules, weather: DayWeather, *, model: bool = False) -> np.ndarray:
    """Liquid water in mm at the end of a day, from that of the day before.

    Args:
        water: (y, x) mm.
        rules: Of the same grid.
        weather: Of the day.
        model: Whether to take the regional model's temperature in place of the true one.
    """
    warmth = weather.air_c(rules.altitude, model=model)
    warmth += np.float32(MELT_OFFSET_K)
    warmth += np.float32(weather.sun) * rules.warmth
    melt = rules.factor * _soft(warmth)
    frost = np.float32(REFREEZE_MM_PER_K_DAY) * _soft(-warmth)
    return np.clip(water * rules.keep + melt - frost, 0, np.float32(STORE_MM))


def _soft(values: np.ndarray) -> np.ndarray:
    """A positive part without a corner, for days that are warm for some hours only."""
    scaled = values * np.float32(1 / SOFT_K)
    return np.float32(SOFT_K) * (np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled))) - np.float32(0.05)).clip(0)


def wet_fraction(water: np.ndarray, favour: np.ndarray) -> np.ndarray:
    """Share of each pixel that is wet: log-logistic in the water, shifted to where the terrain gathers it.

    f = 1 / (1 + (half / water) ** (1 / spread)), half = HALF_WET_MM exp(favour).
    """
    scaled = (np.log(np.maximum(water, 1e-3) / np.float32(HALF_WET_MM)) - favour) / np.float32(FRACTION_SPREAD)
    return (0.5 * (1 + np.tanh(0.5 * scaled))).astype(np.float32)
