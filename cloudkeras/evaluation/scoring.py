"""Runs all methods over a split once, batch by batch, and keeps the counts of each sample."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from .._version import __version__
from ..datasets.dataset import ShardDataset
from ..datasets.manifest import MANIFEST_NAME
from ..datasets.pipeline import Batches
from ..datasets.shards import opened
from ..errors import DataError, InputError, check
from ..metrics import ProbabilisticMetrics, metrics_for
from ..tasks import Fields, Task
from ..training.environment import git_commit
from .groups import default_grouping, sample_groups
from .scores import Scores, share_truth
from .stitching import Judged, whole_samples

logger = logging.getLogger("cloudkeras")

_REPORT_SECONDS = 5.0


class Method(Protocol):
    """Anything that is called like a model: network input to network output (logits, or normalised values).

    It may have `task` and `statistics`, by which its input is made; without them it gets that of the evaluation's task
    and of the data set. It may have `members(x)`, physical values (members, batch, rows, columns, ...); a method
    without is one member where members are scored.
    """

    name: str

    def __call__(self, x: np.ndarray) -> Any:
        """(batch, rows, columns, channels) to the final output."""


def evaluate(
    task: Task,
    dataset: ShardDataset,
    methods: Sequence[Method],
    *,
    split: str = "test",
    batch_size: int = 8,
    bootstrap: int = 1000,
    seed: int = 0,
    group_by: str | float | None = None,
    reference: str = "",
    confidence: float = 0.95,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    kind: str = "point",
    watch: Watch | None = None,
) -> Scores:
    """Scores methods on identical pixels.

    Args:
        task: Says which labels are the truth and how it is judged.
        dataset: The shards.
        methods: Runs and fitted baselines, with different names.
        split: The split to score on.
        batch_size: Samples at once.
        bootstrap: Replicates of the bootstrap, 0 for no intervals.
        seed: Of the bootstrap.
        group_by: What the bootstrap draws: "granule", "sample" or blocks of so many seconds; None takes granules for
            classes and, for values, blocks as long as the task says or of the length of a window if that is longer.
        reference: Name of the method that the others are compared with; "" takes the best baseline.
        confidence: Of the intervals.
        limit: Use this many samples, spread evenly over the split; None for all.
        progress: Called with samples done and samples in all, after each batch.
        kind: "point" scores what a method says is there; "members" the distribution that its members are drawn from.
        watch: Where the task cuts windows: called with the number of each sample in the split and its whole images,
            the truth under "" and the others by method, e.g. an `ErrorMaps`.

    Returns:
        The scores, with the counts of each sample.

    Raises:
        InputError: If methods, task and data do not fit, or a prediction is not finite or of the wrong shape.
        DataError: If the shards lack what is needed.
    """
    methods = list(methods)
    _check_methods(task, methods, reference)
    indices = _spread(dataset.num_samples(split), limit)
    batches = Batches(dataset, task, split, batch_size, samples=indices)
    samples = dataset.samples(split).take(indices)
    group_by = default_grouping(task, samples) if group_by is None else group_by
    groups = sample_groups(samples, group_by, one_site=task.one_site)
    metrics = metrics_for(task, kind)
    check(watch is None or batches.tiles is not None, "`watch` is for tasks that cut windows.", task=task.name)
    statistics = _run_all(MethodInputs(task, dataset, split, methods), batches, methods, metrics, progress, watch)
    return Scores(
        task=task.name,
        task_options=task.options(),
        statistics=statistics,
        groups=groups,
        simulated=dataset.simulated,
        reference=reference,
        baselines=tuple(m.name for m in methods if not hasattr(m, "config")),
        bootstrap=bootstrap,
        seed=seed,
        confidence=confidence,
        provenance=_provenance(
            task, dataset, methods, metrics, split=split, batch_size=batch_size, group_by=group_by, limit=limit
        ),
        kind=kind,
    )


def _spread(total: int, limit: int | None) -> np.ndarray:
    """Numbers of `limit` samples spread evenly over all; where windows are cut, all windows of these are judged."""
    check(limit is None or limit >= 1, "`limit` is None or at least 1.", limit=limit)
    kept = total if limit is None else min(limit, total)
    return np.arange(kept) * total // max(1, kept)


def _check_methods(task: Task, methods: Sequence[Any], reference: str) -> None:
    names = [method.name for method in methods]
    check(len(names) > 0, "An evaluation needs at least one method.")
    check(len(set(names)) == len(names), "Methods need different names.", names=names)
    check(not reference or reference in names, "`reference` is the name of a method.", reference=reference, names=names)
    for method in methods:
        theirs = getattr(method, "task", None) or task
        check(
            theirs.name == task.name, f"Method '{method.name}' is for the task '{theirs.name}'.", evaluation=task.name
        )
        misfits = theirs.misfits(task)
        check(
            not misfits,
            f"Method '{method.name}' was made with another {', '.join(f'`{k}`' for k in misfits)} than is judged.",
            method={k: mine for k, (mine, _) in misfits.items()},
            evaluation={k: judged for k, (_, judged) in misfits.items()},
        )


class MethodInputs:
    """Network inputs of one batch for methods that normalise, or look, differently; each kind is made once."""

    def __init__(self, task: Task, dataset: ShardDataset, split: str, methods: Sequence[Any]):
        self.task, self.dataset, self.split = task, dataset, split
        needed = {name for method in methods for name in self.task_of(method).physical_inputs()}
        known = {variable.name for variable in task.variables()}
        self.extra = sorted((needed & known) - set(task.read_names()))
        if absent := [name for name in self.extra if name not in dataset.manifest.variables]:
            raise DataError(
                dataset.path,
                variable=absent[0],
                expected="the variable, which a method needs as input",
                found=f"only {', '.join(dataset.manifest.variables)}",
                remedy="Leave that method out or make shards that hold it.",
            )

    def task_of(self, method: Any) -> Task:
        return getattr(method, "task", None) or self.task

    def statistics_of(self, method: Any) -> Mapping[str, Any]:
        statistics = getattr(method, "statistics", None)
        if statistics is None or statistics == self.dataset.statistics:
            return self.dataset.statistics
        return statistics

    def fields(self, batches: Batches, i: int) -> Fields:
        """Prepared fields of a batch, with what some method needs beyond the evaluation's task."""
        fields = batches.fields(i)
        return {**fields, **batches.read(i, self.extra)} if self.extra else fields

    def make(self, method: Any, fields: Fields, made: dict[Any, np.ndarray]) -> np.ndarray:
        """The input of a method; `made` holds those of the batch that exist already."""
        task, statistics = self.task_of(method), self.statistics_of(method)
        key = (task, id(statistics))
        if key not in made:
            made[key] = np.asarray(task.network_inputs(fields, statistics), np.float32)
        return made[key]


Counts = dict[str, list[dict[str, np.ndarray]]]
Watch = Callable[[int, Mapping[str, np.ndarray]], None]


def _run_all(
    inputs: MethodInputs,
    batches: Batches,
    methods: Sequence[Any],
    metrics: Any,
    progress: Callable[[int, int], None] | None,
    watch: Watch | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    rows: Counts = {method.name: [] for method in methods}
    report, count = _progress(batches.num_samples, progress), _Counter(metrics, methods, rows)
    by_pixel = isinstance(metrics, ProbabilisticMetrics)  # no need to put many members of a whole sample together
    if batches.tiles is None or by_pixel:
        _by_batch(inputs, batches, methods, count, report)
    else:
        _by_sample(inputs, batches, methods, count, report, watch)
    gathered = {
        name: {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} for name, parts in rows.items()
    }
    if batches.tiles is not None and by_pixel:
        gathered = _summed(gathered, np.concatenate([batches.indices(i) for i in range(len(batches))]))
    return share_truth(gathered, metrics)


def _summed(windows: Mapping[str, Mapping[str, np.ndarray]], samples: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Statistics of windows added up to those of their samples; of tiles only the cores have labels."""
    starts = np.flatnonzero(np.append(True, np.diff(samples) != 0))
    return {name: {k: np.add.reduceat(v, starts, axis=0) for k, v in rows.items()} for name, rows in windows.items()}


class _Counter:
    """Counts a prediction; statistics that no prediction changes are those of the first method."""

    def __init__(self, metrics: Any, methods: Sequence[Any], rows: Counts):
        self.metrics, self.rows, self.first = metrics, rows, methods[0].name
        self.truth_only = getattr(metrics, "truth_only", ())
        self.predict = _members if isinstance(metrics, ProbabilisticMetrics) else _predict

    def __call__(self, method: Any, truth: np.ndarray, prediction: np.ndarray, fields: Fields) -> None:
        counts = _count(self.metrics, method, truth, prediction, fields)
        rows = self.rows[method.name]
        first = counts if method.name == self.first else self.rows[self.first][len(rows)]
        rows.append(counts | {name: first[name] for name in self.truth_only})


def _by_batch(
    inputs: MethodInputs, batches: Batches, methods: Sequence[Any], count: _Counter, report: Callable[[int], None]
) -> None:
    """Judges every batch as it is."""
    for i in range(len(batches)):
        fields = inputs.fields(batches, i)
        truth = inputs.task.truth(fields)
        made: dict[Any, np.ndarray] = {}
        for method in methods:
            x = inputs.make(method, fields, made)
            count(method, truth, count.predict(method, inputs.task_of(method), x, batches.indices(i)), fields)
        report(len(truth))


def _by_sample(
    inputs: MethodInputs,
    batches: Batches,
    methods: Sequence[Any],
    count: _Counter,
    report: Callable[[int], None],
    watch: Watch | None,
) -> None:
    """Predicts tile by tile and judges every sample whole, as `stitching` puts it together.

    The metrics get the coordinates of rows and columns that the shards have in place of the fields.
    """
    task, dataset = inputs.task, inputs.dataset
    grid = dataset.coordinates((task.row_dim, task.column_dim))

    def tiles() -> Iterator[Judged]:
        for i in range(len(batches)):
            fields = inputs.fields(batches, i)
            truth = task.truth(fields)
            windows, made = {"": truth}, {}  # type: ignore[var-annotated]
            for method in methods:
                x = inputs.make(method, fields, made)
                found = count.predict(method, inputs.task_of(method), x, batches.indices(i))
                _check_window(method, found, truth)
                windows[method.name] = found if found.ndim == truth.ndim else np.moveaxis(found, 0, 1)
            yield batches.indices(i), batches.tile_numbers(i), windows
            report(len(truth))

    assert batches.tiles is not None
    for number, images in whole_samples(tiles(), batches.tiles, dataset.manifest.patch_shape):
        if watch is not None:
            watch(number, images)
        truth = images[""][None]
        for method in methods:
            image = images[method.name]
            count(method, truth, image[None] if image.ndim == 2 else image[:, None], grid)


def _check_window(method: Any, prediction: np.ndarray, truth: np.ndarray) -> None:
    check(
        prediction.shape[-truth.ndim :] == truth.shape,
        f"Method '{method.name}' does not fit the data: its predictions have the shape of the windows.",
        prediction=prediction.shape,
        windows=truth.shape,
    )


def _progress(total: int, progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    """What is told how many samples, or windows, were judged just now."""
    state = {"done": 0, "reported": time.monotonic()}
    started = time.monotonic()

    def report(more: int) -> None:
        state["done"] += more
        if progress is not None:
            progress(int(state["done"]), total)
        if (now := time.monotonic()) - state["reported"] >= _REPORT_SECONDS:
            state["reported"] = now
            left = (now - started) / state["done"] * (total - state["done"])
            logger.info("scoring: %d of %d samples, %.0f s left", state["done"], total, left)

    return report


def _predict(method: Any, task: Task, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """What is judged: physical values, or class scores (whose largest is that of the probabilities)."""
    outputs = method(x)
    outputs = np.asarray(outputs["final"] if isinstance(outputs, Mapping) else outputs)
    _check_finite(method, outputs, indices)
    return outputs if task.kind == "classification" else np.asarray(task.decode(outputs, x))


def _members(method: Any, task: Task, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Members in physical units, (members, sample, ...); what is said once is one member."""
    if not hasattr(method, "members"):
        return _predict(method, task, x, indices)[None]
    members = np.asarray(method.members(x))
    _check_finite(method, np.moveaxis(members, 0, 1), indices)
    return members


def _check_finite(method: Any, outputs: np.ndarray, indices: np.ndarray) -> None:
    """Raises unless all values (sample, ...) are finite."""
    finite = np.isfinite(outputs)
    if not finite.all():
        sample = int(np.flatnonzero(~finite.reshape(len(outputs), -1).all(axis=1))[0])
        raise InputError(
            f"Method '{method.name}' gives values that are not finite, first for sample {indices[sample]} of the split "
            f"({int((~finite).sum())} values of the batch). A method that leaves pixels out cannot be compared."
        )


def _count(
    metrics: Any, method: Any, truth: np.ndarray, prediction: np.ndarray, fields: Fields
) -> dict[str, np.ndarray]:
    try:
        return metrics.statistics(truth, prediction, fields)
    except InputError as error:
        raise InputError(f"Method '{method.name}' does not fit the data: {error}") from error


def coordinate(dataset: ShardDataset, split: str, name: str) -> dict[str, Any] | None:
    """`{"name", "units", "values"}` of a coordinate along the dimension `name`, None where the shards have none."""
    with opened(dataset.files(split)[0]) as file:
        if name not in file.variables or file[name].dimensions != (name,):
            return None
        values = np.asarray(file[name][:], np.float64)
        return {"name": name, "units": str(getattr(file[name], "units", "")), "values": values.tolist()}


def _window(dataset: ShardDataset, split: str) -> dict[str, Any]:
    """Size of the windows and how long they last, the median in seconds."""
    rows, columns = dataset.image_shape()
    samples = dataset.samples(split)
    return {"rows": rows, "columns": columns, "seconds": float(np.median(samples.time_end - samples.time_start))}


def _provenance(
    task: Task, dataset: ShardDataset, methods: Sequence[Any], metrics: Any, **options: Any
) -> dict[str, Any]:
    manifest = dataset.path / MANIFEST_NAME
    dim = getattr(metrics, "profile_dim", "")
    checksum = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None
    return {
        "data": str(dataset.path),
        "manifest_sha256": checksum,
        "split": options["split"],
        "labels": task.options().get("labels"),
        "profile": coordinate(dataset, options["split"], dim) if dim else None,
        "window": _window(dataset, options["split"]),
        "cloudkeras_version": __version__,
        "git_commit": git_commit(),
        "evaluated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "options": options,
        "methods": {m.name: str(path) if (path := getattr(m, "path", None)) else "baseline" for m in methods},
    }
