"""Figures of radar curtains: the truth, what the radar sees, and each method's blind zone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets.schema import NO_ECHO_DBZ
from ..errors import check
from .phase import cell_edges
from .radar_methods import ROW_DEPTH_KM
from .style import continuous_colormap, new_figure, title_of

REFLECTIVITY_RANGE_DBZ = (-45.0, 20.0)
SPREAD_RANGE_DB = 20.0
_MOST_METHODS = 5


def plot_radar_curtain(
    curtains: Mapping[str, Any],
    *,
    height_km: Any,
    blind_zone_km: float,
    hours: Any = None,
    top_km: float | None = None,
    title: str = "Radar reflectivity",
    simulated: bool | None = None,
) -> Figure:
    """Curtains of reflectivity above each other, with the top of the blind zone as a line.

    Args:
        curtains: Panel title to reflectivity in dBZ (height, profile), lowest row first; -60 or less is "no echo"
            (white), NaN is missing (grey). E.g. `{"truth": ..., "what the radar sees": ..., "UNet 3+": ...}`.
        height_km: Height of each row.
        blind_zone_km: Height below which the radar is blind.
        hours: Time of each profile in hours; None counts profiles.
        top_km: Highest height shown; None shows all.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """
    check(len(curtains) > 0, "`curtains` has at least one panel.", curtains=list(curtains))
    shapes = {name: np.shape(values) for name, values in curtains.items()}
    check(len(set(shapes.values())) == 1, "All curtains have one shape (height, profile).", shapes=shapes)
    rows, profiles = next(iter(shapes.values()))
    check(len(height_km) == rows, "`height_km` has one value a row.", heights=len(height_km), rows=rows)
    x = np.arange(profiles) if hours is None else np.asarray(hours)
    figure = new_figure(9.5, 0.9 + 1.7 * len(curtains))
    axes = figure.subplots(len(curtains), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    images = []
    for axis, (name, values) in zip(axes, curtains.items(), strict=True):
        images.append(draw_reflectivity(axis, values, x, height_km))
        axis.axhline(blind_zone_km, color="black", linewidth=1, linestyle=(0, (4, 3)))
        axis.set_title(name, loc="left", fontsize=10)
    axes[0].annotate(
        "blind zone below",
        (1, blind_zone_km),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
    )
    if top_km is not None:
        axes[0].set_ylim(0, top_km)
    axes[-1].set_xlabel("profile" if hours is None else "time (h UTC)")
    for axis in axes:
        axis.set_ylabel("height (km)", fontsize=9)
    figure.colorbar(images[0], ax=list(axes), label="reflectivity (dBZ); white: no echo", extend="both", pad=0.01)
    figure.suptitle(title_of(title, simulated), fontsize=12)
    return figure


def plot_radar_cases(
    cases: Any,
    *,
    methods: Sequence[str] | None = None,
    spread_of: str | None = None,
    top_km: float | None = None,
    title: str = "Cases",
) -> Figure:
    """Several curtains side by side: the truth, what the radar sees, each method's blind zone, and a spread.

    Args:
        cases: `cloudkeras.evaluation.Cases`.
        methods: Methods to show; None shows the first five, and so the order of the evaluation.
        spread_of: Method whose spread is the last row; None takes the first shown that has one, "" leaves it out.
        top_km: Highest height shown; None shows about four times the blind zone.
        title: Title of the figure.

    Raises:
        InputError: If there is no such method or no spread of it.
    """
    names = list(cases.predictions)[:_MOST_METHODS] if methods is None else list(methods)
    known = list(cases.predictions)
    check(bool(names) and set(names) <= set(known), f"`methods` are of {', '.join(known)}.", methods=names)
    if spread_of is None:
        spread_of = next((name for name in names if name in cases.spread), "")
    check(not spread_of or spread_of in cases.spread, "`spread_of` is a method with members.", spread_of=spread_of)
    seen = np.where(cases.hidden, np.nan, cases.observed)
    rows = {"truth": cases.observed, "seen": seen, **{name: cases.predictions[name] for name in names}}
    height, blind_top = _heights_km(cases)
    count = len(cases.titles)
    down = len(rows) + bool(spread_of)
    figure = new_figure(1.6 + 3.4 * count, 0.9 + 1.25 * down)
    grid = figure.subplots(down, count, sharex="col", sharey=True, squeeze=False)
    for column in range(count):
        hours = _hours_of(cases, column)
        for axis, values in zip(grid[:, column], rows.values(), strict=False):
            image = draw_reflectivity(axis, values[column], hours, height)
        if spread_of:
            shown = np.ma.masked_invalid(cases.spread[spread_of][column])
            edges = cell_edges(hours), cell_edges(height)
            spread = grid[-1, column].pcolormesh(*edges, shown, cmap="magma_r", vmin=0, vmax=SPREAD_RANGE_DB)
        for axis in grid[:, column]:
            axis.axhline(blind_top, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
            axis.tick_params(labelsize=8)
        when = datetime.fromtimestamp(float(cases.time_start[column]), UTC)
        heading = f"{when:%Y-%m-%d %H:%M} UTC\n" + cases.titles[column]
        grid[0, column].set_title(heading, fontsize=8)
        grid[-1, column].set_xlabel("time (h UTC)", fontsize=9)
    for axis, name in zip(grid[:, 0], [*rows, f"spread of {spread_of}"], strict=False):
        axis.set_ylabel(textwrap.fill(name.replace("_", " "), 14), fontsize=8)
    figure.supylabel("height (km)", fontsize=9)
    grid[0, 0].set_ylim(0, top_km or min(float(height[-1]), 4 * blind_top))
    figure.colorbar(image, ax=grid[: len(rows)], label="reflectivity (dBZ); white: no echo", extend="both", pad=0.01)
    if spread_of:
        figure.colorbar(spread, ax=grid[-1:], label="dB", extend="max", pad=0.01)
    figure.suptitle(title_of(f"{title}; below the dashed line the radar is blind", cases.simulated), fontsize=11)
    return figure


def _heights_km(cases: Any) -> tuple[np.ndarray, float]:
    """Heights of all rows and of the top of the blind zone."""
    height: np.ndarray = np.asarray(cases.height_m) / 1000
    if not np.isfinite(height).all():
        height = (np.arange(len(height)) + 0.5) * ROW_DEPTH_KM
    return height, float(cell_edges(height)[int(cases.hidden.any(axis=(0, 2)).sum())])


def _hours_of(cases: Any, case: int) -> np.ndarray:
    """Time of each profile in hours of the day of the first."""
    start, end = float(cases.time_start[case]), float(cases.time_end[case])
    seconds = np.linspace(start, max(end, start + 1e-3), cases.observed.shape[2])
    return (seconds - 86400 * np.floor(start / 86400)) / 3600


def draw_reflectivity(axis: Axes, values: Any, x: Any, height_km: Any) -> Any:
    """Draws a curtain into an axis: no echo white, missing grey."""
    values = np.asarray(values, np.float64)
    colormap = continuous_colormap("viridis", (1, 1, 1, 0))
    low, high = REFLECTIVITY_RANGE_DBZ
    axis.set_facecolor("white")
    missing = np.where(np.isnan(values), 0.0, np.nan)
    horizontal, vertical = cell_edges(np.asarray(x)), cell_edges(np.asarray(height_km))
    axis.pcolormesh(horizontal, vertical, np.ma.masked_invalid(missing), cmap="Greys", vmin=-1, vmax=1.5)
    echo = np.ma.masked_where(~(values > NO_ECHO_DBZ), values)
    return axis.pcolormesh(horizontal, vertical, echo, cmap=colormap, vmin=low, vmax=high)
