from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.baselines import baselines_for
from cloudkeras.baselines.classification import (
    CLEAR,
    ICE,
    LIQUID,
    MIXED,
    AllClear,
    BalancedClimatology,
    Climatology,
    Threshold,
)
from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task

MEAN_K, STD_K = 270.0, 20.0
WINDOW_CHANNEL = 6 + 6  # six reflectances, then the seventh of 3.89, 6.24, 6.94, 7.35, 8.59, 9.64, 10.41 um
STATISTICS = {"brightness_temperature": {"mean": [MEAN_K] * 10, "std": [STD_K] * 10}}


class Fixed:
    """Batches from arrays, as `Batches` gives them."""

    def __init__(self, x, y, batch_size=2):
        self.x, self.y, self.batch_size = x, y, batch_size

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, i):
        rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
        return self.x[rows], self.y[rows]


def inputs(brightness_k):
    """Network input with the given 10.4 um brightness temperatures (batch, y, x) and noise in all other channels."""
    x = np.random.default_rng(0).normal(size=(*brightness_k.shape, 16)).astype(np.float32)
    x[..., WINDOW_CHANNEL] = (brightness_k - MEAN_K) / STD_K
    return x


def random_labels(shape=(6, 38, 4, 5), seed=0):
    """Labels whose frequencies depend on the level."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int8)
    for level in range(shape[1]):
        cloudy = [0.05, 0.10, 0.25] if level < 10 else [0.2, 0.05, 0.0] if level < 25 else [0.01, 0.0, 0.0]
        labels[:, level] = rng.choice(4, shape[:1] + shape[2:], p=[1 - sum(cloudy), *cloudy])
    labels[rng.random(shape) < 0.5] = -1
    return labels


def test_every_baseline_gives_finite_logits_of_the_shape_of_a_model():
    x, y = inputs(np.random.default_rng(0).uniform(210, 300, (6, 4, 5))), random_labels()
    names = []
    for method in baselines_for(get_task("cloud_phase")):
        assert method.fit(Fixed(x, y), STATISTICS) is method
        outputs = method(x[:3])
        assert outputs.shape == (3, 38, 4, 5, 4) and outputs.dtype == np.float32
        assert np.isfinite(outputs).all()
        names.append(method.name)
    assert names == ["all_clear", "climatology", "climatology_balanced", "threshold"]


def test_all_clear_is_clear():
    assert np.all(AllClear()(inputs(np.full((2, 3, 3), 250.0))).argmax(-1) == CLEAR)


def test_climatology_is_the_frequency_of_each_level():
    y = random_labels()
    method = Climatology().fit(Fixed(np.zeros((6, 4, 5, 16), np.float32), y))
    probability = np.exp(method(np.zeros((1, 2, 2, 16)))[0, :, 0, 0])
    for level in (0, 12, 37):
        labelled = y[:, level][y[:, level] >= 0]
        counts = np.bincount(labelled, minlength=4)
        np.testing.assert_allclose(probability[level], (counts + 0.5) / (counts.sum() + 2), rtol=1e-5)


def test_climatology_takes_the_counts_of_the_manifest_for_the_labels_that_it_learns_from():
    batches = Fixed(np.zeros((6, 4, 5, 16), np.float32), random_labels())
    counts = np.ones((38, 4)) * [7, 1, 1, 1]
    statistics = {"phase": {"class_counts": counts.tolist()}, "phase_dense": {"class_counts": (9 * counts).tolist()}}
    batches.task = get_task("cloud_phase", labels="track")
    probability = np.exp(Climatology().fit(batches, statistics)(np.zeros((1, 1, 1, 16)))[0, 5, 0, 0])
    np.testing.assert_allclose(probability, np.array([7.5, 1.5, 1.5, 1.5]) / 12, rtol=1e-5)


def test_balanced_climatology_is_the_best_of_its_powers_on_the_training_labels():
    y = random_labels()
    batches = Fixed(np.zeros((6, 4, 5, 16), np.float32), y)
    balanced, plain = BalancedClimatology().fit(batches), Climatology().fit(batches)

    def macro_f1(method):
        from sklearn.metrics import f1_score

        choice = method(np.zeros((1, 1, 1, 16)))[0, :, 0, 0].argmax(-1)
        predicted = np.broadcast_to(choice[None, :, None, None], y.shape)
        return f1_score(y[y >= 0], predicted[y >= 0], average="macro")

    assert macro_f1(balanced) > macro_f1(plain)
    best = balanced.power
    for power in (0.0, 0.5, 1.0):
        other = BalancedClimatology()
        other.powers = np.array([power])
        assert macro_f1(other.fit(batches)) <= macro_f1(balanced) + 1e-12
    assert 0 < best <= 1


def opaque_scene(contrast_k, depth_km, ice_below_k, liquid_above_k, seed=0):
    """Brightness temperatures of opaque clouds over a surface of 300 K, and the truth by the method's own rule."""
    rng = np.random.default_rng(seed)
    brightness = np.where(rng.random((8, 10, 12)) < 0.4, 300.0, rng.uniform(215, 299, (8, 10, 12)))
    brightness[:, 0] = 300.0
    height = (np.arange(38) + 0.5) * 0.5
    temperature = 300 - 6.5 * height
    phase = np.where(temperature < ice_below_k, ICE, np.where(temperature > liquid_above_k, LIQUID, MIXED))
    truth = np.zeros((8, 38, 10, 12), np.int8)
    for index in np.ndindex(8, 10, 12):
        top = (300 - brightness[index]) / 6.5
        if 300 - brightness[index] <= contrast_k:
            continue
        inside = (height >= top - depth_km) & (np.floor(height / 0.5) <= min(37, np.floor(top / 0.5)))
        inside[min(37, int(top / 0.5))] = True
        truth[index[0], :, index[1], index[2]] = np.where(inside, phase, CLEAR)
    return brightness, truth


def test_threshold_finds_top_base_and_phase_of_opaque_clouds():
    brightness, truth = opaque_scene(18.0, 2.0, 253.15, 268.15)
    x = inputs(brightness)
    method = Threshold().fit(Fixed(x, truth), STATISTICS)
    assert (method.contrast_k, method.depth_km) == (18.0, 2.0)
    assert (method.ice_below_k, method.liquid_above_k) == (253.15, 268.15)
    assert (method(x).argmax(-1) == truth).mean() > 0.999


def test_threshold_top_by_hand():
    # Surface 300 K, cloud 261 K: (300 - 261) / 6.5 = 6 km top. Levels centred between 6 - 2 and 6 km, and that of the
    # top (6.0 to 6.5 km, level 12): 4.25 .. 5.75 km = 8 .. 11, and 12. Temperatures 272.4 .. 262.6 K and 259.4 K.
    brightness, truth = opaque_scene(18.0, 2.0, 253.15, 268.15)
    method = Threshold().fit(Fixed(inputs(brightness), truth), STATISTICS)
    patch = np.full((1, 10, 10), 300.0)
    patch[0, 5, 5] = 261.0
    phase = method(inputs(patch)).argmax(-1)[0]
    assert np.flatnonzero(phase[:, 5, 5]).tolist() == [8, 9, 10, 11, 12]
    assert phase[8, 5, 5] == LIQUID and phase[12, 5, 5] == MIXED  # 272.4 K and 259.4 K
    assert phase.sum() == phase[:, 5, 5].sum()


def test_brightness_temperature_is_recovered():
    brightness = np.random.default_rng(0).uniform(200, 310, (2, 3, 4))
    method = Threshold()
    method.mean_k, method.std_k = MEAN_K, STD_K
    np.testing.assert_allclose(method.brightness_temperature(inputs(brightness)), brightness, atol=1e-3)


def test_what_is_missing_is_named():
    x = np.zeros((2, 3, 3, 16), np.float32)
    for method in (Climatology(), BalancedClimatology(), Threshold()):
        with pytest.raises(InputError, match=f"'{method.name}' must be fitted before"):
            method(x)
    unlabelled = Fixed(x, np.full((2, 38, 3, 3), -1, np.int8))
    with pytest.raises(InputError, match="needs labels in the training split"):
        Climatology().fit(unlabelled)
    with pytest.raises(InputError, match="needs labelled columns"):
        Threshold().fit(unlabelled, STATISTICS)
    with pytest.raises(InputError, match="needs the statistics of `brightness_temperature`"):
        Threshold().fit(unlabelled)
    with pytest.raises(InputError, match="`percentile` lies above 0"):
        Threshold(percentile=0)
