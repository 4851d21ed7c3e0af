"""Turns the channels of an image network into a volume: levels become an axis of their own."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import check


@keras.saving.register_keras_serializable(package="cloudkeras")
class UnfoldLevels(keras.layers.Layer):
    """Splits the channels of an image into (level, channel) and puts the level first.

    Args:
        levels: Number of levels; the channels are ordered level by level.

    Input shape:  (batch, y, x, levels * channels).
    Output shape: (batch, levels, y, x, channels).

    Raises:
        InputError: If the channels do not divide by `levels`.
    """

    def __init__(self, levels: int, **kwargs: Any):
        super().__init__(**kwargs)
        check(isinstance(levels, int) and levels >= 1, "`levels` is a whole number of at least 1.", levels=levels)
        self.levels = levels

    def build(self, input_shape: tuple) -> None:
        rule = f"The number of channels must divide by levels={self.levels}."
        check(input_shape[-1] % self.levels == 0, rule, channels=input_shape[-1])

    def call(self, inputs: Any) -> Any:
        _, rows, columns, channels = ops.shape(inputs)
        x = ops.reshape(inputs, (-1, rows, columns, self.levels, channels // self.levels))
        return ops.transpose(x, (0, 3, 1, 2, 4))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, rows, columns, channels = input_shape
        return batch, self.levels, rows, columns, channels // self.levels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable(package="cloudkeras")
class VolumeHead(keras.layers.Layer):
    """One convolution to `levels * num_classes` channels, unfolded to a volume.

    All levels come out of one matrix product over the image features; nothing is done per voxel but the rearrangement.

    Args:
        levels: Number of levels.
        num_classes: Values at each voxel.
        kernel_size: Rows and columns of the convolution.
        kernel_initializer: Initializer of the kernel.
        kernel_regularizer: Regularizer of the kernel.

    Input shape:  (batch, y, x, channels).
    Output shape: (batch, levels, y, x, num_classes).

    Raises:
        InputError: If `levels` or `num_classes` is not a whole number of at least 1.
    """

    def __init__(
        self,
        levels: int,
        num_classes: int,
        kernel_size: int = 1,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check(
            isinstance(num_classes, int) and num_classes >= 1,
            "`num_classes` is a whole number of at least 1.",
            num_classes=num_classes,
        )
        self.levels, self.num_classes, self.kernel_size = levels, num_classes, kernel_size
        self.unfold = UnfoldLevels(levels, dtype=self.dtype_policy, name="unfold")
        self.conv = keras.layers.Conv2D(
            levels * num_classes,
            kernel_size,
            padding="same",
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, input_shape: tuple) -> None:
        self.conv.build(input_shape)
        self.unfold.build((*input_shape[:-1], self.levels * self.num_classes))

    def call(self, inputs: Any) -> Any:
        return self.unfold(self.conv(inputs))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape[0], self.levels, input_shape[1], input_shape[2], self.num_classes

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": self.levels,
            "num_classes": self.num_classes,
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.conv.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.conv.kernel_regularizer),
        }
