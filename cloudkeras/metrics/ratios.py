"""Quotients of sums, where a sum of nothing is no score."""

from __future__ import annotations

from typing import Any

import numpy as np


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """The quotient as float64, NaN where the denominator is not above 0; shapes broadcast."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
