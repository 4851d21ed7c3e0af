"""Channel importance by retraining: a run for every subset of channels, and their Shapley values."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import ShardDataset
from ..datasets.pipeline import Batches
from ..errors import check, check_choice
from ..evaluation import Scores, evaluate
from ..evaluation.bootstrap import draws, group_sums, interval, replicate
from ..tasks import get_task
from ..training import Run, RunConfig, train
from ..training.monitoring import format_duration
from .importance import Importance
from .models import DeterministicMethod
from .permutation import score_unit
from .shapley import shapley_values, subsets

logger = logging.getLogger("cloudkeras")

# By task: the option that lists channels, and short names for what is switched.
PLAYERS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "blind_zone": (
        "context",
        {
            "t": ("temperature",),
            "q": ("specific_humidity",),
            "u": ("eastward_wind",),
            "v": ("northward_wind",),
        },
    ),
}


def retrain_subsets(
    config: RunConfig,
    out: str | Path,
    *,
    option: str | None = None,
    players: Mapping[str, Sequence[str]] | None = None,
    always: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    split: str = "test",
    batch_size: int = 8,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    group_by: str | float | None = None,
    limit: int | None = None,
) -> tuple[Importance, Scores]:
    """Trains a run for every subset of players and shares out, by Shapley, what all of them bring together.

    The value of a subset is the task's primary score of the runs trained with it (mean over `seeds`), all on the same
    pixels, Monte Carlo dropout off. What a player is worth is in units of that score; together they are worth the
    difference between all and none.

    Each run is a folder in `out/runs`; the same call after an interruption goes on where it stopped. Training differs
    from seed to seed, and with one seed the intervals, a bootstrap over groups of test samples, know nothing of that:
    take several seeds before reading much into small values.

    Args:
        config: What to train but for the channels.
        out: Folder of the runs and results.
        option: The task's option that lists channels; None takes that of `PLAYERS`.
        players: Names of channels that come and go together, by short name; None takes those of `PLAYERS`.
        always: Channels that all subsets have.
        seeds: Seeds of the trainings; None takes that of `config`.
        split: The split to score on.
        batch_size: Samples at once in scoring.
        bootstrap: Replicates, 0 for no intervals.
        confidence: Of the intervals.
        group_by: What the bootstrap draws; see `evaluation.sample_groups`.
        limit: Score this many samples, spread evenly over the split; None for all.

    Returns:
        The importance, and the scores of all runs.

    Raises:
        InputError: If the task cannot switch these channels, or a run cannot be trained.
        DataError: If the shards lack a variable.

    Reference: Shapley 1953; for retraining on subsets Lipovetsky and Conklin 2001, doi 10.1002/asmb.446; subsets of the
        ERA5 channels, King et al. 2024, AIES-D-23-0063.
    """
    out, dataset = Path(out), ShardDataset.open(Path(config.data))
    option, players = _players(config.task, option, players)
    seeds = (config.seed,) if seeds is None else tuple(seeds)
    check(len(seeds) > 0 and len(set(seeds)) == len(seeds), "`seeds` are different numbers.", seeds=seeds)
    check(config.initial_weights is None, "Networks of other channels cannot start from `initial_weights`.")
    configs = _configs(config, option, players, always, seeds)
    judge = configs[-1].make_task()
    for needed in ("train", "validation", split):
        Batches(dataset, judge, needed, batch_size)  # raises if the shards lack something, before any training
    runs = _train_all(configs, out / "runs")
    scores = evaluate(
        judge,
        dataset,
        [DeterministicMethod(run, batch_size) for run in runs],
        split=split,
        batch_size=batch_size,
        bootstrap=bootstrap,
        confidence=confidence,
        group_by=group_by,
        limit=limit,
    )
    return importance_of_runs(scores, list(players), seeds, confidence), scores


def subset_name(subset: frozenset[str], players: Sequence[str]) -> str:
    """Its players joined by "+", "none" for none."""
    return "+".join(p for p in players if p in subset) or "none"


def _players(
    task: str, option: str | None, players: Mapping[str, Sequence[str]] | None
) -> tuple[str, dict[str, tuple[str, ...]]]:
    known = PLAYERS.get(task)
    check(
        (option is not None and players is not None) or known is not None,
        f"For the task '{task}' name the option that lists channels, and the players; known are those of "
        f"{', '.join(PLAYERS)}.",
    )
    if known is not None:
        option, players = option or known[0], players or known[1]
    assert option is not None and players is not None
    check_choice(option, sorted(get_task(task).input_options), "option")
    members = [name for names in players.values() for name in names]
    check(
        all(len(names) > 0 for names in players.values()) and len(set(members)) == len(members),
        "Each of the `players` has channels, and each channel one player.",
        players={name: list(names) for name, names in players.items()},
    )
    subsets(list(players))
    return option, {name: tuple(names) for name, names in players.items()}


def _configs(
    config: RunConfig, option: str, players: Mapping[str, Sequence[str]], always: Sequence[str], seeds: Sequence[int]
) -> list[RunConfig]:
    """Configurations of all runs, the subset of all players last; each is checked before any is trained."""
    configs = []
    for subset in subsets(list(players)):
        channels = [*always, *(name for player in players if player in subset for name in players[player])]
        for seed in seeds:
            changed = dataclasses.replace(
                config,
                task_options={**config.task_options, option: channels},
                seed=seed,
                name=run_name(subset, list(players), seed),
            )
            changed.make_task()
            configs.append(changed)
    return configs


def run_name(subset: frozenset[str], players: Sequence[str], seed: int) -> str:
    """Name of a run and of its folder."""
    return f"{subset_name(subset, players)}-seed{seed}"


def _train_all(configs: Sequence[RunConfig], folder: Path) -> list[Run]:
    runs, trained, began = [], 0, time.monotonic()
    for number, config in enumerate(configs, 1):
        path = folder / str(config.name)
        done = (path / "summary.json").exists()
        left = ""
        if trained:
            seconds = (time.monotonic() - began) / trained * (len(configs) - number + 1)
            left = f", about {format_duration(seconds)} left"
        logger.info("run %d of %d: %s%s%s", number, len(configs), config.name, " is there" if done else "", left)
        runs.append(train(config, path))
        trained += not done
    return runs


def importance_of_runs(scores: Scores, players: Sequence[str], seeds: Sequence[int], confidence: float) -> Importance:
    """Shapley values from scores of runs named by `run_name`."""
    metrics, primary = scores.metrics, scores.metrics.primary
    sign = 1.0 if metrics.higher_is_better(primary) else -1.0
    counts = draws(scores.num_groups, scores.bootstrap, scores.seed)

    def replicates(name: str) -> np.ndarray | None:
        return replicate(metrics, group_sums(scores.statistics[name], scores.groups), counts).get(primary)

    every = subsets(players)
    names = {s: [run_name(s, players, seed) for seed in seeds] for s in every}
    by_run = {s: np.array([scores.values[name][primary] for name in names[s]]) for s in every}
    drawn: dict[frozenset[str], Any] = {s: [replicates(name) for name in names[s]] for s in every}
    with_intervals = all(r is not None for found in drawn.values() for r in found)
    means = {s: np.mean(drawn[s], axis=0) for s in every} if with_intervals else None
    if means is not None:
        finite = np.all([np.isfinite(r) for r in means.values()], axis=0)
        means = {s: r[finite] for s, r in means.items()}
    values = shapley_values({tuple(s): sign * v for s, v in by_run.items()})
    spread = None if means is None else shapley_values({tuple(s): sign * r for s, r in means.items()})
    return Importance(
        method="shapley",
        score=primary,
        units=score_unit(metrics),
        higher_is_better=sign > 0,
        values={
            p: interval(float(values[p].mean()), None if spread is None else spread[p], confidence) for p in players
        },
        by_seed={p: [float(v) for v in values[p]] for p in players},
        scores={
            subset_name(s, players): interval(float(by_run[s].mean()), None if means is None else means[s], confidence)
            for s in every
        },
        confidence=confidence,
        simulated=scores.simulated,
        provenance={**scores.provenance, "seeds": list(seeds)},
    )
