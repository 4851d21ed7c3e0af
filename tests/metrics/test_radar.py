from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from cloudkeras.errors import InputError
from cloudkeras.metrics import RadarMetrics, metrics_for
from cloudkeras.tasks import get_task

NONE = -60.0


def totals(statistics):
    return {name: values.sum(axis=0) for name, values in statistics.items()}


def curtains(seed=0, shape=(6, 12, 10), blind_rows=4):
    """Truth with NaN above the blind zone and a gap, prediction, observation."""
    rng = np.random.default_rng(seed)
    observed = np.where(rng.random(shape) < 0.4, NONE, rng.uniform(-40, 15, shape))
    predicted = np.where(rng.random(shape) < 0.4, NONE, rng.uniform(-40, 15, shape))
    observed[0, :, 3] = np.nan
    truth = observed.copy()
    truth[:, blind_rows:] = np.nan
    return truth, predicted, {"reflectivity": observed}


def test_hand_worked_errors():
    # One window, 2 blind rows, 3 profiles (the third is not labelled in row 1):
    #   truth      0: -10  -60   5      prediction 0: -13  -20   5
    #              1: -60  -30 nan                 1: -60  -60   7
    # errors: -3, +40, 0, 0, -30 over 5 pixels; echo in truth 3, in prediction 3, in both 2 (errors -3, 0).
    truth = np.array([[[-10, NONE, 5], [NONE, -30, np.nan], [np.nan] * 3]])
    predicted = np.array([[[-13, -20, 5], [NONE, NONE, 7], [0, 0, 0]]])
    scores = RadarMetrics(2).compute(totals(RadarMetrics(2).statistics(truth, predicted)))
    expected = {
        "mae": 73 / 5,
        "rmse": np.sqrt((9 + 1600 + 900) / 5),
        "bias": 7 / 5,
        "mae_both_echo": 3 / 2,
        "rmse_both_echo": np.sqrt(9 / 2),
        "mae_truth_echo": 33 / 3,
        "dice": 2 * 2 / (3 + 3),
        "echo_fraction": 3 / 5,
        "echo_fraction_truth": 3 / 5,
        "pixels": 5,
        "pixels_truth_echo": 3,
        "pixels_both_echo": 2,
        "pixels_predicted_echo": 3,
    }
    assert {name: float(scores[name]) for name in expected} == pytest.approx(expected)


def test_hand_worked_events():
    # 2 blind rows; row 2 is the first visible one. Profiles of one window:
    #               a    b    c    d    e    f
    # observed r2  -60  -60   -5   -5  -25    0
    # truth    r0  -10  -60  -60   -5  -20  nan
    # forecast r0  -10  -10  -60  -60  -21    0
    # truth    r1  -60  -60  -60  -60  -60  nan
    # forecast r1  -60  -60  -60  -60  -60    0
    # shallow snow (r0 >= -20, r2 < -20): truth a e, forecast a b -> hit a, miss e, false alarm b
    # virga (r2 >= -20, r0 < -20): truth c, forecast c d -> hit c, false alarm d
    # cloud (>= 5 % echo): truth a d e, forecast a b e -> hits a e, miss d, false alarm b; f is not labelled
    # correct negatives: cloud c; shallow snow c d; virga a b e
    # below a visible echo (r2: c d e) the truth shows echo in d (-5, forecast -60) and e (-20, forecast -21)
    observed = np.array([[-10, NONE, NONE, -5, -20, np.nan], [NONE] * 5 + [np.nan], [NONE, NONE, -5, -5, -25, 0]])[None]
    truth = observed.copy()
    truth[:, 2:] = np.nan
    predicted = np.array([[-10, -10, NONE, NONE, -21, 0], [NONE] * 5 + [0], [NONE] * 6])[None]
    metrics = RadarMetrics(2)
    statistics = metrics.statistics(truth, predicted, {"reflectivity": observed})
    np.testing.assert_array_equal(statistics["events"][0], [[2, 1, 1, 1], [1, 1, 1, 2], [1, 0, 1, 3]])
    scores = metrics.compute(totals(statistics))
    expected = {
        "mae_below_echo": (55 + 1) / 2,
        "pixels_below_echo": 2,
        "pod_cloud": 2 / 3,
        "far_cloud": 1 / 3,
        "csi_cloud": 2 / 4,
        "events_cloud": 3,
        "hss_cloud": 2 * (2 * 1 - 1 * 1) / (3 * 2 + 3 * 2),
        "frequency_bias_cloud": 3 / 3,
        "pod_shallow_snow": 1 / 2,
        "csi_shallow_snow": 1 / 3,
        "pod_virga": 1,
        "far_virga": 1 / 2,
        "csi_virga": 1 / 2,
        "events_virga": 1,
        "hss_virga": 2 * (1 * 3 - 0) / (1 * 3 + 2 * 4),
        "frequency_bias_virga": 2 / 1,
    }
    assert {name: float(scores[name]) for name in expected} == pytest.approx(expected)


def test_cloud_needs_five_percent_of_the_pixels():
    truth = np.full((1, 41, 2), NONE)
    truth[0, 0, 0] = -10  # 1 of 40 pixels
    truth[0, :2, 1] = -10  # 2 of 40 pixels: 5 %
    truth[:, 40:] = np.nan
    statistics = RadarMetrics(40).statistics(truth, truth)
    np.testing.assert_array_equal(statistics["events"][0, 0], [1, 0, 0, 1])


def test_without_the_observation_the_events_above_are_not_judged():
    truth, predicted, _ = curtains()
    scores = RadarMetrics(4).compute(totals(RadarMetrics(4).statistics(truth, predicted)))
    assert np.isnan(scores["csi_virga"]) and np.isnan(scores["pod_shallow_snow"]) and scores["csi_cloud"] > 0


def test_what_lies_above_the_blind_zone_does_not_matter():
    truth, predicted, fields = curtains()
    metrics = RadarMetrics(4)
    elsewhere = predicted.copy()
    elsewhere[:, 4:] = 20
    first, second = (metrics.statistics(truth, values, fields) for values in (predicted, elsewhere))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_shard_wise_equals_global():
    truth, predicted, fields = curtains()
    metrics = RadarMetrics(4)
    whole = totals(metrics.statistics(truth, predicted, fields))
    parts = []
    for rows in (slice(0, 1), slice(1, 6)):
        part = metrics.statistics(truth[rows], predicted[rows], {"reflectivity": fields["reflectivity"][rows]})
        parts.append(totals(part))
    summed = {name: parts[0][name] + parts[1][name] for name in whole}
    a, b = metrics.compute(whole), metrics.compute(summed)
    assert {k: float(v) for k, v in a.items()} == pytest.approx({k: float(v) for k, v in b.items()}, rel=1e-9)
    assert np.isfinite([float(v) for v in a.values()]).all()


def test_profile_is_the_score_of_each_row():
    truth, predicted, _ = curtains()
    metrics = RadarMetrics(4)
    profile = metrics.compute_profile(totals(metrics.statistics(truth, predicted)))
    for row in range(4):
        error = (predicted - truth)[:, row]
        there = np.isfinite(truth[:, row])
        pair = [values[:, row][there] for values in (truth, predicted)]
        assert float(profile["emd"][row]) == pytest.approx(wasserstein_distance(*pair), abs=0.3)
        assert float(profile["echo_fraction_truth"][row]) == pytest.approx((pair[0] > NONE).mean())
        assert float(profile["mae"][row]) == pytest.approx(np.nanmean(np.abs(error)))
        assert float(profile["bias"][row]) == pytest.approx(np.nanmean(error))
    assert set(metrics.profile) <= set(profile)


def test_leading_axes_are_replicates():
    truth, predicted, fields = curtains()
    metrics = RadarMetrics(4)
    statistics = metrics.statistics(truth, predicted, fields)
    together = metrics.compute(statistics)
    alone = metrics.compute({name: values[2] for name, values in statistics.items()})
    for name, values in together.items():
        assert values.shape == (6,), name
        np.testing.assert_allclose(values[2], alone[name], rtol=1e-12)


def test_what_the_truth_alone_decides_does_not_depend_on_the_prediction():
    truth, predicted, fields = curtains()
    metrics = RadarMetrics(4)
    first, second = (metrics.statistics(truth, p, fields) for p in (predicted, np.full_like(predicted, NONE)))
    same = {name for name in first if np.array_equal(first[name], second[name])}
    assert same == set(metrics.truth_only)


def test_perfect_predictions():
    truth, _, fields = curtains()
    metrics = RadarMetrics(4)
    perfect = metrics.compute(totals(metrics.statistics(truth, np.nan_to_num(truth, nan=NONE), fields)))
    zero = ("mae", "rmse", "bias", "emd", "emd_echo", "psd_vertical", "psd_temporal", "lowest_echo_mae", "far_virga")
    one = ("dice", "ssim", "ssim_truth_echo", "csi_cloud", "hss_virga", "frequency_bias_shallow_snow")
    assert {name: float(perfect[name]) for name in zero} == pytest.approx(dict.fromkeys(zero, 0), abs=1e-12)
    assert {name: float(perfect[name]) for name in one} == pytest.approx(dict.fromkeys(one, 1))


def test_nothing_labelled_gives_no_score():
    truth, _, fields = curtains()
    metrics = RadarMetrics(4)
    for values in (truth, np.full_like(truth, np.nan)):
        values = np.where(np.isfinite(values), values, NONE)
        nothing = metrics.compute(totals(metrics.statistics(np.full_like(truth, np.nan), values, fields)))
        counts = {name for name in nothing if name.startswith(("pixels", "events", "profiles"))}
        assert all(nothing[name] == 0 for name in counts) and len(counts) == 9
        assert all(np.isnan(nothing[name]) for name in nothing if name not in counts)


def test_clear_air_and_echo_everywhere():
    truth, _, fields = curtains()
    metrics = RadarMetrics(4)
    labelled = np.isfinite(truth)
    clear, cloudy = (np.where(labelled, value, np.nan) for value in (NONE, 0.0))
    no_echo = metrics.compute(totals(metrics.statistics(clear, np.full_like(truth, NONE), fields)))
    assert no_echo["mae"] == 0 and no_echo["ssim"] == pytest.approx(1) and no_echo["emd"] == 0
    assert no_echo["psd_temporal"] == 0 and no_echo["echo_fraction_truth"] == 0
    for name in ("dice", "mae_both_echo", "ssim_truth_echo", "emd_echo", "lowest_echo_mae", "hss_cloud", "pod_cloud"):
        assert np.isnan(no_echo[name]), name
    everywhere = metrics.compute(totals(metrics.statistics(cloudy, np.zeros_like(truth), fields)))
    assert everywhere["dice"] == 1 and everywhere["csi_cloud"] == 1 and np.isnan(everywhere["hss_cloud"])
    assert everywhere["lowest_echo_mae"] == 0 and everywhere["ssim_truth_echo"] == pytest.approx(1)
    missed = metrics.compute(totals(metrics.statistics(cloudy, np.full_like(truth, NONE), fields)))
    assert missed["dice"] == 0 and missed["lowest_echo_mae"] == 4 and np.isnan(missed["emd_echo"])
    assert missed["emd"] == pytest.approx(59.5) and missed["ssim"] < 0.01


def test_a_profile_without_label_changes_nothing():
    truth, predicted, fields = curtains()
    metrics = RadarMetrics(4)
    other = np.where(np.isnan(truth[:, :1]), 20.0, predicted)  # in the profile that is not labelled
    first, second = (metrics.statistics(truth, values, fields) for values in (predicted, other))
    assert not np.array_equal(other, predicted)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_scores_of_the_task():
    metrics = metrics_for(get_task("blind_zone", blind_rows=5))
    assert isinstance(metrics, RadarMetrics) and metrics.blind_rows == 5
    truth, predicted, fields = curtains(blind_rows=5)
    statistics = totals(metrics.statistics(truth, predicted, fields))
    scores = metrics.compute(statistics)
    assert {name for names in metrics.tables.values() for name in names} | set(metrics.shown) <= set(scores)
    assert set(metrics.profile) <= set(metrics.compute_profile(statistics))
    better = {name for name in scores if metrics.higher_is_better(name)}
    assert {"csi_cloud", "dice", "hss_virga", "ssim"} <= better
    assert not better & {"mae", "far_cloud", "emd", "psd_vertical", "lowest_echo_mae"}
    units = ("mae_truth_echo", "emd_echo", "lowest_echo_bias", "dice")
    assert [metrics.unit(n) for n in units] == ["dB", "dB", "rows", ""]


def test_wrong_shapes_are_named():
    truth, predicted, _ = curtains()
    with pytest.raises(InputError, match=r"Truth and prediction are .* alike"):
        RadarMetrics(4).statistics(truth, predicted[:, :3])
    with pytest.raises(InputError, match="with 13 rows or more"):
        RadarMetrics(13).statistics(truth, predicted)
    with pytest.raises(InputError, match="`blind_rows` counts at least 1 row"):
        RadarMetrics(0)
