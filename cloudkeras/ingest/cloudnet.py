"""Cloudnet radar days as shards of the task `blind_zone`: reflectivity re-derived from ice water content."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets import DatasetWriter, SampleTable
from ..errors import DataError, check
from ..tasks import BlindZone
from .columns import ModelColumns, read_model_columns
from .curtain import ROW_DEPTH_M, ROWS, Curtain, nearest_gates, regular_columns, row_heights
from .netcdf import open_granule, read_times, read_variable
from .reflectivity import reflectivity_from_iwc, relation_for
from .windows import TimeBlocks, cut, split_windows

logger = logging.getLogger("cloudkeras")

TEST_HOURS = (12.0, 18.0)
VALIDATION_HOURS = (8.0, 10.9)
WINDOW_COLUMNS = 128
SOURCE = "reflectivity re-derived from IWC"

_STATUS = "iwc_retrieval_status"
_STATUS_WITHOUT_ECHO = (0, 4)  # no ice; ice that the lidar alone detected


@dataclass(frozen=True)
class IceRecord:
    """Ice water content of one Cloudnet day.

    Attributes:
        file: Where it comes from.
        time: (profile,) s since 1970-01-01 UTC, increasing.
        height: (gate,) m above ground, increasing.
        iwc: (gate, profile) kg m-3; 0 for no echo, NaN for missing.
        frequency_ghz: Of the radar.
        latitude: Degrees north.
        longitude: Degrees east.
        identifier: The file's persistent identifier, or "".
    """

    file: str
    time: np.ndarray
    height: np.ndarray
    iwc: np.ndarray
    frequency_ghz: float
    latitude: float
    longitude: float
    identifier: str


def read_iwc(path: str | Path, frequency_ghz: float | None = None) -> IceRecord:
    """Reads a Cloudnet product `iwc-Z-T-method`.

    Older files mark clear sky by 0. Newer ones mask everything that is not ice: there, pixels whose retrieval status
    says "no ice" (0) or "detected by the lidar alone" (4) hold no echo, and the rest (rain, ice or clear sky above
    rain) is missing. Echo whose liquid attenuation was not corrected is kept: it is most of the ice in mixed-phase
    cloud.

    Args:
        path: The file.
        frequency_ghz: Of the radar, for files that do not say.

    Raises:
        DataError: If the file is not of that kind.
    """
    with open_granule(path) as dataset:
        time = read_times(dataset)
        height = read_variable(dataset, "height", units=("m",), dims=("height",))
        iwc = read_variable(dataset, "iwc", units=("kg m-3", "kg m**-3"), dims=("time", "height"))
        altitude = float(read_variable(dataset, "altitude", units=("m",), dims=()))
        latitude, longitude = (float(read_variable(dataset, name, dims=())) for name in ("latitude", "longitude"))
        status = read_variable(dataset, _STATUS, dims=("time", "height")) if _STATUS in dataset.variables else None
        if frequency_ghz is None and "radar_frequency" not in dataset.variables:
            raise DataError(
                path,
                variable="radar_frequency",
                expected="the radar's frequency in GHz",
                found="no such variable",
                remedy="Give it: --frequency 94 (or 35).",
            )
        if frequency_ghz is None:
            frequency_ghz = float(read_variable(dataset, "radar_frequency", units=("GHz",), dims=()))
        identifier = str(getattr(dataset, "pid", ""))
    if not (np.isfinite(height).all() and height.size > 1 and (np.diff(height) > 0).all()):
        raise DataError(
            path, variable="height", expected="increasing heights, none missing", found="heights that do not"
        )
    if (iwc < 0).any() or np.isinf(iwc).any():
        raise DataError(
            path, variable="iwc", expected="0 or more, or masked", found=f"values down to {np.nanmin(iwc):g} kg m-3"
        )
    if np.nanmax(iwc, initial=0.0) > 0.1:
        raise DataError(
            path,
            variable="iwc",
            expected="at most 0.1 kg m-3",
            found=f"{np.nanmax(iwc):g} kg m-3",
            remedy="Is it in g m-3?",
        )
    if status is not None:
        iwc = np.where(np.isnan(iwc) & np.isin(status, _STATUS_WITHOUT_ECHO), 0.0, iwc)
    relation_for(frequency_ghz)
    return IceRecord(
        str(path), time, height - altitude, iwc.T, frequency_ghz, latitude, (longitude + 180) % 360 - 180, identifier
    )


def make_curtain(
    record: IceRecord,
    columns: ModelColumns,
    *,
    rows: int = ROWS,
    row_depth_m: float = ROW_DEPTH_M,
    max_gap_s: float = 60.0,
) -> Curtain:
    """Puts a day on the task's grid: nearest gate for each row, nearest profile for each column, model context between.

    The reflectivity is computed at the gates and profiles themselves, with the temperature interpolated to them; the
    context is interpolated to the centres of rows and columns.

    Args:
        record: Ice water content.
        columns: Model columns that cover its times.
        rows: Rows of the grid.
        row_depth_m: Depth of a row in m.
        max_gap_s: Longest distance of two profiles that is bridged by repeating the nearer one; see `regular_columns`.

    Raises:
        DataError: If the gates do not reach the grid, or the columns do not cover the times.
    """
    heights = row_heights(rows, row_depth_m)
    gates, reached = nearest_gates(record.height, heights, row_depth_m)
    if reached.mean() < 0.5:
        raise DataError(
            record.file,
            variable="height",
            expected=f"gates within most of 0 to {rows * row_depth_m / 1e3:.1f} km above ground",
            found=f"gates from {record.height[0] / 1e3:.2f} to {record.height[-1] / 1e3:.2f} km",
            remedy="Check `height` and `altitude`, both in m above mean sea level.",
        )
    time, profile, observed = regular_columns(record.time, max_gap_s)
    temperature = columns.interpolate(record.time, record.height[gates], ["temperature"])["temperature"]
    dbz = reflectivity_from_iwc(record.iwc[gates], temperature, record.frequency_ghz)
    fields = {"reflectivity": np.where(reached[:, None] & observed, dbz[:, profile], np.nan).astype(np.float32)}
    fields |= columns.interpolate(time.clip(record.time[0], record.time[-1]), heights)
    name = Path(record.file).name
    return Curtain(name, record.latitude, record.longitude, heights, time, observed, fields)


def ingest_cloudnet(
    iwc_files: str | Path | Sequence[str | Path],
    model_files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    test_hours: tuple[float, float] = TEST_HOURS,
    validation_hours: tuple[float, float] = VALIDATION_HOURS,
    stride: int = 8,
    evaluation_stride: int = WINDOW_COLUMNS,
    rows: int = ROWS,
    row_depth_m: float = ROW_DEPTH_M,
    columns: int = WINDOW_COLUMNS,
    max_gap_s: float = 60.0,
    gap_s: float | None = None,
    frequency_ghz: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Makes shards and a manifest of `blind_zone` from days of Cloudnet ice water content and model columns.

    Windows never cross a gap. The splits are blocks of hours, the same on each day: `test_hours`, `validation_hours`,
    and all else for training, less one window's duration on each side of a held-out block, so that no two splits come
    nearer to each other than a window. The default validation block suits Ny-Alesund on 2021-01-04: like the test
    block it holds weak echo that does not always reach the ground, and unlike 4 to 6 h it is not the only such time
    before noon, so training keeps an example of each regime (the evening is echo throughout).

    Args:
        iwc_files: One file a day, product `iwc-Z-T-method`.
        model_files: Model files that cover the days; of several lead times the shortest is taken.
        out: Folder to make.
        test_hours: First and last hour (UTC) of the test block.
        validation_hours: The same for validation.
        stride: Most columns from one training window to the next.
        evaluation_stride: The same for validation and test; `columns` shows every column, as few as possible twice.
        rows: Rows of the grid, from the ground.
        row_depth_m: Depth of a row in m.
        columns: Columns of a window.
        max_gap_s: Longest distance of two profiles, in s, that is bridged.
        gap_s: Shortest time between windows of different splits, in s; None for the duration of a window.
        frequency_ghz: Of the radar, for files that do not say.
        overwrite: Whether to replace a dataset that is there.

    Returns:
        The folder.

    Raises:
        InputError: If an option is wrong.
        DataError: If a file is, or a split gets no window.
    """
    iwc_files, model_files = _as_list(iwc_files), _as_list(model_files)
    check(len(iwc_files) > 0, "`iwc_files` needs at least one file.", iwc_files=iwc_files)
    model = read_model_columns(model_files)
    days = []
    for file in iwc_files:
        record = read_iwc(file, frequency_ghz)
        curtain = make_curtain(record, model, rows=rows, row_depth_m=row_depth_m, max_gap_s=max_gap_s)
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
    """Granule, time and place of the windows that begin at columns `starts`."""
    n = len(starts)
    return SampleTable(
        granule=np.full(n, curtain.granule, dtype=object),
        time_start=curtain.time[starts],
        time_end=curtain.time[starts + width - 1],
        y_start=np.zeros(n, np.int32),
        x_start=starts.astype(np.int32),
        latitude=np.full(n, curtain.latitude),
        longitude=np.full(n, curtain.longitude),
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


def _check_splits(days: Sequence[tuple[IceRecord, Curtain, dict[str, np.ndarray]]], blocks: TimeBlocks) -> None:
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
    records: Sequence[IceRecord],
    model: ModelColumns,
    blocks: TimeBlocks,
    row_depth_m: float,
    max_gap_s: float,
    stride: int,
) -> dict:
    return {
        "source": SOURCE,
        "relation": "Hogan et al. 2006, J. Appl. Meteor. Climatol. 45, 301-317, inverted with the model's temperature",
        "iwc_files": [
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
