"""Samples put together again from the cores of their tiles, so that they are judged whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ..datasets.windows import TileGrid

Judged = tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]
"""Of a batch: numbers of samples and tiles, (windows,), and windows by name, (windows, ..., rows, columns)."""


def whole_samples(
    batches: Iterable[Judged], tiles: TileGrid, shape: tuple[int, int]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The samples of tiles that come in order, one sample after the other.

    Only the core of each tile is kept, so that every pixel comes from one tile.

    Args:
        batches: The tiles, some at once.
        tiles: Where they lie.
        shape: Rows and columns of a sample.

    Yields:
        The number of a sample and its images by name, (..., rows, columns) float32.
    """
    number, found = -1, 0
    images: dict[str, np.ndarray] = {}
    for samples, numbers, windows in batches:
        for row, (sample, tile) in enumerate(zip(samples, numbers, strict=True)):
            if not images:
                number, found = int(sample), 0
                images = {n: np.full((*v.shape[1:-2], *shape), np.nan, np.float32) for n, v in windows.items()}
            y, x = tiles.starts[tile]
            y0, y1, x0, x1 = tiles.cores[tile]
            for name, values in windows.items():
                images[name][..., y0:y1, x0:x1] = values[row, ..., y0 - y : y1 - y, x0 - x : x1 - x]
            found += 1
            if found == len(tiles):
                yield number, images
                images = {}
