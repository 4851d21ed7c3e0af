"""Scores and methods made by hand for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from cloudkeras.evaluation import Scores
from cloudkeras.evaluation.scores import share_truth
from cloudkeras.metrics import RadarMetrics, confusion_matrix

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


def made_radar_scores(seed=0, samples=8, shape=(24, 80), blind_rows=8, **options) -> Scores:
    """A good, a noisy and a clear-air method on smooth curtains in groups of two windows."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(samples, *shape)), (0, 3, 6))
    smooth = smooth / smooth.std()
    metrics = RadarMetrics(blind_rows)
    observed = np.where(smooth < -0.4, -60.0, np.clip(12 * smooth - 6, -59, 29))
    truth = np.where(np.arange(shape[0])[:, None] < blind_rows, observed, np.nan)
    statistics = {}
    for name, noise in (("good", 0.1), ("noisy", 0.6), ("all_clear", None)):
        other = smooth if noise is None else smooth + noise * rng.normal(size=smooth.shape)
        prediction = np.where(other < (np.inf if noise is None else -0.4), -60.0, np.clip(12 * other - 6, -59, 29))
        statistics[name] = metrics.statistics(truth, prediction, {"reflectivity": observed})
    heights = 40.0 + 80.0 * np.arange(shape[0])
    defaults = {
        "task": "blind_zone",
        "task_options": {"blind_rows": blind_rows},
        "groups": np.array([f"day block {i // 2}" for i in range(samples)]),
        "baselines": ("all_clear",),
        "bootstrap": 50,
        "provenance": {
            "split": "test",
            "profile": {"name": "height", "units": "m", "values": heights.tolist()},
            "window": {"rows": shape[0], "columns": shape[1], "seconds": 30.0 * (shape[1] - 1)},
        },
    }
    return Scores(statistics=share_truth(statistics, metrics), **{**defaults, **options})
