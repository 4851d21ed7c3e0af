"""Batches for training and scoring, the same ones for every backend.

`Batches` is NumPy alone; `as_tf_dataset` and `as_pydataset` hand the very same arrays to TensorFlow and to the other
backends. Which samples are in batch `i`, in which order and how augmented, is a function of (seed, epoch, i) and of
nothing else, so that a run that was killed goes on as if it had not been.

Where a task cuts windows (`Task.windows`), batches are made of windows instead of samples. Shuffled batches hold random
crops, each a function of (seed, epoch, number of the crop); a crop without any label is drawn anew, at most
`windows.MAX_DRAWS` times. Other batches hold the tiles of each sample, in order, and the labels of a tile are missing
outside its core, so that each pixel is judged once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, InputError, check, check_choice
from .dataset import ShardDataset
from .samples import SampleTable
from .schema import CLASS_MISSING
from .splits import SPLITS
from .windows import MAX_DRAWS, TileGrid, draw_crop, fitted, tile_grid

if TYPE_CHECKING:
    from ..tasks import Fields, Task

BLOCK = 8
"""Consecutive samples that are shuffled as one and read as one slice."""
GROUP_BLOCKS = 8
"""Blocks whose samples are mixed with each other, and read together."""


def epoch_order(num_samples: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `range(num_samples)`, a pure function of its arguments, that keeps reads nearly contiguous.

    Blocks of `BLOCK` consecutive samples are permuted; then the samples of each `GROUP_BLOCKS` blocks that came to lie
    together are mixed. Up to `BLOCK * GROUP_BLOCKS` samples this is a shuffle of all of them.
    """
    rng = np.random.default_rng([seed, epoch])
    blocks = [np.arange(first, min(first + BLOCK, num_samples)) for first in range(0, num_samples, BLOCK)]
    blocks = [blocks[i] for i in rng.permutation(len(blocks))]
    groups = [np.concatenate(blocks[i : i + GROUP_BLOCKS]) for i in range(0, len(blocks), GROUP_BLOCKS)]
    return np.concatenate([rng.permutation(group) for group in groups])


class Batches(Sequence):
    """The batches of a split.

    With several processes each gets a contiguous share of the epoch's order, and all get the same number of batches. By
    default no sample is lost: shares differ by at most one sample, and so may the sizes of the last two batches. For
    training in step, where every process must have batches of one size, use `drop_remainder=True`: what does not fill a
    batch in every process is left out, with `shuffle` other samples in every epoch.

    Args:
        dataset: The shards.
        task: The task, with the options to train with.
        split: "train", "validation" or "test".
        batch_size: Samples a batch in this process; the last batch may be smaller.
        output_names: Names of the model's outputs; see `Task.targets`.
        shuffle: Whether to shuffle anew in each epoch; see `epoch_order`.
        augment: Whether `Task.prepare` gets a random generator.
        seed: Of order and augmentation.
        process_index: Number of this process.
        process_count: Number of processes that share the split.
        limit: Use this many samples (or windows), spread evenly over the split; None for all.
        drop_remainder: Whether to leave out what does not fill a batch.
        statistics: Statistics to normalise with; None for those of the dataset. A trained model needs those of its own
            training data.
        samples: Numbers of the samples in the split to use; None for all.

    Raises:
        InputError: If an option is out of range, the task is not that of the shards, or the split is empty.
        DataError: If the shards lack a variable that the task's options need, or the split holds no label.
    """

    def __init__(
        self,
        dataset: ShardDataset,
        task: Task,
        split: str,
        batch_size: int,
        *,
        output_names: Sequence[str] = ("final",),
        shuffle: bool = False,
        augment: bool = False,
        seed: int = 0,
        process_index: int = 0,
        process_count: int = 1,
        limit: int | None = None,
        drop_remainder: bool = False,
        statistics: Mapping[str, Any] | None = None,
        samples: Sequence[int] | np.ndarray | None = None,
    ):
        check(_whole(batch_size) and batch_size >= 1, "`batch_size` is at least 1.", batch_size=batch_size)
        check(_whole(seed) and seed >= 0, "`seed` is a whole number, at least 0.", seed=seed)
        check(
            _whole(process_count) and _whole(process_index) and 0 <= process_index < process_count,
            "`process_index` counts from 0 to `process_count` - 1.",
            process_index=process_index,
            process_count=process_count,
        )
        check(limit is None or (_whole(limit) and limit >= 1), "`limit` is None or at least 1.", limit=limit)
        _check_fit(dataset, task, check_choice(split, SPLITS, "split"))
        self.dataset, self.task, self.split, self.batch_size = dataset, task, split, batch_size
        self.output_names = tuple(output_names)
        self.shuffle, self.augment, self.seed = shuffle, augment, seed
        self.process_index, self.process_count = process_index, process_count
        self.statistics = dataset.statistics if statistics is None else statistics
        self.epoch = 0
        used = np.arange(dataset.num_samples(split)) if samples is None else np.asarray(samples, np.int64)
        windows, shape = task.windows(), dataset.manifest.patch_shape
        self._windows = None if windows is None else fitted(windows, shape)
        self._tiles: TileGrid | None = None
        self._per_sample = 1
        if self._windows is not None:
            self._per_sample = self._count_windows()
            used = (used[:, None] * self._per_sample + np.arange(self._per_sample)).ravel()
        total = len(used)
        kept = total if limit is None else min(limit, total)
        self._selected = used[np.arange(kept) * total // kept]  # numbers of samples or, with windows, of windows
        self._edges = _batch_edges(kept, batch_size, process_index, process_count, drop_remainder)
        self._store = _GroupStore()
        self._table: SampleTable | None = None

    def _count_windows(self) -> int:
        assert self._windows is not None
        if self.shuffle:
            return self._windows.crops_per_sample
        self._tiles = tile_grid(self._windows, self.dataset.manifest.patch_shape)
        return len(self._tiles)

    # ---- which samples -----------------------------------------------------------------------------------------------

    @property
    def num_samples(self) -> int:
        """Samples, or windows, that this process gets in an epoch."""
        return int(self._edges[-1] - self._edges[0])

    @property
    def tiles(self) -> TileGrid | None:
        """The tiles that cover each sample; None without windows or for random crops."""
        return self._tiles

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the network's input."""
        rows, columns = self.dataset.manifest.patch_shape
        if self._windows is not None:
            rows, columns = self._windows.crop if self._tiles is None else self._windows.tile
        return rows, columns, len(self.task.channel_names())

    def set_epoch(self, epoch: int) -> None:
        """Makes order and augmentation those of an epoch; iterators that began before keep theirs."""
        check(_whole(epoch) and epoch >= 0, "`epoch` is a whole number, at least 0.", epoch=epoch)
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return len(self._edges) - 1

    def _order(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return self._selected
        return self._store.order(epoch, lambda: self._selected[epoch_order(len(self._selected), self.seed, epoch)])

    def indices(self, i: int) -> np.ndarray:
        """Numbers in the split of the samples in batch `i` of the present epoch; with windows, one for each window."""
        return self._indices(self._batch_number(i), self.epoch) // self._per_sample

    def starts(self, i: int) -> np.ndarray:
        """First row and column in their samples of the windows in batch `i` of the present epoch, (windows, 2)."""
        number = self._batch_number(i)
        if self._windows is None:
            return np.zeros((len(self.indices(i)), 2), np.int64)
        return np.stack([self._place(item, self.epoch) for item in self._indices(number, self.epoch)])

    def tile_numbers(self, i: int) -> np.ndarray:
        """Numbers of the tiles in batch `i` within their samples."""
        return self._indices(self._batch_number(i), self.epoch) % self._per_sample

    def read(self, i: int, names: Sequence[str]) -> Fields:
        """Further variables of the samples, or windows, in batch `i` of the present epoch, as the shards hold them."""
        if self._windows is None:
            return self.dataset.read(self.split, self.indices(i), names)
        items = self._indices(self._batch_number(i), self.epoch)
        return _stacked([self._read_window(item, self._place(item, self.epoch), names) for item in items])

    def _batch_number(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"There are {len(self)} batches. Received index {i}.")
        return int(i) % len(self)

    def _indices(self, i: int, epoch: int) -> np.ndarray:
        return self._order(epoch)[self._edges[i] : self._edges[i + 1]]

    # ---- what is in them ---------------------------------------------------------------------------------------------

    def fields(self, i: int) -> Fields:
        """Prepared fields of batch `i`, in physical units, with the network's `target`."""
        return self._fields(self._batch_number(i), self.epoch)

    def _fields(self, i: int, epoch: int) -> Fields:
        rng = None
        if self.augment:
            rng = np.random.default_rng([self.seed, epoch, i * self.process_count + self.process_index])
        fields = self.task.prepare(self._with_columns(self._read(i, epoch), i, epoch), rng)
        return {**fields, "target": self.task.target(fields)}

    def _with_columns(self, fields: Fields, i: int, epoch: int) -> Fields:
        """The fields with what the task asks for of the table of samples."""
        if not self.task.sample_columns:
            return fields
        if self._table is None:
            self._table = self.dataset.samples(self.split)
        indices = self._indices(i, epoch) // self._per_sample
        return fields | {name: getattr(self._table, name)[indices] for name in self.task.sample_columns}

    def _read_windows(self, i: int, epoch: int) -> Fields:
        parts = []
        for item in self._indices(i, epoch):
            part = self._read_window(item, self._place(item, epoch), self.task.read_names())
            if self._tiles is not None:
                self._hide_margin(part, int(item) % self._per_sample)
            parts.append(part)
        return _stacked(parts)

    def _read_window(self, item: int, start: np.ndarray, names: Sequence[str]) -> Fields:
        rows, columns, _ = self.input_shape
        y, x = (int(n) for n in start)
        window = {self.task.row_dim: slice(y, y + rows), self.task.column_dim: slice(x, x + columns)}
        return self.dataset.read_window(self.split, int(item) // self._per_sample, names, window)

    def _place(self, item: int, epoch: int) -> np.ndarray:
        """First row and column of a window; a crop is drawn until it holds a label."""
        if self._tiles is not None:
            return self._tiles.starts[int(item) % self._per_sample]
        assert self._windows is not None
        rng = np.random.default_rng([self.seed, epoch, int(item), 1])  # 1: another stream than that of augmentation
        for _ in range(MAX_DRAWS):
            place = np.array(draw_crop(rng, self._windows.crop, self.dataset.manifest.patch_shape))
            labels = self._read_window(item, place, self.task.label_names())
            if not labels or any(_labelled(values).any() for values in labels.values()):
                break
        return place

    def _hide_margin(self, fields: Fields, tile: int) -> None:
        """Makes the labels of a tile missing outside its core, in place."""
        assert self._tiles is not None
        y0, y1, x0, x1 = self._tiles.cores[tile] - np.repeat(self._tiles.starts[tile], 2)
        for variable in self.task.variables():
            if variable.name in self.task.label_names() and variable.name in fields:
                values = fields[variable.name]
                core = [slice(None)] * values.ndim
                dims = [dim for dim in variable.dims if dim != "sample"]
                core[dims.index(self.task.row_dim)] = slice(y0, y1)
                core[dims.index(self.task.column_dim)] = slice(x0, x1)
                hidden = np.full_like(values, np.nan if values.dtype.kind == "f" else CLASS_MISSING)
                hidden[tuple(core)] = values[tuple(core)]
                fields[variable.name] = hidden

    def _read(self, i: int, epoch: int) -> Fields:
        if self._windows is not None:
            return self._read_windows(i, epoch)
        indices = self._indices(i, epoch)
        if not self.shuffle:
            return self.dataset.read(self.split, indices, self.task.read_names())
        size = BLOCK * GROUP_BLOCKS
        positions = np.arange(self._edges[i], self._edges[i + 1])
        in_order, self._store.last = self._store.last == (epoch, i - 1), (epoch, i)
        parts = []
        for group in np.unique(positions // size):
            first = max(group * size, self._edges[0])
            members = np.sort(self._order(epoch)[first : min((group + 1) * size, self._edges[-1])])
            wanted = indices[positions // size == group]
            starts_here = in_order or positions[0] <= first
            parts.append(self._store.read((epoch, int(group)), self._reader, members, wanted, keep=starts_here))
        return parts[0] if len(parts) == 1 else {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}

    def _reader(self, indices: np.ndarray) -> Fields:
        return self.dataset.read(self.split, indices, self.task.read_names())

    def _first(self) -> Fields:
        """What one sample or window looks like before `Task.prepare`."""
        if self._windows is None:
            fields = self._reader(self._selected[:1])
        else:
            item = self._selected[0]
            place = np.zeros(2, np.int64)
            fields = _stacked([self._read_window(item, place, self.task.read_names())])
        columns = {name: np.zeros(1) for name in self.task.sample_columns}
        return fields | columns

    def _batch(self, i: int, epoch: int) -> tuple[np.ndarray, Any]:
        fields = self._fields(i, epoch)
        inputs = self.task.network_inputs(fields, self.statistics)
        return np.asarray(inputs, np.float32), self.task.targets(fields, self.output_names)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:  # type: ignore[override]
        return self._batch(self._batch_number(i), self.epoch)

    def __iter__(self) -> Iterator[tuple[np.ndarray, Any]]:
        epoch = self.epoch
        return (self._batch(i, epoch) for i in range(len(self)))

    # ---- for Keras ---------------------------------------------------------------------------------------------------

    def as_tf_dataset(self, prefetch: int = 2) -> Any:
        """The batches as a `tf.data.Dataset`, read ahead by one thread; needs TensorFlow.

        An iteration gives the epoch that was set when it began. Iterating does not advance the epoch, since Keras may
        iterate more often than it trains: give `epoch_callback()` to `fit`.
        """
        import tensorflow as tf

        dataset = tf.data.Dataset.from_generator(lambda: iter(self), output_signature=self._signature(tf))
        cardinality = tf.data.experimental.assert_cardinality(len(self))
        return dataset.apply(cardinality).prefetch(prefetch)

    def _signature(self, tf: Any) -> Any:
        fields = self.task.prepare(self._first())
        inputs = np.asarray(self.task.network_inputs(fields, self.statistics), np.float32)
        targets = self.task.targets(fields, self.output_names)
        return tf.nest.map_structure(lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype), (inputs, targets))

    def as_pydataset(self, read_ahead: bool = True) -> Any:
        """The batches as a `keras.utils.PyDataset`, for any backend.

        Give `shuffle=False` to `fit`: otherwise Keras permutes the batches once more, with a generator that is not
        seeded. The next batch is made by a thread of ours. Keras's own workers (`workers=2`) keep what they have read
        ahead at the end of an epoch and hand it out in the next one (Keras 3.15, `PyDatasetEnqueuer.stop`), so that
        batches of the epoch before take the place of the last ones.

        Args:
            read_ahead: Whether a thread makes the next batch while one is in use.
        """
        import keras

        batches = self

        class PyBatches(keras.utils.PyDataset):
            def __init__(self) -> None:
                super().__init__()
                self._thread = ThreadPoolExecutor(1) if read_ahead else None
                self._next: tuple[tuple[int, int], Future] | None = None

            def __len__(self) -> int:
                return len(batches)

            def __getitem__(self, i: int) -> tuple[np.ndarray, Any]:
                epoch, i = batches.epoch, batches._batch_number(i)
                ahead, self._next = self._next, None
                batch = ahead[1].result() if ahead and ahead[0] == (epoch, i) else batches._batch(i, epoch)
                if self._thread is not None and i + 1 < len(batches):
                    self._next = (epoch, i + 1), self._thread.submit(batches._batch, i + 1, epoch)
                return batch

        return PyBatches()

    def for_fit(self) -> Any:
        """What to give to `fit`, `evaluate` or `predict` on the present backend."""
        import keras

        return self.as_tf_dataset() if keras.backend.backend() == "tensorflow" else self.as_pydataset()

    def epoch_callback(self) -> Any:
        """A `keras.callbacks.Callback` that sets the epoch of these batches when `fit` begins it."""
        import keras

        batches = self

        class SetEpoch(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                batches.set_epoch(epoch)

        return SetEpoch()


class _GroupStore:
    """The groups read last, shared by the batches that are cut from them, and the order of the last epochs."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._groups: OrderedDict[tuple[int, int], tuple[np.ndarray, Fields]] = OrderedDict()
        self._orders: OrderedDict[int, np.ndarray] = OrderedDict()
        self.last: tuple[int, int] | None = None

    def __reduce__(self) -> tuple[type[_GroupStore], tuple[()]]:
        return _GroupStore, ()

    def order(self, epoch: int, make: Any) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                self._orders[epoch] = make()
                while len(self._orders) > 2:
                    self._orders.popitem(last=False)
            return self._orders[epoch]

    def read(self, key: tuple[int, int], read: Any, members: np.ndarray, wanted: np.ndarray, *, keep: bool) -> Fields:
        """Fields of the samples `wanted` out of the group `members` (sorted).

        A group is read as a whole when batches come in order; asked for at random, only what is wanted is read.
        """
        with self._lock:
            if key not in self._groups:
                if not keep:
                    order = np.argsort(wanted, kind="stable")
                    back = np.argsort(order, kind="stable")
                    return {name: values[back] for name, values in read(wanted[order]).items()}
                self._groups[key] = members, read(members)
                while len(self._groups) > 2:
                    self._groups.popitem(last=False)
            members, fields = self._groups[key]
        where = np.searchsorted(members, wanted)
        return {name: values[where] for name, values in fields.items()}


def _stacked(parts: Sequence[Fields]) -> Fields:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _labelled(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) if values.dtype.kind == "f" else values != CLASS_MISSING


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _batch_edges(kept: int, batch_size: int, index: int, count: int, drop_remainder: bool) -> np.ndarray:
    """Positions in the epoch's order where the batches of a process begin, and the end of the last."""
    if drop_remainder:
        each = kept // (count * batch_size)
        check(
            each >= 1,
            "With `drop_remainder` a split fills at least one batch in every process; use a smaller `batch_size`.",
            samples=kept,
            batch_size=batch_size,
            process_count=count,
        )
        return index * each * batch_size + np.arange(each + 1) * batch_size
    shares = np.arange(count + 1) * kept // count
    sizes = np.diff(shares)
    each = -(-int(sizes.max()) // batch_size)
    check(
        int(sizes.min()) >= each,
        "Every process needs a sample for each batch; use `drop_remainder` or another `batch_size`.",
        samples=kept,
        batch_size=batch_size,
        process_count=count,
    )
    size = int(sizes[index])
    inner = np.minimum(np.arange(each) * batch_size, size - (each - np.arange(each)))
    return shares[index] + np.array([*inner, size])


def _check_fit(dataset: ShardDataset, task: Task, split: str) -> None:
    """Raises unless the shards are for the task and the split has something to learn from."""
    if task.name != dataset.task_name:
        raise InputError(
            f"The shards in {dataset.path} are for task '{dataset.task_name}'. Received task '{task.name}'."
        )
    total = dataset.num_samples(split)
    if total == 0:
        held = [name for name in SPLITS if dataset.num_samples(name)]
        raise InputError(
            f"Split '{split}' of {dataset.path} is empty; it has samples in: {', '.join(held) or 'none'}. "
            "Use one of those, or make the shards with a share for this split."
        )
    if missing := [name for name in task.read_names() if name not in dataset.manifest.variables]:
        raise DataError(
            dataset.path,
            variable=missing[0],
            expected=f"the variable, which task '{task.name}' needs with the options {task.options()}",
            found=f"only {', '.join(dataset.manifest.variables)}",
            remedy="Change the task's options or make shards that hold it.",
        )
    counts = dataset.manifest.labels.get(split, {})
    labels = [v.name for v in task.variables() if v.flag_meanings and not v.static and v.name in task.read_names()]
    wanted = labels or ["target"]
    for name in wanted:
        if counts.get(name) == 0:
            raise DataError(
                dataset.path,
                variable=name,
                expected=f"at least 1 label in split '{split}'",
                found=f"{total} samples without any",
                remedy="Use another split, or make shards with labels.",
            )
