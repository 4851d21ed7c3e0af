"""Figure of a filled record: as it was, with its blind zone filled, and how uncertain that is."""

from __future__ import annotations

import itertools
from typing import Any

import netCDF4
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..datasets.schema import NO_ECHO_DBZ
from ..datasets.shards import NETCDF_LOCK
from .phase import cell_edges
from .radar import draw_reflectivity
from .style import MISSING_COLOR, new_figure, title_of

MOST_PROFILES = 1600
LEAST_SPREAD_RANGE_DB = 5.0
_BLIND_ZONES = 4  # height shown, in heights of the blind zone
_GAP_STEPS = 3


def plot_filled(result: Any, *, top_km: float | None = None) -> Figure:
    """Reflectivity before and after, and the spread of the members where there is one.

    Args:
        result: What `cloudkeras.inference.inpaint` returned. Of a radar's file the first panel is the record as its
            reader sees it, without noise, and with what the radar measured in the blind zone; of a scene it is what
            lies outside the blind zone.
        top_km: Highest height shown; None shows four times the blind zone.
    """
    order = np.argsort(result.time, kind="stable")
    order = order[:: -(-len(order) // MOST_PROFILES)]
    order = order[np.concatenate([[True], np.diff(result.time[order]) > 0])]
    values, flag, spread, about = _read(result, order)
    height = result.height if result.height.ndim == 1 else np.nanmedian(result.height, axis=0)
    gates = np.argsort(height)
    gates = gates[height[gates] > -1e-6]
    height_km, values, flag = height[gates] / 1000, values[gates], flag[gates]
    before = np.where(flag >= 1, np.nan, values)
    heading = "what the network sees (grey: missing or in the blind zone)"
    if result.record is not None:
        before = _of_record(result.record, height[gates], result.time[order])
        values = np.where(flag >= 1, values, before)
        heading = "as observed (grey: missing)"
    panels = {heading: before, f"filled below {result.blind_zone_top_m:.0f} m (grey: missing)": values}
    hours = (result.time[order] - 86400 * np.floor(result.time[order][0] / 86400)) / 3600
    figure = new_figure(9.5, 0.9 + 1.9 * (2 + (spread is not None)))
    axes = figure.subplots(2 + (spread is not None), 1, sharex=True)
    top = top_km or min(float(height_km[-1]), _BLIND_ZONES * result.blind_zone_top_m / 1000)
    for axis, (name, shown) in zip(axes, panels.items(), strict=False):
        for part in stretches(hours):
            image = draw_reflectivity(axis, shown[:, part], hours[part], height_km)
        _shade_gaps(axis, hours)
        axis.set_title(name, loc="left", fontsize=10)
        axis.set_ylim(0, top)
    figure.colorbar(image, ax=list(axes[:2]), label="reflectivity (dBZ); white: no echo", extend="both", pad=0.01)
    if spread is not None:
        _draw_spread(axes[2], spread[gates], hours, height_km, result)
    for axis in axes:
        axis.set_ylabel("height (km)", fontsize=9)
        axis.axhline(result.blind_zone_top_m / 1000, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
    axes[0].set_xlim(*cell_edges(hours)[[0, -1]])
    axes[0].xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 3, 6, 10]))
    axes[-1].set_xlabel(_time_label(result.time))
    figure.suptitle(title_of(*about), fontsize=11)
    return figure


def _draw_spread(axis: Axes, spread: np.ndarray, hours: np.ndarray, height_km: np.ndarray, result: Any) -> None:
    """The spread (gate, profile) in dB, with its color bar."""
    known = spread[np.isfinite(spread)]
    most = max(LEAST_SPREAD_RANGE_DB, float(np.ceil(np.percentile(known, 98)))) if known.size else LEAST_SPREAD_RANGE_DB
    for part in stretches(hours):
        edges = cell_edges(hours[part]), cell_edges(height_km)
        image = axis.pcolormesh(*edges, np.ma.masked_invalid(spread[:, part]), cmap="magma_r", vmin=0, vmax=most)
    axis.set_ylim(0, 1.15 * result.blind_zone_top_m / 1000)
    name = "spread of the members" + (", recalibrated" if result.calibrated else "")
    axis.set_title(name, loc="left", fontsize=10)
    axis.figure.colorbar(image, ax=axis, label="standard deviation (dB)", extend="max", pad=0.01)


def _read(result: Any, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, tuple[str, bool]]:
    """Reflectivity in dBZ, flag and spread (gate, profile) of some profiles; title, whether to add "simulated"."""
    with NETCDF_LOCK, netCDF4.Dataset(result.path) as file:

        def read(name: str) -> np.ndarray:
            values = np.ma.filled(np.ma.asarray(file[name][...]).astype(np.float32), np.nan)
            return (values if result.profile_axis == 1 else values.T)[:, order]

        values, flag = read(result.variable), read("filled")
        if str(getattr(file[result.variable], "units", "")).lower().startswith("mm"):
            values = 10 * np.log10(np.maximum(values, 10 ** (NO_ECHO_DBZ / 10)))
        spread = f"{result.variable}_spread"
        simulated = str(getattr(file, "simulated", "")).lower() in ("true", "1", "yes")
        title = str(getattr(file, "title", "Filled record"))
        found = read(spread) if spread in file.variables else None
    said = "simulated" in title.lower()
    return np.where(flag == 2, NO_ECHO_DBZ, values), flag, found, (title, simulated and not said)


def stretches(hours: np.ndarray) -> list[slice]:
    """Runs of profiles without a gap of more than three steps, each of two profiles or more."""
    breaks = [0, *(np.flatnonzero(np.diff(hours) > _GAP_STEPS * np.median(np.diff(hours))) + 1), len(hours)]
    return [slice(a, b) for a, b in itertools.pairwise(breaks) if b - a >= 2]


def _shade_gaps(axis: Axes, hours: np.ndarray) -> None:
    """Grey where there is no profile."""
    for one, other in itertools.pairwise(stretches(hours)):
        axis.axvspan(cell_edges(hours[one])[-1], cell_edges(hours[other])[0], color=MISSING_COLOR, linewidth=0)


def _of_record(record: Any, height_m: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """The record's reflectivity at the nearest gates and profiles."""
    gate = np.abs(record.height - height_m[:, None]).argmin(axis=1)
    profile = np.abs(record.time - time_s[:, None]).argmin(axis=1)
    return np.asarray(record.reflectivity[np.ix_(gate, profile)])


def _time_label(time_s: np.ndarray) -> str:
    first = float(np.min(time_s))
    return "time (h)" if first < 86400 else f"hours since {np.datetime64(int(first // 86400), 'D')} 00:00 UTC"
