"""Temperature, pressure and humidity by height, from latitude and season."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...tasks.cloud_phase import LEVEL_HEIGHT_KM, NUM_LEVELS
from .random_fields import gaussian_field, red_spectrum

LEVEL_EDGES_KM = np.arange(NUM_LEVELS + 1, dtype=np.float32) * LEVEL_HEIGHT_KM
LEVEL_CENTERS_KM = LEVEL_EDGES_KM[:-1] + np.float32(LEVEL_HEIGHT_KM / 2)

FREEZING_K = 273.15
HOMOGENEOUS_FREEZING_K = FREEZING_K - 38.0  # below this temperature every cloud is ice
_GRAVITY_OVER_GAS_CONSTANT = 34.163  # K per km


@dataclass(frozen=True)
class Atmosphere:
    """The few numbers of each pixel from which its profiles follow. All arrays (rows, columns), float32.

    Attributes:
        surface_air_k: Air temperature at the surface.
        surface_pressure_hpa: Pressure at the surface (sea level).
        tropopause_km: Height of the tropopause.
        tropopause_k: Temperature there.
        stratosphere_lapse: Temperature change with height above the tropopause, K per km.
        boundary_humidity: Relative humidity in the boundary layer, 0..1.
        free_humidity: Relative humidity in the middle troposphere, 0..1.
        inversion_k: Warming across the top of the boundary layer.
        inversion_km: Height of that inversion.
        stratosphere_k: Mean emission temperature above the highest level.
    """

    surface_air_k: np.ndarray
    surface_pressure_hpa: np.ndarray
    tropopause_km: np.ndarray
    tropopause_k: np.ndarray
    stratosphere_lapse: np.ndarray
    boundary_humidity: np.ndarray
    free_humidity: np.ndarray
    inversion_k: np.ndarray
    inversion_km: np.ndarray
    stratosphere_k: np.ndarray

    def columns(self, index) -> Atmosphere:
        """The same for some pixels of the flattened grid."""
        return Atmosphere(**{name: value.reshape(-1)[index] for name, value in vars(self).items()})

    def temperature(self, height_km: np.ndarray) -> np.ndarray:
        """Temperature in K at heights that broadcast against the pixels.

        Below the tropopause a parabola through surface and tropopause, with the lapse rate growing with height as in a
        moist adiabat; a smooth step adds the boundary-layer inversion, which fades over the 3 km above it.
        """
        fraction = np.minimum(height_km / self.tropopause_km, 1.0)
        profile = self.surface_air_k + (self.tropopause_k - self.surface_air_k) * fraction * (0.82 + 0.18 * fraction)
        above_inversion = height_km - self.inversion_km
        step = np.clip(above_inversion / 0.25, 0.0, 1.0) * np.clip(1.0 - above_inversion / 3.0, 0.0, 1.0)
        above = np.maximum(height_km - self.tropopause_km, 0.0)
        return profile + self.inversion_k * step + self.stratosphere_lapse * above

    def pressure(self, edge_temperature_k: np.ndarray) -> np.ndarray:
        """Hydrostatic pressure in hPa at the level edges, (levels + 1, ...), from the temperature there."""
        mean = 0.5 * (edge_temperature_k[1:] + edge_temperature_k[:-1])
        thickness = np.cumsum(_GRAVITY_OVER_GAS_CONSTANT * LEVEL_HEIGHT_KM / mean, axis=0)
        return np.concatenate(
            [self.surface_pressure_hpa[None], self.surface_pressure_hpa[None] * np.exp(-thickness)], axis=0
        )

    def relative_humidity(self, height_km: np.ndarray) -> np.ndarray:
        """Relative humidity (over liquid above freezing, over ice far below), 0..1, outside clouds."""
        boundary = np.clip((self.inversion_km + 0.8 - height_km) / 0.8, 0.0, 1.0)
        troposphere = self.free_humidity + (self.boundary_humidity - self.free_humidity) * boundary
        above = np.clip((height_km - self.tropopause_km + 1.0) / 2.5, 0.0, 1.0)
        return troposphere * (1.0 - above) + 0.02 * above


def saturation_vapor_pressure(temperature_k: np.ndarray) -> np.ndarray:
    """Saturation vapor pressure in hPa: over liquid above freezing, over ice below -23 C, blended between.

    Alduchov and Eskridge 1996 (J. Appl. Meteor. 35, 601), equations 21 and 23.
    """
    celsius = np.maximum(temperature_k, 150.0) - FREEZING_K
    liquid = 6.1094 * np.exp(17.625 * celsius / (celsius + 243.04))
    ice = 6.1121 * np.exp(22.587 * celsius / (celsius + 273.86))
    share = np.clip((celsius + 23.0) / 23.0, 0.0, 1.0)
    return ice + (liquid - ice) * share


def draw_atmosphere(rng: np.random.Generator, latitude: np.ndarray, declination: float, land: np.ndarray) -> Atmosphere:
    """An atmosphere for the latitudes of a scene and a season.

    The means follow zonal climatology (sea surface 301 K near the thermal equator, 276 K at 60 degrees in this season;
    tropopause 16.5 km and 194 K in the tropics, 9 km and 220 K at high latitude); each scene departs from them by a
    weather anomaly, larger outside the tropics, with gradients across the scene.

    Args:
        rng: Source of randomness.
        latitude: (rows, columns), degrees.
        declination: Of the sun, degrees: places the thermal equator and the winter hemisphere.
        land: (rows, columns), 0..1.
    """
    shape = latitude.shape
    distance = np.abs(latitude - 0.25 * declination)
    weather = gaussian_field(rng, shape, red_spectrum(800.0, 3.5))
    extratropical = _smooth_step(15.0, 45.0, distance)
    anomaly_k = rng.normal(0, 1.0) + (rng.normal(0, 3.0) + 1.5 * weather) * extratropical
    winter = np.clip(-latitude * declination / 900.0, -1.0, 1.0)  # 1 at 40 degrees latitude at the winter solstice
    ocean_k = 301.0 - 36.5 * np.sin(np.radians(np.minimum(distance, 90.0))) ** 2.6 - 1.5 * np.maximum(winter, 0.0)
    air_k = ocean_k + anomaly_k - land * extratropical * (9.0 * np.maximum(winter, 0.0) - 2.0 * np.minimum(winter, 0.0))
    tropical = 1.0 - _smooth_step(20.0, 50.0, distance + 4.0 * weather * extratropical)
    tropopause_km = 9.3 + 7.2 * tropical + rng.normal(0, 0.4) + 0.1 * anomaly_k
    tropopause_k = 219.0 - 25.0 * tropical + rng.normal(0, 1.5)
    subtropical = _smooth_step(10.0, 20.0, distance) * (1.0 - _smooth_step(28.0, 42.0, distance))
    free = (0.15 + 0.7 * rng.beta(2.2, 2.8)) * (1.0 - 0.45 * subtropical)
    moisture = gaussian_field(rng, shape, red_spectrum(300.0, 3.2))
    as_field = lambda value: np.broadcast_to(np.asarray(value, np.float32), shape).astype(np.float32)  # noqa: E731
    return Atmosphere(
        surface_air_k=as_field(air_k),
        surface_pressure_hpa=as_field(
            np.clip(1012.0 + rng.normal(0, 3.0) + rng.normal(0, 9.0) * extratropical, 960, 1045)
        ),
        tropopause_km=as_field(np.clip(tropopause_km, 7.5, 17.8)),
        tropopause_k=as_field(np.clip(tropopause_k, 186.0, 228.0)),
        stratosphere_lapse=as_field(0.3 + 2.2 * tropical),
        boundary_humidity=as_field(np.clip(0.80 + rng.normal(0, 0.05) - 0.15 * land, 0.4, 0.95)),
        free_humidity=as_field(np.clip(free * (1.0 + 0.2 * moisture), 0.05, 0.9)),
        inversion_k=as_field(np.clip(rng.normal(2.5, 2.0), 0.0, 8.0) * (1.0 - land)),
        inversion_km=as_field(np.clip(rng.normal(1.6, 0.5), 0.6, 3.0)),
        stratosphere_k=as_field(222.0 + 4.0 * tropical),
    )


def _smooth_step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
