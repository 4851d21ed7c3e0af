"""The figure of a sweep: every trial a line through its parameters, coloured by score; and what mattered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from cloudkeras.training.checkpoint import replace_file
from tuning.search_space import Space
from tuning.trials import Row

TRIALS_FOR_IMPORTANCE = 12


def draw_trials(rows: Sequence[Row], space: Space, score_name: str, maximize: bool, path: Path) -> None:
    """Parallel coordinates of all trials, the best drawn thick, the failed ones grey and dashed.

    With at least 12 finite scores a second panel shows the permutation importance of each parameter in a random forest,
    with its standard deviation; with fewer it would be noise.

    Args:
        rows: Ranked trials.
        space: The parameters that were searched.
        score_name: Label of the score.
        maximize: Whether a larger score is better.
        path: PNG file to write.
    """
    finite = [r for r in rows if not r.failed]
    has_importance = len(finite) >= TRIALS_FOR_IMPORTANCE
    width = 2.2 + 1.45 * (len(space) + 1)
    figure = Figure(figsize=(width, 8.2 if has_importance else 5.0), layout="constrained")
    axes = figure.subplots(2 if has_importance else 1, 1, squeeze=False, height_ratios=[3, 2][: 1 + has_importance])
    _parallel(figure, axes[0, 0], rows, space, score_name, maximize)
    if has_importance:
        _importance(axes[1, 0], finite, space)
    replace_file(path, lambda temporary: figure.savefig(temporary, dpi=130, format="png"))


def _parallel(figure: Figure, axis: Any, rows: Sequence[Row], space: Space, score_name: str, maximize: bool) -> None:
    scores = np.array([r.score for r in rows if not r.failed])
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)
    # Viridis is read by everyone; its bright end, short of the yellow that fades on white, is the better one.
    shades = LinearSegmentedColormap.from_list("shades", colormaps["viridis"](np.linspace(0, 0.92, 128)))
    colours = ScalarMappable(Normalize(low, high if high > low else low + 1), shades if maximize else shades.reversed())
    span = (high - low) or 1.0
    columns = len(space)
    offsets = np.linspace(-0.018, 0.018, len(rows)) if len(rows) > 1 else np.zeros(1)
    for row, offset in zip(reversed(rows), offsets, strict=True):
        heights = [_height(p, row.values[p.name]) + offset for p in space]
        if row.failed:
            axis.plot(range(columns), heights, color="0.6", linestyle="--", linewidth=1.0, zorder=1)
            continue
        best = row.rank == 1
        heights.append((row.score - low if maximize else high - row.score) / span)
        axis.plot(
            *(range(columns + 1), heights),
            color=colours.to_rgba(np.array(row.score)), linewidth=3.0 if best else 1.3, zorder=3 if best else 2,
        )  # fmt: skip
    for x, parameter in enumerate(space):
        axis.axvline(x, color="0.8", linewidth=0.8, zorder=0)
        for value in parameter.values:
            axis.annotate(
                *(_label(value), (x, _height(parameter, value))),
                xytext=(4, 0), textcoords="offset points", fontsize=7, va="center", zorder=4,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
            )  # fmt: skip
    axis.axvline(columns, color="0.3", linewidth=1.0, zorder=0)
    axis.set_xticks(
        range(columns + 1), [*(p.name.replace("_", "\n") for p in space), "score,\nbest on top"], fontsize=8
    )
    axis.set_yticks([])
    axis.set_xlim(-0.25, columns + 0.15)
    axis.set_ylim(-0.06, 1.06)
    axis.spines[:].set_visible(False)
    failed = sum(bool(r.failed) for r in rows)
    note = f", {failed} failed (dashed)" if failed else ""
    axis.set_title(f"{len(rows)} trials{note}; the best is thick", fontsize=10, loc="left")
    figure.colorbar(colours, ax=axis, label=score_name, pad=0.01)


def _height(parameter: Any, value: Any) -> float:
    return parameter.values.index(value) / max(1, len(parameter.values) - 1)


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def importance(rows: Sequence[Row], space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the permutation importance of each parameter (drop in R2), (parameters,) each."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    x = np.array([[p.values.index(r.values[p.name]) for p in space] for r in rows], float)
    y = np.array([r.score for r in rows])
    forest = RandomForestRegressor(n_estimators=200, min_samples_leaf=2, random_state=0).fit(x, y)
    found = permutation_importance(forest, x, y, n_repeats=30, random_state=0)
    return found.importances_mean, found.importances_std


def _importance(axis: Any, rows: Sequence[Row], space: Space) -> None:
    mean, deviation = importance(rows, space)
    order = np.argsort(mean)
    axis.barh([space[i].name for i in order], mean[order], xerr=deviation[order], color="#4477aa", ecolor="0.4")
    axis.set_xlabel(f"permutation importance in a random forest fitted to {len(rows)} trials (drop in R2)", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
