import keras
import numpy as np
import pytest
from scipy.ndimage import correlate
from scipy.special import softmax

from cloudkeras.errors import InputError
from cloudkeras.layers import PhaseGate


def test_gates_weigh_the_features_of_each_phase():
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(1, 4, 5, 6, 2)).astype("float32")
    layer = PhaseGate(3, channels=2)
    layer(volume)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    weights = {w.path.split("/", 1)[1]: np.asarray(w) for w in layer.weights}
    gates = np.stack(
        [
            sum(correlate(volume[0, ..., c], weights["gates/kernel"][..., c, k], mode="constant") for c in range(2))
            + weights["gates/bias"][k]
            for k in range(3)
        ],
        axis=-1,
    )
    gates = softmax(gates, axis=-1)
    values = volume[0] @ weights["values/kernel"] + weights["values/bias"]
    expected = np.concatenate([gates[..., k : k + 1] * values[..., 2 * k : 2 * k + 2] for k in range(3)], axis=-1)
    np.testing.assert_allclose(np.asarray(layer(volume))[0], expected, rtol=1e-4, atol=1e-4)


def test_configuration_comes_back():
    layer = PhaseGate(3, 2, 5, kernel_regularizer=keras.regularizers.L2(0.1))
    assert PhaseGate.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("options", "message"), [({"phases": 0}, "`phases` is a whole"), ({"phases": 2, "kernel_size": 2}, "is odd")]
)
def test_sizes_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        PhaseGate(**options)
