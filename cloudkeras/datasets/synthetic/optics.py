"""Radiative properties of droplets and ice crystals in the AHI bands."""

from __future__ import annotations

import numpy as np

from .clouds import CloudColumns

# per unit visible optical depth
_LIQUID = (0.12, 0.35, 0.35, 0.35, 0.30, 0.33, 0.36, 0.43, 0.55, 0.60)
_ICE = (0.30, 0.50, 0.50, 0.50, 0.38, 0.42, 0.42, 0.52, 0.56, 0.55)


class CloudOptics:
    def infrared(self, band: int, clouds: CloudColumns, cos_view: np.ndarray):
        absorption = _LIQUID[band] * clouds.liquid_optical_depth + _ICE[band] * clouds.ice_optical_depth
        share = np.float32(0.02) * (clouds.optical_depth > 0)
        return absorption, share
