"""Brightness temperatures of the ten AHI infrared bands: emission and absorption layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...tasks.cloud_phase import EMISSIVE_BANDS_UM, LEVEL_HEIGHT_KM
from .atmosphere import LEVEL_CENTERS_KM, LEVEL_EDGES_KM, Atmosphere, saturation_vapor_pressure
from .clouds import CloudColumns
from .optics import CloudOptics

_C1 = 1.191042972e8  # 2 h c**2 in W um**4 m-2 sr-1
_C2 = 1.438776877e4  # h c / k in um K
_WATER_VAPOR_GAS_CONSTANT = 461.5


@dataclass(frozen=True)
class GasAbsorption:
    """Absorption of one band along a vertical path from space.

    The transmittance along the vertical is `exp(-(line + continuum + (water U)**WATER_EXPONENT + fixed))`, and its
    exponent divided by the cosine of the view along a slant path. Coefficients were chosen so that clear-sky brightness
    temperatures and the peaks of the weighting functions agree with those known for AHI: 6.2, 6.9 and 7.3 um near 350,
    430 and 560 hPa in a moist atmosphere, 13.3 um low with a broad tail, 9.6 um with the ozone above the troposphere,
    and the windows with the water-vapor continuum growing with the square of the vapor pressure. They are plausible,
    not line by line.

    Attributes:
        line: Weak water-vapor lines, per mm of precipitable water.
        continuum: Self continuum, per mm of precipitable water and 10 hPa of vapor pressure at 296 K.
        water: Strong water-vapor band, per mm weighted by pressure / 500 hPa; exponent below.
        fixed: Well-mixed gases (CO2, N2O, N2), whole column.
        fixed_power: How the well-mixed absorption above a level grows with pressure.
        stratosphere: Optical depth above the highest level (ozone, CO2).
    """

    line: float = 0.0
    continuum: float = 0.0
    water: float = 0.0
    fixed: float = 0.0
    fixed_power: float = 1.5
    stratosphere: float = 0.0


WATER_EXPONENT = 0.8  # a band of many lines saturates more slowly than one line

GASES = {
    3.89: GasAbsorption(line=0.0018, continuum=0.0003, fixed=0.06),
    6.24: GasAbsorption(line=0.01, water=4.2, stratosphere=0.01),
    6.94: GasAbsorption(line=0.01, water=1.1, stratosphere=0.003),
    7.35: GasAbsorption(line=0.01, water=0.27, fixed=0.05, stratosphere=0.003),
    8.59: GasAbsorption(line=0.0065, continuum=0.0033, fixed=0.015),
    9.64: GasAbsorption(line=0.0015, continuum=0.0038, fixed=0.12, fixed_power=1.0, stratosphere=0.48),
    10.41: GasAbsorption(line=0.0008, continuum=0.0044),
    11.24: GasAbsorption(line=0.0013, continuum=0.0056, fixed=0.003),
    12.38: GasAbsorption(line=0.0027, continuum=0.0078, fixed=0.008),
    13.28: GasAbsorption(line=0.0040, continuum=0.0090, fixed=0.85, fixed_power=1.3, stratosphere=0.10),
}


def planck_radiance(wavelength_um: float, temperature_k: np.ndarray | np.floating) -> np.ndarray:
    """Black-body radiance, W m-2 sr-1 um-1."""
    return np.float32(_C1 / wavelength_um**5) / np.expm1(np.float32(_C2 / wavelength_um) / temperature_k)


def brightness_temperature(wavelength_um: float, radiance: np.ndarray) -> np.ndarray:
    """Temperature in K of a black body of a radiance in W m-2 sr-1 um-1."""
    return np.float32(_C2 / wavelength_um) / np.log1p(np.float32(_C1 / wavelength_um**5) / radiance)


@dataclass(frozen=True)
class AirColumns:
    """Air of some pixels by level. Arrays (levels [+ 1], pixels), float32, level 0 lowest.

    Attributes:
        center_k: Temperature at the level centers.
        edge_hpa: Pressure at the level edges.
        water_mm: Precipitable water in each level.
        vapor_hpa: Vapor pressure at the centers.
    """

    center_k: np.ndarray
    edge_hpa: np.ndarray
    water_mm: np.ndarray
    vapor_hpa: np.ndarray


def air_columns(atmosphere: Atmosphere, center_k: np.ndarray, cloudy: np.ndarray) -> AirColumns:
    """Pressure and water vapor; the air inside clouds is saturated.

    Args:
        atmosphere: Of the pixels, as from `Atmosphere.columns`.
        center_k: Temperature at the level centers, (levels, pixels).
        cloudy: Where a level holds cloud, (levels, pixels).
    """
    edge_k = atmosphere.temperature(LEVEL_EDGES_KM[:, None])
    edge_hpa = atmosphere.pressure(edge_k)
    humidity = np.where(cloudy, 0.98, atmosphere.relative_humidity(LEVEL_CENTERS_KM[:, None]))
    # above the tropopause the vapor pressure of 5 ppmv, never more than the humidity allows
    vapor_hpa = np.minimum(humidity * saturation_vapor_pressure(center_k), 40.0)
    vapor_hpa = np.maximum(vapor_hpa, 5e-6 * edge_hpa[1:])
    # hPa / (J kg-1 K-1 K) times km: 100 Pa, 1000 m, 1 kg m-2 = 1 mm
    water_mm = vapor_hpa * (1e5 * LEVEL_HEIGHT_KM) / (_WATER_VAPOR_GAS_CONSTANT * center_k)
    return AirColumns(center_k, edge_hpa.astype(np.float32), water_mm.astype(np.float32), vapor_hpa.astype(np.float32))


def _above(values: np.ndarray) -> np.ndarray:
    """Sum from each edge up to the top of the model, (levels + 1, pixels)."""
    total = np.zeros((len(values) + 1, *values.shape[1:]), np.float32)
    np.cumsum(values[::-1], axis=0, out=total[-2::-1])
    return total


def gas_optical_depths(air: AirColumns) -> dict[float, np.ndarray]:
    """Optical depth of the gases from each level edge to space along the vertical, by band, (levels + 1, pixels)."""
    water = _above(air.water_mm)
    temperature_factor = np.exp(1800.0 * (1.0 / air.center_k - 1.0 / 296.0))
    continuum = _above(air.water_mm * air.vapor_hpa * (0.1 * temperature_factor))
    middle_hpa = 0.5 * (air.edge_hpa[1:] + air.edge_hpa[:-1])
    broadened = _above(air.water_mm * (middle_hpa / 500.0))
    pressure = air.edge_hpa / 1013.25
    strong = np.maximum(broadened, 1e-12) ** WATER_EXPONENT
    depths = {}
    for band, gas in GASES.items():
        depth = gas.line * water + gas.continuum * continuum + gas.stratosphere
        if gas.water:
            depth = depth + gas.water**WATER_EXPONENT * strong
        if gas.fixed:
            depth = depth + gas.fixed * (pressure**gas.fixed_power - pressure[-1:] ** gas.fixed_power)
        depths[band] = depth.astype(np.float32)
    return depths


@dataclass(frozen=True)
class InfraredResult:
    """Radiances and what the solar part of the 3.9 um band needs.

    Attributes:
        radiance: (pixels, bands), W m-2 sr-1 um-1, without reflected sunlight and without noise.
        gas_depth_39: Vertical optical depth of the gases at 3.9 um above the highest cloud or the ground, (pixels,).
    """

    radiance: np.ndarray
    gas_depth_39: np.ndarray


def infrared_radiance(
    air: AirColumns,
    atmosphere: Atmosphere,
    clouds: CloudColumns,
    optics: CloudOptics,
    cos_view: np.ndarray,
    skin_k: np.ndarray,
    emissivity: np.ndarray,
) -> InfraredResult:
    """Upwelling radiance at the top of the atmosphere in the ten infrared bands.

    Each level emits by its absorption optical depth with the Planck function linear in optical depth between its lower
    and upper cloudy height; particles that scatter send a share of the radiance from above back up. The temperature is
    that of the air. Independent columns, no refraction.

    Args:
        air: Air by level.
        atmosphere: Of the pixels.
        clouds: Cloud by level.
        optics: Absorption and reflection by particles.
        cos_view: Cosine of the sensor zenith angle, (pixels,).
        skin_k: Skin temperature of the surface, (pixels,).
        emissivity: (pixels, bands).
    """
    depths = gas_optical_depths(air)
    slant = (1.0 / cos_view).astype(np.float32)
    lower_k = atmosphere.temperature(clouds.lower_km)
    upper_k = atmosphere.temperature(clouds.upper_km)
    radiance = np.empty((len(slant), len(EMISSIVE_BANDS_UM)), np.float32)
    top_edge = _reflecting_edge(clouds)
    absorption, backscatter = optics.infrared(clouds, cos_view)
    for index, band in enumerate(EMISSIVE_BANDS_UM):
        gas = depths[band] * slant
        cloud = _above(absorption[index] * slant)
        radiance[:, index] = _emission(
            planck_radiance(band, lower_k),
            planck_radiance(band, upper_k),
            planck_radiance(band, skin_k),
            planck_radiance(band, atmosphere.stratosphere_k),
            gas,
            cloud,
            backscatter[index],
            emissivity[:, index],
        )
    return InfraredResult(radiance, np.take_along_axis(depths[3.89], top_edge[None], axis=0)[0])


def _reflecting_edge(clouds: CloudColumns) -> np.ndarray:
    """Highest level edge with a visible optical depth of 0.3 above it, 0 (the ground) without such cloud, (pixels,)."""
    opaque = _above(clouds.optical_depth) > 0.3
    return np.where(opaque[0], opaque.sum(axis=0) - 1, 0)


def _emission(lower, upper, skin, stratosphere, gas, cloud, backscatter, emissivity) -> np.ndarray:
    """Integrates emission along the view.

    Args:
        lower: Planck radiance at the bottom of each level, (levels, pixels).
        upper: The same at the top.
        skin: Planck radiance of the surface, (pixels,).
        stratosphere: Planck radiance above the highest level, (pixels,).
        gas: Slant optical depth of the gases from each edge to space, (levels + 1, pixels).
        cloud: The same of particles.
        backscatter: Share of radiance from above that a level's particles send back instead of emitting.
        emissivity: Of the surface, (pixels,).
    """
    depth = gas + cloud
    transmittance = np.exp(-depth)
    layer = np.maximum(depth[:-1] - depth[1:], 1e-7)
    absorbed = -np.expm1(-layer)
    # Planck radiance linear in optical depth; written so that a thin level loses no digits in float32
    evenly = absorbed / layer
    source = upper * (1.0 - evenly) + lower * (evenly - 1.0 + absorbed)
    down = stratosphere * (1.0 - transmittance[-1])
    total = down.copy()
    emitted = transmittance[1:] * source
    for level in range(len(source) - 1, -1, -1):
        share = backscatter[level]
        total += emitted[level] * (1.0 - share) + transmittance[level + 1] * absorbed[level] * share * down
        down = down + (0.5 * (upper[level] + lower[level]) - down) * absorbed[level]
    return total + transmittance[0] * (emissivity * skin + (1.0 - emissivity) * down)
