"""Searches hyperparameters, retrains the best model, scores it beside the baselines and exports it.

    python tuning/sweep.py                                   simulated cloud scenes, a few minutes on two cores
    python tuning/sweep.py --task blind_zone --data DIR --max-trials 30 --epochs 100 --out DIR
    python tuning/sweep.py --task blind_zone --preset king2024 --data DIR --max-trials 50 --epochs 60 --out DIR
    python tuning/sweep.py --task meltwater                  one simulated season; --model deeplabv3plus for that net
    python tuning/sweep.py --resume ...                      goes on where the same sweep was interrupted

The score of a trial is the best mean of three epochs in a row of the monitored validation metric (macro F1, or MAE in
physical units), which one lucky epoch cannot make. Losses are not compared: they differ from trial to trial.
That holds for the published search as well: King et al. 2024 compare validation losses, which contain the L2 penalty
that is itself searched and the outputs of deep supervision; the MAE in dBZ is the same loss without both.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # run as a file: make `tuning` a package that can be imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from cloudkeras.cli import run_safely
from cloudkeras.commands.train import merged, parse_settings, show_progress
from cloudkeras.errors import InputError, check, check_choice
from cloudkeras.tasks import TASKS, Task, get_task
from cloudkeras.training.checkpoint import lock_folder, write_json
from cloudkeras.training.config import JIT_MODES, PRECISIONS, RunConfig, read_json_object
from cloudkeras.training.presets import preset

if TYPE_CHECKING:
    from cloudkeras.datasets import ShardDataset

DEFAULT_SAMPLES = 48
DEFAULT_SIZE = {"meltwater": 96}  # rows and columns; 48 for the others
MELTWATER_YEARS = (2018,)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0, or 2 for a user's mistake."""
    arguments = _parser().parse_args(argv)
    return run_safely(lambda: sweep(arguments))


def _parser() -> argparse.ArgumentParser:
    description, _, epilog = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="sweep.py", description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", choices=sorted(TASKS), help="default cloud_phase, or the preset's")
    add("--preset", metavar="NAME", help="published search space and training: king2024, king2024_era5")
    add("--data", type=Path, help="folder of shards; without it, data are simulated")
    add("--model", help="builder; by default the task's own")
    add("--max-trials", type=_positive, default=8, metavar="N", help="trials in all (default 8)")
    add("--epochs", type=_positive, default=8, metavar="N", help="most epochs of a trial (default 8)")
    add("--patience", type=_positive, default=4, metavar="N", help="epochs without a better score (default 4)")
    add("--retrain-epochs", type=_positive, metavar="N", help="most epochs of the best model (default 3 x epochs)")
    add("--seed", type=int, default=0, help="seed of search, training and simulation (default 0)")
    add("--out", type=Path, help="folder of the sweep (default sweeps/TASK-MODEL-SEED)")
    add("--resume", action="store_true", help="continue the sweep in --out if there is one")
    add("--space", choices=("auto", "small", "full"), default="auto", help="auto is full on an accelerator, else small")
    add("--initial-points", type=_positive, metavar="N", help="random trials first (default a third, at least 3)")
    add("--samples", type=_positive, metavar="N", help="samples to simulate; of meltwater one season is simulated")
    add("--size", type=_positive, metavar="PIXELS", help="rows and columns to simulate (default 48, of meltwater 96)")
    add("--batch-limit", type=_positive, metavar="N", help="batches of an epoch at most, in trials")
    add("--precision", choices=PRECISIONS, default="float32")
    add("--jit", choices=JIT_MODES, default="auto")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="fix an option of task, model or loss")
    add(
        "--bootstrap", type=_positive, default=1000, metavar="N", help="resamples of the final intervals (default 1000)"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text}")
    return value


def sweep(arguments: argparse.Namespace) -> None:
    """Runs the whole sweep; see the module.

    Raises:
        InputError: If an option is not valid, `--out` holds another sweep, or no trial came out.
    """
    published = _preset_fields(arguments)
    arguments.task = arguments.task or published.get("task", "cloud_phase")
    task_options = {**published.get("task_options", {}), **parse_settings(arguments.set).get("task_options", {})}
    task = get_task(arguments.task, **task_options)
    model = arguments.model or published.get("model") or task.default_model
    out = arguments.out or Path("sweeps") / f"{task.name}-{model}-{arguments.seed}"
    check(
        arguments.resume or not (out / "sweep.json").exists(),
        f"{out} holds a sweep. `--resume` continues it; or choose another `--out`.",
    )
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out):
        show_progress()
        logging.getLogger("cloudkeras").addFilter(SparseProgress())
        data = arguments.data or simulated_data(arguments, out)
        _search_and_finish(arguments, model, Path(data), out)


class SparseProgress(logging.Filter):
    """Lets a line about an epoch pass only every half minute; trials have lines of their own."""

    def __init__(self, seconds: float = 30.0):
        super().__init__()
        self.seconds, self.last = seconds, time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        if record.levelno > logging.INFO:
            return True
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


def simulated_data(arguments: argparse.Namespace, out: Path) -> Path:
    """Simulated shards in `out / "data"`, made once.

    Raises:
        InputError: If a number of samples is asked for of meltwater, whose samples are the days of a season.
    """
    folder = out / "data"
    if (folder / "manifest.json").exists():
        return folder
    partial = out / ".partial-data"
    shutil.rmtree(partial, ignore_errors=True)
    size = arguments.size or DEFAULT_SIZE.get(arguments.task, 48)
    if arguments.task == "meltwater":
        check(arguments.samples is None, "`--samples` does not go with `--task meltwater`.", samples=arguments.samples)
        _simulate_season(arguments.seed, size, out / "rasters", partial)
    else:
        from cloudkeras.datasets.synthetic import simulate

        samples = arguments.samples or DEFAULT_SAMPLES
        say(f"simulating {samples} samples of {size} x {size} in {folder}")
        jobs = max(1, min(2, os.cpu_count() or 1))
        simulate(arguments.task, partial, samples=samples, size=size, seed=arguments.seed, jobs=jobs)
    partial.rename(folder)
    return folder


def _simulate_season(seed: int, size: int, rasters: Path, shards: Path) -> None:
    """Rasters of one season of simulated meltwater, kept for maps, and shards of them."""
    from cloudkeras.datasets.synthetic import simulate
    from cloudkeras.ingest.meltwater import ingest_meltwater

    say(f"simulating the season of {MELTWATER_YEARS[0]}, {size} x {size} pixels, in {rasters}")
    simulate("meltwater", rasters, years=MELTWATER_YEARS, size=size, seed=seed)
    ingest_meltwater(rasters, shards)


def _preset_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a preset says of runs and the search leaves open; nothing without a preset.

    Epochs and patience are those of the sweep; the decays come at the published fractions of the epochs (0.9 and 0.95),
    which are the defaults.

    Raises:
        InputError: If there is no such preset, it is for another task, or another search space was asked for.
    """
    if arguments.preset is None:
        return {}
    from tuning.search_space import PRESET_SPACES

    check_choice(arguments.preset, sorted(PRESET_SPACES), "preset")
    check(arguments.space == "auto", "`--preset` names a search space; leave out `--space`.", space=arguments.space)
    fields = preset(arguments.preset, task=arguments.task, model=arguments.model)
    searched = {p.name for p in PRESET_SPACES[arguments.preset]}
    fields["model_options"] = {k: v for k, v in fields["model_options"].items() if k not in searched}
    return {k: v for k, v in fields.items() if k not in searched and k not in ("epochs", "patience", "decay_epochs")}


def _search_and_finish(arguments: argparse.Namespace, model: str, data: Path, out: Path) -> None:
    import keras_tuner

    from cloudkeras.datasets import ShardDataset
    from cloudkeras.training.environment import accelerators, device_name
    from tuning.finish import finish
    from tuning.oracle import SweepOracle
    from tuning.search_space import preset_space, search_space, size_of, without
    from tuning.trials import SweepTuner, ranked

    base = _base_configuration(arguments, model, data)
    dataset, task = ShardDataset.open(data), base.make_task()
    check(dataset.task_name == task.name, f"{data} holds shards of the task {dataset.task_name!r}.", task=task.name)
    images, samples = image_sizes(dataset, task), dataset.num_samples("train")
    if arguments.preset:
        size, space = arguments.preset, preset_space(arguments.preset, model, images, samples)
    else:
        size = arguments.space if arguments.space != "auto" else "full" if accelerators() else "small"
        space = search_space(task, model, images, samples, size, base.model_options)
    space = without(space, {**base.model_options, **({"depth": 0} if "filters" in base.model_options else {})})
    _remember(arguments, base, size, out)
    say(f"{task.name}, {model}, {dataset.num_samples('train')} training samples, on {device_name()}")
    say(f"searching {' '.join(p.name for p in space)}: {size_of(space)} points, {arguments.max_trials} trials")
    oracle = SweepOracle(
        space,
        maximize=base.maximize,
        max_trials=arguments.max_trials,
        initial_points=arguments.initial_points or max(3, arguments.max_trials // 3),
        seed=arguments.seed,
    )
    try:
        SweepTuner(oracle, base, out / "trials", say).search()
    except keras_tuner.errors.FatalError as error:  # only carries what stopped a trial past KerasTuner
        raise error.__cause__ or error from None
    rows = ranked(oracle, out / "trials")
    if not rows or rows[0].failed:
        raise InputError(f"No trial came out; see result.json of each in {out / 'trials'}. Try other `--set` or data.")
    if len(rows) < arguments.max_trials:
        say(f"the search space is exhausted after {len(rows)} trials")
    retrain = dataclasses.replace(
        base, epochs=arguments.retrain_epochs or 3 * arguments.epochs, patience=3 * arguments.patience, name=model
    )
    if arguments.batch_limit:
        retrain = dataclasses.replace(retrain, limit_train_batches=None)
    finish(rows, space, base, retrain, dataset, out, bootstrap=arguments.bootstrap, seed=arguments.seed, say=say)


def image_sizes(dataset: ShardDataset, task: Task) -> tuple[int | None, int | None]:
    """Rows and columns that a model must take; where a task cuts windows, what crops and tiles both divide by."""
    from cloudkeras.datasets.windows import fitted

    windows, shape = task.windows(), dataset.manifest.patch_shape
    if windows is None:
        return dataset.image_shape(task)
    windows = fitted(windows, shape)
    rows, columns = (math.gcd(*lengths) for lengths in zip(windows.crop, windows.tile, strict=True))
    return rows, columns


def _base_configuration(arguments: argparse.Namespace, model: str, data: Path) -> RunConfig:
    """What all runs of the sweep share, with the task's defaults written out."""
    own: dict[str, Any] = {
        "data": str(data.resolve()),
        "task": arguments.task,
        "model": model,
        "epochs": arguments.epochs,
        "patience": arguments.patience,
        "seed": arguments.seed,
        "precision": arguments.precision,
        "jit": arguments.jit,
        "limit_train_batches": arguments.batch_limit,
        **parse_settings(arguments.set),
    }
    return RunConfig.from_dict(merged(_preset_fields(arguments), own)).resolved()


def _remember(arguments: argparse.Namespace, base: RunConfig, size: str, out: Path) -> None:
    """Writes what the sweep is, or compares it with what is written; more trials are welcome."""
    from cloudkeras.training.environment import describe_environment

    environment = describe_environment(Path(base.data))
    settings = {"space": size, "initial_points": arguments.initial_points, **base.to_dict()}
    checksum = environment["data_manifest_sha256"]
    path = out / "sweep.json"
    if path.exists():
        known = read_json_object(path)
        differences = _differences(known["settings"], settings)
        check(not differences, f"{out} holds a sweep with other settings ({differences}). Choose another `--out`.")
        check(known["environment"]["data_manifest_sha256"] == checksum, f"{out} holds a sweep on other data.")
        return
    write_json(path, {"settings": settings, "environment": environment})


def _differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [k for k in {**known, **now} if k != "data" and known.get(k) != now.get(k)]
    return "; ".join(f"{k}: {known.get(k)!r} there, {now.get(k)!r} now" for k in names)


def say(line: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
