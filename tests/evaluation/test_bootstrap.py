from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.evaluation import bootstrap
from cloudkeras.evaluation.bootstrap import draws, group_sums, interval, replicate


class Mean:
    """The simplest score: a mean from a sum and a count."""

    def compute(self, sums):
        return {"mean": sums["sum"] / sums["count"]}


def test_samples_of_a_group_are_summed():
    sums = group_sums({"a": np.array([[1, 10], [2, 20], [4, 40]])}, np.array(["y", "x", "y"]))
    np.testing.assert_array_equal(sums["a"], [[2, 20], [5, 50]])  # x, then y


def test_draws_are_as_many_as_groups_and_depend_on_the_seed_alone():
    first, again, other = draws(7, 50, 3), draws(7, 50, 3), draws(7, 50, 4)
    assert first.shape == (50, 7) and np.all(first.sum(axis=1) == 7)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert draws(1, 50, 0).shape == (0, 1)  # one group cannot be resampled


def test_a_replicate_is_the_score_of_the_groups_drawn(monkeypatch):
    rng = np.random.default_rng(0)
    sums = {"sum": rng.normal(size=6), "count": rng.integers(1, 9, 6).astype(float)}
    counts = draws(6, 40, 0)
    found = replicate(Mean(), sums, counts)["mean"]
    for row, value in zip(counts, found, strict=True):
        chosen = np.repeat(np.arange(6), row.astype(int))
        assert value == pytest.approx(sums["sum"][chosen].sum() / sums["count"][chosen].sum())
    monkeypatch.setattr(bootstrap, "_CHUNK_ELEMENTS", 7)  # a few replicates at a time give the same
    np.testing.assert_allclose(replicate(Mean(), sums, counts)["mean"], found)


def test_interval_covers_a_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        values = rng.normal(2, 1, 60)
        counts = draws(60, 300, trial)
        scores = replicate(Mean(), {"sum": values, "count": np.ones(60)}, counts)["mean"]
        low, high = interval(values.mean(), scores, 0.9)[1:]
        covered += low <= 2 <= high
    assert 0.83 <= covered / 200 <= 0.95


def test_interval_is_made_of_percentiles_without_the_undefined():
    replicates = np.concatenate([np.arange(101.0), [np.nan]])
    assert interval(50, replicates, 0.9) == (50, pytest.approx(5), pytest.approx(95))
    assert np.isnan(interval(1, None, 0.9).low) and np.isnan(interval(float("nan"), replicates, 0.9).high)


def test_wrong_number_of_replicates_is_named():
    with pytest.raises(InputError, match="`bootstrap` is a number of replicates"):
        draws(5, -1, 0)
