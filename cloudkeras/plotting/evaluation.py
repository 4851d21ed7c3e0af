"""All figures of an evaluation, by the task that was judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .melt_errors import plot_day_maps, plot_error_maps, plot_extent_scores
from .performance_diagram import plot_performance_diagram
from .radar import plot_radar_cases
from .radar_distribution import plot_reflectivity_height, plot_reflectivity_histograms
from .radar_heights import plot_lowest_echo, plot_scores_by_height
from .radar_spectra import plot_power_spectra
from .results import plot_scores
from .style import save_figure

# Figures of a task's scores by name, each made from `Scores` alone; those of every task stand under "".
FIGURES: dict[str, dict[str, Callable[[Any], Figure]]] = {
    "": {"scores": plot_scores},
    "blind_zone": {
        "performance_diagram": plot_performance_diagram,
        "power_spectra": plot_power_spectra,
        "reflectivity_histograms": plot_reflectivity_histograms,
        "reflectivity_height": plot_reflectivity_height,
        "scores_by_height": plot_scores_by_height,
        "lowest_echo": plot_lowest_echo,
    },
    "meltwater": {"melt_extent": plot_extent_scores},
}
# Figures of single cases, made from what `cloudkeras.evaluation.CASES` gives.
CASE_FIGURES: Mapping[str, Callable[[Any], Figure]] = {"blind_zone": plot_radar_cases, "meltwater": plot_day_maps}
# Figures of errors on a grid, made from `cloudkeras.evaluation.ErrorMaps`.
ERROR_FIGURES: Mapping[str, Callable[..., Figure]] = {"meltwater": plot_error_maps}


def evaluation_figures(scores: Any, cases: Any = None) -> Iterator[tuple[str, Figure]]:
    """Names and figures of an evaluation: those of every task, those of its own, and its cases.

    Args:
        scores: `Scores`, fresh or from `Scores.load`.
        cases: `Cases`, fresh or from `Cases.load`; None leaves them out.
    """
    known = FIGURES[""] | (FIGURES.get(scores.task, {}) if scores.kind == "point" else {})
    for name, draw in known.items():
        yield name, draw(scores)
    if cases is not None:
        yield "cases", CASE_FIGURES[scores.task](cases)


def save_evaluation_figures(scores: Any, folder: str | Path, cases: Any = None, *, kind: str = "png") -> list[Path]:
    """Writes every figure of an evaluation as `<folder>/<name>.<kind>`.

    Args:
        scores: `Scores`, fresh or from `Scores.load`.
        folder: Where to.
        cases: `Cases`, fresh or from `Cases.load`; None leaves them out.
        kind: "png", "pdf" or "svg".

    Returns:
        The files.
    """
    return [save_figure(figure, Path(folder) / f"{name}.{kind}") for name, figure in evaluation_figures(scores, cases)]
