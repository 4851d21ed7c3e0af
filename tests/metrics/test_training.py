from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from cloudkeras.errors import InputError
from cloudkeras.metrics import DecodedMAE, MacroF1, training_metrics
from cloudkeras.tasks import get_task


def volumes(seed=0, shape=(6, 3, 4, 5)):
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1, 0, 1, 3], shape, p=[0.4, 0.4, 0.1, 0.1]).astype(np.int8)
    logits = rng.normal(size=(*shape, 4)).astype(np.float32)
    logits[..., 2] = -10  # class 2 is neither true nor predicted: left out
    return truth, logits


def test_macro_f1_over_batches_is_that_of_all_voxels():
    truth, logits = volumes()
    metric = MacroF1(4)
    for rows in (slice(0, 2), slice(2, 6)):
        metric.update_state(truth[rows], logits[rows])
    where = truth >= 0
    expected = f1_score(truth[where], logits.argmax(-1)[where], average="macro")
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_macro_f1_of_a_perfect_and_of_no_prediction():
    truth, _ = volumes()
    metric = MacroF1(4)
    metric.update_state(np.full_like(truth, -1), np.eye(4, dtype="float32")[np.zeros_like(truth)])
    assert float(metric.result()) == 0  # nothing labelled yet: 0, since Keras cannot compare NaN
    metric.update_state(truth[..., None].astype("float32"), np.eye(4, dtype="float32")[np.maximum(truth, 0)])
    assert float(metric.result()) == 1


def test_mae_in_dbz_clips_what_means_no_echo():
    task = get_task("blind_zone")
    (metric,) = training_metrics(task)
    true = np.array([-1, -1, 0.0, 0.5, np.nan], np.float32).reshape(1, 5, 1, 1)
    predicted = np.array([-1.2, -0.6, -0.5, 0.6, 9], np.float32).reshape(1, 5, 1, 1)
    metric.update_state(true, predicted)
    # 0 and 0 (all at or below -0.5 is no echo), -30 against -60 dBZ is 30, 0 against 6 dBZ is 6; the last has no truth
    assert float(metric.result()) == pytest.approx((0 + 0 + 30 + 6) / 4, rel=1e-5)
    decoded = [task.decode(v, np.ones((1, 5, 1, 2), np.float32)) for v in (true, predicted)]
    assert float(metric.result()) == pytest.approx(float(np.nanmean(np.abs(decoded[0] - decoded[1]))), rel=1e-5)


def test_names_are_stable_and_one_metric_a_task():
    assert [m.name for m in training_metrics(get_task("cloud_phase"))] == ["macro_f1"]
    assert [m.name for m in training_metrics(get_task("blind_zone"))] == ["mae"]


@pytest.mark.parametrize("metric", [MacroF1(3, ignore_class=9), DecodedMAE(60, -0.5, 1, name="dbz")])
def test_configuration_survives_serialization(metric):
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()


def test_metrics_follow_a_fit_in_mixed_precision():
    truth, logits = volumes()
    images = logits[:, 0]
    inputs = keras.Input(images.shape[1:])
    outputs = keras.layers.Dense(4, kernel_initializer="identity", dtype="mixed_bfloat16")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True, ignore_class=-1), metrics=[MacroF1(4)])
    labels = truth[:, 0].astype("int32")
    where = labels >= 0
    expected = f1_score(labels[where], images.argmax(-1)[where], average="macro")
    scores = model.evaluate(images, labels, batch_size=4, verbose=0, return_dict=True)
    assert scores["macro_f1"] == pytest.approx(expected, abs=0.05)  # bfloat16 may tip a voxel
    assert "macro_f1" in model.fit(images, labels, batch_size=3, verbose=0).history
    assert keras.backend.standardize_dtype(model.metrics[-1].metrics[0].confusion.dtype) == "float32"


def test_wrong_options_are_named():
    with pytest.raises(InputError, match="`num_classes` is at least 2"):
        MacroF1(1)
    with pytest.raises(InputError, match="`minimum` below `maximum`"):
        DecodedMAE(minimum=1, maximum=0)
