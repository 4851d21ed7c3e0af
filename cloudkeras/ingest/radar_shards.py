"""Radar records as shards of the task `blind_zone`: one call for files of any product, any number of days and sites."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import DatasetWriter, SampleTable
from ..datasets.manifest import file_sha256
from ..datasets.schema import HEIGHT_ATTRIBUTES
from ..datasets.splits import SPLITS
from ..errors import DataError, check, check_choice
from ..tasks import BlindZone
from .columns import ModelFiles
from .curtain import ROW_DEPTH_M, ROWS, Curtain, radar_curtain
from .geoprof import CLOUD_MASK_THRESHOLD
from .kazr import SNR_THRESHOLD_DB
from .radar import read_radar
from .record import RadarRecord
from .site_months import HeldOut, SiteMonthBlocks, cold_months, group_by_site, in_months
from .windows import TimeBlocks, cut, split_windows

logger = logging.getLogger("cloudkeras")

TEST_HOURS = (12.0, 18.0)
VALIDATION_HOURS = (8.0, 10.9)
WINDOW_COLUMNS = 128

_KEPT_BYTES = 2**30  # curtains kept between the two passes; beyond that they are read again
_RELATION = "Hogan et al. 2006, J. Appl. Meteor. Climatol. 45, 301-317, inverted with the model's temperature"


@dataclass
class _Granule:
    """One file on its way: what it is, its curtain (with fields while they fit into memory) and its windows."""

    file: str | Path
    about: dict[str, Any]
    source: str
    place: tuple[float, float] | None
    curtain: Curtain
    starts: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reader:
    """From a file to its curtain, by the options of a call."""

    model: ModelFiles | None
    radar: Mapping[str, Any]
    grid: Mapping[str, Any]
    cold_season: bool
    columns: int

    def read(self, file: str | Path, name: str) -> tuple[RadarRecord, Curtain]:
        """The record and the curtain of a file, which is to be called `name`."""
        record = read_radar(file, model=self.model, **self.radar)
        at_site = None
        if self.model is not None:
            if isinstance(record.latitude, np.ndarray) or isinstance(record.longitude, np.ndarray):
                raise DataError(
                    file,
                    expected="a radar that stands still, for model columns",
                    found="a track",
                    remedy="Leave out the model files.",
                )
            at_site = self.model.at(record.latitude, record.longitude, float(np.mean(record.altitude)))
        curtain = replace(radar_curtain(record, at_site, **self.grid), granule=name)
        if len(curtain.time) < self.columns:
            raise DataError(
                file,
                variable="time",
                expected=f"at least one window of {self.columns} columns of {curtain.step_s:g} s",
                found=f"{len(curtain.time)} columns",
                remedy="Take a longer record or fewer columns.",
            )
        if self.cold_season and at_site is not None:
            cold = in_months(curtain.time, cold_months(at_site))
            curtain = replace(curtain, observed=curtain.observed & cold)
            if not cold.any():
                raise DataError(
                    file,
                    variable="time",
                    expected="a month whose near-surface temperature never exceeds 2 C",
                    found="a warmer one",
                    remedy="It is left out (--cold-season).",
                )
        return record, curtain


def ingest_radar(
    radar_files: str | Path | Sequence[str | Path],
    model_files: str | Path | Sequence[str | Path] | None,
    out: str | Path,
    *,
    product: str = "auto",
    split: str = "hours",
    test_hours: tuple[float, float] = TEST_HOURS,
    validation_hours: tuple[float, float] = VALIDATION_HOURS,
    test_share: float = 0.1,
    validation_share: float = 0.1,
    cold_season: bool = False,
    stride: int = 8,
    evaluation_stride: int = WINDOW_COLUMNS,
    rows: int = ROWS,
    row_depth_m: float = ROW_DEPTH_M,
    columns: int = WINDOW_COLUMNS,
    step_s: float | None = None,
    max_gap_s: float | None = None,
    gap_s: float | None = None,
    frequency_ghz: float | None = None,
    snr_threshold_db: float | None = SNR_THRESHOLD_DB,
    cloud_mask_threshold: int = CLOUD_MASK_THRESHOLD,
    keep_attenuated: bool = True,
    interpolation: str = "bilinear",
    strict: bool = False,
    overwrite: bool = False,
) -> Path:
    """Makes shards and a manifest of `blind_zone` from radar files and, if there are any, model columns.

    Windows never cross a gap, and lie within one file. No two splits come nearer to each other at one site than
    `gap_s`, which the writer proves before the manifest appears (`datasets.check_no_leak`). Two kinds of split:

    - "hours": blocks of hours, the same on each day: `test_hours`, `validation_hours`, and all else for training. The
      default validation block suits Ny-Alesund on 2021-01-04: like the test block it holds weak echo that does not
      always reach the ground, and unlike 4 to 6 h it is not the only such time before noon, so training keeps an
      example of each regime (the evening is echo throughout).
    - "site-month": the last tenth of each month at each site is for the test, a tenth before it for validation, as
      King et al. 2024 do, but with gaps.

    A file that cannot be used is passed over; its reason is logged and stands in the manifest ("refused_files").

    Args:
        radar_files: Files of days or hours, of any number of sites.
        model_files: Model files that cover them, see `read_model_columns`; none for reflectivity alone.
        out: Folder to make.
        product: Of the radar files; see `read_radar`.
        split: "hours" or "site-month".
        test_hours: First and last hour (UTC) of the test block.
        validation_hours: The same for validation.
        test_share: Share of each site-month for the test.
        validation_share: The same for validation.
        cold_season: Whether only months are taken whose near-surface temperature never exceeds 2 C at the site.
        stride: Most columns from one training window to the next.
        evaluation_stride: The same for validation and test; `columns` shows every column, as few as possible twice.
        rows: Rows of the grid, from the ground.
        row_depth_m: Depth of a row in m.
        columns: Columns of a window.
        step_s: Duration of a column in s; None for each record's own.
        max_gap_s: Longest distance of two profiles, in s, that is bridged; None for two columns.
        gap_s: Shortest time between windows of different splits, in s; None for the duration of a window.
        frequency_ghz: Of the radar, for files that do not say.
        snr_threshold_db: See `read_radar`.
        cloud_mask_threshold: See `read_radar`.
        keep_attenuated: See `read_radar`.
        interpolation: Between the points of gridded model files: "bilinear" or "nearest".
        strict: Whether the first file that cannot be used stops all.
        overwrite: Whether to replace a dataset that is there.

    Returns:
        The folder.

    Raises:
        InputError: If an option is wrong.
        DataError: If no file can be used, or a split gets no window.
    """
    files = _as_list(radar_files)
    names = _names(files)
    check_choice(split, ("hours", "site-month"), "split")
    model = ModelFiles(_as_list(model_files), interpolation=interpolation) if model_files else None
    check(model is not None or not cold_season, "`cold_season` needs model files for the temperature near the ground.")
    radar = {
        "product": product,
        "frequency_ghz": frequency_ghz,
        "snr_threshold_db": snr_threshold_db,
        "cloud_mask_threshold": cloud_mask_threshold,
        "keep_attenuated": keep_attenuated,
    }
    grid = {"rows": rows, "row_depth_m": row_depth_m, "step_s": step_s, "max_gap_s": max_gap_s}
    _check_blocks(split, test_hours, validation_hours, test_share, validation_share)
    reader = _Reader(model, radar, grid, cold_season, columns)
    granules, refused = _read_all(reader, files, names, strict)
    gap = max(columns * granule.curtain.step_s for granule in granules) if gap_s is None else gap_s
    strides = (columns, stride, evaluation_stride)
    if split == "hours":
        blocks = _split_hours(granules, TimeBlocks(test_hours, validation_hours, gap), strides)
    else:
        blocks = _split_site_months(granules, SiteMonthBlocks(test_share, validation_share, gap), strides)
    _check_splits(granules, blocks.get("held_out_hours"))
    provenance = {
        **_provenance(granules, refused, model),
        **blocks,
        "cold_season": cold_season,
        "options": {**radar, **grid},
        "train_stride_columns": stride,
    }
    _write(Path(out), reader, granules, provenance=provenance, gap_seconds=gap, overwrite=overwrite)
    return Path(out)


def _check_blocks(split: str, test_hours, validation_hours, test_share: float, validation_share: float) -> None:
    """Raises for wrong options before any file is read."""
    if split == "hours":
        TimeBlocks(test_hours, validation_hours)
    else:
        SiteMonthBlocks(test_share, validation_share)


def _read_all(
    reader: _Reader, files: Sequence[str | Path], names: Sequence[str], strict: bool
) -> tuple[list[_Granule], list[tuple[str, str]]]:
    """First pass: every file's curtain, and the files that cannot be used with their reasons."""
    granules: list[_Granule] = []
    refused: list[tuple[str, str]] = []
    errors: list[DataError] = []
    kept, begin = 0, time.monotonic()
    for i, (file, name) in enumerate(zip(files, names, strict=True)):
        try:
            record, curtain = reader.read(file, name)
        except DataError as error:
            if strict:
                raise
            logger.warning("not used: %s", error)
            errors.append(error)
            refused.append((str(file), str(error)))
            continue
        kept += sum(values.nbytes for values in curtain.fields.values())
        if kept > _KEPT_BYTES:
            curtain = replace(curtain, fields={})
        moves = isinstance(record.latitude, np.ndarray)
        granules.append(_Granule(file, _about(record, name), record.source, None if moves else record.site, curtain))
        left = (time.monotonic() - begin) / (i + 1) * (len(files) - i - 1)
        logger.info("%d of %d files read: %s, %.0f s left", i + 1, len(files), name, left)
    if granules:
        return granules, refused
    if len(errors) == 1:
        raise errors[0]
    raise DataError(
        ", ".join(map(str, files[:3])) + (" ..." if len(files) > 3 else ""),
        expected="at least one file that can be used",
        found=f"{len(files)} that cannot: " + "; ".join(reason for _, reason in refused[:3]),
    )


def _about(record: RadarRecord, name: str) -> dict[str, Any]:
    latitude, longitude = record.site
    return {
        "file": name,
        "product": record.product,
        "pid": record.identifier,
        "variable": record.variable,
        "frequency_ghz": record.frequency_ghz,
        "latitude": latitude,
        "longitude": longitude,
        "step_s": float(np.median(np.diff(record.time))),
        "sha256": file_sha256(record.file),
    }


def _split_hours(granules: Sequence[_Granule], hours: TimeBlocks, strides: tuple[int, int, int]) -> dict[str, Any]:
    """Gives each granule its windows by the hours; the blocks for the manifest."""
    for granule in granules:
        granule.starts = split_windows(granule.curtain, hours, *strides)
    return {"held_out_hours": {name: list(block) for name, block in hours.held_out().items()}}


def _split_site_months(
    granules: Sequence[_Granule], months: SiteMonthBlocks, strides: tuple[int, int, int]
) -> dict[str, Any]:
    """Gives each granule its windows by the blocks of its site; the blocks for the manifest."""
    sites = group_by_site([granule.place for granule in granules])
    listed = []
    for site in sorted(set(sites)):
        own = [granule for granule, number in zip(granules, sites, strict=True) if number == site]
        times = np.concatenate([granule.curtain.time[granule.curtain.observed] for granule in own])
        blocks = months.held_out(times)
        for granule in own:
            granule.starts = months.windows(granule.curtain, blocks, *strides)
        listed += [_block_entry(own[0], block) for block in blocks]
    return {"held_out_site_months": listed}


def _block_entry(granule: _Granule, block: HeldOut) -> dict[str, Any]:
    start, end = (str(np.datetime64(round(t), "s")) + "Z" for t in (block.first, block.last))
    place = None if granule.place is None else list(granule.place)
    return {"site": place, "month": block.month, "split": block.split, "start": start, "end": end}


def _write(out: Path, reader: _Reader, granules: Sequence[_Granule], **options: Any) -> None:
    """Second pass: the windows; curtains that did not fit into memory are read again.

    Args:
        out: Folder to make.
        reader: Reads a curtain again.
        granules: With their windows.
        **options: Of the `DatasetWriter`.
    """
    height, columns = height_coordinate(granules[0].curtain.height), reader.columns
    with DatasetWriter(out, BlindZone(), simulated=False, coordinates={"height": height}, **options) as writer:
        for granule in granules:
            curtain = granule.curtain
            if not curtain.fields and any(first.size for first in granule.starts.values()):
                curtain = reader.read(granule.file, curtain.granule)[1]
            for split, first in granule.starts.items():
                if first.size:
                    writer.add(split, cut(curtain, first, columns), window_table(curtain, first, columns))


def height_coordinate(height_m: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """The rows' centres as a coordinate of shards: dimensions, values, attributes."""
    return ("height",), height_m, HEIGHT_ATTRIBUTES


def window_table(curtain: Curtain, starts: np.ndarray, width: int) -> SampleTable:
    """Granule, time and place (of the middle column) of the windows that begin at columns `starts`."""
    n = len(starts)
    latitude, longitude = (np.broadcast_to(x, curtain.time.shape) for x in (curtain.latitude, curtain.longitude))
    return SampleTable(
        granule=np.full(n, curtain.granule, dtype=object),
        time_start=curtain.time[starts],
        time_end=curtain.time[starts + width - 1],
        y_start=np.zeros(n, np.int32),
        x_start=starts.astype(np.int32),
        latitude=latitude[starts + width // 2],
        longitude=longitude[starts + width // 2],
    )


def _check_splits(granules: Sequence[_Granule], hours: Mapping[str, Sequence[float]] | None) -> None:
    for name in SPLITS:
        if any(granule.starts[name].size for granule in granules):
            continue
        where = "outside the held-out blocks" if hours else "in any site-month"
        remedy = "Shorten the held-out blocks or take longer records."
        if name != "train":
            remedy = f"Raise --{name}-share or take longer records."
        if hours and name in hours:
            where, remedy = "between {:g} and {:g} h".format(*hours[name]), f"Move the block (--{name}-hours)."
        raise DataError(
            ", ".join(str(granule.file) for granule in granules[:3]) + (" ..." if len(granules) > 3 else ""),
            variable="time",
            expected=f"at least one window without a gap for {name}, {where}",
            found="none",
            remedy=remedy,
        )


def _provenance(
    granules: Sequence[_Granule], refused: Sequence[tuple[str, str]], model: ModelFiles | None
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "source": "; ".join(dict.fromkeys(granule.source for granule in granules)),
        "radar_files": [
            {**granule.about, "windows": {name: int(granule.starts[name].size) for name in SPLITS}}
            for granule in granules
        ],
        "refused_files": [{"file": Path(file).name, "reason": reason} for file, reason in refused],
    }
    if any(granule.about["product"] == "cloudnet-iwc" for granule in granules):
        about["relation"] = _RELATION
    if model is not None:
        about["model_files"] = [Path(file).name for file in model.files]
        leads = np.concatenate([columns.lead_hours for columns in model.read()])
        about["model_lead_hours"] = (
            [float(np.nanmin(leads)), float(np.nanmax(leads))] if np.isfinite(leads).any() else None
        )
    return about


def _names(files: Sequence[str | Path]) -> list[str]:
    """What to call the granules: the files' names, with their folders where names repeat.

    Raises:
        InputError: If no file is given, or one twice.
    """
    check(len(files) > 0, "`radar_files` needs at least one file.", radar_files=list(files))
    paths = [Path(file) for file in files]
    twice = {str(path) for path in paths if paths.count(path) > 1}
    check(not twice, "Each radar file is given once.", twice=sorted(twice))
    short = [path.name for path in paths]
    return [str(path) if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]


def _as_list(files: str | Path | Sequence[str | Path] | None) -> list[str | Path]:
    if files is None:
        return []
    return [files] if isinstance(files, (str, Path)) else list(files)
