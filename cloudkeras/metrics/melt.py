"""Scores of a melt fraction, as MeltwaterBench (arXiv 2512.12142 and its public code) takes them, every mean named.

The image is one day. Only pixels with a label are judged: SAR saw them and they are no ocean. A pixel melts where its
fraction is above 0.1. Of each day: MAE, MSE, RMSE, accuracy, precision, recall, F1, R2 and SSIM. Then::

    mae_mean       mean over the days, each counting alike
    mae_weighted   mean over the days weighted by their labelled pixels (for MAE, MSE and accuracy: over all pixels)
    f1_pooled      of the pixels of all days together, where that is another number

As in the public code, precision is 1 on a day without predicted melt and recall is 1 on a day without melt (so F1 is 1
where both agree that there is none), and R2 is at least -1. A day without any label, or for R2 without any variance, is
left out. (The public code counts it as 0 in the plain mean.)

SSIM: Gaussian window of 71 x 71 pixels with sigma 10, k1 = 0.01, k2 = 0.03, data range 1, population covariance.
Pixels without label are 0 in both images, and the similarity is averaged over the labelled pixels at least 35 pixels
from the edge of the image; its weights are those pixels.

Melt extent is the area in km2 of the melting pixels of a day among the labelled ones; its error is prediction - truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from ..errors import check
from ..tasks.meltwater import MELT_THRESHOLD
from .ratios import ratio

SSIM_SIGMA = 10.0
SSIM_RADIUS = 35
_C1, _C2 = 0.01**2, 0.03**2

SCORES = ("mae", "mse", "rmse", "accuracy", "precision", "recall", "f1", "r2", "ssim")
_PUBLISHED = ("mae", "mse", "accuracy", "f1", "ssim")  # the columns of the published table
_FURTHER = ("rmse", "precision", "recall", "r2")
_POOLED = ("rmse", "precision", "recall", "f1", "r2")
_SUMS = (
    *("pixels", "pixels_melt", "predicted_melt", "hits", "absolute", "square", "error"),
    *("truth", "truth_square", "days", "extent_truth", "extent_absolute_error", "extent_error", "extent_days"),
)


class MeltMetrics:
    """Scores of the melt fraction.

    Attributes:
        primary: The score by which methods are ranked.
        count: The score that tells how many pixels were judged.
        samples: What a sample is.
        tables: Titles and scores of the printed tables.
        profile: Scores by level: there are none.
        shown: The scores of a figure, unless others are asked for.
    """

    primary = "mae_weighted"
    count = "pixels"
    samples = "days"
    tables: ClassVar[dict[str, tuple[str, ...]]] = {
        "mean over the days, weighted by labelled pixels": tuple(f"{name}_weighted" for name in _PUBLISHED),
        "plain mean over the days": tuple(f"{name}_mean" for name in _PUBLISHED),
        "further scores, weighted by labelled pixels": tuple(f"{name}_weighted" for name in _FURTHER),
        "further scores, plain mean over the days": tuple(f"{name}_mean" for name in _FURTHER),
        "pixels of all days together": tuple(f"{name}_pooled" for name in _POOLED),
        "melt extent of a day within what SAR saw, km2": (
            "extent_mae_km2",
            "extent_bias_km2",
            "extent_truth_km2",
        ),
    }
    profile: tuple[str, ...] = ()
    shown = ("mae_weighted", "mse_weighted", "accuracy_weighted", "f1_weighted", "ssim_weighted", "extent_mae_km2")

    def __init__(self) -> None:
        self._of_truth: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @staticmethod
    def higher_is_better(name: str) -> bool:
        return not name.startswith(("mae", "mse", "rmse", "extent"))

    @staticmethod
    def unit(name: str) -> str:
        """Nothing to add to the names: fractions of a pixel, or a name that ends in its unit."""
        return ""

    def statistics(
        self, truth: np.ndarray, prediction: np.ndarray, fields: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Scores and sums of each day.

        Args:
            truth: (day, y, x), fraction, NaN where not labelled.
            prediction: Same shape, finite where labelled.
            fields: Coordinates `y` and `x` in m; without them the extent is not judged.

        Returns:
            `day` (day, score, 4): whether it is defined, score, weight, weight times score; `sums` (day, 14).

        Raises:
            InputError: If the shapes do not fit or the coordinates are not evenly spaced.
        """
        check(
            truth.ndim == 3 and truth.shape == prediction.shape,
            "Truth and prediction are (day, y, x) alike.",
            truth=truth.shape,
            prediction=prediction.shape,
        )
        area = _pixel_area_km2(fields or {})
        similar = self._similarity_sums(truth, prediction)
        rows = [_day(t, p, area) for t, p in zip(truth, prediction, strict=True)]
        days = np.stack([_scores(row, *ssim) for row, ssim in zip(rows, similar, strict=True)])
        return {"day": days, "sums": np.array([[row[name] for name in _SUMS] for row in rows])}

    def _similarity_sums(self, truth: np.ndarray, prediction: np.ndarray) -> list[tuple[float, float]]:
        """SSIM summed over the pixels that count, and their number, of each day."""
        found = []
        for i, (true, predicted) in enumerate(zip(truth, prediction, strict=True)):
            if min(true.shape) <= 2 * SSIM_RADIUS or not np.isfinite(_inner(true)).any():
                found.append((0.0, 0.0))
                continue
            single = len(truth) == 1 and i == 0
            kept = self._of_truth if single and self._of_truth is not None and self._of_truth[0] is truth else None
            maps = kept[1:] if kept is not None else _smoothed_truth(true)
            if single:  # the same truth for the next method
                self._of_truth = truth, *maps
            similarity = _similarity(true, predicted, *maps)
            found.append((float(similarity.sum()), float(np.isfinite(_inner(true)).sum())))
        return found

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All named scores from summed statistics; leading axes are kept."""
        days = np.asarray(sums["day"], np.float64)
        total = dict(zip(_SUMS, np.moveaxis(np.asarray(sums["sums"], np.float64), -1, 0), strict=True))
        scores = {}
        for i, name in enumerate(SCORES):
            defined, value, weight, weighted = np.moveaxis(days[..., i, :], -1, 0)
            scores[f"{name}_weighted"] = ratio(weighted, weight)
            scores[f"{name}_mean"] = ratio(value, defined)
        scores |= _pooled(total)
        for name, key in (("mae", "absolute_error"), ("bias", "error"), ("truth", "truth")):
            scores[f"extent_{name}_km2"] = ratio(total[f"extent_{key}"], total["extent_days"])
        return scores | {"pixels": total["pixels"], "pixels_melt": total["pixels_melt"], "days": total["days"]}

    @staticmethod
    def extents(statistics: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Melt extent of each day in km2, of the truth and of the prediction where it is known; NaN if not judged."""
        column = dict(zip(_SUMS, np.moveaxis(np.asarray(statistics["sums"], np.float64), -1, 0), strict=True))
        truth = ratio(column["extent_truth"], column["extent_days"])
        return truth, truth + column["extent_error"]

    @staticmethod
    def compute_profile(sums: Any) -> dict[str, np.ndarray]:
        """There is no level."""
        return {}


def _pixel_area_km2(fields: Mapping[str, np.ndarray]) -> float:
    """Area of a pixel from the coordinates of its rows and columns in m; NaN without them."""
    steps = []
    for name in ("y", "x"):
        coordinate = fields.get(name)
        if coordinate is None or np.size(coordinate) < 2:
            return float("nan")
        step = np.abs(np.diff(np.asarray(coordinate, np.float64)))
        check(
            bool(step.min() > 0 and np.ptp(step) <= 1e-3 * step.mean()),
            f"The coordinate '{name}' is evenly spaced, in m.",
            smallest=step.min(),
            largest=step.max(),
        )
        steps.append(step.mean())
    return float(steps[0] * steps[1] * 1e-6)


def _day(truth: np.ndarray, prediction: np.ndarray, area: float) -> dict[str, float]:
    """The sums of one day."""
    valid = np.isfinite(truth)
    true, predicted = (np.asarray(values[valid], np.float64) for values in (truth, prediction))
    melts, predicted_melts = (values > MELT_THRESHOLD for values in (truth[valid], prediction[valid]))
    error = predicted - true
    extents = area * melts.sum(), area * predicted_melts.sum()
    judged = bool(np.isfinite(area) and valid.any())
    return {
        "pixels": float(valid.sum()),
        "pixels_melt": float(melts.sum()),
        "predicted_melt": float(predicted_melts.sum()),
        "hits": float((melts & predicted_melts).sum()),
        "absolute": float(np.abs(error).sum()),
        "square": float((error**2).sum()),
        "error": float(error.sum()),
        "truth": float(true.sum()),
        "truth_square": float((true**2).sum()),
        "days": float(valid.any()),
        "extent_truth": float(extents[0]) if judged else 0.0,
        "extent_absolute_error": float(abs(extents[1] - extents[0])) if judged else 0.0,
        "extent_error": float(extents[1] - extents[0]) if judged else 0.0,
        "extent_days": float(judged),
    }


def _scores(row: Mapping[str, float], ssim_sum: float, ssim_pixels: float) -> np.ndarray:
    """(score, 4) of one day: defined, score, weight, weight times score."""
    pixels = row["pixels"]
    found = np.zeros((len(SCORES), 4))
    if pixels == 0:
        return found
    melt, predicted, hits = row["pixels_melt"], row["predicted_melt"], row["hits"]
    precision, recall = (hits / predicted if predicted else 1.0), (hits / melt if melt else 1.0)
    variance = row["truth_square"] - row["truth"] ** 2 / pixels
    values = {
        "mae": row["absolute"] / pixels,
        "mse": row["square"] / pixels,
        "rmse": np.sqrt(row["square"] / pixels),
        "accuracy": (pixels - melt - predicted + 2 * hits) / pixels,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    }
    if variance > 1e-9 * max(row["truth_square"], 1e-12):
        values["r2"] = max(-1.0, 1 - row["square"] / variance)
    if ssim_pixels:
        values["ssim"] = ssim_sum / ssim_pixels
    for i, name in enumerate(SCORES):
        if name in values:
            weight = ssim_pixels if name == "ssim" else pixels
            found[i] = 1, values[name], weight, weight * values[name]
    return found


def _pooled(total: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores of all pixels together; NaN where a denominator is 0."""
    variance = total["truth_square"] - ratio(total["truth"] ** 2, total["pixels"])
    return {
        "rmse_pooled": np.sqrt(ratio(total["square"], total["pixels"])),
        "precision_pooled": ratio(total["hits"], total["predicted_melt"]),
        "recall_pooled": ratio(total["hits"], total["pixels_melt"]),
        "f1_pooled": ratio(2 * total["hits"], total["pixels_melt"] + total["predicted_melt"]),
        "r2_pooled": 1 - ratio(total["square"], np.where(variance > 1e-9 * total["truth_square"], variance, 0)),
        "bias": ratio(total["error"], total["pixels"]),
    }


# ---- structural similarity -----------------------------------------------------------------------------------------


def _inner(image: np.ndarray) -> np.ndarray:
    """The image without its border, where the window would cross the edge."""
    return image[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]


def _smooth(image: np.ndarray) -> np.ndarray:
    """Gaussian means of the 71 x 71 window, inside the border."""
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    window = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    window /= window.sum()
    rows = ndimage.correlate1d(image, window, axis=0, mode="constant")[SSIM_RADIUS:-SSIM_RADIUS]
    return ndimage.correlate1d(rows, window, axis=1, mode="constant")[:, SSIM_RADIUS:-SSIM_RADIUS]


def _smoothed_truth(true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and mean squares of the truth."""
    filled = np.where(np.isfinite(true), true, 0).astype(np.float64)
    return _smooth(filled), _smooth(filled**2)


def _similarity(true: np.ndarray, predicted: np.ndarray, mean_t: np.ndarray, square_t: np.ndarray) -> np.ndarray:
    """SSIM at each labelled pixel inside the border, 0 at others."""
    valid = np.isfinite(true)
    t, p = (np.where(valid, values, 0).astype(np.float64) for values in (true, predicted))
    mean_p, square_p, cross = _smooth(p), _smooth(p**2), _smooth(t * p)
    variances = np.maximum(square_t - mean_t**2, 0) + np.maximum(square_p - mean_p**2, 0)
    similarity = (2 * mean_t * mean_p + _C1) * (2 * (cross - mean_t * mean_p) + _C2)
    similarity /= (mean_t**2 + mean_p**2 + _C1) * (variances + _C2)
    return np.where(_inner(valid), similarity, 0.0)
