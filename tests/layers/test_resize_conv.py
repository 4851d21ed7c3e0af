import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import ResizeConv2D

CASES = [(2, 4, 6, 5), (3, 5, 4, 3), (16, 2, 1, 4), (8, 3, 3, 40)]


def textbook(factor, interpolation, filters):
    return keras.Sequential(
        [
            keras.layers.UpSampling2D(factor, interpolation=interpolation),
            keras.layers.Conv2D(filters, 3, padding="same"),
        ]
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(("factor", "rows", "columns", "channels"), CASES)
def test_is_upsampling_and_convolution(factor, rows, columns, channels, interpolation):
    x = np.random.default_rng(0).normal(size=(2, rows, columns, channels)).astype("float32")
    layer, plain = ResizeConv2D(6, factor, interpolation), textbook(factor, interpolation, 6)
    layer(x), plain(x)
    layer.bias.assign(np.arange(6))
    plain.set_weights(layer.get_weights())
    assert layer.compute_output_shape(x.shape) == (2, rows * factor, columns * factor, 6)
    np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(plain(x)), atol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_gradients_are_those_of_upsampling_and_convolution(interpolation):
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 6, 5)), tf.float32)
    layer, plain = ResizeConv2D(3, 4, interpolation), textbook(4, interpolation, 3)
    layer(x), plain(x)
    plain.set_weights(layer.get_weights())
    gradients = []
    for net in (layer, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(tf.square(net(x) - 1.0))
        gradients.append(tape.gradient(loss, [x, *net.trainable_variables]))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5)


def test_dynamic_sizes():
    inputs = keras.Input((None, None, 3))
    layer = ResizeConv2D(2, 3)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 2)
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), np.asarray(layer(x)), atol=1e-5)


def test_configuration_comes_back():
    layer = ResizeConv2D(4, 2, "nearest", kernel_regularizer=keras.regularizers.L2(0.1))
    assert ResizeConv2D.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0, 2), r"`filters` is a whole number of at least 1\. Received filters=0"),
        ((4, 1), r"`factor` is a whole number of at least 2\. Received factor=1"),
        ((4, 2, "cubic"), "`interpolation` is one of 'bilinear', 'nearest'"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        ResizeConv2D(*options)
