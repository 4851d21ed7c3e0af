"""Figures of explanations: heat maps by channel, Grad-CAM, feature maps, channel importance, Shapley values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import check
from .phase import cell_edges
from .style import LINE_COLORS, bare, continuous_colormap, new_figure, title_of

_TITLE_WIDTH = 30


def plot_channel_maps(
    maps: Any,
    channels: Sequence[str],
    *,
    rows: Any = None,
    columns: Any = None,
    row_label: str = "row",
    column_label: str = "column",
    region: Any = None,
    label: str = "saliency",
    title: str = "Saliency",
    downward: bool = False,
    simulated: bool | None = None,
) -> Figure:
    """A heat map for each channel, one color scale for all, so that channels can be compared.

    Values of one sign run from light to dark, values of both signs from blue (lowers the objective) to red (raises it).
    The scale ends at the 99.5th percentile of the absolute values; what lies beyond has the last color. Titles give
    each channel's share of the sum of absolute values.

    Args:
        maps: (rows, columns, channel).
        channels: Name of each channel.
        rows: Centres of the rows; None counts.
        columns: Centres of the columns; None counts.
        row_label: Label of the vertical axis.
        column_label: Label of the horizontal axis.
        region: (rows, columns), the region of the objective: outlined where it is above 0.
        label: Label of the color bar.
        title: Title of the figure.
        downward: Whether the first row is at the top (images) and not at the bottom (curtains).
        simulated: Whether the data are simulated; the title says so.
    """
    maps = np.asarray(maps, np.float64)
    check(maps.ndim == 3 and maps.shape[2] == len(channels), "`maps` is (rows, columns, channel).", maps=maps.shape)
    sizes = np.abs(maps)
    limit = float(np.percentile(sizes, 99.5)) or float(sizes.max()) or 1.0
    total = float(sizes.sum()) or 1.0
    signed = bool(maps.min() < 0)
    colors = continuous_colormap("RdBu_r" if signed else "magma_r")
    figure, axes, across = _panels(len(channels))
    image: Any = None
    for k, (axis, name) in enumerate(zip(axes, channels, strict=True)):
        image = _draw(axis, maps[..., k], rows, columns, colors, (-limit if signed else 0.0, limit), downward)
        _outline(axis, region, rows, columns)
        share = 100 * sizes[..., k].sum() / total
        axis.set_title(f"{_shortened(name)}\n{share:.1f} %", fontsize=8)
    _label_outer(axes, across, row_label, column_label)
    bar = figure.colorbar(image, ax=axes, extend="both" if signed else "max", pad=0.01, fraction=0.04)
    _format(bar, label)
    figure.suptitle(title_of(title, simulated), fontsize=11)
    return figure


def plot_grad_cam(
    cam: Any,
    image: Any,
    *,
    image_label: str,
    rows: Any = None,
    columns: Any = None,
    row_label: str = "row",
    column_label: str = "column",
    level_label: str = "level",
    region: Any = None,
    title: str = "Grad-CAM",
    label: str = "Grad-CAM",
    downward: bool = False,
    simulated: bool | None = None,
) -> Figure:
    """The network's view beside the map of what raises the objective.

    Args:
        cam: (rows, columns), or (levels, rows, columns): the mean over levels is shown, and the mean over rows.
        image: A channel of the input, (rows, columns), in grey.
        image_label: What it is.
        rows: Centres of the rows; None counts.
        columns: Centres of the columns; None counts.
        row_label: Label of the vertical axis.
        column_label: Label of the horizontal axis.
        level_label: Label of the levels.
        region: (rows, columns), the region of the objective, outlined.
        title: Title of the figure.
        label: Label of the color bar.
        downward: Whether the first row is at the top.
        simulated: Whether the data are simulated; the title says so.
    """
    cam, image = np.asarray(cam, np.float64), np.asarray(image, np.float64)
    check(
        cam.ndim in (2, 3) and cam.shape[-2:] == image.shape,
        "`cam` and `image` have the same rows and columns.",
        cam=cam.shape,
        image=image.shape,
    )
    figure, axes, across = _panels(cam.ndim, width=4.2)
    _draw(axes[0], image, rows, columns, continuous_colormap("Greys"), (image.min(), image.max()), downward)
    axes[0].set_title(_shortened(image_label), fontsize=9)
    plan = cam if cam.ndim == 2 else cam.mean(axis=0)
    colors = continuous_colormap("magma_r")
    drawn = _draw(axes[1], plan, rows, columns, colors, (0, plan.max() or 1.0), downward)
    axes[1].set_title("map" if cam.ndim == 2 else "mean over levels", fontsize=9)
    _format(figure.colorbar(drawn, ax=axes[1], pad=0.02), label if cam.ndim == 2 else "")
    for axis in axes[:2]:
        _outline(axis, region, rows, columns)
    _label_outer(axes[:2], across, row_label, column_label)
    if cam.ndim == 3:
        curtain = cam.mean(axis=1)
        drawn = _draw(axes[2], curtain, None, columns, colors, (0, curtain.max() or 1.0), False)
        axes[2].set_title("mean over rows", fontsize=9)
        axes[2].set_xlabel(column_label, fontsize=8)
        axes[2].set_ylabel(level_label, fontsize=8)
        _format(figure.colorbar(drawn, ax=axes[2], pad=0.02), label)
    figure.suptitle(title_of(title, simulated), fontsize=11)
    return figure


def plot_feature_maps(
    maps: Any,
    *,
    rows: Any = None,
    columns: Any = None,
    row_label: str = "row",
    column_label: str = "column",
    limit: int = 16,
    title: str = "Feature maps",
    downward: bool = False,
    simulated: bool | None = None,
) -> Figure:
    """The features of a layer that vary most in space, each on its own scale, whose ends stand above it.

    Args:
        maps: (rows, columns, feature), or (levels, rows, columns, feature), of which the mean over levels is shown.
        rows: Centres of the rows; None counts.
        columns: Centres of the columns; None counts.
        row_label: Label of the vertical axis.
        column_label: Label of the horizontal axis.
        limit: Most features shown.
        title: Title of the figure.
        downward: Whether the first row is at the top.
        simulated: Whether the data are simulated; the title says so.
    """
    maps = np.asarray(maps, np.float64)
    check(
        maps.ndim in (3, 4), "`maps` is (rows, columns, feature) or (levels, rows, columns, feature).", maps=maps.shape
    )
    check(limit >= 1, "`limit` is at least 1.", limit=limit)
    if maps.ndim == 4:
        maps = maps.mean(axis=0)
    spread = maps.std(axis=(0, 1))
    chosen = np.sort(np.argsort(-spread, kind="stable")[:limit])
    figure, axes, across = _panels(len(chosen))
    for axis, k in zip(axes, chosen, strict=True):
        low, high = float(maps[..., k].min()), float(maps[..., k].max())
        _draw(axis, maps[..., k], rows, columns, continuous_colormap("viridis"), (low, high), downward)
        axis.set_title(f"feature {k}\n{low:.3g} to {high:.3g}", fontsize=8)
    _label_outer(axes, across, row_label, column_label)
    shown = f", {len(chosen)} of {maps.shape[-1]} features" if len(chosen) < maps.shape[-1] else ""
    figure.suptitle(title_of(f"{title}{shown}", simulated), fontsize=11)
    return figure


def plot_importance(importance: Any, *, title: str | None = None) -> Figure:
    """Importance of channels as bars with intervals; small circles are the single seeds.

    Args:
        importance: An `Importance`, or its `to_dict`.
        title: Title of the figure.
    """
    report = importance if isinstance(importance, Mapping) else importance.to_dict()
    figure = new_figure(7.2, 1.4 + 0.3 * len(report["ranking"]))
    _draw_bars(figure.subplots(), report)
    named = title or f"Channel importance by {'permutation' if report['method'] == 'permutation' else 'retraining'}"
    figure.suptitle(title_of(named, report["simulated"]), fontsize=11)
    return figure


def plot_shapley(importance: Any, *, title: str = "Channel importance by retraining (Shapley)") -> Figure:
    """Shapley values on the left, the score of each subset of channels on the right.

    Args:
        importance: An `Importance` by Shapley values, or its `to_dict`.
        title: Title of the figure.
    """
    report = importance if isinstance(importance, Mapping) else importance.to_dict()
    figure = new_figure(10.0, 1.6 + 0.24 * max(len(report["scores"]), len(report["ranking"])))
    left, right = figure.subplots(1, 2)
    _draw_bars(left, report)
    for place, (name, value) in enumerate(report["scores"].items()):
        color = LINE_COLORS[1 + (0 if name == "none" else name.count("+") + 1) % (len(LINE_COLORS) - 1)]
        if value["low"] is not None and value["high"] is not None:
            right.plot([value["low"], value["high"]], [place, place], color=color, linewidth=2, alpha=0.5)
        right.plot(value["value"], place, "o", color=color, markersize=6)
    right.set_yticks(range(len(report["scores"])), list(report["scores"]))
    right.set_ylim(len(report["scores"]) - 0.5, -0.5)
    better = "higher" if report["higher_is_better"] else "lower"
    right.set_xlabel(f"{_score_label(report)}, {better} is better", fontsize=9)
    right.set_title("score with these channels", fontsize=10)
    left.set_title("what each channel brings", fontsize=10)
    right.grid(axis="x", color="#dddddd", linewidth=0.6)
    right.tick_params(labelsize=8)
    bare(right)
    figure.suptitle(title_of(title, report["simulated"]), fontsize=11)
    return figure


def _score_label(report: Mapping[str, Any]) -> str:
    unit = f" ({report['units']})" if report["units"] not in ("", "1") else ""
    return f"{report['score'].replace('_', ' ')}{unit}"


def _draw_bars(axis: Axes, report: Mapping[str, Any]) -> None:
    names = report["ranking"]
    for place, name in enumerate(names):
        value = report["importance"][name]
        axis.barh(place, value["value"], height=0.62, color=LINE_COLORS[1], alpha=0.75, linewidth=0)
        if value["low"] is not None and value["high"] is not None:
            axis.plot([value["low"], value["high"]], [place, place], color=LINE_COLORS[0], linewidth=1.3)
        seeds = [v for v in report["by_seed"][name] if v is not None]
        if len(seeds) > 1:
            axis.plot(seeds, [place] * len(seeds), "o", color="white", markeredgecolor=LINE_COLORS[6], markersize=4)
    axis.axvline(0, color="#444444", linewidth=0.8)
    axis.set_yticks(range(len(names)), [_shortened(name) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    gain = "increase" if report["higher_is_better"] else "decrease"
    axis.set_xlabel(f"{gain} of {_score_label(report)} thanks to the channel", fontsize=9)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    bare(axis)


def _panels(count: int, width: float = 2.5) -> tuple[Figure, list[Axes], int]:
    """A figure with so many panels, their axes, and how many are in a row."""
    across = count if count <= 4 else 3 if count <= 6 else 4
    down = -(-count // across)
    figure = new_figure(1.1 + width * across, 0.9 + (width * 0.9) * down)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    for axis in axes[:count]:
        axis.tick_params(labelsize=7)
    return figure, axes[:count], across


def _label_outer(axes: Sequence[Axes], across: int, row_label: str, column_label: str) -> None:
    """Labels and tick labels at the left and lower ends only."""
    for k, axis in enumerate(axes):
        if k % across == 0:
            axis.set_ylabel(row_label, fontsize=8)
        else:
            axis.set_yticklabels([])
        if k + across >= len(axes):
            axis.set_xlabel(column_label, fontsize=8)
        else:
            axis.set_xticklabels([])


def _format(bar: Any, label: str) -> None:
    """Label of a color bar, and a common power of ten for small numbers."""
    bar.formatter.set_powerlimits((-2, 4))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.get_offset_text().set_fontsize(7)


def _centres(values: Any, count: int) -> np.ndarray:
    return np.arange(count) if values is None else np.asarray(values, np.float64)


def _draw(
    axis: Axes, values: np.ndarray, rows: Any, columns: Any, colors: Any, limits: tuple[float, float], downward: bool
) -> Any:
    y, x = _centres(rows, values.shape[0]), _centres(columns, values.shape[1])
    edges = cell_edges(x), cell_edges(y)
    image = axis.pcolormesh(*edges, np.ma.masked_invalid(values), cmap=colors, vmin=limits[0], vmax=limits[1])
    # An image whose row coordinate falls with the row number (north up) lies right by itself.
    if downward and len(y) > 1 and y[-1] > y[0] and not axis.yaxis_inverted():
        axis.invert_yaxis()
    return image


def _outline(axis: Axes, region: Any, rows: Any, columns: Any) -> None:
    """Draws the border between pixels inside and outside the region."""
    if region is None:
        return
    inside = np.asarray(region) > 0
    if inside.all() or not inside.any():
        return
    y = cell_edges(_centres(rows, inside.shape[0]))
    x = cell_edges(_centres(columns, inside.shape[1]))
    style: dict[str, Any] = {"colors": "#0072b2", "linewidths": 0.9}
    r, c = np.nonzero(inside[1:] != inside[:-1])
    if len(r):
        axis.hlines(y[r + 1], x[c], x[c + 1], **style)
    r, c = np.nonzero(inside[:, 1:] != inside[:, :-1])
    if len(r):
        axis.vlines(x[c + 1], y[r], y[r + 1], **style)


def _shortened(name: str) -> str:
    """A channel's name that fits above a small panel."""
    words = name.replace("brightness_temperature", "BT").replace("_", " ")
    return words if len(words) <= _TITLE_WIDTH else words[: _TITLE_WIDTH - 1] + "."
