"""Loss, weights and compilation of a configuration."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task
from cloudkeras.training import RunConfig
from cloudkeras.training.assembly import (
    build_model,
    check_window_sizes,
    class_counts,
    compile_model,
    make_loss,
    make_optimizer,
    use_jit,
)

PHASE = get_task("cloud_phase")
# Two levels; over both 800 clear, 100 ice, 0 mixed, 100 liquid.
STATISTICS = {"phase": {"class_counts": [[500, 100, 0, 0], [300, 0, 0, 100]]}}


def config(**changes):
    return RunConfig("d", **changes).resolved()


def test_class_counts_are_summed_over_the_levels():
    np.testing.assert_array_equal(class_counts(PHASE, STATISTICS), [800, 100, 0, 100])


def test_class_weights_follow_the_scheme():
    loss = make_loss(config(), PHASE, STATISTICS)
    # Shares 0.8 and 0.1: inverse square roots 1.118 and 3.162; the class without labels takes the largest; mean 1.
    expected = np.array([0.8**-0.5, 0.1**-0.5, 0.1**-0.5, 0.1**-0.5])
    np.testing.assert_allclose(loss.class_weights, expected / expected.mean(), rtol=1e-6)
    assert loss.from_logits is True
    assert make_loss(config(class_weights="none"), PHASE, STATISTICS).class_weights is None


def test_weights_of_the_user_come_first():
    given = make_loss(config(loss_options={"class_weights": [1, 2, 3, 4]}), PHASE, STATISTICS)
    assert given.class_weights == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("changes", "statistics", "message"),
    [
        ({"loss": "masked_mae"}, STATISTICS, "'masked_mae' is not one for classes"),
        ({"loss": "hinge"}, STATISTICS, "`loss` is one of"),
        ({}, {"phase": {}}, "counts no classes of the task 'cloud_phase'"),
        ({}, {"phase": {"class_counts": [[0, 0, 0, 0]]}}, "has no label of `phase`"),
    ],
)
def test_losses_that_do_not_fit(changes, statistics, message):
    with pytest.raises(InputError, match=message):
        make_loss(config(**changes), PHASE, statistics)


def test_the_builder_gets_l2_and_dropout_and_lists_become_tuples():
    model = build_model(
        config(model="unet", model_options={"filters": [2, 4]}, l2=1e-3, dropout=0.3), PHASE, (8, 8, 16)
    )
    rates = {layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert model.output.shape == (None, 38, 8, 8, 4)
    assert rates == {0.3} or any("dropout" in layer.name for layer in model.layers)
    assert model.losses


def test_deep_supervision_is_compiled_with_a_loss_for_each_output():
    task = get_task("blind_zone")
    options = {"filters": [2, 4, 8], "deep_supervision": True, "classification_guided": True}
    settings = config(task="blind_zone", model_options=options)
    model = build_model(settings, task, (8, 8, 2))
    compile_model(model, settings, task, {})
    losses = model._compile_loss._user_loss
    assert set(losses) == {"final", "aux_1", "aux_2", "presence"}
    assert isinstance(losses["presence"], keras.losses.BinaryCrossentropy)
    assert type(losses["aux_2"]).__name__ == type(losses["final"]).__name__ == "MaskedMAE"
    weights = model._compile_loss._user_loss_weights
    assert weights["final"] == 1.0
    assert weights["aux_2"] < weights["aux_1"]


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("sgd", "SGD"), ("rmsprop", "RMSprop")])
def test_optimizers(name, kind):
    optimizer = make_optimizer(config(optimizer=name, learning_rate=0.25))
    assert type(optimizer).__name__ == kind
    assert float(optimizer.learning_rate) == 0.25


@pytest.mark.parametrize(("growth", "minimum"), [(1, 0.0), (2, 1e-4), (3, 0.0)])
def test_cosine_restarts_of_the_optimizer_are_those_of_the_configuration(growth, minimum):
    settings = config(
        schedule="cosine_restarts",
        learning_rate=0.01,
        restart_epochs=3,
        restart_growth=growth,
        minimum_learning_rate=minimum,
    )
    optimizer, steps = make_optimizer(settings, steps_per_epoch=7), 7
    for step in range(0, 30 * steps, 5):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(settings.learning_rate_at(step / steps), rel=1e-4)


def test_cosine_restarts_need_the_steps_of_an_epoch():
    with pytest.raises(InputError, match="Cosine restarts need the steps of an epoch"):
        make_optimizer(config(schedule="cosine_restarts"))


def test_gradients_are_clipped_by_the_norm_of_all_weights_together():
    optimizer = make_optimizer(config(optimizer="sgd", learning_rate=1.0, clipnorm=1.0))
    weights = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(1, np.float32))]
    optimizer.apply([keras.ops.array([3.0, 0.0]), keras.ops.array([4.0])], weights)  # norm 5
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights[0]), [-0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights[1]), [-0.8], rtol=1e-6)


def test_windows_that_a_model_cannot_take_are_named():
    settings = config(task="meltwater", model="unet", model_options={"filters": [2, 4, 8]})
    check_window_sizes(settings, settings.make_task(), [(16, 32), (8, 8)])
    with pytest.raises(InputError, match=r"Windows of 16 x 10: .* must divide by 4 .* nearest valid size is \(16, 8\)"):
        check_window_sizes(settings, settings.make_task(), [(16, 32), (16, 10)])


@pytest.mark.tensorflow
def test_xla_is_for_accelerators(monkeypatch):
    import cloudkeras.training.assembly as assembly

    for found, expected in (([], False), (["H200"], True)):
        monkeypatch.setattr(assembly, "accelerators", lambda found=found: found)
        assert use_jit(config()) is expected
        assert use_jit(config(jit="on")) is True
        assert use_jit(config(jit="off")) is False
