import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import build_unet

from .contract import ModelContract


class TestUNet(ModelContract):
    builder = staticmethod(build_unet)
    arguments = {"filters": (4, 8)}  # noqa: RUF012
    # A convolution block 3 x 3 from a to b channels has 9 a b + b, batch normalization 4 b.
    # encoder 0: 128 + 164; encoder 1: 328 + 616; up: 308; decoder 0: 308 + 164; head: 4 * 3 + 3.
    parameters = 292 + 944 + 308 + 472 + 15


class TestUNetVolume(ModelContract):
    builder = staticmethod(build_unet)
    arguments = {"filters": (4, 8), "levels": 5, "upsampling": "transpose"}  # noqa: RUF012
    # Up: 2 x 2 x 8 x 4 + 4 = 132 without batch normalization; head: 4 * 15 + 15 = 75.
    parameters = 292 + 944 + 132 + 472 + 75


def test_volume_is_the_image_with_levels_unfolded():
    image = build_unet((8, 12, 2), 15, filters=(4, 8))
    volume = build_unet((8, 12, 2), 3, levels=5, filters=(4, 8))
    volume.set_weights(image.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 2)).astype("float32")
    flat, unfolded = np.asarray(image(x)), np.asarray(volume(x))
    for level in range(5):
        np.testing.assert_allclose(unfolded[:, level], flat[..., 3 * level : 3 * level + 3], atol=1e-6)


def test_unknown_upsampling():
    with pytest.raises(InputError, match="`upsampling` is one of 'bilinear', 'nearest', 'transpose'"):
        build_unet(upsampling="cubic")
