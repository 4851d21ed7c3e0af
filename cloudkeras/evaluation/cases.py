"""Single curtains with every method's result, chosen by how hard they were and not by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import ShardDataset
from ..datasets.pipeline import Batches
from ..errors import InputError, check
from ..tasks import Task
from .arrays import load_arrays, save_arrays
from .scores import Scores
from .scoring import MethodInputs, coordinate

DIFFICULTIES = (0.5, 0.75, 0.95)
FORMAT = 1


@dataclass(frozen=True)
class Cases:
    """Windows of a radar, what was hidden in them and what each method put there.

    Attributes:
        titles: What each case is.
        samples: Its number in the split.
        time_start: Time of the first profile, s since 1970, (case,).
        time_end: Time of the last profile.
        height_m: Height of each row, (row,); NaN where the shards have none.
        observed: (case, row, profile), dBZ, -60 without echo, NaN for missing; the hidden rows included.
        hidden: Same shape, bool: what no method saw and where all are judged.
        predictions: By method, same shape; as observed where not hidden.
        spread: By method, standard deviation of its members in dB, NaN where not hidden; methods without members lack.
        simulated: Whether the data are simulated.
    """

    titles: tuple[str, ...]
    samples: np.ndarray
    time_start: np.ndarray
    time_end: np.ndarray
    height_m: np.ndarray
    observed: np.ndarray
    hidden: np.ndarray
    predictions: dict[str, np.ndarray]
    spread: dict[str, np.ndarray] = field(default_factory=dict)
    simulated: bool = False

    def save(self, path: str | Path) -> Path:
        """Writes an `.npz` file, under its name when it is complete."""
        header = {"format": FORMAT, "titles": self.titles, "simulated": self.simulated}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_arrays(path, header, arrays, {kind: getattr(self, kind) for kind in _BY_METHOD})

    @classmethod
    def load(cls, path: str | Path) -> Cases:
        """Reads what `save` wrote, from the file or its folder.

        Raises:
            DataError: If the file is missing or is not one.
        """
        header, arrays = load_arrays(path, "cases", FORMAT, _ARRAYS, _BY_METHOD)
        return cls(titles=tuple(header["titles"]), simulated=header["simulated"], **arrays)


_ARRAYS = ("samples", "time_start", "time_end", "height_m", "observed", "hidden")
_BY_METHOD = ("predictions", "spread")


def typical_samples(scores: Scores, shares: Sequence[float] = DIFFICULTIES) -> dict[str, int]:
    """Samples at quantiles of the primary score of the best method, from easy to hard.

    Args:
        scores: The scores. Samples in which the score is not defined are left out.
        shares: Quantiles: 0.5 is the median, 0.95 is a hard case.

    Returns:
        By title, the number of the sample among those that were scored. Samples that would be named twice are named
        once.

    Raises:
        InputError: If the score is defined in no sample.
    """
    check(all(0 <= share <= 1 for share in shares), "`shares` lie between 0 and 1.", shares=shares)
    metrics, best = scores.metrics, scores.methods[0]
    values = np.asarray(metrics.compute(scores.statistics[best])[metrics.primary])
    known = np.flatnonzero(np.isfinite(values))
    check(known.size > 0, f"No sample has a score '{metrics.primary}' of '{best}'.")
    order = known[
        np.argsort(-values[known] if metrics.higher_is_better(metrics.primary) else values[known], kind="stable")
    ]
    found: dict[int, str] = {}
    for share in shares:
        rank = round(share * (len(order) - 1))
        sample = int(order[rank])
        unit = getattr(metrics, "unit", lambda _: "")(metrics.primary)
        score = f"{metrics.primary.upper().replace('_', ' ')} of {best}: {values[sample]:.3g} {unit}".rstrip()
        what = getattr(metrics, "samples", "windows")
        found.setdefault(sample, f"harder than {rank} of the {len(order) - 1} other {what}\n{score}")
    return {title: sample for sample, title in found.items()}


def predict_cases(
    scores: Scores,
    task: Task,
    dataset: ShardDataset,
    methods: Sequence[Any],
    *,
    shares: Sequence[float] = DIFFICULTIES,
    members: int = 0,
    seed: int = 0,
) -> Cases:
    """Curtains at quantiles of difficulty, with the result of every method.

    Args:
        scores: What `evaluate` gave for the same task, data and methods.
        task: The task by which was judged: `blind_zone`.
        dataset: The shards.
        methods: The methods.
        shares: Quantiles of the primary score of the best method.
        members: Members by which the spread of methods that can be sampled is found; 0 for none.
        seed: Of the members.

    Raises:
        InputError: If the task has no blind zone.
    """
    check(hasattr(task, "blind_rows"), "Cases are drawn for the task 'blind_zone'.", task=task.name)
    options = scores.provenance["options"]
    split = options["split"]
    batches = Batches(dataset, task, split, options["batch_size"], limit=options["limit"])
    indices = np.concatenate([batches.indices(i) for i in range(len(batches))])
    chosen = typical_samples(scores, shares)
    wanted = indices[list(chosen.values())]
    inputs = MethodInputs(task, dataset, split, methods)
    fields = task.prepare(dataset.read(split, wanted, [*task.read_names(), *inputs.extra]))
    hidden = np.asarray(fields["blind_zone_mask"] >= 1)
    observed = np.asarray(fields["reflectivity"], np.float32)
    predictions, spread = {}, {}
    made: dict[Any, np.ndarray] = {}
    for method in methods:
        x = inputs.make(method, fields, made)
        outputs = method(x)
        outputs = outputs["final"] if isinstance(outputs, Mapping) else outputs
        decode = inputs.task_of(method).decode
        predictions[method.name] = np.where(hidden, decode(np.asarray(outputs), x), observed).astype(np.float32)
        if members and (samples := _members(method, x, members, seed)) is not None:
            physical = samples if hasattr(method, "members") else np.stack([decode(one, x) for one in samples])
            spread[method.name] = np.where(hidden, physical.std(axis=0), np.nan).astype(np.float32)
    table, height = dataset.samples(split).take(wanted), coordinate(dataset, split, "height")
    return Cases(
        titles=tuple(chosen),
        samples=wanted,
        time_start=table.time_start,
        time_end=table.time_end,
        height_m=_metres(height, observed.shape[1]),
        observed=observed,
        hidden=hidden,
        predictions=predictions,
        spread=spread,
        simulated=scores.simulated,
    )


def _members(method: Any, x: np.ndarray, members: int, seed: int) -> np.ndarray | None:
    """Members in physical units (`method.members`) or in network space (`method.sample`), None where there are none."""
    if hasattr(method, "members"):
        return np.asarray(method.members(x))
    if not hasattr(method, "sample"):
        return None
    try:
        return np.asarray(method.sample(x, members, seed=seed))
    except InputError:  # no dropout that stays on
        return None


def _metres(height: Mapping[str, Any] | None, rows: int) -> np.ndarray:
    if height is None:
        return np.full(rows, np.nan)
    return np.asarray(height["values"], np.float64) * (1000.0 if height["units"] == "km" else 1.0)
