"""Distributions in place of single values: members, their summary, calibration on validation data, point values."""

from .calibration import Calibration, fit_calibration
from .ensemble import DeepEnsemble
from .method import EnsembleMethod, calibration_of
from .summary import summarize

__all__ = ["Calibration", "DeepEnsemble", "EnsembleMethod", "calibration_of", "fit_calibration", "summarize"]
