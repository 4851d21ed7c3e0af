"""What is wrong with a shard or a folder of shards: every problem, each with variable, expected, found and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np

from ..errors import DataError, InputError
from .dataset import size_problem
from .manifest import MANIFEST_NAME, Manifest, ShardEntry, file_sha256, read_manifest
from .packing import tolerance
from .samples import SampleTable
from .schema import Variable
from .shards import (
    check_version,
    closing_files,
    opened,
    portions,
    read_packing,
    read_samples,
    read_static,
    read_stored,
    sample_units,
)
from .splits import SPLITS, check_no_leak
from .writer import ShardSummary

if TYPE_CHECKING:
    from ..tasks import Task

_CHUNK = 16  # samples looked at together


def find_problems(path: str | Path) -> list[DataError]:
    """All problems of a shard, or of a folder of shards with its manifest.

    Args:
        path: A NetCDF file or a folder.

    Returns:
        One `DataError` a problem, not raised; empty if all is well.
    """
    path = Path(path)
    if not path.exists():
        return [DataError(path, expected="a shard or a folder of shards", found="nothing")]
    with closing_files():
        if path.is_dir():
            return dataset_problems(path)
        return shard_problems(path) or _unlabelled_file(path)


# ---- one file ------------------------------------------------------------------------------------------------------


def shard_problems(path: str | Path, task: Task | None = None) -> list[DataError]:
    """All problems of one file.

    Args:
        path: The file.
        task: The task that it must be for; None for the one that it names.
    """
    try:
        check_version(path)
        with opened(path) as file:
            attributes = {name: file.getncattr(name) for name in file.ncattrs()}
    except DataError as error:
        return [error]
    problems = _sample_problems(path)
    if attributes.get("simulated") not in ("true", "false"):
        problems.append(
            _attribute(
                path, "simulated", "'true' or 'false'", attributes.get("simulated"), "State it: nothing else tells."
            )
        )
    named = attributes.get("cloudkeras_task")
    if task is None:
        try:
            task = _task_named(named)
        except InputError as error:
            return [*problems, _attribute(path, "cloudkeras_task", "the name of a task", named, str(error))]
    elif named != task.name:
        problems.append(
            _attribute(path, "cloudkeras_task", repr(task.name), named, "The file belongs to another dataset.")
        )
        return problems
    for variable in task.variables():
        problems.extend(_variable_problems(path, variable))
    return problems


def _task_named(name: Any, options: dict[str, Any] | None = None) -> Task:
    from ..tasks import get_task

    return get_task(str(name), **(options or {}))


def _attribute(path: str | Path, name: str, expected: str, found: Any, remedy: str) -> DataError:
    return DataError(path, expected=f"attribute '{name}' {expected}", found=repr(found), remedy=remedy)


def _sample_problems(path: str | Path) -> list[DataError]:
    problems = []
    with opened(path) as file:
        for name, units in sample_units().items():
            if name in file.variables and units:
                found = getattr(file.variables[name], "units", None)
                if found != units:
                    problems.append(_wrong_units(path, name, units, found))
    try:
        read_samples(path)
    except DataError as error:
        problems.append(error)
    return problems


def _wrong_units(path: str | Path, name: str, expected: str, found: Any) -> DataError:
    remedy = "Convert the values and mend the attribute `units`."
    return DataError(path, variable=name, expected=f"unit '{expected}'", found=f"unit {found!r}", remedy=remedy)


def _variable_problems(path: str | Path, variable: Variable) -> Iterator[DataError]:
    name = variable.name
    with opened(path) as file:
        if name not in file.variables:
            if variable.required:
                held = ", ".join(n for n, v in file.variables.items() if len(v.dimensions) > 1)
                remedy = "Make the shard again with it."
                yield DataError(path, variable=name, expected="the variable", found=f"only {held}", remedy=remedy)
            return
        stored = file.variables[name]
        dims, shape, packing = stored.dimensions, stored.shape, read_packing(stored)
        units, flags = getattr(stored, "units", None), getattr(stored, "flag_meanings", "")
    if units != variable.units:
        yield _wrong_units(path, name, variable.units, units)
    if dims != variable.dims:
        yield DataError(path, variable=name, expected=f"dimensions {_listed(variable.dims)}", found=_listed(dims))
        return
    sizes = variable.sizes or (None,) * len(shape)
    if any(size not in (None, found) for size, found in zip(sizes, shape, strict=True)):
        wanted = _listed(found if size is None else size for size, found in zip(sizes, shape, strict=True))
        yield DataError(path, variable=name, expected=f"shape {wanted} for {_listed(dims)}", found=_listed(shape))
        return
    if flags != " ".join(variable.flag_meanings):
        yield DataError(
            path, variable=name, expected=f"classes '{' '.join(variable.flag_meanings)}'", found=f"'{flags}'"
        )
    if packing != variable.packing:
        remedy = "Write shards with `write_shard`, which packs as the schema says."
        yield DataError(path, variable=name, expected=str(variable.packing), found=str(packing), remedy=remedy)
        if packing.dtype[0] != variable.packing.dtype[0]:
            return
    try:
        yield from _value_problems(path, variable, shape[0])
    except DataError as error:
        yield error


def _listed(items: Any) -> str:
    return "(" + ", ".join(str(item) for item in items) + ")"


def _value_problems(path: str | Path, variable: Variable, samples: int) -> Iterator[DataError]:
    """Not finite or out of range; the first place is named."""
    low, high = variable.valid_range
    slack = tolerance(variable)
    bad = {"not finite": _Found(), "out of range": _Found()}
    step = samples if variable.static else min(_CHUNK, len(portions(path, [variable.name])[0]))
    for first in range(0, samples, step):
        indices = np.arange(first, min(first + step, samples))
        stored, packing = read_stored(path, [variable.name], indices)[variable.name]
        stored = stored[None] if variable.static else stored
        missing = np.zeros(stored.shape, bool) if packing.fill is None else stored == packing.fill
        scale = 1.0 if packing.scale_factor is None else packing.scale_factor
        values = stored if scale == 1 and packing.add_offset == 0 else stored * scale + packing.add_offset
        infinite = ~np.isfinite(values) & ~missing
        bad["not finite"].add(infinite, values, first)
        bad["out of range"].add(
            ((values < low - slack) | (values > high + slack)) & ~missing & ~infinite, values, first
        )
    if bad["not finite"].count:
        allowed = (
            "finite values"
            if variable.packing.fill is None
            else f"finite values, or {variable.packing.fill:g} for missing"
        )
        remedy = "Write shards with `write_shard`, which marks missing values."
        yield DataError(path, variable=variable.name, expected=allowed, found=str(bad["not finite"]), remedy=remedy)
    if bad["out of range"].count:
        yield DataError(
            path,
            variable=variable.name,
            expected=f"values within {low:g} and {high:g} (unit '{variable.units}')",
            found=str(bad["out of range"]),
            remedy="Check the unit; mark what is missing as missing.",
        )


class _Found:
    """Counts bad values and remembers the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def add(self, bad: np.ndarray, values: np.ndarray, first_sample: int) -> None:
        number = int(bad.sum())
        if number and not self.count:
            sample, *rest = (int(i) for i in np.argwhere(bad)[0])
            self.first = f"{values[(sample, *rest)]:g} at {_listed([sample + first_sample, *rest])}"
        self.count += number

    def __str__(self) -> str:
        return f"{self.first}, {self.count} such value{'s' if self.count > 1 else ''}"


def _unlabelled_file(path: Path) -> list[DataError]:
    with opened(path) as file:
        task = _task_named(file.getncattr("cloudkeras_task"))
    summary = ShardSummary(task)
    try:
        summary.read("train", path)
    except DataError as error:
        return [error]
    return [] if _labelled(summary.labels["train"]) else [_no_label(path, "the file")]


def _labelled(counts: dict[str, int]) -> bool:
    return not counts or any(counts.values())


def _no_label(path: Path, where: str) -> DataError:
    remedy = "There is nothing to learn or score from; leave it out or add labels."
    return DataError(path, expected=f"at least 1 label in {where}", found="none", remedy=remedy)


# ---- a folder ------------------------------------------------------------------------------------------------------


def dataset_problems(folder: str | Path) -> list[DataError]:
    """All problems of a folder: of each file, of the manifest against the files, and leaks between splits."""
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
        task = _task_named(manifest.task, manifest.task_options)
    except DataError as error:
        return [error]
    except InputError as error:
        return [DataError(folder / MANIFEST_NAME, variable="task", expected="a task and its options", found=str(error))]
    problems: list[DataError] = []
    tables: dict[str, list[SampleTable]] = {split: [] for split in SPLITS}
    for split, entries in manifest.splits.items():
        for entry in entries:
            found = _entry_problems(folder, entry, manifest, task)
            problems.extend(found)
            if not found:
                tables[split].append(read_samples(folder / entry.name))
    problems.extend(_unlisted(folder, manifest))
    if not problems:
        problems.extend(_static_problems(folder, manifest, task))
    if not any(manifest.num_samples(split) for split in SPLITS):
        problems.append(DataError(folder / MANIFEST_NAME, variable="splits", expected="samples", found="none"))
    samples = {split: SampleTable.concatenate(parts) for split, parts in tables.items()}
    try:
        check_no_leak(samples, manifest.patch_shape, manifest.gap_seconds, site_degrees=manifest.site_degrees)
    except InputError as error:
        problems.append(
            DataError(folder / MANIFEST_NAME, expected="splits that share nothing", found=str(error).rstrip("."))
        )
    return problems or _summary_problems(folder, manifest, task)


def _entry_problems(folder: Path, entry: ShardEntry, manifest: Manifest, task: Task) -> list[DataError]:
    path = folder / entry.name
    problems = [problem] if (problem := size_problem(folder, entry)) is not None else []
    if not path.is_file():
        return problems
    if not problems and file_sha256(path) != entry.sha256:
        remedy = "The file was changed after the manifest was written."
        problems.append(
            DataError(path, expected=f"the checksum in {MANIFEST_NAME}", found="another content", remedy=remedy)
        )
    inside = shard_problems(path, task)
    problems.extend(inside)
    if inside:
        return problems
    with opened(path) as file:
        problems.extend(_mismatches(path, file, entry, manifest, task))
    return problems


def _mismatches(
    path: Path, file: netCDF4.Dataset, entry: ShardEntry, manifest: Manifest, task: Task
) -> Iterator[DataError]:
    count = len(file.dimensions["sample"])
    if count != entry.num_samples:
        yield DataError(path, expected=f"{entry.num_samples} samples, as {MANIFEST_NAME} says", found=f"{count}")
    shape = tuple(len(file.dimensions[dim]) for dim in (task.row_dim, task.column_dim))
    if shape != manifest.patch_shape:
        yield DataError(path, expected=f"images of {manifest.patch_shape}, as {MANIFEST_NAME} says", found=f"{shape}")
    for name in manifest.variables:
        if name not in file.variables:
            yield DataError(path, variable=name, expected=f"the variable, as {MANIFEST_NAME} says", found="none")
    if (file.simulated == "true") != manifest.simulated:
        stated = f"simulated = {str(manifest.simulated).lower()}, as {MANIFEST_NAME} says"
        yield DataError(path, expected=stated, found=str(file.simulated))


def _static_problems(folder: Path, manifest: Manifest, task: Task) -> Iterator[DataError]:
    """Static variables that are not the same in all shards."""
    paths = [folder / entry.name for entries in manifest.splits.values() for entry in entries]
    names = [v.name for v in task.variables() if v.static and v.name in manifest.variables]
    first = {name: read_static(paths[0], name) for name in names if paths}
    for path in paths[1:]:
        for name in names:
            if not np.array_equal(found := read_static(path, name), first[name], equal_nan=found.dtype.kind == "f"):
                yield DataError(
                    path,
                    variable=name,
                    expected=f"the values of {paths[0].name}, since the variable is static",
                    found="others",
                    remedy="Make the shards again; only the first shard's values are read.",
                )


def _unlisted(folder: Path, manifest: Manifest) -> list[DataError]:
    listed = {entry.name for entries in manifest.splits.values() for entry in entries}
    pattern = re.compile(rf"({'|'.join(SPLITS)})-\d+\.nc")
    extra = sorted(file for file in folder.iterdir() if pattern.fullmatch(file.name) and file.name not in listed)
    remedy = "A leftover of another run: remove it, or make the manifest again."
    return [DataError(file, expected=f"an entry in {MANIFEST_NAME}", found="none", remedy=remedy) for file in extra]


def _summary_problems(folder: Path, manifest: Manifest, task: Task) -> list[DataError]:
    """Labels and statistics of the manifest against those of the files."""
    summary = ShardSummary(task)
    for split, entries in manifest.splits.items():
        for entry in entries:
            summary.read(split, folder / entry.name)
    path = folder / MANIFEST_NAME
    problems = [_no_label(folder, f"split '{split}'") for split, n in summary.labels.items() if not _labelled(n)]
    if summary.labels != manifest.labels:
        problems.append(DataError(path, variable="labels", expected=str(summary.labels), found=str(manifest.labels)))
    computed = summary.statistics.result()
    for name in sorted({*computed, *manifest.statistics}):
        mine, theirs = computed.get(name), manifest.statistics.get(name)
        if mine is None or theirs is None or not _alike(mine, theirs):
            remedy = "Statistics come from the training split alone; make the manifest again."
            problems.append(
                DataError(
                    path,
                    variable=f"statistics.{name}",
                    expected=f"those of the training files, {_short(mine)}",
                    found=_short(theirs),
                    remedy=remedy,
                )
            )
    return problems


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    try:
        left, right = np.asarray(one, np.float64), np.asarray(other, np.float64)
    except (TypeError, ValueError):
        return False
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=1e-6, atol=1e-9, equal_nan=True))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
