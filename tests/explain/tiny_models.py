"""Models whose gradients are known by hand."""

from __future__ import annotations

import keras
import numpy as np

from cloudkeras.layers import MonteCarloDropout

ROWS, COLUMNS, CHANNELS = 6, 8, 3
WEIGHTS = np.array([[2.0, 0.5], [-1.0, 0.25], [0.0, 3.0]], np.float32)  # (channel, class)
BIAS = np.array([0.3, -0.2], np.float32)


def linear_model(dropout: float = 0.0, rows: int = ROWS, columns: int = COLUMNS):
    """A 1 x 1 convolution: output class k = x . WEIGHTS[:, k] + BIAS[k]; channel 2 is ignored by class 0."""
    inputs = keras.Input((rows, columns, CHANNELS), name="x")
    x = MonteCarloDropout(dropout, always_on=True, name="drop")(inputs) if dropout else inputs
    outputs = keras.layers.Conv2D(2, 1, name="final")(x)
    model = keras.Model(inputs, outputs)
    model.get_layer("final").set_weights([WEIGHTS[None, None], BIAS])
    return model


def square_model():
    """f = x0 ** 2 + x0 x1, pixel by pixel."""
    inputs = keras.Input((ROWS, COLUMNS, CHANNELS))
    first, second = inputs[..., :1], inputs[..., 1:2]
    return keras.Model(inputs, keras.layers.Activation("linear", name="final")(first * first + first * second))


def two_feature_model(weights=(1.0, -2.0)):
    """Features (x0, x1) by a 1 x 1 convolution at half the resolution, then their weighted sum, and a dropout."""
    inputs = keras.Input((ROWS, COLUMNS, CHANNELS))
    pooled = keras.layers.AveragePooling2D(2, name="pool")(inputs)
    features = keras.layers.Conv2D(2, 1, use_bias=False, name="features")(pooled)
    dropped = MonteCarloDropout(0.5, always_on=True, name="drop")(features)
    mixed = keras.layers.Conv2D(1, 1, use_bias=False, name="mix")(dropped)
    large = keras.layers.UpSampling2D(2, name="large")(mixed)
    skip = keras.layers.Conv2D(1, 1, use_bias=False, name="skip")(inputs)
    outputs = keras.layers.Add(name="final")([large, skip])
    model = keras.Model(inputs, {"final": outputs, "aux_1": mixed})
    kernel = np.zeros((1, 1, CHANNELS, 2), np.float32)
    kernel[0, 0, 0, 0] = kernel[0, 0, 1, 1] = 1
    model.get_layer("features").set_weights([kernel])
    model.get_layer("mix").set_weights([np.array(weights, np.float32).reshape(1, 1, 2, 1)])
    model.get_layer("skip").set_weights([np.full((1, 1, CHANNELS, 1), 0.1, np.float32)])
    return model


def random_input(samples: int = 3, seed: int = 0, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, rows, columns, CHANNELS)).astype(np.float32)
