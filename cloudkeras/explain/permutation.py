"""Channel importance by permutation: how much worse a trained model gets when a channel comes from another sample."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..datasets.dataset import ShardDataset
from ..datasets.pipeline import Batches
from ..errors import check
from ..evaluation.bootstrap import Interval, draws, interval, replicate
from ..evaluation.groups import default_grouping, sample_groups
from ..metrics import metrics_for
from ..tasks import Task
from .importance import Importance
from .models import DeterministicMethod
from .samples import SampleReader

logger = logging.getLogger("cloudkeras")

NOTHING = "nothing"
_REPORT_SECONDS = 5.0


def permutation_importance(
    method: Any,
    dataset: ShardDataset,
    *,
    task: Task | None = None,
    split: str = "test",
    groups: Mapping[str, Sequence[str]] | None = None,
    repeats: int = 5,
    seed: int = 0,
    batch_size: int = 8,
    limit: int | None = None,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    group_by: str | float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Importance:
    """Shuffles one channel at a time between the samples of a split and scores what the model then says.

    In each repeat every sample gets the channel of another one; all channels use the same exchange, and all are judged
    on the same pixels by the task's primary score. The image of the channel stays whole: what is lost is that it
    belongs to this scene. `decode` sees the true input, so that only the network is fooled. Monte Carlo dropout is off.

    It tells what this model relies on. Channels that say the same share their importance, or hide each other's;
    neighbouring windows of one record are alike, which makes it smaller. `retrain_subsets` asks the other question:
    what could be learned without.

    The interval is a bootstrap over groups of samples and over the repeats.

    Args:
        method: A run, or any method with `name`, `task` and `statistics`.
        dataset: The shards.
        task: By whose labels is judged; None takes the method's task.
        split: The split.
        groups: Channels that are exchanged together, by name of the group; None takes each by itself.
        repeats: Exchanges.
        seed: Of the exchanges and of the bootstrap.
        batch_size: Samples at once.
        limit: Use this many samples, spread evenly over the split; None for all.
        bootstrap: Replicates, 0 for no intervals.
        confidence: Of the intervals.
        group_by: What the bootstrap draws; see `evaluation.sample_groups`.
        progress: Called with predictions done and in all, after each batch.

    Raises:
        InputError: If there is no such channel, or fewer than two samples.

    Reference: Breiman 2001, Random Forests, section 10; Fisher et al. 2019, arXiv 1801.01489, section 3.
    """
    own = getattr(method, "task", None) or task
    check(own is not None, "A method without a task needs `task`.")
    task, own = task or own, own or task
    assert task is not None and own is not None
    channels = _channels(own, groups)
    check(repeats >= 1, "`repeats` counts at least 1.", repeats=repeats)
    statistics = getattr(method, "statistics", None) or dataset.statistics
    batches = Batches(dataset, task, split, batch_size, limit=limit)
    reader = SampleReader(own, statistics, dataset, split, limit=limit)
    check(len(reader) >= 2, "Permutation needs at least two samples.", samples=len(reader))
    exchanges = [_exchange(len(reader), np.random.default_rng([seed, r])) for r in range(repeats)]
    counts = _Counts(task, dataset, split, batches, group_by)
    work = _Work(len(batches) * (1 + repeats * len(channels)), progress)
    predictor = DeterministicMethod(method, batch_size)
    for i in range(len(batches)):
        _judge(batches, i, reader, predictor, exchanges, channels, counts, work)
    values, by_seed, scores = counts.importance(list(channels), repeats, bootstrap, seed, confidence)
    metrics = counts.metrics
    return Importance(
        method="permutation",
        score=metrics.primary,
        units=score_unit(metrics),
        higher_is_better=metrics.higher_is_better(metrics.primary),
        values=values,
        by_seed=by_seed,
        scores=scores,
        confidence=confidence,
        simulated=dataset.simulated,
        provenance={
            "run": str(getattr(method, "path", method.name)),
            "data": str(dataset.path),
            "split": split,
            "samples": len(reader),
            "groups": counts.num_groups,
            "repeats": repeats,
            "seed": seed,
            "channels": {name: [own.channel_names()[n] for n in numbers] for name, numbers in channels.items()},
        },
    )


def _judge(
    batches: Batches,
    i: int,
    reader: SampleReader,
    predictor: DeterministicMethod,
    exchanges: Sequence[np.ndarray],
    channels: Mapping[str, list[int]],
    counts: _Counts,
    work: _Work,
) -> None:
    """Counts what is said of a batch as it is, and with each group of channels exchanged in each repeat."""
    task, own, fields = batches.task, reader.task, batches.fields(i)
    truth = task.truth(fields)
    place = slice(i * batches.batch_size, i * batches.batch_size + len(truth))
    x = np.concatenate([reader.inputs(n) for n in range(place.start, place.stop)])
    for name, repeat, seen in _exchanged(x, reader, [e[place] for e in exchanges], channels):
        outputs = predictor(seen)
        prediction = outputs if task.kind == "classification" else np.asarray(own.decode(outputs, x))
        counts.add((name, repeat), place, truth, prediction, fields)
        work.done()


def score_unit(metrics: Any) -> str:
    """Unit of a task's primary score, "" where it is not known."""
    unit = getattr(metrics, "unit", None)
    return str(unit(metrics.primary)) if callable(unit) else ""


def _channels(task: Task, groups: Mapping[str, Sequence[str]] | None) -> dict[str, list[int]]:
    """Channel numbers by name of the group."""
    names = list(task.channel_names())
    groups = {name: (name,) for name in names} if groups is None else groups
    check(len(groups) > 0 and NOTHING not in groups, "`groups` names at least one group of channels.")
    for group, members in groups.items():
        unknown = [name for name in members if name not in names]
        check(
            len(members) > 0 and not unknown,
            f"The group '{group}' has channels out of {', '.join(names)}.",
            channels=list(members),
        )
    return {group: [names.index(name) for name in members] for group, members in groups.items()}


def _exchange(count: int, rng: np.random.Generator) -> np.ndarray:
    """Whose channel each sample gets: a random ring, so that none gets its own."""
    order = rng.permutation(count)
    exchange = np.empty(count, np.int64)
    exchange[order] = np.roll(order, -1)
    return exchange


def _exchanged(
    x: np.ndarray, reader: SampleReader, partners: Sequence[np.ndarray], channels: Mapping[str, list[int]]
) -> Iterator[tuple[str, int, np.ndarray]]:
    """The input as it is, then with each group of channels from the partners of each repeat."""
    yield NOTHING, 0, x
    for repeat, numbers in enumerate(partners):
        other = np.concatenate([reader.inputs(int(n)) for n in numbers])
        for name, members in channels.items():
            mixed = x.copy()
            mixed[..., members] = other[..., members]
            yield name, repeat, mixed


class _Work:
    """Counts predictions and reports the time left."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None):
        self.total, self.progress, self.count = total, progress, 0
        self.began = self.reported = time.monotonic()

    def done(self) -> None:
        self.count += 1
        if self.progress is not None:
            self.progress(self.count, self.total)
        if (now := time.monotonic()) - self.reported >= _REPORT_SECONDS:
            self.reported = now
            left = (now - self.began) / self.count * (self.total - self.count)
            logger.info("permutation: %d of %d batches predicted, %.0f s left", self.count, self.total, left)


class _Counts:
    """Statistics of each permuted channel and repeat, summed by group of samples."""

    def __init__(self, task: Task, dataset: ShardDataset, split: str, batches: Batches, group_by: Any):
        indices = np.concatenate([batches.indices(i) for i in range(len(batches))])
        samples = dataset.samples(split).take(indices)
        group_by = default_grouping(task, samples) if group_by is None else group_by
        names, self.index = np.unique(sample_groups(samples, group_by), return_inverse=True)
        self.num_groups, self.metrics = len(names), metrics_for(task)
        self.sums: dict[tuple[str, int], dict[str, np.ndarray]] = {}

    def add(self, key: tuple[str, int], place: slice, truth: Any, prediction: Any, fields: Any) -> None:
        counted = self.metrics.statistics(truth, prediction, fields)
        sums = self.sums.setdefault(key, {})
        for name, values in counted.items():
            total = sums.setdefault(name, np.zeros((self.num_groups, *values.shape[1:])))
            np.add.at(total, self.index[place], values)

    def importance(
        self, names: list[str], repeats: int, bootstrap: int, seed: int, confidence: float
    ) -> tuple[dict[str, Interval], dict[str, list[float]], dict[str, Interval]]:
        """Importance, importance by repeat, and scores, by channel."""
        primary = self.metrics.primary
        sign = 1 if self.metrics.higher_is_better(primary) else -1
        counts = draws(self.num_groups, bootstrap, seed)
        chosen = np.random.default_rng([seed, 1]).integers(0, repeats, (len(counts), repeats))

        def score(name: str, repeat: int) -> tuple[float, np.ndarray | None]:
            sums = self.sums[name, repeat]
            value = self.metrics.compute({k: v.sum(axis=0) for k, v in sums.items()})[primary]
            return float(value), replicate(self.metrics, sums, counts).get(primary)

        base, base_replicates = score(NOTHING, 0)
        scores, values, by_seed = {NOTHING: interval(base, base_replicates, confidence)}, {}, {}
        for name in names:
            found = [score(name, r) for r in range(repeats)]
            by_seed[name] = [sign * (base - value) for value, _ in found]
            mean, replicates = float(np.mean([value for value, _ in found])), None
            if base_replicates is not None:
                table = np.stack([r for _, r in found if r is not None], axis=1)
                replicates = np.take_along_axis(table, chosen, axis=1).mean(axis=1)
            scores[name] = interval(mean, replicates, confidence)
            gain = None if replicates is None or base_replicates is None else sign * (base_replicates - replicates)
            values[name] = interval(sign * (base - mean), gain, confidence)
        return values, by_seed, scores
