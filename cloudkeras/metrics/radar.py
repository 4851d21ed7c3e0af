"""Scores of a filled radar blind zone (King et al. 2024, AIES-D-23-0063), in dBZ; no echo counts as -60 dBZ.

Errors are prediction - truth over the labelled pixels of the blind zone. Since "no echo" is 90 dB away from the
strongest echo, the plain MAE is ruled by missed and false echo. The value alone is judged where the truth shows echo
(`mae_truth_echo`), and below a visible one (`mae_below_echo`: the truth shows echo and so does the first visible row of
the profile): the same pixels for every method. `mae_both_echo` is the published score, where truth and prediction show
echo: other pixels for each method, few and easy ones for a method that seldom dares an echo.

Dice of the echo: 2 |both| / (|truth| + |prediction|), over all pixels together.

Beside these stand the events of a profile (`radar_events`), SSIM (`radar_structure`), the earth mover's distance of the
reflectivity histogram (`radar_distribution`), vertical and temporal power spectra (`radar_spectra`) and the height of
the lowest echo (`radar_lowest_echo`), each defined in its own file. A score that nothing was judged for is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ..datasets.schema import ECHO_ABOVE_DBZ, NO_ECHO_DBZ
from ..errors import check
from .radar_distribution import distribution_scores, earth_movers_distance, histograms
from .radar_events import EVENT_SCORES, EVENTS, contingency_scores, event_counts
from .radar_lowest_echo import lowest_echo_counts, lowest_echo_scores
from .radar_spectra import spectrum_scores, temporal_power, vertical_power
from .radar_structure import similarity_sums
from .ratios import ratio

_BY_ROW = (
    *("pixels", "error", "absolute", "square", "both", "absolute_both", "square_both"),
    *("true_echo", "absolute_true_echo", "predicted_echo", "below_echo", "absolute_below_echo"),
)
_IN_DECIBELS = ("mae", "rmse", "bias", "emd")
_IN_ROWS = ("lowest_echo",)
_HIGHER_IS_BETTER = ("dice", "pod", "csi", "hss", "ssim")


class RadarMetrics:
    """Scores of reflectivity in the blind zone.

    Args:
        blind_rows: Rows hidden, counted from the lowest.

    Attributes:
        primary: The score by which methods are ranked.
        count: The score that tells how many pixels were judged.
        tables: Titles and scores of the printed tables.
        profile: The scores that are listed by row.
        profile_dim: The dimension of the shards along which they are.
        shown: The scores of a figure, unless others are asked for.
        truth_only: The statistics that no prediction changes, stored once for all methods.
    """

    primary = "mae"
    count = "pixels"
    profile_dim = "height"
    tables: ClassVar[dict[str, tuple[str, ...]]] = {
        "dBZ over all labelled pixels (no echo = -60); Dice of the echo": ("mae", "rmse", "bias", "dice"),
        "MAE in dBZ where the truth shows echo; of that, below a visible echo; where both show echo": (
            "mae_truth_echo",
            "mae_below_echo",
            "mae_both_echo",
        ),
        "structure: SSIM over all labelled pixels, and where the truth shows echo": ("ssim", "ssim_truth_echo"),
        "distribution: earth mover's distance in dB with no echo as -60, and of the echo alone": ("emd", "emd_echo"),
        "power spectra: mean |log10 of predicted to true power|; signed, below 0 is too smooth": (
            *("psd_vertical", "psd_vertical_bias", "psd_temporal", "psd_temporal_bias"),
        ),
        "lowest echo of a profile, error in rows": ("lowest_echo_mae", "lowest_echo_bias"),
        "cloud in a profile": ("csi_cloud", "pod_cloud", "far_cloud", "hss_cloud"),
        "shallow snowfall in a profile": (
            *("csi_shallow_snow", "pod_shallow_snow", "far_shallow_snow", "hss_shallow_snow"),
        ),
        "virga in a profile": ("csi_virga", "pod_virga", "far_virga", "hss_virga"),
        "frequency of the events, predicted to true": (
            *("frequency_bias_cloud", "frequency_bias_shallow_snow", "frequency_bias_virga"),
        ),
    }
    profile = (
        *("mae", "rmse", "bias", "mae_truth_echo", "mae_below_echo", "dice", "ssim", "ssim_truth_echo", "emd"),
        *("echo_fraction", "echo_fraction_truth", "pixels", "pixels_truth_echo"),
    )
    shown = (
        "mae",
        "mae_truth_echo",
        "dice",
        "ssim",
        "emd",
        "psd_vertical",
        "csi_cloud",
        "csi_shallow_snow",
        "csi_virga",
    )
    truth_only = (
        *("true_histogram", "true_vertical_power", "vertical_profiles", "true_temporal_power", "temporal_segments"),
    )

    def __init__(self, blind_rows: int = 16):
        check(blind_rows >= 1, "`blind_rows` counts at least 1 row.", blind_rows=blind_rows)
        self.blind_rows = int(blind_rows)

    @staticmethod
    def higher_is_better(name: str) -> bool:
        return name.startswith(_HIGHER_IS_BETTER)

    @staticmethod
    def unit(name: str) -> str:
        """Unit of a score, "" where it has none."""
        return "dB" if name.startswith(_IN_DECIBELS) else "rows" if name.startswith(_IN_ROWS) else ""

    def statistics(
        self, truth: np.ndarray, prediction: np.ndarray, fields: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Sums and counts of each sample; a year of windows of 128 profiles takes some 5 kB a window and method.

        Args:
            truth: (sample, height, profile), dBZ, NaN where not labelled; the lowest row first.
            prediction: Same shape, dBZ.
            fields: `reflectivity` as observed, (sample, height, profile); without it (or with one row above the blind
                zone missing) shallow snowfall, virga and `mae_below_echo` are not judged.

        Returns:
            `rows` (sample, blind_rows, 12) sums of errors and echo; `events` (sample, 3 events, 4 outcomes);
            `structure` (sample, blind_rows, 2) sums of SSIM; `true_histogram` and `predicted_histogram` (sample,
            blind_rows, 91); `true_` and `predicted_vertical_power` (sample, blind_rows // 2) with `vertical_profiles`
            (sample,); `true_` and `predicted_temporal_power` (sample, frequency) with `temporal_segments` (sample,);
            `lowest_echo` (sample, blind_rows + 1, blind_rows + 1).

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
        vertical = [vertical_power(values, labelled) for values in (true, predicted)]
        temporal = [temporal_power(values, labelled) for values in (true, predicted)]
        return {
            "rows": self._row_sums(true, predicted, labelled, visible),
            "events": event_counts(true, predicted, labelled, visible),
            "structure": similarity_sums(true, predicted, labelled),
            "true_histogram": histograms(true, labelled),
            "predicted_histogram": histograms(predicted, labelled),
            "true_vertical_power": vertical[0][0],
            "predicted_vertical_power": vertical[1][0],
            "vertical_profiles": vertical[0][1],
            "true_temporal_power": temporal[0][0],
            "predicted_temporal_power": temporal[1][0],
            "temporal_segments": temporal[0][1],
            "lowest_echo": lowest_echo_counts(true, predicted, labelled),
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

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All named scores from summed statistics; leading axes are kept."""
        sums = {name: np.asarray(values, np.float64) for name, values in sums.items()}
        scores = self._errors(sums["rows"].sum(axis=-2), sums["structure"].sum(axis=-2))
        scores |= distribution_scores(sums["true_histogram"].sum(axis=-2), sums["predicted_histogram"].sum(axis=-2))
        for name, count in (("vertical", "vertical_profiles"), ("temporal", "temporal_segments")):
            true, predicted = (sums[f"{which}_{name}_power"] for which in ("true", "predicted"))
            scores |= spectrum_scores(name, true, predicted, sums[count])
        scores |= lowest_echo_scores(sums["lowest_echo"])
        by_event = contingency_scores(sums["events"])
        for i, event in enumerate(EVENTS):
            scores |= {f"{name}_{event}": by_event[name][..., i] for name in EVENT_SCORES}
            scores[f"events_{event}"] = sums["events"][..., i, :2].sum(axis=-1)
        return scores

    def compute_profile(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores of values, echo, structure and distribution at each blind row, the lowest first: arrays (..., row)."""
        scores = self._errors(np.asarray(sums["rows"]), np.asarray(sums["structure"]))
        return scores | {"emd": earth_movers_distance(sums["true_histogram"], sums["predicted_histogram"])}

    @staticmethod
    def _errors(rows: np.ndarray, structure: np.ndarray) -> dict[str, np.ndarray]:
        total = dict(zip(_BY_ROW, np.moveaxis(np.asarray(rows, np.float64), -1, 0), strict=True))
        return {
            "mae": ratio(total["absolute"], total["pixels"]),
            "rmse": np.sqrt(ratio(total["square"], total["pixels"])),
            "bias": ratio(total["error"], total["pixels"]),
            "mae_both_echo": ratio(total["absolute_both"], total["both"]),
            "rmse_both_echo": np.sqrt(ratio(total["square_both"], total["both"])),
            "mae_truth_echo": ratio(total["absolute_true_echo"], total["true_echo"]),
            "mae_below_echo": ratio(total["absolute_below_echo"], total["below_echo"]),
            "dice": ratio(2 * total["both"], total["true_echo"] + total["predicted_echo"]),
            "ssim": ratio(structure[..., 0], total["pixels"]),
            "ssim_truth_echo": ratio(structure[..., 1], total["true_echo"]),
            "echo_fraction": ratio(total["predicted_echo"], total["pixels"]),
            "echo_fraction_truth": ratio(total["true_echo"], total["pixels"]),
            "pixels": total["pixels"],
            "pixels_both_echo": total["both"],
            "pixels_truth_echo": total["true_echo"],
            "pixels_below_echo": total["below_echo"],
            "pixels_predicted_echo": total["predicted_echo"],
        }
