"""Figures of meltwater: what is known of one day, and the melting season as a series."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..errors import check
from .melt_maps import map_legend, ocean_image
from .style import LINE_COLORS, bare, continuous_colormap, new_figure, title_of

_STYLES: dict[str, tuple[str, float | None, float | None, str]] = {
    "melt_fraction": ("Blues", 0.0, 1.0, "melt fraction"),
    "sar_mean": ("Blues", 0.0, 1.0, "melt fraction"),
    "sar_previous": ("Blues", 0.0, 1.0, "melt fraction"),
    "brightness_temperature": ("inferno", 150.0, 270.0, "brightness temperature (K)"),
    "brightness_temperature_smooth": ("inferno", 150.0, 270.0, "brightness temperature (K)"),
    "winter_brightness_temperature": ("inferno", 150.0, 270.0, "brightness temperature (K)"),
    "liquid_water": ("viridis", 0.0, 0.04, "liquid water (kg/kg)"),
    "liquid_water_smooth": ("viridis", 0.0, 0.04, "liquid water (kg/kg)"),
    "surface_altitude": ("cividis", None, None, "altitude (m)"),
}
_MOST_PIXELS = 900  # a longer side is thinned out for the figure


def plot_melt_day(
    panels: Mapping[str, Any],
    *,
    land: Any = None,
    titles: Mapping[str, str] | None = None,
    pixel_km: float = 0.1,
    columns: int = 3,
    title: str = "Meltwater",
    simulated: bool | None = None,
) -> Figure:
    """Maps of one day side by side, north up, axes in km.

    Args:
        panels: Variable of the task `meltwater` to its image (y, x), NaN where missing. Any other name is taken as a
            melt fraction, e.g. `{"unet": ...}`.
        land: (y, x) mask; what is not land is drawn as ocean. Missing values on land are grey.
        titles: Panel titles by name; the name otherwise.
        pixel_km: Size of a pixel.
        columns: Panels in a row.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """
    check(len(panels) > 0, "`panels` has at least one image.", panels=list(panels))
    shapes = {name: np.shape(values) for name, values in panels.items()}
    check(len(set(shapes.values())) == 1, "All images have one shape (y, x).", shapes=shapes)
    check(columns >= 1, "`columns` is at least 1.", columns=columns)
    rows, wide = next(iter(shapes.values()))
    across = min(columns, len(panels))
    down = -(-len(panels) // across)
    height = 2.85 * float(np.clip(rows / wide, 0.5, 2.0))
    figure = new_figure(3.9 * across, 0.8 + (height + 0.4) * down)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    step = -(-max(rows, wide) // _MOST_PIXELS)
    extent = (0.0, wide * pixel_km, rows * pixel_km, 0.0)
    for axis, (name, values) in zip(axes.ravel(), panels.items(), strict=False):
        _draw(figure, axis, name, np.asarray(values, np.float32)[::step, ::step], land, step, extent)
        axis.set_title((titles or {}).get(name, name.replace("_", " ")), loc="left", fontsize=10)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("km from the north", fontsize=9)
    for number, axis in enumerate(axes.ravel()[: len(panels)]):
        if number + across >= len(panels):
            axis.set_xlabel("km from the west", fontsize=9)
            axis.tick_params(labelbottom=True)
    figure.legend(handles=map_legend(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(title_of(title, simulated), fontsize=12)
    return figure


def _draw(figure: Figure, axis: Any, name: str, values: np.ndarray, land: Any, step: int, extent: Any) -> None:
    colors, low, high, label = _STYLES.get(name, _STYLES["melt_fraction"])
    sea = None if land is None else ~np.asarray(land, bool)[::step, ::step]
    image = axis.imshow(
        values if sea is None else np.where(sea, np.nan, values),
        cmap=continuous_colormap(colors),
        vmin=low,
        vmax=high,
        extent=extent,
        interpolation="nearest",
    )
    if sea is not None:
        axis.imshow(ocean_image(~sea), extent=extent, interpolation="nearest")
    figure.colorbar(image, ax=axis, label=label, shrink=0.85, pad=0.02)


def plot_melt_extent(
    series: Mapping[str, tuple[Sequence[datetime.date], Any]],
    *,
    title: str = "Melt extent",
    simulated: bool | None = None,
) -> Figure:
    """Melt extent by day, one panel a year.

    Args:
        series: Method to its days and its melt extent in km2; NaN leaves a gap. The first is drawn as points (what was
            observed), the others as lines.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """
    check(len(series) > 0, "`series` has at least one method.", series=list(series))
    for name, (days, values) in series.items():
        check(len(days) == len(values), "Every day has a value.", method=name, days=len(days), values=len(values))
    years = sorted({day.year for days, _ in series.values() for day in days})
    check(len(years) > 0, "`series` holds at least one day.", series=list(series))
    figure = new_figure(9.0, 0.8 + 1.5 * len(years))
    axes = figure.subplots(len(years), 1, sharey=True, squeeze=False)[:, 0]
    for axis, year in zip(axes, years, strict=True):
        for number, (name, (days, values)) in enumerate(series.items()):
            mine = [(day, value) for day, value in zip(days, values, strict=True) if day.year == year]
            style = {"linestyle": "none", "marker": "o", "markersize": 3} if number == 0 else {"linewidth": 1.2}
            color = LINE_COLORS[number % len(LINE_COLORS)]
            axis.plot([d for d, _ in mine], [v for _, v in mine], color=color, label=name, **style)
        axis.set_xlim(datetime.date(year, 4, 1), datetime.date(year, 9, 30))
        axis.set_ylabel(f"{year}\nkm²", fontsize=9)
        axis.xaxis.set_major_formatter(_month_names())
        bare(axis)
    axes[0].legend(loc="upper left", ncols=min(4, len(series)), frameon=False, fontsize=8)
    axes[0].set_ylim(bottom=0)
    figure.suptitle(title_of(title, simulated), fontsize=12)
    return figure


def _month_names() -> Any:
    from matplotlib.dates import DateFormatter

    return DateFormatter("%b")
