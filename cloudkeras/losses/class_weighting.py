"""Class weights from the class counts of the training split."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import check, check_choice


def class_weights(counts: Any, scheme: str = "inverse_sqrt", *, max_ratio: float = 50.0) -> tuple[float, ...]:
    """Weights that make rare classes count for more.

    With f the share of a class among the labelled voxels::

        none              1
        inverse_sqrt      f^-1/2
        median_frequency  median(f) / f                             (Eigen & Fergus 2015, arXiv 1411.4734)
        effective         (1 - b) / (1 - b^n), b = 1 - 1 / mean(n)  (Cui et al. 2019, arXiv 1901.05555)

    No weight exceeds `max_ratio` times the smallest, so that a handful of voxels cannot rule the loss; a class that the
    training split does not have gets the largest weight of the others. The mean over the classes is 1.

    Args:
        counts: Voxels by class, (classes,) or (levels, classes) as in the manifest.
        scheme: One of the above.
        max_ratio: Largest weight over the smallest.

    Raises:
        InputError: If the scheme is unknown or nothing was counted.
    """
    check_choice(scheme, ("none", "inverse_sqrt", "effective", "median_frequency"), "class_weights")
    counts = np.asarray(counts, np.float64)
    counts = counts.reshape(-1, counts.shape[-1]).sum(axis=0)
    check(
        bool((counts >= 0).all() and counts.sum() > 0), "Class counts need at least one voxel.", counts=counts.tolist()
    )
    check(max_ratio >= 1, "`max_ratio` is at least 1.", max_ratio=max_ratio)
    present = counts > 0
    share = counts[present] / counts.sum()
    if scheme == "none":
        weights = np.ones_like(share)
    elif scheme == "inverse_sqrt":
        weights = share**-0.5
    elif scheme == "median_frequency":
        weights = np.median(share) / share
    else:
        log_beta = np.log1p(-1 / max(2.0, counts[present].mean()))
        weights = -np.expm1(log_beta) / -np.expm1(log_beta * counts[present])
    weights = np.minimum(weights, max_ratio * weights.min())
    every = np.full(len(counts), weights.max())
    every[present] = weights
    return tuple(float(w) for w in every / every.mean())
