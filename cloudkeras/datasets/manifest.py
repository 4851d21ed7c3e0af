"""The manifest: a JSON file beside the shards that says what they are, how they split and how to normalise them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import DataError
from .schema import SCHEMA_VERSION
from .shards import new_file
from .splits import SITE_DEGREES, SPLITS

MANIFEST_NAME = "manifest.json"
SCHEMA_NAME = "cloudkeras-shards"


@dataclass(frozen=True)
class ShardEntry:
    """One file of a split.

    Attributes:
        name: File name in the folder of the manifest.
        num_samples: Samples in it.
        bytes: Its size.
        sha256: Its checksum.
    """

    name: str
    num_samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Attributes:
        task: Name of the task.
        task_options: Options that the shards were made with.
        simulated: Whether the data are simulated.
        patch_shape: Rows and columns of every sample.
        variables: Names of the variables in every shard.
        splits: Files by split, in order of reading.
        labels: Labelled values by split and variable, "target" for a regression.
        statistics: Of the training split; see `normalize.StreamingStatistics.result`.
        gap_seconds: Shortest time between samples of different splits at one place.
        site_degrees: What counts as one place; see `splits.check_no_leak`.
        provenance: Where the data come from, any JSON.
        created: UTC, ISO 8601.
        cloudkeras_version: Version that wrote it.
    """

    task: str
    task_options: dict[str, Any]
    simulated: bool
    patch_shape: tuple[int, int]
    variables: tuple[str, ...]
    splits: dict[str, tuple[ShardEntry, ...]]
    labels: dict[str, dict[str, int]]
    statistics: dict[str, dict[str, Any]]
    gap_seconds: float
    site_degrees: float = SITE_DEGREES
    provenance: dict[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    cloudkeras_version: str = __version__

    def num_samples(self, split: str) -> int:
        """Samples of a split, 0 if it has no file."""
        return sum(entry.num_samples for entry in self.splits.get(split, ()))


_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "task": (dict, "an object with 'name' and 'options'"),
    "simulated": (bool, "true or false"),
    "patch_shape": (list, "two whole numbers, rows and columns"),
    "variables": (list, "a list of names"),
    "splits": (dict, "an object by split"),
    "labels": (dict, "an object by split"),
    "statistics": (dict, "an object by variable"),
    "gap_seconds": ((int, float), "a number of seconds"),
    "site_degrees": ((int, float), "a number of degrees"),
    "provenance": (dict, "an object"),
    "created": (str, "a time"),
    "cloudkeras_version": (str, "a version"),
}


def write_manifest(folder: str | Path, manifest: Manifest) -> Path:
    """Writes `manifest.json` into the folder, under its name only when complete."""
    content: dict[str, Any] = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, **asdict(manifest)}
    content["task"] = {"name": manifest.task, "options": content.pop("task_options")}
    content["splits"] = {
        split: {"num_samples": manifest.num_samples(split), "files": files}
        for split, files in content["splits"].items()
    }
    path = Path(folder) / MANIFEST_NAME
    text = json.dumps(content, indent=1, allow_nan=False)
    with new_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def read_manifest(folder: str | Path) -> Manifest:
    """Reads and checks `manifest.json` of a folder.

    Raises:
        DataError: If there is none, or an entry is missing or not what it should be; the entry is named.
    """
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        raise DataError(
            path,
            expected="a folder of shards with its manifest",
            found="no manifest" if Path(folder).is_dir() else f"no folder '{folder}'",
            remedy="The manifest is written last: if making the shards was interrupted, make them again. "
            "Observations and rasters become shards by `cloudkeras ingest`.",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(path, expected="JSON", found=f"text that does not parse ({error})") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_NAME:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise DataError(path, variable="schema", expected=repr(SCHEMA_NAME), found=repr(found))
    if content.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            path,
            variable="schema_version",
            expected=f"schema version {SCHEMA_VERSION}",
            found=repr(content.get("schema_version")),
            remedy="Make the shards again with this version of cloudkeras.",
        )
    return _checked(path, content)


def _checked(path: Path, content: Mapping[str, Any]) -> Manifest:
    for name, (kind, words) in _KINDS.items():
        value = content.get(name)
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        _require(path, name, not wrong, words, value if name in content else "nothing")
    task, patch = content["task"], content["patch_shape"]
    named = isinstance(task.get("name"), str) and isinstance(task.get("options"), dict)
    _require(path, "task", named, "an object with 'name' and 'options'", task)
    whole = len(patch) == 2 and all(_is_count(size) and size > 0 for size in patch)
    _require(path, "patch_shape", whole, "two whole numbers, rows and columns", patch)
    for split, counts in content["labels"].items():
        counted = isinstance(counts, dict) and all(_is_count(count) for count in counts.values())
        _require(path, f"labels.{split}", counted, "counts by variable", counts)
    splits = {split: _entries(path, split, value) for split, value in content["splits"].items()}
    plain = {name: content[name] for name in _KINDS if name not in ("task", "splits", "patch_shape", "variables")}
    return Manifest(
        task=task["name"],
        task_options=task["options"],
        splits=splits,
        patch_shape=(patch[0], patch[1]),
        variables=tuple(content["variables"]),
        **plain,
    )


def _entries(path: Path, split: str, value: Any) -> tuple[ShardEntry, ...]:
    _require(path, f"splits.{split}", split in SPLITS, f"one of {', '.join(SPLITS)}", split)
    listed = isinstance(value, dict) and isinstance(value.get("files"), list)
    _require(path, f"splits.{split}", listed, "an object with 'files' and 'num_samples'", value)
    kinds = {"name": str, "num_samples": int, "bytes": int, "sha256": str}
    for entry in value["files"]:
        good = isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())
        plain = good and Path(entry["name"]).name == entry["name"] and _is_count(entry["num_samples"])
        _require(path, f"splits.{split}.files", plain, "entries with name, num_samples, bytes and sha256", entry)
    entries = tuple(ShardEntry(**{name: entry[name] for name in kinds}) for entry in value["files"])
    total = sum(entry.num_samples for entry in entries)
    _require(
        path, f"splits.{split}.num_samples", value.get("num_samples") == total, str(total), value.get("num_samples")
    )
    return entries


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _require(path: Path, name: str, holds: bool, expected: str, found: Any) -> None:
    if not holds:
        text = found if isinstance(found, str) else json.dumps(found)
        raise DataError(path, variable=name, expected=expected, found=text if len(text) <= 200 else text[:197] + "...")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
