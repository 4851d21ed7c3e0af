"""Melt extent by day, of maps and of SAR, on the same pixels."""

from __future__ import annotations

import csv
import datetime
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..datasets.shards import new_file
from ..errors import DataError, check
from ..ingest.meltwater_days import BenchmarkDays
from ..tasks.meltwater import MELT_THRESHOLD
from .maps import mapped_days, raster_of
from .maps_files import read_fraction

logger = logging.getLogger("cloudkeras")


@dataclass(frozen=True)
class ExtentDay:
    """Areas of a day in km2; a pixel counts with its size in the projection, as in the scores.

    Attributes:
        date: The day.
        mapped_km2: Area of the map.
        extent_km2: Part of it with a predicted fraction above the threshold.
        seen_km2: Part of the map that SAR saw.
        extent_where_seen_km2: Predicted extent within that part; NaN where SAR saw nothing.
        sar_extent_km2: Extent that SAR saw there; NaN where it saw nothing.
        training: Whether the day's SAR image was learned from.
    """

    date: datetime.date
    mapped_km2: float
    extent_km2: float
    seen_km2: float
    extent_where_seen_km2: float
    sar_extent_km2: float
    training: bool


def melt_extents(
    out: str | Path,
    days: BenchmarkDays,
    *,
    dates: Iterable[datetime.date] | None = None,
    threshold: float = MELT_THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
) -> list[ExtentDay]:
    """Extents of the maps in a folder.

    In a polar stereographic grid a pixel stands for less than its nominal area away from the standard parallel (2.4 %
    less at 66 degrees north for EPSG:3413); the benchmark counts nominal areas, and so is done here.

    Args:
        out: Folder of maps.
        days: The rasters that they were made from, for SAR, and the training days.
        dates: Days; None for all maps.
        threshold: A fraction above it is melt.
        progress: Called with the days done and in all.

    Raises:
        InputError: If there are no maps of these days.
        DataError: If a map is damaged.
    """
    wanted = None if dates is None else set(dates)
    chosen = [day for day in mapped_days(out) if wanted is None or day in wanted]
    check(len(chosen) > 0, "There are no maps of these days; `cloudkeras predict` makes them.", out=str(out))
    training = set(days.train_days)
    rows = []
    for number, day in enumerate(chosen, 1):
        predicted, sar = read_fraction(raster_of(out, day)), _sar(days, day)
        rows.append(extent_of(day, predicted, sar, pixel_area_km2(days), day in training, threshold))
        if progress is not None:
            progress(number, len(chosen))
    return rows


def pixel_area_km2(days: BenchmarkDays) -> float:
    """Area of a pixel in the projection."""
    return abs(days.grid.transform[0] * days.grid.transform[4]) / 1e6


def _sar(days: BenchmarkDays, day: datetime.date) -> np.ndarray | None:
    """The day's SAR image; None where there is none, or a damaged one."""
    if not days.layout.file("sar", day).is_file():
        return None
    try:
        return days.read("sar", day)
    except DataError as error:
        logger.warning("melt extent of %s without SAR: %s", day, error)
        return None


def extent_of(
    day: datetime.date,
    predicted: np.ndarray,
    sar: np.ndarray | None,
    pixel_km2: float,
    training: bool = False,
    threshold: float = MELT_THRESHOLD,
) -> ExtentDay:
    """Areas of one day.

    Args:
        day: The date.
        predicted: (y, x) fractions, NaN where there is no map.
        sar: (y, x) fractions, NaN where SAR did not see; None for a day without.
        pixel_km2: Area of a pixel.
        training: Whether the day was learned from.
        threshold: A fraction above it is melt.
    """
    mapped = np.isfinite(predicted)
    seen = mapped & np.isfinite(sar) if sar is not None else np.zeros_like(mapped)
    melts = mapped & (predicted > threshold)
    some = bool(seen.any())
    return ExtentDay(
        date=day,
        mapped_km2=pixel_km2 * int(mapped.sum()),
        extent_km2=pixel_km2 * int(melts.sum()),
        seen_km2=pixel_km2 * int(seen.sum()),
        extent_where_seen_km2=pixel_km2 * int((melts & seen).sum()) if some else float("nan"),
        sar_extent_km2=pixel_km2 * int((seen & (sar > threshold)).sum()) if some and sar is not None else float("nan"),
        training=training,
    )


def write_extents(path: str | Path, rows: Sequence[ExtentDay]) -> Path:
    """Writes extents as CSV: a line a day, km2 to 0.01, empty where SAR saw nothing."""
    names = [f.name for f in fields(ExtentDay)]
    with new_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([_cell(getattr(row, name)) for name in names])
    return Path(path)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.2f}"
    return str(value)
