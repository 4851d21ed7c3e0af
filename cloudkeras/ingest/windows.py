"""Windows of a curtain and the blocks of time that keep the splits apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import check
from .curtain import Curtain

ROUNDING_S = 1e-5  # of a difference of two times since 1970 in float64, generously


@dataclass(frozen=True)
class TimeBlocks:
    """Which hours of a day are held out; the rest is for training.

    Attributes:
        test: First and last hour (UTC) of the test block.
        validation: First and last hour of the validation block, or None for none.
        gap_s: Seconds that must lie between windows of two splits; it is taken from the training data.
    """

    test: tuple[float, float] = (12.0, 18.0)
    validation: tuple[float, float] | None = None
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        check(np.isfinite(self.gap_s) and self.gap_s >= 0, "`gap_s` is at least 0.", gap_s=self.gap_s)
        for name, block in (("test", self.test), ("validation", self.validation)):
            if block is not None:
                check(
                    len(block) == 2 and 0 <= block[0] < block[1] <= 24,
                    f"`{name}_hours` is a first and a last hour of the day, 0 to 24.",
                    **{f"{name}_hours": tuple(block)},
                )
        if self.validation is not None:
            (test, stop), (validation, end) = self.test, self.validation
            overlap = test < end and validation < stop
            apart = min((test - end) % 24, (validation - stop) % 24) * 3600  # around midnight too, for records of days
            check(
                not overlap and apart >= self.gap_s,
                f"The validation and the test block must lie {self.gap_s:g} s apart or more (`gap_s`: a window).",
                test_hours=self.test,
                validation_hours=self.validation,
            )

    def held_out(self) -> dict[str, tuple[float, float]]:
        """The blocks by split, in hours."""
        blocks = {"test": self.test, "validation": self.validation}
        return {split: (block[0], block[1]) for split, block in blocks.items() if block is not None}


def window_starts(usable: np.ndarray, width: int, stride: int) -> np.ndarray:
    """First columns of windows that hold usable columns alone, and together all that fit.

    In each run of usable columns, the first window begins with the run, the last one ends with it, and the others lie
    evenly between, as few as leave at most `stride` columns from one to the next. With `stride = width` every column is
    seen, and as few as possible twice.

    Args:
        usable: (column,) bool.
        width: Columns of a window.
        stride: Most columns from one window to the next.
    """
    check(width >= 1 and stride >= 1, "`width` and `stride` count at least 1 column.", width=width, stride=stride)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(np.int8)))
    starts = [np.empty(0, np.int64)]
    for first, stop in edges.reshape(-1, 2):
        if (room := stop - width - first) >= 0:
            starts.append(first + np.rint(np.linspace(0, room, -(-room // stride) + 1)).astype(np.int64))
    return np.concatenate(starts)


def split_windows(
    curtain: Curtain, blocks: TimeBlocks, width: int, stride: int, evaluation_stride: int
) -> dict[str, np.ndarray]:
    """First columns of the windows of each split.

    Args:
        curtain: The record.
        blocks: Held-out hours.
        width: Columns of a window.
        stride: Columns from one training window to the next.
        evaluation_stride: The same for validation and test.

    Returns:
        First columns by split, "train", "validation" (may be empty) and "test".
    """
    midnight = np.floor(curtain.time[0] / 86400) * 86400
    second = (curtain.time - midnight) % 86400
    starts = {"train": np.empty(0, np.int64), "validation": np.empty(0, np.int64), "test": np.empty(0, np.int64)}
    free = curtain.observed.copy()
    for split, (first, last) in blocks.held_out().items():
        inside = (second >= first * 3600) & (second < last * 3600)
        starts[split] = window_starts(curtain.observed & inside, width, evaluation_stride)
        until, since = (first * 3600 - second) % 86400, (second - last * 3600) % 86400  # next and last such block
        free &= ~inside & (until > blocks.gap_s + ROUNDING_S) & (since >= blocks.gap_s + ROUNDING_S)
    starts["train"] = window_starts(free, width, stride)
    return starts


def cut(curtain: Curtain, starts: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """The windows that begin at `starts`: by variable (window, row, column), float32."""
    columns = starts[:, None] + np.arange(width)
    return {name: np.moveaxis(values[:, columns], 1, 0) for name, values in curtain.fields.items()}
