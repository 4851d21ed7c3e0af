"""Prediction of a scene of any size in bounded memory: overlapping tiles, blended, written as they complete."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import netCDF4
import numpy as np

from .._version import __version__
from ..datasets.schema import CONVENTIONS
from ..datasets.shards import NETCDF_LOCK, new_file
from ..errors import DataError, check
from ..tasks import Fields, Task
from .products import chunk_length, output_dims, products_for
from .reading import VERTICAL_DIMS, SceneReader
from .tiling import AxisTiles, pad_to

DEFAULT_TILE = 128
STRETCH_COLUMNS = 1024  # columns held in memory at a time; a wider scene is done in stretches of about this
Progress = Callable[[int, int], None]
Window = tuple[slice, slice]
Write = Callable[[Window, np.ndarray, np.ndarray | None, Fields], None]


class Source(Protocol):
    """What is predicted: an image of `rows` x `columns` that is read window by window.

    `read` gives (rows, columns, ...) in physical units, and numbers of the whole scene as arrays without dimensions.
    """

    path: Path
    task: Task
    rows: int
    columns: int

    def read(self, rows: slice, columns: slice) -> Fields:
        """The fields of a window."""


def predict_scene(
    run: Any,
    scene_path: str | Path,
    out_path: str | Path,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    margin: int | None = None,
    batch_size: int = 8,
    members: int = 1,
    seed: int = 0,
    probability: bool = True,
    progress: Progress | None = None,
    stretch_columns: int = STRETCH_COLUMNS,
) -> Path:
    """Applies a run to a scene and writes a CF NetCDF file.

    Overlapping tiles are blended as probabilities (classification) or physical values (regression) with smooth weights
    that add up to 1. A vertical dimension is never cut: rows of a radar curtain stay whole. Where the scene has no
    value in any band the result is missing too. Only one band of tiles is held in memory, whatever the scene's size.

    Args:
        run: A trained run (`cloudkeras.load_run`): its `task`, `statistics`, `model.input_shape` and call are used.
        scene_path: The scene: the task's variables without the sample dimension; see `SceneReader`.
        out_path: The file to write; its folder is made. It appears under this name when it is complete.
        tile: Pixels of a tile; None takes the model's input size (128 for a model of dynamic size).
        overlap: Pixels that neighboring tiles share; None is a quarter of the tile.
        margin: Pixels at inner tile borders that are not used; None is an eighth of the overlap.
        batch_size: Tiles in one call of the model.
        members: Passes of a model with Monte Carlo dropout; more than one also writes their spread (entropy of the
            mean probability, or the standard deviation).
        seed: Of the members; the same seed gives the same file.
        probability: Whether class probabilities are written beside the classes.
        progress: Called with the tiles done and the tiles in all.
        stretch_columns: Columns held in memory at a time.

    Returns:
        `out_path`.

    Raises:
        InputError: If an option is wrong, or several members are asked of a model that always says the same.
        DataError: If the scene is not what the task needs.
    """
    scene_path, out_path, task = Path(scene_path), Path(out_path), run.task
    check(batch_size >= 1, "`batch_size` is at least 1.", batch_size=batch_size)
    check(members >= 1, "`members` is at least 1.", members=members)
    check(
        members == 1 or hasattr(run, "sample"),
        "Several members need a run with Monte Carlo dropout, or a deep ensemble; leave `members` out.",
        members=members,
    )
    check(
        not out_path.exists() or not scene_path.exists() or not os.path.samefile(out_path, scene_path),
        "The output is another file than the scene.",
        out=str(out_path),
    )
    check(not out_path.is_dir(), "The output is a file, not a folder.", out=str(out_path))
    with SceneReader(scene_path, task, run.statistics) as reader:
        tiles = scene_tiles(run, reader, tile, overlap, margin)
        products = products_for(task, probability=probability, spread=members > 1)
        with _created(out_path) as output:
            with NETCDF_LOCK:
                products.define(output, reader, _chunks(tiles, task))
            predictor = Predictor(run, batch_size, members, seed)

            def write(window: Window, mean: np.ndarray, spread: np.ndarray | None, block: Fields) -> None:
                with NETCDF_LOCK:
                    products.write(output, reader, window, mean, spread, block)

            stream(predictor, reader, tiles, write, stretch_columns, progress)
            with NETCDF_LOCK:
                output.setncatts(_attributes(run, reader, tiles, members))
    return out_path


def scene_tiles(
    run: Any, reader: Source, tile: int | None = None, overlap: int | None = None, margin: int | None = None
) -> tuple[AxisTiles, AxisTiles]:
    """The tiles of a scene along its rows and columns.

    Where the task cuts windows out of samples, tiles are by default as large as those that it is judged on, and
    blended over half of what neighbors share. A method without a network (a baseline) sees the scene at once.

    Raises:
        InputError: If the tile does not fit the model.
        DataError: If a vertical dimension has another size than the model's.
    """
    tiles = []
    sizes, windows = (reader.rows, reader.columns), reader.task.windows()
    model_sizes = run.model.input_shape[1:3] if hasattr(run, "model") else sizes
    usual = (DEFAULT_TILE, DEFAULT_TILE) if windows is None else windows.tile
    for dim, size, fixed, default in zip(
        (reader.task.row_dim, reader.task.column_dim), sizes, model_sizes, usual, strict=True
    ):
        if dim in VERTICAL_DIMS:
            if fixed not in (None, size):
                raise DataError(reader.path, expected=f"{fixed} values along '{dim}', as in training", found=str(size))
            tiles.append(AxisTiles(size, size))
            continue
        check(
            tile is None or fixed in (None, tile),
            f"The model takes tiles of {fixed} along '{dim}' alone; leave `tile` out.",
            tile=tile,
        )
        length = fixed or tile or default
        usual_overlap, share = (length // 4, 8) if windows is None else (max(2 * windows.margin, length // 4), 4)
        usual_overlap = min(usual_overlap, length // 2)
        shared = usual_overlap if overlap is None else overlap
        tiles.append(AxisTiles(size, length, shared, shared // share if margin is None else margin))
    return tiles[0], tiles[1]


@dataclass(frozen=True)
class Predictor:
    """From tiles of fields in physical units to decoded output, several members averaged.

    Attributes:
        run: The run.
        batch_size: Tiles in one call.
        members: Passes of a stochastic model, of its `sample`.
        seed: Of the members.
    """

    run: Any
    batch_size: int
    members: int = 1
    seed: int = 0

    def __call__(self, tiles: list[Fields]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields for each tile the mean and, with several members, the variance of the decoded output, float32."""
        task: Task = self.run.task
        for start in range(0, len(tiles), self.batch_size):
            some = tiles[start : start + self.batch_size]
            fields = task.prepare({name: np.stack([t[name] for t in some]) for name in some[0]})
            x = task.network_inputs(fields, getattr(self.run, "statistics", {}))  # a baseline may have none
            if self.members == 1:
                yield from ((value, None) for value in self._decoded(x))
            else:
                yield from (self._mean_and_variance(x[i : i + 1]) for i in range(len(x)))

    def _mean_and_variance(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the decoded members of one tile; the variance is that of the population they are drawn from."""
        members = np.asarray(self.run.sample(x, self.members, seed=self.seed), np.float32)[:, 0]
        values = np.asarray(self.run.task.decode(members, np.broadcast_to(x, (len(members), *x.shape[1:]))))
        variance = values.var(axis=0, ddof=1, dtype=np.float64).astype(np.float32)
        return values.mean(axis=0, dtype=np.float64).astype(np.float32), variance

    def _decoded(self, x: np.ndarray) -> np.ndarray:
        """One pass: network input to probabilities or physical values."""
        predict = getattr(self.run, "predict", None)  # a run takes the batch size; any other method takes what it gets
        outputs = self.run(x) if predict is None else predict(x, self.batch_size)
        return np.asarray(self.run.task.decode(np.asarray(outputs, np.float32), x), np.float32)


def stream(
    predictor: Predictor,
    reader: Source,
    tiles: tuple[AxisTiles, AxisTiles],
    write: Write,
    stretch_columns: int = STRETCH_COLUMNS,
    progress: Progress | None = None,
) -> None:
    """Predicts stretch by stretch of columns, band by band of tiles, and hands out each block when it is complete.

    Args:
        predictor: The method.
        reader: The image.
        tiles: Along rows and columns.
        write: Called for each block with its window, the mean and the spread on `output_dims(task)` (no spread of one
            member; arrays that change afterwards), and the prepared fields of the block.
        stretch_columns: Columns held in memory at a time.
        progress: Called with the tiles done and the tiles in all.
    """
    rows, columns = tiles
    groups = list(columns.groups(stretch_columns))
    done, total = 0, len(rows) * sum(len(inside) for _, _, inside in groups)
    for first, stop, inside in groups:
        blend = _Blend(reader.task, tiles, inside)
        for i, top in enumerate(rows.starts):
            fields = _read_band(reader, tiles, top, blend.left, blend.right)
            cut = [_cut(fields, columns.starts[j] - blend.left, columns.tile) for j in inside]
            for j, (mean, variance) in zip(inside, predictor(cut), strict=True):
                blend.add(i, j, mean, variance)
                done += 1
                if progress is not None:
                    progress(done, total)
            bottom, right = min(rows.complete_before(i), reader.rows), min(stop, reader.columns)
            inner = (slice(0, bottom - top), slice(first - blend.left, right - blend.left))
            mean, spread = blend.block(inner)
            prepared = {n: v[0] for n, v in reader.task.prepare({n: v[None] for n, v in fields.items()}).items()}
            block = {name: value[inner] if value.ndim else value for name, value in prepared.items()}
            write((slice(top, bottom), slice(first, right)), mean, spread, block)
            blend.advance(rows.complete_before(i) - top)


def _read_band(reader: Source, tiles: tuple[AxisTiles, AxisTiles], top: int, left: int, right: int) -> Fields:
    """The fields of one band of tiles, mirrored beyond the scene's end where the scene is smaller than a tile."""
    bottom = top + tiles[0].tile
    fields = reader.read(slice(top, min(bottom, reader.rows)), slice(left, min(right, reader.columns)))
    return {name: pad_to(v, bottom - top, right - left) if v.ndim else v for name, v in fields.items()}


def _cut(fields: Fields, start: int, length: int) -> Fields:
    return {name: values[:, start : start + length] if values.ndim else values for name, values in fields.items()}


class _Blend:
    """The weighted sum of the tiles of one band over a stretch of columns, and what the next band inherits."""

    def __init__(self, task: Task, tiles: tuple[AxisTiles, AxisTiles], inside: list[int]) -> None:
        self.rows, self.columns = tiles
        dims = output_dims(task)
        self.row_axis, self.column_axis = dims.index(task.row_dim), dims.index(task.column_dim)
        self.left = self.columns.starts[inside[0]]
        self.right = self.columns.starts[inside[-1]] + self.columns.tile
        self.sums: list[np.ndarray] = []  # of the mean, and of the variance where there is one

    def _window(self, rows: slice, columns: slice, ndim: int) -> tuple[slice, ...]:
        window = [slice(None)] * ndim
        window[self.row_axis], window[self.column_axis] = rows, columns
        return tuple(window)

    def add(self, i: int, j: int, *values: np.ndarray | None) -> None:
        """Adds tile (i, j), the band being the one that begins with row `rows.starts[i]`."""
        present = [v for v in values if v is not None]
        if not self.sums:
            shape = list(present[0].shape)
            shape[self.column_axis] = self.right - self.left
            self.sums = [np.zeros(shape, np.float32) for _ in present]
        shape = [1] * present[0].ndim
        shape[self.row_axis], shape[self.column_axis] = self.rows.tile, self.columns.tile
        weights = np.multiply.outer(self.rows.weights(i), self.columns.weights(j)).reshape(shape)
        start = self.columns.starts[j] - self.left
        window = self._window(slice(None), slice(start, start + self.columns.tile), present[0].ndim)
        for total, value in zip(self.sums, present, strict=True):
            total[window] += weights * value

    def block(self, inner: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray | None]:
        """The mean and the standard deviation (None without members) of a part of the band."""
        window = self._window(*inner, self.sums[0].ndim)
        spread = np.sqrt(self.sums[1][window]) if len(self.sums) > 1 else None
        return self.sums[0][window], spread

    def advance(self, rows: int) -> None:
        """Moves the band down by `rows`; what was above is forgotten."""
        for total in self.sums:
            keep = total.shape[self.row_axis] - rows
            everything, ndim = slice(None), total.ndim
            if keep > 0:
                moved = total[self._window(slice(rows, None), everything, ndim)].copy()
                total[self._window(slice(0, keep), everything, ndim)] = moved
            total[self._window(slice(max(keep, 0), None), everything, ndim)] = 0


def _chunks(tiles: tuple[AxisTiles, AxisTiles], task: Task) -> dict[str, int]:
    """Chunk lengths by dimension; a vertical dimension that is a row dimension is one chunk."""
    lengths = {}
    for dim, axis in zip((task.row_dim, task.column_dim), tiles, strict=True):
        lengths[dim] = axis.size if dim in VERTICAL_DIMS else chunk_length(axis.stride, axis.size)
    return lengths


def _attributes(run: Any, reader: SceneReader, tiles: tuple[AxisTiles, AxisTiles], members: int) -> dict[str, Any]:
    from ..export import model_card

    card = model_card(run)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    step = f"{now}: cloudkeras {__version__} predict, run {run.name}, scene {reader.path.name}"
    earlier = str(reader.attribute("history"))
    attributes = {
        "Conventions": CONVENTIONS,
        "title": f"{run.task.name} predicted by {card['model']['name']}",
        "source": f"cloudkeras {__version__}, run {run.name}",
        "history": f"{earlier}\n{step}" if earlier else step,
        "task": run.task.name,
        "task_options": json.dumps(run.task.options()),
        "scene": reader.path.name,
        "tiling": f"tile {tiles[0].tile} x {tiles[1].tile}, overlap {tiles[1].overlap}, margin {tiles[1].margin}",
        "members": np.int32(members),
        "model_card": json.dumps(card),
    }
    if str(simulated := reader.attribute("simulated")) != "":
        attributes["simulated"] = simulated
    return attributes


@contextlib.contextmanager
def _created(path: Path) -> Iterator[netCDF4.Dataset]:
    """A NetCDF-4 file under a temporary name, renamed to `path` on success and removed on any failure."""
    with new_file(path) as partial:
        with NETCDF_LOCK:
            dataset = netCDF4.Dataset(partial, "w")
        try:
            yield dataset
        finally:
            with NETCDF_LOCK:
                dataset.close()
