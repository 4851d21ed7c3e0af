"""Which days of the benchmark train, validate and test."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.splits import SPLITS, block_splits
from ..errors import DataError, check
from .meltwater_layout import parse_day

IMAGES_PER_MONTH = 2
SPARSE_YEAR = 2017  # training alone: too few images
GAP_DAYS = 6.0
_CSV = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
_EPOCH = datetime.date(1970, 1, 1)

Split = dict[datetime.date, str]
"""Day to "train", "validation" or "test"; a day without an entry is left out."""


def day_seconds(day: datetime.date) -> float:
    """Start of a day, seconds since 1970-01-01 UTC."""
    return 86400.0 * (day - _EPOCH).days


def published_split(days: Sequence[datetime.date], *, seed: int = 42, per_month: int = IMAGES_PER_MONTH) -> Split:
    """Stratified by month, as the authors' code does: of each month `per_month` days test and as many validate.

    2017 trains only (unless there is no other year). A month with too few days gives at most a third of them to each.
    With the benchmark's 529 days that is 389 / 70 / 70.

    The days are drawn at random, so neighbours of a test day are in the training split: melt of yesterday looks much
    like melt of today, and scores say how well a gap of a few days is filled, not how well a new season is mapped.

    Args:
        days: Complete days.
        seed: Of the draw. The authors' own lists of files can be read instead: `listed_split`.
        per_month: Days to draw for each split.
    """
    rng = np.random.default_rng([seed, 512])
    months: dict[tuple[int, int], list[datetime.date]] = defaultdict(list)
    for day in sorted(days):
        months[day.year, day.month].append(day)
    split = {day: "train" for day in sorted(days)}
    only = {year for year, _ in months} == {SPARSE_YEAR}
    for (year, _), members in sorted(months.items()):
        if year == SPARSE_YEAR and not only:
            continue
        count = min(per_month, len(members) // 3)
        drawn = rng.choice(len(members), 2 * count, replace=False)
        for number, index in enumerate(drawn):
            split[members[int(index)]] = "test" if number < count else "validation"
    return split


def block_split(days: Sequence[datetime.date], *, gap_days: float = GAP_DAYS) -> Split:
    """Whole months, so that no test day has a training day nearer than `gap_days`.

    In each year one month of the season tests and another, three later, validates; both move on by one a year, so that
    within six years each month is tested and validated once. 2017 trains only (unless there is no other year). Training
    days nearer than the gap to a held-out month are left out, and validation days as near to a test month.

    Args:
        days: Complete days.
        gap_days: Days between the splits.
    """
    check(gap_days >= 0, "`gap_days` is at least 0.", gap_days=gap_days)
    ordered = sorted(days)
    if not ordered:
        return {}
    years = sorted({day.year for day in ordered})
    months = sorted({day.month for day in ordered})
    held = [year for year in years if year != SPARSE_YEAR] or years
    roles: dict[tuple[int, int], str] = {}
    for number, year in enumerate(held):
        shift = len(months) // 2
        roles[year, months[(number + 1) % len(months)]] = "test"
        roles.setdefault((year, months[(number + 1 + shift) % len(months)]), "validation")
    blocks, first = [], day_seconds(ordered[0])
    for year, month in sorted({(day.year, day.month) for day in ordered}):
        begin = datetime.date(year, month, 1)
        end = datetime.date(year + month // 12, month % 12 + 1, 1)
        hours = tuple((day_seconds(edge) - first) / 3600 for edge in (begin, end))
        blocks.append((hours[0], hours[1], roles.get((year, month), "train")))
    start = np.array([day_seconds(day) for day in ordered])
    names = block_splits(start, start + 86399.0, blocks=blocks, gap_seconds=86400.0 * gap_days)
    return {day: str(name) for day, name in zip(ordered, names, strict=True) if name}


def listed_split(folder: str | Path, days: Sequence[datetime.date]) -> Split:
    """The authors' own lists: `train.csv`, `val.csv`, `test.csv`, one file name a line.

    Raises:
        DataError: If a list is missing, a line is no day, a day is in two lists, or is not among `days`.
    """
    split: Split = {}
    known = set(days)
    for name, file in _CSV.items():
        path = Path(folder) / file
        if not path.is_file():
            raise DataError(path, expected="a list of file names such as 2018_06_03.tif", found="no such file")
        for line in filter(str.strip, path.read_text().splitlines()):
            day = parse_day(line)
            if day is None:
                raise DataError(path, expected="file names such as 2018_06_03.tif", found=repr(line[:40]))
            if day in split and split[day] != name:
                raise DataError(path, expected="each day in one list", found=f"{day} in {split[day]} and {name}")
            if day not in known:
                raise DataError(
                    path,
                    expected="days that are complete in the folder of rasters",
                    found=f"{day}, of which SAR, PMW or MAR is missing, incomplete or wholly masked",
                    remedy="Complete the download, or take the line out.",
                )
            split[day] = name
    return split


def neighbours(split: Mapping[datetime.date, str]) -> dict[str, Any]:
    """How near the held-out days are to training days: what the leak amounts to.

    Returns:
        For "validation" and "test": their days, how many have a training day within 1, 3 and 6 days, and the least
        distance in days (None without training days).
    """
    train = np.array(sorted(day_seconds(day) for day, name in split.items() if name == "train")) / 86400.0
    found: dict[str, Any] = {}
    for name in SPLITS[1:]:
        mine = np.array([day_seconds(day) / 86400.0 for day, where in split.items() if where == name])
        distance = np.abs(mine[:, None] - train[None, :]).min(axis=1) if mine.size and train.size else np.empty(0)
        found[name] = {
            "days": int(mine.size),
            "with_a_training_day_within": {str(d): int((distance <= d).sum()) for d in (1, 3, 6)},
            "nearest_training_day": float(distance.min()) if distance.size else None,
        }
    return found


def by_split(split: Mapping[datetime.date, str]) -> dict[str, list[datetime.date]]:
    """Days of each split in order."""
    return {name: sorted(day for day, where in split.items() if where == name) for name in SPLITS}


def iso(days: Iterable[datetime.date]) -> list[str]:
    """Days as "2018-06-03"."""
    return [day.isoformat() for day in days]
