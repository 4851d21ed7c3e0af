"""How much a day's other hours say about echo in the blind zone of its test hours, whatever the network.

    python benchmarks/echo_predictability.py runs/radar/data

A gradient-boosted classifier (scikit-learn) sees the row, the profile above the blind zone and means over neighbouring
profiles, learns "echo or not" on the training split and is judged on the test split: area under the ROC curve, and Dice
of the echo by the probability from which it says "echo", beside "echo everywhere". The best of these thresholds is
picked on the test itself, so it bounds from above what this classifier can reach.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from cloudkeras import Batches, ShardDataset, get_task

VISIBLE_ROWS = 40
EVERY = 3
NEIGHBOURS = 17


def pixels(dataset: ShardDataset, split: str, every: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features (pixel, feature) and whether there is an echo (pixel,), of every so many profiles."""
    task = get_task("blind_zone", blind_rows=dataset.task_options.get("blind_rows", 16))
    batches = Batches(dataset, task, split, 16)
    features, echoes = [], []
    for i in range(len(batches)):
        x, _ = batches[i]
        truth = task.truth(batches.fields(i))[:, : task.blind_rows]
        visible = x[:, task.blind_rows :, :, 0]
        columns = [visible[:, k] for k in range(0, VISIBLE_ROWS, EVERY)]
        columns += [uniform_filter1d(visible[:, k], NEIGHBOURS, axis=-1) for k in (0, 5, 12, 24)]
        profile = np.stack(columns, axis=-1)[:, ::every]
        for row in range(task.blind_rows):
            labelled = np.isfinite(truth[:, row, ::every])
            number = np.full((*profile.shape[:-1], 1), row)
            features.append(np.concatenate([profile, number], axis=-1)[labelled])
            echoes.append(truth[:, row, ::every][labelled] > -60)
    return np.concatenate(features), np.concatenate(echoes)


def dice(truth: np.ndarray, says: np.ndarray) -> float:
    """2 |both| / (|truth| + |says|)."""
    return float(2 * (truth & says).sum() / (truth.sum() + says.sum()))


def main(argv: list[str] | None = None) -> int:
    """Prints what the classifier reaches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of shards")
    arguments = parser.parse_args(argv)
    dataset = ShardDataset.open(arguments.data)
    seen, echo = pixels(dataset, "train", every=5)
    unseen, truth = pixels(dataset, "test")
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.05, l2_regularization=1.0, random_state=0)
    probability = model.fit(seen, echo).predict_proba(unseen)[:, 1]
    area, of_row = roc_auc_score(truth, probability), roc_auc_score(truth, unseen[:, -1])
    scores = [dice(truth, probability >= threshold) for threshold in np.quantile(probability, np.linspace(0, 0.5, 26))]
    print(f"echo: {100 * echo.mean():.1f} % of the training pixels, {100 * truth.mean():.1f} % of the test pixels")
    print(f"area under the curve: {area:.2f}; row alone {of_row:.2f}")
    print(f"Dice of echo everywhere: {dice(truth, np.ones_like(truth)):.3f}")
    print(f"Dice at the best threshold: {max(scores):.3f}; at one half: {dice(truth, probability > 0.5):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
