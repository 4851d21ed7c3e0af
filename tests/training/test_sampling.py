"""Members of a model with Monte Carlo dropout, against masks worked out by hand and the uncut model."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import MonteCarloDropout
from cloudkeras.models import build_unet3plus
from cloudkeras.training import sampling
from cloudkeras.training.sampling import Sampler


def net(**options):
    options = {"dropout": 0.3, "mc_dropout": True, "deep_supervision": True, **options}
    return build_unet3plus((16, 16, 2), 1, filters=(4, 8), skip_channels=4, **options)


def draw(sampler, x, members, seed=0):
    return np.stack(list(sampler.members(x, members, seed)), axis=1)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(3, 16, 16, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = net()
    rng = np.random.default_rng(1)
    model.set_weights(
        [w + 0.1 * np.abs(rng.normal(size=w.shape)) if w.dtype.kind == "f" else w for w in model.get_weights()]
    )
    return model


@pytest.fixture(scope="module")
def sampler(model):
    return Sampler(model)


def test_members_depend_on_the_seed_and_the_sample_alone(sampler, x):
    members = draw(sampler, x, 6, seed=1)
    assert members.shape == (6, 3, 16, 16, 1) and members.dtype == np.float32
    np.testing.assert_array_equal(draw(sampler, x, 6, seed=1), members)
    np.testing.assert_array_equal(draw(sampler, x[2:], 6, seed=1)[:, 0], members[:, 2])
    np.testing.assert_array_equal(draw(sampler, x[::-1], 6, seed=1)[:, 0], members[:, 2])
    other = draw(sampler, x, 6, seed=2)
    assert all(not np.allclose(a, b) for a in members[:, 0] for b in other[:, 0])


def test_members_are_different_in_one_chunk_and_in_several(sampler, x, monkeypatch):
    for pixels in (10**9, 2 * 16 * 16):  # all side by side, or 2 at a time
        monkeypatch.setattr(sampling, "PIXELS_AT_ONCE", pixels)
        members = draw(sampler, x[:1], 5)[:, 0].reshape(5, -1)
        assert len(members) == 5
        distances = np.abs(members[:, None] - members[None]).mean(axis=2)
        assert (distances[~np.eye(5, dtype=bool)] > 1e-3).all()


def test_each_member_has_a_mask_of_its_own_and_keeps_the_mean():
    inputs = keras.Input((8, 8, 16))
    model = keras.Model(inputs, MonteCarloDropout(0.25, always_on=True)(inputs))
    kept = draw(Sampler(model), np.ones((1, 8, 8, 16), np.float32), 40)[:, 0].reshape(40, -1) > 0
    assert kept.mean() == pytest.approx(0.75, abs=0.01)
    correlation = np.corrcoef(kept.astype(float))[~np.eye(40, dtype=bool)]
    assert np.abs(correlation).max() < 5 / np.sqrt(kept.shape[1])  # independent: five standard deviations of nothing


def test_cut_in_two_is_the_whole_model(model, sampler, x):
    """The same dropout states in the uncut model give the same members; batch norm uses its moving averages."""
    shared = sampler._prefix(x[:1])
    states = np.random.default_rng(3).integers(0, 2**31, (len(sampler._dropouts), 2))
    sampler._set_states(list(states))
    cut = sampler._random.predict_on_batch([np.repeat(value, 4, axis=0) for value in shared])
    sampler._set_states(list(states))
    whole = model.predict_on_batch(np.repeat(x[:1], 4, axis=0))["final"]
    np.testing.assert_allclose(cut, whole, rtol=1e-5)
    assert len(shared) > 1 and sampler._fixed.layers  # something is computed once for all members


def test_the_mean_of_many_members_is_near_the_net_without_dropout():
    """If batch norm took batch statistics, shifted inputs would give the same output as others."""
    inputs = keras.Input((4, 4, 1))
    normal = keras.layers.BatchNormalization()
    model = keras.Model(inputs, normal(MonteCarloDropout(0.2, always_on=True)(inputs)))
    normal.set_weights([np.ones(1), np.zeros(1), np.full(1, 3.0), np.full(1, 4.0)])
    members = draw(Sampler(model), np.full((1, 4, 4, 1), 7.0, np.float32), 400)
    assert members.mean() == pytest.approx((7 - 3) / 2, abs=0.05)


def test_earlier_draws_leave_no_trace(x):
    model = net()
    before = [np.array(layer.seed_generator.state) for layer in model.layers if isinstance(layer, MonteCarloDropout)]
    draw(Sampler(model), x, 2)
    after = [np.array(layer.seed_generator.state) for layer in model.layers if isinstance(layer, MonteCarloDropout)]
    np.testing.assert_array_equal(before, after)


def test_dropout_in_a_nested_model_counts():
    inner_input = keras.Input((4, 4, 1))
    inner = keras.Model(inner_input, MonteCarloDropout(0.5, always_on=True)(inner_input))
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, inner(keras.layers.Rescaling(2.0)(inputs)))
    members = draw(Sampler(model), np.ones((1, 4, 4, 1), np.float32), 8)
    assert set(np.unique(members)) == {0.0, 4.0}


@pytest.mark.parametrize("options", [{"mc_dropout": False}, {"dropout": 0.0}])
def test_a_model_that_always_says_the_same_is_refused(options):
    with pytest.raises(InputError, match=r"always says the same.*mc_dropout=true"):
        Sampler(net(**options))


@pytest.mark.parametrize(("members", "seed", "name"), [(0, 0, "members"), (2.5, 0, "members"), (2, -1, "seed")])
def test_options_are_checked(sampler, x, members, seed, name):
    with pytest.raises(InputError, match=f"`{name}` is a whole number"):
        draw(sampler, x, members, seed)
