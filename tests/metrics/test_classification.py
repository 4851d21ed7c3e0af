from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from cloudkeras.errors import InputError
from cloudkeras.metrics import ClassificationMetrics, confusion_matrix, metrics_for
from cloudkeras.metrics.classification import averages, class_scores
from cloudkeras.tasks import get_task

CLASSES = ("clear", "ice", "mixed", "liquid")


def volumes(seed=0, shape=(5, 3, 4, 6)):
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1, 0, 1, 2, 3], shape, p=[0.3, 0.5, 0.1, 0.03, 0.07]).astype(np.int8)
    return truth, rng.normal(size=(*shape, 4)).astype(np.float32)


def test_hand_worked_matrix():
    # rows true, columns predicted: clear, ice, mixed, liquid
    #   clear  6 1 0 1     TP 6 FP 2 FN 2   P 6/8  R 6/8  F1 12/16 IoU 6/10
    #   ice    1 2 0 0     TP 2 FP 1 FN 1   P 2/3  R 2/3  F1  4/6  IoU 2/4
    #   mixed  0 0 0 1     TP 0 FP 0 FN 1   P 0    R 0    F1  0    IoU 0     (truth has it: counts as 0)
    #   liquid 1 0 0 3     TP 3 FP 2 FN 1   P 3/5  R 3/4  F1  6/9  IoU 3/6
    # 16 voxels, 11 right. Cloud: TP 2+0+1+3 = 6, FP 2, FN 2.
    matrix = np.array([[6, 1, 0, 1], [1, 2, 0, 0], [0, 0, 0, 1], [1, 0, 0, 3]])
    scores = averages(matrix, CLASSES)
    expected = {
        "accuracy": 11 / 16,
        "precision_macro": (6 / 8 + 2 / 3 + 0 + 3 / 5) / 4,
        "recall_macro": (6 / 8 + 2 / 3 + 0 + 3 / 4) / 4,
        "f1_macro": (12 / 16 + 4 / 6 + 0 + 6 / 9) / 4,
        "iou_macro": (6 / 10 + 2 / 4 + 0 + 3 / 6) / 4,
        "f1_macro_cloudy": (4 / 6 + 0 + 6 / 9) / 3,
        "precision_micro": 11 / 16,
        "recall_micro": 11 / 16,
        "f1_micro": 11 / 16,
        "iou_micro": 11 / (11 + 5 + 5),
        "f1_weighted": (8 * 12 / 16 + 3 * 4 / 6 + 0 + 4 * 6 / 9) / 16,
        "iou_weighted": (8 * 6 / 10 + 3 * 2 / 4 + 0 + 4 * 3 / 6) / 16,
        "precision_cloud": 6 / 8,
        "recall_cloud": 6 / 8,
        "f1_cloud": 12 / 16,
        "iou_cloud": 6 / 10,
        "recall_liquid": 3 / 4,
        "iou_clear": 6 / 10,
        "voxels": 16,
        "voxels_mixed": 1,
    }
    assert {name: float(scores[name]) for name in expected} == pytest.approx(expected)


def test_scores_agree_with_scikit_learn():
    truth, prediction = volumes()
    where = truth >= 0
    true, predicted = truth[where], prediction.argmax(-1)[where]
    scores = ClassificationMetrics(CLASSES).compute({"confusion": confusion_matrix(truth, prediction, 4).sum(axis=0)})
    for average in ("macro", "micro", "weighted"):
        expected = sk.precision_recall_fscore_support(true, predicted, average=average)[:3]
        assert [float(scores[f"{s}_{average}"]) for s in ("precision", "recall", "f1")] == pytest.approx(expected)
        assert float(scores[f"iou_{average}"]) == pytest.approx(sk.jaccard_score(true, predicted, average=average))
    assert float(scores["f1_cloud"]) == pytest.approx(sk.f1_score(true > 0, predicted > 0))
    assert [float(scores[f"f1_{c}"]) for c in CLASSES] == pytest.approx(sk.f1_score(true, predicted, average=None))


def test_confusion_matrix_keeps_samples_and_levels_apart():
    truth, prediction = volumes()
    matrix = confusion_matrix(truth, prediction, 4)
    assert matrix.shape == (5, 3, 4, 4)
    for sample in range(5):
        for level in range(3):
            where = truth[sample, level] >= 0
            expected = sk.confusion_matrix(
                truth[sample, level][where], prediction[sample, level].argmax(-1)[where], labels=range(4)
            )
            np.testing.assert_array_equal(matrix[sample, level], expected)
    np.testing.assert_array_equal(confusion_matrix(truth, prediction.argmax(-1), 4), matrix)


def test_shard_wise_equals_global():
    metrics = metrics_for(get_task("cloud_phase"))
    truth, prediction = volumes(shape=(9, 38, 3, 3))
    whole = metrics.statistics(truth, prediction)["confusion"].sum(axis=0)
    parts = [metrics.statistics(truth[i : i + 4], prediction[i : i + 4])["confusion"].sum(axis=0) for i in (0, 4, 8)]
    assert metrics.compute({"confusion": sum(parts)}) == metrics.compute({"confusion": whole})


def test_profile_is_the_score_of_each_level():
    metrics = ClassificationMetrics(CLASSES)
    sums = {"confusion": confusion_matrix(*volumes(), 4).sum(axis=0)}
    profile = metrics.compute_profile(sums)
    for level in range(3):
        alone = metrics.compute({"confusion": sums["confusion"][level : level + 1]})
        assert {n: float(profile[n][level]) for n in profile} == pytest.approx({n: float(v) for n, v in alone.items()})
    assert set(metrics.profile) <= set(profile)


def test_leading_axes_are_replicates():
    metrics = ClassificationMetrics(CLASSES)
    counts = confusion_matrix(*volumes(), 4)
    together = metrics.compute({"confusion": counts})
    assert together["f1_macro"].shape == (5,)
    assert float(together["f1_macro"][3]) == float(metrics.compute({"confusion": counts[3]})["f1_macro"])


def test_a_class_absent_from_truth_and_prediction_is_left_out():
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1], matrix[0, 1] = 6, 2, 2  # F1 12/14 and 4/6
    scores = averages(matrix, CLASSES)
    assert np.isnan(scores["f1_mixed"]) and np.isnan(class_scores(matrix)["recall"][3])
    assert float(scores["f1_macro"]) == pytest.approx((12 / 14 + 4 / 6) / 2)
    assert float(scores["f1_macro_cloudy"]) == pytest.approx(4 / 6)


def test_degenerate_cases():
    perfect = averages(np.diag([5, 3, 2, 1]), CLASSES)
    assert all(float(v) == 1 for name, v in perfect.items() if not name.startswith("voxels"))
    empty = averages(np.zeros((4, 4)), CLASSES)
    assert all(np.isnan(v) for name, v in empty.items() if not name.startswith("voxels")) and empty["voxels"] == 0
    only_clear = averages(np.diag([5, 0, 0, 0]), CLASSES)
    assert only_clear["f1_macro"] == 1 and np.isnan(only_clear["f1_cloud"]) and np.isnan(only_clear["f1_macro_cloudy"])
    never_right = averages(np.array([[0, 4, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), CLASSES)
    assert never_right["f1_macro"] == 0 and never_right["iou_micro"] == 0
    unlabelled = confusion_matrix(np.full((2, 3, 4), -1), np.zeros((2, 3, 4)), 4)
    assert unlabelled.shape == (2, 3, 4, 4) and unlabelled.sum() == 0


def test_f1_and_iou_are_tied_class_by_class():
    scores = class_scores(confusion_matrix(*volumes(), 4).sum(axis=(0, 1)))
    np.testing.assert_allclose(scores["f1"], 2 * scores["iou"] / (1 + scores["iou"]))


def test_all_table_scores_exist():
    metrics = ClassificationMetrics(CLASSES)
    scores = metrics.compute({"confusion": np.ones((2, 4, 4))})
    assert {name for names in metrics.tables.values() for name in names} <= set(scores)
    assert metrics.primary in scores and metrics.count in scores and metrics.higher_is_better("f1_macro")


def test_wrong_shapes_and_classes_are_named():
    truth, prediction = volumes()
    with pytest.raises(InputError, match="one axis more for 4 classes"):
        confusion_matrix(truth, prediction[..., :3], 4)
    with pytest.raises(InputError, match="Classes of the truth lie in 0"):
        confusion_matrix(np.full_like(truth, 4), prediction, 4)
    with pytest.raises(InputError, match="Classes of the prediction lie in 0"):
        confusion_matrix(truth, np.full_like(truth, -1), 4)
