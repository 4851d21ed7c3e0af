from __future__ import annotations

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.losses import LOSSES, DiceCompound, Focal, SoftDice, SoftJaccard, SparseCrossentropy, get_loss

from .gradients import value_and_gradient

CLASS_LOSSES = ["sparse_crossentropy", "focal", "soft_dice", "soft_jaccard", "dice_compound"]
WEIGHTS = (0.5, 1.0, 4.0, 2.0)


def volume(seed=0, shape=(3, 5, 4, 6), labelled=0.3):
    """Labels int8 (batch, level, y, x) with -1, and logits."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, shape).astype(np.int8)
    labels[rng.random(shape) > labelled] = -1
    return labels, rng.normal(0, 2, (*shape, 4)).astype(np.float32)


def softmax(logits):
    e = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def true_class_probability(labels, logits):
    """Of the labelled voxels, with their labels."""
    where = labels >= 0
    return softmax(logits)[where][np.arange(where.sum()), labels[where]], labels[where]


def test_crossentropy_is_the_weighted_mean_over_labelled_voxels():
    labels, logits = volume()
    p, k = true_class_probability(labels, logits)
    w = np.array(WEIGHTS)[k]
    assert float(SparseCrossentropy()(labels, logits)) == pytest.approx(-np.log(p).mean(), rel=1e-5)
    expected = (w * -np.log(p)).sum() / w.sum()
    assert float(SparseCrossentropy(class_weights=WEIGHTS)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_hand_worked_crossentropy():
    # Two samples of one voxel each, two classes: p(true) = 1/2 (weight 1) and 1/4 (weight 3), a third without label.
    # (1 ln 2 + 3 ln 4) / (1 + 3) = 7 ln 2 / 4
    probabilities = np.array([[[0.5, 0.5]], [[0.75, 0.25]], [[0.1, 0.9]]], np.float32)
    labels = np.array([[0], [1], [-1]], np.int8)
    loss = SparseCrossentropy(from_logits=False, class_weights=(1, 3))
    assert float(loss(labels, probabilities)) == pytest.approx(7 * np.log(2) / 4, rel=1e-5)


def test_crossentropy_agrees_with_keras():
    labels, logits = volume()
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    # Keras gives ignored voxels 0 and divides by the labelled ones.
    assert float(SparseCrossentropy()(labels, logits)) == pytest.approx(
        float(theirs(labels.astype("int32"), logits)), rel=1e-5
    )


def test_level_weights_weight_the_first_axis():
    labels, logits = volume()
    level_weights = (0.0, 1.0, 2.0, 0.0, 0.5)
    total = norm = 0.0
    for level, weight in enumerate(level_weights):
        p, _ = true_class_probability(labels[:, level], logits[:, level])
        total, norm = total + weight * -np.log(p).sum(), norm + weight * len(p)
    loss = SparseCrossentropy(level_weights=level_weights)
    assert float(loss(labels, logits)) == pytest.approx(total / norm, rel=1e-5)


def test_focal():
    labels, logits = volume()
    p, k = true_class_probability(labels, logits)
    w = np.array(WEIGHTS)[k]
    expected = (w * (1 - p) ** 1.5 * -np.log(p)).sum() / w.sum()
    assert float(Focal(1.5, class_weights=WEIGHTS)(labels, logits)) == pytest.approx(expected, rel=1e-4)
    assert float(Focal(0.0)(labels, logits)) == pytest.approx(float(SparseCrossentropy()(labels, logits)), rel=1e-6)


def test_focal_below_one_has_a_finite_gradient_where_the_prediction_is_certain():
    logits = np.array([[[40.0, -40.0]]], np.float32)
    _, gradient = value_and_gradient(lambda x: Focal(0.5)(np.array([[0]]), x), logits)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("loss", "jaccard"), [(SoftDice, False), (SoftJaccard, True)])
def test_overlap_is_taken_by_class_over_the_batch(loss, jaccard):
    labels, logits = volume()
    labels[labels == 2] = -1  # a class that is absent does not count
    where, p = labels >= 0, softmax(logits)
    overlaps = []
    for k in (0, 1, 3):
        t = (labels == k)[where]
        inter, true, predicted = (p[where][:, k] * t).sum(), t.sum(), p[where][:, k].sum()
        overlaps.append(inter / (true + predicted - inter) if jaccard else 2 * inter / (true + predicted))
    assert float(loss()(labels, logits)) == pytest.approx(1 - np.mean(overlaps), rel=1e-4)
    w = np.array(WEIGHTS)[[0, 1, 3]]
    expected = 1 - (w * overlaps).sum() / w.sum()
    assert float(loss(class_weights=WEIGHTS)(labels, logits)) == pytest.approx(expected, rel=1e-4)


def test_a_weight_of_zero_takes_a_sample_out_of_an_overlap():
    labels, logits = volume()
    weighted = SoftDice()(labels, logits, sample_weight=np.array([1.0, 0.0, 1.0]))
    assert float(weighted) == pytest.approx(float(SoftDice()(labels[::2], logits[::2])), rel=1e-5)


def test_compound_is_the_weighted_sum_of_its_parts():
    labels, logits = volume()
    parts = SparseCrossentropy(class_weights=WEIGHTS)(labels, logits), SoftDice()(labels, logits)
    both = DiceCompound(0.5, 2.0, class_weights=WEIGHTS)(labels, logits)
    assert float(both) == pytest.approx(0.5 * float(parts[0]) + 2 * float(parts[1]), rel=1e-5)


def test_sample_weights_multiply_the_share_of_a_sample():
    labels, logits = volume()
    s = np.array([0.0, 1.0, 3.0])
    shares = [-np.log(true_class_probability(labels[i], logits[i])[0]).sum() for i in range(3)]
    expected = (s * shares).sum() / (labels >= 0).sum()
    assert float(SparseCrossentropy()(labels, logits, sample_weight=s)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_gradient_is_finite_and_only_where_labels_are(name):
    labels, logits = volume()
    logits[0, 0, 0, 0] = 90.0, -90.0, 0.0, 0.0  # certain
    value, gradient = value_and_gradient(lambda x: get_loss(name)(labels, x), logits)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert np.all(gradient[labels < 0] == 0)
    assert np.abs(gradient[labels >= 0]).max() > 0


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_gradient_agrees_with_finite_differences(name):
    labels, logits = volume(shape=(2, 2, 2, 2), labelled=0.7)
    loss = get_loss(name)
    _, gradient = value_and_gradient(lambda x: loss(labels, x), logits)
    direction = np.random.default_rng(1).normal(size=logits.shape).astype(np.float32)
    step = 1e-2
    slope = (float(loss(labels, logits + step * direction)) - float(loss(labels, logits - step * direction))) / (
        2 * step
    )
    assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_batch_without_labels_is_zero_with_zero_gradient(name):
    labels, logits = volume()
    value, gradient = value_and_gradient(lambda x: get_loss(name)(np.full_like(labels, -1), x), logits)
    assert value == 0 and np.all(gradient == 0)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_label_that_is_no_class_does_not_pass_unseen(name):
    labels, logits = volume()
    labels[0, 0, 0, 0] = 4
    assert np.isnan(float(get_loss(name)(labels, logits)))


@pytest.mark.parametrize("name", CLASS_LOSSES)
@pytest.mark.parametrize("dtype", ["int32", "float32", "float16"])
def test_type_of_the_labels_and_a_trailing_axis_do_not_matter(name, dtype):
    labels, logits = volume()
    loss = get_loss(name)
    assert float(loss(labels[..., None].astype(dtype), logits)) == pytest.approx(float(loss(labels, logits)), rel=1e-6)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_probabilities_give_the_same_as_logits(name):
    labels, logits = volume()
    from_logits, from_probabilities = get_loss(name), get_loss(name, from_logits=False)
    probabilities = softmax(logits).astype(np.float32)
    assert float(from_probabilities(labels, probabilities)) == pytest.approx(
        float(from_logits(labels, logits)), rel=1e-4
    )


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_half_precision_predictions_are_summed_in_single(name):
    # 80,000 voxels: a float16 sum would overflow at 65,504.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (2, 4, 100, 100)).astype(np.int8)
    logits = rng.normal(size=(*labels.shape, 4)).astype(np.float16)
    half = get_loss(name)(labels, keras.ops.convert_to_tensor(logits))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    assert float(half) == pytest.approx(float(get_loss(name)(labels, logits.astype(np.float32))), rel=1e-5)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_configuration_survives_serialization(name):
    labels, logits = volume()
    options = {"class_weights": WEIGHTS, "level_weights": (1, 2, 3, 4, 5), "reduction": "sum"}
    loss = get_loss(name, **options)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert float(again(labels, logits)) == float(loss(labels, logits))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_fit_reports_the_mean_over_the_labelled_voxels(policy):
    labels, images = volume(shape=(4, 2, 4, 6))
    images = images[:, 0]
    inputs = keras.Input((4, 6, 4))
    x = keras.layers.Conv2D(8, 1, dtype=policy)(inputs)
    x = keras.layers.Reshape((4, 6, 2, 4), dtype="float32")(x)
    model = keras.Model(inputs, keras.layers.Permute((3, 1, 2, 4), dtype="float32")(x))
    loss = SparseCrossentropy(class_weights=WEIGHTS)
    model.compile("sgd", loss)
    p, k = true_class_probability(labels, np.asarray(model.predict_on_batch(images), np.float32))
    w = np.array(WEIGHTS)[k]
    assert float(model.evaluate(images, labels, batch_size=4, verbose=0)) == pytest.approx(
        (w * -np.log(p)).sum() / w.sum(), rel=1e-2 if policy != "float32" else 1e-4
    )
    history = model.fit(images, labels, batch_size=4, epochs=3, verbose=0).history["loss"]
    assert history[2] < history[0]


def test_wrong_options_are_named():
    with pytest.raises(InputError, match=r"`loss` is one of .*'focal'"):
        get_loss("crossentropy")
    with pytest.raises(InputError, match=r"has the options gamma.* Received alpha"):
        get_loss("focal", alpha=1)
    with pytest.raises(InputError, match="`class_weights` holds finite numbers"):
        get_loss("soft_dice", class_weights=(1, -1))
    with pytest.raises(InputError, match="`gamma` is a finite number"):
        Focal(-1)
    labels, logits = volume()
    with pytest.raises(InputError, match="one number a class, 4 here"):
        SparseCrossentropy(class_weights=(1, 2))(labels, logits)
    with pytest.raises(InputError, match="one number a level, 5 here"):
        SparseCrossentropy(level_weights=(1, 2))(labels, logits)


def test_registry_names_are_those_of_the_losses():
    assert {name: get_loss(name).name for name in LOSSES} == {name: name for name in LOSSES}
