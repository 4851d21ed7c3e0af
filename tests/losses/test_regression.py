from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.signal import convolve2d

from cloudkeras.errors import InputError
from cloudkeras.losses import MaskedBCE, MaskedMAE, MaskedMSE, MaskedSSIM, UNet3PlusHybrid, get_loss
from cloudkeras.losses.regression import gaussian_window

from .gradients import value_and_gradient

VALUE_LOSSES = ["masked_mae", "masked_mse", "masked_ssim", "unet3plus_hybrid"]


def curtain(seed=0, shape=(3, 20, 24, 1), rows=12):
    """Truth in network space with NaN above `rows` and here and there, -1 in part, and a prediction."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(-0.5, 1, shape).astype(np.float32)
    true[rng.random(shape) < 0.3] = -1
    true[:, rows:] = np.nan
    true[rng.random(shape) < 0.05] = np.nan
    return true, rng.uniform(-1, 1, shape).astype(np.float32)


def ssim_map(a, b, size=11, sigma=1.5, data_range=2.0, k1=0.01, k2=0.03):
    """Structural similarity at each pixel of two 2-D images, written out; 0 beyond the edge."""
    window = gaussian_window(size, sigma).astype(np.float64)
    window = np.outer(window, window)
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2

    def smooth(image):
        return convolve2d(image, window, mode="same")

    ma, mb = smooth(a), smooth(b)
    va, vb, cov = smooth(a * a) - ma**2, smooth(b * b) - mb**2, smooth(a * b) - ma * mb
    return (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))


def test_mae_and_mse_are_means_over_the_labelled_pixels():
    true, predicted = curtain()
    error = (predicted - true)[np.isfinite(true)]
    assert float(MaskedMAE()(true, predicted)) == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert float(MaskedMSE()(true, predicted)) == pytest.approx((error**2).mean(), rel=1e-5)


def test_samples_with_more_labels_count_more():
    # Errors 1 (one pixel) and 3 (three pixels): 10 / 4, not the mean of the samples' means 2.
    true = np.array([[0.0, np.nan, np.nan, np.nan], [0.0, 0.0, 0.0, np.nan]], np.float32)[..., None]
    predicted = np.array([[1.0, 9, 9, 9], [3.0, 3, 3, 9]], np.float32)[..., None]
    assert float(MaskedMAE()(true, predicted)) == pytest.approx(2.5)


@pytest.mark.parametrize("drop_border", [False, True])
def test_ssim_agrees_with_the_formula(drop_border):
    true, predicted = curtain()
    mask = np.isfinite(true)
    total = count = 0.0
    for t, p, m in zip(true[..., 0], predicted[..., 0], mask[..., 0], strict=True):
        similarity = ssim_map(np.where(m, t, 0), np.where(m, p, 0))
        inner = slice(5, -5) if drop_border else slice(None)
        total += similarity[inner, inner][m[inner, inner]].sum()
        count += m[inner, inner].sum()
    loss = MaskedSSIM(drop_border=drop_border)(true, predicted)
    assert float(loss) == pytest.approx(1 - total / count, abs=2e-5)


def test_ssim_refuses_images_of_which_the_border_is_all():
    image = np.zeros((1, 10, 24, 1), np.float32)
    assert float(MaskedSSIM(size=9, drop_border=True)(image, image + 0.5)) > 0
    with pytest.raises(InputError, match="no pixel would be judged"):
        MaskedSSIM(size=11, drop_border=True)(image, image + 0.5)


def test_ssim_of_several_channels_is_their_mean():
    true, predicted = curtain(shape=(2, 20, 24, 2))
    true[np.isnan(true).any(-1)] = np.nan
    each = [float(MaskedSSIM()(true[..., c : c + 1], predicted[..., c : c + 1])) for c in range(2)]
    assert float(MaskedSSIM()(true, predicted)) == pytest.approx(np.mean(each), rel=1e-4)


def test_what_has_no_label_has_no_effect_on_any_loss():
    # The public code multiplied a scalar by mask / mean(mask), which changes nothing.
    true, predicted = curtain()
    elsewhere = np.where(np.isnan(true), 1e6, predicted).astype(np.float32)
    inside = np.where(np.isnan(true), predicted, predicted + 0.3).astype(np.float32)
    for name in VALUE_LOSSES:
        loss = get_loss(name)
        assert float(loss(true, elsewhere)) == pytest.approx(float(loss(true, predicted)), rel=1e-5), name
        assert abs(float(loss(true, inside)) - float(loss(true, predicted))) > 1e-3, name


def test_hybrid_is_the_sum_of_its_terms():
    true, predicted = curtain()
    mask = np.isfinite(true)
    t = np.clip((true[mask] + 1) / 0.5, 0, 1)
    p = np.clip((predicted[mask] + 1) / 0.5, 0, 1)
    iou = ((t * p).sum() + 1) / ((t + p - t * p).sum() + 1)
    mae, ssim = float(MaskedMAE()(true, predicted)), float(MaskedSSIM()(true, predicted))
    assert float(UNet3PlusHybrid()(true, predicted)) == pytest.approx(mae + ssim + 1 - iou, rel=1e-4)
    assert float(UNet3PlusHybrid(0, 0, 2)(true, predicted)) == pytest.approx(2 * (1 - iou), rel=1e-4)


@pytest.mark.parametrize("name", VALUE_LOSSES)
def test_a_perfect_prediction_costs_nothing(name):
    true, predicted = curtain()
    predicted = np.where(np.isnan(true), predicted, true)
    assert float(get_loss(name)(true, predicted)) == pytest.approx(0, abs=2e-5)


def test_iou_of_the_hybrid_has_a_gradient_between_echo_and_none():
    true, predicted = curtain()
    predicted = np.full_like(predicted, -0.7)  # below the threshold of an echo: a thresholded IoU would be flat here
    _, gradient = value_and_gradient(lambda x: UNet3PlusHybrid(0, 0, 1)(true, x), predicted)
    assert np.all(gradient[true > -0.5] < 0) and np.all(gradient[true == -1] > 0)
    none = np.where(np.isnan(true), np.nan, -1).astype(np.float32)  # no echo in the batch: predict less of it
    _, gradient = value_and_gradient(lambda x: UNet3PlusHybrid(0, 0, 1)(none, x), predicted)
    assert np.all(gradient[np.isfinite(none)] > 0)


@pytest.mark.parametrize("name", VALUE_LOSSES)
def test_gradient_is_finite_and_only_where_labels_are(name):
    true, predicted = curtain()
    value, gradient = value_and_gradient(lambda x: get_loss(name)(true, x), predicted)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert np.all(gradient[np.isnan(true)] == 0) and np.abs(gradient[np.isfinite(true)]).max() > 0


@pytest.mark.parametrize("name", VALUE_LOSSES)
def test_a_batch_without_labels_is_zero_with_zero_gradient(name):
    true, predicted = curtain()
    value, gradient = value_and_gradient(lambda x: get_loss(name)(np.full_like(true, np.nan), x), predicted)
    assert value == pytest.approx(0, abs=1e-6) and np.all(gradient == 0)


@pytest.mark.parametrize("name", VALUE_LOSSES)
def test_truth_may_lack_the_channel_axis_and_predictions_be_half_precision(name):
    true, predicted = curtain()
    loss = get_loss(name)
    half = loss(true[..., 0], keras.ops.convert_to_tensor(predicted.astype(np.float16)))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    assert float(half) == pytest.approx(float(loss(true, predicted)), rel=2e-3)


@pytest.mark.parametrize("name", VALUE_LOSSES)
def test_configuration_survives_serialization(name):
    true, predicted = curtain()
    options = {"size": 5, "sigma": 1.0} if "mae_weight" in get_loss(name).get_config() or "ssim" in name else {}
    loss = get_loss(name, **options)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert float(again(true, predicted)) == float(loss(true, predicted))


def test_sample_weights_multiply_the_share_of_a_sample():
    true, predicted = curtain()
    s = np.array([2.0, 0.0, 1.0])
    shares = [np.nansum(np.abs(predicted[i] - true[i])) for i in range(3)]
    expected = (s * shares).sum() / np.isfinite(true).sum()
    assert float(MaskedMAE()(true, predicted, sample_weight=s)) == pytest.approx(expected, rel=1e-5)


def test_wrong_options_are_named():
    with pytest.raises(InputError, match="`size` is an odd number"):
        MaskedSSIM(size=10)
    with pytest.raises(InputError, match="`sigma` and `data_range` are above 0"):
        MaskedSSIM(sigma=0)
    with pytest.raises(InputError, match="`echo_range` is the value"):
        UNet3PlusHybrid(echo_range=(0, -1))


# ---- fractions, image by image (MeltwaterBench) --------------------------------------------------------------------

FRACTIONS = {
    "masked_mae": lambda t, p: np.abs(p - t),
    "masked_mse": lambda t, p: (p - t) ** 2,
    "masked_bce": lambda t, p: -t * np.log(p) - (1 - t) * np.log(1 - p),
}


def fractions(seed=0, shape=(4, 6, 7, 1)):
    """Fractions of which the last image has none, and logits."""
    rng = np.random.default_rng(seed)
    true = rng.random(shape).astype(np.float32)
    true[rng.random(shape) < 0.4] = np.nan
    true[-1] = np.nan
    return true, rng.normal(0, 3, shape).astype(np.float32)


@pytest.mark.parametrize("name", sorted(FRACTIONS))
def test_each_image_counts_alike_and_one_without_labels_counts_as_zero(name):
    true, logits = fractions()
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    means = []
    for t, p in zip(true, probability, strict=True):
        valid = np.isfinite(t)
        means.append(FRACTIONS[name](t[valid], p[valid]).sum() / max(valid.sum(), 1))
    assert means[-1] == 0
    loss = get_loss(name, from_logits=True, per_image=True)
    assert float(loss(true, logits)) == pytest.approx(np.mean(means), rel=1e-5)
    plain = get_loss(name, from_logits=False, per_image=True)
    assert float(plain(true, probability.astype(np.float32))) == pytest.approx(np.mean(means), rel=1e-4)


def test_two_images_by_hand():
    # Image means 1 and 3, whatever their numbers of pixels: 2. Over all pixels it would be 2.5.
    true = np.array([[0.0, np.nan, np.nan, np.nan], [0.0, 0.0, 0.0, np.nan]], np.float32)[..., None]
    predicted = np.array([[1.0, 9, 9, 9], [3.0, 3, 3, 9]], np.float32)[..., None]
    assert float(MaskedMAE(per_image=True)(true, predicted)) == pytest.approx(2.0)
    # BCE at logit 0 is log 2, whatever the truth.
    assert float(MaskedBCE(per_image=True)(true, np.zeros_like(true))) == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize("name", ["masked_mae", "masked_mse", "masked_bce", "masked_ssim"])
def test_without_any_label_the_loss_is_zero_with_zero_gradients(name):
    loss = get_loss(name, from_logits=True, per_image=True)
    _, logits = fractions()
    value, gradient = value_and_gradient(lambda x: loss(np.full_like(logits, np.nan), x), logits * 30)
    assert value == 0 and np.array_equal(gradient, np.zeros_like(gradient))


def test_cross_entropy_of_large_logits_is_finite_and_linear():
    true = np.array([0.0, 1.0, 0.0, 1.0], np.float32).reshape(1, 2, 2, 1)
    logits = np.array([90.0, -90.0, -90.0, 90.0], np.float32).reshape(1, 2, 2, 1)
    value, gradient = value_and_gradient(lambda x: MaskedBCE()(true, x), logits)
    assert value == pytest.approx(45.0) and np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.ravel(), [0.25, -0.25, 0, 0], atol=1e-6)


def test_ssim_of_logits_is_that_of_their_sigmoid():
    true, logits = fractions(shape=(2, 16, 16, 1))
    options = {"size": 5, "sigma": 1.0, "data_range": 1.0, "per_image": True}
    sigmoid = (1 / (1 + np.exp(-logits))).astype(np.float32)
    found = float(MaskedSSIM(**options, from_logits=True)(true, logits))
    assert found == pytest.approx(float(MaskedSSIM(**options)(true, sigmoid)), rel=1e-5)


def test_options_of_fraction_losses_survive_saving():
    loss = get_loss("masked_bce", from_logits=False, per_image=True)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config() and again.per_image and not again.from_logits
