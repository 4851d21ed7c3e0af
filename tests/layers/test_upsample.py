import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import Upsample
from cloudkeras.layers.upsample import upsampling_matrix


def test_bilinear_weights_worked_by_hand():
    # Three values doubled: centers at -1/4, 1/4, 3/4, 5/4, 7/4, 9/4; beyond the edge the edge value.
    expected = np.array([[4, 0, 0], [3, 1, 0], [1, 3, 0], [0, 3, 1], [0, 1, 3], [0, 0, 4]]) / 4
    np.testing.assert_allclose(np.asarray(upsampling_matrix(3, 2, "bilinear")), expected)


def test_shifts_bring_in_zeros():
    # Two values doubled to a a b b by "nearest"; shifted by one up: 0 a a b; down: a b b 0.
    matrix = np.asarray(upsampling_matrix(2, 2, "nearest", shifts=(-1, 1))).reshape(4, 2, 2)
    np.testing.assert_array_equal(matrix[:, :, 0], [[0, 0], [1, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(matrix[:, :, 1], [[1, 0], [0, 1], [0, 1], [0, 0]])


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("factor", [2, 3, 16])
def test_image_is_that_of_keras(factor, interpolation):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    expected = keras.layers.UpSampling2D(factor, interpolation=interpolation)(x)
    np.testing.assert_allclose(np.asarray(Upsample(factor, interpolation)(x)), np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_levels_of_a_volume_are_images(interpolation):
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 5, 2)).astype("float32")
    layer = Upsample(2, interpolation)
    volume = np.asarray(layer(x))
    assert volume.shape == layer.compute_output_shape(x.shape) == (2, 4, 6, 10, 2)
    for level in range(4):
        np.testing.assert_allclose(volume[:, level], np.asarray(layer(x[:, level])), atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.tensorflow
def test_dynamic_sizes_can_be_exported(tmp_path, interpolation):
    import tensorflow as tf

    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, Upsample(2, interpolation)(inputs))
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    x = np.random.default_rng(0).normal(size=(1, 3, 5, 2)).astype("float32")
    np.testing.assert_allclose(np.asarray(served.serve(x)), np.asarray(model(x)), atol=1e-6)


def test_arguments_are_checked():
    with pytest.raises(InputError, match=r"`factor` is a whole number of at least 2\. Received factor=1\.5"):
        Upsample(1.5)
    with pytest.raises(InputError, match="`interpolation` is one of"):
        Upsample(2, "cubic")
