"""A shard, or a folder of shards, in words and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import ShardDataset
from .packing import unpack
from .samples import SampleTable
from .shards import check_version, closing_files, opened, portions, read_samples, read_stored, static_names
from .splits import SPLITS

_CHUNK = 16  # samples read together
_LISTED = 8  # longest list that is written out


def describe(path: str | Path) -> str:
    """What a shard or a folder of shards holds: samples, variables, units, ranges, class shares, splits.

    Args:
        path: A NetCDF file or a folder.

    Raises:
        DataError: If it is neither.
    """
    with closing_files():
        return _describe_folder(Path(path)) if Path(path).is_dir() else _describe_file(Path(path))


def _describe_file(path: Path) -> str:
    check_version(path)
    with opened(path) as file:
        attributes = {name: file.getncattr(name) for name in file.ncattrs()}
        names = [n for n, v in file.variables.items() if v.dimensions[:1] == ("sample",) and len(v.dimensions) > 1]
        rest = {n: len(v.dimensions) for n, v in file.variables.items() if "sample" not in v.dimensions}
    static = [n for n in _static_names(attributes) if n in rest]
    coordinates = [n for n, size in rest.items() if size and n not in static]
    samples = read_samples(path)
    kind = "simulated" if attributes.get("simulated") == "true" else "not simulated"
    lines = [
        f"{path}: {attributes.get('title', 'shard')}",
        f"task {attributes.get('cloudkeras_task', 'not stated')}, {kind}, "
        f"schema version {attributes['cloudkeras_schema_version']}, {path.stat().st_size / 1e6:.1f} MB",
        f"source: {attributes.get('source', 'not stated')}",
        *_describe_samples(samples),
        f"coordinates: {', '.join(coordinates) or 'none'}",
        "",
    ]
    rows: list[tuple[str, ...]] = [("variable", "dimensions", "unit", "smallest", "mean", "largest", "missing")]
    shares: list[str] = []
    for name in (*names, *static):
        row, share = _describe_variable(path, name, len(samples))
        rows.append(row)
        shares.extend(share)
    return "\n".join([*lines, *_table(rows), *shares])


def _static_names(attributes: Mapping[str, Any]) -> list[str]:
    """Static variables of the task that the file is for; none if there is no such task."""
    from ..tasks import TASKS

    task = TASKS.get(str(attributes.get("cloudkeras_task")))
    return [] if task is None else [variable.name for variable in task().variables() if variable.static]


def _describe_variable(path: Path, name: str, samples: int) -> tuple[tuple[str, ...], list[str]]:
    with opened(path) as file:
        variable = file.variables[name]
        dims = " x ".join(f"{d} {n}" for d, n in zip(variable.dimensions, variable.shape, strict=True))
        units, flags = getattr(variable, "units", "?"), str(getattr(variable, "flag_meanings", "")).split()
    low, high, total, count, size = np.inf, -np.inf, 0.0, 0, 0
    counts = np.zeros(len(flags), np.int64)
    step = samples if static_names(path, [name]) else min(_CHUNK, len(portions(path, [name])[0]))
    for first in range(0, samples, step):
        stored, packing = read_stored(path, [name], np.arange(first, min(first + step, samples)))[name]
        values = unpack(stored, packing)
        seen = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if values.dtype.kind != "f" and packing.fill is not None:
            seen = values[values != packing.fill]
        size, count = size + values.size, count + seen.size
        if seen.size:
            low, high = min(low, float(seen.min())), max(high, float(seen.max()))
            total += float(seen.sum(dtype=np.float64))
        if flags:
            counts += np.bincount(seen[seen >= 0].ravel(), minlength=len(flags))[: len(flags)]
    numbers = (f"{low:.4g}", f"{total / count:.4g}", f"{high:.4g}") if count else ("-", "-", "-")
    row = (name, dims, units, *numbers, f"{1 - count / max(size, 1):.1%}")
    return row, [f"{name}: {_class_shares(flags, counts)}"] if flags else []


def _class_shares(names: Iterable[str], counts: np.ndarray) -> str:
    total = int(np.sum(counts))
    if not total:
        return "no labelled voxel"
    shares = ", ".join(f"{name} {count / total:.2%}" for name, count in zip(names, counts, strict=True))
    return f"{shares} of {total} labelled voxels"


def _describe_samples(samples: SampleTable) -> list[str]:
    begin, end = (np.datetime64(int(t), "s") for t in (samples.time_start.min(), samples.time_end.max()))
    granules = len(np.unique(samples.granule))
    return [
        f"{len(samples)} samples of {granules} granule{'s' if granules > 1 else ''}, {begin} to {end} UTC",
        f"latitude {samples.latitude.min():.2f} to {samples.latitude.max():.2f}, "
        f"longitude {samples.longitude.min():.2f} to {samples.longitude.max():.2f}",
    ]


def _describe_folder(folder: Path) -> str:
    dataset = ShardDataset.open(folder)
    manifest = dataset.manifest
    options = f" {json.dumps(manifest.task_options)}" if manifest.task_options else ""
    lines = [
        f"{folder}: {'simulated ' if manifest.simulated else ''}shards for task {manifest.task}{options}",
        f"made {manifest.created} by cloudkeras {manifest.cloudkeras_version}",
        f"images of {manifest.patch_shape[0]} x {manifest.patch_shape[1]}; variables: {', '.join(manifest.variables)}",
        f"gap between splits {_duration(manifest.gap_seconds)}; provenance:",
        *_tree(manifest.provenance),
        "",
    ]
    rows = [("split", "samples", "files", "MB", "from", "to (UTC)", "labels")]
    for split in SPLITS:
        entries = manifest.splits.get(split, ())
        if not entries:
            rows.append((split, "0", "0", "-", "-", "-", "-"))
            continue
        table = dataset.samples(split)
        begin, end = (str(np.datetime64(int(t), "s")) for t in (table.time_start.min(), table.time_end.max()))
        labels = ", ".join(f"{name} {count}" for name, count in manifest.labels.get(split, {}).items())
        size = sum(entry.bytes for entry in entries) / 1e6
        rows.append((split, str(len(table)), str(len(entries)), f"{size:.1f}", begin, end, labels or "-"))
    return "\n".join([*lines, *_table(rows), "", "training split:", *_describe_statistics(dataset)])


def _duration(seconds: float) -> str:
    return f"{seconds / 86400:g} days" if seconds >= 2 * 86400 else f"{seconds:g} s"


def _tree(values: Mapping[str, Any], indent: str = "  ") -> list[str]:
    """An entry a line, entries of entries indented; of a long list its ends, the whole of which is in the manifest."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping) and any(isinstance(entry, Mapping) for entry in value.values()):
            lines += [f"{indent}{name}:", *_tree(value, indent + "  ")]
        elif isinstance(value, Mapping):
            lines.append(f"{indent}{name}: " + (", ".join(f"{k} {_short(v)}" for k, v in value.items()) or "none"))
        else:
            lines.append(f"{indent}{name}: {_short(value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) > _LISTED:
        return f"{len(value)}, from {_short(value[0])} to {_short(value[-1])}"
    return json.dumps(value)


def _describe_statistics(dataset: ShardDataset) -> list[str]:
    meanings = _flag_meanings(dataset)
    rows: list[tuple[str, ...]] = [("variable", "smallest", "mean", "std", "largest", "values")]
    shares = []
    for name, found in dataset.statistics.items():
        if "class_counts" in found:
            counts = np.asarray(found["class_counts"])
            names = meanings.get(name) or [str(i) for i in range(counts.shape[1])]
            shares.append(f"{name}: {_class_shares(names, counts.sum(axis=0))}")
            continue
        for i in range(len(found["mean"])):
            label = name if len(found["mean"]) == 1 else f"{name}[{i}]"
            numbers = [found[key][i] for key in ("minimum", "mean", "std", "maximum")]
            rows.append((label, *("-" if n is None else f"{n:.4g}" for n in numbers), str(found["count"][i])))
    return [*_table(rows), *shares]


def _flag_meanings(dataset: ShardDataset) -> dict[str, list[str]]:
    for split in SPLITS:
        for path in dataset.files(split):
            with opened(path) as file:
                found = {n: str(getattr(v, "flag_meanings", "")).split() for n, v in file.variables.items()}
            return {name: flags for name, flags in found.items() if flags}
    return {}


def _table(rows: Sequence[Sequence[Any]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
