"""Figures of cloud phase: curtains (height against distance) and plan views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import check
from ..tasks.cloud_phase import EMISSIVE_BANDS_UM, LEVEL_HEIGHT_KM, REFLECTIVE_BANDS_UM, CloudPhase
from .style import (
    class_colormap,
    class_legend,
    continuous_colormap,
    masked_classes,
    new_figure,
    title_of,
)

PHASES = CloudPhase.classes
_RED, _GREEN, _BLUE = (REFLECTIVE_BANDS_UM.index(um) for um in (0.64, 0.51, 0.47))
WINDOW_BAND = EMISSIVE_BANDS_UM.index(10.41)


def plot_phase_curtain(
    curtains: Mapping[str, Any],
    *,
    distance_km: Any = None,
    cloud_probability: Any = None,
    classes: Sequence[str] = PHASES,
    title: str = "Cloud phase along the track",
    simulated: bool | None = None,
) -> Figure:
    """Curtains of phase above each other: the truth first, then each method.

    Args:
        curtains: Panel title to classes (level, profile), -1 or NaN where there is no label; e.g.
            `{"truth": ..., "SGMAGNet": ...}`. All of one shape.
        distance_km: Distance along the track of each profile; None counts profiles.
        cloud_probability: (level, profile) in 0..1 for one more panel.
        classes: Names of classes 0, 1, ...
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """
    check(len(curtains) > 0, "`curtains` has at least one panel.", curtains=list(curtains))
    shapes = {name: np.shape(values) for name, values in curtains.items()}
    check(len(set(shapes.values())) == 1, "All curtains have one shape (level, profile).", shapes=shapes)
    levels, profiles = next(iter(shapes.values()))
    x = np.arange(profiles) if distance_km is None else np.asarray(distance_km)
    panels = len(curtains) + (cloud_probability is not None)
    figure = new_figure(9.5, 0.9 + 1.75 * panels)
    axes = figure.subplots(panels, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, curtains.items(), strict=False):
        draw_curtain(axis, values, x, classes)
        axis.set_title(name, loc="left", fontsize=10)
    if cloud_probability is not None:
        image = axes[-1].pcolormesh(
            cell_edges(x),
            level_edges(levels),
            cloud_probability,
            vmin=0,
            vmax=1,
            cmap=continuous_colormap("cividis"),
        )
        axes[-1].set_title("probability of cloud", loc="left", fontsize=10)
        figure.colorbar(image, ax=axes[-1], label="probability", pad=0.01)
    axes[-1].set_xlabel("profile" if distance_km is None else "distance along the curtain (km)")
    for axis in axes:
        axis.set_ylabel("height (km)", fontsize=9)
    class_legend(figure, classes, missing=any(masked_classes(v).mask.any() for v in curtains.values()))
    figure.suptitle(title_of(title, simulated), fontsize=12)
    return figure


def draw_curtain(axis: Axes, values: Any, x: Any, classes: Sequence[str] = PHASES) -> Any:
    """Draws classes (level, profile) into an axis, heights in km."""
    colormap, norm = class_colormap(classes)
    shown = masked_classes(values)
    return axis.pcolormesh(cell_edges(np.asarray(x)), level_edges(len(shown)), shown, cmap=colormap, norm=norm)


def plot_phase_plan(
    plans: Mapping[str, Any],
    *,
    reflectance: Any = None,
    brightness_temperature: Any = None,
    extent_km: tuple[float, float] | None = None,
    classes: Sequence[str] = PHASES,
    curtain_row: int | None = None,
    title: str = "Cloud-top phase",
    simulated: bool | None = None,
) -> Figure:
    """Plan views next to each other: what the imager saw, then phase as each method has it.

    Args:
        plans: Panel title to classes (y, x), e.g. the cloud-top phase, or the phase of one level.
        reflectance: (y, x, 6) 0..1, for a panel in true color; left out at night.
        brightness_temperature: (y, x, 10) K, for a panel of 10.4 um.
        extent_km: Size of the scene along y and x; None counts pixels.
        classes: Names of classes 0, 1, ...
        curtain_row: Row to mark by a dashed line in all panels, where a curtain is shown elsewhere.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """
    check(len(plans) > 0, "`plans` has at least one panel.", plans=list(plans))
    if reflectance is not None and is_dark(reflectance):
        reflectance = None
    seen = [v for v in (reflectance, brightness_temperature) if v is not None]
    panels = len(seen) + len(plans)
    rows, columns = np.shape(next(iter(plans.values())))
    across = min(panels, 3)
    down = -(-panels // across)
    figure = new_figure(3.6 * across + 0.6, (3.3 * rows / columns if rows < columns else 3.3) * down + 1.0)
    axes = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for spare in axes[panels:]:
        spare.remove()
    extent = (0, columns, rows, 0) if extent_km is None else (0, extent_km[1], extent_km[0], 0)
    free = iter(axes)
    if reflectance is not None:
        axis = next(free)
        axis.imshow(true_color(reflectance), extent=extent, interpolation="nearest")
        axis.set_title("true color", fontsize=10)
    if brightness_temperature is not None:
        _draw_window_band(figure, next(free), brightness_temperature, extent)
    colormap, norm = class_colormap(classes)
    for name, values in plans.items():
        axis = next(free)
        axis.imshow(masked_classes(values), extent=extent, cmap=colormap, norm=norm, interpolation="nearest")
        axis.set_title(name, fontsize=10)
    for axis in axes[:panels]:
        if curtain_row is not None:
            axis.axhline((curtain_row + 0.5) * extent[2] / rows, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
    unit = "pixel" if extent_km is None else "km"
    for place, axis in enumerate(axes[:panels]):
        axis.tick_params(labelsize=8, labelbottom=place + across >= panels)
        if place + across >= panels:
            axis.set_xlabel(f"x ({unit})", fontsize=9)
        if place % across == 0:
            axis.set_ylabel(f"y ({unit})", fontsize=9)
    class_legend(figure, classes, missing=any(masked_classes(v).mask.any() for v in plans.values()))
    figure.suptitle(title_of(title, simulated), fontsize=12)
    return figure


def _draw_window_band(figure: Figure, axis: Axes, brightness_temperature: Any, extent: tuple) -> None:
    values = np.asarray(brightness_temperature)[..., WINDOW_BAND]
    low, high = temperature_range(values)
    colors = continuous_colormap("Greys")
    image = axis.imshow(values, extent=extent, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    axis.set_title("10.4 um brightness temperature (K)", fontsize=10)
    bar = figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.8, pad=0.02, aspect=30, extend="both")
    bar.ax.tick_params(labelsize=8)


def temperature_range(values: np.ndarray) -> tuple[float, float]:
    """Limits in K that show a scene: nearly all of its values, at least 30 K."""
    if not np.isfinite(values).any():
        return 200.0, 300.0
    low, high = np.nanpercentile(values, [0.5, 99.5])
    return float(min(low, high - 30)), float(high)


def is_dark(reflectance: Any) -> bool:
    """Whether a scene reflects nothing anywhere: night, or no visible bands."""
    return not np.nanmax(np.nan_to_num(np.asarray(reflectance, np.float32)), initial=0.0) > 0.02


def true_color(reflectance: Any) -> np.ndarray:
    """(y, x, 6) reflectance to (y, x, 3) for display: red, green and blue bands, brightened; missing is grey."""
    image = np.asarray(reflectance, np.float64)[..., [_RED, _GREEN, _BLUE]]
    shown = np.clip(image / 1.1, 0, 1) ** 0.6
    return np.where(np.isnan(image).any(axis=-1, keepdims=True), 0.66, shown)


def level_edges(levels: int) -> np.ndarray:
    """Heights in km of the edges of the levels, `levels + 1` values."""
    return np.arange(levels + 1) * LEVEL_HEIGHT_KM


def cell_edges(centers: np.ndarray) -> np.ndarray:
    """Edges of cells from their centers; a single cell is 1 wide."""
    centers = np.asarray(centers, np.float64)
    if len(centers) == 1:
        return centers[0] + np.array([-0.5, 0.5])
    inner = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - inner[0]], inner, [2 * centers[-1] - inner[-1]]])
