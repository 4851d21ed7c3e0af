"""Lifts image features to a volume: each level reads them through its own, learned, height-dependent filters."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from ..errors import check


def sinusoidal_heights(levels: int, size: int) -> np.ndarray:
    """Sines and cosines of the level at wavelengths from 2 `levels` down to about 4 levels: (levels, size), unitless.

    Neighbouring levels start with similar embeddings, so that what is learned at one level serves the next.
    """
    waves = np.geomspace(1.0, max(1.0, levels / 4), (size + 1) // 2)
    angle = np.pi * (np.arange(levels)[:, None] + 0.5) / levels * waves
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)[:, :size].astype("float32")


@keras.saving.register_keras_serializable(package="cloudkeras")
class HeightEmbedding(keras.layers.Layer):
    """Conditions image features on the height of each level.

    A table of learnable embeddings, one for each level, generates the filters with which a level reads the image:

        volume[l, y, x] = image[y, x] @ (shared + sum over e of embedding[l, e] * mixers[e]) + embedding[l] @ shifts

    This is feature-wise linear modulation with the modulation before and after the channel mixing in one. The filters
    of all levels make one matrix, so the cost is that of a 1 x 1 convolution.

    Args:
        levels: Number of levels.
        channels: Channels at each voxel.
        embedding_size: Length of an embedding; shorter ties the levels closer together.
        conditioned: False gives each level filters of its own that nothing ties to its neighbours' (for ablations).
        kernel_regularizer: Regularizer of the filters.

    Input shape:  (batch, y, x, features).
    Output shape: (batch, levels, y, x, channels).

    Raises:
        InputError: If a size is not a whole number of at least 1.
    Reference: "dynamic height encoder" of SGMAGNet, arXiv 2509.15706; Perez et al. 2018, FiLM, arXiv 1709.07871.
    """

    def __init__(
        self,
        levels: int,
        channels: int,
        embedding_size: int = 8,
        conditioned: bool = True,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in (("levels", levels), ("channels", channels), ("embedding_size", embedding_size)):
            check(isinstance(value, int) and value >= 1, f"`{name}` is a whole number of at least 1.", **{name: value})
        self.levels, self.channels, self.embedding_size = levels, channels, embedding_size
        self.conditioned = conditioned
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: tuple) -> None:
        features = input_shape[-1]
        deviation = (2.0 / features) ** 0.5
        if not self.conditioned:
            self.kernel = self._filters("kernel", (features, self.levels, self.channels), deviation)
            self.bias = self.add_weight(name="bias", shape=(self.levels, self.channels), initializer="zeros")
            return
        # Embeddings have mean square 1/2: half of the variance is shared, half is the height's own.
        share = (1.0 / self.embedding_size) ** 0.5
        self.embedding = self.add_weight(
            name="embedding", shape=(self.levels, self.embedding_size), initializer=self._initial_embedding
        )
        self.shared = self._filters("shared", (features, self.channels), deviation * 0.5**0.5)
        self.mixers = self._filters("mixers", (self.embedding_size, features, self.channels), deviation * share)
        self.shifts = self.add_weight(
            name="shifts",
            shape=(self.embedding_size, self.channels),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
        )

    def _initial_embedding(self, shape: tuple, dtype: Any = None) -> Any:
        return ops.convert_to_tensor(sinusoidal_heights(*shape), dtype=dtype)

    def _filters(self, name: str, shape: tuple, deviation: float) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            regularizer=self.kernel_regularizer,
        )

    def call(self, inputs: Any) -> Any:
        if self.conditioned:
            kernel = ops.tensordot(self.mixers, self.embedding, axes=((0,), (1,)))  # (features, channels, levels)
            kernel = ops.transpose(kernel, (0, 2, 1)) + ops.expand_dims(self.shared, 1)
            bias = ops.matmul(self.embedding, self.shifts)
        else:
            kernel, bias = self.kernel, self.bias
        _, rows, columns, features = ops.shape(inputs)
        x = ops.matmul(inputs, ops.reshape(kernel, (features, self.levels * self.channels)))
        x = x + ops.reshape(bias, (self.levels * self.channels,))
        x = ops.reshape(x, (-1, rows, columns, self.levels, self.channels))
        return ops.transpose(x, (0, 3, 1, 2, 4))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape[0], self.levels, input_shape[1], input_shape[2], self.channels

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": self.levels,
            "channels": self.channels,
            "embedding_size": self.embedding_size,
            "conditioned": self.conditioned,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
