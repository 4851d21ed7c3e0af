"""Encoders: the application's own features, dilation that sees the same pixels, bands, and where weights come from."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.models import ENCODERS, build_unet
from cloudkeras.models.blocks import NORM_MOMENTUM, Blocks
from cloudkeras.models.encoders import Encoder, adapt_kernel, encoder_features

from .tiny_encoder import PARAMETERS, TINY, tiny_network

RNG = np.random.default_rng(0)


def features(name: str, weights: str | None = None, bands: int = 3, **options) -> keras.Model:
    """A model of all features of an encoder, strides as text."""
    x = keras.Input((None, None, bands))
    found = encoder_features(Blocks("m", l2=options.pop("l2", 0.0)), x, name, weights, **options)
    return keras.Model(x, {str(stride): value for stride, value in found.items()})


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(ENCODERS, "tiny", TINY["tiny"])


@functools.cache
def with_moved_statistics(name: str) -> keras.Model:
    """A network at random, batch statistics included."""
    network = ENCODERS[name].build(None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            moved = [gamma * RNG.uniform(0.5, 1.5, gamma.shape), beta + RNG.normal(0, 0.1, beta.shape)]
            moved += [mean + RNG.normal(0, 0.1, mean.shape), variance * RNG.uniform(0.5, 2.0, variance.shape)]
            layer.set_weights(moved)
    return network


@pytest.fixture
def given(monkeypatch):
    """Puts a network in the place where "imagenet" weights would be loaded, and returns it."""

    def put(name: str) -> keras.Model:
        network = with_moved_statistics(name)
        encoder = dataclasses.replace(ENCODERS[name], application=lambda **_: network, options={})
        monkeypatch.setitem(ENCODERS, "given", encoder)
        return network

    return put


def image(rows: int = 64, columns: int = 96, bands: int = 3) -> np.ndarray:
    return RNG.normal(size=(1, rows, columns, bands)).astype("float32")


WIDTHS = {
    "resnet50": (64, 256, 512, 1024, 2048),
    "xception": (64, 128, 256, 728, 2048),
    "mobilenetv2": (16, 24, 32, 96, 1280),
    "efficientnetv2b0": (16, 32, 48, 112, 1280),
    "convnext_tiny": (None, 96, 192, 384, 768),
}


@pytest.mark.parametrize("name", list(WIDTHS))
def test_scales_are_whole_and_as_wide_as_published(name):
    model = features(name, bands=5)
    rows_columns = {2: (32, 48), 4: (16, 24), 8: (8, 12), 16: (4, 6), 32: (2, 3)}
    expected = {
        str(stride): (1, *size, width)
        for (stride, size), width in zip(rows_columns.items(), WIDTHS[name], strict=True)
        if width
    }
    found = model.compute_output_shape((1, 64, 96, 5))
    assert found == expected
    names = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert all(n.startswith("m_encoder_") for n in names)


@pytest.mark.parametrize(("name", "deepest"), [("resnet50", 8), ("mobilenetv2", 32)])
def test_without_dilation_the_features_are_those_of_the_application(name, deepest, given):
    network = given(name)
    x = image(224, 224)
    expected = keras.Model(network.input, network.get_layer({8: "conv3_block4_out", 32: "out_relu"}[deepest]).output)(x)
    np.testing.assert_array_equal(features("given", "imagenet", deepest=deepest)(x)[str(deepest)], expected)


@pytest.mark.parametrize(("name", "deepest", "first"), [("resnet50", 16, {8: 0}), ("mobilenetv2", 32, {16: 1, 8: 3})])
def test_dilated_features_hold_those_of_the_stride_that_they_replace(name, deepest, first, given):
    """Every second pixel at half the stride, and every fourth at a quarter, looks at the same pixels, borders included.

    Which ones: a convolution of stride 2 with kernel 1 is centered on pixel 2 i; one with kernel 3 and padding at the
    end (MobileNetV2) on 2 i + 1, and after another such on 2 (2 i + 1) + 1 = 4 i + 3.
    """
    given(name)
    x = image()
    strided = np.asarray(features("given", "imagenet", deepest=deepest)(x)[str(deepest)])
    assert np.abs(strided).max() > 0.1
    for stride, start in first.items():
        dilated = features("given", "imagenet", deepest=deepest, output_stride=stride)(x)[str(deepest)]
        step = deepest // stride
        np.testing.assert_allclose(dilated[:, start::step, start::step], strided, atol=1e-5)
        other = (start + 1) % step
        assert np.abs(dilated[:, other::step, other::step] - strided).max() > 3e-5


def test_xception_differs_from_the_application_only_by_the_padding_of_its_first_two_convolutions(given):
    network = given("xception")
    x = image(224, 224)
    mine = features("given", "imagenet", deepest=4)(x)
    stem = keras.Model(network.input, network.get_layer("block1_conv2_act").output)(x)
    # Unpadded, row i of the second convolution sees the rows that row i + 1 sees padded.
    np.testing.assert_allclose(mine["2"][:, 1:110, 1:110], stem[:, :109, :109], atol=1e-5)
    of_any_size = keras.applications.Xception(include_top=False, weights=None, input_shape=(None, None, 3))
    of_any_size.set_weights(network.get_weights())
    low, rectified = (of_any_size.get_layer(n).output for n in ("block1_conv2_act", "block3_sepconv1_act"))
    # That activation is the application's ReLU of the sum; the sum is what is taken here.
    np.testing.assert_allclose(np.maximum(mine["4"], 0), keras.Model(low, rectified)(mine["2"]), atol=1e-4)


@pytest.mark.parametrize("bands", [1, 4])
def test_equal_bands_give_the_response_of_a_grey_image(bands, given):
    network = given("mobilenetv2")
    grey = image(224, 224, 1)
    expected = keras.Model(network.input, network.get_layer("expanded_conv_project_BN").output)(grey.repeat(3, -1))
    mine = features("given", "imagenet", bands, deepest=4)(grey.repeat(bands, -1))["2"]
    np.testing.assert_allclose(mine, expected, atol=1e-4)


def test_adapted_kernel_by_hand():
    kernel = np.arange(6.0).reshape(1, 1, 3, 2)  # band means 2 and 3, sums 6 and 9
    np.testing.assert_allclose(adapt_kernel(kernel, 2), [[[[3.0, 4.5], [3.0, 4.5]]]])
    assert adapt_kernel(kernel, 3) is kernel


def test_weights_from_a_file_and_cut_at_a_scale(tiny, tmp_path):
    network, file = tiny_network(False, None, (224, 224, 3)), tmp_path / "tiny.weights.h5"
    network.save_weights(file)
    assert list(features("tiny", str(file), deepest=8).output) == ["2", "4", "8"]
    assert features("tiny").count_params() == PARAMETERS
    for mine, theirs in zip(features("tiny", str(file)).weights, network.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_penalty_and_momentum_are_those_of_the_model(tiny):
    model = features("tiny", l2=1e-3)
    assert len(model.losses) == 5
    assert model.get_layer("m_encoder_norm").momentum == NORM_MOMENTUM
    assert len(features("xception", l2=1e-3, deepest=4).losses) == 2 + 1 + 2 * 2  # each separable kernel has two parts


def test_imagenet_weights_that_cannot_be_had_say_what_to_do(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://storage.googleapis.com/weights.h5: None -- [Errno -2]")

    monkeypatch.setitem(ENCODERS, "far", Encoder(offline, ("a",)))
    with pytest.raises(InputError, match=r"ImageNet weights of the encoder 'far'.*URL fetch.*Go online once.*a file"):
        features("far", "imagenet")


def test_a_file_of_other_weights_is_named(tiny, tmp_path):
    file = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(file)
    with pytest.raises(DataError, match=r"other\.weights\.h5: expected the weights of keras.applications' tiny"):
        features("tiny", str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "vit"}, "`encoder` is one of 'resnet50', .*'convnext_large'"),
        ({"encoder": "resnet50", "encoder_weights": "nowhere.h5"}, "`encoder_weights` is None, 'imagenet' or a file"),
        ({"encoder_weights": "imagenet"}, "`encoder_weights` are those of an `encoder`"),
        ({"encoder": "resnet50", "filters": (4, 8, 8, 8, 8, 8)}, "`filters` has at most 5 entries"),
        ({"encoder": "resnet50", "filters": (4, 8, 8), "input_shape": (20, None, 3)}, r"divide by 8 \(2\*\*len"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        build_unet(**{"input_shape": (64, 64, 3), **arguments})
