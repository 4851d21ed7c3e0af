"""Several trainings as one ensemble (Lakshminarayanan et al. 2017, arXiv 1612.01474)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, check
from ..tasks import Task


class DeepEnsemble:
    """Runs of one task, each a member; has the same `sample` as a run.

    Args:
        runs: Two runs or more, of the same task with the same options, trained on the same data (their inputs are
            normalized alike). They differ in seed, or in architecture too.
        name: Name in tables.

    Attributes:
        runs: The runs.
        name: The name.
        task: Their task.
        statistics: What their inputs are normalized by.
        config: What the runs were configured with, by name.
        most_members: The most members that it has: None for any number, if all runs have Monte Carlo dropout.

    Raises:
        InputError: If runs do not go together.
    """

    def __init__(self, runs: Sequence[Any], name: str = "deep_ensemble"):
        runs = list(runs)
        check(len(runs) >= 2, "A deep ensemble has 2 runs or more.", runs=[run.name for run in runs])
        first = runs[0]
        for run in runs[1:]:
            if (run.task.name, run.task.options()) != (first.task.name, first.task.options()):
                raise InputError(
                    f"The runs of a deep ensemble have the same task and options. '{first.name}' has "
                    f"'{first.task.name}' {first.task.options()}, '{run.name}' '{run.task.name}' {run.task.options()}."
                )
            check(
                _normalization(run) == _normalization(first),
                "The runs of a deep ensemble were trained on the same shards, so that their inputs are normalized "
                f"alike; those of '{first.name}' and '{run.name}' are not.",
            )
        self.runs, self.name = tuple(runs), name
        self.task: Task = first.task
        self.statistics: Mapping[str, Any] = first.statistics
        self.config = {run.name: getattr(run, "config", None) for run in runs}
        stochastic = all(hasattr(run, "sample") and getattr(run, "stochastic", True) for run in runs)
        self.most_members = None if stochastic else len(runs)
        self.path = ", ".join(str(getattr(run, "path", run.name)) for run in runs)

    def __call__(self, inputs: Any) -> np.ndarray:
        """The mean of all runs in network space."""
        return np.stack([np.asarray(run(inputs), np.float32) for run in self.runs]).mean(axis=0)

    def sample(self, inputs: Any, members: int | None = None, *, seed: int = 0) -> np.ndarray:
        """Members in network space.

        Up to as many members as runs, each is one run. Beyond that the runs need Monte Carlo dropout, and their passes
        are spread over the runs as evenly as can be. A run with Monte Carlo dropout always drops.

        Args:
            inputs: Network input, (batch, rows, columns, channels).
            members: How many; None for one of each run.
            seed: Of the passes.

        Returns:
            (members, batch, rows, columns, ...), float32.

        Raises:
            InputError: If more members are asked than there are runs, and one of them always says the same.
        """
        members = len(self.runs) if members is None else members
        check(members >= 1, "`members` is at least 1.", members=members)
        check(seed >= 0, "`seed` is at least 0.", seed=seed)
        each, rest = divmod(members, len(self.runs))
        parts = []
        for i, run in enumerate(self.runs):
            count = each + (i < rest)
            if count == 0:
                continue
            own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
            try:
                parts.append(_passes(run, inputs, count, own))
            except InputError as error:
                raise InputError(
                    f"The deep ensemble '{self.name}' has {len(self.runs)} runs and run '{run.name}' always says "
                    f"the same: ask for {len(self.runs)} members or fewer. Received members={members}."
                ) from error
        return np.concatenate(parts)


def _passes(run: Any, inputs: Any, count: int, seed: int) -> np.ndarray:
    """Members of a run; a run that always says the same is one member."""
    sample = getattr(run, "sample", None)
    if sample is not None:
        try:
            return np.asarray(sample(inputs, count, seed=seed), np.float32)
        except InputError:
            if count > 1:
                raise
    check(count == 1, "One member alone.", members=count)
    return np.asarray(run(inputs), np.float32)[None]


def _normalization(run: Any) -> dict[str, Any]:
    """Means and standard deviations of the inputs of a run."""
    names = set(run.task.read_names())
    return {k: (v.get("mean"), v.get("std")) for k, v in run.statistics.items() if k in names}
