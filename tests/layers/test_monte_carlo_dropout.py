import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import MonteCarloDropout


def test_drops_the_share_and_keeps_the_mean():
    y = np.asarray(MonteCarloDropout(0.3, always_on=True, seed=0)(np.ones((100, 1000), "float32")))
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("always_on", "training", "drops"),
    [(True, False, True), (True, True, True), (True, None, True), (False, True, True), (False, False, False)],
)
def test_when_it_drops(always_on, training, drops):
    y = np.asarray(MonteCarloDropout(0.5, always_on=always_on, seed=0)(np.ones((4, 50), "float32"), training=training))
    assert np.any(y == 0) == drops


def test_seed_gives_the_same_sequence_of_different_draws():
    x = np.ones((4, 50), "float32")
    first, second = MonteCarloDropout(0.5, True, seed=3), MonteCarloDropout(0.5, True, seed=3)
    a, b = np.asarray(first(x)), np.asarray(first(x))
    np.testing.assert_array_equal(a, np.asarray(second(x)))
    np.testing.assert_array_equal(b, np.asarray(second(x)))
    assert not np.array_equal(a, b)


@pytest.mark.tensorflow
def test_still_samples_after_saving(tmp_path):
    import tensorflow as tf

    inputs = keras.Input((1000,))
    model = keras.Model(inputs, MonteCarloDropout(0.4, always_on=True, seed=1)(inputs))
    x = np.ones((1, 1000), "float32")
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    for call in (loaded, served.serve):
        first, second = np.asarray(call(x)), np.asarray(call(x))
        assert np.mean(first == 0) == pytest.approx(0.4, abs=0.06)
        assert not np.array_equal(first, second)


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_rate_is_checked(rate):
    with pytest.raises(InputError, match=rf"`rate` is a share in \[0, 1\)\. Received rate={rate}"):
        MonteCarloDropout(rate)
