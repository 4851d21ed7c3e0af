"""Scores of a classification from its confusion matrix: counts that can be added, then a formula.

Definitions, with TP, FP, FN of a class among the labelled voxels:

- precision TP / (TP + FP), recall TP / (TP + FN), F1 2 TP / (2 TP + FP + FN), IoU TP / (TP + FP + FN). A class that
  neither truth nor prediction has gives NaN and is left out of the averages; a class that only one of them has gives 0.
- micro: TP, FP and FN summed over the classes first. With one label a voxel, precision, recall and F1 are the accuracy.
- macro: mean over the four classes, "clear" included; macro_cloudy: mean over the classes other than "clear".
- weighted: mean weighted by the number of true voxels of the class.
- cloud: one score for "any cloud against clear".

F1 = 2 IoU / (1 + IoU) holds class by class and for the micro average, not for the other averages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import check

SCORES = ("precision", "recall", "f1", "iou")
_ORDER = ("f1", "iou", "precision", "recall")


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the labelled voxels by sample, level, true class and predicted class.

    Args:
        truth: (sample, level, ...), integer; negative where there is no label.
        prediction: Same shape, classes; or one more axis with a score for each class, of which the largest wins.
        num_classes: Number of classes.

    Returns:
        (sample, level, true class, predicted class), int64.

    Raises:
        InputError: If the shapes do not fit or a label is no class.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    scores = prediction.ndim == truth.ndim + 1
    check(
        truth.ndim >= 2 and prediction.shape == truth.shape + ((num_classes,) if scores else ()),
        f"Predictions have the shape of the truth {truth.shape}, or one axis more for {num_classes} classes.",
        prediction=prediction.shape,
    )
    samples, levels = truth.shape[:2]
    labelled = np.flatnonzero(truth >= 0)
    true = truth.reshape(-1)[labelled].astype(np.int64)
    if scores:
        predicted = prediction.reshape(-1, num_classes)[labelled].argmax(axis=-1)
    else:
        predicted = prediction.reshape(-1)[labelled].astype(np.int64)
    for name, classes in (("truth", true), ("prediction", predicted)):
        check(
            classes.min(initial=0) >= 0 and classes.max(initial=0) < num_classes,
            f"Classes of the {name} lie in 0..{num_classes - 1}.",
            largest=classes.max(initial=0),
            smallest=classes.min(initial=0),
        )
    level_size = max(1, truth[0, 0].size if samples and levels else 1)
    index = ((labelled // level_size) * num_classes + true) * num_classes + predicted
    counts = np.bincount(index, minlength=samples * levels * num_classes**2)
    return counts.reshape(samples, levels, num_classes, num_classes)


def class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and IoU of each class, (..., class), from confusion matrices (..., true, predicted)."""
    confusion = np.asarray(confusion, np.float64)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratios(hits, confusion.sum(axis=-2) - hits, confusion.sum(axis=-1) - hits)


def _ratios(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> dict[str, np.ndarray]:
    wrong = false_alarms + misses
    absent = hits + wrong == 0

    def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        return np.where(absent, np.nan, numerator / np.where(denominator > 0, denominator, 1))

    return {
        "precision": ratio(hits, hits + false_alarms),
        "recall": ratio(hits, hits + misses),
        "f1": ratio(2 * hits, 2 * hits + wrong),
        "iou": ratio(hits, hits + wrong),
    }


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the last axis without the NaN; NaN where nothing is left."""
    weights = np.where(np.isnan(values), 0, weights)
    total = weights.sum(axis=-1)
    mean = (np.where(weights > 0, values, 0) * weights).sum(axis=-1) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, np.nan)


def averages(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """All named scores from confusion matrices (..., true, predicted), each of shape (...).

    Args:
        confusion: Counts; class 0 is "clear".
        classes: Names of the classes.

    Returns:
        `accuracy`; `<score>_<average>` for the scores precision, recall, f1, iou and the averages macro, macro_cloudy,
        micro, weighted, cloud; `<score>_<class>`; `voxels`, and `voxels_<class>` (true voxels).
    """
    confusion = np.asarray(confusion, np.float64)
    by_class = class_scores(confusion)
    support = confusion.sum(axis=-1)
    total = support.sum(axis=-1)
    hits = np.trace(confusion, axis1=-2, axis2=-1)
    micro = _ratios(hits, total - hits, total - hits)
    clear_hits = confusion[..., 0, 0]
    cloud = _ratios(
        confusion[..., 1:, 1:].sum(axis=(-2, -1)), support[..., 0] - clear_hits, confusion[..., 1:, 0].sum(axis=-1)
    )
    scores = {"accuracy": micro["recall"]}
    for name in SCORES:
        values = by_class[name]
        scores[f"{name}_macro"] = _mean(values, np.ones_like(values))
        scores[f"{name}_macro_cloudy"] = _mean(values[..., 1:], np.ones_like(values[..., 1:]))
        scores[f"{name}_micro"] = micro[name]
        scores[f"{name}_weighted"] = _mean(values, support)
        scores[f"{name}_cloud"] = cloud[name]
        scores |= {f"{name}_{c}": values[..., i] for i, c in enumerate(classes)}
    scores["voxels"] = total
    return scores | {f"voxels_{c}": support[..., i] for i, c in enumerate(classes)}


class ClassificationMetrics:
    """Scores of a classified volume.

    Attributes:
        primary: The score by which methods are ranked.
        count: The score that tells how many voxels were judged.
        tables: Titles and scores of the printed tables.
        profile: The scores that are listed by level.
        profile_dim: The dimension of the shards along which they are.
        shown: The scores of a figure, unless others are asked for.
    """

    primary = "f1_macro"
    count = "voxels"
    profile_dim = "level"

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        by_class = tuple(f"f1_{name}" for name in self.classes)
        self.tables: dict[str, tuple[str, ...]] = {
            f"macro: mean over {', '.join(self.classes)}": tuple(f"{score}_macro" for score in _ORDER),
            f"macro_cloudy: mean over {', '.join(self.classes[1:])}": tuple(f"{s}_macro_cloudy" for s in _ORDER),
            "cloud: any cloud against clear": tuple(f"{score}_cloud" for score in _ORDER),
            "micro (precision = recall = F1 = accuracy) and weighted by true voxels": (
                *("f1_micro", "iou_micro", "f1_weighted", "iou_weighted"),
            ),
            "by class": by_class,
        }
        self.shown = ("f1_macro", "iou_macro", "f1_cloud", *by_class[1:])
        self.profile = ("f1_macro", "iou_macro", "f1_cloud", *by_class, "voxels", *(f"voxels_{c}" for c in classes))

    @staticmethod
    def higher_is_better(name: str) -> bool:
        return True

    def statistics(
        self, truth: np.ndarray, prediction: np.ndarray, fields: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """`confusion` (sample, level, true class, predicted class) of a batch.

        Args:
            truth: (sample, level, y, x), negative where there is no label.
            prediction: Probabilities or logits (sample, level, y, x, class), or classes (sample, level, y, x).
            fields: Not needed.
        """
        return {"confusion": confusion_matrix(truth, prediction, len(self.classes))}

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All named scores from summed statistics (..., level, true class, predicted class); see `averages`."""
        return averages(np.asarray(sums["confusion"]).sum(axis=-3), self.classes)

    def compute_profile(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All named scores at each level: arrays (..., level)."""
        return averages(sums["confusion"], self.classes)
