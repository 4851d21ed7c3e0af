"""Radar records as shards of the task `blind_zone`: one call for files of any product, days and sites."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets import DatasetWriter, SampleTable
from ..errors import DataError, check
from ..tasks import BlindZone
from .columns import ModelColumns, read_model_columns
from .curtain import ROW_DEPTH_M, ROWS, Curtain, radar_curtain
from .radar import read_radar
from .record import RadarRecord
from .windows import TimeBlocks, cut, split_windows

logger = logging.getLogger("cloudkeras")

TEST_HOURS = (12.0, 18.0)
VALIDATION_HOURS = (8.0, 10.9)
WINDOW_COLUMNS = 128


def ingest_radar(
    radar_files: str | Path | Sequence[str | Path],
    model_files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    product: str = "auto",
    test_hours: tuple[float, float] = TEST_HOURS,
    validation_hours: tuple[float, float] = VALIDATION_HOURS,
    stride: int = 8,
    evaluation_stride: int = WINDOW_COLUMNS,
    rows: int = ROWS,
    row_depth_m: float = ROW_DEPTH_M,
    columns: int = WINDOW_COLUMNS,
    step_s: float | None = None,
    max_gap_s: float | None = None,
    gap_s: float | None = None,
    frequency_ghz: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Makes shards and a manifest of `blind_zone` from radar files and model columns.

    Windows never cross a gap. The splits are blocks of hours, the same on each day: `test_hours`, `validation_hours`,
    and all else for training, less one window's duration on each side of a held-out block, so that no two splits come
    nearer to each other than a window. The default validation block suits Ny-Alesund on 2021-01-04: like the test
    block it holds weak echo that does not always reach the ground, and unlike 4 to 6 h it is not the only such time
    before noon, so training keeps an example of each regime (the evening is echo throughout).

    Args:
        radar_files: Files of one product.
        model_files: Model files that cover the days; of several lead times the shortest is taken.
        out: Folder to make.
        product: Of the radar files; see `read_radar`.
        test_hours: First and last hour (UTC) of the test block.
        validation_hours: The same for validation.
        stride: Most columns from one training window to the next.
        evaluation_stride: The same for validation and test; `columns` shows every column, as few as possible twice.
        rows: Rows of the grid, from the ground.
        row_depth_m: Depth of a row in m.
        columns: Columns of a window.
        step_s: Duration of a column in s; None for the record's own.
        max_gap_s: Longest distance of two profiles, in s, that is bridged; None for two columns.
        gap_s: Shortest time between windows of different splits, in s; None for the duration of a window.
        frequency_ghz: Of the radar, for files that do not say.
        overwrite: Whether to replace a dataset that is there.

    Returns:
        The folder.

    Raises:
        InputError: If an option is wrong.
        DataError: If a file is, or a split gets no window.
    """
    radar_files, model_files = _as_list(radar_files), _as_list(model_files)
    check(len(radar_files) > 0, "`radar_files` needs at least one file.", radar_files=radar_files)
    model = read_model_columns(model_files)
    days = []
    for file in radar_files:
        record = read_radar(file, product=product, frequency_ghz=frequency_ghz, model=model)
        curtain = radar_curtain(record, model, rows=rows, row_depth_m=row_depth_m, max_gap_s=max_gap_s, step_s=step_s)
        _check_length(file, curtain, columns)
        blocks = TimeBlocks(test_hours, validation_hours, columns * curtain.step_s if gap_s is None else gap_s)
        days.append((record, curtain, split_windows(curtain, blocks, columns, stride, evaluation_stride)))
        logger.info("%s: %s", curtain.granule, ", ".join(f"{n.size} {split}" for split, n in days[-1][2].items()))
    _check_splits(days, blocks)
    provenance = _provenance([record for record, _, _ in days], model, blocks, row_depth_m, max_gap_s, stride)
    with DatasetWriter(
        out,
        BlindZone(),
        provenance=provenance,
        simulated=False,
        gap_seconds=blocks.gap_s,
        coordinates={"height": height_coordinate(days[0][1].height)},
        overwrite=overwrite,
    ) as writer:
        for _, curtain, starts in days:
            for split, first in starts.items():
                if first.size:
                    writer.add(split, cut(curtain, first, columns), window_table(curtain, first, columns))
    return Path(out)


def height_coordinate(height_m: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """The rows' centres as a coordinate of shards: dimensions, values, attributes."""
    attributes = {"units": "m", "long_name": "height above ground", "standard_name": "height", "positive": "up"}
    return ("height",), height_m, {**attributes, "axis": "Z"}


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


def _check_length(file: str | Path, curtain: Curtain, columns: int) -> None:
    if len(curtain.time) < columns:
        raise DataError(
            file,
            variable="time",
            expected=f"at least one window of {columns} columns of {curtain.step_s:g} s",
            found=f"{len(curtain.time)} columns",
            remedy="Take a longer record or fewer columns.",
        )


def _check_splits(days: Sequence[tuple[RadarRecord, Curtain, dict[str, np.ndarray]]], blocks: TimeBlocks) -> None:
    counts = {split: sum(starts[split].size for _, _, starts in days) for split in ("train", "validation", "test")}
    for split, count in counts.items():
        if count == 0:
            block = blocks.held_out().get(split)
            where = f"between {block[0]:g} and {block[1]:g} h" if block else "outside the held-out blocks"
            raise DataError(
                ", ".join(record.file for record, _, _ in days),
                variable="time",
                expected=f"at least one window without a gap for {split}, {where}",
                found="none",
                remedy=f"Move the block (--{split}-hours)." if block else "Shorten the held-out blocks.",
            )


def _provenance(
    records: Sequence[RadarRecord],
    model: ModelColumns,
    blocks: TimeBlocks,
    row_depth_m: float,
    max_gap_s: float | None,
    stride: int,
) -> dict:
    return {
        "source": records[0].source,
        "relation": "Hogan et al. 2006, J. Appl. Meteor. Climatol. 45, 301-317, inverted with the model's temperature",
        "radar_files": [
            {"file": Path(r.file).name, "pid": r.identifier, "frequency_ghz": r.frequency_ghz} for r in records
        ],
        "model_files": [Path(file).name for file in model.files],
        "model_lead_hours": [float(np.nanmin(model.lead_hours)), float(np.nanmax(model.lead_hours))]
        if np.isfinite(model.lead_hours).any()
        else None,
        "row_depth_m": row_depth_m,
        "max_gap_s": max_gap_s,
        "train_stride_columns": stride,
        "held_out_hours": {split: list(block) for split, block in blocks.held_out().items()},
    }


def _as_list(files: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [files] if isinstance(files, (str, Path)) else list(files)
