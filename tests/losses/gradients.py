"""The gradient of a scalar with respect to an array, on whichever backend runs."""

from __future__ import annotations

import keras
import numpy as np


def value_and_gradient(function, x):
    """`function(x)` and its gradient, as NumPy, for an array `x`."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        variable = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(variable)
            value = function(variable)
        return float(value), tape.gradient(value, variable).numpy()
    if backend == "jax":
        import jax

        value, gradient = jax.value_and_grad(function)(jax.numpy.asarray(x))
        return float(value), np.asarray(gradient)
    import torch

    variable = torch.tensor(x, requires_grad=True)
    value = function(variable)
    value.backward()
    return float(value.detach()), variable.grad.numpy()
