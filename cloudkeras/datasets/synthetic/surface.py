"""Land and sea, surface albedo and emissivity by AHI band, skin temperature, sun glint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ...tasks.cloud_phase import EMISSIVE_BANDS_UM, REFLECTIVE_BANDS_UM
from .random_fields import gaussian_field, red_spectrum

# Typical values at the band wavelengths: ocean from Jin et al. 2004 (Geophys. Res. Lett. 31, L22301), land covers and
# snow rounded from the ECOSTRESS spectral library (Meerdink et al. 2019, Remote Sens. Environ. 230, 111196).
ALBEDO = {  #        0.47  0.51  0.64  0.86  1.61  2.26
    "ocean": (0.045, 0.040, 0.025, 0.018, 0.012, 0.010),
    "vegetation": (0.040, 0.065, 0.050, 0.330, 0.190, 0.090),
    "bare": (0.110, 0.150, 0.240, 0.320, 0.400, 0.350),
    "snow": (0.880, 0.870, 0.850, 0.780, 0.120, 0.090),
}
EMISSIVITY = {  #   3.89   6.24  6.94  7.35  8.59   9.64   10.41  11.24  12.38  13.28
    "ocean": (0.975, 0.98, 0.98, 0.98, 0.983, 0.986, 0.990, 0.991, 0.987, 0.980),
    "vegetation": (0.960, 0.98, 0.98, 0.98, 0.965, 0.968, 0.975, 0.977, 0.979, 0.980),
    "bare": (0.880, 0.95, 0.95, 0.95, 0.900, 0.910, 0.950, 0.958, 0.967, 0.970),
    "snow": (0.985, 0.98, 0.98, 0.98, 0.988, 0.990, 0.995, 0.993, 0.982, 0.975),
}
COVERS = ("ocean", "vegetation", "bare", "snow")
_ALBEDO = np.array([ALBEDO[c] for c in COVERS], np.float32)
_EMISSIVITY = np.array([EMISSIVITY[c] for c in COVERS], np.float32)


@dataclass(frozen=True)
class Surface:
    """The ground of each pixel.

    Attributes:
        cover: Shares of `COVERS`, (rows, columns, 4), they add to 1.
        texture: Relative variation of the albedo, (rows, columns).
        skin_offset_k: Skin minus air temperature, (rows, columns).
        wind_m_s: Wind over the ocean, for the sun glint.
    """

    cover: np.ndarray
    texture: np.ndarray
    skin_offset_k: np.ndarray
    wind_m_s: float

    def albedo(self, index) -> np.ndarray:
        """Albedo of some pixels of the flattened grid, (pixels, 6 reflective bands), without sun glint."""
        return self._mix(_ALBEDO, index) * self.texture.reshape(-1)[index][:, None]

    def emissivity(self, index) -> np.ndarray:
        """Emissivity of some pixels of the flattened grid, (pixels, 10 emissive bands)."""
        return self._mix(_EMISSIVITY, index)

    def _mix(self, values: np.ndarray, index) -> np.ndarray:
        return self.cover.reshape(-1, len(COVERS))[index] @ values


def draw_land(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Share of land in each pixel, (rows, columns) 0..1: open sea in 60 % of the scenes, coasts or land in the rest."""
    kind = rng.random()
    if kind < 0.6:
        return np.zeros(shape, np.float32)
    field = gaussian_field(rng, shape, red_spectrum(400.0, 3.0))
    share = 0.97 if kind > 0.88 else rng.uniform(0.15, 0.7)
    return np.clip(0.5 + 8.0 * (field + ndtri(share)), 0.0, 1.0).astype(np.float32)


def draw_surface(rng: np.random.Generator, land: np.ndarray, air_k: np.ndarray, solar_zenith: np.ndarray) -> Surface:
    """Draws land covers and skin temperature.

    Args:
        rng: Source of randomness.
        land: Share of land, (rows, columns).
        air_k: Air temperature at the surface, (rows, columns): snow lies where it is well below freezing.
        solar_zenith: Degrees; warms dry land by day.
    """
    field = gaussian_field(rng, land.shape, red_spectrum(120.0, 2.8))
    bare = np.clip(0.5 + 1.2 * (field + rng.normal(-1.1, 0.9)), 0.02, 0.95)
    snow = np.clip((271.0 - air_k + 1.5 * field) / 4.0, 0.0, 0.95)
    cover = np.stack([1 - land, land * (1 - snow) * (1 - bare), land * (1 - snow) * bare, land * snow], axis=-1)
    sun = np.maximum(np.cos(np.radians(solar_zenith)), 0.0)
    warming = land * (1 - snow) * ((4.0 + 14.0 * bare) * sun - 3.0 * (sun <= 0)) + (1 - land) * rng.normal(0.5, 0.5)
    texture = 1.0 + land * 0.12 * np.clip(gaussian_field(rng, land.shape, red_spectrum(30.0)), -2, 2)
    return Surface(
        cover.astype(np.float32), texture.astype(np.float32), warming.astype(np.float32), float(rng.gamma(4.0, 1.7))
    )


def glint_reflectance(
    cos_sun: np.ndarray, cos_view: np.ndarray, relative_azimuth: np.ndarray, wind_m_s: float
) -> np.ndarray:
    """Sun glint of a wind-ruffled sea, as bidirectional reflectance factor (Cox and Munk 1954, isotropic slopes).

    Args:
        cos_sun: Cosine of the solar zenith angle.
        cos_view: Cosine of the sensor zenith angle.
        relative_azimuth: Degrees, 180 where the imager faces the sun.
        wind_m_s: Wind speed.
    """
    sin_product = np.sqrt(np.maximum((1 - cos_sun**2) * (1 - cos_view**2), 0.0))
    # angle between the directions towards the sun and towards the imager: twice the angle of incidence
    cos_double = cos_sun * cos_view + sin_product * np.cos(np.radians(relative_azimuth))
    cos_incidence = np.sqrt(np.maximum(0.5 * (1 + cos_double), 1e-6))
    cos_tilt = np.clip((cos_sun + cos_view) / (2 * cos_incidence), 1e-3, 1.0)
    variance = 0.003 + 0.00512 * wind_m_s
    slopes = np.exp(-(1 / cos_tilt**2 - 1) / variance) / (np.pi * variance)
    refracted = np.sqrt(1 - (1 - cos_incidence**2) / 1.34**2)
    parallel = (1.34 * cos_incidence - refracted) / (1.34 * cos_incidence + refracted)
    perpendicular = (cos_incidence - 1.34 * refracted) / (cos_incidence + 1.34 * refracted)
    fresnel = 0.5 * (parallel**2 + perpendicular**2)
    return np.pi * fresnel * slopes / (4 * np.maximum(cos_sun, 0.05) * np.maximum(cos_view, 0.05) * cos_tilt**4)


NUM_REFLECTIVE, NUM_EMISSIVE = len(REFLECTIVE_BANDS_UM), len(EMISSIVE_BANDS_UM)
