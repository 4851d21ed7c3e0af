"""`train`: from a configuration to a run folder; the same call continues an interrupted run."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import keras

from ..datasets import Batches, ShardDataset
from ..datasets.windows import fitted
from ..errors import InputError, check
from ..tasks import Task
from .assembly import (
    build_model,
    check_model_fits,
    check_window_sizes,
    compile_model,
    load_initial_weights,
    output_names,
)
from .checkpoint import lock_folder, read_progress, restore_state, write_json
from .config import RunConfig, read_json_object
from .environment import describe_environment, describe_grid, device_name, manifest_checksum
from .monitoring import (
    EpochRate,
    FiniteCheck,
    Recorder,
    StepReport,
    finished,
    format_duration,
    open_board,
    publish,
)
from .run import Run, load_run

logger = logging.getLogger("cloudkeras")


def train(config: RunConfig, out: str | Path) -> Run:
    """Trains to the end, from the start or from where the folder stands.

    The order of the data and its augmentation are pure functions of seed, epoch and batch; all else that the next step
    depends on (weights, batch statistics, optimizer, random seeds of dropout) is in the state that replaces the last
    one after each epoch. So a run killed at any moment and started again gives the weights of one left alone.
    The global random seeds of Python, NumPy and the backend are set.

    Args:
        config: What to train.
        out: Run folder; made if absent. It then holds `config.json`, `statistics.json`, `environment.json`,
            `model.keras` (best epoch), `history.csv`, `tensorboard/`, `checkpoints/` and at the end `summary.json`.

    Returns:
        The finished run.

    Raises:
        InputError: If the configuration is not valid, does not fit the data, or `out` holds a run with another one.
        TrainingDivergedError: If the loss is no longer finite.
    """
    config, out = config.resolved(), Path(out)
    dataset = ShardDataset.open(Path(config.data))
    task = config.make_task()
    check(not out.exists() or out.is_dir(), "`out` is a folder.", out=str(out))
    if (out / "config.json").exists():
        _check_same(config, out)
    if (out / "summary.json").exists():
        logger.info("%s is finished already", out)
        return load_run(out)
    training, validation, model, deployed = _assemble(config, task, dataset)
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out):
        _write_run_files(config, out, dataset)
        _fit(config, out, training, validation, model, deployed)
    return load_run(out)


def _check_same(config: RunConfig, out: Path) -> None:
    """Refuses a folder whose run has another configuration or other data."""
    stored = RunConfig.read(out / "config.json")
    if differences := stored.differences(config):
        listed = "; ".join(f"{k}: {a!r} there, {b!r} now" for k, (a, b) in differences.items())
        raise InputError(f"{out} holds a run with another configuration ({listed}). Choose another folder.")
    environment = out / "environment.json"
    if environment.exists():
        known = read_json_object(environment)["sessions"][0]["data_manifest_sha256"]
        now = manifest_checksum(Path(config.data))
        check(known == now, f"{out} holds a run on other data: the manifest of {config.data} has changed since.")


def _assemble(config: RunConfig, task: Task, dataset: ShardDataset) -> tuple[Batches, Batches, Any, Any]:
    """Batches of both splits, the compiled model, and its float32 twin that is kept."""
    shape = (*dataset.image_shape(task), len(task.channel_names()))
    if (windows := task.windows()) is not None and None in shape:
        windows = fitted(windows, dataset.manifest.patch_shape)
        check_window_sizes(config, task, (windows.crop, windows.tile))
    keras.utils.set_random_seed(config.seed)
    model = build_model(config, task, shape, config.precision)
    deployed = build_model(config, task, shape)
    training, validation = (_batches(config, task, dataset, split, model) for split in ("train", "validation"))
    compile_model(model, config, task, dataset.statistics, steps_per_epoch=len(training))
    target = training[0][1]
    check_model_fits(model, task, target["final"] if isinstance(target, dict) else target, str(config.model))
    return training, validation, model, deployed


def _batches(config: RunConfig, task: Task, dataset: ShardDataset, split: str, model: Any) -> Batches:
    is_training = split == "train"
    limit = config.limit_train_batches if is_training else config.limit_validation_batches
    return Batches(
        dataset,
        task,
        split,
        config.batch_size,
        output_names=output_names(model),
        shuffle=is_training,
        augment=is_training and config.augment,
        seed=config.seed,
        limit=None if limit is None else limit * config.batch_size,
    )


def _write_run_files(config: RunConfig, out: Path, dataset: ShardDataset) -> None:
    (out / "checkpoints").mkdir(exist_ok=True)
    if not (out / "config.json").exists():
        write_json(out / "statistics.json", dataset.statistics)
        stored = dataclasses.replace(config, data=str(Path(config.data).resolve()))
        write_json(out / "config.json", stored.to_dict())
    environment = out / "environment.json"
    sessions = read_json_object(environment)["sessions"] if environment.exists() else []
    described = {**describe_environment(Path(config.data)), "simulated": dataset.simulated}
    sessions.append(described | {"grid": describe_grid(dataset)})
    write_json(environment, {"sessions": sessions})


def _fit(config: RunConfig, out: Path, training: Batches, validation: Batches, model: Any, deployed: Any) -> None:
    """Trains the epochs that are not done yet and writes the summary."""
    state = out / "checkpoints" / "state.npz"
    progress = read_progress(state)
    if progress.epoch:
        restore_state(state, model)
        publish(out, progress)
    elif config.initial_weights:
        load_initial_weights(model, config.initial_weights)
    if not finished(config, progress):
        _announce(config, out, training, validation, model, progress.epoch)
        training.set_epoch(progress.epoch)  # Keras looks at the first batches, and may read ahead, before it begins
        board = open_board(out / "tensorboard")
        try:
            model.fit(
                training.for_fit(),
                validation_data=validation.for_fit(),
                epochs=config.epochs,
                initial_epoch=progress.epoch,
                verbose=0,
                shuffle=False,
                callbacks=[
                    training.epoch_callback(),
                    EpochRate(config, progress),
                    FiniteCheck(config, progress),
                    StepReport(config.epochs),
                    Recorder(config, out, progress, deployed, board),
                ],
            )
        finally:
            if board is not None:
                board.close()
    summary = {
        "parameters": int(model.count_params()),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "monitor": config.monitor,
        "best_value": progress.best_value,
        "stopped_early": progress.epoch < config.epochs,
        "seconds": progress.seconds,
    }
    write_json(out / "summary.json", summary)
    logger.info(
        "done: %d epochs in %s, best %s %.4g at epoch %d; model, history and logs are in %s",
        *(progress.epoch, format_duration(progress.seconds), config.monitor, progress.best_value),
        *(progress.best_epoch, out),
    )


def _announce(config: RunConfig, out: Path, training: Batches, validation: Batches, model: Any, epoch: int) -> None:
    logger.info(
        "%s %s on %s: %d parameters, %d + %d batches of %d an epoch, run folder %s",
        *("continuing" if epoch else "training", config.model, device_name(), model.count_params()),
        *(len(training), len(validation), config.batch_size, out),
    )
