"""Gradients of an objective with respect to an input, on TensorFlow, JAX and Torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ..errors import InputError
from .models import deterministic, final_output
from .objectives import Objective

Gradient = Callable[[Sequence[np.ndarray], np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Inputs and weights of a batch to values (batch,) and the gradient with respect to the last input."""


def input_gradient(model: Any, x: Any, objective: Objective, *, batch_size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """The objective and its gradient with respect to the network input, sample by sample.

    Samples of a batch do not influence each other (batch normalization runs on its stored statistics), so that one
    backward pass of the sum gives the gradient of each. Monte Carlo dropout is switched off; see `deterministic`.

    Args:
        model: A functional Keras model, or a run's `model`.
        x: Network input, (batch, rows, columns, channels).
        objective: What is differentiated.
        batch_size: Samples at once.

    Returns:
        Values (batch,) and gradients in the shape of `x`, float32.
    """
    x = np.asarray(x, np.float32)
    return in_batches(compiled_gradient(deterministic(model), objective), [x], objective.weights, batch_size)


def in_batches(
    gradient: Gradient, inputs: Sequence[np.ndarray], weights: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Runs a gradient over batches of one size, so that it is compiled once; the last is filled up and cut.

    Args:
        gradient: Of `compiled_gradient`.
        inputs: Arrays, sample first.
        weights: Of the objective; one for all samples, or one for each.
        batch_size: Samples at once.
    """
    count = len(inputs[0])
    size = min(batch_size, count)
    if len(weights) not in (1, count):
        raise InputError(f"The objective is for {len(weights)} samples, the input holds {count}.")
    values, gradients = [], []
    for start in range(0, count, size):
        number = min(size, count - start)
        index = np.minimum(np.arange(start, start + size), count - 1)
        batch_weights = weights[index] if len(weights) > 1 else weights
        value, slope = gradient([array[index] for array in inputs], batch_weights)
        values.append(value[:number])
        gradients.append(slope[:number])
    return np.concatenate(values), np.concatenate(gradients)


def compiled_gradient(model: Any, objective: Objective) -> Gradient:
    """A compiled function of a model without random numbers; it serves any number of batches of one shape.

    Args:
        model: Takes one or several inputs, the network input first.
        objective: What is differentiated, with respect to the last input.

    Raises:
        InputError: If the backend is none of the three.
    """
    makers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    backend = keras.backend.backend()
    if backend not in makers:
        raise InputError(f"Gradients are made on tensorflow, jax or torch. The Keras backend is {backend}.")
    return makers[backend](model, objective)


def _as_model_input(inputs: Sequence[Any]) -> Any:
    return list(inputs) if len(inputs) > 1 else inputs[0]


def _tensorflow(model: Any, objective: Objective) -> Gradient:
    import tensorflow as tf

    @tf.function
    def run(inputs: list[Any], weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs[-1])
            outputs = final_output(model(_as_model_input(inputs), training=False))
            values = objective(outputs, inputs[0], weights)
        gradient = tape.gradient(values, inputs[-1], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return values, gradient

    def gradient(inputs: Sequence[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slope = run([tf.constant(a, tf.float32) for a in inputs], tf.constant(weights, tf.float32))
        return values.numpy(), slope.numpy()

    return gradient


def _jax(model: Any, objective: Objective) -> Gradient:
    import jax

    def total(last: Any, others: list[Any], trainable: Any, other: Any, weights: Any) -> tuple[Any, Any]:
        inputs = [*others, last]
        outputs, _ = model.stateless_call(trainable, other, _as_model_input(inputs), training=False)
        values = objective(final_output(outputs), inputs[0], weights)
        return values.sum(), values

    run = jax.jit(jax.value_and_grad(total, has_aux=True))

    def gradient(inputs: Sequence[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        arrays = [jax.numpy.asarray(a, "float32") for a in inputs]
        states = [[v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]
        (_, values), slope = run(arrays[-1], arrays[:-1], *states, jax.numpy.asarray(weights, "float32"))
        return np.asarray(values), np.asarray(slope)

    return gradient


def _torch(model: Any, objective: Objective) -> Gradient:
    import torch

    def gradient(inputs: Sequence[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        arrays = [keras.ops.convert_to_tensor(a, "float32") for a in inputs]
        last = arrays[-1].detach().clone().requires_grad_(True)
        arrays[-1] = last
        outputs = final_output(model(_as_model_input(arrays), training=False))
        values = objective(outputs, arrays[0], keras.ops.convert_to_tensor(weights, "float32"))
        (slope,) = torch.autograd.grad(values.sum(), last, allow_unused=True)
        slope = torch.zeros_like(last) if slope is None else slope
        return keras.ops.convert_to_numpy(values), keras.ops.convert_to_numpy(slope)

    return gradient
