"""Figures, made with Matplotlib but without pyplot: they need no display and leave no state behind."""

from .evaluation import evaluation_figures, save_evaluation_figures
from .explanations import plot_channel_maps, plot_feature_maps, plot_grad_cam, plot_importance, plot_shapley
from .filled import plot_filled
from .melt import plot_melt_day, plot_melt_extent
from .melt_errors import plot_day_maps, plot_error_maps, plot_extent_scores
from .melt_maps import plot_season_extent
from .performance_diagram import plot_performance_diagram
from .phase import plot_phase_curtain, plot_phase_plan
from .radar import plot_radar_cases, plot_radar_curtain
from .radar_distribution import plot_reflectivity_height, plot_reflectivity_histograms
from .radar_heights import plot_lowest_echo, plot_scores_by_height
from .radar_spectra import plot_power_spectra
from .results import plot_history, plot_scores
from .scene import plot_scene
from .style import CLASS_COLORS, class_colormap, save_figure
from .uncertainty import (
    plot_interval_coverage,
    plot_rank_histogram,
    plot_reliability,
    plot_risk_coverage,
    plot_spread_error,
    uncertainty_figures,
)

__all__ = [
    "CLASS_COLORS",
    "class_colormap",
    "evaluation_figures",
    "plot_channel_maps",
    "plot_day_maps",
    "plot_error_maps",
    "plot_extent_scores",
    "plot_feature_maps",
    "plot_filled",
    "plot_grad_cam",
    "plot_history",
    "plot_importance",
    "plot_interval_coverage",
    "plot_lowest_echo",
    "plot_melt_day",
    "plot_melt_extent",
    "plot_performance_diagram",
    "plot_phase_curtain",
    "plot_phase_plan",
    "plot_power_spectra",
    "plot_radar_cases",
    "plot_radar_curtain",
    "plot_rank_histogram",
    "plot_reflectivity_height",
    "plot_reflectivity_histograms",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_scene",
    "plot_scores",
    "plot_scores_by_height",
    "plot_season_extent",
    "plot_shapley",
    "plot_spread_error",
    "save_evaluation_figures",
    "save_figure",
    "uncertainty_figures",
]
