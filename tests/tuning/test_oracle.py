"""The search itself, on a function that costs nothing: seeds, no point twice, penalties, interruption."""

from __future__ import annotations

import math

import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.base_tuner import BaseTuner

from tuning.oracle import SweepOracle, is_failed, penalty_cost, robust_score
from tuning.search_space import Parameter, size_of

# KerasTuner 1.4.8 asks threading for names in a way that Python has deprecated: oracle.py, line 102.
pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\) is deprecated:DeprecationWarning")

SPACE = (
    Parameter("rate", (1e-4, 1e-3, 1e-2, 1e-1), default=1e-2),
    Parameter("depth", (2, 3, 4)),
    Parameter("loss", ("mae", "mse"), ordered=False),
)


def objective(values) -> float:
    """Best, 0, at rate 1e-3, depth 4, mse."""
    return (math.log10(values["rate"]) + 3) ** 2 + (values["depth"] - 4) ** 2 + (values["loss"] == "mae")


class Search(BaseTuner):
    """A tuner whose trials are evaluations of a function."""

    def __init__(self, oracle, folder, function=objective):
        self.function, self.points = function, []
        super().__init__(oracle=oracle, directory=str(folder), project_name="trials")

    def save(self):
        pass

    def run_trial(self, trial, *arguments, **keywords):
        self.points.append(dict(trial.hyperparameters.values))
        value = self.function(trial.hyperparameters.values)
        failed = not math.isfinite(value)
        return {"score": self.oracle.penalty_score() if failed else value, "failed": float(failed)}


def oracle(seed=0, trials=12, space=SPACE, maximize=False):
    return SweepOracle(space, maximize=maximize, max_trials=trials, initial_points=4, seed=seed)


def search(folder, function=objective, **options):
    tuner = Search(oracle(**options), folder, function)
    tuner.search()
    return tuner


def key(point):
    return tuple(sorted(point.items()))


def test_no_point_is_tried_twice_and_the_search_ends_with_the_space(tmp_path):
    space = SPACE[:2]
    tuner = search(tmp_path, lambda v: v["rate"], trials=100, space=space)
    assert len(tuner.points) == size_of(space) == 12
    assert len({key(p) for p in tuner.points}) == 12


def test_it_begins_with_the_defaults(tmp_path):
    assert search(tmp_path, trials=1).points == [{"rate": 1e-2, "depth": 2, "loss": "mae"}]


def test_the_seed_is_honoured_even_when_it_is_zero(tmp_path):
    points = [search(tmp_path / f"{i}", seed=seed, trials=8).points for i, seed in enumerate((0, 0, 1))]
    assert points[0] == points[1]
    assert points[0] != points[2]


def test_it_finds_the_best_in_half_of_the_points(tmp_path):
    for maximize in (False, True):
        function = (lambda v: -objective(v)) if maximize else objective
        found = []
        for seed in range(2):
            points = search(tmp_path / f"{maximize}{seed}", function, seed=seed, maximize=maximize).points
            found.append(min(points, key=objective))
        assert [objective(p) for p in found] == [0, 0]


def test_failed_trials_have_finite_scores_worse_than_all_others(tmp_path):
    def function(values):
        return math.nan if values["rate"] == 1e-1 else math.inf if values["depth"] == 2 else objective(values)

    tuner = search(tmp_path, function, trials=14)
    done = list(tuner.oracle.trials.values())
    assert [t.status for t in done] == ["COMPLETED"] * 14
    failed = [t for t in done if is_failed(t)]
    assert failed
    costs = tuner.oracle.costs(done)
    assert np.isfinite(costs).all()
    assert costs[[is_failed(t) for t in done]].min() > costs[[not is_failed(t) for t in done]].max()
    # The Gaussian process stays away: at random half of the points fail, after the first four few do.
    assert sum(is_failed(t) for t in done[4:]) <= 3


def test_the_penalty_is_the_worst_and_the_spread():
    assert penalty_cost(np.array([1.0, 3.0])) == 5.0
    assert penalty_cost(np.array([2.0])) == pytest.approx(2.2)
    assert penalty_cost(np.array([-0.5, -0.5])) == pytest.approx(-0.45)
    assert penalty_cost(np.array([0.0])) == 1.0
    assert penalty_cost(np.array([])) == 1.0


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path):
    whole = search(tmp_path / "whole").points
    calls = []

    def stops_in_the_seventh(values):
        calls.append(values)
        if len(calls) == 7:
            raise keras_tuner.errors.FatalError("as if killed")
        return objective(values)

    with pytest.raises(keras_tuner.errors.FatalError):
        search(tmp_path / "cut", stops_in_the_seventh)
    again = Search(oracle(), tmp_path / "cut")
    again.oracle.reload()
    assert len(again.oracle.end_order) == 6
    again.search()
    assert again.points == whole[6:]


def test_the_score_is_the_best_mean_of_three_epochs():
    lucky = [0.1, 0.9, 0.1, 0.4, 0.5, 0.6]
    assert robust_score(lucky, maximize=True) == pytest.approx(0.5)
    assert robust_score([5.0, 1.0, 5.0, 2.0, 2.0, 2.0], maximize=False) == pytest.approx(2.0)
    assert robust_score([0.2, 0.4], maximize=True) == pytest.approx(0.3)
