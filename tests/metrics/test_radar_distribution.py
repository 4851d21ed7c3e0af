from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from cloudkeras.metrics.radar_distribution import (
    BIN_VALUES_DBZ,
    NUM_BINS,
    distribution_scores,
    earth_movers_distance,
    histograms,
)

from .radar_curtains import NONE, blind_zones


def test_bins_and_what_they_hold():
    values = np.array([[[NONE, -59.99, -59.0, -58.99, 0.0, 0.01, 29.5, 30.0, 44.0]]])
    counts = histograms(values, np.ones_like(values, bool))[0, 0]
    assert NUM_BINS == 91 and counts.sum() == 9 and counts.dtype == np.uint8
    # no echo; (-60, -59]; (-59, -58]; (-1, 0]; (0, 1]; (29, 30] with what is stronger
    expected = {-60.0: 1, -59.5: 2, -58.5: 1, -0.5: 1, 0.5: 1, 29.5: 3}
    assert {float(v): int(c) for v, c in zip(BIN_VALUES_DBZ, counts, strict=True) if c} == expected


def test_hand_worked_distance():
    # Of 4 pixels two are without echo and two at 0.5 dBZ; the prediction has one without echo and three at 0.5 dBZ:
    # a quarter of the pixels moves over 60.5 dB. The echo alone is the same.
    true = histograms(np.array([[[NONE, NONE, 0.2, 0.9]]]), np.ones((1, 1, 4), bool))[0, 0]
    predicted = histograms(np.array([[[NONE, 0.5, 0.2, 0.9]]]), np.ones((1, 1, 4), bool))[0, 0]
    scores = distribution_scores(true, predicted)
    assert float(scores["emd"]) == pytest.approx(60.5 / 4) and float(scores["emd_echo"]) == 0


def test_opposite_differences_do_not_cancel():
    # Half of the pixels 10 dB too high, half 10 dB too low: the mean is right, the distance is 10 dB.
    true, predicted = np.zeros(NUM_BINS), np.zeros(NUM_BINS)
    true[50] = 2
    predicted[[40, 60]] = 1
    assert float(earth_movers_distance(true, predicted)) == pytest.approx(10)


def test_distance_is_that_of_scipy():
    true, predicted, labelled = blind_zones()
    labelled[:, :, 7:30] = False
    counts = [histograms(values, labelled).sum(axis=(0, 1)) for values in (true, predicted)]
    scores = distribution_scores(*counts)
    binned = wasserstein_distance(BIN_VALUES_DBZ, BIN_VALUES_DBZ, *counts)
    assert float(scores["emd"]) == pytest.approx(binned, rel=1e-12)
    exact = wasserstein_distance(true[labelled], predicted[labelled])
    assert float(scores["emd"]) == pytest.approx(exact, abs=0.1) and exact > 1
    echo = [values[labelled & (values > NONE)] for values in (true, predicted)]
    assert float(scores["emd_echo"]) == pytest.approx(wasserstein_distance(*echo), abs=0.1)


def test_degenerate_histograms():
    nothing, clear, echo = np.zeros(NUM_BINS), np.eye(NUM_BINS)[0], np.eye(NUM_BINS)[61]
    assert np.isnan(distribution_scores(nothing, nothing)["emd"])
    alike = distribution_scores(clear, clear)
    assert alike["emd"] == 0 and np.isnan(alike["emd_echo"])
    missed = distribution_scores(echo, clear)
    assert missed["emd"] == pytest.approx(60.5) and np.isnan(missed["emd_echo"])
    together = distribution_scores(np.stack([nothing, echo]), np.stack([nothing, clear]))
    np.testing.assert_allclose(together["emd"], [np.nan, 60.5])


def test_many_profiles_need_wider_counts():
    values = np.full((1, 1, 300), NONE)
    counts = histograms(values, np.ones_like(values, bool))
    assert counts.dtype == np.uint16 and counts[0, 0, 0] == 300
