import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import build_unet3plus, deep_supervision_loss_weights

from .contract import ModelContract, as_dict


class TestUNet3Plus(ModelContract):
    builder = staticmethod(build_unet3plus)
    arguments = {"filters": (4, 8), "skip_channels": 4}  # noqa: RUF012
    # encoder 0: 128 + 164; encoder 1: 328 + 616; from the encoder 164, from below 308, fused 8 -> 8: 616;
    # head 3 x 3 from 8: 9 * 8 * 3 + 3 = 219.
    parameters = 292 + 944 + 164 + 308 + 616 + 219


class TestUNet3PlusVolumeWithAllOutputs(ModelContract):
    builder = staticmethod(build_unet3plus)
    arguments = {  # noqa: RUF012
        "filters": (4, 8),
        "skip_channels": 4,
        "levels": 2,
        "deep_supervision": True,
        "classification_guided": True,
    }
    outputs = ("final", "aux_1", "presence")
    # As above with two heads 3 x 3 from 8 to 6: 9 * 8 * 6 + 6 = 438, and 1 x 1 from 8 to 3 for presence.
    parameters = 292 + 944 + 164 + 308 + 616 + 2 * 438 + 27


@pytest.mark.parametrize("resize", ["fast", "textbook"])
@pytest.mark.parametrize(
    ("channels", "classes", "deep_supervision", "published"),
    [(2, 1, False, 6_755_233), (2, 1, True, 6_764_165), (6, 5, False, 6_762_149), (6, 5, True, 6_806_809)],
)
def test_published_parameter_counts(channels, classes, deep_supervision, published, resize):
    """King et al. 2024, instantiated: with context the published net predicts all five physical channels."""
    model = build_unet3plus((128, 128, channels), classes, deep_supervision=deep_supervision, resize=resize)
    assert model.count_params() == published


@pytest.mark.tensorflow
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_fast_is_textbook(upsampling):
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(2, 16, 24, 3)).astype("float32")
    options = {"filters": (4, 6, 8, 10), "skip_channels": 5, "deep_supervision": True, "upsampling": upsampling}
    keras.utils.set_random_seed(3)
    fast = build_unet3plus((16, 24, 3), 2, **options)
    textbook = build_unet3plus((16, 24, 3), 2, resize="textbook", **options)
    assert [w.path for w in fast.weights] == [w.path for w in textbook.weights]
    textbook.set_weights(fast.get_weights())
    outputs, gradients = [], []
    for model in (fast, textbook):
        with tf.GradientTape() as tape:
            y = model(x)
            loss = sum(tf.reduce_mean(tf.square(value)) for value in y.values())
        outputs.append(as_dict(y))
        gradients.append([np.asarray(g) for g in tape.gradient(loss, model.trainable_variables)])
    for name in outputs[0]:
        np.testing.assert_allclose(outputs[0][name], outputs[1][name], atol=1e-4)
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1.0, np.abs(b).max()))


def test_loss_weights():
    model = build_unet3plus((16, 16, 2), 3, filters=(2, 2, 2), deep_supervision=True, classification_guided=True)
    weights = deep_supervision_loss_weights(model)
    assert weights == {"final": 1.0, "aux_1": 0.5, "aux_2": 0.25, "presence": 0.1}
    losses = {name: "mse" for name in weights}
    model.compile("sgd", losses, loss_weights=weights, run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 2))
    outputs = as_dict(model(x))
    zeros = {name: np.zeros_like(value) for name, value in outputs.items()}
    expected = sum(weights[name] * np.mean(value**2) for name, value in outputs.items())
    assert model.evaluate(x, zeros, verbose=0)[0] == pytest.approx(expected, rel=1e-4)


def test_loss_weights_of_one_output():
    assert deep_supervision_loss_weights(build_unet3plus((16, 16, 2), 1, filters=(2, 2))) == {"final": 1.0}


@pytest.mark.tensorflow
@pytest.mark.parametrize("classes", [1, 3])
def test_guidance_learns_from_the_image_alone(classes):
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = build_unet3plus((16, 16, 2), classes, filters=(3, 4), skip_channels=2, classification_guided=True)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 2)).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x)["final"] - 1.0))
    head = model.get_layer("unet3plus_presence_conv")
    assert all(np.abs(np.asarray(g)).max() > 0 for g in tape.gradient(loss, head.trainable_variables))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"resize": "quick"}, "`resize` is one of 'fast', 'textbook'. Received resize='quick'"),
        ({"upsampling": "transpose"}, "`upsampling` is one of 'bilinear', 'nearest'"),
        ({"gate": "hard"}, "`gate` is one of"),
        ({"skip_channels": 0}, "`skip_channels` is a whole number"),
    ],
)
def test_wrong_options(option, message):
    with pytest.raises(InputError, match=message):
        build_unet3plus(**option)


def test_nearest_valid_size_is_named():
    with pytest.raises(InputError, match=r"must divide by 16 .*Received \(100, 128\); the nearest valid size is"):
        build_unet3plus((100, 128, 2))


def test_with_a_first_guess_and_a_silent_head_the_net_is_the_baseline_repeat(tmp_path):
    from cloudkeras.baselines.radar import Repeat

    model = build_unet3plus((16, 8, 2), filters=(2, 4), skip_channels=2, first_guess=True, deep_supervision=True)
    for layer in model.layers:
        if "_head" in layer.name:
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    rng = np.random.default_rng(0)
    mask = np.repeat(np.clip(1.5 - np.arange(16) / 8, 0, 1)[None, :, None], 8, axis=2).astype("float32")
    x = np.stack([rng.uniform(-0.4, 1, (1, 16, 8)).astype("float32"), mask], axis=-1)
    expected = Repeat()(x)
    model.save(tmp_path / "model.keras")
    for loaded in (model, keras.models.load_model(tmp_path / "model.keras")):
        for output in as_dict(loaded(x)).values():
            np.testing.assert_allclose(np.asarray(output), expected, atol=1e-6)


def test_a_first_guess_needs_value_and_mask():
    with pytest.raises(InputError, match="`first_guess` is for images of one value"):
        build_unet3plus((16, 16, 1), 1, first_guess=True)
