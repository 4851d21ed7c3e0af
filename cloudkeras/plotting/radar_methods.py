"""What the figures of radar scores share: which methods, in which colors, at which heights and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import check
from .style import LINE_COLORS

ROW_DEPTH_KM = 0.0781  # of scores that do not know their heights: King et al. 2024
MOST_METHODS = 7
TRUTH: dict[str, Any] = {"color": "#000000", "linewidth": 2.0, "label": "truth"}


class Rows(NamedTuple):
    """Heights of the blind-zone rows."""

    center_km: np.ndarray
    edges_km: np.ndarray
    depth_km: float


def chosen_methods(scores: Any, methods: Sequence[str] | None) -> list[str]:
    """The methods that are drawn: those that are named, or the best ones.

    Raises:
        InputError: If there is no such method, or the scores are not those of a blind zone.
    """
    check(scores.task == "blind_zone", "This figure is of scores of the task 'blind_zone'.", task=scores.task)
    check(scores.kind == "point", "This figure is of scores of what methods predict, not of members.", kind=scores.kind)
    known = list(scores.methods)
    if methods is None:
        return known[:MOST_METHODS]
    check(
        0 < len(methods) <= MOST_METHODS and set(methods) <= set(known),
        f"`methods` are 1 to {MOST_METHODS} of {', '.join(known)}.",
        methods=list(methods),
    )
    return list(methods)


def line_style(scores: Any, method: str) -> dict[str, Any]:
    """Color, line and label of a method, the same in all figures of one evaluation; baselines are dashed."""
    place = list(scores.methods).index(method)
    return {
        "color": LINE_COLORS[1 + place % (len(LINE_COLORS) - 1)],
        "linestyle": (0, (4, 2)) if method in scores.baselines else "-",
        "linewidth": 1.5,
        "label": method,
    }


def blind_rows(scores: Any) -> Rows:
    """Heights of the hidden rows, as the scores' provenance knows them; else rows of 78.1 m from the ground."""
    count = scores.metrics.blind_rows
    known = scores.provenance.get("profile") or {}
    factor = {"m": 1e-3, "km": 1.0}.get(known.get("units", ""), 0.0)
    centers = np.asarray(known.get("values", ()), np.float64)[:count] * factor
    if len(centers) < count or (count > 1 and not (np.diff(centers) > 0).all()):
        centers = (np.arange(count) + 0.5) * ROW_DEPTH_KM
    depth = float(centers[1] - centers[0]) if count > 1 else 2 * float(centers[0]) or ROW_DEPTH_KM
    return Rows(centers, np.append(centers - depth / 2, centers[-1] + depth / 2), depth)


def step_seconds(scores: Any) -> float | None:
    """Time between two profiles, None where the scores do not know it."""
    window = scores.provenance.get("window") or {}
    seconds, columns = window.get("seconds") or 0.0, window.get("columns") or 0
    return seconds / (columns - 1) if seconds > 0 and columns > 1 else None


def subject(scores: Any) -> str:
    """How many windows of what a figure is of."""
    return f"{scores.num_samples} windows of the {scores.provenance.get('split', 'evaluation')} split"
