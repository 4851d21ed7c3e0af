"""Reflectance of the AHI solar bands (first version)."""

from __future__ import annotations

import numpy as np

TWILIGHT_ZENITH = (86.0, 90.0)
BANDS_UM = (0.47, 0.51, 0.64, 0.86, 1.61, 2.26, 3.89)
SOLAR_IRRADIANCE_39 = 10.4


def daylight(solar_zenith: np.ndarray) -> np.ndarray:
    """1 by day, 0 at night, falling linearly through twilight."""
    start, end = TWILIGHT_ZENITH
    return np.clip((end - solar_zenith) / (end - start), 0.0, 1.0).astype(np.float32)


def reflectance(clouds, cos_sun, cos_view, relative_azimuth, albedo, glint):
    """(pixels, 7) bidirectional reflectance factor."""
    liquid = clouds.liquid_optical_depth.sum(axis=0)
    ice = clouds.ice_optical_depth.sum(axis=0)
    out = np.zeros((len(liquid), 7), np.float32)
    rayleigh = (0.17, 0.12, 0.05, 0.015, 0.0, 0.0, 0.0)
    top_ice = 1 - np.exp(-0.5 * ice)
    liquid_max = (1, 1, 1, 1, 0.8, 0.6, 0.12)
    ice_max = (1, 1, 1, 1, 0.4, 0.35, 0.03)
    for band in range(7):
        surface = albedo[:, min(band, 5)] + glint
        peak = top_ice * ice_max[band] + (1 - top_ice) * liquid_max[band]
        tau = 0.15 * liquid + 0.23 * ice
        cloud = tau / (tau + 2 * cos_sun / 3 + 0.1)
        out[:, band] = peak * cloud + (1 - cloud) ** 2 * (surface + 0.5 * rayleigh[band] / (cos_sun + cos_view))
    return out
