import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import MaxPoolWithIndices, MaxUnpool


def pool_by_loops(x, window):
    batch, rows, columns, channels = x.shape
    shape = (batch, rows // window, columns // window, channels)
    maxima, indices = np.zeros(shape, x.dtype), np.zeros(shape, int)
    for b, i, j, c in np.ndindex(shape):
        tile = x[b, i * window : (i + 1) * window, j * window : (j + 1) * window, c].ravel()
        indices[b, i, j, c] = np.argmax(tile)
        maxima[b, i, j, c] = tile[indices[b, i, j, c]]
    return maxima, indices


def unpool_by_loops(values, indices, window):
    batch, rows, columns, channels = values.shape
    image = np.zeros((batch, rows * window, columns * window, channels), values.dtype)
    for b, i, j, c in np.ndindex(values.shape):
        row, column = divmod(indices[b, i, j, c], window)
        image[b, i * window + row, j * window + column, c] = values[b, i, j, c]
    return image


def sample(ties):
    x = np.random.default_rng(0).normal(size=(2, 6, 12, 3)).astype("float32")
    return np.maximum(x, 0.5) if ties else x


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("window", [2, 3])
def test_pool_and_unpool(window, ties):
    x = sample(ties)
    expected, expected_indices = pool_by_loops(x, window)
    maxima, indices = MaxPoolWithIndices(window)(x)
    np.testing.assert_array_equal(np.asarray(maxima), expected)
    np.testing.assert_array_equal(np.asarray(indices), expected_indices)
    values = np.random.default_rng(1).normal(size=expected.shape).astype("float32")
    unpooled = MaxUnpool(window)([values, indices])
    np.testing.assert_array_equal(np.asarray(unpooled), unpool_by_loops(values, expected_indices, window))


@pytest.mark.tensorflow
def test_only_the_first_maximum_gets_the_gradient():
    import tensorflow as tf

    x = tf.zeros((1, 2, 4, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        maxima, _ = MaxPoolWithIndices()(x)
        loss = tf.reduce_sum(maxima)
    np.testing.assert_array_equal(np.asarray(tape.gradient(loss, x))[0, ..., 0], [[1, 0, 1, 0], [0, 0, 0, 0]])


def test_symbolic_shapes():
    maxima, indices = MaxPoolWithIndices()(keras.Input((None, 6, 3)))
    assert maxima.shape == indices.shape == (None, None, 3, 3)
    assert indices.dtype == "int32"
    assert MaxUnpool()([maxima, indices]).shape == (None, None, 6, 3)


def test_window_is_checked():
    with pytest.raises(InputError, match=r"`window` is a whole number of at least 2\. Received window=1"):
        MaxPoolWithIndices(1)
