"""Scores and methods made by hand for the tests of this folder."""

from __future__ import annotations

import numpy as np

from cloudkeras.evaluation import Scores
from cloudkeras.metrics import confusion_matrix

LEVELS = 2


def made_scores(seed=0, samples=12, **options) -> Scores:
    """Three methods of falling quality on `samples` samples in groups of two."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1, 0, 1, 2, 3], (samples, LEVELS, 6, 6), p=[0.2, 0.5, 0.1, 0.1, 0.1])
    statistics = {}
    for name, wrong in (("good", 0.1), ("fair", 0.4), ("clear", 1.0)):
        noise = np.zeros_like(truth) if name == "clear" else rng.integers(0, 4, truth.shape)
        prediction = np.where(rng.random(truth.shape) < wrong, noise, np.maximum(truth, 0))
        statistics[name] = {"confusion": confusion_matrix(truth, prediction, 4)}
    defaults = {
        "task": "cloud_phase",
        "task_options": {"labels": "track", "angles": False},
        "groups": np.array([f"granule {seed}-{i // 2}" for i in range(samples)]),
        "baselines": ("fair", "clear"),
        "bootstrap": 200,
        "provenance": {"data": "somewhere", "split": "test", "labels": "track", "options": {"group_by": "granule"}},
    }
    return Scores(statistics=statistics, **{**defaults, **options})
