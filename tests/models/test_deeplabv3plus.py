import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import ENCODERS, build_deeplabv3plus

from .contract import ModelContract
from .tiny_encoder import PARAMETERS, TINY


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(ENCODERS, "tiny", TINY["tiny"])


def separable(a: int, b: int) -> int:
    """Depthwise 9 a without bias, 1 x 1 a b + b, batch normalization 4 a and 4 b."""
    return 9 * a + 4 * a + a * b + b + 4 * b


class TestDeepLab(ModelContract):
    builder = staticmethod(build_deeplabv3plus)
    arguments = {"encoder": "tiny", "filters": (4, 8), "rates": (1, 2)}  # noqa: RUF012
    factor = 16
    # Pyramid on 6 channels: point 56 + 32, two rates, mean 56 + 32 and 64 to mix, mix 24 * 8 + 8 + 32.
    # Decoder: low 3 * 4 + 4 + 16, two separable convolutions on 12 and 8 channels, head 27.
    pyramid = 88 + 2 * separable(6, 8) + 88 + 64 + 232
    parameters = PARAMETERS + pyramid + 32 + separable(12, 8) + separable(8, 8) + 27


def test_a_volume_at_output_stride_8_on_sizes_that_only_8_divides():
    arguments = {"encoder": "tiny", "filters": (4, 8), "output_stride": 8}
    image = build_deeplabv3plus((None, None, 2), 6, **arguments)
    volume = build_deeplabv3plus((24, 40, 2), 2, levels=3, **arguments)
    volume.set_weights(image.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 24, 40, 2)).astype("float32")
    flat, unfolded = np.asarray(image(x)), np.asarray(volume(x))
    assert unfolded.shape == (2, 3, 24, 40, 2)
    for level in range(3):
        np.testing.assert_allclose(unfolded[:, level], flat[..., 2 * level : 2 * level + 2], atol=1e-6)


def test_the_output_stride_changes_no_weight():
    fine = build_deeplabv3plus((32, 32, 3), 1, encoder="tiny", filters=(4, 8), output_stride=8)
    coarse = build_deeplabv3plus((32, 32, 3), 1, encoder="tiny", filters=(4, 8), output_stride=16)
    assert [v.path for v in fine.weights] == [v.path for v in coarse.weights]
    assert [v.shape for v in fine.weights] == [v.shape for v in coarse.weights]


def test_the_mean_of_the_image_is_mixed_as_if_repeated_for_every_pixel():
    """A change at one corner reaches the other through the mean alone: the pyramid of rate 1 does not reach so far."""
    model = build_deeplabv3plus((None, None, 1), 1, encoder="tiny", filters=(4, 8), rates=(1,))
    x = np.zeros((1, 256, 256, 1), np.float32)
    changed = x.copy()
    changed[:, :8, :8] = 5.0
    far = np.asarray(model(changed) - model(x))[0, -16:, -16:, 0]
    assert np.abs(far).max() > 1e-7
    model.get_layer("deeplabv3plus_pyramid_mean_mix").kernel.assign(np.zeros((1, 1, 8, 8), np.float32))
    np.testing.assert_array_equal(np.asarray(model(changed) - model(x))[0, -16:, -16:, 0], 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": (4, 8, 16)}, r"`filters` has 2 entries.*\(4, 8, 16\)"),
        ({"output_stride": 4}, "`output_stride` is 8 or 16"),
        ({"rates": ()}, "`rates` are whole numbers"),
        ({"rates": (6, 0)}, "`rates` are whole numbers"),
        ({"encoder": None}, "`encoder` is one of"),
        ({"input_shape": (24, 24, 3)}, r"divide by 16 \(output_stride\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        build_deeplabv3plus(**{"input_shape": (32, 32, 3), "encoder": "tiny", **arguments})
