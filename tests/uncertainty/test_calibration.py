"""Calibration: known spread stays, too small a spread is mended, the atom gets its probability."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import DataError, InputError
from cloudkeras.metrics.probabilistic import crps
from cloudkeras.tasks import get_task
from cloudkeras.uncertainty import Calibration, EnsembleMethod, fit_calibration
from cloudkeras.uncertainty.calibration import best_threshold, fit_law, shared_coverage
from cloudkeras.uncertainty.law import Law, fit_event, fit_residuals
from cloudkeras.uncertainty.pixels import features_of, folds
from tests.training.tiny import write_radar_shards

from .made import TASK, Fixed, Source, echo_pixels, gaussian_pixels, radar_input, table_of

ANY = (-np.inf, np.inf, None)


def coverage(law, table, low=0.05, high=0.95):
    a, b = law.quantiles(table.features, np.array([low, high]))
    return np.mean((a <= table.truth) & (table.truth <= b))


@pytest.mark.parametrize("factor", [1.0, 0.2])
def test_gaussian_members_of_right_and_of_too_small_spread_give_nominal_intervals(factor):
    law, threshold, report = fit_law(gaussian_pixels(factor=factor)[0], *ANY)
    new, drawn = gaussian_pixels(factor=factor, seed=1)
    assert coverage(law, new) == pytest.approx(0.9, abs=0.015)
    assert coverage(law, new, 0.25, 0.75) == pytest.approx(0.5, abs=0.03)
    assert threshold == 0.5 and report["stretches"] == 5
    levels = np.arange(1, 51) / 51
    ours = crps(new.truth, law.quantiles(new.features, levels))[0].mean()
    members = crps(new.truth, np.sort(drawn, axis=0))[0].mean()
    assert ours < members * (1.02 if factor == 1 else 0.9)
    if factor < 1:  # the spread still tells where errors are large
        assert report["standardized"]


def test_echo_is_as_likely_as_it_was_and_intervals_hold_the_atom():
    law, threshold, report = fit_law(echo_pixels(stretches=60)[0], -60.0, 30.0, -60.0)
    new, _ = echo_pixels(seed=1)
    p = law.probability(new.features)
    happened = new.truth > -60
    for low in (0.1, 0.3, 0.5, 0.7):
        here = (p >= low) & (p < low + 0.2)
        assert happened[here].mean() == pytest.approx(p[here].mean(), abs=0.05)
    assert shared_coverage(law.bounds(new.features, new.truth)).mean() == pytest.approx(0.9, abs=0.02)
    assert report["crps_calibrated"] < 0.6 * report["crps_members"]
    everywhere = 2 * happened.sum() / (len(p) + happened.sum())
    shown = p >= threshold
    assert 2 * (shown & happened).sum() / (shown.sum() + happened.sum()) > everywhere + 0.05


def test_few_stretches_of_record_make_probabilities_less_sure():
    table, _ = echo_pixels(stretches=3)
    always = np.ones(len(table), bool)
    event = fit_event(table.features, always, table.place, 1.0)
    np.testing.assert_allclose(event(table.features), 3.5 / 4)  # Jeffreys: (3 + 1/2) / (3 + 1)
    np.testing.assert_allclose(fit_event(table.features, ~always, table.place, 1.0)(table.features), 0.5 / 4)


def test_quantiles_do_not_cross_and_stay_in_range_and_agree_with_the_bounds():
    law, *_ = fit_law(echo_pixels()[0], -60.0, 30.0, -60.0)
    new, _ = echo_pixels(seed=2, pixels=500)
    levels = np.linspace(0.01, 0.99, 99)
    values = law.quantiles(new.features, levels)
    assert (np.diff(values, axis=0) >= 0).all() and values.min() == -60 and values.max() <= 30
    median = law.quantiles(new.features, np.array([0.7]))[0]
    inside = (median > -60) & (median < 30)
    below = law.bounds(new.features, median)[0]
    np.testing.assert_allclose(below[inside], 0.7, atol=0.02)
    clear = np.full(len(new), -60.0)
    assert (law.bounds(new.features, clear)[0] == 0).all() and (law.bounds(new.features, clear)[1] > 0).all()
    assert (law.bounds(new.features, np.full(len(new), 30.0))[1] == 1).all()


def test_a_small_cell_takes_the_residuals_of_the_coarser_one():
    rng = np.random.default_rng(0)
    factor = np.repeat([0, 1, 2], [500, 500, 20])
    truth = np.array([0.0, 10.0, -30.0])[factor] + rng.normal(size=1020)
    table = table_of(truth, np.zeros((5, 1020)), 1, factors=factor[None])
    place = rng.integers(0, 4, 1020)
    residuals = fit_residuals(table.features, truth, place, ((), ()), 1, False, min_pixels=100)
    assert residuals.cells == ((), (0,), (1,))
    cell = residuals.cell_of(table.features)
    assert [int(np.median(cell[factor == k])) for k in range(3)] == [1, 2, 0]
    lonely = np.where(factor == 1, 7, place)  # all of one stretch
    assert fit_residuals(table.features, truth, lonely, ((), ()), 1, False, min_pixels=100).cells == ((), (0,))


@pytest.mark.parametrize("pixels", [1, 3, 40])
def test_little_data_does_not_break(pixels):
    for atom, low in ((None, -np.inf), (-60.0, -60.0)):
        table, _ = echo_pixels(pixels=pixels, stretches=min(pixels, 2))
        law, threshold, _ = fit_law(table, low, 30.0, atom)
        values = law.quantiles(table.features, np.array([0.05, 0.5, 0.95]))
        assert np.isfinite(values).all() and 0 <= threshold <= 1


def test_folds_are_contiguous_and_of_like_size():
    place = np.repeat(np.arange(7), [10, 10, 10, 10, 10, 10, 40])
    fold = folds(place, 5)
    assert (np.diff(fold) >= 0).all() and fold.max() >= 2
    assert all(len(np.unique(fold[place == k])) == 1 for k in range(7))
    assert folds(np.zeros(9, int)).max() == 0


def test_the_threshold_has_the_best_dice():
    p = np.array([0.9, 0.8, 0.4, 0.3, 0.1])
    happened = np.array([True, True, True, False, False])
    assert best_threshold(p, happened) == 0.4  # Dice 1
    assert best_threshold(p, np.zeros(5, bool)) == 0.5
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    happened = rng.random(20_000) < p
    best = max(2 * (happened & (p >= t)).sum() / ((p >= t).sum() + happened.sum()) for t in np.linspace(0, 1, 200))
    assert best_threshold(p, happened) == pytest.approx(best / 2, abs=0.03)


def test_features_by_hand():
    members = np.array([[-60.0, -60, 1], [-60, -10, 2], [-60, -20, 6], [-60, -30, 7]])
    found = features_of(members, np.zeros((0, 3)), -60.0)
    np.testing.assert_allclose(found.probability, [0, 0.75, 1])
    np.testing.assert_allclose(found.center, [-60, -20, 4])
    np.testing.assert_allclose(found.spread, members.std(axis=0, ddof=1))
    np.testing.assert_allclose(features_of(members, np.zeros((0, 3)), None).center, [-60, -25, 4])


# ---- on shards -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = write_radar_shards(tmp_path_factory.mktemp("radar") / "data", {"train": 2, "validation": 12, "test": 6})
    return ShardDataset.open(folder)


@pytest.fixture(scope="module")
def method():
    return EnsembleMethod(Source(width=0.005), 20)


@pytest.fixture(scope="module")
def calibration(shards, method):
    return fit_calibration(method, shards, pixels=4000)


def test_fitted_on_validation_it_covers_the_test_split(shards, method, calibration):
    from cloudkeras.evaluation import evaluate

    mended = EnsembleMethod(method.source, 20, calibration=calibration, name="calibrated")
    dressed = EnsembleMethod(Fixed(value=0.2), 20, name="fixed")
    dressed = EnsembleMethod(
        dressed.source, 20, calibration=fit_calibration(dressed, shards, pixels=4000), name="fixed_dressed"
    )
    scores = evaluate(TASK, shards, [method, mended, dressed], kind="members", bootstrap=0).values
    assert scores["source"]["coverage_90"] < 0.5 and scores["calibrated"]["coverage_90"] == pytest.approx(
        0.92, abs=0.06
    )
    assert scores["calibrated"]["crps"] < 0.9 * scores["source"]["crps"] < scores["fixed_dressed"]["crps"]
    assert scores["fixed_dressed"]["coverage_90"] > 0.8 and scores["fixed_dressed"]["width_90"] > 20
    assert calibration.report["split"] == "validation" and calibration.report["simulated"]
    assert calibration.factors == ("visible_echo", "depth") and calibration.members == 20


def test_apply_keeps_the_ranks_and_what_was_observed(calibration, method):
    x, _ = radar_input()
    raw = method.raw_members(x)
    made = calibration.apply(raw, x, TASK)
    filled = TASK.filled(x)
    np.testing.assert_array_equal(made[:, ~filled], raw[:, ~filled])
    assert made.dtype == np.float32 and made[:, filled].min() >= -60 and made[:, filled].max() <= 30
    order = np.argsort(raw[:, filled], axis=0, kind="stable")
    assert (np.diff(np.take_along_axis(made[:, filled], order, axis=0), axis=0) >= 0).all()
    levels = np.arange(1, 21) / 21
    np.testing.assert_allclose(np.sort(made[:, filled], axis=0), calibration.quantiles(raw, x, TASK, levels)[:, filled])
    share = (made[:, filled] > -20).mean(axis=0)
    np.testing.assert_allclose(calibration.probability(raw, x, TASK, -20.0)[filled], share, atol=0.06)


def test_any_number_of_members_comes_in_order(calibration, method):
    x, _ = radar_input()
    raw = method.raw_members(x)
    made, filled = calibration.apply(raw, x, TASK, 30), TASK.filled(x)
    assert made.shape == (30, *raw.shape[1:]) and (np.diff(made[:, filled], axis=0) >= 0).all()
    np.testing.assert_array_equal(made[:, ~filled], raw[np.arange(30) % 20][:, ~filled])


def test_point_values(calibration, method):
    x, _ = radar_input()
    filled = TASK.filled(x)
    median = EnsembleMethod(method.source, 20, statistic="median", calibration=calibration)
    np.testing.assert_allclose(TASK.decode(median(x), x), median.physical(x), atol=1e-3)
    raw = method.raw_members(x)
    never = Calibration(calibration.law, 2.0, calibration.factors, TASK.name, 20)
    assert (never.point(raw, x, TASK)[filled] == -60).all()
    always = Calibration(calibration.law, 0.0, calibration.factors, TASK.name, 20).point(raw, x, TASK)
    assert (always[filled] > -60).all()
    mean = EnsembleMethod(method.source, 20, calibration=calibration)
    np.testing.assert_allclose(mean.physical(x), mean.members(x).mean(axis=0), atol=1e-4)
    plain = EnsembleMethod(method.source, 20, statistic="median")
    np.testing.assert_allclose(plain.physical(x), np.median(raw, axis=0))
    assert plain.name == "source" and plain.statistics is method.source.statistics


def test_saved_and_loaded_it_does_the_same(calibration, method, tmp_path):
    path = calibration.save(tmp_path)
    assert path.name == "calibration.json" and json.loads(path.read_text())["task"] == "blind_zone"
    x, _ = radar_input()
    raw = method.raw_members(x)
    loaded = Calibration.load(tmp_path)
    np.testing.assert_allclose(loaded.apply(raw, x, TASK), calibration.apply(raw, x, TASK))
    assert loaded.report == calibration.report and loaded.threshold == calibration.threshold
    path.write_text("{}")
    with pytest.raises(DataError, match="expected a calibration of format 1"):
        Calibration.load(path)
    with pytest.raises(DataError, match="found no file"):
        Calibration.load(tmp_path / "none.json")


def test_a_task_without_atom_or_factors(tmp_path):
    task = get_task("meltwater")
    table, _ = gaussian_pixels(pixels=500)
    law, threshold, _ = fit_law(table, *ANY)
    x = np.zeros((1, 4, 5, len(task.channel_names())), np.float32)
    calibration = Calibration(law, threshold, (), "meltwater", 3)
    made = calibration.apply(np.random.default_rng(0).normal(size=(3, 1, 4, 5)), x, task)
    assert made.shape == (3, 1, 4, 5) and np.isfinite(made).all()
    assert np.isfinite(Calibration.load(calibration.save(tmp_path)).point(made, x, task)).all()


def test_mistakes_are_named(calibration, method, shards):
    x, _ = radar_input()
    raw = method.raw_members(x)
    with pytest.raises(InputError, match="`task` is one of 'blind_zone'"):
        calibration.apply(raw, x, get_task("meltwater"))
    with pytest.raises(InputError, match="`members` is at least 1"):
        calibration.apply(raw, x, TASK, 0)
    with pytest.raises(InputError, match=r"\(members, batch"):
        calibration.apply(raw[:, :1], x, TASK)
    with pytest.raises(InputError, match="`statistic` is one of"):
        EnsembleMethod(Source(), 3, statistic="mode")
    with pytest.raises(InputError, match="for regressions"):
        fit_calibration(method, shards, task=get_task("cloud_phase"))


def test_law_goes_through_json():
    law, *_ = fit_law(echo_pixels(pixels=600)[0], -60.0, 30.0, -60.0)
    again = Law.from_dict(json.loads(json.dumps(law.to_dict())))
    new, _ = echo_pixels(pixels=50, seed=4)
    np.testing.assert_allclose(
        again.quantiles(new.features, np.array([0.1, 0.6])), law.quantiles(new.features, np.array([0.1, 0.6]))
    )
