"""The end of a sweep: ranked table, figure, the best model retrained, scored beside the baselines and exported."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import InputError
from cloudkeras.training import Run, RunConfig, TrainingDivergedError, train
from cloudkeras.training.checkpoint import write_text
from tuning.figure import draw_trials
from tuning.search_space import Space, configuration
from tuning.trials import Row, write_tables


def finish(
    rows: Sequence[Row],
    space: Space,
    base: RunConfig,
    retrain: RunConfig,
    dataset: ShardDataset,
    out: Path,
    *,
    bootstrap: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Writes all results of a sweep whose trials are done; what is there already is not made again.

    Args:
        rows: Ranked trials.
        space: The parameters that were searched.
        base: What the trials share.
        retrain: The same for the best model, with its longer training.
        dataset: The shards.
        out: Folder of the sweep.
        bootstrap: Resamples of the intervals.
        seed: Seed of the resampling.
        say: Receives lines of progress.
    """
    monitor = str(base.monitor)
    table = write_tables(rows, monitor, out)
    draw_trials(rows, space, monitor, base.maximize, out / "trials.png")
    print(f"\n{table}")
    run = retrain_best(rows, retrain, out / "best", say)
    scores = score(run, dataset, out / "scores", bootstrap, seed, say)
    figures = draw_results(run, out, scores is not None)
    exported = export(run, out, say)
    report = _report(run, rows, table, scores, dataset, monitor)
    write_text(out / "report.md", report)
    print(f"\n{scores}\n" if scores else "")
    say(f"trials   {out / 'trials.md'}, {out / 'trials.csv'}, {out / 'trials.png'}")
    say(f"model    {run.path}")
    say(f"scores   {out / 'scores'}")
    if exported is not None:
        say(f"exported {exported}")
    say(f"figures  {', '.join(map(str, figures))}")
    say(f"report   {out / 'report.md'}")


def retrain_best(rows: Sequence[Row], retrain: RunConfig, folder: Path, say: Callable[[str], None]) -> Run:
    """Trains the best configuration for longer; if that diverges, the next best.

    A run in the folder of what was the best before more trials came is replaced.

    Raises:
        TrainingDivergedError: If all of them diverge.
    """
    usable = [row for row in rows if not row.failed]
    for row in usable:
        config = configuration(retrain, row.values).resolved()
        say(f"retraining trial {row.trial} for {config.epochs} epochs at most, in {folder}")
        stored = folder / "config.json"
        if stored.exists() and RunConfig.read(stored).differences(config):
            shutil.rmtree(folder)
        try:
            return train(config, folder)
        except TrainingDivergedError as error:
            say(f"trial {row.trial}: {error}")
            if row is usable[-1]:
                raise
    raise InputError("No trial came out, so there is none to retrain.")


def score(
    run: Run, dataset: ShardDataset, folder: Path, bootstrap: int, seed: int, say: Callable[[str], None]
) -> str | None:
    """Scores the run and the task's baselines on the same pixels of the test split, as `cloudkeras evaluate` does.

    Returns:
        The table in Markdown, or None where there is no test split.
    """
    if dataset.num_samples("test") == 0:
        say("no scores: the data have no test split")
        return None
    from cloudkeras.commands.evaluate import evaluation_task, fitted_baselines
    from cloudkeras.evaluation import evaluate

    say(f"scoring on {dataset.num_samples('test')} test samples")
    task = evaluation_task(dataset, [run], "auto")
    baselines = fitted_baselines(dataset, run.task, dataset.statistics, run.batch_size)
    methods: list[Any] = [run, *baselines]
    scores = evaluate(task, dataset, methods, split="test", bootstrap=bootstrap, seed=seed)
    scores.save(folder)
    return scores.to_markdown()


def draw_results(run: Run, out: Path, scored: bool) -> list[Path]:
    """Figures of the best model's training, and of the scores of all methods if there are any."""
    from cloudkeras.plotting import plot_history, plot_scores, save_figure

    figures = [save_figure(plot_history(run.path / "history.csv"), out / "history.png")]
    if scored:
        figures.append(save_figure(plot_scores(out / "scores"), out / "scores.png"))
    return figures


def export(run: Run, out: Path, say: Callable[[str], None]) -> Path | None:
    """Exports the run; on another backend than TensorFlow without the SavedModel, and says so."""
    from cloudkeras.export import export_run

    folder = out / "export"
    scores = out / "scores" / "scores.json"
    try:
        return export_run(run, folder, scores=scores if scores.exists() else None)
    except InputError as error:
        say(f"export: {error}")
        return folder if folder.exists() else None


def _report(run: Run, rows: Sequence[Row], table: str, scores: str | None, dataset: ShardDataset, monitor: str) -> str:
    progress = run.progress
    simulated = "simulated" if dataset.simulated else "observed"
    config = run.config
    lines = [
        f"# Sweep: {config.task}, {config.model}",
        "",
        f"{len(rows)} trials on {simulated} data ({dataset.path}). Score: best mean of three epochs in a row of "
        f"`{monitor}`, {'higher' if config.maximize else 'lower'} is better.",
        "",
        table,
        "![trials](trials.png)",
        "",
        f"The best was trained again for {progress.epoch} epochs: `{monitor}` {progress.best_value:.4g} at epoch "
        f"{progress.best_epoch}. Its configuration is in `best/config.json`.",
        "",
    ]
    if scores:
        lines += ["## Test split", "", scores]
    return "\n".join(lines)
