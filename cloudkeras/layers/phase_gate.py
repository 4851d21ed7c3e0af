"""Phase-aware gating: where in the volume each phase's features are listened to."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import check


@keras.saving.register_keras_serializable(package="cloudkeras")
class PhaseGate(keras.layers.Layer):
    """Features of each phase, weighed by softmax gates that a 3-D convolution computes at each voxel.

    The convolution sees the neighbourhood of a voxel and decides which phases compete for it; a phase's features count
    as much as its gate is open:

        gates    = softmax over phases of conv3d(volume)
        features = volume @ values, one group of `channels` for each phase
        output   = concatenation over phases of gates[phase] * features[phase]

    Args:
        phases: Number of phases (classes).
        channels: Features of each phase.
        kernel_size: Size of the convolution, the same along level, y and x, odd.
        kernel_regularizer: Regularizer of the kernels.

    Input shape:  (batch, levels, y, x, features).
    Output shape: (batch, levels, y, x, phases * channels).

    Raises:
        InputError: If a size is not a whole number of at least 1, or `kernel_size` is even.
    Reference: "phase-aware gating" of SGMAGNet, arXiv 2509.15706.
    """

    def __init__(
        self, phases: int, channels: int = 4, kernel_size: int = 3, kernel_regularizer: Any = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        for name, value in (("phases", phases), ("channels", channels), ("kernel_size", kernel_size)):
            check(isinstance(value, int) and value >= 1, f"`{name}` is a whole number of at least 1.", **{name: value})
        check(kernel_size % 2 == 1, "`kernel_size` is odd.", kernel_size=kernel_size)
        self.phases, self.channels, self.kernel_size = phases, channels, kernel_size
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.gates = keras.layers.Conv3D(
            phases,
            kernel_size,
            padding="same",
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="gates",
        )
        self.values = keras.layers.Dense(
            phases * channels,
            kernel_initializer="he_normal",
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="values",
        )

    def build(self, input_shape: tuple) -> None:
        self.gates.build(input_shape)
        self.values.build(input_shape)

    def call(self, inputs: Any) -> Any:
        gates = ops.softmax(self.gates(inputs), axis=-1)
        values = self.values(inputs)
        return values * ops.repeat(gates, self.channels, axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], self.phases * self.channels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "phases": self.phases,
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
