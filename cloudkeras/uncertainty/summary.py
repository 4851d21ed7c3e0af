"""What members say together: mean, spread, quantiles, probabilities of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import check

_BLOCK_VALUES = 4_000_000


def summarize(
    samples: np.ndarray,
    *,
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    event: float | Sequence[float] | None = None,
) -> dict[str, np.ndarray]:
    """Summarizes members pixel by pixel, in bounded memory beside the result.

    Quantiles of M members are at the plotting positions k / (M + 1) (Weibull): between the 5 % and the 95 % quantile
    of members drawn from the distribution of the truth lies the truth in 90 % of cases, for any M of 19 or more; with
    fewer members the outermost quantiles are the extremes.

    Args:
        samples: (members, ...), physical units. A pixel that is NaN in any member is NaN in the result.
        quantiles: Levels between 0 and 1.
        event: Threshold, or thresholds, of an event "the value is above".

    Returns:
        float32 arrays: "mean" (...); "spread" (...), the standard deviation (members - 1 in the denominator; 0 for one
        member); "median" (...); "quantiles" (level, ...); with `event` "probability" (...), or (threshold, ...) for
        several thresholds: the share of members above it.

    Raises:
        InputError: If there is no member or a level is not between 0 and 1.
    """
    samples = np.asarray(samples)
    check(samples.ndim >= 1 and len(samples) >= 1, "`samples` has at least one member.", shape=samples.shape)
    levels = np.asarray(quantiles, np.float64)
    check(
        levels.ndim == 1 and bool(np.all((levels > 0) & (levels < 1))),
        "`quantiles` lie between 0 and 1.",
        quantiles=quantiles,
    )
    members, shape = len(samples), samples.shape[1:]
    thresholds = None if event is None else np.atleast_1d(np.asarray(event, np.float64))
    flat = samples.reshape(members, -1)
    pixels = flat.shape[1]
    result = {name: np.empty(pixels, np.float32) for name in ("mean", "spread", "median")}
    result["quantiles"] = np.empty((len(levels), pixels), np.float32)
    if thresholds is not None:
        result["probability"] = np.empty((len(thresholds), pixels), np.float32)
    step = max(1, _BLOCK_VALUES // members)
    for start in range(0, pixels, step):
        block = slice(start, start + step)
        for name, values in _summary(flat[:, block], levels, thresholds).items():
            result[name][..., block] = values
    shaped: dict[str, Any] = {name: values.reshape(*values.shape[:-1], *shape) for name, values in result.items()}
    if event is not None and not isinstance(event, Sequence | np.ndarray):
        shaped["probability"] = shaped["probability"][0]
    return shaped


def _summary(values: np.ndarray, levels: np.ndarray, thresholds: np.ndarray | None) -> dict[str, np.ndarray]:
    values = np.sort(np.asarray(values, np.float64), axis=0)  # NaN comes last
    missing = np.isnan(values[-1])
    found = {
        "mean": values.mean(axis=0),
        "spread": values.std(axis=0, ddof=1) if len(values) > 1 else np.where(missing, np.nan, 0.0),
        "median": np.median(values, axis=0),
        "quantiles": sorted_quantiles(values, levels),
    }
    if thresholds is not None:
        found["probability"] = (values > thresholds[:, None, None]).mean(axis=1)
    return {name: np.where(missing, np.nan, value) for name, value in found.items()}


def sorted_quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles (level, ...) of members sorted along the first axis, at the plotting positions k / (M + 1)."""
    position = np.clip(np.asarray(levels) * (len(values) + 1) - 1, 0, len(values) - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    weight = (position - below).reshape(-1, *[1] * (values.ndim - 1))
    return values[below] + weight * (values[above] - values[below])
