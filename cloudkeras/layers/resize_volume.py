"""Bilinear upsampling of a volume along y and x."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="cloudkeras")
class ResizeVolume(keras.layers.Layer):
    """Upsamples the horizontal grid of a volume by 2, bilinearly; levels stay as they are.

    The half-pixel weights of a factor of 2 are 3/4 and 1/4, so each axis is two weighted sums of neighbours
    and one interleaving; the edge is repeated.

    Input shape:  (batch, levels, y, x, channels).
    Output shape: (batch, levels, 2 y, 2 x, channels).
    """

    def call(self, inputs: Any) -> Any:
        return _double(_double(inputs, 2), 3)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, levels, *sizes, channels = input_shape
        return batch, levels, *(None if size is None else 2 * size for size in sizes), channels


def _double(x: Any, axis: int) -> Any:
    """Twice as many values along one axis by linear interpolation at half-pixel centers."""
    first, last = ops.take(x, [0], axis=axis), ops.take(x, [-1], axis=axis)
    before = [slice(None)] * axis + [slice(None, -1)]
    after = [slice(None)] * axis + [slice(1, None)]
    left = ops.concatenate([first, x[tuple(before)]], axis=axis)
    right = ops.concatenate([x[tuple(after)], last], axis=axis)
    pairs = ops.stack([0.75 * x + 0.25 * left, 0.75 * x + 0.25 * right], axis=axis + 1)
    shape = list(ops.shape(x))
    shape[axis] = shape[axis] * 2
    shape[0] = -1
    return ops.reshape(pairs, shape)
