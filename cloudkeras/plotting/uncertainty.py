"""Figures of distributions: does the probability come true, is the spread the error, do the intervals hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import check
from .style import LINE_COLORS, bare, new_figure, title_of

_STYLES = ("--", "-.", ":")
_FLAT = "#888888"
_MOST_BASELINES = 2
_FEWEST = 1e-3  # a share of pixels below which a point of the reliability is left out


def uncertainty_figures(scores: Any, *, methods: Sequence[str] | None = None) -> dict[str, Figure]:
    """All figures of scores of members, by name of the file without its ending.

    Args:
        scores: What `cloudkeras.evaluate(..., kind="members")` returns.
        methods: Methods to show, None for those learned and the best two of the others that have members.
    """
    figures = {"spread_error": plot_spread_error, "rank_histogram": plot_rank_histogram}
    made = {name: plot(scores, methods=methods) for name, plot in figures.items() if _with_spread(scores, methods)}
    if _with_spread(scores, methods):
        made["interval_coverage"] = plot_interval_coverage(scores, methods=methods)
    made["risk_coverage"] = plot_risk_coverage(scores, methods=methods)
    for i, (name, _) in enumerate(scores.metrics.output.events):
        if scores.values[scores.methods[0]][f"frequency_{name}"] > 0:
            made[f"reliability_{name}"] = plot_reliability(scores, event=i, methods=methods)
    return made


def plot_reliability(scores: Any, *, event: int = 0, methods: Sequence[str] | None = None) -> Figure:
    """Frequency of an event against its forecast probability, and below how often each probability was given.

    Args:
        scores: Scores of members.
        event: Number of the event among those of the task.
        methods: Methods to show, None as in `uncertainty_figures`. Points of less than 0.1 % of the pixels are left
            out.
    """
    metrics = scores.metrics
    name, threshold = metrics.output.events[event]
    shown = _with_spread(scores, methods) or _chosen(scores, methods, flat=True)
    figure = new_figure(5.4, 6.6)
    axis, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    frequency = scores.values[shown[0]][f"frequency_{name}"]
    axis.plot([0, 1], [0, 1], color=_FLAT, linewidth=0.8)
    axis.axhline(frequency, color=_FLAT, linewidth=0.8, linestyle=":")
    axis.text(0.01, frequency, " frequency", fontsize=7, color=_FLAT, va="bottom")
    edges = np.linspace(0, 1, len(metrics.reliability(scores.total(shown[0]), event)["pixels"]) + 1)
    width = (edges[1] - edges[0]) / (len(shown) + 1)
    for place, method in enumerate(shown):
        found = metrics.reliability(scores.total(method), event)
        color = LINE_COLORS[place]
        share = found["pixels"] / found["pixels"].sum()
        here = share >= _FEWEST
        x, y = found["probability"][here], found["frequency"][here]
        axis.plot(x, y, "o-", color=color, markersize=4, label=method, **_face(scores, method))
        counts.bar(edges[:-1] + (place + 1) * width, share, width, color=color)
    unit = "" if metrics.output.units == "1" else f" {metrics.output.units}"
    axis.set_ylabel(f"frequency of {name.replace('_', ' ')} (above {threshold:g}{unit})", fontsize=9)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    _legend(figure)
    counts.set_yscale("log")
    counts.set_ylabel("share of pixels", fontsize=9)
    counts.set_xlabel("forecast probability", fontsize=9)
    _finish(figure, [axis, counts], scores, "Reliability")
    return figure


def plot_spread_error(scores: Any, *, methods: Sequence[str] | None = None) -> Figure:
    """Root mean squared error of the mean against the spread, in classes of equally many pixels."""
    shown = _with_spread(scores, methods)
    check(bool(shown), "A figure of the spread needs a method with members.", methods=list(scores.methods))
    figure = new_figure(5.4, 5.0)
    axis = figure.subplots()
    largest = 0.0
    for place, method in enumerate(shown):
        found = scores.metrics.spread_error(scores.total(method))
        color, face = LINE_COLORS[place], _face(scores, method)
        axis.plot(found["spread"], found["rmse"], "o-", color=color, markersize=4, label=method, **face)
        largest = max(largest, found["spread"].max(), found["rmse"].max())
    axis.plot([0, largest], [0, largest], color=_FLAT, linewidth=0.8)
    unit = _unit(scores)
    axis.set_xlabel(f"spread of the members{unit}", fontsize=9)
    axis.set_ylabel(f"root mean squared error of their mean{unit}", fontsize=9)
    axis.set_xlim(0, 1.03 * largest)
    axis.set_ylim(0, 1.03 * largest)
    _legend(figure)
    _finish(figure, [axis], scores, "Spread and error")
    return figure


def plot_rank_histogram(scores: Any, *, methods: Sequence[str] | None = None) -> Figure:
    """Rank of the truth among the members, one panel a method; flat is calibrated, a bowl is too sure."""
    shown = _with_spread(scores, methods)
    check(bool(shown), "A rank histogram needs a method with members.", methods=list(scores.methods))
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = new_figure(0.8 + 2.9 * across, 0.8 + 2.2 * down)
    axes = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    for spare in axes[len(shown) :]:
        spare.remove()
    for place, (axis, method) in enumerate(zip(axes, shown, strict=False)):
        share = scores.metrics.rank_histogram(scores.total(method))
        width = 1 / len(share)
        axis.bar((np.arange(len(share)) + 0.5) * width, share / width, width, color=LINE_COLORS[place])
        axis.axhline(1, color="#222222", linewidth=0.8)
        axis.set_title(method, fontsize=9)
        axis.set_xlim(0, 1)
        axis.set_xlabel("rank of the truth", fontsize=9)
    axes[0].set_ylabel("density", fontsize=9)
    _finish(figure, axes[: len(shown)], scores, "Rank histograms, ties shared")
    return figure


def plot_interval_coverage(scores: Any, *, methods: Sequence[str] | None = None) -> Figure:
    """How much of the truth the central intervals hold, against what they should, with bootstrap intervals."""
    shown = _with_spread(scores, methods)
    check(bool(shown), "A figure of coverage needs a method with members.", methods=list(scores.methods))
    figure = new_figure(5.4, 5.0)
    axis = figure.subplots()
    axis.plot([0, 100], [0, 100], color=_FLAT, linewidth=0.8)
    for place, method in enumerate(shown):
        share = scores.metrics.rank_histogram(scores.total(method))
        nominal, held = _central(share)
        color = LINE_COLORS[place]
        axis.plot(100 * nominal, 100 * held, "o-", color=color, markersize=4, label=method, **_face(scores, method))
        drawn = scores.resampled(method, ["pit"])
        if len(drawn["pit"]) and method not in scores.baselines:
            _band(axis, 100 * nominal, 100 * _central(scores.metrics.rank_histogram(drawn))[1], color, scores)
    axis.set_xlabel("central interval, %", fontsize=9)
    axis.set_ylabel("truth inside, % (ties shared)", fontsize=9)
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 100)
    _legend(figure)
    _finish(figure, [axis], scores, "Coverage of the central intervals")
    return figure


def plot_risk_coverage(scores: Any, *, methods: Sequence[str] | None = None) -> Figure:
    """Mean absolute error of the pixels that are kept, the surest first; without spread there is no order: flat."""
    shown = _chosen(scores, methods, flat=True)
    figure = new_figure(6.4, 4.6)
    axis = figure.subplots()
    flat = 0
    for place, method in enumerate(shown):
        kept, risk = scores.metrics.risk_coverage(scores.total(method))
        color, style = LINE_COLORS[place], "-"
        if scores.values[method]["spread"] == 0:
            style, flat = _STYLES[flat % len(_STYLES)], flat + 1
        here = kept >= 0.01
        here[0] = here[1]  # one bin for all: flat from 0 on
        axis.plot(100 * kept[here], risk[here], color=color, linestyle=style, label=method)
        drawn = scores.resampled(method, ["risk"])
        if style == "-" and len(drawn["risk"]) and method not in scores.baselines:
            share, risks = scores.metrics.risk_coverage(drawn)
            grid = np.linspace(0.01, 1, 50)
            on_grid = np.stack([np.interp(grid, s, r) for s, r in zip(share, risks, strict=True)])
            _band(axis, 100 * grid, on_grid, color, scores)
    axis.set_xlabel("pixels kept, the surest first, %", fontsize=9)
    axis.set_ylabel(f"mean absolute error{_unit(scores)}", fontsize=9)
    axis.set_xlim(0, 100)
    axis.set_ylim(bottom=0)
    _legend(figure)
    _finish(figure, [axis], scores, "Risk and coverage, identical pixels")
    return figure


def _chosen(scores: Any, methods: Sequence[str] | None, flat: bool = False) -> list[str]:
    """The methods to show; of those that no network learned the best two with members, with `flat` two without too."""
    check(scores.kind == "members", "These figures are of scores of members.", kind=scores.kind)
    known = list(scores.methods)
    if methods is None:
        others = [m for m in known if m in scores.baselines]
        spread = [m for m in others if scores.values[m]["spread"] > 0][:_MOST_BASELINES]
        single = [m for m in others if scores.values[m]["spread"] == 0][:_MOST_BASELINES] if flat else []
        shown = [m for m in known if m not in others or m in spread or m in single][: len(LINE_COLORS)]
    else:
        shown = list(methods)
    unknown = sorted(set(shown) - set(known))
    check(
        0 < len(shown) <= len(LINE_COLORS) and not unknown,
        f"`methods` are among {', '.join(known)}, at most {len(LINE_COLORS)} of them.",
        methods=shown,
    )
    return shown


def _with_spread(scores: Any, methods: Sequence[str] | None) -> list[str]:
    return [method for method in _chosen(scores, methods) if scores.values[method]["spread"] > 0]


def _face(scores: Any, method: str) -> dict[str, Any]:
    """Hollow points for what no network learned."""
    return {"markerfacecolor": "white"} if method in scores.baselines else {}


def _legend(figure: Figure) -> None:
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)


def _unit(scores: Any) -> str:
    """Of errors and spreads, in brackets."""
    return f" ({scores.metrics.difference_unit})" if scores.metrics.difference_unit else ""


def _central(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central intervals and what they hold, from shares of ranks (..., bin)."""
    half = share.shape[-1] // 2
    pairs = share[..., half:] + share[..., :half][..., ::-1]
    held = np.cumsum(pairs, axis=-1)
    return np.arange(1, half + 1) / half, held


def _band(axis: Axes, x: np.ndarray, drawn: np.ndarray, color: str, scores: Any) -> None:
    tail = 50 * (1 - scores.confidence)
    low, high = np.nanpercentile(drawn, [tail, 100 - tail], axis=0)
    axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def _finish(figure: Figure, axes: Sequence[Axes], scores: Any, title: str) -> None:
    for axis in axes:
        axis.grid(color="#e5e5e5", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
        bare(axis)
    figure.suptitle(title_of(f"{title}: {scores.task}, {scores.num_samples} samples", scores.simulated), fontsize=11)
