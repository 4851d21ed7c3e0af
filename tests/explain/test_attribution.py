import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.explain import baseline_input, integrated_gradients, make_objective, saliency
from cloudkeras.layers import MonteCarloDropout
from cloudkeras.tasks import get_task

from .tiny_models import COLUMNS, ROWS, WEIGHTS, linear_model, random_input, square_model


def check_completeness():
    """Of a network with ReLU: the attributions sum to f(x) - f(baseline), for each sample."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = MonteCarloDropout(0.3, always_on=True)(keras.layers.MaxPooling2D(2)(x))
    x = keras.layers.UpSampling2D(2)(keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(keras.layers.Concatenate()([x, inputs])))
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 2)).astype(np.float32)
    mask = np.zeros((8, 8))
    mask[:3] = 1
    result = integrated_gradients(model, x, make_objective((8, 8, 1), region=mask), -1.0, steps=256, batch_size=64)
    difference = result.value - result.baseline_value
    assert (np.abs(difference) > 1e-2).all()
    np.testing.assert_allclose(result.attributions.sum(axis=(1, 2, 3)), difference, rtol=0.02)
    np.testing.assert_allclose(result.completeness_gap, result.attributions.sum(axis=(1, 2, 3)) - difference, atol=1e-6)


def test_integrated_gradients_of_a_product_by_hand():
    """f = x0^2 + x0 x1 from 0: the integrals are x0^2 + x0 x1 / 2 for x0 and x0 x1 / 2 for x1."""
    x = random_input(2)
    result = integrated_gradients(square_model(), x, make_objective((ROWS, COLUMNS, 1)), 0.0, steps=2, batch_size=3)
    first, second = x[..., 0], x[..., 1]
    expected = np.stack([first**2 + first * second / 2, first * second / 2, 0 * first], axis=-1) / (ROWS * COLUMNS)
    np.testing.assert_allclose(result.attributions, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.baseline_value, 0, atol=1e-7)


def test_each_sample_has_its_own_region_and_baseline():
    x = random_input(2)
    mask = np.zeros((2, ROWS, COLUMNS))
    mask[0, 0], mask[1, 1:3] = 1, 1
    baseline = random_input(2, seed=5)
    objective = make_objective((ROWS, COLUMNS, 2), region=mask, channel=1)
    result = integrated_gradients(linear_model(), x, objective, baseline, steps=1)
    weights = mask / mask.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(
        result.attributions, weights[..., None] * WEIGHTS[:, 1] * (x - baseline), rtol=1e-4, atol=1e-6
    )


def test_saliency_is_the_size_of_the_gradient():
    x = random_input(2)
    maps = saliency(linear_model(), x, make_objective((ROWS, COLUMNS, 2), channel=0))
    np.testing.assert_allclose(maps, np.broadcast_to(np.abs(WEIGHTS[:, 0]) / (ROWS * COLUMNS), x.shape), rtol=1e-5)


def test_baselines():
    radar, phase = get_task("blind_zone", context=["temperature"]), get_task("cloud_phase")
    x = random_input(2)
    hidden = baseline_input(radar, x)
    assert (hidden[..., :2] == -1).all()
    np.testing.assert_array_equal(hidden[..., 2], x[..., 2])
    mean = baseline_input(radar, x, "mean", mean=[0.5, 0.25, 9.0], keep=["reflectivity"])
    np.testing.assert_array_equal(mean[..., 0], x[..., 0])
    assert (mean[..., 1] == 0.25).all() and (mean[..., 2] == 9).all()
    bands = np.ones((1, 4, 4, 16))
    assert (baseline_input(phase, bands) == 0).all()
    with pytest.raises(InputError, match='"hidden" is for the task blind_zone; cloud_phase has "zero" and "mean"'):
        baseline_input(phase, bands, "hidden")
    with pytest.raises(InputError, match="`baseline` is one of 'hidden', 'zero', 'mean'"):
        baseline_input(phase, bands, "black")
    with pytest.raises(InputError, match="`keep` names channels out of reflectivity, temperature, blind_zone_mask"):
        baseline_input(radar, x, keep=["mask"])
    with pytest.raises(InputError, match="`mean` has one value a channel"):
        baseline_input(radar, x, "mean", mean=[1.0])


def test_wrong_baseline_and_steps():
    x, objective = random_input(1), make_objective((ROWS, COLUMNS, 2), channel=0)
    with pytest.raises(InputError, match="`steps` counts at least 1 point"):
        integrated_gradients(linear_model(), x, objective, 0.0, steps=0)
    with pytest.raises(InputError, match="`baseline` broadcasts to the shape"):
        integrated_gradients(linear_model(), x, objective, np.zeros((5, 5)))
