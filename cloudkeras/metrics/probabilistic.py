"""Scores of a distribution that is given by members, for any regression.

With members x_1, ..., x_M of a pixel and the truth y:

- `crps`, the continuous ranked probability score of the members' distribution (Gneiting and Raftery 2007, J. Amer.
  Stat. Assoc. 102, 359-378, eq. 21): sum_i |x_i - y| / M - sum_ij |x_i - x_j| / (2 M^2). For one member it is the
  absolute error, so that a method without uncertainty can stand in the same table.
- `crps_fair` has 2 M (M - 1) in the second term (Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917-1923): what members
  drawn at random would score if there were more of them. It flatters members that are quantiles, as recalibrated ones.
- The central 50 % and 90 % interval lie between quantiles of the members at the plotting positions k / (M + 1), so that
  members drawn from the distribution of the truth cover it as often as they say, for any M (19 or more for 90 %).
  `coverage_*` counts a truth on the border as covered: what a reader of the interval sees. Where values repeat, such as
  "no echo", that is more than nominal even for a perfect forecast; `coverage_*_shared` counts of such ties the share
  that the interval should hold, and is nominal for a perfect forecast.
- `interval_score_90` = width + 20 (low - y) where y < low, + 20 (y - high) where y > high (Gneiting and Raftery 2007,
  eq. 43): rewards narrow intervals and punishes misses.
- Ranks of the truth among the members (PIT), ties spread evenly. `pit_deviation` is the mean distance of the
  histogram's bins from flat, in units of the flat height: 0 is uniform.
- `spread` is the root of the mean variance times (M + 1) / M, `rmse` that of the squared error of the mean: equal for
  members drawn from the distribution of the truth (Fortin et al. 2014, J. Hydrometeorol. 15, 1708-1713).
  `spread_error_ratio` is their quotient.
- Events "the value is above a threshold": `brier_*`; `reliability_*` and `resolution_*` are its parts (Murphy 1973,
  J. Appl. Meteorol. 12, 595-600) in ten bins of probability; `brier_skill_*` is against the frequency in the data.
- `risk_coverage_area`: pixels are kept in order of the error that the members expect of their median, the mean of
  |x_i - median|, the surest first; the mean absolute error of the median of those kept, averaged over the share kept
  from 0 to 1. All methods are judged on the same pixels, and a method without spread keeps them in no order: its area
  is its mean absolute error. `risk_coverage_gain` = 1 - area / mae.

Spreads and expected errors are counted in fixed bins, so that the score of a data set does not depend on how it was cut
into shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import check
from ..tasks import OutputRange
from .ratios import ratio

PIT_BINS = 20
PROBABILITY_BINS = 10
SPREAD_BINS = 64
INTERVALS = {"50": (0.25, 0.75), "90": (0.05, 0.95)}
_BLOCK_VALUES = 4_000_000
_PIXEL = (
    *("pixels", "crps", "crps_fair", "absolute", "error", "square", "variance", "interval_score_90"),
    *(f"{what}_{name}" for name in INTERVALS for what in ("covered", "shared", "width")),
)
_SPREAD = ("pixels", "variance", "square", "absolute")
_RISK = ("pixels", "absolute")
_EVENT = ("pixels", "probability", "happened", "brier")


def spread_edges(output: OutputRange) -> np.ndarray:
    """Upper edges of all spread bins but the last: quadratic up to the largest spread of a range, else logarithmic."""
    if np.isfinite([output.low, output.high]).all():
        return (output.high - output.low) * 0.55 * np.linspace(0, 1, SPREAD_BINS)[1:] ** 2
    return np.geomspace(1e-3, 1e3, SPREAD_BINS - 1)


class ProbabilisticMetrics:
    """Scores of members.

    Args:
        output: Range and events of the values.
        rows: Rows of the image, from the first, whose scores are listed as a profile; 0 for none.
        row_dim: The dimension of the shards that these rows are along.

    Attributes:
        primary: The score by which methods are ranked.
        count: The score that tells how many pixels were judged.
        tables: Titles and scores of the printed tables.
        profile: The scores that are listed by row.
        shown: The scores of a figure.
    """

    primary = "crps"
    count = "pixels"
    shown: ClassVar[tuple[str, ...]] = (
        *("crps", "coverage_90", "width_90", "spread_error_ratio", "pit_deviation", "risk_coverage_area"),
    )

    def __init__(self, output: OutputRange, rows: int = 0, row_dim: str = ""):
        check(rows >= 0, "`rows` counts 0 rows or more.", rows=rows)
        self.output, self.rows = output, int(rows)
        self.edges = spread_edges(output)
        self.profile_dim = row_dim if rows else ""
        self.profile: tuple[str, ...] = (
            ("crps", "mae", "coverage_50", "coverage_90", "width_90", "pixels") if rows else ()
        )

    @property
    def tables(self) -> dict[str, tuple[str, ...]]:
        units = f", {self.difference_unit}" if self.difference_unit else ""
        tables: dict[str, tuple[str, ...]] = {
            f"continuous ranked probability score; error of median and mean{units}": ("crps", "mae", "rmse", "spread"),
            "coverage of the central intervals": (
                *("coverage_50", "coverage_90", "coverage_50_shared", "coverage_90_shared"),
            ),
            f"width of the intervals{units}; deviation of the rank histogram from flat": (
                *("width_50", "width_90", "interval_score_90", "pit_deviation"),
            ),
            "spread over error; error of the surest pixels": (
                *("spread_error_ratio", "risk_coverage_area", "risk_coverage_gain", "crps_fair"),
            ),
        }
        for name, threshold in self.output.events:
            above = f"{threshold:g}" + (f" {self.output.units}" if self.output.units != "1" else "")
            tables[f"probability of {name.replace('_', ' ')} (above {above})"] = tuple(
                f"{score}_{name}" for score in ("brier", "brier_skill", "reliability", "resolution")
            )
        return tables

    @staticmethod
    def higher_is_better(name: str) -> bool:
        return name.startswith(("resolution", "brier_skill", "risk_coverage_gain"))

    def unit(self, name: str) -> str:
        """The unit of a score; "" for a number without."""
        physical = ("crps", "mae", "rmse", "bias", "spread", "width", "interval_score", "risk_coverage_area")
        plain = name == "spread_error_ratio" or not name.startswith(physical)
        return "" if plain else self.difference_unit

    @property
    def difference_unit(self) -> str:
        """The unit of errors, spreads and widths: that of the values, dB for values in dBZ, "" for a number without."""
        return {"1": "", "dBZ": "dB"}.get(self.output.units, self.output.units)

    # ---- counting ----------------------------------------------------------------------------------------------------

    def statistics(self, truth: np.ndarray, prediction: np.ndarray, fields: Any = None) -> dict[str, np.ndarray]:
        """Sums of each sample over its judged pixels.

        Args:
            truth: (sample, row, ...), physical, NaN where not judged.
            prediction: (members, sample, row, ...), physical.
            fields: Not used.

        Returns:
            Arrays (sample, ...), float64.

        Raises:
            InputError: If the shapes do not fit.
        """
        truth, prediction = np.asarray(truth), np.asarray(prediction)
        check(
            truth.ndim >= 2 and prediction.ndim == truth.ndim + 1 and prediction.shape[1:] == truth.shape,
            "Members are (members, *truth.shape).",
            truth=truth.shape,
            prediction=prediction.shape,
        )
        samples, num_events = len(truth), len(self.output.events)
        sums = {
            "pixel": np.zeros((samples, len(_PIXEL))),
            "pit": np.zeros((samples, PIT_BINS)),
            "spread": np.zeros((samples, SPREAD_BINS, len(_SPREAD))),
            "risk": np.zeros((samples, SPREAD_BINS, len(_RISK))),
            "event": np.zeros((samples, num_events, PROBABILITY_BINS, len(_EVENT))),
        }
        if self.rows:
            sums["row"] = np.zeros((samples, self.rows, len(_PIXEL)))
        for sample, row, true, members in _judged(truth, prediction):
            pixel, pit = _of_pixels(true, members)
            _add(sums["pixel"], sample, pixel)
            _add(sums["pit"], sample, pit)
            if self.rows:
                inside = row < self.rows
                flat = sums["row"].reshape(-1, len(_PIXEL))
                _add(flat, (sample * self.rows + row)[inside], pixel[:, inside])
            spread = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros_like(true)
            expected = np.abs(members - np.median(members, axis=0)).mean(axis=0)
            for name, kinds, order in (("spread", _SPREAD, spread), ("risk", _RISK, expected)):
                bins = np.searchsorted(self.edges, order, side="left")
                values = np.stack([pixel[_PIXEL.index(kind)] for kind in kinds])
                _add(sums[name].reshape(-1, len(kinds)), sample * SPREAD_BINS + bins, values)
            self._add_events(sums["event"], sample, true, members)
        return sums

    def _add_events(self, sums: np.ndarray, sample: np.ndarray, true: np.ndarray, members: np.ndarray) -> None:
        flat = sums.reshape(-1, len(_EVENT))
        for i, (_, threshold) in enumerate(self.output.events):
            probability, happened = (members > threshold).mean(axis=0), (true > threshold).astype(np.float64)
            bins = np.minimum((probability * PROBABILITY_BINS).astype(np.int64), PROBABILITY_BINS - 1)
            values = np.stack([np.ones_like(probability), probability, happened, (probability - happened) ** 2])
            _add(flat, (sample * len(self.output.events) + i) * PROBABILITY_BINS + bins, values)

    # ---- scores ------------------------------------------------------------------------------------------------------

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All named scores from summed statistics; leading axes are kept."""
        scores = _pixel_scores(np.asarray(sums["pixel"], np.float64))
        pit = np.asarray(sums["pit"], np.float64)
        share = ratio(pit, pit.sum(axis=-1, keepdims=True))
        spread = scores["spread"] > 0  # one value has no ranks
        scores["pit_deviation"] = np.where(spread, np.abs(share * PIT_BINS - 1).mean(axis=-1), np.nan)
        kept, risk = self.risk_coverage(sums)
        scores["risk_coverage_area"] = np.trapezoid(risk, kept, axis=-1)
        scores["risk_coverage_gain"] = 1 - ratio(scores["risk_coverage_area"], scores["mae"])
        for i, (name, _) in enumerate(self.output.events):
            scores |= {f"{key}_{name}": value for key, value in _event_scores(np.asarray(sums["event"])[..., i, :, :])}
        return scores

    def compute_profile(self, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores by row, arrays (..., row)."""
        return _pixel_scores(np.asarray(sums["row"], np.float64)) if self.rows else {}

    # ---- curves ------------------------------------------------------------------------------------------------------

    def risk_coverage(self, sums: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Share of pixels kept (..., bin + 1) from 0 to 1, and mean absolute error of those kept.

        Pixels of one bin of expected error are kept in no order. Where nothing is kept stands the error of the first
        bin kept.
        """
        pixels, absolute = np.cumsum(np.moveaxis(np.asarray(sums["risk"], np.float64), -1, 0), axis=-1)
        risk = ratio(absolute, pixels)
        first = np.take_along_axis(risk, np.argmax(pixels > 0, axis=-1)[..., None], axis=-1)
        risk = np.where(np.isnan(risk), first, risk)
        kept = ratio(pixels, pixels[..., -1:])
        return (
            np.concatenate([np.zeros_like(first), kept], axis=-1),
            np.concatenate([first, risk], axis=-1),
        )

    def reliability(self, sums: Mapping[str, np.ndarray], event: int) -> dict[str, np.ndarray]:
        """Mean forecast probability, frequency and number of pixels, each (..., probability bin)."""
        bins = np.asarray(sums["event"], np.float64)[..., event, :, :]
        pixels, probability, happened, _ = np.moveaxis(bins, -1, 0)
        return {"probability": ratio(probability, pixels), "frequency": ratio(happened, pixels), "pixels": pixels}

    def spread_error(self, sums: Mapping[str, np.ndarray], bins: int = 12) -> dict[str, np.ndarray]:
        """Root mean variance and root mean squared error in classes of spread that hold about equally many pixels.

        Args:
            sums: Summed statistics, without leading axes.
            bins: At most so many classes.

        Returns:
            "spread", "rmse" and "pixels", each (class,).
        """
        counted = np.asarray(sums["spread"], np.float64)
        pixels = counted[:, _SPREAD.index("pixels")]
        middle = (np.cumsum(pixels) - pixels / 2) / max(pixels.sum(), 1)
        number = np.minimum((middle * bins).astype(int), bins - 1)
        total = np.zeros((bins, len(_SPREAD)))
        np.add.at(total, number, counted)
        total = total[total[:, 0] > 0]
        return {
            "spread": np.sqrt(total[:, 1] / total[:, 0]),
            "rmse": np.sqrt(total[:, 2] / total[:, 0]),
            "pixels": total[:, 0],
        }

    @staticmethod
    def rank_histogram(sums: Mapping[str, np.ndarray]) -> np.ndarray:
        """Share of pixels in each of the bins of the rank, (..., PIT_BINS)."""
        pit = np.asarray(sums["pit"], np.float64)
        return ratio(pit, pit.sum(axis=-1, keepdims=True))


def _judged(truth: np.ndarray, prediction: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of judged pixels: sample, row, truth (pixel,) and sorted members (member, pixel)."""
    where = np.nonzero(np.isfinite(truth))
    step = max(1, _BLOCK_VALUES // len(prediction))
    for start in range(0, len(where[0]), step):
        place = tuple(index[start : start + step] for index in where)
        picked = np.stack([member[place] for member in prediction])
        members = np.sort(np.asarray(picked, np.float64), axis=0)
        yield place[0], place[1], np.asarray(truth[place], np.float64), members


def _add(sums: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """Adds values (kind, pixel) to sums (index, kind)."""
    for kind, each in enumerate(values):
        sums[:, kind] += np.bincount(index, each, minlength=len(sums))


def crps(true: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The score and its fair form, (pixel,), of members sorted along the first axis (member, pixel).

    sum_ij |x_i - x_j| = 2 sum_k (2 k - M - 1) x_(k) for the k-th smallest of M.
    """
    count = len(members)
    error = np.abs(members - true).mean(axis=0)
    weight = 2.0 * np.arange(1, count + 1) - count - 1
    pairs = np.tensordot(weight, members, axes=1) * 2
    return error - pairs / (2 * count**2), error - pairs / (2 * count * max(count - 1, 1))


def _of_pixels(true: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel: values in the order of `_PIXEL` (kind, pixel), and shares of the rank (bin, pixel)."""
    count = len(members)
    score, fair = crps(true, members)
    variance = members.var(axis=0, ddof=1) if count > 1 else np.zeros_like(true)
    mean_error = members.mean(axis=0) - true
    below, upto = (members < true).sum(axis=0), (members <= true).sum(axis=0)
    found = {
        "pixels": np.ones_like(true),
        "crps": score,
        "crps_fair": fair,
        "absolute": np.abs(np.median(members, axis=0) - true),
        "error": mean_error,
        "square": mean_error**2,
        "variance": variance * (count + 1) / count,
    }
    for name, (lower, upper) in INTERVALS.items():
        low, high = _between(members, lower), _between(members, upper)
        covered = (low <= true) & (true <= high)
        tied = covered & (upto > below) & ((true == low) | (true == high))
        inside = np.clip(upto / count, lower, upper) - np.clip(below / count, lower, upper)
        found[f"covered_{name}"] = covered.astype(np.float64)
        found[f"shared_{name}"] = np.where(tied, inside * count / np.maximum(upto - below, 1), covered)
        found[f"width_{name}"] = high - low
        if name == "90":
            miss = np.maximum(low - true, 0) + np.maximum(true - high, 0)
            found["interval_score_90"] = high - low + miss * 2 / (1 - (upper - lower))
    return np.stack([found[name] for name in _PIXEL]), _rank_shares(below, upto, count)


def _between(members: np.ndarray, level: float) -> np.ndarray:
    """A quantile of sorted members at the plotting positions k / (M + 1)."""
    position = min(max(level * (len(members) + 1) - 1, 0.0), len(members) - 1.0)
    below = int(position)
    above = min(below + 1, len(members) - 1)
    return members[below] + (position - below) * (members[above] - members[below])


def _rank_shares(below: np.ndarray, upto: np.ndarray, count: int) -> np.ndarray:
    """The rank as a uniform share of [below, upto + 1] / (M + 1), spread over the bins: (bin, pixel)."""
    start, stop = below / (count + 1), (upto + 1) / (count + 1)
    edges = np.arange(PIT_BINS + 1)[:, None] / PIT_BINS
    inside = np.clip(edges, start, stop)
    return np.diff(inside, axis=0) / (stop - start)


def _pixel_scores(total: np.ndarray) -> dict[str, np.ndarray]:
    sums = dict(zip(_PIXEL, np.moveaxis(total, -1, 0), strict=True))
    mean = {name: ratio(value, sums["pixels"]) for name, value in sums.items()}
    scores = {
        "crps": mean["crps"],
        "crps_fair": mean["crps_fair"],
        "mae": mean["absolute"],
        "rmse": np.sqrt(mean["square"]),
        "bias": mean["error"],
        "spread": np.sqrt(mean["variance"]),
        "spread_error_ratio": np.sqrt(ratio(sums["variance"], sums["square"])),
        "interval_score_90": mean["interval_score_90"],
        "pixels": sums["pixels"],
    }
    for name in INTERVALS:
        scores[f"coverage_{name}"] = mean[f"covered_{name}"]
        scores[f"coverage_{name}_shared"] = mean[f"shared_{name}"]
        scores[f"width_{name}"] = mean[f"width_{name}"]
    return scores


def _event_scores(bins: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Brier score, its parts and its skill from (..., probability bin, kind)."""
    pixels, probability, happened, brier = np.moveaxis(np.asarray(bins, np.float64), -1, 0)
    total = pixels.sum(axis=-1)
    frequency = ratio(happened.sum(axis=-1), total)
    with np.errstate(invalid="ignore"):
        observed = np.nan_to_num(ratio(happened, pixels))
        forecast = np.nan_to_num(ratio(probability, pixels))
        reliability = ratio((pixels * (forecast - observed) ** 2).sum(axis=-1), total)
        resolution = ratio((pixels * (observed - frequency[..., None]) ** 2).sum(axis=-1), total)
    score = ratio(brier.sum(axis=-1), total)
    yield "brier", score
    yield "brier_skill", 1 - ratio(score, frequency * (1 - frequency))
    yield "reliability", reliability
    yield "resolution", resolution
    yield "frequency", frequency
