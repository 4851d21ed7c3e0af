"""Upsampling of images and volumes along y and x by a whole factor, at static and dynamic sizes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import check, check_choice

INTERPOLATIONS = ("bilinear", "nearest")


def upsampling_matrix(size: Any, factor: int, interpolation: str, shifts: tuple[int, ...] = (0,)) -> Any:
    """Weights of upsampling along one axis.

    Args:
        size: Values along the axis, a number or a scalar tensor.
        factor: Whole factor by which they become more.
        interpolation: "bilinear" (half-pixel centers, edges repeated) or "nearest".
        shifts: Shifts of the upsampled values, each with a column block of its own; what a shift brings in from
            beyond the edge is 0.

    Returns:
        (size * factor, size * len(shifts)), float32. Column `i * len(shifts) + k` of row `p` is the weight of value `i`
        in the upsampled value at `p + shifts[k]`.
    """
    output = ops.reshape(ops.arange(size * factor, dtype="float32"), (-1, 1, 1))
    source = ops.reshape(ops.arange(size, dtype="float32"), (1, -1, 1))
    position = output + ops.reshape(ops.convert_to_tensor(shifts, dtype="float32"), (1, 1, -1))
    center = (position + 0.5) / factor - 0.5
    last = ops.cast(size, "float32") - 1.0
    if interpolation == "nearest":
        # Centers are at least half an output pixel from the border between two values: no tie to round.
        weight = ops.cast(ops.abs(center - source) < 0.5, "float32")
    else:
        weight = ops.maximum(1.0 - ops.abs(ops.clip(center, 0.0, last) - source), 0.0)
    inside = ops.logical_and(position >= 0, position < ops.cast(size * factor, "float32"))
    return ops.reshape(ops.where(inside, weight, 0.0), (size * factor, size * len(shifts)))


@keras.saving.register_keras_serializable(package="cloudkeras")
class Upsample(keras.layers.Layer):
    """Upsamples y and x; levels, where there are any, stay as they are.

    `keras.layers.UpSampling2D` with the same numbers, and three differences: volumes too, dynamic sizes in an exported
    model (Keras 3.15 raises on those if bilinear), and the compute dtype throughout. Bilinear weights are a constant
    matrix for each axis, so that forward and backward are matrix products.

    Args:
        factor: Whole factor by which y and x grow, at least 2.
        interpolation: "bilinear" (half-pixel centers, edges repeated) or "nearest".

    Input shape:  (batch, y, x, channels) or (batch, levels, y, x, channels).
    Output shape: the same with y and x times `factor`.

    Raises:
        InputError: If an argument is out of its range.
    """

    def __init__(self, factor: int, interpolation: str = "bilinear", **kwargs: Any):
        super().__init__(**kwargs)
        check(isinstance(factor, int) and factor >= 2, "`factor` is a whole number of at least 2.", factor=factor)
        check_choice(interpolation, INTERPOLATIONS, "interpolation")
        self.factor, self.interpolation = factor, interpolation

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return ops.repeat(ops.repeat(inputs, self.factor, axis=-3), self.factor, axis=-2)
        *front, rows, columns, channels = ops.shape(inputs)
        tall, wide = rows * self.factor, columns * self.factor
        down = ops.cast(upsampling_matrix(rows, self.factor, "bilinear"), self.compute_dtype)
        across = ops.cast(upsampling_matrix(columns, self.factor, "bilinear"), self.compute_dtype)
        x = ops.matmul(down, ops.reshape(inputs, (-1, rows, columns * channels)))
        x = ops.matmul(across, ops.reshape(x, (-1, columns, channels)))
        return ops.reshape(x, (-1, *front[1:], tall, wide, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        *front, rows, columns, channels = input_shape
        return (*front, *(None if size is None else size * self.factor for size in (rows, columns)), channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "interpolation": self.interpolation}
