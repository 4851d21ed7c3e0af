import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import UnfoldLevels, VolumeHead


def test_unfold_takes_channels_level_by_level():
    x = np.arange(2 * 3 * 4 * 6, dtype="float32").reshape(2, 3, 4, 6)
    volume = np.asarray(UnfoldLevels(3)(x))
    assert volume.shape == (2, 3, 3, 4, 2)
    for level in range(3):
        np.testing.assert_array_equal(volume[:, level], x[..., 2 * level : 2 * level + 2])


def test_head_is_one_matrix_product():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    head = VolumeHead(6, 2)
    volume = np.asarray(head(x))
    kernel = np.asarray(head.conv.kernel)[0, 0].reshape(5, 6, 2)
    np.testing.assert_allclose(volume, np.einsum("byxf,flc->blyxc", x, kernel), atol=1e-5)


def test_dynamic_sizes():
    assert VolumeHead(6, 2, kernel_size=3)(keras.Input((None, 8, 5))).shape == (None, 6, None, 8, 2)


def test_configuration_comes_back():
    head = VolumeHead(6, 2, 3, kernel_regularizer=keras.regularizers.L2(0.1))
    assert VolumeHead.from_config(head.get_config()).get_config() == head.get_config()


@pytest.mark.parametrize(("levels", "classes", "name"), [(0, 2, "levels"), (2, 0, "num_classes")])
def test_sizes_are_checked(levels, classes, name):
    with pytest.raises(InputError, match=rf"`{name}` is a whole number of at least 1\. Received {name}=0"):
        VolumeHead(levels, classes)


def test_channels_must_divide():
    with pytest.raises(InputError, match=r"must divide by levels=4\. Received channels=6"):
        UnfoldLevels(4).build((None, 3, 3, 6))
