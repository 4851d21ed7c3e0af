"""Dropout that can stay on at inference, so that repeated calls sample the model's uncertainty."""

from __future__ import annotations

from typing import Any

import keras

from ..errors import check


@keras.saving.register_keras_serializable(package="cloudkeras")
class MonteCarloDropout(keras.layers.Layer):
    """Drops values at random in training and, where `always_on`, at inference too.

    Whether it drops is a property of the layer, saved with it, and not of the `training` argument: calling the whole
    model with `training=True` to get samples would switch batch normalization to batch statistics as well.

    Args:
        rate: Share of values set to 0, in [0, 1); the others are multiplied by `1 / (1 - rate)`.
        always_on: Whether values are dropped at inference too.
        seed: Seed of the layer's own generator; None draws one.

    Input shape:  any.
    Output shape: that of the input.

    Raises:
        InputError: If `rate` is not in [0, 1).
    Reference: Gal and Ghahramani 2016, arXiv 1506.02142, section 4.
    """

    def __init__(self, rate: float, always_on: bool = False, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        check(0.0 <= rate < 1.0, "`rate` is a share in [0, 1).", rate=rate)
        self.rate, self.always_on, self.seed = rate, always_on, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.rate > 0 and (self.always_on or training):
            return keras.random.dropout(inputs, self.rate, seed=self.seed_generator)
        return inputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "always_on": self.always_on, "seed": self.seed}
