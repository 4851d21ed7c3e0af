"""Members as a method: point values for the common tables, and members for the scores of distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, check, check_choice
from ..tasks import Task
from .calibration import FILE_NAME, Calibration

STATISTICS = ("mean", "median")


class EnsembleMethod:
    """A run or an ensemble with its members, called like a model.

    Args:
        source: A run with Monte Carlo dropout, a deep ensemble, or something else with `sample`. Any other method is
            one member: a calibration makes a distribution of that too.
        members: How many; a source that has fewer gives those, and a calibration makes as many as asked of them.
        seed: Of the members.
        statistic: What a call returns: "mean" or "median" of the members, in physical units. With a calibration
            "median" is its point value: the atom ("no echo") where its probability of the event is below the fitted
            threshold, else the median given the event.
        calibration: Recalibrates the members.
        name: Name in tables; by default that of the source.
        task: The task, for a source without one.

    Attributes:
        name: The name.
        task: The task.
        sampled: Whether the source gives several members.
        num_members: How many members the source gives.

    Raises:
        InputError: If an option is wrong.
    """

    def __init__(
        self,
        source: Any,
        members: int = 50,
        seed: int = 0,
        statistic: str = "mean",
        calibration: Calibration | None = None,
        name: str | None = None,
        task: Task | None = None,
    ):
        check(members >= 1, "`members` is at least 1.", members=members)
        check_choice(statistic, STATISTICS, "statistic")
        task = getattr(source, "task", None) or task
        if task is None:
            raise InputError(f"The method '{source.name}' has no task; name it by `task`.")
        check(task.kind == "regression" or calibration is None, "Calibration is for regressions.", task=task.name)
        self.source, self.seed, self.statistic, self.calibration = source, seed, statistic, calibration
        self.name, self.task, self.asked = name or source.name, task, int(members)
        self.sampled = hasattr(source, "sample") and getattr(source, "stochastic", True)
        most = getattr(source, "most_members", None) or self.asked
        self.num_members = min(self.asked, most) if self.sampled else 1
        for attribute in ("statistics", "config", "path"):
            if hasattr(source, attribute):
                setattr(self, attribute, getattr(source, attribute))

    def raw_members(self, x: np.ndarray) -> np.ndarray:
        """Members as the source gives them, in physical units, (members, batch, ...)."""
        x = np.asarray(x, np.float32)
        if self.sampled:
            outputs = self.source.sample(x, self.num_members, seed=self.seed)
        else:
            output = self.source(x)
            outputs = np.asarray(output["final"] if isinstance(output, dict) else output)[None]
        return np.stack([np.asarray(self.task.decode(output, x), np.float32) for output in outputs])

    def members(self, x: np.ndarray) -> np.ndarray:
        """Members in physical units, (members, batch, ...), recalibrated if there is a calibration."""
        raw = self.raw_members(x)
        return raw if self.calibration is None else self.calibration.apply(raw, x, self.task, self.asked)

    def physical(self, x: np.ndarray) -> np.ndarray:
        """The point value, in physical units (batch, ...), or class probabilities."""
        if self.calibration is None:
            raw = self.raw_members(x)
            return np.asarray(raw.mean(axis=0) if self.statistic == "mean" else np.median(raw, axis=0))
        if self.statistic == "mean":
            return self.members(x).mean(axis=0)
        return self.calibration.point(self.raw_members(x), x, self.task)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The network output that decodes to the point value."""
        x = np.asarray(x, np.float32)
        return self.task.encode(self.physical(x), x)


def calibration_of(run: Any) -> Calibration | None:
    """The calibration in a run's folder, None if there is none.

    Raises:
        DataError: If the file is not one.
    """
    path = getattr(run, "path", None)
    if path is None or not (Path(path) / FILE_NAME).is_file():
        return None
    return Calibration.load(Path(path) / FILE_NAME)
