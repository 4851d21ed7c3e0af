"""Pixels with what their members say: what a calibration is fitted to, and applied by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..datasets import Batches, ShardDataset
from ..errors import InputError, check
from ..evaluation.scoring import MethodInputs
from ..metrics.probabilistic import crps
from ..tasks import Task

_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class Features:
    """What a predictive distribution depends on, one entry a pixel.

    Attributes:
        probability: Share of members above the atom; 1 where the task has none.
        center: Median of the members above the atom, the atom if there are none; of all members without an atom.
        spread: Standard deviation of the members, 0 for one.
        factors: Of `Task.calibration_factors`, (factor, pixel).
    """

    probability: np.ndarray
    center: np.ndarray
    spread: np.ndarray
    factors: np.ndarray

    def __len__(self) -> int:
        return len(self.center)

    def take(self, index: Any) -> Features:
        """Those of some pixels."""
        return Features(self.probability[index], self.center[index], self.spread[index], self.factors[:, index])


@dataclass(frozen=True)
class Pixels:
    """Judged pixels of a split.

    Attributes:
        truth: Physical value of each pixel.
        features: What its members say.
        place: Number of the stretch of the record that it is from; stretches are in order of time.
        crps: Score of the members as they are.
    """

    truth: np.ndarray
    features: Features
    place: np.ndarray
    crps: np.ndarray

    def __len__(self) -> int:
        return len(self.truth)


def features_of(members: np.ndarray, factors: np.ndarray, atom: float | None) -> Features:
    """Features of pixels from their members.

    Args:
        members: (member, pixel), physical.
        factors: (factor, pixel).
        atom: The value at the lower end that has a probability of its own, or None.
    """
    count, pixels = members.shape
    found = [np.empty(pixels) for _ in range(3)]
    step = max(1, _BLOCK_VALUES // count)
    for start in range(0, pixels, step):
        block = slice(start, start + step)
        values = np.sort(np.asarray(members[:, block], np.float64), axis=0)
        above = np.full(values.shape[1], count) if atom is None else (values > atom).sum(axis=0)
        first = count - above + (above - 1) / 2  # the middle of those above, sorted last
        lower, upper = (np.clip(f(first), 0, count - 1).astype(int)[None] for f in (np.floor, np.ceil))
        middle = (np.take_along_axis(values, lower, axis=0)[0] + np.take_along_axis(values, upper, axis=0)[0]) / 2
        found[0][block] = above / count
        found[1][block] = middle if atom is None else np.where(above > 0, middle, atom)
        found[2][block] = values.std(axis=0, ddof=1) if count > 1 else 0.0
    return Features(found[0], found[1], found[2], np.asarray(factors))


def factor_values(task: Task, inputs: np.ndarray, names: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names of the task's factors and their values (factor, *pixels), in the order of `names` if given.

    Raises:
        InputError: If the task does not know one of the names.
    """
    known = task.calibration_factors(inputs)
    names = list(known) if names is None else list(names)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"The task '{task.name}' has no factor {unknown[0]!r}; it has {', '.join(known) or 'none'}.")
    if not names:
        return [], np.zeros((0, *np.shape(inputs)[:3]), np.int8)
    return names, np.stack([np.asarray(known[name]) for name in names])


def collect_pixels(
    method: Any,
    task: Task,
    dataset: ShardDataset,
    split: str,
    *,
    batch_size: int = 4,
    limit: int = 60_000,
    seed: int = 0,
) -> Pixels:
    """Members of a method at judged pixels of a split, drawn at random and evenly from its samples.

    Args:
        method: Has `raw_members(x)`.
        task: The method's task.
        dataset: The shards.
        split: The split.
        batch_size: Samples at once.
        limit: About how many pixels to use.
        seed: Of the draw.

    Raises:
        InputError: If no pixel is judged.
    """
    check(limit >= 1, "`limit` is at least 1.", limit=limit)
    batches = Batches(dataset, task, split, batch_size)
    inputs = MethodInputs(task, dataset, split, [method])
    atom, rng = task.output_range().atom, np.random.default_rng(seed)
    each = max(20, limit // max(1, batches.num_samples))
    stretches = _Stretches(dataset, split, batches)
    parts = []
    for i in range(len(batches)):
        fields = inputs.fields(batches, i)
        x = inputs.make(method, fields, {})
        truth = np.asarray(task.truth(fields))
        where = _some(np.isfinite(truth) & task.filled(x), each, rng)
        if len(where[0]) == 0:
            continue
        true = truth[where].astype(np.float64)
        members = np.stack([member[where] for member in method.raw_members(x)])
        picked = [factor[where] for factor in factor_values(task, x)[1]]
        factors = np.stack(picked) if picked else np.zeros((0, len(true)), np.int8)
        score = crps(true, np.sort(members.astype(np.float64), axis=0))[0]
        parts.append(Pixels(true, features_of(members, factors, atom), stretches(i, where), score))
    if not parts:
        raise InputError(f"Split '{split}' of {dataset.path} has no pixel to calibrate with.")
    return _joined(parts)


def _some(judged: np.ndarray, each: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Indices of up to `each` judged pixels of every sample."""
    chosen = []
    for sample in judged:
        flat = np.flatnonzero(sample)
        chosen.append(np.sort(rng.choice(flat, min(each, len(flat)), replace=False)))
    sample = np.repeat(np.arange(len(judged)), [len(flat) for flat in chosen])
    inner = np.unravel_index(np.concatenate(chosen), judged.shape[1:])
    return (sample, *inner)


class _Stretches:
    """Numbers of stretches of the record, half a window long, in order; pixels that windows share are in one."""

    def __init__(self, dataset: ShardDataset, split: str, batches: Batches):
        self.table, self.batches = dataset.samples(split), batches
        order = np.lexsort((self.table.x_start, self.table.time_start))
        names = list(dict.fromkeys(np.asarray(self.table.granule)[order].tolist()))
        self.granule = np.array([names.index(name) for name in self.table.granule.tolist()])
        self.length = max(1, batches.input_shape[1] // 2)

    def __call__(self, batch: int, where: tuple[np.ndarray, ...]) -> np.ndarray:
        numbers = self.batches.indices(batch)
        start = self.table.x_start[numbers].astype(np.int64) + self.batches.starts(batch)[:, 1]
        column = start[where[0]] + where[2]
        return self.granule[numbers][where[0]] * 10**9 + column // self.length


def _joined(parts: list[Pixels]) -> Pixels:
    features = Features(
        *(np.concatenate([getattr(part.features, f.name) for part in parts], axis=-1) for f in fields(Features))
    )
    _, place = np.unique(np.concatenate([part.place for part in parts]), return_inverse=True)
    return Pixels(
        np.concatenate([part.truth for part in parts]), features, place, np.concatenate([part.crps for part in parts])
    )


def folds(place: np.ndarray, number: int = 5) -> np.ndarray:
    """The fold of each pixel: contiguous stretches of the record, about equally many pixels in each; 1 fold for one."""
    places, counts = np.unique(place, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    fold = np.minimum((middle * min(number, len(places))).astype(int), number - 1)
    _, fold = np.unique(fold, return_inverse=True)
    return fold[np.searchsorted(places, place)]
