"""Where water gathers on a terrain: flow accumulation, channels, lakes, sun-facing slopes.

The fixed pattern, finer than any passive microwave or model cell, that makes melt differ from pixel to pixel on the
same day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .melt_terrain import Terrain

_STEPS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)
_PIT_REACH = 8  # pixels that water crosses to leave a pit


@dataclass(frozen=True)
class Surface:
    """What the terrain does to melt, (y, x) each.

    Attributes:
        wetness: Topographic wetness index, mean 0 and variance 1 on land: high in channels and hollows.
        lakes: 0 to 1, how far a pixel is the bottom of a flat hollow on ice.
        sunlit: -1 to 1, slope towards the south.
        bareness: 0 to 1, how far the ice is bare in summer: 1 where the surface mass balance is strongly negative.
        steepness: Slope, m/m.
    """

    wetness: np.ndarray
    lakes: np.ndarray
    sunlit: np.ndarray
    bareness: np.ndarray
    steepness: np.ndarray


def make_surface(terrain: Terrain) -> Surface:
    """Derives the pattern from altitude and surface mass balance.

    The wetness index is ln(a / tan(slope)) of Beven and Kirkby 1979 (Hydrol. Sci. Bull. 24, 43), a being the area that
    drains through a pixel. A lake is where the surface lies below its surroundings of about 1 km, on gently sloping
    ice.
    """
    smooth = gaussian_filter(terrain.altitude, 1.0)
    north, east = terrain.slopes(smooth_pixels=1.0)
    steepness = np.hypot(north, east)
    area = flow_accumulation(smooth, terrain.land) * terrain.resolution
    wetness = gaussian_filter(np.log(area / (steepness + 0.005)), 0.7)
    on_land = wetness[terrain.land] if terrain.land.any() else wetness
    wetness = np.clip((wetness - on_land.mean()) / max(float(on_land.std()), 1e-6), -2, 3)
    hollow = gaussian_filter(terrain.altitude, 8.0) - terrain.altitude
    depth = hollow - 0.5 * gaussian_filter(np.abs(hollow), 25.0)  # below what is usual around
    lakes = _ramp(depth, 0.0, 4.0) * _ramp(-steepness, -0.06, -0.02) * terrain.ice
    sunlit = np.clip(north / 0.25, -1, 1)
    parts = (wetness, lakes, sunlit, bareness_of(terrain.balance), steepness)
    return Surface(*(np.asarray(part, np.float32) for part in parts))


def bareness_of(balance: np.ndarray) -> np.ndarray:
    """How far ice is bare in summer, 0 to 1, by its surface mass balance in m water equivalent a year."""
    return _ramp(-balance, -0.8, 1.5).astype(np.float32)


def flow_accumulation(altitude: np.ndarray, land: np.ndarray) -> np.ndarray:
    """Pixels that drain through each pixel, itself included (D8: O'Callaghan and Mark 1984).

    Water runs to the steepest lower neighbour. From a pit it goes on to the lowest pixel within some hundred metres,
    if that is lower, so that small pits do not break channels. Water ends in the sea and at the edge of the grid.

    Args:
        altitude: (y, x) m.
        land: (y, x) whether water flows there.

    Returns:
        (y, x) float32, at least 1.
    """
    receivers = _receivers(altitude.astype(np.float64), land)
    amount = np.ones(altitude.size, np.float64)
    flows = receivers >= 0
    waiting = np.bincount(receivers[flows], minlength=altitude.size)
    front = np.flatnonzero(waiting == 0)
    while front.size:
        front = front[flows[front]]
        into = receivers[front]
        np.add.at(amount, into, amount[front])
        np.subtract.at(waiting, into, 1)
        into = np.unique(into)
        front = into[waiting[into] == 0]
    return amount.reshape(altitude.shape).astype(np.float32)


def _receivers(altitude: np.ndarray, land: np.ndarray) -> np.ndarray:
    """Flat index of the pixel that each pixel drains to, always a lower one; -1 for none."""
    rows, columns = altitude.shape
    index = np.arange(altitude.size).reshape(altitude.shape)
    padded = np.pad(altitude, 1, constant_values=np.inf)
    steepest = np.zeros(altitude.shape)
    receivers = np.full(altitude.shape, -1)
    for dy, dx in _STEPS:
        there = padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
        slope = (altitude - there) / np.hypot(dy, dx)
        better = slope > steepest
        steepest[better], receivers[better] = slope[better], (index + dy * columns + dx)[better]
    for y, x in np.argwhere((receivers < 0) & land):
        top, left = max(0, y - _PIT_REACH), max(0, x - _PIT_REACH)
        window = altitude[top : y + _PIT_REACH + 1, left : x + _PIT_REACH + 1]
        best = np.unravel_index(int(window.argmin()), window.shape)
        if window[best] < altitude[y, x]:
            receivers[y, x] = index[top + best[0], left + best[1]]
    return np.where(land, receivers, -1).ravel()


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)
