import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import ENCODERS, build_unet

from .contract import ModelContract
from .tiny_encoder import PARAMETERS_TO_STRIDE_4, TINY


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


class TestUNetOnEncoder(ModelContract):
    builder = staticmethod(build_unet)
    arguments = {"encoder": "tiny", "filters": (4, 8)}  # noqa: RUF012
    factor = 4
    # Decoder 1, at stride 2: up from 3 to 8 channels 224 + 32, block on 2 + 8 channels 728 + 32 and 584 + 32;
    # decoder 0, without a skip: up from 8 to 4 channels 292 + 16, block 148 + 16 twice; head 15.
    parameters = PARAMETERS_TO_STRIDE_4 + 256 + 760 + 616 + 308 + 164 + 164 + 15

    @pytest.fixture(autouse=True)
    def _tiny(self, monkeypatch):
        monkeypatch.setitem(ENCODERS, "tiny", TINY["tiny"])


def test_the_unet_of_meltwaterbench_has_the_published_size():
    """31.0 million: of the convolutions, that many; with what Keras counts besides, half a thousandth more.

    A block from a to b channels has two kernels, 9 a b + 9 b b, and two batch normalizations with 2 b trainable values
    each; the published code has no bias before those. Four transposed convolutions 2 x 2 from 2 b to b channels with
    bias, 8 b b + b, and the head, 64 + 1.
    """
    widths = (64, 128, 256, 512, 1024)
    encoder = list(zip((4, *widths[:-1]), widths, strict=True))
    decoder = [(2 * width, width) for width in widths[:-1]]
    published = sum(9 * a * b + 9 * b * b + 4 * b for a, b in encoder + decoder)
    published += sum(8 * b * b + b for b in widths[:-1]) + 65
    assert published == 31_038_209
    channels = sum(2 * b for _, b in encoder + decoder)  # each with a bias and two moving statistics here
    model = build_unet((None, None, 4), 1, filters=widths, upsampling="transpose")
    assert model.count_params() == published + 3 * channels == 31_055_873


@pytest.mark.parametrize("encoder", ["mobilenetv2", "convnext_tiny"])
def test_unet_on_an_application(encoder, tmp_path):
    """ConvNeXt has sums that are no layers, layers of its own, and no stride 2."""
    model = build_unet((None, None, 4), 1, filters=(4, 8, 8, 8, 8), encoder=encoder)
    x = np.random.default_rng(0).normal(size=(1, 32, 64, 4)).astype("float32")
    expected = np.asarray(model(x))
    assert expected.shape == (1, 32, 64, 1)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(x), expected, atol=1e-6)


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
