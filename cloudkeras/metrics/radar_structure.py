"""Structural similarity (SSIM) of the blind zone, each pixel judged by the labelled pixels of its window.

Wang et al. 2004 (doi 10.1109/TIP.2003.819861, equation 13) with their constants: an 11 x 11 Gaussian window of standard
deviation 1.5 pixels, population covariance, k1 = 0.01, k2 = 0.03. Images are dBZ + 60, so that "no echo" is 0 and the
data range is 90 dB (-60..30 dBZ): SSIM depends on where 0 lies, and negative means would upset it.

At the border of the blind zone the image is reflected; nothing above the blind zone is looked at. Pixels without a
label have weight 0 in the window (normalized convolution), and the score is the mean over the labelled pixels. Where
all are labelled the map is that of `skimage.metrics.structural_similarity(..., gaussian_weights=True,
use_sample_covariance=False, full=True)`; its mean there leaves out a border of 5 pixels, which would be 10 of 16 rows.

Clear air against clear air has SSIM 1, so the mean over all pixels rises with the share of clear air;
`ssim_truth_echo` is over the pixels where the truth shows echo, the same for every method.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..datasets.schema import NO_ECHO_DBZ

DATA_RANGE_DB = 90.0
WINDOW_SIGMA = 1.5
_TRUNCATE = 3.5  # standard deviations: a radius of 5 pixels
_C1, _C2 = (0.01 * DATA_RANGE_DB) ** 2, (0.03 * DATA_RANGE_DB) ** 2


def structural_similarity(true: np.ndarray, predicted: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """SSIM at each pixel.

    Args:
        true: (sample, row, profile), dBZ, finite.
        predicted: Same shape.
        labelled: Same shape, bool.

    Returns:
        Same shape, float64; 0 where not labelled.
    """
    weights = None if labelled.all() else labelled.astype(np.float64)
    total = None if weights is None else np.maximum(_smooth(weights), np.finfo(float).tiny)

    def mean(values: np.ndarray) -> np.ndarray:
        return _smooth(values) if weights is None else _smooth(values * weights) / total

    x, y = true - NO_ECHO_DBZ, predicted - NO_ECHO_DBZ
    mean_x, mean_y = mean(x), mean(y)
    covariance = mean(x * y) - mean_x * mean_y
    # The sum of the variances is all that the formula needs of them.
    variances = np.maximum(mean(x * x + y * y) - mean_x**2 - mean_y**2, 0)
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x**2 + mean_y**2 + _C1) * (variances + _C2)
    return np.where(labelled, similarity, 0.0)


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(values, WINDOW_SIGMA, truncate=_TRUNCATE, mode="reflect", axes=(1, 2))


def similarity_sums(true: np.ndarray, predicted: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """SSIM summed by row over the labelled pixels, and over those where the truth shows echo, (sample, row, 2)."""
    similarity = structural_similarity(true, predicted, labelled)
    echo = (true > NO_ECHO_DBZ) & labelled
    return np.stack([similarity.sum(axis=2), (similarity * echo).sum(axis=2)], axis=-1)
