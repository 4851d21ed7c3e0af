import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import HeightEmbedding
from cloudkeras.layers.height_embedding import sinusoidal_heights


def volume_by_loops(layer, image):
    weights = {w.name: np.asarray(w) for w in layer.weights}
    levels = []
    for level in range(layer.levels):
        if layer.conditioned:
            e = weights["embedding"][level]
            kernel = weights["shared"] + sum(e[k] * weights["mixers"][k] for k in range(len(e)))
            bias = e @ weights["shifts"]
        else:
            kernel, bias = weights["kernel"][:, level], weights["bias"][level]
        levels.append(image @ kernel + bias)
    return np.stack(levels, axis=1)


@pytest.mark.parametrize("conditioned", [True, False])
def test_each_level_reads_the_image_through_its_own_filters(conditioned):
    image = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    layer = HeightEmbedding(6, 3, embedding_size=4, conditioned=conditioned)
    volume = np.asarray(layer(image))
    assert volume.shape == (2, 6, 3, 4, 3)
    layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.weights])
    np.testing.assert_allclose(np.asarray(layer(image)), volume_by_loops(layer, image), rtol=1e-4, atol=1e-4)


def test_starts_with_unit_gain():
    keras.utils.set_random_seed(0)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 64)).astype("float32")
    for conditioned in (True, False):
        # he_normal: the variance doubles, for the ReLU to come.
        assert np.asarray(HeightEmbedding(38, 8, conditioned=conditioned)(image)).var() == pytest.approx(2, rel=0.25)


def test_neighbouring_levels_start_alike():
    heights = sinusoidal_heights(38, 8)
    distance = np.linalg.norm(heights[:, None] - heights[None], axis=-1)
    assert all(distance[level, level + 1] < distance[level, level + 4] for level in range(34))
    assert np.unique(heights.round(4), axis=0).shape == (38, 8)


def test_configuration_comes_back():
    layer = HeightEmbedding(5, 3, embedding_size=2, conditioned=False, kernel_regularizer=keras.regularizers.L2(0.1))
    again = HeightEmbedding.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_sizes_are_checked():
    with pytest.raises(InputError, match=r"`levels` is a whole number of at least 1\. Received levels=0"):
        HeightEmbedding(0, 3)
