"""Histograms of reflectivity by height, and the earth mover's distance between them.

The first bin counts pixels without echo, at -60 dBZ; the others are 1 dB wide, (-60, -59], ..., (29, 30], and stand for
their middle. An echo above 30 dBZ is counted in the last bin (the range of the task). Row by row, the histogram is a
reflectivity-height diagram (CFAD, Yuter and Houze 1995).

Earth mover's distance (Wasserstein-1) of two histograms: the integral of |CDF - CDF| in dB, that is
`scipy.stats.wasserstein_distance` of the binned values. `emd` counts "no echo" as a pixel of -60 dBZ, so a share of
missed echo costs its distance from -60; `emd_echo` compares the echo alone, each histogram divided by its own count,
and is NaN where one has none. Differences are taken without sign before they are added, so that they cannot cancel.
"""

from __future__ import annotations

import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from .ratios import ratio

BIN_DB = 1.0
HIGHEST_DBZ = 30.0
ECHO_EDGES_DBZ = np.arange(NO_ECHO_DBZ, HIGHEST_DBZ + BIN_DB / 2, BIN_DB)
BIN_VALUES_DBZ = np.concatenate([[NO_ECHO_DBZ], ECHO_EDGES_DBZ[:-1] + BIN_DB / 2])
NUM_BINS = len(BIN_VALUES_DBZ)


def histograms(reflectivity: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Labelled pixels by row and bin.

    Args:
        reflectivity: (sample, row, profile), dBZ, finite.
        labelled: Same shape, bool.

    Returns:
        (sample, row, 91), the smallest unsigned integer that holds the number of profiles.
    """
    samples, rows, profiles = reflectivity.shape
    bins = np.ceil((reflectivity - NO_ECHO_DBZ) / BIN_DB).clip(0, NUM_BINS - 1).astype(np.int64)
    index = np.arange(samples * rows).reshape(samples, rows, 1) * NUM_BINS + bins
    counts = np.bincount(index[labelled], minlength=samples * rows * NUM_BINS)
    return counts.reshape(samples, rows, NUM_BINS).astype(np.min_scalar_type(profiles))


def earth_movers_distance(first: np.ndarray, second: np.ndarray, values: np.ndarray = BIN_VALUES_DBZ) -> np.ndarray:
    """Earth mover's distance of histograms over their last axis.

    Args:
        first: Counts (..., bin); each histogram is divided by its sum.
        second: Same shape.
        values: What each bin stands for, (bin,), ascending.

    Returns:
        (...), in the unit of `values`; NaN where a histogram is empty.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    shares = [ratio(h, np.broadcast_to(h.sum(axis=-1, keepdims=True), h.shape)) for h in (first, second)]
    distance = np.abs(np.cumsum(shares[0] - shares[1], axis=-1))[..., :-1]
    return (distance * np.diff(values)).sum(axis=-1)


def distribution_scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """`emd` and `emd_echo` in dB, arrays (...), from histograms (..., 91)."""
    return {
        "emd": earth_movers_distance(true, predicted),
        "emd_echo": earth_movers_distance(true[..., 1:], predicted[..., 1:], BIN_VALUES_DBZ[1:]),
    }
