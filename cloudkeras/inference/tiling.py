"""How a scene of any size is covered by tiles of one size and put together again without seams. NumPy alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import check


@dataclass(frozen=True)
class AxisTiles:
    """Tiles along one axis: a regular stride and a last tile that is aligned with the end.

    Each tile has a weight at each of its pixels. Inside the scene a tile's weight is 0 over `margin` pixels from its
    ends, where a network sees the tile's own border, then rises smoothly over the rest of the overlap (raised cosine).
    At the ends of the scene it does not fall. The weights of all tiles add up to 1 at every pixel.

    A scene shorter than a tile is one tile; it is padded at its end (`pad_to`) and cropped afterwards.

    Attributes:
        size: Pixels of the scene along the axis.
        tile: Pixels of a tile.
        overlap: Pixels that neighboring tiles share, at least; `tile - overlap` is the stride.
        margin: Pixels at each inner end of a tile that are not used. An operation that looks no further than `margin`
            pixels gives through the tiles exactly what it gives without them.
    """

    size: int
    tile: int
    overlap: int = 0
    margin: int = 0

    def __post_init__(self) -> None:
        check(self.size >= 1, "A scene has at least 1 pixel along each axis.", size=self.size)
        check(self.tile >= 1, "`tile` is at least 1 pixel.", tile=self.tile)
        check(
            0 <= self.overlap < self.tile,
            "`overlap` is at least 0 and smaller than the tile.",
            overlap=self.overlap,
            tile=self.tile,
        )
        check(
            0 <= 2 * self.margin <= self.overlap,
            "`margin` is at least 0 and at most half of the overlap, or pixels between two tiles would belong to none.",
            margin=self.margin,
            overlap=self.overlap,
        )

    @property
    def stride(self) -> int:
        """Pixels from one tile's start to the next one's."""
        return self.tile - self.overlap

    @property
    def padded_size(self) -> int:
        """Pixels of the scene once it is padded to one tile at least."""
        return max(self.size, self.tile)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First pixel of each tile, ascending; the last tile ends where the padded scene ends."""
        last = self.padded_size - self.tile
        return (*range(0, last, self.stride), last)

    def __len__(self) -> int:
        return len(self.starts)

    def _window(self, index: int) -> np.ndarray:
        """The weight of a tile before all tiles are made to add up to 1, (tile,) float64."""
        start, pixels = self.starts[index], np.arange(self.tile)
        window = np.ones(self.tile)
        ramp = self.overlap - 2 * self.margin
        for inner_end, distance in ((start > 0, pixels), (start + self.tile < self.padded_size, pixels[::-1])):
            if inner_end:
                # Half-pixel steps from just above 0 to just below 1, so that no pixel of the ramp has the weight 0.
                rise = np.clip((distance - self.margin + 0.5) / max(ramp, 1), 0, 1)
                window *= np.where(distance < self.margin, 0.0, np.sin(0.5 * math.pi * rise) ** 2 if ramp else 1.0)
        return window

    @cached_property
    def _total(self) -> np.ndarray:
        total = np.zeros(self.padded_size)
        for index, start in enumerate(self.starts):
            total[start : start + self.tile] += self._window(index)
        return total

    def weights(self, index: int) -> np.ndarray:
        """Weights of a tile's pixels, (tile,) float32 in 0..1; over all tiles they add up to 1 at every pixel."""
        start = self.starts[index]
        return (self._window(index) / self._total[start : start + self.tile]).astype(np.float32)

    def complete_before(self, index: int) -> int:
        """The first pixel that tiles after `index` still change; all before it are complete after this tile."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.padded_size

    def groups(self, longest: int) -> Iterator[tuple[int, int, list[int]]]:
        """Cuts the axis into stretches of about `longest` pixels, so that memory does not grow with the scene.

        Yields:
            First pixel, one past the last pixel, and the indices of the tiles with weight there. A tile that reaches
            over two stretches is in both.
        """
        step = max(1, (longest - self.overlap) // self.stride)
        begins = [*self.starts[::step], self.padded_size]
        # A last stretch that is a sliver (the last tile may start just after its neighbor) joins its neighbor.
        if len(begins) > 2 and begins[-2] - begins[-3] < self.stride:
            del begins[-2]
        for first, stop in itertools.pairwise(begins):
            inside = [i for i, start in enumerate(self.starts) if start < stop and start + self.tile > first]
            yield first, stop, inside


def pad_to(array: np.ndarray, rows: int, columns: int, row_axis: int = 0, column_axis: int = 1) -> np.ndarray:
    """Pads the end of two axes to at least `rows` and `columns` by mirroring the array, as often as it takes.

    Returns:
        The array, padded; the same array where it is large enough.
    """
    widths = [(0, 0)] * array.ndim
    widths[row_axis] = (0, max(0, rows - array.shape[row_axis]))
    widths[column_axis] = (0, max(0, columns - array.shape[column_axis]))
    return np.pad(array, widths, mode="symmetric") if any(after for _, after in widths) else array


def through_tiles(
    image: np.ndarray, operation: Callable[[np.ndarray], np.ndarray], tile: int, overlap: int = 0, margin: int = 0
) -> np.ndarray:
    """Applies `operation` to an image that fits in memory, tile by tile, and blends the results.

    Args:
        image: (rows, columns, ...).
        operation: From (tile, tile, ...) to (tile, tile, ...), the first two axes kept.
        tile: Pixels of a tile along rows and columns.
        overlap: Pixels that neighboring tiles share.
        margin: Pixels at inner tile borders that are not used.

    Returns:
        (rows, columns, ...), float32: as if `operation` had been applied to the whole, away from its border effects.
    """
    rows, columns = (AxisTiles(size, tile, overlap, margin) for size in image.shape[:2])
    padded = pad_to(image, tile, tile)
    result: np.ndarray | None = None
    for i, y in enumerate(rows.starts):
        for j, x in enumerate(columns.starts):
            values = np.asarray(operation(padded[y : y + tile, x : x + tile]), np.float32)
            if result is None:
                result = np.zeros((rows.padded_size, columns.padded_size, *values.shape[2:]), np.float32)
            weights = np.multiply.outer(rows.weights(i), columns.weights(j))
            result[y : y + tile, x : x + tile] += weights.reshape(tile, tile, *[1] * (values.ndim - 2)) * values
    assert result is not None  # there is always one tile
    return result[: image.shape[0], : image.shape[1]]
