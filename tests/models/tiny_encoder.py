"""An encoder of five convolutions in the form of `keras.applications`, so that a contract takes seconds."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cloudkeras.models.encoders import Encoder

WIDTHS = (2, 3, 4, 5, 6)
# Convolution 3 x 3 from a to b channels 9 a b + b: 56, 57, 112, 185, 276; batch normalization of the first: 8.
PARAMETERS_TO_STRIDE_4 = 56 + 8 + 57
PARAMETERS = PARAMETERS_TO_STRIDE_4 + 112 + 185 + 276


def tiny_network(include_top: bool, weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
    """Five convolutions of stride 2, each with an activation without a zero slope."""
    assert include_top is False
    x = inputs = layers.Input(input_shape)
    for i, width in enumerate(WIDTHS, 1):
        x = layers.Conv2D(width, 3, strides=2, padding="same", name=f"conv{i}")(x)
        if i == 1:
            x = layers.BatchNormalization(name="norm")(x)
        x = layers.Activation("tanh", name=f"scale{i}")(x)
    model = keras.Model(inputs, x)
    if weights is not None:
        model.load_weights(weights)
    return model


TINY: dict[str, Any] = {"tiny": Encoder(tiny_network, tuple(f"scale{i}" for i in range(1, 6)))}
