"""Score the uncertainty of runs, before and after calibration on validation data."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, check
from .evaluate import base_task, distinct_names, fitted_baselines
from .train import show_progress

if TYPE_CHECKING:
    from ..datasets import ShardDataset
    from ..tasks import Task

logger = logging.getLogger("cloudkeras")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras uncertainty`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores and figures")
    parser.add_argument("--members", type=int, default=50, help="members of each method (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the members and of the bootstrap (default: 0)")
    parser.add_argument(
        "--calibrate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit a calibration on the validation split, score with and without it, and keep it as calibration.json in "
        "the run's folder; --no-calibrate uses one that is there (default: yes)",
    )
    parser.add_argument("--calibration-out", type=Path, help="folder for the calibrations instead, one file a run")
    parser.add_argument("--ensemble", action="store_true", help="all runs as one deep ensemble as well")
    parser.add_argument("--split", default="test", help="split to score: train, validation or test (default: test)")
    parser.add_argument(
        "--baselines",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="score the methods that no network learns as well; with calibration also what their residuals on the "
        "validation split make of them (default: yes)",
    )
    parser.add_argument("--batch-size", type=int, default=4, help="samples at once (default: 4)")
    parser.add_argument("--limit", type=int, help="use this many samples of the split (default: all)")
    parser.add_argument("--pixels", type=int, default=60_000, help="pixels to calibrate with, about (default: 60000)")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates, 0 for no intervals (default: 1000)")
    parser.add_argument(
        "--figures", choices=("png", "pdf", "svg", "none"), default="png", help="kind of the figures (default: png)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Calibrates, scores, draws, prints the tables and says where they are."""
    from ..datasets import ShardDataset
    from ..evaluation import evaluate
    from ..training import load_run
    from ..uncertainty import DeepEnsemble

    show_progress()
    check(arguments.members >= 1, "`--members` is at least 1.", members=arguments.members)
    dataset = ShardDataset.open(arguments.data)
    runs = distinct_names([load_run(path) for path in arguments.runs])
    task = base_task(dataset, runs, {})
    check(task.kind == "regression", "The uncertainty of classes is not scored by this command.", task=task.name)
    sources: list[Any] = [*runs, DeepEnsemble(runs)] if arguments.ensemble else list(runs)
    methods = []
    for source in sources:
        methods += _methods(source, dataset, arguments)
    if arguments.baselines:
        dressed: dict[str, Any] = {}
        for baseline in fitted_baselines(dataset, runs[0].task, dataset.statistics, arguments.batch_size):
            methods += _baselines(baseline, dataset, runs[0].task, arguments, dressed)
    scores = evaluate(
        task,
        dataset,
        methods,
        split=arguments.split,
        batch_size=arguments.batch_size,
        bootstrap=arguments.bootstrap,
        seed=arguments.seed,
        limit=arguments.limit,
        kind="members",
    )
    paths = scores.save(arguments.out)
    print(scores.to_markdown())
    for name, path in paths.items():
        print(f"{name:8} {path}")
    if arguments.figures != "none":
        _draw(scores, arguments.out / "figures", arguments.figures)


def _methods(source: Any, dataset: ShardDataset, arguments: argparse.Namespace) -> list[Any]:
    """A run or ensemble as it is, and calibrated."""
    from ..uncertainty import EnsembleMethod, calibration_of, fit_calibration

    if getattr(source, "stochastic", True):
        plain = EnsembleMethod(source, arguments.members, arguments.seed)
    else:
        logger.info("%s always says the same: one member, no spread", source.name)
        plain = EnsembleMethod(source, 1)
    calibration = calibration_of(source)
    if arguments.calibrate:
        logger.info("calibrating %s on the validation split of %s", source.name, dataset.path)
        calibration = fit_calibration(
            plain, dataset, pixels=arguments.pixels, batch_size=arguments.batch_size, seed=arguments.seed
        )
        _keep(calibration, source, arguments)
    if calibration is None:
        return [plain]
    name = f"{source.name}, calibrated"
    return [plain, EnsembleMethod(source, arguments.members, arguments.seed, "median", calibration, name)]


def _keep(calibration: Any, source: Any, arguments: argparse.Namespace) -> None:
    from ..uncertainty.calibration import FILE_NAME

    own = Path(source.path) if isinstance(source.path, Path) else arguments.out / source.name
    if arguments.calibration_out is not None:
        own = arguments.calibration_out / source.name.replace("/", "_")
    path = calibration.save(own / FILE_NAME)
    report = calibration.report
    print(
        f"{source.name}: score {report['crps_members']:.3g} of the members, {report['crps_calibrated']:.3g} calibrated "
        f"(cross-validated on {report['pixels']:,} pixels of {report['stretches']} stretches), kept in {path}"
    )
    if report["crps_calibrated"] > report["crps_members"]:
        logger.warning("%s: calibration did not help on the validation split", source.name)


def _baselines(
    baseline: Any, dataset: ShardDataset, task: Task, arguments: argparse.Namespace, dressed: dict[str, Any]
) -> list[Any]:
    """A baseline as it is, one member, and dressed by its residuals on the validation split.

    Of constants only the first is dressed: by their residuals they all become the same. `dressed` holds what is.
    """
    from ..uncertainty import EnsembleMethod, fit_calibration

    plain = EnsembleMethod(baseline, 1, task=task)
    if not arguments.calibrate:
        return [plain]
    try:
        calibration = fit_calibration(
            plain, dataset, pixels=arguments.pixels, batch_size=arguments.batch_size, seed=arguments.seed
        )
    except InputError as error:
        logger.warning("%s is not dressed: %s", baseline.name, error)
        return [plain]
    if calibration.report["constant"] and any(each.report["constant"] for each in dressed.values()):
        return [plain]
    dressed[baseline.name] = calibration
    name = f"{baseline.name}, dressed"
    return [plain, EnsembleMethod(baseline, arguments.members, arguments.seed, "median", calibration, name, task)]


def _draw(scores: Any, folder: Path, kind: str) -> None:
    from ..plotting import save_figure
    from ..plotting.uncertainty import uncertainty_figures

    for name, figure in uncertainty_figures(scores).items():
        print(f"figure   {save_figure(figure, folder / f'{name}.{kind}')}")
