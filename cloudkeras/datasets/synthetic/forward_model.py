"""From air, clouds and surface to the sixteen bands of AHI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...tasks.cloud_phase import EMISSIVE_BANDS_UM, REFLECTIVE_BANDS_UM
from .atmosphere import LEVEL_CENTERS_KM, Atmosphere
from .clouds import DETECTION_OPTICAL_DEPTH, CloudColumns
from .geometry import Geometry
from .infrared import air_columns, brightness_temperature, infrared_radiance, planck_radiance
from .optics import CloudOptics
from .solar import SOLAR_IRRADIANCE_39, daylight, reflectance, stack_clouds
from .surface import Surface, glint_reflectance

NOISE_EQUIVALENT_K = (0.16, 0.40, 0.10, 0.32, 0.10, 0.10, 0.10, 0.10, 0.10, 0.30)
"""Noise-equivalent temperature difference at 300 K (240 K for 6.2 um), specification of AHI bands 7 to 16."""
SIGNAL_TO_NOISE = 300.0  # at a reflectance of 1, AHI bands 1 to 6
REFLECTANCE_MAXIMUM = 1.6
TEMPERATURE_RANGE_K = (180.0, 340.0)


@dataclass(frozen=True)
class Image:
    """What the imager sees.

    Attributes:
        reflectance: (pixels, 6), bidirectional reflectance factor.
        brightness_temperature: (pixels, 10), K.
    """

    reflectance: np.ndarray
    brightness_temperature: np.ndarray


def simulate_image(
    atmosphere: Atmosphere,
    surface: Surface,
    geometry: Geometry,
    clouds: CloudColumns,
    optics: CloudOptics,
    index,
    noise: np.ndarray | None = None,
) -> Image:
    """Simulates the sixteen bands for some pixels of a scene.

    Args:
        atmosphere: Of the whole scene.
        surface: Of the whole scene.
        geometry: Of the whole scene.
        clouds: Of these pixels.
        optics: Radiative properties of the particles.
        index: The pixels, into the flattened grid.
        noise: Standard normal numbers, (pixels, 16); None leaves the noise out.
    """
    at = lambda values: values.reshape(-1)[index]  # noqa: E731
    air = atmosphere.columns(index)
    center_k = air.temperature(LEVEL_CENTERS_KM[:, None]).astype(np.float32)
    cos_view = np.cos(np.radians(at(geometry.sensor_zenith)))
    zenith = at(geometry.solar_zenith)
    columns = air_columns(air, center_k, clouds.optical_depth > DETECTION_OPTICAL_DEPTH)
    emissivity = surface.emissivity(index)
    infrared = infrared_radiance(
        columns,
        air,
        clouds,
        optics,
        cos_view,
        air.surface_air_k + at(surface.skin_offset_k),
        emissivity,
    )
    radiance = infrared.radiance
    day = daylight(zenith)
    reflected = np.zeros((len(zenith), len(REFLECTIVE_BANDS_UM)), np.float32)
    if day.any():
        cos_sun = np.maximum(np.cos(np.radians(zenith)), 0.05)
        azimuth = at(geometry.relative_azimuth)
        glint = surface.cover.reshape(-1, 4)[index][:, 0] * glint_reflectance(
            cos_sun, cos_view, azimuth, surface.wind_m_s
        )
        albedo = np.concatenate([surface.albedo(index), 1.0 - emissivity[:, :1]], axis=1)
        stack = stack_clouds(clouds, columns.edge_hpa)
        solar = reflectance(stack, optics, cos_sun, cos_view, azimuth, albedo, glint) * day[:, None]
        reflected = solar[:, :6]
        through_gas = np.exp(-infrared.gas_depth_39 * (1.0 / cos_view + 1.0 / cos_sun))
        radiance[:, 0] += solar[:, 6] * SOLAR_IRRADIANCE_39 / np.pi * cos_sun * through_gas
    if noise is not None:
        reflected = reflected + noise[:, :6] * (np.sqrt(0.1 + reflected) / SIGNAL_TO_NOISE) * day[:, None]
        radiance = radiance + noise[:, 6:] * _radiance_noise()
    return Image(np.clip(reflected, 0.0, REFLECTANCE_MAXIMUM), _temperatures(radiance))


def _radiance_noise() -> np.ndarray:
    """Standard deviation of the noise of each infrared band, W m-2 sr-1 um-1."""
    reference = [240.0 if band == 6.24 else 300.0 for band in EMISSIVE_BANDS_UM]
    step = 0.5
    return np.array(
        [
            (planck_radiance(b, np.float32(t + step)) - planck_radiance(b, np.float32(t - step))) / (2 * step) * k
            for b, t, k in zip(EMISSIVE_BANDS_UM, reference, NOISE_EQUIVALENT_K, strict=True)
        ],
        np.float32,
    )


def _temperatures(radiance: np.ndarray) -> np.ndarray:
    low, high = (np.float32(t) for t in TEMPERATURE_RANGE_K)
    bands = [
        brightness_temperature(band, np.maximum(radiance[:, i], planck_radiance(band, low)))
        for i, band in enumerate(EMISSIVE_BANDS_UM)
    ]
    return np.clip(np.stack(bands, axis=1), low, high)
