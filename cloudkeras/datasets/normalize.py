"""Statistics of the training split, streamed over shards; the tasks do the normalising itself with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .schema import Variable

__all__ = ["StreamingStatistics", "labelled_counts"]


class StreamingStatistics:
    """Mean, standard deviation and range of physical variables, and class counts by level, from any number of updates.

    Sums are float64 and merged by the formula for two groups (Chan et al. 1983), so that the result does not depend on
    how the samples are cut into shards beyond rounding. Missing values (NaN, class -1) do not count. A quantity that
    was never observed gets mean 0 and standard deviation 1.

    Args:
        variables: Of the shards. Those with `flag_meanings` are counted; of the others, those with a scale factor or
            stored as floats get moments, per entry of the last dimension if its name ends in "band", else one number
            for all.
    """

    def __init__(self, variables: Iterable[Variable]):
        self._variables = {variable.name: variable for variable in variables}
        self._moments: dict[str, _Moments] = {}
        self._counts: dict[str, np.ndarray] = {}

    def update(self, fields: Mapping[str, np.ndarray]) -> None:
        """Adds decoded samples, sample first; variables that `fields` lacks are left as they are."""
        for name, variable in self._variables.items():
            if name not in fields:
                continue
            if variable.flag_meanings:
                counts = class_counts(variable, fields[name])
                self._counts[name] = self._counts[name] + counts if name in self._counts else counts
            elif is_physical(variable):
                values = np.asarray(fields[name])
                values = values.reshape(-1, values.shape[-1] if variable.dims[-1].endswith("band") else 1)
                self._moments.setdefault(name, _Moments(values.shape[1])).update(values)

    def result(self) -> dict[str, dict[str, Any]]:
        """By variable: "mean", "std", "minimum", "maximum", "count" as lists, or "class_counts" [level][class].

        Minimum and maximum are None where nothing was observed.
        """
        found: dict[str, dict[str, Any]] = {name: moments.result() for name, moments in self._moments.items()}
        found.update({name: {"class_counts": counts.tolist()} for name, counts in self._counts.items()})
        return {name: found[name] for name in self._variables if name in found}


class _Moments:
    def __init__(self, columns: int):
        self.count = np.zeros(columns, np.int64)
        self.mean = np.zeros(columns)
        self.squares = np.zeros(columns)  # sum of squared deviations from the mean
        self.minimum = np.full(columns, np.inf)
        self.maximum = np.full(columns, -np.inf)

    def update(self, values: np.ndarray) -> None:
        observed = np.isfinite(values)
        count = observed.sum(axis=0)
        filled = np.where(observed, values, 0).astype(np.float64)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(observed, filled - mean, 0) ** 2).sum(axis=0)
        total = self.count + count
        difference = mean - self.mean
        self.squares += squares + difference**2 * self.count * count / np.maximum(total, 1)
        self.mean += difference * count / np.maximum(total, 1)
        self.count = total
        self.minimum = np.minimum(self.minimum, np.where(observed, values, np.inf).min(axis=0))
        self.maximum = np.maximum(self.maximum, np.where(observed, values, -np.inf).max(axis=0))

    def result(self) -> dict[str, Any]:
        seen = self.count > 0
        return {
            "mean": self.mean.tolist(),
            "std": np.where(seen, np.sqrt(self.squares / np.maximum(self.count, 1)), 1.0).tolist(),
            "minimum": [float(v) if ok else None for v, ok in zip(self.minimum, seen, strict=True)],
            "maximum": [float(v) if ok else None for v, ok in zip(self.maximum, seen, strict=True)],
            "count": self.count.tolist(),
        }


def is_physical(variable: Variable) -> bool:
    """Whether a variable is a quantity with a mean, not a class or an index."""
    return not variable.flag_meanings and (
        variable.packing.scale_factor is not None or variable.packing.dtype.startswith("f")
    )


def class_counts(variable: Variable, values: np.ndarray) -> np.ndarray:
    """Labelled voxels by level and class, (level, class) int64; one row if there is no dimension "level"."""
    classes = len(variable.flag_meanings)
    axis = variable.dims.index("level") if "level" in variable.dims else None
    rows = (
        np.asarray(values).reshape(1, -1)
        if axis is None
        else np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    )
    return np.stack([np.bincount(row[row >= 0], minlength=classes)[:classes] for row in rows]).astype(np.int64)


def labelled_counts(task: Any, fields: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many labels decoded samples hold: by class variable, or as "target" for a regression.

    A target that the present options cannot make, because a variable is absent, is left out.
    """
    counts = {
        variable.name: int((np.asarray(fields[variable.name]) >= 0).sum())
        for variable in task.variables()
        if variable.flag_meanings and not variable.static and variable.name in fields
    }
    if task.kind == "regression" and all(name in fields for name in task.read_names()):
        prepared = task.prepare({name: fields[name] for name in task.read_names()})
        counts["target"] = int(np.isfinite(task.target(prepared)).sum())
    return counts
