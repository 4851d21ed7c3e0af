from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.metrics.radar_events import EVENT_SCORES, contingency_scores


def test_hand_worked_table():
    # Finley's tornado forecasts (1884): hits 28, misses 23, false alarms 72, correct negatives 2680.
    # HSS = 2 (28 * 2680 - 23 * 72) / (51 * 2703 + 100 * 2752) = 146768 / 413053
    scores = contingency_scores(np.array([28, 23, 72, 2680]))
    expected = {"csi": 28 / 123, "pod": 28 / 51, "far": 0.72, "hss": 146768 / 413053, "frequency_bias": 100 / 51}
    assert {name: float(scores[name]) for name in EVENT_SCORES} == pytest.approx(expected)


def test_scores_agree_with_the_verification_package():
    scores = pytest.importorskip("scores", reason="the extra `dev` brings it")
    xarray = pytest.importorskip("xarray")
    rng = np.random.default_rng(0)
    happened, forecast = rng.random((2, 500)) < 0.3
    counts = [(a & b).sum() for a in (happened, ~happened) for b in (forecast, ~forecast)]
    hits, misses, false_alarms, negatives = counts
    ours = contingency_scores(np.array([hits, misses, false_alarms, negatives]))
    theirs = scores.categorical.BinaryContingencyManager(
        xarray.DataArray(forecast.astype(float), dims="n"), xarray.DataArray(happened.astype(float), dims="n")
    )
    for name, function in (
        ("pod", theirs.probability_of_detection),
        ("far", theirs.false_alarm_ratio),
        ("csi", theirs.critical_success_index),
        ("hss", theirs.heidke_skill_score),
        ("frequency_bias", theirs.frequency_bias),
    ):
        assert float(ours[name]) == pytest.approx(float(function()), rel=1e-12), name


def test_degenerate_tables():
    def of(*counts):
        return {name: float(value) for name, value in contingency_scores(np.array(counts)).items()}

    assert of(5, 0, 0, 7) == {"csi": 1, "pod": 1, "far": 0, "hss": 1, "frequency_bias": 1}
    chance = of(4, 4, 4, 4)
    assert chance["hss"] == 0
    assert of(0, 6, 6, 0)["hss"] == -1
    never = of(0, 0, 0, 9)  # the event neither happens nor is forecast: nothing to judge
    assert all(np.isnan(value) for value in never.values())
    always = of(9, 0, 0, 0)  # without any other outcome a forecast by chance is as good
    assert np.isnan(always["hss"]) and always["csi"] == 1
    assert all(np.isnan(value) for value in of(0, 0, 0, 0).values())
