"""Reflectance of the AHI solar bands, and the sunlight in the 3.9 um band: layers from a table, put on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .clouds import CloudColumns
from .optics import ICE_ROW, LIQUID_ROW, Angles, CloudOptics, Layer

TWILIGHT_ZENITH = (84.0, 90.0)  # the reflectance fades to zero between these solar zenith angles, degrees
SOLAR_IRRADIANCE_39 = 10.3  # W m-2 um-1 at 3.89 um, outside the atmosphere (Thuillier-type spectra, band 7 of AHI)

BANDS_UM = (0.47, 0.51, 0.64, 0.86, 1.61, 2.26, 3.89)
_TABLE_BAND = (0, 0, 0, 1, 2, 3, 4)  # droplets and crystals are alike at 0.47, 0.51 and 0.64 um
RAYLEIGH_DEPTH = (0.185, 0.133, 0.053, 0.016, 0.0, 0.0, 0.0)
"""Whole column at 1013 hPa (Bodhaine et al. 1999, J. Atmos. Oceanic Technol. 16, 1854)."""
GAS_DEPTH = (0.002, 0.010, 0.022, 0.006, 0.012, 0.020, 0.0)
"""Gases above a pixel on the ground, vertical: ozone at 0.51 and 0.64 um, water vapor, CO2 and CH4 beyond; 3.9 um is
treated with its emission."""
_OZONE_BANDS = 3  # ozone lies above all clouds, the others are scaled by pressure


@dataclass(frozen=True)
class CloudStack:
    """A column for sunlight: droplets above the ice, ice, droplets below it. Arrays (pixels,)."""

    upper_liquid: np.ndarray
    upper_radius_um: np.ndarray
    ice: np.ndarray
    ice_radius_um: np.ndarray
    lower_liquid: np.ndarray
    lower_radius_um: np.ndarray
    top_hpa: np.ndarray


def stack_clouds(clouds: CloudColumns, edge_hpa: np.ndarray) -> CloudStack:
    """Sums up the levels into three layers.

    Droplets count as above the ice where less than half of the ice lies above them. Radii are means weighted by what
    the imager sees: each level dimmed by the optical depth above it.

    Args:
        clouds: Cloud by level.
        edge_hpa: Pressure at the level edges, (levels + 1, pixels).
    """
    liquid, ice = clouds.liquid_optical_depth, clouds.ice_optical_depth
    total = liquid + ice
    above = np.cumsum(total[::-1], axis=0)[::-1] - total
    seen = np.exp(-above / 4.0)
    ice_above = np.cumsum(ice[::-1], axis=0)[::-1] - 0.5 * ice
    upper = np.where(ice_above < 0.5 * ice.sum(axis=0), liquid, 0.0)
    mean = lambda depth, radius, default: np.where(  # noqa: E731
        depth.sum(axis=0) > 0,
        (depth * seen * radius).sum(axis=0) / np.maximum((depth * seen).sum(axis=0), 1e-12),
        default,
    )
    lower = liquid - upper
    deep = (above < 0.5) & (above + total >= 0.5)
    level = np.where(deep.any(axis=0), len(deep) - np.argmax(deep[::-1], axis=0), 0)
    return CloudStack(
        upper.sum(axis=0),
        mean(upper, clouds.liquid_radius_um, 10.0),
        ice.sum(axis=0),
        mean(ice, clouds.ice_radius_um, 30.0),
        lower.sum(axis=0),
        mean(lower, clouds.liquid_radius_um, 10.0),
        np.take_along_axis(edge_hpa, level[None], axis=0)[0],
    )


def daylight(solar_zenith: np.ndarray) -> np.ndarray:
    """1 by day, 0 at night, falling linearly through low sun, where a plane-parallel reflectance loses its meaning."""
    start, end = TWILIGHT_ZENITH
    return np.clip((end - solar_zenith) / (end - start), 0.0, 1.0).astype(np.float32)


@dataclass
class _Ground:
    """What lies below the next layer: reflectance at the pixel's angles and albedo for isotropic light, (pixels, 7)."""

    reflectance: np.ndarray
    albedo: np.ndarray

    def covered_by(self, layer: Layer, columns: slice | list[int]) -> None:
        """Puts a layer on top, for some bands: adding method with the layer's light below taken as isotropic."""
        below, albedo = self.reflectance[:, columns], self.albedo[:, columns]
        bounce = 1.0 / (1.0 - layer.diffuse_albedo * albedo)
        self.reflectance[:, columns] = (
            layer.reflectance + layer.transmittance_sun * layer.transmittance_view * below * bounce
        )
        self.albedo[:, columns] = layer.diffuse_albedo + layer.diffuse_transmittance**2 * albedo * bounce


def _all_bands(layer: Layer) -> Layer:
    """From the bands of the table to `BANDS_UM`."""
    return Layer(**{name: values[:, _TABLE_BAND] for name, values in vars(layer).items()})


def reflectance(
    stack: CloudStack,
    optics: CloudOptics,
    cos_sun: np.ndarray,
    cos_view: np.ndarray,
    relative_azimuth: np.ndarray,
    albedo: np.ndarray,
    glint: np.ndarray,
) -> np.ndarray:
    """Bidirectional reflectance factor at the top of the atmosphere.

    Args:
        stack: Clouds.
        optics: The table.
        cos_sun: Cosine of the solar zenith angle, above 0, (pixels,).
        cos_view: Cosine of the sensor zenith angle.
        relative_azimuth: Degrees, 0 where the sun is behind the imager.
        albedo: Of the surface, (pixels, 7).
        glint: Reflectance of the sun glint, (pixels,).

    Returns:
        (pixels, 7), float32, for `BANDS_UM`.
    """
    angles = optics.angles(cos_sun, cos_view, relative_azimuth)
    # direct light alone makes the glint: any cloud or haze above scatters it away
    ground = _Ground((albedo + glint[:, None]).astype(np.float32), albedo.astype(np.float32).copy())
    share_above = np.where(stack.ice + stack.upper_liquid + stack.lower_liquid > 0, stack.top_hpa / 1013.25, 0.0)
    _add_air(ground, optics, angles, 1.0 - share_above)
    for row, depth, radius in (
        (LIQUID_ROW, stack.lower_liquid, stack.lower_radius_um),
        (ICE_ROW, stack.ice, stack.ice_radius_um),
        (LIQUID_ROW, stack.upper_liquid, stack.upper_radius_um),
    ):
        _add_cloud(ground, optics, angles, row, depth, radius)
    _add_air(ground, optics, angles, share_above)
    airmass = 1.0 / cos_view + 1.0 / np.maximum(cos_sun, 0.1)
    pressure = np.where(share_above > 0, share_above, 1.0)
    for band, gas_depth in enumerate(GAS_DEPTH):
        scale = np.ones_like(pressure) if band < _OZONE_BANDS else pressure
        ground.reflectance[:, band] *= np.exp(-gas_depth * scale * airmass)
    return ground.reflectance


def _add_air(ground: _Ground, optics: CloudOptics, angles: Angles, share: np.ndarray) -> None:
    for band, depth in enumerate(RAYLEIGH_DEPTH):
        if depth > 0:
            ground.covered_by(optics.rayleigh_layer(depth * share, angles), slice(band, band + 1))


def _add_cloud(
    ground: _Ground, optics: CloudOptics, angles: Angles, row: int, depth: np.ndarray, radius_um: np.ndarray
) -> None:
    cloudy = np.flatnonzero(depth > 1e-4)
    if not len(cloudy):
        return
    here = Angles(**{name: values[cloudy] for name, values in vars(angles).items()})
    layer = _all_bands(optics.cloud_layer(row, depth[cloudy], radius_um[cloudy], here))
    some = _Ground(ground.reflectance[cloudy], ground.albedo[cloudy])
    some.covered_by(layer, slice(None))
    ground.reflectance[cloudy], ground.albedo[cloudy] = some.reflectance, some.albedo
