"""MeltwaterBench, observed or simulated: from its folder of rasters to shards of the task `meltwater`."""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import DatasetWriter, SampleTable
from ..datasets.manifest import MANIFEST_NAME
from ..errors import DataError, check
from ..tasks import get_task
from .meltwater_days import BenchmarkDays, grid_coordinates
from .meltwater_layout import MELT_SEASON, SIMULATION_NAME
from .meltwater_smoothing import MAR_KERNEL, MAR_SIGMA, PMW_KERNEL, PMW_SIGMA
from .meltwater_splits import (
    GAP_DAYS,
    IMAGES_PER_MONTH,
    Split,
    block_split,
    by_split,
    day_seconds,
    iso,
    listed_split,
    neighbours,
    published_split,
)

logger = logging.getLogger("cloudkeras")

SPLIT_NAMES = ("published", "blocks")
SHARD_BYTES = 64 << 20  # of unpacked fields in a shard: what writing and reading it holds in memory
_VARIABLES_A_DAY = 8
OBSERVED_SOURCE = "MeltwaterBench (arXiv 2512.12142): Sentinel-1, passive microwave and MAR over Helheim Glacier"
SIMULATED_SOURCE = "simulated meltwater in the layout of MeltwaterBench, not observed"

Progress = Callable[[str, int, int], None]


@dataclass
class Survey:
    """What the folder holds, day by day.

    Attributes:
        complete: Days with SAR, PMW and MAR, each without what would make it useless.
        missing: Days of SAR without PMW or MAR: product to days.
        incomplete: Days whose PMW or MAR has gaps on land.
        masked: Days whose SAR saw no land at all.
        seen: Share of the land that SAR saw, by complete day.
    """

    complete: list[datetime.date] = field(default_factory=list)
    missing: dict[str, list[datetime.date]] = field(default_factory=dict)
    incomplete: list[datetime.date] = field(default_factory=list)
    masked: list[datetime.date] = field(default_factory=list)
    seen: dict[datetime.date, float] = field(default_factory=dict)

    def left_out(self) -> dict[str, list[str]]:
        """Reason to days, for the manifest and the log."""
        reasons = {f"no {product} raster": days for product, days in self.missing.items()}
        reasons |= {"gaps in PMW or MAR on land": self.incomplete, "SAR saw no land": self.masked}
        return {reason: iso(days) for reason, days in reasons.items() if days}


def survey(days: BenchmarkDays, progress: Progress | None = None) -> Survey:
    """Reads every day with SAR once and sorts out what cannot be used.

    A day without PMW or MAR is left out, and so is one whose PMW or MAR misses a pixel on land (the authors' rule for
    PMW) or whose SAR saw nothing; each with a line in the log. A damaged file is an error.

    Raises:
        DataError: If a file is damaged, elsewhere, without a scale or out of range, or no day is left.
    """
    found, held = Survey(), {product: set(days.layout.days(product)) for product in ("sar", "pmw", "mar")}
    candidates = sorted(day for day in held["sar"] if MELT_SEASON[0] <= day.month <= MELT_SEASON[1])
    for number, day in enumerate(candidates, 1):
        absent = [product for product in ("pmw", "mar") if day not in held[product]]
        for product in absent:
            found.missing.setdefault(product.upper(), []).append(day)
        if not absent:
            share = float(np.isfinite(days.read("sar", day)[days.land]).mean())
            if share == 0:
                found.masked.append(day)
            elif any(not np.isfinite(days.read(product, day)[days.land]).all() for product in ("pmw", "mar")):
                found.incomplete.append(day)
            else:
                found.complete.append(day)
                found.seen[day] = share
        if progress is not None:
            progress("checking", number, len(candidates))
    for reason, names in found.left_out().items():
        logger.warning("%d days are left out, %s: %s", len(names), reason, _shortened(names))
    if not found.complete:
        raise DataError(
            days.layout.root,
            expected="days with SAR, PMW and MAR in April to September",
            found="none; " + ", ".join(f"{len(held[p])} of {p.upper()}" for p in held),
            remedy="Are the files named year_month_day.tif, and did SAR see any land?",
        )
    return found


def ingest_meltwater(
    folder: str | Path,
    out: str | Path,
    *,
    split: str | Path = "published",
    seed: int = 42,
    images_per_month: int = IMAGES_PER_MONTH,
    gap_days: float = GAP_DAYS,
    smoothing: str = "published",
    samples_per_shard: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Makes shards and a manifest of `meltwater`; a sample is one day of the whole grid.

    `sar_mean` and `sar_previous` of any day use training days alone, never the day itself. Days are read one at a time;
    memory does not grow with their number.

    Args:
        folder: The benchmark; see `meltwater_layout`.
        out: Folder to make.
        split: "published" (days of each month drawn at random; `published_split`), "blocks" (whole months with a gap;
            `block_split`), or a folder with the authors' `train.csv`, `val.csv`, `test.csv`.
        seed: Of the published split's draw.
        images_per_month: Days of each month for validation, and for test, in the published split.
        gap_days: Days between splits made of blocks; the leak checker proves it.
        smoothing: "published" (Gaussians of 45 and 99 pixels) or "none", which leaves the smoothed variables out.
        samples_per_shard: Days a shard; None keeps a shard below 64 MiB of unpacked fields.
        overwrite: Whether to replace a dataset that is there.
        progress: Called with "checking" or "writing", days done and days in all.

    Returns:
        The folder.

    Raises:
        InputError: If an option is wrong.
        DataError: If a file is, or a split gets no day.
    """
    check(images_per_month >= 1, "`images_per_month` is at least 1.", images_per_month=images_per_month)
    check(seed >= 0, "`seed` is not negative.", seed=seed)
    _check_split_name(split)
    _check_folders(Path(folder), Path(out), overwrite)
    days = BenchmarkDays(folder, smoothing=smoothing)
    found = survey(days, progress)
    chosen, said = _split(found, split, seed, images_per_month, gap_days)
    parts = by_split(chosen)
    for name in ("train", "validation", "test"):
        if not parts[name]:
            raise DataError(
                days.layout.root,
                expected=f"days for the split '{name}'",
                found=f"none of {len(found.complete)} complete days",
                remedy="Take more days or years, or another split.",
            )
    days.use_training_days(parts["train"])
    simulated = days.simulated()
    center = days.grid.center()
    bytes_a_day = 4 * _VARIABLES_A_DAY * days.grid.shape[0] * days.grid.shape[1]
    with DatasetWriter(
        out,
        get_task("meltwater"),
        provenance=_provenance(days, found, chosen, said, simulated),
        simulated=simulated,
        gap_seconds=86400.0 * gap_days if split == "blocks" else 0.0,
        samples_per_shard=samples_per_shard or max(1, min(32, SHARD_BYTES // bytes_a_day)),
        coordinates=grid_coordinates(days.grid),
        static=days.static(),
        overwrite=overwrite,
    ) as writer:
        for number, day in enumerate(sorted(chosen), 1):
            fields = {name: values[None] for name, values in days.fields(day).items()}
            writer.add(chosen[day], fields, day_table(day, center))
            if progress is not None:
                progress("writing", number, len(chosen))
    return Path(out)


def day_table(day: datetime.date, center: tuple[float, float]) -> SampleTable:
    """Time and place of a day's sample: the whole UTC day, the middle of the grid."""
    start = day_seconds(day)
    return SampleTable(
        granule=np.array([day.isoformat()]),
        time_start=np.array([start]),
        time_end=np.array([start + 86399.0]),
        y_start=np.zeros(1, np.int32),
        x_start=np.zeros(1, np.int32),
        latitude=np.array([center[0]]),
        longitude=np.array([center[1]]),
    )


def _check_folders(folder: Path, out: Path, overwrite: bool) -> None:
    """Raises, before any raster is read, if a simulation is not complete or there are shards already."""
    said = folder / SIMULATION_NAME
    if said.is_file() and not json.loads(said.read_text()).get("complete", True):
        raise DataError(
            folder,
            expected="all rasters of the simulation",
            found="one that was interrupted",
            remedy="Give the same `cloudkeras simulate` again, which goes on where it stopped.",
        )
    there = (out / MANIFEST_NAME).exists()
    check(overwrite or not there, f"{out} already holds a dataset. Choose another folder, or replace it (`overwrite`).")


def _check_split_name(split: str | Path) -> None:
    check(
        str(split) in SPLIT_NAMES or Path(split).is_dir(),
        "`split` is 'published', 'blocks' or a folder with train.csv, val.csv and test.csv.",
        split=str(split),
    )


def _split(
    found: Survey, split: str | Path, seed: int, images_per_month: int, gap_days: float
) -> tuple[Split, dict[str, Any]]:
    """The split and what the manifest says of it."""
    if split == "published":
        chosen = published_split(found.complete, seed=seed, per_month=images_per_month)
        said = {"name": "published", "seed": seed, "images_per_month": images_per_month}
    elif split == "blocks":
        chosen = block_split(found.complete, gap_days=gap_days)
        said = {"name": "blocks", "gap_days": gap_days, "given_up_to_the_gap": len(found.complete) - len(chosen)}
    else:
        chosen, said = listed_split(split, found.complete), {"name": "listed"}
    near = neighbours(chosen)
    said["neighbours"] = near
    if split != "blocks":
        close = near["test"]["with_a_training_day_within"]["3"]
        said["leak"] = (
            "Days are drawn one by one, so training holds neighbours of held-out days by construction: "
            f"{close} of {near['test']['days']} test days have a training day within 3 days. Scores say how well gaps "
            "of some days are filled. For scores on unseen weeks take the split 'blocks'."
        )
        logger.info("split: %s", said["leak"])
    return chosen, said


def _provenance(
    days: BenchmarkDays, found: Survey, chosen: Mapping[datetime.date, str], said: Mapping[str, Any], simulated: bool
) -> dict[str, Any]:
    from ..tasks.meltwater import PUBLISHED

    smoothing: Any = "none"
    if days.smoothing == "published":
        smoothing = {
            "brightness_temperature": {"kernel": PMW_KERNEL, "sigma": PMW_SIGMA},
            "liquid_water": {"kernel": MAR_KERNEL, "sigma": MAR_SIGMA},
            "border": "mirrored about the outermost pixels of the whole grid",
        }
    seen = [found.seen[day] for day in chosen]
    return {
        "source": SIMULATED_SOURCE if simulated else OBSERVED_SOURCE,
        "rasters": {
            product: str(getattr(days.layout, product).relative_to(days.layout.root))
            for product in ("sar", "pmw", "mar", "dem", "land")
        },
        "grid": days.grid.describe(),
        "split": dict(said),
        "train_days": iso(day for day in sorted(chosen) if chosen[day] == "train"),
        "context": "sar_mean and sar_previous are made of training days alone, the day itself left out",
        "left_out": found.left_out(),
        "mean_share_of_land_seen": round(float(np.mean(seen)), 4),
        "smoothing": smoothing,
        "published_normalization": {name: {"mean": m, "std": s} for name, (m, s) in PUBLISHED.items()},
    }


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
