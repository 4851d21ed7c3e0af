"""Blind zones made by hand for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

NONE = -60.0


def blind_zones(seed=0, shape=(4, 16, 96), clear=0.3):
    """Smooth reflectivity (sample, row, profile) of which the share `clear` shows no echo, as truth and prediction."""
    rng = np.random.default_rng(seed)
    fields = []
    for noise in (0.0, 0.5):
        smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, 2, 4))
        smooth = smooth / smooth.std() + noise * rng.normal(size=shape)
        fields.append(np.where(smooth < np.quantile(smooth, clear), NONE, np.clip(12 * smooth - 5, -59, 29)))
    return fields[0], fields[1], np.ones(shape, bool)
