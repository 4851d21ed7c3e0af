"""A CloudSat-like ground track through a patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MEAN_DRIFT = 0.2  # columns a row: an orbit of 98.2 degrees inclination crosses meridians at about 11 degrees
_DRIFT_SPREAD = 0.03


@dataclass(frozen=True)
class Track:
    """Pixels under the track, in the order of flight.

    Attributes:
        y: Rows, (profiles,), int16, -1 where there is no further profile.
        x: Columns, likewise.
        ascending: Whether the satellite flew north.
    """

    y: np.ndarray
    x: np.ndarray
    ascending: bool


def draw_track(rng: np.random.Generator, shape: tuple[int, int]) -> Track:
    """Draws a track: one profile for each row that it crosses, padded with -1 to as many as there are rows.

    The satellite flies towards the west while it goes north or south (retrograde, sun-synchronous), row 0 is north. The
    offset is uniform, so that some tracks leave the patch at a side; at least half of the rows are crossed.
    """
    rows, columns = shape
    ascending = bool(rng.random() < 0.5)
    drift = abs(rng.normal(MEAN_DRIFT, _DRIFT_SPREAD)) * (1 if ascending else -1)
    middle = rng.uniform(0, columns)
    y = np.arange(rows)
    x = np.floor(middle + drift * (y - (rows - 1) / 2)).astype(int)
    inside = (x >= 0) & (x < columns)
    y, x = y[inside], x[inside]
    if ascending:
        y, x = y[::-1], x[::-1]
    pad = np.full(rows - len(y), -1)
    return Track(np.concatenate([y, pad]).astype(np.int16), np.concatenate([x, pad]).astype(np.int16), ascending)


def along_track(dense: np.ndarray, track: Track) -> np.ndarray:
    """Profiles of a dense field (level, y, x) along a track: (profile, level), -1 where there is none."""
    profiles = dense[:, track.y, track.x].T.copy()
    profiles[track.y < 0] = -1
    return profiles
