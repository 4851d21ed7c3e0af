"""Where windows lie in a sample: tiles that cover it, whose cores cover each pixel once, and random crops."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ..errors import check
from .schema import Windows

SIZE_STEP = 32
"""Windows that are cut to a sample have a multiple of this many rows and columns, which networks ask for."""
MAX_DRAWS = 16
"""How often a crop is drawn anew for want of a label; the last one is taken as it is."""


def tile_starts(size: int, tile: int, margin: int) -> np.ndarray:
    """First pixel of each tile along an axis: a stride of `tile - 2 margin`, and a last tile at its very end."""
    last = size - tile
    return np.array([*range(0, last, max(1, tile - 2 * margin)), last])


def core_edges(size: int, tile: int, margin: int) -> np.ndarray:
    """Pixels where the cores of the tiles begin, and the end of the last: tile k is judged from edge k to edge k + 1.

    Every core keeps `margin` pixels away from its tile's edges, but for the ends of the axis.
    """
    starts = tile_starts(size, tile, margin)
    return np.array([0, *(starts[:-1] + tile - margin), size])


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a sample, row by row.

    Attributes:
        starts: First row and column of each tile, (tiles, 2).
        cores: First row, end row, first column and end column of each core in the sample, (tiles, 4).
    """

    starts: np.ndarray
    cores: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def tile_grid(windows: Windows, shape: tuple[int, int]) -> TileGrid:
    """The tiles that cover a sample of `shape` (rows, columns), each axis by itself; see `fitted`.

    Raises:
        InputError: If the tiles along an axis are no larger than twice their margin.
    """
    windows = fitted(windows, shape)
    for size, tile in zip(shape, windows.tile, strict=True):
        check(
            tile == size or tile > 2 * windows.margin,
            f"Samples of {shape[0]} x {shape[1]} take several tiles, each larger than twice its margin, or nothing of "
            "it would be judged. Choose a smaller margin.",
            tile=windows.tile,
            margin=windows.margin,
        )
    (rows, columns), (height, width), margin = shape, windows.tile, windows.margin
    y, x = tile_starts(rows, height, margin), tile_starts(columns, width, margin)
    y_edges, x_edges = core_edges(rows, height, margin), core_edges(columns, width, margin)
    i, j = (index.ravel() for index in np.indices((len(y), len(x))))
    cores = np.stack([y_edges[i], y_edges[i + 1], x_edges[j], x_edges[j + 1]], axis=1)
    return TileGrid(np.stack([y[i], x[j]], axis=1), cores)


def draw_crop(rng: np.random.Generator, crop: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """First row and column of a random crop, all places alike."""
    return int(rng.integers(shape[0] - crop[0] + 1)), int(rng.integers(shape[1] - crop[1] + 1))


def fitted(windows: Windows, shape: tuple[int, int]) -> Windows:
    """The windows for samples of `shape` (rows, columns): those that are larger are cut.

    A cut window has the largest multiple of `SIZE_STEP` rows (columns) that a sample has; in a sample smaller than
    that, all of them. A crop that is the whole sample is taken once an epoch.
    """

    def cut(window: tuple[int, int]) -> tuple[int, int]:
        rows, columns = (
            length if length <= size else size - size % SIZE_STEP or size
            for length, size in zip(window, shape, strict=True)
        )
        return rows, columns

    crop = cut(windows.crop)
    times = 1 if crop == tuple(shape) else windows.crops_per_sample
    return dataclasses.replace(windows, crop=crop, crops_per_sample=times, tile=cut(windows.tile))
