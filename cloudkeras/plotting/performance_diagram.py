"""The performance diagram: probability of detection against success ratio (Roebber 2009)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import check
from .style import LINE_COLORS, bare, new_figure, title_of

_CSI_LEVELS = np.arange(0.1, 1.0, 0.1)
_BIAS_LINES = (0.25, 0.5, 0.75, 1, 1.5, 2, 4)
_MARKERS = "osD^vP*X"


def plot_performance_diagram(
    scores: Any,
    *,
    events: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """One panel an event, one point a method with the bootstrap intervals of both axes as a cross.

    The upper right corner is perfect; hollow points are methods that no network learned. Curves are of equal critical
    success index, dashed lines from the origin of equal frequency bias. A method that never forecasts the event has no
    success ratio and is named under the panel.

    Args:
        scores: `Scores` with `pod_<event>` and `far_<event>`, as of `blind_zone`.
        events: Names of the events; None takes all that the scores have.
        methods: Methods to show; None shows all.
        title: Title of the figure; None says what was scored.

    Raises:
        InputError: If the scores have no such event or method.
    Reference: Roebber 2009, doi 10.1175/2008WAF2222159.1, figure 2.
    """
    first = scores.values[scores.methods[0]]
    known = [name.removeprefix("pod_") for name in first if name.startswith("pod_")]
    chosen = list(known if events is None else events)
    check(bool(chosen) and set(chosen) <= set(known), f"`events` are of {', '.join(known) or 'none'}.", events=chosen)
    names = list(scores.methods if methods is None else methods)
    check(
        bool(names) and set(names) <= set(scores.methods),
        f"`methods` are of {', '.join(scores.methods)}.",
        methods=names,
    )
    figure = new_figure(0.6 + 3.7 * len(chosen), 4.7 + 0.25 * -(-len(names) // (1 + len(chosen))))
    axes = figure.subplots(1, len(chosen), sharex=True, sharey=True, squeeze=False)[0]
    for axis, event in zip(axes, chosen, strict=True):
        _draw_background(axis)
        without = _draw_points(axis, scores, names, event)
        happened = int(first[f"events_{event}"])
        axis.set_title(f"{event.replace('_', ' ')} ({happened:,} events)", fontsize=10, pad=15)
        note = f"\nnever forecast: {', '.join(without)}" if without and happened else ""
        axis.set_xlabel("success ratio (1 - FAR)" + textwrap.fill(note, 52, replace_whitespace=False), fontsize=9)
    axes[0].set_ylabel("probability of detection")
    handles = [
        axes[0].plot([], [], color=c, marker=m, linestyle="", markerfacecolor=f, label=n)[0]
        for n, (c, m, f) in ((name, _look(scores, name)) for name in names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(names), 1 + len(chosen)), frameon=False)
    figure.suptitle(title_of(title or f"Performance diagram, {scores.num_samples} windows", scores.simulated))
    return figure


def _look(scores: Any, method: str) -> tuple[str, str, str]:
    """Color, marker and face; baselines are hollow."""
    place = list(scores.methods).index(method)
    color = LINE_COLORS[1 + place % (len(LINE_COLORS) - 1)]
    return color, _MARKERS[place % len(_MARKERS)], "none" if method in scores.baselines else color


def _draw_background(axis: Axes) -> None:
    """Lines of equal CSI, 1 / (1 / SR + 1 / POD - 1), and of equal frequency bias, POD / SR."""
    ratio, detection = np.meshgrid(np.linspace(0.005, 1, 200), np.linspace(0.005, 1, 200))
    csi = 1 / (1 / ratio + 1 / detection - 1)
    curves = axis.contour(ratio, detection, csi, levels=_CSI_LEVELS, colors="#bdbdbd", linewidths=0.8)
    axis.clabel(curves, levels=_CSI_LEVELS[1::2], fmt="CSI %.1f", fontsize=7, colors="#8a8a8a")
    for bias in _BIAS_LINES:
        end = (1, bias) if bias <= 1 else (1 / bias, 1)
        axis.plot([0, end[0]], [0, end[1]], color="#c9c9c9", linewidth=0.7, linestyle=(0, (5, 3)))
        # Names of the lines stand in the frame, where no point lies.
        axis.annotate(
            f"{bias:g}",
            end,
            xytext=(3, 0) if bias < 1 else (0, 3),
            textcoords="offset points",
            ha="left" if bias < 1 else "center",
            va="center" if bias < 1 else "bottom",
            fontsize=7,
            color="#8a8a8a",
            annotation_clip=False,
        )
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.tick_params(labelsize=8)
    bare(axis)


def _draw_points(axis: Axes, scores: Any, methods: Sequence[str], event: str) -> list[str]:
    """Draws the methods that have both scores, the first on top, and returns the others."""
    without = []
    for name in reversed(methods):
        detection, far = (scores.score(name, f"{kind}_{event}") for kind in ("pod", "far"))
        if not np.isfinite([detection.value, far.value]).all():
            without.append(name)
            continue
        color, marker, face = _look(scores, name)
        x, y = 1 - far.value, detection.value
        for low, high, horizontal in ((1 - far.high, 1 - far.low, True), (detection.low, detection.high, False)):
            if np.isfinite([low, high]).all():
                line = ([low, high], [y, y]) if horizontal else ([x, x], [low, high])
                axis.plot(*line, color=color, linewidth=1.4, alpha=0.6, zorder=3)
        options: dict[str, Any] = {
            "color": color,
            "markerfacecolor": face,
            "markersize": 7,
            "clip_on": False,
            "zorder": 4,
        }
        axis.plot(x, y, marker=marker, **options)
    return without[::-1]
