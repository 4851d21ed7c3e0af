"""What several windows, or several neighbors on a grid, say of the same pixels, made one."""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-4


class Blend:
    """Weighted statistics of a distribution that has a value with a probability of its own: "no echo".

    Probability and spread are weighted means. A level of the quantiles shows an echo if that has at least half of the
    weight, and then is the weighted mean of those that show one: an echo of -10 dBZ and "no echo" (-60 dBZ) never make
    one of -35 dBZ. The point value shows an echo where the blended probability reaches `threshold`. Where all say the
    same, so does the blend.

    Args:
        size: Rows and columns.
        atom: The value that means "no echo", the smallest of all.
        threshold: Probability from which the point value shows an echo; None for point values that are means, which
            are averaged as they are.
    """

    def __init__(self, size: tuple[int, int], atom: float, threshold: float | None):
        self.size, self.atom, self.threshold = size, atom, threshold
        self._sums: dict[str, np.ndarray] = {}
        self._weights: dict[str, np.ndarray] = {}

    def _averaged(self, name: str) -> bool:
        return name in ("probability", "spread") or (name == "point" and self.threshold is None)

    def add(self, columns: slice, weights: np.ndarray, statistics: dict[str, np.ndarray]) -> None:
        """Adds what a window says.

        Args:
            columns: Where it lies.
            weights: What broadcasts to (rows, columns of the window). All that is added adds up to 1 at each pixel.
            statistics: "point", "probability", "spread" (rows, columns), "quantiles" (level, rows, columns); the same
                names each time.
        """
        for name, values in statistics.items():
            if name not in self._sums:
                shape = (*values.shape[:-2], *self.size)
                self._sums[name] = np.zeros(shape, np.float32)
                if not self._averaged(name):
                    self._weights[name] = np.zeros(shape, np.float32)
            if self._averaged(name):
                self._sums[name][..., columns] += weights * values
            else:
                echo = values > self.atom
                self._sums[name][..., columns] += weights * np.where(echo, values, 0)
                self._weights[name][..., columns] += weights * echo

    def result(self) -> dict[str, np.ndarray]:
        """The blended statistics, like those added, float32."""
        blended = {name: values for name, values in self._sums.items() if self._averaged(name)}
        for name, weight in self._weights.items():
            if name == "point" and self.threshold is not None:
                shown = blended["probability"] >= self.threshold - _ROUNDING
            else:
                shown = weight >= 0.5 - _ROUNDING
            mean = self._sums[name] / np.where(weight > 0, weight, 1)
            blended[name] = np.where(shown & (weight > 0), mean, np.float32(self.atom))
        if "quantiles" in blended:  # levels that show an echo in different windows may come out of order
            blended["quantiles"] = np.maximum.accumulate(blended["quantiles"], axis=0)
        return blended


def at_neighbors(
    statistics: dict[str, np.ndarray], row: np.ndarray, column: np.ndarray, atom: float, threshold: float | None
) -> dict[str, np.ndarray]:
    """Statistics between the points of their grid, by bilinear weights and the rules of `Blend`.

    Args:
        statistics: As `Blend` takes them, (..., rows, columns).
        row: Rows in fractions, an array that broadcasts with `column`.
        column: Columns in fractions. Whole numbers, and what lies beyond the edges, take the nearest point alone.
        atom: See `Blend`.
        threshold: See `Blend`.

    Returns:
        Statistics of the shape (..., *shape of `row` and `column` together), which has two dimensions.
    """
    rows, columns = next(iter(statistics.values())).shape[-2:]
    row, column = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
    blend = Blend(np.broadcast_shapes(row.shape, column.shape), atom, threshold)
    low_row, low_column = np.floor(row).astype(int), np.floor(column).astype(int)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - i - (row - low_row)) * np.abs(1 - j - (column - low_column))
        if not weight.any():
            continue
        at = (..., np.minimum(low_row + i, rows - 1), np.minimum(low_column + j, columns - 1))
        blend.add(slice(None), weight.astype(np.float32), {name: values[at] for name, values in statistics.items()})
    return blend.result()
