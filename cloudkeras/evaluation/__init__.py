"""Judging methods: all on the same pixels, every average named, intervals by bootstrap over independent groups."""

from .bootstrap import Interval, group_sums, interval, replicate
from .cases import Cases, predict_cases
from .groups import sample_groups
from .scores import Scores, merge_scores
from .scoring import Method, evaluate

__all__ = [
    "Cases",
    "Interval",
    "Method",
    "Scores",
    "evaluate",
    "group_sums",
    "interval",
    "merge_scores",
    "predict_cases",
    "replicate",
    "sample_groups",
]
