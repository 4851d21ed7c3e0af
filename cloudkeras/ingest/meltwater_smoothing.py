"""The Gaussian smoothing of MeltwaterBench, which takes the edges of coarse cells out of PMW and MAR."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from ..errors import check

PMW_KERNEL, PMW_SIGMA = 45, 15.0  # pixels
MAR_KERNEL, MAR_SIGMA = 99, 33.0


def gaussian_smooth(values: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    """Smooths an image with a Gaussian of `sigma` pixels, cut off to `kernel` x `kernel` pixels.

    Weights are exp(-i^2 / (2 sigma^2)) at whole pixels, normalised to a sum of 1; beyond the edge the image is mirrored
    about its outermost pixels (d c b | a b c d | c b a), as in the authors' code (torchvision's `GaussianBlur`). The
    weights add up to 1, so smoothing may come before or after an affine normalisation; here it comes before.

    The authors smooth the crop that a network sees, so that their result near the edge of a crop depends on the crop.
    Here the whole grid is smoothed once.

    Missing values (NaN) count for nothing: the rest is weighted anew, and a pixel is missing where it was.

    Args:
        values: (y, x), float.
        kernel: Odd number of pixels.
        sigma: Standard deviation in pixels.

    Returns:
        (y, x) float32.
    """
    check(kernel >= 1 and kernel % 2 == 1, "`kernel` is odd and at least 1.", kernel=kernel)
    check(sigma > 0, "`sigma` is above 0.", sigma=sigma)
    offsets = np.arange(kernel) - kernel // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    valid = np.isfinite(values)
    if valid.all():
        return _blur(values.astype(np.float32), weights)
    total = _blur(np.where(valid, values, 0).astype(np.float32), weights)
    share = _blur(valid.astype(np.float32), weights)
    return np.where(valid, total / np.maximum(share, 1e-6), np.nan).astype(np.float32)


def _blur(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return correlate1d(correlate1d(values, weights, axis=0, mode="mirror"), weights, axis=1, mode="mirror")
