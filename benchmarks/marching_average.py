"""The marching average of King et al. 2024: the algorithm as it is described against the one that cloudkeras uses.

    python benchmarks/marching_average.py [--repeats 7]

Fills windows of 128 x 128 with both, compares the results and prints median times and their ratio. Exit code 1 if the
results differ by more than 1e-5, or one window with a blind zone is not filled 50 times as fast. A mask of another
form, which the task does not have, is shown as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from cloudkeras.baselines.radar import WINDOW, MarchingAverage

TOLERANCE = 1e-5
REQUIRED_RATIO = 50


def naive_marching_average(values: np.ndarray, hidden: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """The published description as it is said, pixel by pixel.

    Args:
        values: (row, column), reflectivity in network space.
        hidden: The same shape, True where it is to be filled; at least one pixel is visible.
        window: Rows and columns of the window, odd.
    """
    values, hidden = values.astype(np.float64), hidden.copy()
    rows, columns = values.shape
    half = window // 2
    while hidden.any():
        padded = np.pad(values, half, mode="reflect")
        padded_hidden = np.pad(hidden, half, mode="reflect")
        front = [
            (i, j)
            for i, j in zip(*np.nonzero(hidden), strict=True)
            if any(
                0 <= i + di < rows and 0 <= j + dj < columns and not hidden[i + di, j + dj]
                for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1))
            )
        ]
        windows = [(slice(i, i + window), slice(j, j + window)) for i, j in front]
        new = [padded[at][~padded_hidden[at]].mean() for at in windows]
        for (i, j), value in zip(front, new, strict=True):
            values[i, j], hidden[i, j] = value, False
    return values


def example(samples: int, rows: int = 128, columns: int = 128, seed: int = 0) -> np.ndarray:
    """Windows with echo in about 70 % of the pixels, in network space: the time does not depend on the values."""
    rng = np.random.default_rng(seed)
    echo = rng.random((samples, rows, columns)) < 0.7
    return np.where(echo, rng.uniform(-0.5, 1, (samples, rows, columns)), -1).astype(np.float32)


def masks(rows: int = 128, columns: int = 128) -> dict[str, np.ndarray]:
    """What is hidden: the published blind zone, one twice as deep, and an island in the middle."""
    row = np.arange(rows)[:, None] + np.zeros((1, columns), int)
    island = np.zeros((rows, columns), bool)
    island[40:72, 40:72] = True
    return {"blind zone of 16 rows": row < 16, "blind zone of 32 rows": row < 32, "island of 32 x 32": island}


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main(argv: list[str] | None = None) -> int:
    """Compares, prints a table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each (default: 7)")
    repeats = parser.parse_args(argv).repeats
    batch, passed = example(8), True
    values = batch[:1]
    print("median ms a window of 128 x 128, one window at once; in brackets eight at once")
    print(f"{'hidden':24}{'as described':>14}{'cloudkeras':>20}{'ratio':>16}{'largest difference':>20}")
    for name, hidden in masks().items():
        at_once = np.broadcast_to(hidden, batch.shape)
        fast, expected = MarchingAverage().fill(values, at_once[:1])[0], naive_marching_average(values[0], hidden)
        difference = float(np.abs(fast - expected).max())
        slow_ms = 1e3 * median_seconds(lambda hidden=hidden: naive_marching_average(values[0], hidden), repeats)
        one_ms = 1e3 * median_seconds(lambda mask=at_once: MarchingAverage().fill(values, mask[:1]), repeats)
        each_ms = 1e3 * median_seconds(lambda mask=at_once: MarchingAverage().fill(batch, mask), repeats) / len(batch)
        ratio = slow_ms / one_ms
        times, ratios = f"{one_ms:.2f} ({each_ms:.2f})", f"{ratio:.0f} ({slow_ms / each_ms:.0f})"
        print(f"{name:24}{slow_ms:>14.1f}{times:>20}{ratios:>16}{difference:>20.1e}")
        passed &= difference <= TOLERANCE and (ratio >= REQUIRED_RATIO or not name.startswith("blind zone"))
    print(f"{'passed' if passed else 'FAILED'}: same within {TOLERANCE:g}, blind zones {REQUIRED_RATIO} x as fast")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
