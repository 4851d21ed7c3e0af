import numpy as np
import pytest
from scipy.special import expit, softmax

from cloudkeras.errors import InputError
from cloudkeras.layers import PresenceGate


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 6, 3, 4, 5)])
def test_probability_gate_multiplies_the_softmax(shape):
    rng = np.random.default_rng(0)
    logits, presence = rng.normal(size=shape).astype("float32"), rng.normal(size=(2, 5)).astype("float32")
    gate = expit(presence).reshape(2, *[1] * (len(shape) - 2), 5)
    expected = softmax(logits, axis=-1) * gate
    expected /= expected.sum(axis=-1, keepdims=True)
    gated = np.asarray(PresenceGate("probability")([logits, presence]))
    np.testing.assert_allclose(softmax(gated, axis=-1), expected, atol=1e-6)


def test_value_gate_multiplies_the_value():
    values = np.array([[[[2.0]]], [[[2.0]]]], "float32")
    gated = PresenceGate("value")([values, np.array([[0.0], [np.log(3.0)]], "float32")])
    np.testing.assert_allclose(np.asarray(gated).ravel(), [1.0, 1.5], rtol=1e-6)


def test_form_is_checked():
    with pytest.raises(InputError, match="`form` is one of 'probability', 'value'"):
        PresenceGate("hard")
