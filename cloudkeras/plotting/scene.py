"""Figures of a predicted scene file, next to the scene that it was predicted from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from matplotlib.figure import Figure

from ..datasets.shards import NETCDF_LOCK
from ..errors import DataError
from .phase import WINDOW_BAND, draw_curtain, is_dark, temperature_range, true_color
from .radar import plot_radar_curtain
from .style import (
    CLASS_COLORS,
    MISSING_COLOR,
    class_colormap,
    class_legend,
    continuous_colormap,
    masked_classes,
    new_figure,
    title_of,
)

MOST_PIXELS = 800  # a longer side is thinned out for the figure


def plot_scene(path: str | Path, *, scene: str | Path | None = None, row: int | None = None) -> Figure:
    """A predicted scene: plan views and a curtain of phase, or a radar curtain before and after.

    Args:
        path: What `predict_scene` wrote.
        scene: The scene that it was predicted from: adds what the imager saw and, where the scene holds it, the truth.
        row: Row of the phase curtain; None takes the one where cloud tops differ most.

    Raises:
        DataError: If the file is not a predicted scene.
    """
    with NETCDF_LOCK, netCDF4.Dataset(path) as predicted:
        if "cloud_top_phase" not in predicted.variables and "filled" not in predicted.variables:
            raise DataError(
                path,
                expected="a scene written by `cloudkeras predict`",
                found=", ".join(predicted.variables) or "nothing",
            )
        original = None if scene is None else netCDF4.Dataset(scene)
        try:
            draw = _plot_phase if "cloud_top_phase" in predicted.variables else _plot_radar
            return draw(predicted, original, row)
        finally:
            if original is not None:
                original.close()


def _is_simulated(dataset: netCDF4.Dataset) -> bool:
    return str(getattr(dataset, "simulated", "")).lower() in ("true", "1", "yes")


def _read(dataset: netCDF4.Dataset, name: str, window: Any = ...) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(dataset[name][window]).astype(np.float32), np.nan)


def _plot_phase(predicted: netCDF4.Dataset, original: netCDF4.Dataset | None, row: int | None) -> Figure:
    rows, columns = predicted["cloud_top_phase"].shape
    step = -(-max(rows, columns) // MOST_PIXELS)
    thin = (slice(None, None, step), slice(None, None, step))
    classes = predicted["phase"].flag_meanings.split()
    if row is None:
        row = most_varied_row(_read(predicted, "cloud_top_phase", thin), len(classes)) * step
    truth = original is not None and "phase_dense" in original.variables
    panels = _plan_panels(predicted, original, thin, truth)
    curtains = {"predicted phase": _read(predicted, "phase", (slice(None), row, slice(None, None, step)))}
    if truth:
        assert original is not None
        curtains = {"true phase": _read(original, "phase_dense", (slice(None), row, thin[1])), **curtains}
    return _compose(predicted, panels, curtains, classes, row, step)


def most_varied_row(classes: np.ndarray, count: int) -> int:
    """Row of (y, x) classes with the largest entropy; of equal ones the nearest to the middle."""
    share = np.stack([(classes == k).mean(axis=1) for k in range(count)])
    entropy = -(share * np.log(np.maximum(share, 1e-9))).sum(axis=0)
    from_middle = np.abs(np.arange(len(classes)) - len(classes) // 2) / len(classes)
    return int(np.argmax(np.round(entropy, 6) - 1e-7 * from_middle))


def _plan_panels(
    predicted: netCDF4.Dataset, original: netCDF4.Dataset | None, thin: tuple, truth: bool
) -> list[tuple[str, str, np.ndarray]]:
    """Panels as (kind, title, values)."""
    panels = []
    if original is not None:
        reflectance = _read(original, "reflectance", thin)
        if not is_dark(reflectance):
            panels.append(("image", "true color", true_color(reflectance)))
        bright = _read(original, "brightness_temperature", (*thin, WINDOW_BAND))
        panels.append(("temperature", "10.4 um (K)", bright))
    if truth:
        assert original is not None
        dense = _read(original, "phase_dense", (slice(None), *thin))
        panels.append(("class", "true cloud-top phase", top_class(dense)))
    panels.append(("class", "predicted cloud-top phase", _read(predicted, "cloud_top_phase", thin)))
    panels.append(("height", "predicted cloud-top height (km)", _read(predicted, "cloud_top_height", thin)))
    return panels


def top_class(classes: np.ndarray) -> np.ndarray:
    """Class of the highest level that is not clear, 0 where all are; NaN or -1 where no level has a label."""
    known = np.where(np.isnan(classes), -1, classes)
    cloudy = known > 0
    top = len(known) - 1 - cloudy[::-1].argmax(axis=0)
    found = np.take_along_axis(known, top[None], axis=0)[0]
    return np.where(cloudy.any(axis=0), found, np.where((known >= 0).any(axis=0), 0, -1))


def _compose(
    predicted: netCDF4.Dataset,
    panels: list[tuple[str, str, np.ndarray]],
    curtains: dict[str, np.ndarray],
    classes: list[str],
    row: int,
    step: int,
) -> Figure:
    """Plan views above, curtains below."""
    rows, columns = panels[0][2].shape[:2]
    spacing = _spacing_km(predicted, "x") * step
    extent = (0, columns * spacing, rows * spacing, 0)
    width = 3.1
    plan_height = min(max(width * rows / columns, 1.6), 4.2) + 0.6
    figure = new_figure(width * len(panels) + 0.8, plan_height + 1.7 * len(curtains) + 0.9)
    grid = figure.add_gridspec(1 + len(curtains), len(panels), height_ratios=[plan_height, *[1.7] * len(curtains)])
    colormap, norm = class_colormap(classes)
    for k, (kind, name, values) in enumerate(panels):
        axis = figure.add_subplot(grid[0, k])
        axis.set_title(name, fontsize=10)
        if kind == "image":
            axis.imshow(values, extent=extent, interpolation="nearest")
        elif kind == "class":
            axis.imshow(masked_classes(values), extent=extent, cmap=colormap, norm=norm, interpolation="nearest")
        else:
            limits, colors = ((0.0, 19.0), "viridis") if kind == "height" else (temperature_range(values), "Greys")
            shown = continuous_colormap(colors, CLASS_COLORS["clear"] if kind == "height" else MISSING_COLOR)
            image = axis.imshow(values, extent=extent, cmap=shown, vmin=limits[0], vmax=limits[1])
            figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.85, pad=0.02, extend="neither")
        axis.axhline((row / step + 0.5) * spacing, color="#d55e00", linewidth=1, linestyle=(0, (4, 3)))
        axis.tick_params(labelsize=8)
        axis.set_anchor("N")
        if k == 0:
            axis.set_ylabel("y (km)")
    x = (np.arange(next(iter(curtains.values())).shape[1]) + 0.5) * spacing
    for k, (name, values) in enumerate(curtains.items()):
        axis = figure.add_subplot(grid[1 + k, :])
        draw_curtain(axis, values, x, classes)
        axis.set_title(f"{name} along the dashed line", loc="left", fontsize=10)
        axis.set_ylabel("height (km)")
    axis.set_xlabel("x (km)")
    missing = any(masked_classes(v).mask.any() for kind, _, v in panels if kind == "class")
    class_legend(figure, classes, missing=bool(missing))
    figure.suptitle(
        title_of(str(getattr(predicted, "title", "Predicted scene")), _is_simulated(predicted)), fontsize=12
    )
    return figure


def _spacing_km(dataset: netCDF4.Dataset, dim: str) -> float:
    """Distance of two pixels in km from the coordinate of a dimension; 1 (pixels) where it is not in km or m."""
    if dim not in dataset.variables or len(dataset[dim]) < 2:
        return 1.0
    unit = {"km": 1.0, "m": 1e-3}.get(str(getattr(dataset[dim], "units", "")), 0.0)
    return abs(float(dataset[dim][1] - dataset[dim][0])) * unit or 1.0


def _plot_radar(predicted: netCDF4.Dataset, original: netCDF4.Dataset | None, row: int | None) -> Figure:
    del row  # a curtain is shown whole
    rows, profiles = predicted["filled"].shape
    step = -(-profiles // (2 * MOST_PIXELS))
    thin = (slice(None), slice(None, None, step))
    filled = _read(predicted, "filled", thin) > 0
    after = _read(predicted, "reflectivity", thin)
    height = _read(predicted, "height") if "height" in predicted.variables else np.arange(rows, dtype=np.float32)
    height = height / (1000 if str(getattr(predicted["height"], "units", "")) == "m" else 1)
    hidden_rows = int(filled.any(axis=1).sum())
    depth = float(height[1] - height[0])
    curtains = {"what the radar sees": np.where(filled, np.nan, after), "blind zone filled": after}
    if original is not None and np.isfinite(before := _read(original, "reflectivity", thin))[filled].any():
        curtains = {"truth": before, **curtains}
    return plot_radar_curtain(
        curtains,
        height_km=height,
        blind_zone_km=float(height[0]) + depth * (hidden_rows - 0.5),
        hours=_hours(predicted, profiles)[thin[1]],
        title=str(getattr(predicted, "title", "Predicted curtain")),
        simulated=_is_simulated(predicted),
    )


def _hours(dataset: netCDF4.Dataset, profiles: int) -> np.ndarray:
    if "time" not in dataset.variables or dataset["time"].shape != (profiles,):
        return np.arange(profiles)
    time = np.asarray(dataset["time"][:], np.float64)
    scale = {"hours": 1.0, "minutes": 60.0, "seconds": 3600.0, "days": 1 / 24}
    word = str(getattr(dataset["time"], "units", "seconds")).split()[0]
    hours = time / scale.get(word, 3600.0)
    return hours - 24 * np.floor(hours[0] / 24)
