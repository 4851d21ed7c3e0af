"""Calibration on validation data: from members that are too sure to intervals that hold what they say.

The distribution is that of `law.Law`. Choices are made by cross-validation: the validation split is cut into up to five
contiguous stretches of the record, each is predicted from the others, and

1. the penalty of the event's regression is the one with the smallest logarithmic loss;
2. depth of the groups, and whether residuals are standardized by the spread, are those with the smallest continuous
   ranked probability score;
3. `stretch` is the smallest factor of the residuals, at least 1, for which the central 90 % interval covers 90 % of the
   truth in the mean over stretches (ties at the atom shared, as in `metrics.probabilistic`): a split-conformal scale
   with stretches, not pixels, as what is exchangeable, since neighbouring pixels are not (Dunn et al. 2023, J. Amer.
   Stat. Assoc. 118, 2491-2502);
4. `threshold` is the probability from which a point value shows the event, with the largest Dice score; among those
   within 0.002 of the largest the one nearest to half of it, the optimum for true probabilities (Lipton et al. 2014,
   arXiv 1402.1892).

With one stretch alone there is nothing to cross-validate: groups are those of the first factor, the rest is neutral.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..datasets import ShardDataset
from ..datasets.shards import new_file
from ..errors import DataError, check, check_choice
from ..tasks import Task
from .law import Law, class_edges, fit_event, fit_residuals
from .pixels import Pixels, collect_pixels, factor_values, features_of, folds

FORMAT = 1
FILE_NAME = "calibration.json"
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
STRETCHES = tuple(np.round(np.geomspace(1.0, 4.0, 43), 3).tolist())
_LEVELS = (np.arange(25) + 0.5) / 25


@dataclass(frozen=True)
class Calibration:
    """Makes an honest distribution of members, for one method on one task.

    Attributes:
        law: The distribution.
        threshold: Probability from which a point value shows the event.
        factors: Names of the task's factors that it uses.
        task: Name of the task.
        members: Members that it was fitted with; use it with as many.
        report: How it was fitted, on what, and what cross-validation said.
    """

    law: Law
    threshold: float
    factors: tuple[str, ...]
    task: str
    members: int
    report: dict[str, Any] = dataclasses.field(default_factory=dict)

    def apply(self, samples: np.ndarray, inputs: np.ndarray, task: Task, members: int | None = None) -> np.ndarray:
        """Recalibrated members.

        The members of a pixel become the quantiles k / (M + 1) of its distribution, each member that of its rank, so
        that they hang together in space as the given ones do (ensemble copula coupling, Schefzik et al. 2013, Stat.
        Sci. 28, 616-640). Equal members are ranked by their number. Pixels that the network does not fill stay as they
        are.

        Args:
            samples: (members, batch, ...), physical.
            inputs: The network input that they belong to.
            task: The task.
            members: How many to return; by default as many as given. Another number comes in order of the quantiles,
                the first member lowest everywhere.

        Returns:
            (members, batch, ...), float32, within the task's range.
        """
        samples = np.asarray(samples, np.float32)
        count = len(samples) if members is None else members
        check(count >= 1, "`members` is at least 1.", members=members)
        where, features = self._features(samples, inputs, task)
        levels = np.arange(1, count + 1) / (count + 1)
        quantiles = self.law.quantiles(features, levels)
        result = samples[np.arange(count) % len(samples)]
        if count == len(samples):
            rank = np.argsort(np.argsort(samples[:, where], axis=0, kind="stable"), axis=0, kind="stable")
            quantiles = np.take_along_axis(quantiles, rank, axis=0)
        result[:, where] = quantiles
        return result

    def quantiles(self, samples: np.ndarray, inputs: np.ndarray, task: Task, levels: Sequence[float]) -> np.ndarray:
        """Quantiles of the recalibrated distribution, (level, batch, ...), float32; what is not filled is the mean."""
        where, features = self._features(np.asarray(samples), inputs, task)
        result = np.repeat(np.asarray(samples).mean(axis=0, dtype=np.float32)[None], len(levels), axis=0)
        result[:, where] = self.law.quantiles(features, np.asarray(levels))
        return result

    def probability(self, samples: np.ndarray, inputs: np.ndarray, task: Task, threshold: float) -> np.ndarray:
        """Probability of a value above `threshold`, (batch, ...); of what is not filled, the share of members."""
        where, features = self._features(np.asarray(samples), inputs, task)
        result = (np.asarray(samples) > threshold).mean(axis=0, dtype=np.float32)
        result[where] = 1 - self.law.bounds(features, np.full(len(features), threshold))[1]
        return result

    def point(self, samples: np.ndarray, inputs: np.ndarray, task: Task) -> np.ndarray:
        """One value a pixel, (batch, ...): the atom where P(event) < `threshold`, else the median given the event.

        Without an atom the median. What is not filled is the mean of the members.
        """
        where, features = self._features(np.asarray(samples), inputs, task)
        result = np.asarray(samples).mean(axis=0, dtype=np.float32)
        value = self.law.given_event(features)
        if self.law.atom is not None:
            value = np.where(self.law.probability(features) < self.threshold, self.law.atom, value)
        result[where] = value
        return result

    def _features(self, samples: np.ndarray, inputs: np.ndarray, task: Task) -> tuple[np.ndarray, Any]:
        check_choice(task.name, (self.task,), "task")
        check(
            samples.ndim >= 2 and samples.shape[1] == len(inputs),
            "`samples` are (members, batch, ...) of the batch of inputs.",
            samples=samples.shape,
            inputs=np.shape(inputs),
        )
        where = np.broadcast_to(task.filled(inputs), samples.shape[1:])
        _, factors = factor_values(task, inputs, self.factors)
        factors = np.stack([factor[where] for factor in factors]) if len(factors) else np.zeros((0, where.sum()))
        return where, features_of(samples[:, where], factors, self.law.atom)

    # ---- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Writes JSON; the file appears under its name when it is complete. A folder gets `calibration.json`."""
        path = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        content = {"format": FORMAT, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}
        content["law"] = self.law.to_dict()
        with new_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Reads what `save` wrote, from the file or its folder.

        Raises:
            DataError: If there is no such file, or it is not one.
        """
        path = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("another format version")
            law = Law.from_dict(content.pop("law"))
            return cls(law=law, factors=tuple(content.pop("factors")), **content)
        except FileNotFoundError as error:
            remedy = "`cloudkeras uncertainty --calibrate` writes it."
            raise DataError(path, expected="a calibration", found="no file", remedy=remedy) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(path, expected=f"a calibration of format {FORMAT}", found=str(error)) from error


def fit_calibration(
    method: Any,
    dataset: ShardDataset,
    *,
    task: Task | None = None,
    split: str = "validation",
    pixels: int = 60_000,
    batch_size: int = 4,
    seed: int = 0,
) -> Calibration:
    """Fits a calibration of a method's members on a split that it was not trained on.

    Args:
        method: An `EnsembleMethod` (its own calibration is left aside): has `raw_members(x)` and `name`.
        dataset: The shards.
        task: The task, by default the method's.
        split: The split.
        pixels: About how many pixels to use.
        batch_size: Samples at once.
        seed: Of the draw of pixels.

    Raises:
        InputError: If the task is no regression or nothing is judged.
    """
    task = task or method.task
    check(task.kind == "regression", "Calibration is for regressions.", task=task.name)
    table = collect_pixels(method, task, dataset, split, batch_size=batch_size, limit=pixels, seed=seed)
    output = task.output_range()
    factors = tuple(task.calibration_factors(np.zeros((1, 2, 2, len(task.channel_names())), np.float32)))
    law, threshold, report = fit_law(table, output.low, output.high, output.atom)
    report |= {
        "method": method.name,
        "data": str(dataset.path),
        "split": split,
        "seed": seed,
        "simulated": dataset.simulated,
        "cloudkeras_version": __version__,
        "fitted": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return Calibration(law, threshold, factors, task.name, int(getattr(method, "num_members", 1)), report)


def fit_law(
    table: Pixels, low: float, high: float, atom: float | None, number_of_folds: int = 5
) -> tuple[Law, float, dict[str, Any]]:
    """The law, the threshold of the event, and a report.

    Args:
        table: Pixels of the validation split.
        low: Smallest value.
        high: Largest value.
        atom: `low` if it has a probability of its own.
        number_of_folds: Stretches of the cross-validation.
    """
    fold = folds(table.place, number_of_folds)
    happened = np.ones(len(table), bool) if atom is None else table.truth > atom
    report: dict[str, Any] = {
        "pixels": len(table),
        "stretches": int(fold.max()) + 1,
        "event_rate": float(happened.mean()),
        "constant": bool(np.ptp(table.features.center) == 0),
        "crps_members": float(table.crps.mean()),
    }
    strength, p = STRENGTHS[1], np.ones(len(table))
    if atom is not None:
        strength, p = _choose_event(table, happened, fold)
        report["event_strength"] = strength
    edges = class_edges(table.features, atom)
    choice = _choose_residuals(table, happened, fold, p, edges, (low, high, atom))
    report |= {k: choice[k] for k in ("depth", "standardized", "crps_calibrated", "candidates")}
    stretch, coverage = _choose_stretch(table, happened, fold, p, edges, (low, high, atom), choice)
    report |= {"stretch": stretch, "coverage_90": coverage}
    event = None if atom is None else fit_event(table.features, happened, table.place, strength)
    residuals = _residuals(table, happened, edges, choice)
    law = Law(low, high, atom, event, dataclasses.replace(residuals, stretch=stretch))
    threshold = best_threshold(p, happened) if atom is not None else 0.5
    return law, threshold, report


def _parts(fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Masks of the pixels to fit to and to predict; with one fold both are all pixels."""
    for number in range(int(fold.max()) + 1):
        here = fold == number
        yield (here, here) if here.all() else (~here, here)


def _choose_event(table: Pixels, happened: np.ndarray, fold: np.ndarray) -> tuple[float, np.ndarray]:
    """Strength with the smallest logarithmic loss, and the probabilities out of fold."""
    found = []
    for strength in STRENGTHS[1:2] if fold.max() == 0 else STRENGTHS:
        p = np.empty(len(table))
        for fit, predict in _parts(fold):
            model = fit_event(table.features.take(fit), happened[fit], table.place[fit], strength)
            p[predict] = model(table.features.take(predict))
        found.append((-float(np.log(np.where(happened, p, 1 - p)).mean()), strength, p))
    _, strength, p = min(found, key=lambda each: each[0])
    return strength, p


def _residuals(table: Pixels, happened: np.ndarray, edges: Any, choice: dict[str, Any], fit: Any = True) -> Any:
    """Residuals of the pixels with the event among `fit`."""
    here = happened & fit
    return fit_residuals(
        table.features.take(here), table.truth[here], table.place[here], edges, choice["depth"], choice["standardized"]
    )


def _choose_residuals(
    table: Pixels, happened: np.ndarray, fold: np.ndarray, p: np.ndarray, edges: Any, output: tuple[Any, Any, Any]
) -> dict[str, Any]:
    """The candidate with the smallest ranked probability score out of fold: twice the mean quantile loss."""
    low, high, atom = output
    depths = range(len(table.features.factors) + 3)
    spreads = (False, True) if np.ptp(table.features.spread) > 0 else (False,)
    candidates = []
    for depth, standardized in itertools.product([min(1, max(depths))] if fold.max() == 0 else depths, spreads):
        choice: dict[str, Any] = {"depth": int(depth), "standardized": standardized}
        total = 0.0
        for fit, predict in _parts(fold):
            law = Law(low, high, atom, None, _residuals(table, happened, edges, choice, fit))
            values = law.quantiles(table.features.take(predict), _LEVELS, p[predict])
            error = table.truth[predict] - values
            total += 2 * float((np.maximum(error, 0) - (1 - _LEVELS[:, None]) * error).mean(axis=0).sum())
        candidates.append({**choice, "crps": total / len(table)})
    best = min(candidates, key=lambda c: (round(c["crps"], 6), c["depth"]))
    return {**best, "crps_calibrated": best["crps"], "candidates": candidates}


def _choose_stretch(
    table: Pixels, happened: np.ndarray, fold: np.ndarray, p: np.ndarray, edges: Any, output: Any, choice: Any
) -> tuple[float, float]:
    """The smallest factor with 90 % in the central interval, in the mean over stretches, and what it covers."""
    low, high, atom = output
    parts = [
        (_residuals(table, happened, edges, choice, fit), table.features.take(here), table.truth[here], p[here])
        for fit, here in _parts(fold)
    ]

    def covered(stretch: float) -> float:
        found = []
        for residuals, features, truth, probability in parts:
            law = Law(low, high, atom, None, dataclasses.replace(residuals, stretch=stretch))
            found.append(shared_coverage(law.bounds(features, truth, probability)).mean())
        return float(np.mean(found))

    if fold.max() == 0:
        return 1.0, covered(1.0)
    first, last = 0, len(STRETCHES) - 1
    while first < last:  # coverage grows with the stretch
        middle = (first + last) // 2 if first else 0
        if covered(STRETCHES[middle]) >= 0.9:
            last = middle
        else:
            first = middle + 1
    return STRETCHES[first], covered(STRETCHES[first])


def shared_coverage(bounds: np.ndarray, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Whether the truth lies in the central interval, (pixel,): the share of [P(X < y), P(X <= y)] that does."""
    below, upto = bounds
    width = upto - below
    inside = np.clip(upto, low, high) - np.clip(below, low, high)
    return np.where(width > 1e-9, inside / np.maximum(width, 1e-9), (below >= low) & (below <= high))


def best_threshold(probability: np.ndarray, happened: np.ndarray) -> float:
    """The threshold with the best Dice score, as the module says; 0.5 where nothing happened."""
    if not happened.any():
        return 0.5
    order = np.argsort(-probability, kind="stable")
    sure, hits = probability[order], np.cumsum(happened[order])
    dice = 2 * hits / (np.arange(1, len(order) + 1) + happened.sum())
    last = np.append(sure[1:] < sure[:-1], True)  # a threshold takes all pixels of one probability
    dice, sure = dice[last], sure[last]
    good = dice >= dice.max() - 0.002
    return float(sure[good][np.argmin(np.abs(sure[good] - dice.max() / 2))])
