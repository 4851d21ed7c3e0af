"""Scores of a filled radar blind zone (King et al. 2024, AIES-D-23-0063), in dBZ; no echo counts as -60 dBZ.

Errors are prediction - truth over the labelled pixels of the blind zone. Since "no echo" is 90 dB away from the
strongest echo, the plain MAE is ruled by missed and false echo. The value alone is judged where the truth shows echo
(`mae_truth_echo`), and below a visible one (`mae_below_echo`: the truth shows echo and so does the first visible row of
the profile): the same pixels for every method. `mae_both_echo` is the published score, where truth and prediction show
echo: other pixels for each method, few and easy ones for a method that seldom dares an echo.

Dice of the echo: 2 |both| / (|truth| + |prediction|), over all pixels together.

Events are judged in each profile (column) of a window, which is the unit that has a surface row:

- cloud: at least 5 % of the profile's labelled blind-zone pixels show echo;
- shallow snowfall: surface row >= -20 dBZ and the first visible row < -20 dBZ;
- virga: the first visible row >= -20 dBZ and surface row < -20 dBZ.

The surface row is row 0, the first visible row is row `blind_rows`. The latter was observed, so truth and prediction
share it. POD = hits / (hits + misses), FAR = false alarms / (hits + false alarms),
CSI = hits / (hits + misses + false alarms); NaN where the denominator is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ..datasets.schema import ECHO_ABOVE_DBZ, NO_ECHO_DBZ
from ..errors import check

EVENTS = ("cloud", "shallow_snow", "virga")
CLOUD_FRACTION = 0.05
SNOW_THRESHOLD_DBZ = -20.0

_OUTCOMES = ("hits", "misses", "false_alarms")
_BY_ROW = (
    *("pixels", "error", "absolute", "square", "both", "absolute_both", "square_both"),
    *("true_echo", "absolute_true_echo", "predicted_echo", "below_echo", "absolute_below_echo"),
)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)


def has_cloud(reflectivity: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Whether at least 5 % of the labelled pixels of each profile show echo, (sample, profile)."""
    echo = (reflectivity > NO_ECHO_DBZ) & labelled
    pixels = labelled.sum(axis=1)
    return (pixels > 0) & (echo.sum(axis=1) >= CLOUD_FRACTION * pixels)


def has_shallow_snow(surface: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Echo of at least -20 dBZ at the surface that the first visible row does not show."""
    return (surface >= SNOW_THRESHOLD_DBZ) & (visible < SNOW_THRESHOLD_DBZ)


def has_virga(surface: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Echo of at least -20 dBZ in the first visible row that does not reach the surface."""
    return (visible >= SNOW_THRESHOLD_DBZ) & (surface < SNOW_THRESHOLD_DBZ)


class RadarMetrics:
    """Scores of reflectivity in the blind zone.

    Args:
        blind_rows: Rows hidden, counted from the lowest.

    Attributes:
        primary: The score by which methods are ranked.
        count: The score that tells how many pixels were judged.
        tables: Titles and scores of the printed tables.
        profile: The scores that are listed by row.
    """

    primary = "mae"
    count = "pixels"
    tables: ClassVar[dict[str, tuple[str, ...]]] = {
        "dBZ over all labelled pixels (no echo = -60); Dice of the echo": ("mae", "rmse", "bias", "dice"),
        "MAE in dBZ where the truth shows echo; of that, below a visible echo; where both show echo": (
            "mae_truth_echo",
            "mae_below_echo",
            "mae_both_echo",
        ),
        "cloud in a profile": ("csi_cloud", "pod_cloud", "far_cloud"),
        "shallow snowfall in a profile": ("csi_shallow_snow", "pod_shallow_snow", "far_shallow_snow"),
        "virga in a profile": ("csi_virga", "pod_virga", "far_virga"),
    }
    profile = ("mae", "rmse", "bias", "mae_truth_echo", "mae_below_echo", "dice", "pixels", "pixels_truth_echo")

    def __init__(self, blind_rows: int = 16):
        check(blind_rows >= 1, "`blind_rows` counts at least 1 row.", blind_rows=blind_rows)
        self.blind_rows = int(blind_rows)

    @staticmethod
    def higher_is_better(name: str) -> bool:
        return name.startswith(("dice", "pod", "csi"))

    def statistics(
        self, truth: np.ndarray, prediction: np.ndarray, fields: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Sums of errors by sample and blind-zone row, and counts of events by sample.

        Args:
            truth: (sample, height, profile), dBZ, NaN where not labelled; the lowest row first.
            prediction: Same shape, dBZ.
            fields: `reflectivity` as observed, (sample, height, profile); without it (or with one row above the blind
                zone missing) shallow snowfall, virga and `mae_below_echo` are not judged.

        Returns:
            `rows` (sample, blind_rows, 12), float64; `events` (sample, 3 events, hits / misses / false alarms).

        Raises:
            InputError: If the shapes do not fit.
        """
        check(
            truth.ndim == 3 and truth.shape == prediction.shape and truth.shape[1] >= self.blind_rows,
            f"Truth and prediction are (sample, height, profile) alike, with {self.blind_rows} rows or more.",
            truth=truth.shape,
            prediction=prediction.shape,
        )
        true = np.asarray(truth[:, : self.blind_rows], np.float64)
        labelled = np.isfinite(true)
        true = np.where(labelled, true, NO_ECHO_DBZ)
        predicted = np.where(labelled, np.asarray(prediction[:, : self.blind_rows], np.float64), NO_ECHO_DBZ)
        observed = None if fields is None else fields.get("reflectivity")
        visible = None
        if observed is not None and observed.shape[1] > self.blind_rows:
            visible = observed[:, self.blind_rows]
        return {
            "rows": self._row_sums(true, predicted, labelled, visible),
            "events": self._event_counts(true, predicted, labelled, visible),
        }

    @staticmethod
    def _row_sums(
        true: np.ndarray, predicted: np.ndarray, labelled: np.ndarray, visible: np.ndarray | None
    ) -> np.ndarray:
        error = predicted - true
        true_echo, predicted_echo = (values > NO_ECHO_DBZ for values in (true, predicted))
        both = true_echo & predicted_echo
        below_echo = np.zeros_like(both)
        if visible is not None:
            below_echo = true_echo & (visible > ECHO_ABOVE_DBZ)[:, None]
        absolute, square = np.abs(error), error**2
        sums = (
            *(labelled, error, absolute, square, both, absolute * both, square * both),
            *(true_echo, absolute * true_echo, predicted_echo, below_echo, absolute * below_echo),
        )
        return np.stack([values.sum(axis=2, dtype=np.float64) for values in sums], axis=-1)

    @staticmethod
    def _event_counts(
        true: np.ndarray, predicted: np.ndarray, labelled: np.ndarray, visible: np.ndarray | None
    ) -> np.ndarray:
        pairs = [(has_cloud(true, labelled), has_cloud(predicted, labelled), labelled.any(axis=1))]
        if visible is not None:
            judged = labelled[:, 0] & np.isfinite(visible)
            for event in (has_shallow_snow, has_virga):
                pairs.append((event(true[:, 0], visible), event(predicted[:, 0], visible), judged))
        counts = np.zeros((len(true), len(EVENTS), len(_OUTCOMES)))
        for i, (happened, forecast, judged) in enumerate(pairs):
            outcomes = (happened & forecast, happened & ~forecast, ~happened & forecast)
            counts[:, i] = np.stack([(outcome & judged).sum(axis=1) for outcome in outcomes], axis=-1)
        return counts

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All named scores from summed statistics; leading axes are kept."""
        scores = self._errors(np.asarray(sums["rows"]).sum(axis=-2))
        events = np.asarray(sums["events"])
        for i, event in enumerate(EVENTS):
            hits, misses, false_alarms = np.moveaxis(events[..., i, :], -1, 0)
            scores[f"pod_{event}"] = _ratio(hits, hits + misses)
            scores[f"far_{event}"] = _ratio(false_alarms, hits + false_alarms)
            scores[f"csi_{event}"] = _ratio(hits, hits + misses + false_alarms)
            scores[f"events_{event}"] = hits + misses
        return scores

    def compute_profile(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The scores of values and echo at each row of the blind zone, the lowest first: arrays (..., row)."""
        return self._errors(np.asarray(sums["rows"]))

    @staticmethod
    def _errors(rows: np.ndarray) -> dict[str, np.ndarray]:
        total = dict(zip(_BY_ROW, np.moveaxis(np.asarray(rows, np.float64), -1, 0), strict=True))
        return {
            "mae": _ratio(total["absolute"], total["pixels"]),
            "rmse": np.sqrt(_ratio(total["square"], total["pixels"])),
            "bias": _ratio(total["error"], total["pixels"]),
            "mae_both_echo": _ratio(total["absolute_both"], total["both"]),
            "rmse_both_echo": np.sqrt(_ratio(total["square_both"], total["both"])),
            "mae_truth_echo": _ratio(total["absolute_true_echo"], total["true_echo"]),
            "mae_below_echo": _ratio(total["absolute_below_echo"], total["below_echo"]),
            "dice": _ratio(2 * total["both"], total["true_echo"] + total["predicted_echo"]),
            "pixels": total["pixels"],
            "pixels_both_echo": total["both"],
            "pixels_truth_echo": total["true_echo"],
            "pixels_below_echo": total["below_echo"],
            "pixels_predicted_echo": total["predicted_echo"],
        }
