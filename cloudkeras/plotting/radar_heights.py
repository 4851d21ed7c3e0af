"""Scores by height, and where the lowest echo is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..errors import check
from .radar_methods import TRUTH, blind_rows, chosen_methods, line_style, subject
from .style import bare, continuous_colormap, new_figure, title_of

PROFILES = ("mae", "bias", "mae_truth_echo", "dice", "ssim", "emd", "echo_fraction")
_TRUE = {"echo_fraction": "echo_fraction_truth"}  # what the truth says of the same quantity


def plot_scores_by_height(
    scores: Any,
    *,
    metrics: Sequence[str] = PROFILES,
    methods: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Scores of each row of the blind zone against its height, one panel a score.

    Args:
        scores: `Scores` of `blind_zone`.
        metrics: Scores that are listed by height.
        methods: Methods to show; None shows the best seven.
        title: Title of the figure; None says what was scored.

    Raises:
        InputError: If there is no such score or method, or the scores are of another task.
    """
    names = chosen_methods(scores, methods)
    known = scores.profiles[names[0]]
    check(
        bool(metrics) and set(metrics) <= set(known),
        f"`metrics` are of {', '.join(known)}.",
        metrics=list(metrics),
    )
    across = min(4, len(metrics))
    down = -(-len(metrics) // across)
    figure = new_figure(0.8 + 2.4 * across, 1.1 + 2.6 * down)
    axes = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
    height = blind_rows(scores).center_km
    for axis, metric in zip(axes, metrics, strict=False):
        for name in names:
            axis.plot(scores.profiles[name][metric], height, marker=".", markersize=4, **line_style(scores, name))
        if metric in _TRUE:
            axis.plot(known[_TRUE[metric]], height, **TRUTH)
        unit = scores.metrics.unit(metric)
        axis.set_title(metric.replace("_", " ") + (f" ({unit})" if unit else ""), fontsize=9)
        axis.grid(color="#e8e8e8", linewidth=0.5)
        axis.tick_params(labelsize=8)
        if metric == "bias":
            axis.axvline(0, color="#888888", linewidth=0.8)
        bare(axis)
    for spare in axes[len(metrics) :]:
        spare.remove()
    axes[0].set_ylim(0, None)
    for axis in axes[: len(metrics) : across]:
        axis.set_ylabel("height (km)", fontsize=9)
    found = [axis.get_legend_handles_labels() for axis in axes[: len(metrics)]]
    handles, labels = max(found, key=lambda pair: len(pair[1]))
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False, fontsize=9)
    figure.suptitle(title_of(title or f"Scores by height, {subject(scores)}", scores.simulated), fontsize=12)
    return figure


def plot_lowest_echo(scores: Any, *, methods: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Predicted against true height of the lowest echo of each profile, one panel a method.

    The last row and column, "none" beyond the gap, are profiles without echo in the blind zone. Colors are
    numbers of profiles, logarithmic; the titles hold the mean error where the truth shows echo.

    Args:
        scores: `Scores` of `blind_zone`.
        methods: Methods to show; None shows the best seven.
        title: Title of the figure; None says what was scored.

    Raises:
        InputError: If there is no such method, or the scores are of another task.
    """
    names = chosen_methods(scores, methods)
    rows = blind_rows(scores)
    counts = {name: np.asarray(scores.total(name)["lowest_echo"], np.float64) for name in names}
    most = max(1.0, *(values.max() for values in counts.values()))
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = new_figure(1.3 + 2.6 * across, 1.0 + 2.7 * down)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    axes = list(grid.flat)
    for axis, (name, values) in zip(axes, counts.items(), strict=False):
        image = _draw_joint(axis, values, rows.edges_km, rows.depth_km, LogNorm(1, max(most, 10)))
        star = " *" if name in scores.baselines else ""
        error, bias = (scores.values[name][f"lowest_echo_{kind}"] * rows.depth_km for kind in ("mae", "bias"))
        axis.set_title(f"{name}{star}\nMAE {error:.2f} km, bias {bias:+.2f} km", fontsize=9)
        axis.label_outer()
    for spare in axes[len(names) :]:
        spare.remove()
    for axis in grid[:, 0]:
        axis.set_ylabel("predicted (km)", fontsize=9)
    for axis in axes[max(0, len(names) - across) : len(names)]:
        axis.set_xlabel("true (km)", fontsize=9)
        axis.tick_params(labelbottom=True)
    figure.colorbar(image, ax=axes[: len(names)], label='profiles; "none": no echo in the blind zone', pad=0.01)
    figure.suptitle(
        title_of(title or f"Lowest echo in the blind zone, {subject(scores)}", scores.simulated), fontsize=12
    )
    return figure


def _draw_joint(axis: Axes, counts: np.ndarray, edges: np.ndarray, depth: float, norm: LogNorm) -> Any:
    """A joint histogram whose last entries, "no echo", stand apart by half a row."""
    beyond = [edges[-1] + 0.75 * depth, edges[-1] + 2.25 * depth]
    colormap = continuous_colormap("viridis", "white")
    options: dict[str, Any] = {"cmap": colormap, "norm": norm}
    shown = np.ma.masked_less_equal(counts.T, 0)  # predicted upward, true to the right
    image = axis.pcolormesh(edges, edges, shown[:-1, :-1], **options)
    axis.pcolormesh(beyond, edges, shown[:-1, -1:], **options)
    axis.pcolormesh(edges, beyond, shown[-1:, :-1], **options)
    axis.pcolormesh(beyond, beyond, shown[-1:, -1:], **options)
    axis.plot([edges[0], edges[-1]], [edges[0], edges[-1]], color="#d55e00", linewidth=1, linestyle=(0, (4, 3)))
    marks = np.linspace(edges[0], edges[-1], 4)[:-1]
    labels = [f"{mark:.1f}" for mark in marks]
    for ticks in (axis.set_xticks, axis.set_yticks):
        ticks([*marks, float(np.mean(beyond))], [*labels, "none"])
    axis.set_aspect("equal")
    axis.tick_params(labelsize=8)
    bare(axis)
    return image
