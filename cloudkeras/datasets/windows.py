"""Where windows lie in a sample: tiles that cover it, whose cores cover each pixel once, and random crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import check
from .schema import Windows

MAX_DRAWS = 16
"""How often a crop is drawn anew for want of a label; the last one is taken as it is."""


def tile_starts(size: int, tile: int, margin: int) -> np.ndarray:
    """First pixel of each tile along an axis: a stride of `tile - 2 margin`, and a last tile at its very end."""
    last = size - tile
    return np.array([*range(0, last, tile - 2 * margin), last])


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
    """The tiles that cover a sample of `shape` (rows, columns)."""
    check_window(windows.tile, shape, "tile")
    (rows, columns), (height, width), margin = shape, windows.tile, windows.margin
    y, x = tile_starts(rows, height, margin), tile_starts(columns, width, margin)
    y_edges, x_edges = core_edges(rows, height, margin), core_edges(columns, width, margin)
    i, j = (index.ravel() for index in np.indices((len(y), len(x))))
    cores = np.stack([y_edges[i], y_edges[i + 1], x_edges[j], x_edges[j + 1]], axis=1)
    return TileGrid(np.stack([y[i], x[j]], axis=1), cores)


def draw_crop(rng: np.random.Generator, crop: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """First row and column of a random crop, all places alike."""
    return int(rng.integers(shape[0] - crop[0] + 1)), int(rng.integers(shape[1] - crop[1] + 1))


def check_window(window: tuple[int, int], shape: tuple[int, int], what: str) -> None:
    """Raises `InputError` unless the window fits into samples of `shape`."""
    check(
        window[0] <= shape[0] and window[1] <= shape[1],
        f"A {what} fits into a sample, which has {shape[0]} rows and {shape[1]} columns; make the window smaller "
        "(the task's options).",
        **{what: tuple(window)},
    )
