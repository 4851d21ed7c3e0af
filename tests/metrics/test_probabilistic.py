"""Scores of members: hand-worked pixels, the package `scores`, distributions whose coverage is known."""

from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.metrics import ProbabilisticMetrics, metrics_for
from cloudkeras.tasks import OutputRange, get_task

DBZ = OutputRange(-60, 30, "dBZ", -60, (("echo", -60.0), ("precipitation", -20.0)))


def total(metrics, truth, members):
    return {name: values.sum(axis=0) for name, values in metrics.statistics(truth, members).items()}


def score(truth, members, output=DBZ):
    metrics = ProbabilisticMetrics(output)
    return {k: float(v) for k, v in metrics.compute(total(metrics, truth, members)).items()}


def gaussian(members=50, pixels=4000, seed=0, factor=1.0):
    """Truth and members drawn from one distribution of varying center and width; the members' width times a factor."""
    rng = np.random.default_rng(seed)
    center, width = rng.normal(0, 5, pixels), rng.uniform(1, 4, pixels)
    truth = center + width * rng.normal(size=pixels)
    drawn = center + factor * width * rng.normal(size=(members, pixels))
    return truth.reshape(4, 10, -1), drawn.reshape(members, 4, 10, -1)


def test_crps_by_hand():
    # members 0, 1, 3, truth 2: (2 + 1 + 1) / 3 = 4/3; pairs |0-1| + |0-3| + |1-3| = 6, twice 12; 12 / 18 = 2/3
    found = score(np.array([[[2.0]]]), np.array([0.0, 1.0, 3.0]).reshape(3, 1, 1, 1))
    assert found["crps"] == pytest.approx(4 / 3 - 2 / 3)
    assert found["crps_fair"] == pytest.approx(4 / 3 - 12 / 12)
    assert found["mae"] == 1 and found["bias"] == pytest.approx(4 / 3 - 2)


def test_one_member_scores_its_absolute_error():
    truth, members = gaussian(members=1)
    found = score(truth, members)
    assert found["crps"] == pytest.approx(np.abs(truth - members[0]).mean()) == found["mae"] == found["crps_fair"]
    assert found["risk_coverage_area"] == pytest.approx(found["mae"]) and found["risk_coverage_gain"] == pytest.approx(
        0
    )
    assert found["coverage_90"] == found["width_90"] == found["spread"] == 0
    assert found["interval_score_90"] == pytest.approx(20 * found["mae"])


@pytest.mark.parametrize("method", ["ecdf", "fair"])
def test_crps_is_that_of_the_package_scores(method):
    import xarray as xr
    from scores.probability import crps_for_ensemble

    truth, members = gaussian(members=20, pixels=400)
    other = crps_for_ensemble(
        xr.DataArray(members.reshape(20, -1), dims=("member", "pixel")),
        xr.DataArray(truth.ravel(), dims="pixel"),
        ensemble_member_dim="member",
        method=method,
    )
    assert score(truth, members)["crps" if method == "ecdf" else "crps_fair"] == pytest.approx(float(other))


def test_members_of_the_true_distribution_cover_as_often_as_they_say():
    found = score(*gaussian(pixels=40_000), OutputRange())
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.006)
    assert found["coverage_50"] == pytest.approx(0.5, abs=0.01)
    assert found["coverage_90_shared"] == found["coverage_90"]
    assert found["spread_error_ratio"] == pytest.approx(1, abs=0.02) and found["pit_deviation"] < 0.05
    narrow = score(*gaussian(pixels=40_000, factor=0.3), OutputRange())
    assert narrow["coverage_90"] < 0.45 and narrow["spread_error_ratio"] < 0.4 and narrow["pit_deviation"] > 0.5
    assert narrow["crps"] > found["crps"] and narrow["interval_score_90"] > found["interval_score_90"]


def test_ties_at_the_atom_are_shared():
    """Perfect forecasts of "no echo" in 30 % of pixels: closed intervals cover more than 90 %, shared ties 90 %."""
    rng = np.random.default_rng(0)
    draw = np.where(rng.random((51, 40_000)) < 0.3, -60.0, rng.uniform(-40, 20, (51, 40_000))).reshape(51, 4, 10, -1)
    found = score(draw[0], draw[1:])
    assert found["coverage_90"] == pytest.approx(0.95, abs=0.005)  # nothing lies below the lower border, -60
    assert found["coverage_90_shared"] == pytest.approx(0.9, abs=0.006)
    assert found["pit_deviation"] < 0.05


def test_ties_by_hand():
    # Members -60, -60, -60, 0: the truth -60 holds 3 of 4 shares, of which [0.05, 0.75] lies in the interval.
    members = np.array([-60.0, -60, -60, 0]).reshape(4, 1, 1, 1)
    found = score(np.array([[[-60.0]]]), members)
    assert found["coverage_90"] == 1 and found["coverage_90_shared"] == pytest.approx(0.7 / 0.75)
    histogram = ProbabilisticMetrics.rank_histogram(total(ProbabilisticMetrics(DBZ), np.array([[[-60.0]]]), members))
    np.testing.assert_allclose(histogram[:16], 1 / 16)  # ranks 0 to 3 of 0 to 4: [0, 0.8]
    assert histogram[16:].sum() == pytest.approx(0, abs=1e-12)


def test_brier_and_its_parts_by_hand():
    # Probability of echo 1.0 (happened), 0.5 (did not), 0.5 (happened): Brier (0 + 1/4 + 1/4) / 3
    members = np.array([[-30, -30.0], [-60, -30], [-60, -30]]).T.reshape(2, 1, 3, 1)
    found = score(np.array([[[-30.0], [-60], [-40]]]), members)
    assert found["brier_echo"] == pytest.approx(1 / 6)
    # Bins: p 1.0, observed 1; p 0.5, observed 0.5 (2 pixels). Frequency 2/3.
    assert found["reliability_echo"] == pytest.approx(0)
    assert found["resolution_echo"] == pytest.approx((1 * (1 / 3) ** 2 + 2 * (1 / 6) ** 2) / 3)
    assert found["brier_skill_echo"] == pytest.approx(1 - (1 / 6) / (2 / 9))
    assert found["frequency_precipitation"] == 0 and np.isnan(found["brier_skill_precipitation"])


def test_risk_coverage_by_hand():
    # Expected errors 0, 0 and 20; absolute errors 1, 3 and 10.
    truth = np.array([[[1.0], [3.0], [10.0]]])
    members = np.array([[0.0, 0, -20], [0, 0, 20]]).reshape(2, 1, 3, 1)
    metrics = ProbabilisticMetrics(DBZ)
    sums = total(metrics, truth, members)
    kept, risk = metrics.risk_coverage(sums)
    assert risk[0] == risk[1] == 2 and kept[1] == pytest.approx(2 / 3)  # no order among equal spreads
    assert risk[-1] == pytest.approx(14 / 3) and kept[-1] == 1
    area = 2 / 3 * 2 + 1 / 3 * (2 + 14 / 3) / 2
    assert metrics.compute(sums)["risk_coverage_area"] == pytest.approx(area)


def test_a_spread_that_ranks_errors_lowers_the_risk():
    found = score(*gaussian(pixels=20_000), OutputRange())
    assert 0.15 < found["risk_coverage_gain"] < 0.5


def test_sums_of_parts_are_the_whole_and_unjudged_pixels_do_not_count():
    truth, members = gaussian(pixels=1200)
    truth[np.random.default_rng(1).random(truth.shape) < 0.3] = np.nan
    metrics = ProbabilisticMetrics(DBZ, rows=3, row_dim="height")
    whole = metrics.statistics(truth, members)
    parts = [metrics.statistics(truth[i : i + 1], members[:, i : i + 1]) for i in range(len(truth))]
    for name, values in whole.items():
        np.testing.assert_allclose(np.concatenate([p[name] for p in parts]), values, rtol=1e-9, atol=1e-9)
    broken = np.where(np.isnan(truth), 1e9, members)
    np.testing.assert_allclose(metrics.statistics(truth, broken)["pixel"], whole["pixel"])
    sums = {name: values.sum(axis=0) for name, values in whole.items()}
    assert (
        sums["spread"][:, 0].sum() == sums["pixel"][0] == np.isfinite(truth).sum() == pytest.approx(sums["pit"].sum())
    )
    profile = metrics.compute_profile(sums)
    assert profile["pixels"].tolist() == np.isfinite(truth[:, :3]).sum(axis=(0, 2)).tolist()
    assert set(metrics.profile) <= set(profile)


def test_replicates_keep_their_axis():
    truth, members = gaussian(pixels=800)
    metrics = ProbabilisticMetrics(DBZ)
    statistics = metrics.statistics(truth, members)
    both = metrics.compute({k: np.stack([v.sum(axis=0), v[:2].sum(axis=0)]) for k, v in statistics.items()})
    one = metrics.compute({k: v[:2].sum(axis=0) for k, v in statistics.items()})
    for name, value in one.items():
        np.testing.assert_allclose(both[name][1], value, err_msg=name)


def test_nothing_judged_is_nan_not_an_error():
    found = score(np.full((1, 2, 2), np.nan), np.zeros((3, 1, 2, 2)))
    assert found["pixels"] == 0 and np.isnan(found["crps"]) and np.isnan(found["brier_echo"])


def test_every_printed_score_exists_and_has_a_unit():
    metrics = metrics_for(get_task("blind_zone"), "members")
    found = score(*gaussian())
    for name in (name for table in metrics.tables.values() for name in table):
        assert name in found
    assert metrics.unit("crps") == metrics.unit("width_90") == "dB" and metrics.unit("coverage_90") == ""
    assert metrics.rows == 16 and metrics.profile_dim == "height"
    assert metrics_for(get_task("meltwater"), "members").unit("crps") == ""


def test_wrong_shapes_and_classes_are_refused():
    with pytest.raises(InputError, match=r"Members are \(members, \*truth\.shape\)"):
        ProbabilisticMetrics(DBZ).statistics(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))
    with pytest.raises(InputError, match="are for regressions"):
        metrics_for(get_task("cloud_phase"), "members")
