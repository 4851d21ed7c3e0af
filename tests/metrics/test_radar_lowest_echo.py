from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.metrics.radar_lowest_echo import lowest_echo_counts, lowest_echo_scores

from .radar_curtains import NONE, blind_zones


def test_hand_worked_profiles():
    # 3 rows; lowest echo   truth       0     2     1     none  0 (a row without label: not judged)
    #                       prediction  1     2     none  0     0
    # errors where the truth has one: +1, 0, 3 - 1 = +2; over 3 profiles
    true = np.array([[-10, NONE, NONE, NONE, 5], [-5, NONE, -3, NONE, 5], [NONE, -9, NONE, NONE, 5]])[None]
    predicted = np.array([[NONE, NONE, NONE, 3, 5], [-5, NONE, NONE, NONE, 5], [NONE, -9, NONE, NONE, 5]])[None]
    labelled = np.ones(true.shape, bool)
    labelled[0, 1, 4] = False
    counts = lowest_echo_counts(true, predicted, labelled)
    expected = np.zeros((4, 4))
    expected[[0, 2, 1, 3], [1, 2, 3, 0]] = 1
    np.testing.assert_array_equal(counts[0], expected)
    scores = lowest_echo_scores(counts[0])
    assert float(scores["lowest_echo_mae"]) == 1 and float(scores["lowest_echo_bias"]) == 1
    assert float(scores["profiles_lowest_echo"]) == 3


def test_scores_are_those_of_the_profiles():
    true, predicted, labelled = blind_zones(seed=3, clear=0.6)
    scores = lowest_echo_scores(lowest_echo_counts(true, predicted, labelled).sum(axis=0))
    lowest = [np.where((v > NONE).any(axis=1), (v > NONE).argmax(axis=1), 16) for v in (true, predicted)]
    error = (lowest[1] - lowest[0])[lowest[0] < 16]
    assert float(scores["lowest_echo_mae"]) == pytest.approx(np.abs(error).mean()) and error.size > 50
    assert float(scores["lowest_echo_bias"]) == pytest.approx(error.mean())


def test_degenerate_profiles():
    true, _, labelled = blind_zones()
    clear = np.full_like(true, NONE)
    counts = lowest_echo_counts(clear, true, labelled)
    assert np.isnan(lowest_echo_scores(counts.sum(axis=0))["lowest_echo_mae"])  # no echo in the truth
    everywhere = lowest_echo_counts(np.zeros_like(true), clear, labelled)
    assert float(lowest_echo_scores(everywhere.sum(axis=0))["lowest_echo_mae"]) == 16
    assert lowest_echo_counts(true, true, ~labelled).sum() == 0
