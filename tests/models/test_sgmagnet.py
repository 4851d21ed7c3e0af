import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import build_sgmagnet
from cloudkeras.models.sgmagnet import decoder_radius

from .contract import ModelContract

SMALL = {"levels": 5, "filters": (4, 8), "scales": (1, 2), "volume_channels": 2, "embedding_size": 3}


class TestSGMAGNet(ModelContract):
    builder = staticmethod(build_sgmagnet)
    arguments = SMALL
    # Image network: that of the UNet (4, 8) without head, 2,016; head 4 -> 15: 75.
    # Scale 2: lift 8 -> 4: embedding 5 * 3, shared 32, mixers 3 * 32, shifts 3 * 4: 155;
    #   norm 4, 3 x 3 x 3: 27 * 16 + 4, 7 x 1 x 1: 7 * 16 + 4: 556; to scale 1: 4 * 2 + 2 = 10.
    # Scale 1: lift 4 -> 2: 15 + 8 + 24 + 6 = 53; norm 2, 27 * 4 + 2, 7 * 4 + 2: 142.
    # Gate: norm 2, gates 27 * 2 * 3 + 3 = 165, values 2 -> 6: 18; logits 6 -> 3: 21.
    parameters = 2016 + 75 + 155 + 556 + 10 + 53 + 142 + 2 + 165 + 18 + 21


def test_default_shapes():
    assert build_sgmagnet().output_shape == (None, 38, 128, 128, 4)
    assert build_sgmagnet().input_shape == (None, 128, 128, 16)


@pytest.mark.parametrize(
    ("switch", "gone", "parameters"),
    [
        # Filters of their own: lift 8 -> 5 * 4 channels: 180, lift 4 -> 5 * 2: 50, in place of 155 and 53.
        ({"height_embedding": False}, None, 3213 - 155 - 53 + 180 + 50),
        # Without scale 2: its lift, block and the way to scale 1.
        ({"scales": (1,)}, "sgmagnet_volume2_space", 3213 - 155 - 556 - 10),
        ({"scales": ()}, "sgmagnet_volume1_space", 3213 - 155 - 556 - 10 - 142),
        # A convolution 2 -> 4 in 27 taps and 4 -> 3 logits, in place of gates, values and 6 -> 3 logits.
        ({"phase_gating": False}, "sgmagnet_phase_gate", 3213 - 165 - 18 - 21 + 220 + 15),
        # The image network with its head.
        ({"scales": (), "phase_gating": False}, "sgmagnet_lift1", 2016 + 75),
    ],
)
def test_each_part_can_be_switched_off(switch, gone, parameters):
    model = build_sgmagnet((16, 16, 3), 3, **{**SMALL, **switch})
    assert model.output_shape == (None, 5, 16, 16, 3)
    assert gone not in {layer.name for layer in model.layers}
    assert gone is None or gone in {layer.name for layer in build_sgmagnet((16, 16, 3), 3, **SMALL).layers}
    assert model.count_params() == parameters


@pytest.mark.parametrize("phase_gating", [True, False])
@pytest.mark.parametrize("scales", [(1,), (1, 2, 4)])
def test_decoder_sees_its_radius_and_no_further(scales, phase_gating):
    """Image features of one coarsest cell change; the volume changes around it up to the radius, and not beyond."""
    keras.utils.set_random_seed(0)
    options = {**SMALL, "filters": (4, 6, 8), "scales": scales, "levels": 3, "phase_gating": phase_gating}
    model = build_sgmagnet((64, 64, 3), 3, **options)
    features = [model.get_layer(f"sgmagnet_lift{scale}").input for scale in scales]
    decoder = keras.Model(features, model.get_layer("sgmagnet_refined").input[1])
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, *x.shape[1:])).astype("float32") for x in features]
    before = np.asarray(decoder(maps))
    cell = max(scales)
    changed_maps = [m.copy() for m in maps]
    for m, scale in zip(changed_maps, scales, strict=True):
        m[:, 32 // scale : (32 + cell) // scale, 32 // scale : (32 + cell) // scale] += 10.0
    change = np.abs(np.asarray(decoder(changed_maps)) - before).max(axis=(0, 1, 4))
    reached = np.nonzero(change.max(axis=0) > 0)[0]
    radius = decoder_radius(scales)
    assert 32 - radius <= reached.min() <= 32 - radius + cell
    assert 32 + cell - 1 + radius - cell <= reached.max() <= 32 + cell - 1 + radius


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"scales": (1, 4)}, r"`scales` is \(1, 2, 4, ...\).*Received scales=\(1, 4\)"),
        ({"scales": (1, 2, 4), "filters": (4, 8)}, "at most as many as `filters`"),
        ({"levels": None}, "`levels` is a whole number"),
        ({"volume_channels": 0}, "`volume_channels` is a whole number"),
        ({"embedding_size": 0}, "`embedding_size` is a whole number"),
        ({"upsampling": "cubic"}, "`upsampling` is one of"),
    ],
)
def test_wrong_options(option, message):
    with pytest.raises(InputError, match=message):
        build_sgmagnet(**option)
