import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.explain import deterministic, input_gradient, make_objective

from .tiny_models import BIAS, COLUMNS, ROWS, WEIGHTS, linear_model, random_input, square_model, two_feature_model


def region(samples=3):
    mask = np.zeros((samples, ROWS, COLUMNS))
    for i in range(samples):
        mask[i, : i + 1, 2:5] = 1
    return mask


def check_linear_gradient():
    """The gradient of the mean over n pixels is weight / n inside the region, 0 outside, whatever the input."""
    x, mask = random_input(), region()
    objective = make_objective((ROWS, COLUMNS, 2), region=mask, channel=0)
    value, gradient = input_gradient(linear_model(), x, objective, batch_size=2)
    count = mask.sum(axis=(1, 2))
    expected = mask[..., None] * WEIGHTS[:, 0] / count[:, None, None, None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    mean = (mask * (x @ WEIGHTS[:, 0] + BIAS[0])).sum(axis=(1, 2)) / count
    np.testing.assert_allclose(value, mean, rtol=1e-5, atol=1e-6)


def check_other_gradients():
    """A product, a model with several outputs, random dropout that is off, and an unconnected input."""
    x = random_input(2)
    objective = make_objective((ROWS, COLUMNS, 1))
    _, gradient = input_gradient(square_model(), x, objective)
    expected = np.stack([2 * x[..., 0] + x[..., 1], x[..., 0], np.zeros_like(x[..., 0])], axis=-1) / (ROWS * COLUMNS)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    model = two_feature_model()
    _, gradient = input_gradient(model, x, objective)
    expected = np.broadcast_to(np.array([1.1, -1.9, 0.1]) / (ROWS * COLUMNS), x.shape)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_linear_gradient():
    check_linear_gradient()


def test_other_gradients():
    check_other_gradients()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs on JAX already")
def test_the_same_on_jax():
    pytest.importorskip("jax")
    code = (
        "from tests.explain import test_gradients as g, test_activations as a, test_attribution as t\n"
        "g.check_linear_gradient(); g.check_other_gradients(); a.check_grad_cam(); t.check_completeness()\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # compiling is slow, and speed is not tested
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_dropout_is_off_and_the_model_stays_as_it_was():
    x = random_input()
    model, plain = linear_model(dropout=0.5), linear_model()
    twin = deterministic(model)
    np.testing.assert_allclose(twin.predict(x, verbose=0), plain.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert model.get_layer("drop").always_on and len(model.get_layer("drop").output.shape) == 4
    assert not np.allclose(model.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_objectives_and_samples_must_fit():
    objective = make_objective((ROWS, COLUMNS, 2), region=region(2), channel=1)
    with pytest.raises(InputError, match="The objective is for 2 samples, the input holds 3"):
        input_gradient(linear_model(), random_input(3), objective)


def test_only_functional_models():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(InputError, match=r"need a functional Keras model\. Received Own"):
        deterministic(Own())
