"""Making a folder of shards: samples in, shards out, and the manifest last of all."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, InputError, check, check_choice
from .manifest import MANIFEST_NAME, Manifest, ShardEntry, file_sha256, write_manifest
from .normalize import StreamingStatistics, labelled_counts
from .samples import SampleTable
from .shards import (
    Coordinates,
    check_version,
    closing_files,
    opened,
    portions,
    read_samples,
    read_shard,
    read_static,
    static_names,
    write_shard,
)
from .splits import SITE_DEGREES, SPLITS, check_no_leak

if TYPE_CHECKING:
    from ..tasks import Task

logger = logging.getLogger("cloudkeras")


def shard_name(split: str, number: int) -> str:
    """File name of a shard, e.g. "train-00003.nc"."""
    return f"{check_choice(split, SPLITS, 'split')}-{number:05d}.nc"


class DatasetWriter:
    """Writes samples into shards and, at the end of the block, the manifest.

    If the block fails, the shards written so far are removed and no manifest appears.

    Args:
        folder: Where to; made if need be. It must not hold a manifest.
        task: The task that the shards are for.
        provenance: Where the data come from, any JSON; "source" becomes the attribute of each file.
        simulated: Whether the data are simulated.
        gap_seconds: Shortest time between samples of different splits at one place; see `splits.check_no_leak`.
        samples_per_shard: Samples a file.
        coordinates: Coordinate variables for every shard; see `shards.write_shard`.
        static: Static variables by name, the same in every shard; see `schema.Variable.dims`.
        attributes: Further global attributes of every shard.
        site_degrees: What counts as one place; see `splits.check_no_leak`.
        overwrite: Whether to replace a dataset that is there.

    Raises:
        InputError: If the folder holds a dataset already, or, on leaving the block, if splits leak into each other.

    Example:
        >>> with DatasetWriter(folder, task, provenance={"source": "..."}, simulated=True, gap_seconds=0) as writer:
        ...     writer.add("train", fields, samples)
    """

    def __init__(
        self,
        folder: str | Path,
        task: Task,
        *,
        provenance: Mapping[str, Any],
        simulated: bool,
        gap_seconds: float,
        samples_per_shard: int = 64,
        coordinates: Coordinates | None = None,
        static: Mapping[str, np.ndarray] | None = None,
        attributes: Mapping[str, Any] | None = None,
        site_degrees: float = SITE_DEGREES,
        overwrite: bool = False,
    ):
        check(samples_per_shard >= 1, "`samples_per_shard` is at least 1.", samples_per_shard=samples_per_shard)
        self.folder = Path(folder)
        self.task = task
        _check_plain(provenance, gap_seconds)
        self._finish: dict[str, Any] = {
            "provenance": dict(provenance),
            "simulated": bool(simulated),
            "gap_seconds": float(gap_seconds),
            "site_degrees": site_degrees,
        }
        self._per_shard = samples_per_shard
        self._coordinates = coordinates
        self._static = _checked_static(task, static or {})
        self._attributes = {**shard_attributes(task, simulated, provenance), **(attributes or {})}
        self._pending: dict[str, list[tuple[dict[str, np.ndarray], SampleTable]]] = {split: [] for split in SPLITS}
        self._written: dict[str, list[Path]] = {split: [] for split in SPLITS}
        manifest = self.folder / MANIFEST_NAME
        if manifest.exists() and not overwrite:
            raise InputError(f"{self.folder} already holds a dataset. Choose another folder or remove it first.")
        manifest.unlink(missing_ok=True)

    def __enter__(self) -> DatasetWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def add(self, split: str, fields: Mapping[str, np.ndarray], samples: SampleTable) -> None:
        """Adds samples to a split; a shard is written whenever enough have come together.

        Args:
            split: "train", "validation" or "test".
            fields: As `shards.write_shard` takes them, without static ones. All calls give the same variables and
                shapes.
            samples: As many as the fields have.

        Raises:
            InputError: If the split is unknown or the fields do not fit the task or each other.
        """
        check_choice(split, SPLITS, "split")
        arrays = {name: np.asarray(values) for name, values in fields.items()}
        lengths = {name: values.shape[:1] for name, values in arrays.items()}
        check(
            all(length == (len(samples),) for length in lengths.values()),
            f"All fields have as many samples as the table, {len(samples)}.",
            **lengths,
        )
        if pending := self._pending[split]:
            before, after = _shapes(pending[0][0]), _shapes(arrays)
            check(before == after, "All samples have the same variables and shapes.", before=before, received=after)
        if len(samples):
            pending.append((arrays, samples))
        while sum(len(table) for _, table in pending) >= self._per_shard:
            self._write(split, self._per_shard)

    def _write(self, split: str, count: int) -> None:
        pending = self._pending[split]
        fields = {name: np.concatenate([f[name] for f, _ in pending]) for name in pending[0][0]}
        samples = SampleTable.concatenate(table for _, table in pending)
        path = self.folder / shard_name(split, len(self._written[split]))
        write_shard(
            path,
            self.task.variables(),
            {name: values[:count] for name, values in fields.items()} | self._static,
            samples.take(slice(0, count)),
            coordinates=self._coordinates,
            attributes=self._attributes,
            chunks=window_chunks(self.task),
        )
        self._written[split].append(path)
        rest = {name: values[count:] for name, values in fields.items()}
        pending[:] = [(rest, samples.take(slice(count, None)))] if len(samples) > count else []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        complete = False
        try:
            if kind is None:
                for split, pending in self._pending.items():
                    if pending:
                        self._write(split, sum(len(table) for _, table in pending))
                finish_dataset(self.folder, self.task, self._written, **self._finish)
                complete = True
        finally:
            if not complete:
                for path in (path for paths in self._written.values() for path in paths):
                    path.unlink(missing_ok=True)


def _shapes(fields: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: fields[name].shape[1:] for name in sorted(fields)}


def _checked_static(task: Task, static: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    known = [variable.name for variable in task.variables() if variable.static]
    unknown = sorted(set(static) - set(known))
    check(not unknown, f"Static variables of task '{task.name}': {', '.join(known) or 'none'}.", unknown=unknown)
    return {name: np.asarray(values) for name, values in static.items()}


WINDOW_CHUNK = 128
"""Rows and columns of a chunk where a task cuts windows: small ones waste little at a window's edges."""


def window_chunks(task: Task) -> dict[str, int]:
    """What `shards.write_shard` takes as `chunks` for a task: none without windows."""
    return {} if task.windows() is None else {task.row_dim: WINDOW_CHUNK, task.column_dim: WINDOW_CHUNK}


def shard_attributes(task: Task, simulated: bool, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Global attributes of every shard of a task: title, source, task, simulated or not."""
    kind = "simulated samples" if simulated else "samples"
    return {
        "title": f"cloudkeras shard: {kind} for the task {task.name}",
        "source": str(provenance.get("source", "simulation" if simulated else "not stated")),
        "cloudkeras_task": task.name,
        "simulated": "true" if simulated else "false",
    }


def finish_dataset(
    folder: str | Path,
    task: Task,
    files_by_split: Mapping[str, Sequence[str | Path]],
    *,
    provenance: Mapping[str, Any],
    simulated: bool,
    gap_seconds: float,
    site_degrees: float = SITE_DEGREES,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the manifest of shards that are complete, e.g. made by several processes with `shards.write_shard`.

    Reads all of them: checks, counts labels, sums the statistics of the training split, proves that the splits do not
    leak.

    Args:
        folder: The folder that holds the shards.
        task: Their task.
        files_by_split: Files of each split, names or paths inside `folder`, in order of reading.
        provenance: As `DatasetWriter` takes it.
        simulated: Likewise.
        gap_seconds: Likewise.
        site_degrees: Likewise.
        progress: Called with (files done, files in all).

    Returns:
        The path of the manifest.

    Raises:
        DataError: If a file is not a shard of this task, or differs from the others in variables or shape.
        InputError: If there is no sample, or splits leak into each other; no manifest is written then.
    """
    _check_plain(provenance, gap_seconds)
    folder = Path(folder)
    paths = {
        check_choice(s, SPLITS, "split"): [folder / Path(f).name for f in files] for s, files in files_by_split.items()
    }
    total = sum(len(files) for files in paths.values())
    check(total > 0, "A dataset holds at least 1 sample.", files=total)
    reader = ShardSummary(task)
    entries: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
    with closing_files():
        for done, (split, path) in enumerate(((s, p) for s in SPLITS for p in paths.get(s, ())), 1):
            count = len(reader.read(split, path))
            entries[split].append(ShardEntry(path.name, count, path.stat().st_size, file_sha256(path)))
            if progress is not None:
                progress(done, total)
    reader.check_no_leak(gap_seconds, site_degrees)
    manifest = Manifest(
        task=task.name,
        task_options=task.options(),
        simulated=simulated,
        patch_shape=reader.patch_shape,
        variables=tuple(reader.names),
        splits={split: tuple(files) for split, files in entries.items() if files},
        labels=reader.labels,
        statistics=reader.statistics.result(),
        gap_seconds=gap_seconds,
        site_degrees=site_degrees,
        provenance=dict(provenance),
    )
    path = write_manifest(folder, manifest)
    counts = ", ".join(f"{split} {manifest.num_samples(split)}" for split in SPLITS)
    logger.info("wrote %s (samples: %s)", path, counts)
    return path


def _check_plain(provenance: Mapping[str, Any], gap_seconds: float) -> None:
    """Raises before any work for what the manifest could not say at the end of it."""
    check(np.isfinite(gap_seconds) and gap_seconds >= 0, "`gap_seconds` is at least 0.", gap_seconds=gap_seconds)
    try:
        json.dumps(dict(provenance), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"`provenance` holds plain JSON values. Received {provenance!r}: {error}.") from None


class ShardSummary:
    """What a manifest says of its shards, gathered file by file.

    Args:
        task: The task of the shards.

    Attributes:
        statistics: Of the training split.
        labels: Labelled values by split and variable.
        names: Variables of the task that the shards hold.
        patch_shape: Rows and columns of the images, (0, 0) before the first file.
        samples: By split, one table a file.
    """

    def __init__(self, task: Task):
        self.task = task
        self.statistics = StreamingStatistics(task.variables())
        self.labels: dict[str, dict[str, int]] = {}
        self.names: list[str] = []
        self.patch_shape = (0, 0)
        self.samples: dict[str, list[SampleTable]] = {split: [] for split in SPLITS}

    def read(self, split: str, path: Path) -> SampleTable:
        """Adds a file and returns its samples.

        Raises:
            DataError: If it is not a shard of the task or differs from the others in variables or shape.
        """
        check_version(path)
        with opened(path) as file:
            held = [variable.name for variable in self.task.variables() if variable.name in file.variables]
            sizes = {name: len(dimension) for name, dimension in file.dimensions.items()}
        row, column = self.task.row_dim, self.task.column_dim
        if row not in sizes or column not in sizes:
            raise DataError(
                path, expected=f"the dimensions '{row}' and '{column}' of task {self.task.name}", found=", ".join(sizes)
            )
        shape = (sizes[row], sizes[column])
        if self.patch_shape == (0, 0):
            self.names, self.patch_shape = held, shape
        if held != self.names:
            raise DataError(
                path, expected=f"the variables of the other shards, {', '.join(self.names)}", found=", ".join(held)
            )
        if shape != self.patch_shape:
            raise DataError(path, expected=f"images of {self.patch_shape} as in the other shards", found=f"{shape}")
        counts = self.labels.setdefault(split, {})
        each = [name for name in held if name not in static_names(path, held)]
        if split == "train" and not any(self.samples["train"]):  # static variables count once
            self.statistics.update({n: read_static(path, n)[None] for n in held if n not in each})
        for indices in portions(path, held):
            fields = read_shard(path, held, indices)
            if split == "train":
                self.statistics.update({name: fields[name] for name in each})
            for name, count in labelled_counts(self.task, fields).items():
                counts[name] = counts.get(name, 0) + count
        self.samples[split].append(read_samples(path))
        return self.samples[split][-1]

    def check_no_leak(self, gap_seconds: float, site_degrees: float) -> None:
        """Raises if splits leak into each other; see `splits.check_no_leak`."""
        tables = {split: SampleTable.concatenate(parts) for split, parts in self.samples.items()}
        check_no_leak(tables, self.patch_shape, gap_seconds, site_degrees=site_degrees)
