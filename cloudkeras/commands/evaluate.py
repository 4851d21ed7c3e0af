"""Score runs and baselines on the same pixels: tables with named averages and bootstrap intervals."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, check
from .train import parse_settings, show_progress

if TYPE_CHECKING:
    from ..datasets import ShardDataset
    from ..evaluation import Scores
    from ..tasks import Task

logger = logging.getLogger("cloudkeras")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras evaluate`."""
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folder of a run; none scores the baselines")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores.json, scores.md and scores.npz")
    parser.add_argument("--split", default="test", help="train, validation or test (default: test)")
    parser.add_argument(
        "--labels",
        choices=("auto", "track", "dense"),
        default="auto",
        help="cloud_phase: labels on the track or everywhere (default: auto, everywhere if the shards hold them)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="task.NAME=VALUE",
        help="judge by another option of the task than the first run's, e.g. task.blind_rows=10 for runs that were "
        "trained over a range of blind zones",
    )
    parser.add_argument(
        "--baselines",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="score the methods that no network learns as well (default: yes)",
    )
    parser.add_argument(
        "--baseline-data", type=Path, help="shards whose training split the baselines are fitted to (default: --data)"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="samples at once (default: 8)")
    parser.add_argument("--limit", type=int, help="use this many samples of the split (default: all)")
    add_interval_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument(
        "--reference", default="", help="method that the others are compared with (default: best baseline)"
    )
    parser.add_argument(
        "--figures",
        nargs="?",
        const="png",
        choices=("png", "pdf", "svg"),
        help="draw the scores into OUT/figures, as files of that kind (default: png); blind_zone and meltwater: also "
        "cases, kept in OUT/cases.npz",
    )
    _add_point_options(parser)


def _add_point_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--members",
        type=int,
        default=20,
        help="members by which the spread of runs with Monte Carlo dropout is found in the cases, 0 for none, and "
        "whose mean or median `--point` scores, if no calibration says how many (default: 20)",
    )
    parser.add_argument(
        "--point",
        choices=("pass", "mean", "median"),
        default="pass",
        help="what a run with Monte Carlo dropout, or with a calibration.json (`cloudkeras uncertainty`), says: one "
        "pass (default), or mean or median of its members; recalibrated, the median comes with a decision between the "
        "event (echo) and none",
    )
    parser.add_argument(
        "--calibrated",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="use the calibration.json of a run with `--point` mean or median (default: yes)",
    )


def add_interval_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of bootstrap intervals, for all commands that score."""
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates, 0 for no intervals (default: 1000)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the intervals (default: 0.95)")
    parser.add_argument(
        "--group-by",
        type=_group,
        help="what the bootstrap draws: granule, sample, or seconds of a block (default: granules for images, "
        "blocks of an hour or a window's length for curtains, of 7 days for meltwater)",
    )


def _group(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def run(arguments: argparse.Namespace) -> None:
    """Scores, prints the tables and says where they are."""
    from ..datasets import ShardDataset
    from ..evaluation import ErrorMaps, evaluate
    from ..training import load_run

    check(
        len(arguments.runs) > 0 or arguments.baselines, "There is nothing to score: name a run, or leave the baselines."
    )
    show_progress()
    dataset = ShardDataset.open(arguments.data)
    runs = distinct_names([load_run(path) for path in arguments.runs])
    settings = parse_settings(arguments.set)
    check(set(settings) <= {"task_options"}, "`--set` takes task.NAME=VALUE here.", set=arguments.set)
    options = settings.get("task_options", {})
    task = evaluation_task(dataset, runs, arguments.labels, options)
    methods: list[Any] = [point_method(one, arguments) for one in runs]
    if arguments.baselines:
        source = dataset if arguments.baseline_data is None else ShardDataset.open(arguments.baseline_data)
        fitted = base_task(dataset, runs, options) if runs else task
        methods += fitted_baselines(source, fitted, dataset.statistics, arguments.batch_size)
    errors = ErrorMaps() if arguments.figures and task.windows() is not None else None
    scores = evaluate(
        task,
        dataset,
        methods,
        watch=errors,
        split=arguments.split,
        batch_size=arguments.batch_size,
        bootstrap=arguments.bootstrap,
        seed=arguments.seed,
        group_by=arguments.group_by,
        reference=arguments.reference,
        confidence=arguments.confidence,
        limit=arguments.limit,
    )
    paths = scores.save(arguments.out)
    print(scores.to_markdown())
    for name, path in paths.items():
        print(f"{name:8} {path}")
    if arguments.figures:
        draw(scores, task, dataset, methods, arguments.out, arguments.figures, arguments.members, errors)


def draw(
    scores: Scores,
    task: Task,
    dataset: ShardDataset,
    methods: list[Any],
    out: Path,
    kind: str,
    members: int,
    errors: Any = None,
) -> None:
    """Draws all figures of the task into OUT/figures, its cases and errors with them, and says where they are."""
    from ..evaluation import CASES
    from ..plotting import save_figure
    from ..plotting.evaluation import ERROR_FIGURES, save_evaluation_figures

    cases: Any = None
    ranked = sorted(methods, key=lambda method: scores.methods.index(method.name))
    if scores.task in CASES:
        cases = CASES[scores.task](scores, task, dataset, ranked, members=members)
        print(f"{'cases':8} {cases.save(out / 'cases.npz')}")
    for path in save_evaluation_figures(scores, out / "figures", cases, kind=kind):
        print(f"{'figure':8} {path}")
    if errors is not None and scores.task in ERROR_FIGURES:
        figure = ERROR_FIGURES[scores.task](
            errors,
            methods=[method.name for method in ranked][:5],
            land=cases.land,
            altitude=dataset.static("surface_altitude"),
            pixel_km=cases.pixel_km,
            simulated=dataset.simulated,
        )
        print(f"{'figure':8} {save_figure(figure, out / 'figures' / f'error_maps.{kind}')}")


def point_method(run: Any, arguments: argparse.Namespace) -> Any:
    """The run, or what `--point` makes of its members."""
    from ..uncertainty import EnsembleMethod, calibration_of

    if arguments.point == "pass":
        return run
    calibration = calibration_of(run) if arguments.calibrated else None
    if calibration is None and not run.stochastic:
        return run
    members = max(1, arguments.members) if calibration is None else calibration.members
    return EnsembleMethod(run, members, arguments.seed, arguments.point, calibration)


def distinct_names(runs: list[Any]) -> list[Any]:
    """Runs that share a name are named by their folder.

    Raises:
        InputError: If one folder is named twice.
    """
    folders = [run.path.resolve() for run in runs]
    check(len(set(folders)) == len(folders), "A run is named once.", runs=[str(run.path) for run in runs])
    often = Counter(run.name for run in runs)
    return [run if often[run.name] == 1 else dataclasses.replace(run, name=str(run.path)) for run in runs]


def base_task(dataset: ShardDataset, runs: list[Any], options: Mapping[str, Any]) -> Task:
    """The task of the first run, or of the shards, with the options that the user has set.

    Raises:
        InputError: If a run is for another task than the shards, or there is no such option.
    """
    from ..tasks import get_task

    for run in runs:
        check(
            run.task.name == dataset.task_name,
            f"The run {run.path} is for task '{run.task.name}', the shards in {dataset.path} are for "
            f"'{dataset.task_name}'. Score a run on shards of its task.",
        )
    known = runs[0].task.options() if runs else dict(dataset.task_options)
    return get_task(dataset.task_name, **{**known, **options})


def evaluation_task(
    dataset: ShardDataset, runs: list[Any], labels: str, options: Mapping[str, Any] | None = None
) -> Task:
    """The task by whose labels all methods are judged: `base_task` with those labels.

    Raises:
        InputError: As `base_task`, or if the task has no such choice of labels.
    """
    from ..tasks import get_task

    task = base_task(dataset, runs, options or {})
    if not hasattr(task, "labels"):
        check(labels == "auto", f"The task '{task.name}' has no choice of `--labels`.", labels=labels)
        return task
    if labels == "auto":
        labels = "dense" if "phase_dense" in dataset.manifest.variables else "track"
    return get_task(task.name, **{**task.options(), "labels": labels})


def fitted_baselines(dataset: ShardDataset, task: Task, statistics: Any, batch_size: int) -> list[Any]:
    """The task's baselines, fitted to the labels that the runs were trained on.

    Inputs are normalized by `statistics`, those of the shards that are scored. A baseline that brings its own task
    (`method.task`) is left out, with a line in the log, where the shards lack a variable that it needs.
    """
    from ..baselines import baselines_for
    from ..datasets import Batches

    if dataset.num_samples("train") == 0:
        raise InputError(
            f"The baselines are fitted to a training split, and that of {dataset.path} is empty. Name shards that have "
            "one with --baseline-data, or use --no-baselines."
        )
    fitted = []
    for method in baselines_for(task):
        its_task = getattr(method, "task", None) or task
        missing = [name for name in its_task.read_names() if name not in dataset.manifest.variables]
        if missing and its_task is not task:
            logger.info("baseline %s left out: %s holds no %s", method.name, dataset.path, ", ".join(missing))
            continue
        fitted.append(method.fit(Batches(dataset, its_task, "train", batch_size, statistics=statistics), statistics))
    return fitted
