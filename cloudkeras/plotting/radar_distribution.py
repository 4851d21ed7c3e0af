"""Histograms of reflectivity, over all heights and by height (CFAD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from .radar_methods import TRUTH, blind_rows, chosen_methods, line_style, subject
from .style import bare, new_figure, title_of

_SHOWN_DBZ = (-50.0, 25.0)
_MOST_TIMES = 3.0  # the highest density of the truth: a constant value would rule the axis


def plot_reflectivity_histograms(
    scores: Any, *, methods: Sequence[str] | None = None, bin_db: float = 2.0, title: str | None = None
) -> Figure:
    """How often each reflectivity occurs in the blind zone: the share without echo (left) and the echo (right).

    Args:
        scores: `Scores` of `blind_zone`.
        methods: Methods to show; None shows the best seven.
        bin_db: Width of the drawn bins in dB, a multiple of 1.
        title: Title of the figure; None says what was scored.

    Raises:
        InputError: If there is no such method, or the scores are of another task.
    """
    names = chosen_methods(scores, methods)
    width, edges = _bins(bin_db)
    figure = new_figure(9.6, 4.7)
    left, right = figure.subplots(1, 2, width_ratios=[1, 2.4])
    shares = {"truth": _shares(scores.total(names[0])["true_histogram"])}
    shares |= {name: _shares(scores.total(name)["predicted_histogram"]) for name in names}
    styles = {"truth": TRUTH} | {name: line_style(scores, name) for name in names}
    usable = (len(edges) - 1) * width
    tops: list[float] = []
    for place, (name, share) in enumerate(shares.items()):
        color, hollow = styles[name]["color"], name in scores.baselines
        left.barh(place, 100 * share[0], height=0.7, color="white" if hollow else color, edgecolor=color)
        left.annotate(
            f"{100 * share[0]:.1f}",
            (100 * share[0], place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
        density = 100 * share[1 : usable + 1].reshape(-1, width).sum(axis=1) / np.diff(edges)
        tops.append(float(density.max()))
        right.stairs(density, edges, baseline=None, **styles[name])
    left.set_yticks(range(len(shares)), list(shares))
    left.invert_yaxis()
    left.set_xlim(0, 112)
    left.set_xlabel("pixels without echo (%)")
    right.set_xlim(*_SHOWN_DBZ)
    tops[:] = [top if np.isfinite(top) else 0.0 for top in tops]
    limit = min(max(tops), _MOST_TIMES * tops[0]) if tops[0] else max(tops)
    right.set_ylim(0, 1.05 * limit or 1.0)
    if cut := [name for name, top in zip(shares, tops, strict=True) if top > limit]:
        note = f"cut off: {', '.join(cut)}"
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        right.text(0.02, 0.99, note, transform=right.transAxes, va="top", fontsize=7, color="#666666", bbox=box)
    right.set_xlabel("reflectivity (dBZ)")
    right.set_ylabel("pixels (% per dB)")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, fontsize=9)
    for axis in (left, right):
        axis.tick_params(labelsize=8)
        bare(axis)
    figure.suptitle(title_of(title or f"Reflectivity in the blind zone, {subject(scores)}", scores.simulated))
    return figure


def _bins(width_db: float) -> tuple[int, np.ndarray]:
    """Counted bins a drawn one, and the edges of the drawn ones in dBZ."""
    from ..metrics.radar_distribution import BIN_DB, ECHO_EDGES_DBZ  # brings Keras

    width = max(1, round(width_db / BIN_DB))
    return width, ECHO_EDGES_DBZ[::width]


def _shares(histogram: np.ndarray) -> np.ndarray:
    """Share of each bin of all pixels, NaN where there are none."""
    counts = np.asarray(histogram, np.float64).sum(axis=0)
    return counts / (counts.sum() or np.nan)


def plot_reflectivity_height(
    scores: Any, *, methods: Sequence[str] | None = None, bin_db: float = 2.0, title: str | None = None
) -> Figure:
    """Reflectivity-height diagrams (CFAD): of the echo at each height, how much has which reflectivity.

    Each row is divided by its own number of echo pixels (Yuter and Houze 1995); the share of the pixels that show echo
    is in the panel's title and, by height, the line. Colors are logarithmic and the same in all panels.

    Args:
        scores: `Scores` of `blind_zone`.
        methods: Methods to show next to the truth; None shows the best seven.
        bin_db: Width of the drawn bins in dB, a multiple of 1.
        title: Title of the figure; None says what was scored.

    Raises:
        InputError: If there is no such method, or the scores are of another task.
    """
    names = chosen_methods(scores, methods)
    width, edges = _bins(bin_db)
    panels = {"truth": scores.total(names[0])["true_histogram"]}
    panels |= {name: scores.total(name)["predicted_histogram"] for name in names}
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(1.0 + 2.7 * across, 0.9 + 2.5 * down)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    axes = list(grid.flat)
    edges_km = blind_rows(scores).edges_km
    usable = (len(edges) - 1) * width
    colormap = _colormap()
    for axis, (name, histogram) in zip(axes, panels.items(), strict=False):
        counts = np.asarray(histogram, np.float64)
        echo, pixels = counts[:, 1:].sum(axis=1, keepdims=True), counts.sum()
        rows = counts[:, 1 : usable + 1].reshape(len(counts), -1, width).sum(axis=2)
        density = 100 * rows / np.where(echo > 0, echo, 1) / np.diff(edges)
        shown = np.ma.masked_less_equal(density, 0)
        image = axis.pcolormesh(edges, edges_km, shown, cmap=colormap, norm=LogNorm(0.02, 10))
        share = f"{100 * echo.sum() / pixels:.1f} % echo" if pixels else "nothing labelled"
        star = " *" if name in scores.baselines else ""
        axis.set_title(f"{name}{star}: {share}", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.label_outer()
        bare(axis)
    for spare in axes[len(panels) :]:
        spare.remove()
    axes[0].set_xlim(*_SHOWN_DBZ)
    for axis in grid[:, 0]:
        axis.set_ylabel("height (km)", fontsize=9)
    for axis in axes[max(0, len(panels) - across) : len(panels)]:
        axis.set_xlabel("reflectivity (dBZ)", fontsize=9)
        axis.tick_params(labelbottom=True)
    figure.colorbar(image, ax=axes[: len(panels)], label="echo of that height (% per dB)", extend="both", pad=0.01)
    figure.suptitle(title_of(title or f"Reflectivity by height, {subject(scores)}", scores.simulated), fontsize=12)
    return figure


def _colormap() -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"].with_extremes(bad="white", under="#ece9f2")
