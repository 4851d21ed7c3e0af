import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import (
    build_unet,
    build_unet3plus,
    build_unet_plusplus,
    deep_supervision_loss_weights,
    prune_unet_plusplus,
)

from .contract import ModelContract, as_dict

GEISS = {
    "connections": "dense",
    "convolutions": 1,
    "batch_norm": False,
    "activation": "leaky_relu",
    "final_activation": "tanh",
    "upsampling": "nearest",
}


class TestUNetPlusPlus(ModelContract):
    builder = staticmethod(build_unet_plusplus)
    arguments = {  # noqa: RUF012
        "filters": (2, 4, 6),
        "levels": 2,
        "deep_supervision": True,
        "upsampling": "transpose",
    }
    outputs = ("final", "aux_1")
    factor = 4
    # A convolution 3 x 3 from a to b channels has 9 a b + b, batch normalization 4 b; node (i, j) has two of both.
    # (0, 0): 3 -> 2 -> 2: 64 + 46; (1, 0): 2 -> 4 -> 4: 92 + 164; (2, 0): 4 -> 6 -> 6: 246 + 354.
    # Transposed 2 x 2: 4 -> 2, twice: 2 * 34; 6 -> 4: 100.
    # (0, 1): 2 + 2 -> 2 -> 2: 82 + 46; (1, 1): 4 + 4 -> 4 -> 4: 308 + 164; (0, 2): 2 + 2 + 2 -> 2 -> 2: 118 + 46.
    # Two heads 1 x 1 from 2 to 2 levels x 3: 18.
    parameters = 110 + 256 + 600 + 68 + 100 + 128 + 472 + 164 + 36


class TestUNetPlusPlusOfGeissAndHardin(ModelContract):
    builder = staticmethod(build_unet_plusplus)
    arguments = {"filters": (4, 8, 16), **GEISS}  # noqa: RUF012
    factor = 4
    # (0, 0): 3 -> 4: 112, hands on 3 + 4 = 7; (1, 0): 7 -> 8: 512, hands on 8; (0, 1): 7 + 8 -> 4: 544, hands on 11;
    # (2, 0): 8 -> 16: 1168; (1, 1) sees (0, 1) pooled, (2, 0) and (1, 0): 11 + 16 + 8 -> 8: 2528, hands on 16;
    # (0, 2): 16 + 11 -> 4: 976, hands on 15; then 15 -> 3 * 4: 1632 and 12 -> 3: 39.
    parameters = 112 + 512 + 544 + 1168 + 2528 + 976 + 1632 + 39

    def test_monte_carlo_dropout_leaves_batch_normalization_alone(self):
        """There is none to leave alone: training without dropout is inference."""
        model, x = self.build(), self.inputs()
        assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
        np.testing.assert_allclose(as_dict(model(x, training=True))["final"], as_dict(model(x))["final"], atol=1e-6)


def test_size_of_the_net_of_geiss_and_hardin():
    """8 base channels, 7 levels, 3 fields and the mask in, 3 fields out; counted from the widths alone."""
    f, depth = [8 * 2**i for i in range(7)], 6
    handed, total = {(0, 0): 4 + 8}, 9 * 4 * 8 + 8
    for diagonal in range(1, depth + 1):
        for j in range(diagonal + 1):
            i = diagonal - j
            seen = (handed[i - 1, j] if i else 0) + (handed[i + 1, j - 1] + handed[i, j - 1] if j else 0)
            total += 9 * seen * f[i] + f[i]
            handed[i, j] = f[i] + (handed[i, j - 1] if j else 0)
    assert handed[0, depth] == 4 + 7 * 8
    total += 9 * handed[0, depth] * 56 + 56 + 56 * 3 + 3
    model = build_unet_plusplus((64, 64, 4), 3, filters=tuple(f), **GEISS)
    assert model.count_params() == total == 6_998_875
    slopes = {layer.negative_slope for layer in model.layers if isinstance(layer, keras.layers.ReLU)}
    assert list(slopes) == pytest.approx([0.2])


def made(**changes):
    keras.utils.set_random_seed(4)
    arguments = {"filters": (2, 3, 4), "deep_supervision": True, "dropout": 0.2, **changes}
    return build_unet_plusplus((8, 12, 2), 1, **arguments)


@pytest.mark.parametrize("connections", ["nested", "dense"])
def test_a_pruned_net_gives_the_output_of_that_depth(connections, tmp_path):
    model = made(connections=connections, first_guess=True)
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 2)).astype("float32")
    whole, counts = as_dict(model(x)), []
    model.save(tmp_path / "whole.keras")
    model = keras.models.load_model(tmp_path / "whole.keras")
    for depth, output in ((1, "aux_1"), (2, "final")):
        pruned = prune_unet_plusplus(model, depth)
        np.testing.assert_allclose(pruned(x), whole[output], atol=1e-6)
        assert pruned.output_names == ["final"]
        counts.append(pruned.count_params())
        nodes = {path.split("node")[1][:3] for path in (w.path for w in pruned.weights) if "node" in path}
        assert nodes == {f"{i}_{j}" for i in range(depth + 1) for j in range(depth + 1 - i)}
    assert counts[0] < counts[1] < model.count_params()
    prune_unet_plusplus(model, 1).save(tmp_path / "pruned.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "pruned.keras")(x), whole["aux_1"], atol=1e-6)


def test_a_net_of_depth_1_is_a_unet_with_plain_upsampling():
    """With two scales UNet++ has no node between encoder and decoder: (0, 0), (1, 0), (0, 1)."""
    nested = build_unet_plusplus((8, 8, 2), 1, filters=(3, 4), upsampling="transpose")
    unet = build_unet((8, 8, 2), 1, filters=(3, 4), upsampling="transpose")
    assert nested.count_params() == unet.count_params()
    unet.set_weights(nested.get_weights())
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 2)).astype("float32")
    np.testing.assert_allclose(nested(x), unet(x), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "depth", "message"),
    [
        (lambda: made(), 3, "`depth` is a whole number from 1 to 2 for this net. Received depth=3"),
        (lambda: made(), 0, "`depth` is a whole number from 1 to 2"),
        (lambda: made(), True, "`depth` is a whole number from 1 to 2"),
        (lambda: made(deep_supervision=False), 1, "build it with `deep_supervision=True`"),
        (lambda: build_unet3plus((16, 16, 2), 1, filters=(2, 2), deep_supervision=True), 1, "Only a UNet"),
    ],
)
def test_what_cannot_be_pruned(model, depth, message):
    with pytest.raises(InputError, match=message):
        prune_unet_plusplus(model(), depth)


def test_loss_weights_fall_with_the_depth_of_the_sub_net():
    assert deep_supervision_loss_weights(made()) == {"final": 1.0, "aux_1": 0.5}


@pytest.mark.parametrize("builder", [build_unet, build_unet_plusplus])
def test_with_a_first_guess_and_a_silent_head_the_net_is_the_baseline_repeat(builder, tmp_path):
    from cloudkeras.baselines.radar import Repeat

    options = {"deep_supervision": True} if builder is build_unet_plusplus else {}
    model = builder((16, 8, 2), 1, filters=(2, 4, 4), first_guess=True, **options)
    for layer in model.layers:
        if "_head" in layer.name:
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    rng = np.random.default_rng(0)
    mask = np.repeat(np.clip(1.5 - np.arange(16) / 8, 0, 1)[None, :, None], 8, axis=2).astype("float32")
    x = np.stack([rng.uniform(-0.4, 1, (1, 16, 8)).astype("float32"), mask], axis=-1)
    expected = Repeat()(x)
    for value in as_dict(model(x)).values():
        np.testing.assert_allclose(value, expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(as_dict(loaded(x))["final"], expected, atol=1e-6)
    with pytest.raises(InputError, match="`first_guess` is for images of one value"):
        builder((16, 8, 2), 1, levels=3, filters=(2, 4), first_guess=True)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"upsampling": "cubic"}, "`upsampling` is one of 'bilinear', 'nearest', 'transpose'"),
        ({"connections": "full"}, "`connections` is one of 'nested', 'dense'. Received connections='full'"),
        ({"activation": "gelu"}, "`activation` is one of 'relu', 'leaky_relu'"),
        ({"final_activation": "softmax"}, "`final_activation` is one of 'linear', 'tanh'"),
        ({"convolutions": 0}, "`convolutions` is a whole number of at least 1"),
    ],
)
def test_wrong_options(option, message):
    with pytest.raises(InputError, match=message):
        build_unet_plusplus(**option)
