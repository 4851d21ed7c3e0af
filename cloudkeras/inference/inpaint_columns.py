"""Columns of a record on the grid of the network, given out stretch by stretch."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import ShardDataset
from ..datasets.shards import NETCDF_LOCK
from ..errors import DataError, InputError
from ..ingest import ModelColumns, RadarRecord, radar_curtain
from ..ingest.curtain import ROW_DEPTH_M, regular_columns
from ..ingest.netcdf import read_times
from ..ingest.record import in_order
from ..tasks import Fields
from ..training.environment import describe_grid
from .reading import SceneReader

logger = logging.getLogger("cloudkeras")

_SCAN_COLUMNS = 4096
_SAME_STEP = 0.1  # a record whose step is that near to the network's is taken as it is


@dataclass(frozen=True)
class Columns:
    """A regular time axis and what the network sees at it.

    Attributes:
        start_s: Time of the first column, s since 1970-01-01 UTC.
        step_s: From one column to the next.
        observed: (column,) False in gaps, which nothing is filled across.
        fields: Fields of the task from a first to before a last column, (rows, columns) in physical units.
    """

    start_s: float
    step_s: float
    observed: np.ndarray
    fields: Callable[[int, int], Fields]

    def positions(self, time_s: np.ndarray) -> np.ndarray:
        """Where times lie among the columns, in fractions of a column."""
        return (np.asarray(time_s) - self.start_s) / self.step_s

    def segments(self) -> list[tuple[int, int]]:
        """First and one past the last column of each run without a gap."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.observed, [False]]).astype(np.int8)))
        return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def grid_of(run: Any) -> dict[str, float]:
    """Spacing of the images that a run was trained on, as far as it is known; see `training.environment`.

    Looked up in the run folder, else in its data.
    """
    from ..training.config import read_json_object

    path = getattr(run, "path", None)
    if path is not None and (Path(path) / "environment.json").is_file():
        sessions = read_json_object(Path(path) / "environment.json").get("sessions") or [{}]
        if grid := sessions[-1].get("grid"):
            return dict(grid)
    try:
        return describe_grid(ShardDataset.open(Path(run.config.data)))
    except (InputError, OSError, AttributeError, StopIteration):
        return {}


def column_step(record: RadarRecord, trained_s: float | None) -> float | None:
    """Duration of a column for a record: the network's own, unless the record's is nearly the same or it is unknown."""
    own = float(np.median(np.diff(record.time)))
    if trained_s is None or abs(own - trained_s) <= _SAME_STEP * trained_s:
        return None
    logger.info(
        "profiles are %.3g s apart, the network was trained on columns of %.3g s: it sees the nearest profile in each "
        "(step_s, --step, for another duration)",
        *(own, trained_s),
    )
    return trained_s


def record_columns(
    record: RadarRecord,
    model: ModelColumns | None,
    *,
    rows: int,
    row_depth_m: float = ROW_DEPTH_M,
    hidden_m: float,
    step_s: float | None = None,
    max_gap_s: float | None = None,
) -> tuple[Columns, np.ndarray]:
    """A radar's record on the network's grid, without what lies in the blind zone.

    Args:
        record: The record.
        model: Model columns, for a network with context.
        rows: Rows of the network.
        row_depth_m: Their depth.
        hidden_m: Height below which nothing is used.
        step_s: Duration of a column; None for the record's own.
        max_gap_s: See `radar_curtain`.

    Returns:
        The columns, and for each of the record's profiles whether it has a value above the blind zone, (profile,).
    """
    seen = np.where((record.height >= hidden_m)[:, None], record.reflectivity, np.float32(np.nan))
    inside = record.height < rows * row_depth_m
    curtain = radar_curtain(
        dataclasses.replace(record, reflectivity=seen),
        model,
        rows=rows,
        row_depth_m=row_depth_m,
        max_gap_s=max_gap_s,
        step_s=step_s,
    )

    def fields(first: int, stop: int) -> Fields:
        return {name: values[:, first:stop] for name, values in curtain.fields.items()}

    columns = Columns(float(curtain.time[0]), curtain.step_s, curtain.observed, fields)
    return columns, np.asarray(np.isfinite(seen[inside]).any(axis=0))


def scene_times(reader: SceneReader) -> np.ndarray:
    """(profile,) s since 1970-01-01 UTC in the order of the file; a scene without `time` has steps of 1 s.

    Raises:
        DataError: If a time is missing or the unit is not understood.
    """
    with NETCDF_LOCK:
        variable = reader.dataset.variables.get("time")
        if variable is None or variable.dimensions != (reader.task.column_dim,):
            return np.arange(reader.columns, dtype=np.float64)
        return read_times(reader.dataset, "time", ordered=False)


def scene_columns(
    reader: SceneReader, blind_rows: int, max_gap_s: float | None = None
) -> tuple[Columns, np.ndarray, np.ndarray]:
    """A scene, which is on the network's grid, read as it is needed.

    Returns:
        The columns; the profiles of the file in order of time, each time once; and for each of those whether it has a
        value above the blind zone.
    """
    time = scene_times(reader)
    order = in_order(str(reader.path), time)
    has_values = np.zeros(reader.columns, bool)
    for start in range(0, reader.columns, _SCAN_COLUMNS):
        window = slice(start, min(start + _SCAN_COLUMNS, reader.columns))
        has_values[window] = np.isfinite(reader.read(slice(blind_rows, None), window)["reflectivity"]).any(axis=0)
    filled = order[has_values[order]]
    if filled.size < 2:
        raise DataError(
            reader.path,
            variable="reflectivity",
            expected="two profiles or more with values above the blind zone",
            found=f"{filled.size} of {len(order)}; all else is missing",
        )
    axis, nearest, observed = regular_columns(time[filled], max_gap_s, float(np.median(np.diff(time[order]))))
    profile = filled[nearest]

    def fields(first: int, stop: int) -> Fields:
        wanted = profile[first:stop]
        low, high = int(wanted.min()), int(wanted.max()) + 1
        read = reader.read(slice(None), slice(low, high))
        return {name: values[:, wanted - low] for name, values in read.items()}

    step = float(axis[1] - axis[0])
    return Columns(float(axis[0]), step, observed, fields), order, has_values[order]
