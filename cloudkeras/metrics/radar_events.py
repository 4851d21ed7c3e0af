"""Events of a profile (cloud, shallow snowfall, virga) and the scores of a 2 x 2 contingency table.

Events are judged in each profile (column) of a window, which is the unit that has a surface row (King et al. 2024,
AIES-D-23-0063):

- cloud: at least 5 % of the profile's labelled blind-zone pixels show echo;
- shallow snowfall: surface row >= -20 dBZ and the first visible row < -20 dBZ;
- virga: the first visible row >= -20 dBZ and surface row < -20 dBZ.

The surface row is row 0, the first visible row is row `blind_rows`. The latter was observed, so truth and prediction
share it. With hits a, misses b, false alarms c and correct negatives d (Wilks 2011, chapter 8.2):

- POD a / (a + b), FAR c / (a + c), CSI a / (a + b + c), frequency bias (a + c) / (a + b);
- HSS 2 (a d - b c) / ((a + b)(b + d) + (a + c)(c + d)): 1 is perfect, 0 is a forecast by chance.

Each is NaN where its denominator is 0.
"""

from __future__ import annotations

import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from ..tasks.blind_zone import SNOW_DBZ
from .ratios import ratio

EVENTS = ("cloud", "shallow_snow", "virga")
EVENT_SCORES = ("csi", "pod", "far", "hss", "frequency_bias")
OUTCOMES = ("hits", "misses", "false_alarms", "correct_negatives")
CLOUD_FRACTION = 0.05


def has_cloud(reflectivity: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Whether at least 5 % of the labelled pixels of each profile show echo, (sample, profile)."""
    echo = (reflectivity > NO_ECHO_DBZ) & labelled
    pixels = labelled.sum(axis=1)
    return (pixels > 0) & (echo.sum(axis=1) >= CLOUD_FRACTION * pixels)


def has_shallow_snow(surface: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Echo of at least -20 dBZ at the surface that the first visible row does not show."""
    return (surface >= SNOW_DBZ) & (visible < SNOW_DBZ)


def has_virga(surface: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Echo of at least -20 dBZ in the first visible row that does not reach the surface."""
    return (visible >= SNOW_DBZ) & (surface < SNOW_DBZ)


def event_counts(
    true: np.ndarray, predicted: np.ndarray, labelled: np.ndarray, visible: np.ndarray | None
) -> np.ndarray:
    """Counts the judged profiles by event and outcome.

    Args:
        true: (sample, blind row, profile), dBZ, finite.
        predicted: Same shape.
        labelled: Same shape, bool. Cloud is judged in profiles with any labelled pixel; shallow snowfall and virga
            where the surface row is labelled and the first visible row was observed.
        visible: (sample, profile), the first visible row in dBZ, NaN where missing; None leaves shallow snowfall and
            virga unjudged.

    Returns:
        (sample, 3 events, 4 outcomes), float64, in the order of `EVENTS` and `OUTCOMES`.
    """
    pairs = [(has_cloud(true, labelled), has_cloud(predicted, labelled), labelled.any(axis=1))]
    if visible is not None:
        judged = labelled[:, 0] & np.isfinite(visible)
        for event in (has_shallow_snow, has_virga):
            pairs.append((event(true[:, 0], visible), event(predicted[:, 0], visible), judged))
    counts = np.zeros((len(true), len(EVENTS), len(OUTCOMES)))
    for i, (happened, forecast, judged) in enumerate(pairs):
        outcomes = (happened & forecast, happened & ~forecast, ~happened & forecast, ~happened & ~forecast)
        counts[:, i] = np.stack([(outcome & judged).sum(axis=1) for outcome in outcomes], axis=-1)
    return counts


def contingency_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of `EVENT_SCORES` from counts (..., 4 outcomes), arrays (...)."""
    hits, misses, false_alarms, negatives = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    happened, forecast = hits + misses, hits + false_alarms
    chance = happened * (misses + negatives) + forecast * (false_alarms + negatives)
    return {
        "csi": ratio(hits, happened + false_alarms),
        "pod": ratio(hits, happened),
        "far": ratio(false_alarms, forecast),
        "hss": ratio(2 * (hits * negatives - misses * false_alarms), chance),
        "frequency_bias": ratio(forecast, happened),
    }
