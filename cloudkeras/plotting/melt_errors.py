"""Figures of a meltwater evaluation: days with every method's map, where the errors are, melt extent against SAR's."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..errors import check
from .melt_maps import map_legend, ocean_image
from .style import LINE_COLORS, bare, continuous_colormap, new_figure, title_of

MAP_COLORS, ERROR_COLORS = "Blues", "RdBu_r"
_MOST_METHODS = 5
_MOST_PIXELS = 700  # a longer side is thinned out
_BAND_M = 100.0  # of altitude
_FEW = 50  # pixel-days below which a band has no mean


def plot_day_maps(days: Any, *, methods: Sequence[str] | None = None, title: str = "Melt fraction by day") -> Figure:
    """Days below each other: what SAR saw, each method's map, and below it how far it is off.

    Args:
        days: `cloudkeras.evaluation.DayMaps`.
        methods: Methods to show; None shows the first five.
        title: Title of the figure.

    Raises:
        InputError: If there is no such method.
    """
    known = list(days.predictions)
    names = known[:_MOST_METHODS] if methods is None else list(methods)
    check(bool(names) and set(names) <= set(known), f"`methods` are of {', '.join(known)}.", methods=names)
    count, (rows, wide) = len(days.titles), days.land.shape
    step = -(-max(rows, wide) // _MOST_PIXELS)
    ocean = ocean_image(days.land[::step, ::step])
    extent = (0.0, wide * days.pixel_km, rows * days.pixel_km, 0.0)
    panel = 2.1 * float(np.clip(rows / wide, 0.5, 2.0))
    figure = new_figure(1.3 + 2.15 * (len(names) + 1), 1.0 + 2 * count * (panel + 0.15))
    grid = figure.subplots(2 * count, len(names) + 1, sharex=True, sharey=True, squeeze=False)
    fraction: Any = None
    error: Any = None
    for case in range(count):
        maps, errors = grid[2 * case], grid[2 * case + 1]
        truth = days.truth[case][::step, ::step]
        fraction = _image(maps[0], truth, ocean, extent, MAP_COLORS, (0, 1))
        for axis, below, name in zip(maps[1:], errors[1:], names, strict=True):
            values = days.predictions[name][case][::step, ::step]
            _image(axis, values, ocean, extent, MAP_COLORS, (0, 1))
            error = _image(below, values - truth, ocean, extent, ERROR_COLORS, (-1, 1))
            if case == 0:
                axis.set_title(name.replace("_", " "), fontsize=9)
        when = datetime.fromtimestamp(float(days.time_start[case]), UTC)
        lines = [f"{when.day} {when:%B %Y}", *days.titles[case].split("\n")]
        text = "\n".join(textwrap.fill(line, 24) for line in lines).strip()
        errors[0].axis("off")
        errors[0].text(0, 0.95, text, transform=errors[0].transAxes, va="top", fontsize=8, wrap=False)
        errors[1].set_ylabel("difference", fontsize=8)
    grid[0, 0].set_title("SAR (truth)", fontsize=9)
    for axis in grid.ravel():
        axis.tick_params(labelsize=7)
    figure.supxlabel("km from the west", fontsize=9)
    figure.supylabel("km from the north", fontsize=9)
    figure.colorbar(fraction, ax=grid, label="melt fraction", shrink=0.5, aspect=30, pad=0.01)
    bottom: dict[str, Any] = {"location": "bottom", "shrink": 0.5, "aspect": 35, "pad": 0.02}
    figure.colorbar(error, ax=grid, label="difference: method - SAR", **bottom)
    figure.legend(handles=map_legend(), loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    figure.suptitle(title_of(title, days.simulated), fontsize=11)
    return figure


def plot_error_maps(
    errors: Any,
    *,
    land: Any,
    altitude: Any = None,
    pixel_km: float = 0.1,
    methods: Sequence[str] | None = None,
    title: str = "Where the errors are",
    simulated: bool | None = None,
) -> Figure:
    """Mean error and mean absolute error of each pixel over the days, and by altitude.

    Args:
        errors: `cloudkeras.evaluation.ErrorMaps`.
        land: (y, x) bool.
        altitude: (y, x) m; None leaves out the curves by altitude.
        pixel_km: Size of a pixel.
        methods: Methods to show; None shows the first five.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.

    Raises:
        InputError: If nothing was judged or there is no such method.
    """
    known = list(errors.methods)
    names = known[:_MOST_METHODS] if methods is None else list(methods)
    check(errors.days is not None, "Nothing was judged: give the maps to `evaluate` as `watch`.")
    check(bool(names) and set(names) <= set(known), f"`methods` are of {', '.join(known)}.", methods=names)
    land = np.asarray(land, bool)
    rows, wide = land.shape
    step = -(-max(rows, wide) // _MOST_PIXELS)
    ocean, extent = ocean_image(land[::step, ::step]), (0.0, wide * pixel_km, rows * pixel_km, 0.0)
    panel = 2.4 * float(np.clip(rows / wide, 0.5, 2.0))
    curves = 0.0 if altitude is None else 3.0
    figure = new_figure(1.3 + 2.45 * max(2, len(names)), 0.8 + 2 * (panel + 0.25) + curves)
    upper: Any = figure
    lower: Any = None
    if altitude is not None:
        upper, lower = figure.subfigures(2, 1, height_ratios=[2 * panel + 1, curves])  # type: ignore[misc]
    grid = upper.subplots(2, len(names), sharex=True, sharey=True, squeeze=False)
    for column, name in enumerate(names):
        values = (errors.mean(name)[::step, ::step], errors.mean_absolute(name)[::step, ::step])
        signed = _image(grid[0, column], values[0], ocean, extent, ERROR_COLORS, (-0.5, 0.5))
        absolute = _image(grid[1, column], values[1], ocean, extent, "magma_r", (0, 0.5))
        grid[0, column].set_title(name.replace("_", " "), fontsize=9)
    for axis in grid.ravel():
        axis.tick_params(labelsize=7)
    upper.supxlabel("km from the west", fontsize=9)
    upper.supylabel("km from the north", fontsize=9)
    upper.colorbar(signed, ax=grid[0], label="mean error", extend="both", shrink=0.9, pad=0.01)
    upper.colorbar(absolute, ax=grid[1], label="mean absolute error", extend="max", shrink=0.9, pad=0.01)
    if lower is not None:
        _by_altitude(lower.subplots(), errors, names, np.where(land, np.asarray(altitude, np.float64), np.nan))
    most = f"means over the days on which SAR saw the pixel, {int(errors.days.max())} at most"
    figure.suptitle(title_of(f"{title}: {most}", simulated), fontsize=11)
    return figure


def _by_altitude(axis: Any, errors: Any, names: Sequence[str], altitude: np.ndarray) -> None:
    known = np.isfinite(altitude) & (errors.days > 0)
    band = np.floor(altitude[known] / _BAND_M).astype(int)
    first = band.min()
    weight = np.bincount(band - first, errors.days[known])
    middle = (first + np.arange(len(weight)) + 0.5) * _BAND_M
    for number, name in enumerate(names):
        total = np.bincount(band - first, errors.mean_absolute(name)[known] * errors.days[known])
        mean = np.where(weight >= _FEW, total / np.maximum(weight, 1), np.nan)
        color = LINE_COLORS[(number + 1) % len(LINE_COLORS)]
        axis.plot(middle, mean, marker="o", markersize=3, color=color, label=name.replace("_", " "))
    axis.set_xlabel("altitude (m)", fontsize=9)
    axis.set_ylabel("mean absolute error", fontsize=9)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="best")
    bare(axis)


def plot_extent_scores(scores: Any, *, methods: Sequence[str] | None = None, title: str = "Melt extent") -> Figure:
    """Melt extent of each day within what SAR saw: that of each method against SAR's.

    Args:
        scores: `cloudkeras.evaluation.Scores` of the task `meltwater`.
        methods: Methods to show; None shows the first six.
        title: Title of the figure.

    Raises:
        InputError: If there is no such method.
    """
    names = list(scores.methods[:6]) if methods is None else list(methods)
    check(bool(names) and set(names) <= set(scores.methods), "`methods` are among the scores.", methods=names)
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = new_figure(3.2 * across + 0.4, 3.1 * down + 0.6)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    largest = 1e-6
    for axis, name in zip(axes, names, strict=False):
        truth, found = scores.metrics.extents(scores.statistics[name])
        judged = np.isfinite(truth)
        truth, found = truth[judged], found[judged]
        largest = max(largest, *truth.tolist(), *found.tolist())
        axis.plot(truth, found, linestyle="none", marker="o", markersize=4, alpha=0.7, color=LINE_COLORS[1])
        error = float(np.mean(np.abs(found - truth))) if judged.any() else float("nan")
        axis.set_title(f"{name.replace('_', ' ')}: off by {error:.3g} km²", fontsize=9)
        bare(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    for axis in axes[: len(names)]:
        axis.plot([0, largest], [0, largest], color="#666666", linewidth=0.8, zorder=0)
        axis.set_aspect("equal")
    figure.supxlabel("SAR (km²)", fontsize=9)
    figure.supylabel("method (km²)", fontsize=9)
    days = int(np.isfinite(scores.metrics.extents(scores.statistics[names[0]])[0]).sum())
    figure.suptitle(title_of(f"{title} of {days} days, where SAR saw", scores.simulated), fontsize=11)
    return figure


def _image(
    axis: Any, values: np.ndarray, ocean: np.ndarray, extent: Any, colors: str, limits: tuple[float, float]
) -> Any:
    image = axis.imshow(
        values, cmap=continuous_colormap(colors), vmin=limits[0], vmax=limits[1], extent=extent, interpolation="nearest"
    )
    axis.imshow(ocean, extent=extent, interpolation="nearest")
    return image
