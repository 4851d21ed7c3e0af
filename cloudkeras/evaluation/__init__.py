"""Judging methods: all on the same pixels, every average named, intervals by bootstrap over independent groups."""

from collections.abc import Callable
from typing import Any

from .bootstrap import Interval, group_sums, interval, replicate
from .cases import Cases, predict_cases
from .day_maps import DayMaps, ErrorMaps, maps_of_days, predict_days
from .groups import sample_groups
from .scores import Scores, merge_scores
from .scoring import Method, evaluate

# What shows single cases of a task beside its scores; the results have `save`.
CASES: dict[str, Callable[..., Any]] = {"blind_zone": predict_cases, "meltwater": predict_days}

__all__ = [
    "CASES",
    "Cases",
    "DayMaps",
    "ErrorMaps",
    "Interval",
    "Method",
    "Scores",
    "evaluate",
    "group_sums",
    "interval",
    "maps_of_days",
    "merge_scores",
    "predict_cases",
    "predict_days",
    "replicate",
    "sample_groups",
]
