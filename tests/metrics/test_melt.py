import numpy as np
import pytest
from scipy.signal import convolve2d

from cloudkeras.errors import InputError
from cloudkeras.metrics import MeltMetrics, metrics_for
from cloudkeras.metrics.melt import SCORES
from cloudkeras.tasks import Meltwater

GRID = {"y": np.arange(0, 400, 100.0), "x": np.arange(0, 300, 100.0)}


def scores(truth, prediction, fields=None):
    truth, prediction = np.asarray(truth, np.float32), np.asarray(prediction, np.float32)
    metrics = MeltMetrics()
    sums = metrics.statistics(truth, prediction, fields)
    return {n: float(v) for n, v in metrics.compute({k: v.sum(axis=0) for k, v in sums.items()}).items()}


def two_days():
    """Four labelled pixels on the first day, two on the second."""
    nan = np.nan
    truth = np.array([[[0.0, 0.2], [0.6, 1.0]], [[0.0, nan], [0.05, nan]]])
    prediction = np.array([[[0.2, 0.2], [0.1, 0.9]], [[0.3, 0.9], [0.05, 0.9]]])
    return truth, prediction


def test_two_days_by_hand():
    found = scores(*two_days())
    # Day 1: errors .2 0 -.5 -.1; melt (> .1) truth 0 1 1 1, prediction 1 1 0 1. Day 2: errors .3 0; 0 0 and 1 0.
    mae, mse = (0.8 / 4, 0.3 / 2), (0.3 / 4, 0.09 / 2)
    assert found["mae_mean"] == pytest.approx(np.mean(mae))
    assert found["mae_weighted"] == pytest.approx(1.1 / 6)
    assert found["mse_weighted"] == pytest.approx(0.39 / 6)
    assert found["rmse_mean"] == pytest.approx(np.mean(np.sqrt(mse)))
    assert found["rmse_weighted"] == pytest.approx((4 * np.sqrt(mse[0]) + 2 * np.sqrt(mse[1])) / 6)
    assert found["rmse_pooled"] == pytest.approx(np.sqrt(0.39 / 6))
    assert found["accuracy_mean"] == pytest.approx((2 / 4 + 1 / 2) / 2)
    # Precision 2/3 and 0; recall 2/3 and, without melt, 1; F1 2/3 and 0.
    assert found["precision_mean"] == pytest.approx(1 / 3)
    assert found["recall_mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["recall_weighted"] == pytest.approx((4 * 2 / 3 + 2 * 1) / 6)
    assert found["f1_weighted"] == pytest.approx(4 * (2 / 3) / 6)
    assert found["precision_pooled"] == pytest.approx(2 / 4) and found["recall_pooled"] == pytest.approx(2 / 3)
    assert found["f1_pooled"] == pytest.approx(2 * 2 / (3 + 4))
    # R2: variances .59 and .00125; 1 - .3 / .59, and 1 - .09 / .00125 cut at -1.
    variance = ((np.array([0, 0.2, 0.6, 1.0]) - 0.45) ** 2).sum()
    assert found["r2_mean"] == pytest.approx((1 - 0.3 / variance - 1) / 2)
    assert found["bias"] == pytest.approx((-0.4 + 0.3) / 6)
    assert (found["pixels"], found["pixels_melt"], found["days"]) == (6, 3, 2)
    assert np.isnan(found["ssim_mean"]) and np.isnan(found["extent_mae_km2"])  # too small; no coordinates


def test_scores_agree_with_scikit_learn():
    from sklearn import metrics as sk

    rng = np.random.default_rng(0)
    truth, prediction = rng.random((2, 1, 9, 11)) ** 3
    truth[rng.random(truth.shape) < 0.3] = np.nan
    found = scores(truth, prediction)
    valid = np.isfinite(truth)
    t, p = truth[valid], prediction[valid]
    melt, predicted = t.astype(np.float32) > np.float32(0.1), p.astype(np.float32) > np.float32(0.1)
    for name, value in (
        ("mae", sk.mean_absolute_error(t, p)),
        ("mse", sk.mean_squared_error(t, p)),
        ("r2", max(-1, sk.r2_score(t, p))),
        ("accuracy", sk.accuracy_score(melt, predicted)),
        ("precision", sk.precision_score(melt, predicted)),
        ("recall", sk.recall_score(melt, predicted)),
        ("f1", sk.f1_score(melt, predicted)),
    ):
        assert found[f"{name}_mean"] == pytest.approx(value, rel=1e-5), name
        assert found[f"{name}_weighted"] == pytest.approx(value, rel=1e-5), name


def test_extent_of_two_days_by_hand():
    truth = np.zeros((2, 4, 3))
    truth[0, :2] = 0.5  # 6 pixels of 0.01 km2
    truth[1, 0, 0] = np.nan
    prediction = np.zeros((2, 4, 3))
    prediction[0, 0] = 0.11  # 3 pixels
    prediction[1, 0] = 0.5  # 3 pixels, one of them not labelled
    found = scores(truth, prediction, GRID)
    assert found["extent_truth_km2"] == pytest.approx((0.06 + 0) / 2)
    assert found["extent_bias_km2"] == pytest.approx((-0.03 + 0.02) / 2)
    assert found["extent_mae_km2"] == pytest.approx((0.03 + 0.02) / 2)


def test_an_uneven_grid_is_refused():
    with pytest.raises(InputError, match="coordinate 'y' is evenly spaced"):
        scores(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), {"y": np.array([0, 1, 3.0]), "x": np.arange(3.0)})


def image_pair(shape=(78, 76), seed=1):
    rng = np.random.default_rng(seed)
    smooth = convolve2d(rng.random(shape), np.ones((9, 9)) / 81, mode="same", boundary="symm")
    truth = np.clip(4 * (smooth - 0.4), 0, 1)
    return truth, np.clip(truth + rng.normal(0, 0.2, shape), 0, 1)


def test_ssim_of_a_whole_image_agrees_with_scikit_image():
    skimage = pytest.importorskip("skimage.metrics")
    truth, prediction = image_pair()
    _, full = skimage.structural_similarity(
        truth, prediction, gaussian_weights=True, sigma=10, truncate=3.5, use_sample_covariance=False, data_range=1.0,
        full=True,
    )  # fmt: skip
    found = scores(truth[None], prediction[None])
    assert found["ssim_mean"] == pytest.approx(full[35:-35, 35:-35].mean(), abs=1e-5)


def test_ssim_with_gaps_agrees_with_a_loop():
    truth, prediction = (image.astype(np.float32).astype(np.float64) for image in image_pair())
    rng = np.random.default_rng(2)
    valid = rng.random(truth.shape) < 0.7
    offset = np.arange(-35, 36)
    weights = np.exp(-(offset[:, None] ** 2 + offset**2) / 200)
    weights /= weights.sum()
    t, p = np.where(valid, truth, 0), np.where(valid, prediction, 0)
    values = []
    for y in range(35, truth.shape[0] - 35):
        for x in range(35, truth.shape[1] - 35):
            if valid[y, x]:
                a, b = (image[y - 35 : y + 36, x - 35 : x + 36] for image in (t, p))
                ma, mb = (weights * a).sum(), (weights * b).sum()
                va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
                cov = (weights * (a - ma) * (b - mb)).sum()
                luminance = (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
                values.append(luminance * (2 * cov + 9e-4) / (va + vb + 9e-4))
    masked = np.where(valid, truth, np.nan)
    found = scores(masked[None], prediction[None])
    assert found["ssim_mean"] == pytest.approx(np.mean(values), abs=1e-6)
    # What is predicted where nothing is labelled does not matter.
    elsewhere = np.where(valid, prediction, 1)
    assert scores(masked[None], elsewhere[None])["ssim_mean"] == pytest.approx(np.mean(values), abs=1e-6)


def test_the_truth_that_is_kept_for_the_next_method_is_that_of_the_day():
    metrics = MeltMetrics()
    pairs = [image_pair(seed=seed) for seed in (1, 2)]
    days = [truth[None].astype(np.float32) for truth, _ in pairs]
    for day, (_, prediction) in zip(days, pairs, strict=True):
        for sign in (1, -1):
            image = (0.5 + sign * (prediction - 0.5))[None].astype(np.float32)
            np.testing.assert_array_equal(
                metrics.statistics(day, image)["day"], MeltMetrics().statistics(day, image)["day"]
            )


def test_perfect_all_zero_and_all_masked():
    truth, _ = image_pair()
    perfect = scores(truth[None], truth[None])
    for name in SCORES:
        best = 0 if name in ("mae", "mse", "rmse") else 1
        assert perfect[f"{name}_mean"] == pytest.approx(best, abs=1e-6), name
    zero = scores(np.zeros((1, 80, 80)), np.zeros((1, 80, 80)))
    assert zero["mae_mean"] == 0 and zero["f1_mean"] == 1 and zero["ssim_mean"] == pytest.approx(1)
    assert np.isnan(zero["r2_mean"]) and np.isnan(zero["f1_pooled"]) and np.isnan(zero["precision_pooled"])
    masked = scores(np.full((1, 80, 80), np.nan), np.zeros((1, 80, 80)), {"y": np.arange(80.0), "x": np.arange(80.0)})
    assert masked["pixels"] == 0 and masked["days"] == 0
    assert all(np.isnan(v) for n, v in masked.items() if n not in ("pixels", "pixels_melt", "days"))


def test_an_empty_day_changes_nothing():
    truth, prediction = two_days()
    empty = np.concatenate([truth, np.full((1, 2, 2), np.nan)])
    found = scores(empty, np.concatenate([prediction, np.ones((1, 2, 2))]))
    for name, value in scores(truth, prediction).items():
        np.testing.assert_equal(found[name], value)


def test_every_shown_and_tabled_score_exists_and_knows_its_direction():
    metrics = metrics_for(Meltwater())
    found = scores(*two_days())
    names = [name for table in metrics.tables.values() for name in table]
    assert set(names) | set(metrics.shown) | {metrics.primary, metrics.count} <= set(found)
    assert metrics.higher_is_better("ssim_mean") and not metrics.higher_is_better("extent_mae_km2")
    assert metrics.unit("extent_mae_km2") == "" == metrics.unit("mae_mean")
    with pytest.raises(InputError, match=r"\(day, y, x\) alike"):
        metrics.statistics(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)))
