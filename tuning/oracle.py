"""KerasTuner's Bayesian optimization, mended: seed 0, no point twice, finite penalties, state that survives a kill."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.engine import trial as kt_trial

from cloudkeras.errors import DataError
from cloudkeras.training.checkpoint import write_json
from tuning.search_space import Point, Space, neighbours, size_of

ENUMERATE_UP_TO = 4096
RANDOM_CANDIDATES = 2048


class SweepOracle(keras_tuner.oracles.BayesianOptimizationOracle):
    """Gaussian process with a lower confidence bound over a finite space.

    What differs from KerasTuner 1.4.8, and why:

    - The seed is honoured, 0 too, and each suggestion is a function of seed and tried points alone.
    - No point is suggested twice: the acquisition is minimized over points not tried; without any the search ends.
    - A failed trial is kept as "worst finite score + margin" and the margin follows the scores, so that the Gaussian
      process learns to stay away (KerasTuner leaves NaN out and takes infinity for 0, the best there is).
    - Names of losses and optimizers have one axis each, since they have no order.
    - The state is one file a trial, each replaced in one step; an interrupted trial is run again first.

    Args:
        space: The parameters.
        maximize: Whether a larger score is better.
        max_trials: Trials in all.
        initial_points: Random points before the Gaussian process takes over.
        seed: Seed of the search.
        beta: Weight of the uncertainty in the confidence bound.
    """

    def __init__(
        self, space: Space, *, maximize: bool, max_trials: int, initial_points: int, seed: int, beta: float = 2.6
    ):
        parameters = keras_tuner.HyperParameters()
        for p in space:
            if len(p.values) == 1:
                parameters.Fixed(p.name, p.values[0])
            else:
                ordered = p.ordered if not isinstance(p.values[0], str) else None
                parameters.Choice(p.name, list(p.values), default=p.default or p.values[0], ordered=ordered)
        super().__init__(
            objective=keras_tuner.Objective("score", "max" if maximize else "min"),
            max_trials=max_trials,
            num_initial_points=initial_points,
            # Scores of short trainings vary by a few percent from seed to seed; they are normalized to unit variance.
            alpha=1e-2,
            beta=beta,
            seed=seed,
            hyperparameters=parameters,
            tune_new_entries=False,
            allow_new_entries=False,
        )
        self.space = space
        self.seed = self._seed_state = seed
        self.gpr = self._make_gpr()
        self.verbose = 0

    def _make_gpr(self) -> Any:
        """KerasTuner's kernel with fewer restarts: a search of a few dozen points takes a moment."""
        gpr = super()._make_gpr()
        gpr.n_restarts_optimizer = 4
        return gpr

    # The state: trial.json of each trial, nothing else.

    def save(self) -> None:
        """Nothing to do: `_save_trial` has written everything."""

    def _save_trial(self, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self) -> None:
        """Takes up the trials of the project folder; those that did not end are run again first."""
        for path in sorted(Path(self._project_dir).glob("trial_*/trial.json")):
            try:
                trial = kt_trial.Trial.load(str(path))
            except (ValueError, KeyError) as error:
                raise DataError(path, expected="a trial of this sweep", found=str(error)) from error
            self.trials[trial.trial_id] = trial
            self.start_order.append(trial.trial_id)
            self._record_values(trial)
            if trial.status == kt_trial.TrialStatus.COMPLETED:
                self.end_order.append(trial.trial_id)
            else:
                self._retry_queue.insert(0, trial.trial_id)

    # The search.

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next point: random at first, then where the confidence bound is best; STOPPED when all are tried."""
        rng = np.random.default_rng([self.seed, len(self.trials)])
        done = [t for t in self.trials.values() if t.status == kt_trial.TrialStatus.COMPLETED]
        candidates = self._untried(rng, self._best_point(done))
        if not candidates:
            return {"status": kt_trial.TrialStatus.STOPPED, "values": None}
        if len(done) < self.num_initial_points:
            values = candidates[int(rng.integers(len(candidates)))] if len(self.trials) else self._first(candidates)
        else:
            values = self._suggest(done, candidates)
        return {"status": kt_trial.TrialStatus.RUNNING, "values": values}

    def _first(self, candidates: list[Point]) -> Point:
        """The defaults: what one would take without a search."""
        defaults = {p.name: p.values[0] if p.default is None else p.default for p in self.space}
        return defaults if not self._duplicate(defaults) else candidates[0]

    def _suggest(self, done: Sequence[Any], candidates: list[Point]) -> Point:
        with warnings.catch_warnings():
            # Length scales at their bounds are the rule with a handful of points, and no mistake of the user's.
            warnings.simplefilter("ignore")
            self.gpr.fit(np.array([self.encode(t.hyperparameters.values) for t in done]), self.costs(done))
            mean, deviation = self.gpr.predict(np.array([self.encode(c) for c in candidates]), return_std=True)
        return candidates[int(np.argmin(mean - self.beta * deviation))]

    def encode(self, values: Point) -> list[float]:
        """Coordinates of a point for the Gaussian process."""
        return list(itertools.chain.from_iterable(p.encode(values[p.name]) for p in self.space))

    def costs(self, trials: Sequence[Any]) -> np.ndarray:
        """Scores to minimize; failed trials at the worst finite one and a margin of the spread of the scores."""
        sign = -1.0 if self.objective.direction == "max" else 1.0
        failed = np.array([is_failed(t) for t in trials])
        costs = np.array([sign * t.score for t in trials], np.float64)
        return np.where(failed, penalty_cost(costs[~failed]), costs)

    def penalty_score(self) -> float:
        """Score that a trial gets which fails now."""
        done = [t for t in self.trials.values() if t.status == kt_trial.TrialStatus.COMPLETED and not is_failed(t)]
        sign = -1.0 if self.objective.direction == "max" else 1.0
        return sign * penalty_cost(np.array([sign * t.score for t in done], np.float64))

    def _best_point(self, done: Sequence[Any]) -> Point | None:
        return done[int(np.argmin(self.costs(done)))].hyperparameters.values if done else None

    def _untried(self, rng: np.random.Generator, best: Point | None) -> list[Point]:
        """Points not tried yet: all of a small space, of a large one a random choice and the neighbours of the best."""
        if size_of(self.space) <= ENUMERATE_UP_TO:
            names = [p.name for p in self.space]
            grid = itertools.product(*(p.values for p in self.space))
            points = [dict(zip(names, values, strict=True)) for values in grid]
        else:
            draws = [rng.integers(len(p.values), size=RANDOM_CANDIDATES) for p in self.space]
            points = [
                {p.name: p.values[i] for p, i in zip(self.space, row, strict=True)} for row in zip(*draws, strict=True)
            ]
            points += list(neighbours(self.space, best)) if best else []
        return [p for p in points if not self._duplicate(p)]


def is_failed(trial: Any) -> bool:
    """Whether a trial diverged or ran out of memory, and has a penalty for a score."""
    return trial.metrics.exists("failed") and trial.metrics.get_last_value("failed") > 0


def penalty_cost(finite: np.ndarray) -> float:
    """Worst of the finite costs and their spread, or 10 % of it in size where there is no spread; 1 without any."""
    if not len(finite):
        return 1.0
    worst, spread = float(finite.max()), float(finite.max() - finite.min())
    return worst + (spread or 0.1 * abs(worst) or 1.0)


def robust_score(values: Sequence[float], maximize: bool, window: int = 3) -> float:
    """The best mean of `window` epochs in a row, which a single lucky epoch cannot make; of all, if there are fewer.

    Args:
        values: The monitored value of each epoch.
        maximize: Whether larger is better.
        window: Epochs of the mean.
    """
    width = min(window, len(values))
    means = [math.fsum(values[i : i + width]) / width for i in range(len(values) - width + 1)]
    return max(means) if maximize else min(means)
