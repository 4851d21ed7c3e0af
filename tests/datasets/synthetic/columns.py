"""Single columns for the tests of the simulator: an atmosphere and cloud layers that are the same in all pixels."""

from __future__ import annotations

import numpy as np

from cloudkeras.datasets.synthetic.atmosphere import LEVEL_CENTERS_KM, Atmosphere
from cloudkeras.datasets.synthetic.clouds import CloudLayer, Glaciation, cloud_columns
from cloudkeras.datasets.synthetic.infrared import air_columns, brightness_temperature, infrared_radiance
from cloudkeras.datasets.synthetic.scenes import cloud_optics
from cloudkeras.tasks.cloud_phase import EMISSIVE_BANDS_UM

BAND = {wavelength: i for i, wavelength in enumerate(EMISSIVE_BANDS_UM)}

TROPICS = dict(surface_air_k=300.0, tropopause_km=16.5, tropopause_k=194.0, free_humidity=0.45)
MIDDLE = dict(surface_air_k=282.0, tropopause_km=10.5, tropopause_k=217.0, free_humidity=0.45)
DRY = dict(surface_air_k=282.0, tropopause_km=10.5, tropopause_k=217.0, free_humidity=0.0, boundary_humidity=0.0)


def atmosphere(pixels: int, **changes) -> Atmosphere:
    values = dict(
        surface_pressure_hpa=1013.0,
        stratosphere_lapse=1.0,
        boundary_humidity=0.8,
        inversion_k=0.0,
        inversion_km=1.5,
        stratosphere_k=224.0,
    )
    return Atmosphere(**{k: np.full(pixels, v, np.float32) for k, v in (values | changes).items()})


def layer(pixels: int, base_km, top_km, optical_depth, *, half_ice_k=20.0, radius_um=10.0) -> CloudLayer:
    spread = lambda v: np.broadcast_to(np.asarray(v, np.float32), (pixels,)).copy()  # noqa: E731
    latent = np.zeros((2, pixels), np.float32)
    return CloudLayer(
        "test",
        spread(base_km),
        spread(top_km),
        spread(optical_depth),
        Glaciation(half_ice_k),
        latent,
        (0.0, 0.0),
        radius_um,
    )


def temperatures(air, layers=(), *, cos_view=1.0, skin_k=None, emissivity=0.985) -> np.ndarray:
    """Brightness temperatures (pixels, 10) of cloud layers in an atmosphere, at night and without noise."""
    pixels = len(air.surface_air_k)
    center_k = air.temperature(LEVEL_CENTERS_KM[:, None]).astype(np.float32)
    clouds = cloud_columns(layers, center_k)
    result = infrared_radiance(
        air_columns(air, center_k, clouds.optical_depth > 0),
        air,
        clouds,
        cloud_optics(),
        np.broadcast_to(np.float32(cos_view), (pixels,)),
        air.surface_air_k if skin_k is None else np.full(pixels, skin_k, np.float32),
        np.full((pixels, 10), emissivity, np.float32),
    )
    return np.stack([brightness_temperature(b, result.radiance[:, i]) for i, b in enumerate(EMISSIVE_BANDS_UM)], axis=1)
