"""From a radar's gates and profiles to the grid of the task: rows of equal depth, columns of equal duration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import check

ROWS = 128
ROW_DEPTH_M = 78.1  # King et al. 2024: 128 rows for the first 10 km


@dataclass(frozen=True)
class Curtain:
    """Radar and model context of one granule on the task's grid, lowest row first.

    Attributes:
        granule: Name of the file.
        latitude: Degrees north.
        longitude: Degrees east.
        height: (row,) m above ground of the rows' centres.
        time: (column,) s since 1970-01-01 UTC of the columns' centres, all one step apart.
        observed: (column,) False where the record has a gap.
        fields: By variable of the task: (row, column), float32, NaN for missing.
    """

    granule: str
    latitude: float
    longitude: float
    height: np.ndarray
    time: np.ndarray
    observed: np.ndarray
    fields: dict[str, np.ndarray]

    @property
    def step_s(self) -> float:
        """Duration of a column in seconds."""
        return float(self.time[1] - self.time[0])


def row_heights(rows: int = ROWS, depth_m: float = ROW_DEPTH_M) -> np.ndarray:
    """Centres of the rows, m above ground: row i spans `i * depth_m` to `(i + 1) * depth_m`."""
    check(rows >= 1 and depth_m > 0, "`rows` and `row_depth_m` are positive.", rows=rows, row_depth_m=depth_m)
    return (np.arange(rows) + 0.5) * depth_m


def nearest_gates(gate_height_m: np.ndarray, row_height_m: np.ndarray, depth_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The gate nearest to each row, and whether it is near enough.

    A row takes a gate at most one row's depth away. Radars begin about 100 m above ground, so the lowest row (39 m)
    shows the first gate too, as the published grid does, which begins at the first gate; beyond the last gate rows
    are missing.

    Args:
        gate_height_m: (gate,) increasing, m above ground.
        row_height_m: (row,) m above ground.
        depth_m: Depth of a row.

    Returns:
        Indices (row,) int and validity (row,) bool.
    """
    gates = _nearest(gate_height_m, row_height_m)
    return gates, np.abs(gate_height_m[gates] - row_height_m) <= depth_m


def regular_columns(time_s: np.ndarray, max_gap_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A regular time axis for profiles that are almost regular, and the profile nearest to each column.

    The step is the median distance of the profiles. A column is observed if a profile lies within half a step (by time
    stamp, so nothing drifts), or if it lies in a gap between two profiles of at most `max_gap_s`, where it repeats the
    nearer one (the earlier of two equally near). Any other column belongs to a gap that no window may cross.

    Args:
        time_s: (profile,) s, increasing.
        max_gap_s: Longest distance of two profiles, in seconds, that is bridged.

    Returns:
        Times of the columns (column,), the nearest profile of each (column,) int, and whether it is observed (column,).
    """
    step = float(np.round(np.median(np.diff(time_s)), 3))
    columns = round((time_s[-1] - time_s[0]) / step) + 1
    axis = time_s[0] + step * np.arange(columns)
    profile = _nearest(time_s, axis)
    after = np.clip(np.searchsorted(time_s, axis, side="right"), 1, len(time_s) - 1)
    gap = time_s[after] - time_s[after - 1]
    near = np.abs(time_s[profile] - axis) <= 0.51 * step
    return axis, profile, near | (gap <= 1.01 * max_gap_s)


def _nearest(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the nearest point, the lower of two equally near (to a thousandth of their distance)."""
    after = np.clip(np.searchsorted(points, wanted), 1, len(points) - 1)
    below, above = points[after - 1], points[after]
    return np.where(wanted - below <= (above - wanted) + 1e-3 * (above - below), after - 1, after)
