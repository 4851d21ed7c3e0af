"""Figures of radar curtains: the truth, what the radar sees, and each method's blind zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets.schema import NO_ECHO_DBZ
from ..errors import check
from .phase import cell_edges
from .style import continuous_colormap, new_figure, title_of

REFLECTIVITY_RANGE_DBZ = (-45.0, 20.0)


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
