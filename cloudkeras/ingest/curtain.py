"""From a radar's gates and profiles to the grid of the task: rows of equal depth, columns of equal duration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, check
from .columns import ModelColumns
from .record import RadarRecord

ROWS = 128
ROW_DEPTH_M = 78.1  # King et al. 2024: 128 rows for the first 10 km


@dataclass(frozen=True)
class Curtain:
    """Radar and model context of one granule on the task's grid, lowest row first.

    Attributes:
        granule: Name of the file.
        latitude: Degrees north; (column,) along a satellite's track.
        longitude: Degrees east; (column,) along a satellite's track.
        height: (row,) m above ground of the rows' centres.
        time: (column,) s since 1970-01-01 UTC of the columns' centres, all one step apart.
        observed: (column,) False where the record has a gap.
        fields: By variable of the task: (row, column), float32, NaN for missing.
    """

    granule: str
    latitude: float | np.ndarray
    longitude: float | np.ndarray
    height: np.ndarray
    time: np.ndarray
    observed: np.ndarray
    fields: dict[str, np.ndarray]

    @property
    def step_s(self) -> float:
        """Duration of a column in seconds."""
        return float(self.time[1] - self.time[0])


def radar_curtain(
    record: RadarRecord,
    columns: ModelColumns | None = None,
    *,
    rows: int = ROWS,
    row_depth_m: float = ROW_DEPTH_M,
    max_gap_s: float | None = None,
    step_s: float | None = None,
) -> Curtain:
    """Puts a record on the task's grid: the nearest gate for each row, the nearest profile for each column.

    Model context is interpolated to the centres of rows and columns. A profile without a single value counts as not
    there: it is bridged or leaves a gap, as a missing profile does.

    Args:
        record: The radar's.
        columns: Model columns that cover its times, or None for reflectivity alone.
        rows: Rows of the grid.
        row_depth_m: Depth of a row in m.
        max_gap_s: Longest distance of two profiles that is bridged by repeating the nearer one, see `regular_columns`;
            None for two columns or two of the record's own steps, whichever is longer.
        step_s: Duration of a column in s; None for the median step of the record.

    Raises:
        DataError: If the gates do not reach the grid, the record holds no value there, or the columns do not cover the
            times.
    """
    heights = row_heights(rows, row_depth_m)
    gates, reached = nearest_gates(record.height, heights, row_depth_m)
    if reached.mean() < 0.5:
        raise DataError(
            record.file,
            variable="height",
            expected=f"gates within most of 0 to {rows * row_depth_m / 1e3:.1f} km above ground",
            found=f"gates from {record.height[0] / 1e3:.2f} to {record.height[-1] / 1e3:.2f} km",
            remedy="Check the heights and the altitude of the site, both in m above mean sea level.",
        )
    dbz = np.where(reached[:, None], record.reflectivity[gates], np.float32(np.nan))
    filled = np.flatnonzero(np.isfinite(dbz).any(axis=0))
    if filled.size < 2:
        raise DataError(
            record.file,
            variable=record.variable or None,
            expected=f"two profiles or more with values below {rows * row_depth_m / 1e3:.1f} km",
            found=f"{filled.size} of {len(record.time)}; all else is missing",
        )
    step = float(np.round(np.median(np.diff(record.time)), 3)) if step_s is None else step_s
    time, profile, observed = regular_columns(record.time[filled], max_gap_s, step)
    profile = filled[profile]
    fields = {"reflectivity": np.where(observed, dbz[:, profile], np.nan).astype(np.float32)}
    if columns is not None:
        fields |= columns.interpolate(time.clip(record.time[0], record.time[-1]), heights)
    latitude, longitude = (x[profile] if isinstance(x, np.ndarray) else x for x in (record.latitude, record.longitude))
    return Curtain(Path(record.file).name, latitude, longitude, heights, time, observed, fields)


def row_heights(rows: int = ROWS, depth_m: float = ROW_DEPTH_M) -> np.ndarray:
    """Centres of the rows, m above ground: row i spans `i * depth_m` to `(i + 1) * depth_m`."""
    check(rows >= 1 and depth_m > 0, "`rows` and `row_depth_m` are positive.", rows=rows, row_depth_m=depth_m)
    return (np.arange(rows) + 0.5) * depth_m


def nearest_gates(gate_height_m: np.ndarray, row_height_m: np.ndarray, depth_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The gate nearest to each row, and whether it is near enough.

    A row takes a gate at most one row's depth away, or half the distance of the gates where those are coarser. Radars
    begin about 100 m above ground, so the lowest row (39 m) shows the first gate too, as the published grid does, which
    begins at the first gate; beyond the last gate rows are missing.

    Args:
        gate_height_m: (gate,) increasing, m above ground.
        row_height_m: (row,) m above ground.
        depth_m: Depth of a row.

    Returns:
        Indices (row,) int and validity (row,) bool.
    """
    gates = _nearest(gate_height_m, row_height_m)
    spacing = np.gradient(gate_height_m)[gates]
    return gates, np.abs(gate_height_m[gates] - row_height_m) <= np.maximum(depth_m, 0.501 * spacing)


def regular_columns(
    time_s: np.ndarray, max_gap_s: float | None = None, step_s: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A regular time axis, and the profile nearest to each of its columns.

    A column is observed if a profile lies within half a step (by time stamp, so nothing drifts), or if it lies in a gap
    between two profiles of at most `max_gap_s`, where it repeats the nearer one (the earlier of two equally near). Any
    other column belongs to a gap that no window may cross.

    Args:
        time_s: (profile,) s, increasing.
        max_gap_s: Longest distance of two profiles, in seconds, that is bridged; None for two columns or twice the
            median distance of the profiles, whichever is longer.
        step_s: Duration of a column; None for the median distance of the profiles.

    Returns:
        Times of the columns (column,), the nearest profile of each (column,) int, and whether it is observed (column,).

    Raises:
        InputError: If the step or the gap is not positive.
    """
    median = float(np.round(np.median(np.diff(time_s)), 3))
    step = median if step_s is None else float(step_s)
    check(np.isfinite(step) and step > 0, "`step_s` is above 0.", step_s=step)
    bridged = 2 * max(step, median) if max_gap_s is None else max_gap_s
    check(np.isfinite(bridged) and bridged >= 0, "`max_gap_s` is at least 0.", max_gap_s=bridged)
    columns = round((time_s[-1] - time_s[0]) / step) + 1
    axis = time_s[0] + step * np.arange(columns)
    profile = _nearest(time_s, axis)
    after = np.clip(np.searchsorted(time_s, axis, side="right"), 1, len(time_s) - 1)
    gap = time_s[after] - time_s[after - 1]
    near = np.abs(time_s[profile] - axis) <= 0.51 * step
    return axis, profile, near | (gap <= 1.01 * bridged)


def _nearest(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the nearest point, the lower of two equally near (to a thousandth of their distance)."""
    after = np.clip(np.searchsorted(points, wanted), 1, len(points) - 1)
    below, above = points[after - 1], points[after]
    return np.where(wanted - below <= (above - wanted) + 1e-3 * (above - below), after - 1, after)
