"""Splits by site and month: the end of each month is held out, as King et al. 2024 do, with gaps that they forgot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.splits import SITE_DEGREES
from ..errors import check
from .columns import ModelColumns
from .curtain import Curtain
from .windows import ROUNDING_S, window_starts

COLD_LIMIT_K = 275.15  # 2 C, King et al. 2024


@dataclass(frozen=True)
class HeldOut:
    """A block of time of one site-month.

    Attributes:
        split: "test" or "validation".
        month: E.g. "2021-01".
        first: Time of its first column, s since 1970-01-01 UTC.
        last: Time of its last column.
    """

    split: str
    month: str
    first: float
    last: float


@dataclass(frozen=True)
class SiteMonthBlocks:
    """Which share of each site-month is held out: its end for the test, and what lies before that for validation.

    Shares are of what was observed, so that a month with a week of data gives a tenth of that week. A gap separates
    all splits, at the start of the next month too; training pays for it.

    Attributes:
        test_share: Of the columns observed in a month.
        validation_share: The same, before the test block and its gap.
        gap_s: Seconds that must lie between windows of two splits.
    """

    test_share: float = 0.1
    validation_share: float = 0.1
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        check(
            0 < self.test_share < 1 and 0 <= self.validation_share < 1 and self.test_share + self.validation_share < 1,
            "`test_share` lies within 0 and 1, `validation_share` is 0 or more, and both leave something to train on.",
            test_share=self.test_share,
            validation_share=self.validation_share,
        )
        check(np.isfinite(self.gap_s) and self.gap_s >= 0, "`gap_s` is at least 0.", gap_s=self.gap_s)

    def held_out(self, time: np.ndarray) -> list[HeldOut]:
        """The blocks of one site.

        Args:
            time: (column,) of all observed columns of the site, s since 1970-01-01 UTC, in any order.
        """
        time = np.sort(time)
        months = time.astype("datetime64[s]").astype("datetime64[M]")
        blocks = []
        for month in np.unique(months):
            inside = time[months == month]
            n, name = len(inside), str(month)
            first = n - max(1, round(self.test_share * n))
            blocks.append(HeldOut("test", name, float(inside[first]), float(inside[-1])))
            before = int(np.searchsorted(inside, inside[first] - self.gap_s - ROUNDING_S))  # columns that keep the gap
            count = round(self.validation_share * n)
            if count and before:
                since = float(inside[max(0, before - count)])
                blocks.append(HeldOut("validation", name, since, float(inside[before - 1])))
        return blocks

    def windows(
        self, curtain: Curtain, blocks: Sequence[HeldOut], width: int, stride: int, evaluation_stride: int
    ) -> dict[str, np.ndarray]:
        """First columns of the windows of each split in a curtain of the site.

        Validation gives way to a test block of another month that comes too near, training to both.

        Args:
            curtain: The record.
            blocks: Of its site.
            width: Columns of a window.
            stride: Most columns from one training window to the next.
            evaluation_stride: The same for validation and test.
        """
        inside, near = {}, {}
        for split in ("test", "validation"):
            own = [block for block in blocks if block.split == split]
            inside[split] = _within(curtain.time, own, 0.0)
            near[split] = _within(curtain.time, own, self.gap_s)
        observed = curtain.observed
        return {
            "train": window_starts(observed & ~near["test"] & ~near["validation"], width, stride),
            "validation": window_starts(observed & inside["validation"] & ~near["test"], width, evaluation_stride),
            "test": window_starts(observed & inside["test"], width, evaluation_stride),
        }


def _within(time: np.ndarray, blocks: Sequence[HeldOut], margin: float) -> np.ndarray:
    """(column,) whether a column lies in one of the blocks or nearer to it than the margin."""
    margin += ROUNDING_S
    found = np.zeros(time.shape, bool)
    for block in blocks:
        found |= (time > block.first - margin) & (time < block.last + margin)
    return found


def group_by_site(places: Sequence[tuple[float, float] | None]) -> list[int]:
    """A number for each place, equal for places of one site; None, a platform that moves, is a site of its own.

    Places count as one site within twice the distance at which the leak checker tells sites apart, so that whatever it
    takes for one site is one here.
    """
    sites: list[tuple[float, float] | None] = []
    numbers = []
    for place in places:
        for i, site in enumerate(sites):
            if (place is None) == (site is None) and (
                place is None
                or site is None
                or max(abs(place[0] - site[0]), abs((place[1] - site[1] + 180) % 360 - 180)) <= 2 * SITE_DEGREES
            ):
                numbers.append(i)
                break
        else:
            numbers.append(len(sites))
            sites.append(place)
    return numbers


def cold_months(columns: ModelColumns, limit_k: float = COLD_LIMIT_K) -> set[str]:
    """Months whose near-surface temperature never exceeds 2 C: the cold season of King et al. 2024.

    Below that, what falls is snow, and neither rain nor a melting layer changes what a radar sees on the way down. A
    month is judged by all its hours in the model files, which should hold it whole.

    Args:
        columns: Of the site.
        limit_k: The temperature in K that is not exceeded.

    Returns:
        E.g. {"2021-01"}.
    """
    months = columns.time.astype("datetime64[s]").astype("datetime64[M]")
    return {str(m) for m in np.unique(months) if np.nanmax(columns.near_surface[months == m]) <= limit_k}


def in_months(time: np.ndarray, months: set[str]) -> np.ndarray:
    """(column,) whether a time lies in one of the months."""
    return np.isin(time.astype("datetime64[s]").astype("datetime64[M]").astype(str), sorted(months))
