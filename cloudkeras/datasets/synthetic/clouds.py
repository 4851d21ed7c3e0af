"""Cloud layers on the image grid, and what they put into each level: optical depth, phase, particle size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...tasks.cloud_phase import LEVEL_HEIGHT_KM, NUM_LEVELS
from .atmosphere import FREEZING_K, HOMOGENEOUS_FREEZING_K, LEVEL_CENTERS_KM, LEVEL_EDGES_KM

CLEAR, ICE, MIXED, LIQUID = range(4)

DETECTION_OPTICAL_DEPTH = 0.02
"""Visible optical depth in a level of 500 m from which the truth calls it cloud: what a spaceborne lidar and radar
together still detect (about 0.03 for subvisible cirrus at 5 km averaging, CALIOP, Winker et al. 2009)."""

PURE_PHASE_SHARE = 0.1  # a level is mixed when each phase has at least this share of its optical depth


@dataclass(frozen=True)
class Glaciation:
    """How likely a cloud layer is ice between 0 and -38 C.

    Attributes:
        half_ice_k: Supercooling in K at which half of the layer is glaciated.
        width_k: Supercooling over which the latent field's one standard deviation shifts that point.
        mixed_halfwidth: Half the width of the mixed category, in standard deviations of the latent field.
        liquid_top: Shift towards liquid at cloud top and towards ice at the base, in the same unit.
    """

    half_ice_k: float
    width_k: float = 5.0
    mixed_halfwidth: float = 0.8
    liquid_top: float = 0.0


@dataclass(frozen=True)
class CloudLayer:
    """One cloud layer. Arrays (rows, columns), float32.

    Attributes:
        regime: What it is, e.g. "cirrus".
        base_km: Cloud base.
        top_km: Cloud top, at or above the base.
        optical_depth: Visible optical depth of the whole layer, 0 where there is none.
        glaciation: Its phase between 0 and -38 C.
        latent: Two fields of variance 1 (2, rows, columns): they set the phase at the base and at the top, blended
            between, so that phases form patches in the horizontal and the vertical.
        shape: Exponents (a, b) of the extinction profile `s**a (1 - s)**b`, s = 0 at the base and 1 at the top.
        liquid_radius_um: Effective radius of the droplets, at the top of the layer.
    """

    regime: str
    base_km: np.ndarray
    top_km: np.ndarray
    optical_depth: np.ndarray
    glaciation: Glaciation
    latent: np.ndarray
    shape: tuple[float, float] = (0.0, 0.0)
    liquid_radius_um: float = 10.0

    def columns(self, index) -> CloudLayer:
        """The same for some pixels of the flattened grid."""
        return CloudLayer(
            self.regime,
            self.base_km.reshape(-1)[index],
            self.top_km.reshape(-1)[index],
            self.optical_depth.reshape(-1)[index],
            self.glaciation,
            self.latent.reshape(2, -1)[:, index],
            self.shape,
            self.liquid_radius_um,
        )


@dataclass(frozen=True)
class CloudColumns:
    """Clouds by level. Arrays (levels, pixels), float32, level 0 lowest.

    Attributes:
        liquid_optical_depth: Visible optical depth of droplets in each level.
        ice_optical_depth: The same of ice crystals.
        liquid_radius_um: Effective radius of the droplets.
        ice_radius_um: Effective radius of the crystals.
        lower_km: Lowest cloudy height within each level.
        upper_km: Highest cloudy height within each level.
    """

    liquid_optical_depth: np.ndarray
    ice_optical_depth: np.ndarray
    liquid_radius_um: np.ndarray
    ice_radius_um: np.ndarray
    lower_km: np.ndarray
    upper_km: np.ndarray

    @property
    def optical_depth(self) -> np.ndarray:
        return self.liquid_optical_depth + self.ice_optical_depth

    def phase(self) -> np.ndarray:
        """Class of each level, (levels, pixels), int8."""
        total = self.optical_depth
        liquid_share = self.liquid_optical_depth / np.maximum(total, 1e-9)
        phase = np.where(
            liquid_share > 1 - PURE_PHASE_SHARE, LIQUID, np.where(liquid_share < PURE_PHASE_SHARE, ICE, MIXED)
        )
        return np.where(total >= DETECTION_OPTICAL_DEPTH, phase, CLEAR).astype(np.int8)


def cloud_columns(layers: Sequence[CloudLayer], temperature_k: np.ndarray) -> CloudColumns:
    """Distributes cloud layers over the levels.

    Args:
        layers: Cloud layers of the pixels, as from `CloudLayer.columns`.
        temperature_k: (levels, pixels) at the level centers; decides the phase.
    """
    shape = temperature_k.shape
    liquid, ice = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    weighted_radius = np.zeros(shape, np.float32)
    upper = np.zeros(shape, np.float32)
    lower = np.full(shape, 99.0, np.float32)
    for layer in layers:
        cloudy = np.flatnonzero(layer.optical_depth > 0)
        if len(cloudy):
            _add_layer(layer.columns(cloudy), cloudy, temperature_k, liquid, ice, weighted_radius, lower, upper)
    edges = LEVEL_EDGES_KM[:, None]
    empty = upper <= 0
    return CloudColumns(
        liquid_optical_depth=liquid,
        ice_optical_depth=ice,
        liquid_radius_um=np.where(liquid > 0, weighted_radius / np.maximum(liquid, 1e-9), np.float32(10.0)),
        ice_radius_um=ice_effective_radius(temperature_k),
        lower_km=np.where(empty, edges[:-1], lower),
        upper_km=np.where(empty, edges[1:], upper),
    )


def _add_layer(layer, pixels, temperature_k, liquid, ice, weighted_radius, lower, upper) -> None:
    """Adds one layer, cloudy in all its `pixels`, to the arrays of `cloud_columns` in place, within its own levels."""
    first = max(0, int(layer.base_km.min() / LEVEL_HEIGHT_KM))
    last = min(NUM_LEVELS, int(layer.top_km.max() / LEVEL_HEIGHT_KM) + 1)
    if last <= first:
        return
    levels = slice(first, last)
    bottom = np.maximum(layer.base_km, LEVEL_EDGES_KM[first:last, None])
    top = np.minimum(layer.top_km, LEVEL_EDGES_KM[first + 1 : last + 1, None])
    overlap = np.maximum(top - bottom, 0.0)
    depth_km = np.maximum(layer.top_km - layer.base_km, 1e-3)
    position = np.clip((0.5 * (bottom + top) - layer.base_km) / depth_km, 0.02, 0.98)
    a, b = layer.shape
    weight = overlap * position**a * (1.0 - position) ** b
    extinction = weight * (layer.optical_depth / np.maximum(weight.sum(axis=0), 1e-9))
    latent = layer.latent[0] * np.sqrt(1.0 - position) + layer.latent[1] * np.sqrt(position)
    share = liquid_share(temperature_k[levels, pixels], latent, layer.glaciation, position)
    droplets = extinction * share
    # np.ix_ would copy; a slice and an index array in place of it do not
    liquid[levels, pixels] += droplets
    ice[levels, pixels] += extinction - droplets
    weighted_radius[levels, pixels] += droplets * (layer.liquid_radius_um * (0.55 + 0.45 * np.cbrt(position)))
    inside = overlap > 0
    lower[levels, pixels] = np.where(inside, np.minimum(lower[levels, pixels], bottom), lower[levels, pixels])
    upper[levels, pixels] = np.where(inside, np.maximum(upper[levels, pixels], top), upper[levels, pixels])


def liquid_share(
    temperature_k: np.ndarray, latent: np.ndarray, glaciation: Glaciation, position: np.ndarray
) -> np.ndarray:
    """Share of droplets in the optical depth, 0..1: 1 above 0 C, 0 below -38 C, by probability between.

    The ordered categories liquid, mixed, ice come from one latent field `g` of variance 1,
    `q = (supercooling - half_ice_k) / width_k + g - liquid_top (position - 1/2)`: liquid where `q < -mixed_halfwidth`,
    ice where `q > mixed_halfwidth`, a share falling linearly in `q` between.

    Args:
        temperature_k: Of each level.
        latent: Of each level.
        glaciation: Of the layer.
        position: 0 at the base of the layer, 1 at its top.
    """
    supercooling = FREEZING_K - temperature_k
    q = (supercooling - glaciation.half_ice_k) / glaciation.width_k + latent
    q = q - glaciation.liquid_top * (position - 0.5)
    half = glaciation.mixed_halfwidth
    share = np.where(np.abs(q) < half, np.clip(0.5 - 0.38 * q / half, 0.0, 1.0), np.where(q < 0, 1.0, 0.0))
    share = np.where(temperature_k >= FREEZING_K, 1.0, share)
    return np.where(temperature_k <= HOMOGENEOUS_FREEZING_K, 0.0, share).astype(np.float32)


def ice_effective_radius(temperature_k: np.ndarray) -> np.ndarray:
    """Effective radius of ice in um: 20 um at -76 C and below, growing by 0.5 um a K to 55 um.

    A straight line through the range of aircraft data (Heymsfield et al. 2014, J. Atmos. Sci. 71, 4123), with about 28
    um at the tops of anvils as retrieved from space.
    """
    return np.clip(58.0 + 0.5 * (temperature_k - FREEZING_K), 20.0, 55.0).astype(np.float32)


__all__ = [
    "CLEAR",
    "DETECTION_OPTICAL_DEPTH",
    "ICE",
    "LEVEL_CENTERS_KM",
    "LIQUID",
    "MIXED",
    "CloudColumns",
    "CloudLayer",
    "Glaciation",
    "cloud_columns",
    "ice_effective_radius",
    "liquid_share",
]
