"""Running the trials of a sweep, one run folder each, and the record that they leave."""

from __future__ import annotations

import csv
import gc
import io
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from cloudkeras.training import RunConfig, TrainingDivergedError, train
from cloudkeras.training.checkpoint import read_progress, write_json, write_text
from cloudkeras.training.config import read_json_object
from cloudkeras.training.monitoring import format_duration
from tuning.oracle import SweepOracle, is_failed, robust_score
from tuning.search_space import configuration

logger = logging.getLogger("cloudkeras")

STARTS_BEFORE_GIVING_UP = 3


class SweepTuner(BaseTuner):
    """Runs each trial through `cloudkeras.training.train`, so that a sweep trains as a user does.

    Early stopping is that of the recipe, within the trial. A trial that was interrupted continues from its own state.
    One that diverges, runs out of memory, or ends its process three times without finishing another epoch is marked as
    failed and gets a finite penalty. Anything else that goes wrong ends the sweep with its error.

    Args:
        oracle: What proposes the trials.
        base: What all runs share.
        folder: Where the trials go.
        say: Receives lines of progress.
    """

    def __init__(self, oracle: SweepOracle, base: RunConfig, folder: Path, say: Callable[[str], None]):
        self.base, self.folder, self.say = base, folder, say
        self.seconds: list[float] = []
        super().__init__(oracle=oracle, directory=str(folder.parent), project_name=folder.name)

    def save(self) -> None:
        """Nothing to do: the oracle's files are the state."""

    def on_search_begin(self) -> None:
        self.oracle.reload()
        done, total = len(self.oracle.end_order), self.oracle.max_trials
        if self.oracle.trials:
            self.say(f"continuing after {done} of {total} trials")

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> dict[str, float]:
        folder = self.folder / f"trial_{trial.trial_id}"
        point = dict(trial.hyperparameters.values)
        number, total = self.oracle.start_order.index(trial.trial_id) + 1, self.oracle.max_trials
        self.say(f"trial {trial.trial_id} ({number} of {total}): " + ", ".join(f"{k}={v}" for k, v in point.items()))
        begin = time.monotonic()
        result = self._run(folder, point)
        self.seconds.append(time.monotonic() - begin)
        self._report(trial.trial_id, total - number, result)
        return {"score": result["score"], "failed": float(result["failed"] is not None)}

    def _run(self, folder: Path, point: Mapping[str, Any]) -> dict[str, Any]:
        record = folder / "result.json"
        if record.exists():
            return read_json_object(record)
        config = configuration(self.base, point)
        failed, history = self._train(config, folder)
        score = self.oracle.penalty_score()
        if failed is None:
            score = robust_score([row[str(config.monitor)] for row in history], config.maximize)
        result = {"score": score, "failed": failed, "epochs": len(history), "history": history}
        write_json(record, result)
        # The optimizer's state is not needed again; the best model stays.
        shutil.rmtree(folder / "run" / "checkpoints", ignore_errors=True)
        return result

    def _train(self, config: RunConfig, folder: Path) -> tuple[str | None, list[dict[str, float]]]:
        """Trains in `folder / "run"`: what failed, or None, and the history."""
        state = folder / "run" / "checkpoints" / "state.npz"
        failed = None
        if not (folder / "run" / "summary.json").exists() and _count_start(folder, read_progress(state).epoch):
            return f"its process ended {STARTS_BEFORE_GIVING_UP} times", []
        try:
            train(config, folder / "run")
        except TrainingDivergedError as error:
            failed = f"diverged: {error}"
        except Exception as error:
            if not is_out_of_memory(error):
                raise keras_tuner.errors.FatalError(str(error)) from error
            failed = "out of memory"
        finally:
            keras.backend.clear_session(free_memory=True)
            gc.collect()
        return failed, read_progress(state).history

    def _report(self, trial_id: str, remaining: int, result: Mapping[str, Any]) -> None:
        best = [t for t in self.oracle.trials.values() if t.score is not None and not is_failed(t)]
        scores = [t.score for t in best] + ([] if result["failed"] else [result["score"]])
        better = max if self.oracle.objective.direction == "max" else min
        left = sum(self.seconds) / len(self.seconds) * remaining
        outcome = f"FAILED ({result['failed']})" if result["failed"] else f"score {result['score']:.4g}"
        best_text = f"best so far {better(scores):.4g}" if scores else "none has come out yet"
        self.say(
            f"trial {trial_id}: {outcome} after {result['epochs']} epochs, {best_text}, {format_duration(left)} left"
        )


def _count_start(folder: Path, epoch: int) -> bool:
    """Counts the starts of a trial at one epoch; True when it has been started too often."""
    path = folder / "starts.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    starts = known["starts"] + 1 if known.get("epoch") == epoch else 1
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {"epoch": epoch, "starts": starts})
    return starts > STARTS_BEFORE_GIVING_UP


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that memory of the host or the device ran out."""
    for e in _chain(error):
        text = f"{type(e).__name__}: {e}".lower()
        if isinstance(e, MemoryError) or any(s in text for s in _MEMORY_WORDS):
            return True
    return False


_MEMORY_WORDS = ("resourceexhausted", "resource_exhausted", "out of memory", "outofmemory", "oom when allocating")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@dataclass(frozen=True)
class Row:
    """One line of the ranked table."""

    rank: int
    trial: str
    score: float
    failed: str
    epochs: int
    values: dict[str, Any]


def ranked(oracle: SweepOracle, folder: Path) -> list[Row]:
    """All trials, best first, the failed ones last."""
    sign = -1 if oracle.objective.direction == "max" else 1
    trials = [t for t in oracle.trials.values() if t.status == "COMPLETED"]
    trials.sort(key=lambda t: (is_failed(t), sign * t.score, t.trial_id))
    rows = []
    for rank, trial in enumerate(trials, 1):
        result = read_json_object(folder / f"trial_{trial.trial_id}" / "result.json")
        failed = (result["failed"] or "").split(":")[0]
        values = dict(trial.hyperparameters.values)
        rows.append(Row(rank, trial.trial_id, trial.score, failed, result["epochs"], values))
    return rows


def write_tables(rows: Sequence[Row], score_name: str, out: Path) -> str:
    """Writes `trials.csv` and `trials.md`; returns the Markdown."""
    parameters = list(rows[0].values)
    header = ["rank", "trial", score_name, "epochs", "failed", *parameters]
    table = [
        [r.rank, r.trial, math.nan if r.failed else r.score, r.epochs, r.failed, *(r.values[p] for p in parameters)]
        for r in rows
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *table])
    write_text(out / "trials.csv", text.getvalue())
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(v) for v in row) + " |" for row in table]
    markdown = "\n".join(lines) + "\n"
    write_text(out / "trials.md", markdown)
    return markdown


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)
