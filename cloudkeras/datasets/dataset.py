"""A folder of shards, opened through its manifest: samples by split and index, decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, check, check_choice
from .manifest import MANIFEST_NAME, Manifest, ShardEntry, read_manifest
from .packing import unpack
from .samples import SampleTable
from .shards import check_version, opened, read_samples, read_static, read_stored, read_stored_window, static_names
from .splits import SPLITS
from .windows import fitted


class ShardDataset:
    """Samples of a folder of shards, by split and index. Holds no file open itself and can be pickled.

    Args:
        path: The folder.
        manifest: Its manifest.

    Attributes:
        path: The folder.
        manifest: What it says.
        name: The folder's name.
    """

    def __init__(self, path: str | Path, manifest: Manifest):
        self.path = Path(path)
        self.manifest = manifest
        self.name = self.path.resolve().name
        self._starts = {
            split: np.cumsum([0, *(entry.num_samples for entry in manifest.splits.get(split, ()))]) for split in SPLITS
        }
        self._checked: set[Path] = set()
        self._static: dict[str, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_static": None}

    @classmethod
    def open(cls, folder: str | Path) -> ShardDataset:
        """Opens a folder: reads its manifest and looks whether its files are there in their full size.

        `cloudkeras shards validate` looks inside them as well.

        Raises:
            DataError: If the manifest is missing or wrong, or a file is missing or of another size.
        """
        manifest = read_manifest(folder)
        for entries in manifest.splits.values():
            for entry in entries:
                if (problem := size_problem(Path(folder), entry)) is not None:
                    raise problem
        return cls(folder, manifest)

    def __repr__(self) -> str:
        counts = ", ".join(f"{split} {self.num_samples(split)}" for split in SPLITS)
        return f"ShardDataset({str(self.path)!r}, task {self.task_name!r}, samples: {counts})"

    @property
    def task_name(self) -> str:
        return self.manifest.task

    @property
    def task_options(self) -> dict[str, Any]:
        return dict(self.manifest.task_options)

    @property
    def simulated(self) -> bool:
        return self.manifest.simulated

    @property
    def statistics(self) -> dict[str, dict[str, Any]]:
        """Of the training split; see `normalize.StreamingStatistics.result`."""
        return self.manifest.statistics

    def num_samples(self, split: str) -> int:
        """Samples of a split; 0 if it is empty.

        Raises:
            InputError: If there is no such split.
        """
        return int(self._starts[check_choice(split, SPLITS, "split")][-1])

    def image_shape(self, task: Any = None) -> tuple[int | None, int | None]:
        """Rows and columns of a network's images: those of the samples, or of the windows that the task cuts.

        None along an axis where crops of the training and tiles of the evaluation differ.
        """
        windows = None if task is None else task.windows()
        if windows is None:
            return self.manifest.patch_shape
        windows = fitted(windows, self.manifest.patch_shape)
        rows, columns = (c if c == t else None for c, t in zip(windows.crop, windows.tile, strict=True))
        return rows, columns

    def coordinates(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Coordinate variables of the shards, those of `names` that they have, e.g. "y" and "x" in m."""
        path = next(path for split in SPLITS for path in self.files(split))
        with opened(path) as file:
            return {n: np.asarray(file.variables[n][...]) for n in names if n in file.variables}

    def static(self, name: str) -> np.ndarray | None:
        """A decoded static variable, without a sample dimension; None if the variable is not static.

        All shards hold the same (`cloudkeras shards validate` compares them), so it is read once.
        """
        if self._static is None:
            path = next(path for split in SPLITS for path in self.files(split))
            self._static = {n: read_static(path, n) for n in static_names(path, self.manifest.variables)}
        return self._static.get(name)

    def files(self, split: str) -> list[Path]:
        """The shards of a split, in order of reading."""
        check_choice(split, SPLITS, "split")
        return [self.path / entry.name for entry in self.manifest.splits.get(split, ())]

    def samples(self, split: str) -> SampleTable:
        """Time, place and window of each sample of a split."""
        return SampleTable.concatenate(read_samples(path) for path in self.files(split))

    def read(self, split: str, indices: Sequence[int] | np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Decoded variables of samples, in the order of `indices`.

        Contiguous indices are read as one slice and decoded at once; ascending order is the fastest.

        Args:
            split: The split.
            indices: Sample numbers in the split, repeats allowed.
            names: Variables.

        Returns:
            By name, sample first: float32 in physical units with NaN for missing, or integers with -1 for a missing
            class. Static variables are repeated (a read-only view).

        Raises:
            DataError: If a shard cannot be read or lacks a variable.
            InputError: If an index does not exist.
        """
        wanted = np.asarray(indices, np.int64).ravel()
        total = self.num_samples(split)
        check(
            wanted.size > 0 and bool(wanted.min() >= 0 and wanted.max() < total),
            f"Split '{split}' of {self.path} has {total} samples; at least one index, each from 0 to {total - 1}.",
            indices=wanted[:8].tolist(),
        )
        files, starts = self.files(split), self._starts[split]
        shard = np.searchsorted(starts, wanted, side="right") - 1
        fields: dict[str, np.ndarray] = {}
        stored_once = {name: values for name in names if (values := self.static(name)) is not None}
        each = [name for name in names if name not in stored_once]
        for number in np.unique(shard) if each else ():
            where = np.flatnonzero(shard == number)
            self._check_once(files[number])
            for name, stored in read_stored(files[number], each, wanted[where] - starts[number]).items():
                values = unpack(*stored)
                if len(where) == len(wanted):
                    fields[name] = values
                    continue
                if name not in fields:
                    fields[name] = np.empty((len(wanted), *values.shape[1:]), values.dtype)
                if fields[name].shape[1:] != values.shape[1:]:
                    raise DataError(
                        files[number],
                        variable=name,
                        expected=f"the shape {fields[name].shape[1:]} of the other shards",
                        found=f"{values.shape[1:]}",
                    )
                fields[name][where] = values
        return fields | {n: np.broadcast_to(v, (len(wanted), *v.shape)) for n, v in stored_once.items()}

    def read_window(
        self, split: str, index: int, names: Sequence[str], window: Mapping[str, slice]
    ) -> dict[str, np.ndarray]:
        """A part of one sample, decoded, without the sample dimension; only the chunks that it touches are read.

        Args:
            split: The split.
            index: Sample number in the split.
            names: Variables.
            window: Slices by dimension; a dimension that is not named is read as a whole.
        """
        starts = self._starts[split]
        number = int(np.searchsorted(starts, index, side="right")) - 1
        path = self.files(split)[number]
        self._check_once(path)
        each = [name for name in names if self.static(name) is None]
        stored = read_stored_window(path, each, int(index - starts[number]), window)
        fields = {name: unpack(*values) for name, values in stored.items()}
        for name in names:
            if (values := self.static(name)) is not None:
                dims = self._dims(path, name)
                fields[name] = values[tuple(window.get(dim, slice(None)) for dim in dims)]
        return fields

    @staticmethod
    def _dims(path: Path, name: str) -> tuple[str, ...]:
        with opened(path) as file:
            return file.variables[name].dimensions

    def _check_once(self, path: Path) -> None:
        if path not in self._checked:
            check_version(path)
            self._checked.add(path)


def size_problem(folder: Path, entry: ShardEntry) -> DataError | None:
    """What is wrong with a file that a manifest lists, as far as its size tells."""
    path = folder / entry.name
    if not path.is_file():
        return DataError(path, expected=f"a file, listed in {MANIFEST_NAME}", found="none")
    if (size := path.stat().st_size) != entry.bytes:
        return DataError(
            path,
            expected=f"{entry.bytes} bytes, as {MANIFEST_NAME} says",
            found=f"{size} bytes",
            remedy="The file is truncated or was changed after the manifest was written; copy or make it again.",
        )
    return None
