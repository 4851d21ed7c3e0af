"""Height of the lowest echo in the blind zone: where precipitation ends or a cloud begins.

Judged in profiles whose blind zone is labelled from bottom to top. A profile's lowest echo is the number of rows below
its lowest echo pixel, so 0 is an echo at the surface; without echo in the blind zone it is `blind_rows`, the top of the
blind zone, so that a missed echo counts as an error of the height that was missed and all methods are judged in the
same profiles: those where the truth shows echo.
"""

from __future__ import annotations

import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from .ratios import ratio


def lowest_echo_counts(true: np.ndarray, predicted: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Completely labelled profiles by true and predicted lowest echo.

    Args:
        true: (sample, row, profile), dBZ, finite, the lowest row first.
        predicted: Same shape.
        labelled: Same shape, bool.

    Returns:
        (sample, rows + 1, rows + 1), the smallest unsigned integer that holds the number of profiles; the last entry of
        both axes is "no echo in the blind zone".
    """
    samples, rows, profiles = true.shape
    complete = labelled.all(axis=1)
    lowest = []
    for values in (true, predicted):
        echo = values > NO_ECHO_DBZ
        lowest.append(np.where(echo.any(axis=1), echo.argmax(axis=1), rows))
    index = (np.arange(samples)[:, None] * (rows + 1) + lowest[0]) * (rows + 1) + lowest[1]
    counts = np.bincount(index[complete], minlength=samples * (rows + 1) ** 2)
    return counts.reshape(samples, rows + 1, rows + 1).astype(np.min_scalar_type(profiles))


def lowest_echo_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Mean error of the lowest echo in rows and its absolute value, arrays (...), from (..., true, predicted).

    `lowest_echo_mae` and `lowest_echo_bias` (above 0: too high) are over the profiles whose truth shows echo,
    `profiles_lowest_echo` is their number.
    """
    places = np.arange(counts.shape[-1])
    error = places[None, :] - places[:-1, None]
    judged = np.asarray(counts, np.float64)[..., :-1, :]
    total = judged.sum(axis=(-2, -1))
    return {
        "lowest_echo_mae": ratio((judged * np.abs(error)).sum(axis=(-2, -1)), total),
        "lowest_echo_bias": ratio((judged * error).sum(axis=(-2, -1)), total),
        "profiles_lowest_echo": total,
    }
