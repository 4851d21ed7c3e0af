"""Scores. What follows a training is a Keras metric; what judges a method is a sum of counts and a formula.

An object of `metrics_for(task)` has `statistics(truth, prediction, fields)`, which gives one row of counts a sample,
and `compute(sums)`, which turns sums of rows into named scores. Sums may have leading axes (bootstrap replicates).
The score of a data set does not depend on how it was cut into shards.

Optional: `truth_only`, names of the statistics that no prediction changes, which are then kept once for all methods;
`unit(name)`, the unit of a score; `profile_dim`, the dimension of the shards along which `profile` is listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import InputError, check_choice
from ..tasks import BlindZone, Meltwater, Task
from ..tasks.blind_zone import ECHO_THRESHOLD, RANGES
from .classification import ClassificationMetrics, confusion_matrix
from .melt import MeltMetrics
from .probabilistic import ProbabilisticMetrics
from .radar import RadarMetrics
from .training import DecodedMAE, MacroF1

__all__ = [
    "ClassificationMetrics",
    "DecodedMAE",
    "MacroF1",
    "MeltMetrics",
    "Metrics",
    "ProbabilisticMetrics",
    "RadarMetrics",
    "confusion_matrix",
    "metrics_for",
    "training_metrics",
]


class Metrics(Protocol):
    """What `metrics_for` returns."""

    @property
    def primary(self) -> str:
        """The score by which methods are ranked."""

    @property
    def count(self) -> str:
        """The score that tells how many voxels were judged."""

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Titles and scores of the printed tables."""

    @property
    def profile(self) -> tuple[str, ...]:
        """The scores that are listed by level or height."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The scores of a figure, unless others are asked for."""

    def higher_is_better(self, name: str) -> bool:
        """Whether a larger value of that score is better."""

    def statistics(self, truth: np.ndarray, prediction: np.ndarray, fields: Any = None) -> dict[str, np.ndarray]:
        """Counts of each sample, arrays (sample, ...), from `task.truth` and `task.decode`."""

    def compute(self, sums: Any) -> dict[str, np.ndarray]:
        """Named scores, arrays (...), from summed counts (..., and the axes of the statistic)."""

    def compute_profile(self, sums: Any) -> dict[str, np.ndarray]:
        """Scores by level or height, arrays (..., level)."""


def metrics_for(task: Task, kind: str = "point") -> Metrics:
    """The scores of a task.

    Args:
        task: The task.
        kind: "point" for what `decode` gives, or "members" for a regression given as (members, sample, ...).

    Raises:
        InputError: If the task has none.
    """
    if check_choice(kind, ("point", "members"), "kind") == "members":
        if task.kind != "regression":
            raise InputError(f"Scores of members are for regressions; the task '{task.name}' is a {task.kind}.")
        rows = task.blind_rows if isinstance(task, BlindZone) else 0
        return ProbabilisticMetrics(task.output_range(), rows, task.row_dim)
    if isinstance(task, BlindZone):
        return RadarMetrics(task.blind_rows)
    if isinstance(task, Meltwater):
        return MeltMetrics()
    if task.kind == "classification":
        return ClassificationMetrics(task.classes)
    raise InputError(f"No scores are defined for the task '{task.name}'.")


def training_metrics(task: Task) -> list[Any]:
    """Keras metrics for `compile`: "macro_f1" for classes; "mae" in physical units for values."""
    if task.kind == "classification":
        return [MacroF1(len(task.classes))]
    if isinstance(task, BlindZone):
        low, high = RANGES["reflectivity"]
        return [DecodedMAE(scale=(high - low) / 1.5, minimum=ECHO_THRESHOLD, maximum=1.0)]
    return [DecodedMAE(from_logits=bool(task.loss_options().get("from_logits")))]
