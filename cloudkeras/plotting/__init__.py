"""Figures, made with Matplotlib but without pyplot: they need no display and leave no state behind."""

from .phase import plot_phase_curtain, plot_phase_plan
from .radar import plot_radar_curtain
from .results import plot_history, plot_scores
from .scene import plot_scene
from .style import CLASS_COLORS, class_colormap, save_figure

__all__ = [
    "CLASS_COLORS",
    "class_colormap",
    "plot_history",
    "plot_phase_curtain",
    "plot_phase_plan",
    "plot_radar_curtain",
    "plot_scene",
    "plot_scores",
    "save_figure",
]
