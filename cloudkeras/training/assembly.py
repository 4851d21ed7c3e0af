"""Model, loss, metrics and optimizer of a configuration, put together and checked against each other."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..errors import DataError, InputError, check, check_choice
from ..losses import LOSSES, class_weights, get_loss
from ..metrics import training_metrics
from ..models import MODELS, deep_supervision_loss_weights
from ..tasks import Task
from .config import RunConfig
from .environment import accelerators

logger = logging.getLogger("cloudkeras")


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Sets Keras's dtype policy for the layers made inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_model(
    config: RunConfig, task: Task, input_shape: tuple[int | None, int | None, int], policy: str = "float32"
) -> Any:
    """Builds the model of a resolved configuration.

    Args:
        config: A resolved configuration.
        task: Its task.
        input_shape: (rows, columns, channels); rows and columns may be None.
        policy: Dtype policy of the layers.

    Raises:
        InputError: If there is no such model or option, or the model does not fit the task.
    """
    check_choice(str(config.model), sorted(MODELS), "model")
    builder = MODELS[str(config.model)]
    arguments = {"input_shape": input_shape, **task.builder_arguments(), **_tuples(config.model_options)}
    arguments.setdefault("name", config.model)
    for name in ("dropout", "l2"):
        if name in inspect.signature(builder).parameters:
            arguments.setdefault(name, getattr(config, name))
        elif getattr(config, name):
            raise InputError(f"The model {config.model!r} has no `{name}`. Received {getattr(config, name)}.")
    check_options(builder, arguments, f"model {config.model!r}")
    with precision(policy):
        return builder(**arguments)


def load_initial_weights(model: Any, source: str | Path) -> None:
    """Gives a model the weights of another of the same architecture.

    Args:
        model: The model that is about to be trained.
        source: A run folder, or a `.keras` file.

    Raises:
        InputError: If there is no model, or its weights have other shapes.
    """
    file = Path(source) / "model.keras" if Path(source).is_dir() else Path(source)
    check(
        file.is_file(), "`initial_weights` is a run folder with a model, or a .keras file.", initial_weights=str(source)
    )
    try:
        weights = keras.models.load_model(file, compile=False).get_weights()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(file, expected="a Keras model", found=str(error)) from error
    there, here = [w.shape for w in weights], [tuple(v.shape) for v in model.weights]
    if there != here:
        differing = next((pair for pair in zip(there, here, strict=False) if pair[0] != pair[1]), None)
        found = f"{len(there)} against {len(here)} weights" + (
            f", first {differing[0]} for {differing[1]}" if differing else ""
        )
        raise InputError(f"{file}: expected the weights of the same architecture; found {found}.")
    model.set_weights(weights)


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON lists as the tuples that builders take."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


def output_names(model: Any) -> tuple[str, ...]:
    """Names of a model's outputs; ("final",) for a model with one."""
    return tuple(model.output) if isinstance(model.output, Mapping) else ("final",)


def check_model_fits(model: Any, task: Task, target: np.ndarray, name: str) -> None:
    """Compares the final output with a batch of targets.

    Raises:
        InputError: If they do not go together.
    """
    output = model.output["final"] if isinstance(model.output, Mapping) else model.output
    expected = target.shape[1:] + ((len(task.classes),) if task.kind == "classification" else ())
    found = tuple(output.shape[1:])
    fits = len(found) == len(expected) and all(f in (None, e) for f, e in zip(found, expected, strict=True))
    check(
        fits,
        f"The model {name!r} does not fit the task {task.name!r}: its targets need the output {expected}, the "
        f"model gives {found}. Choose another `model`, or mend `model_options`.",
    )


def check_window_sizes(config: RunConfig, task: Task, sizes: Iterable[tuple[int, int]]) -> None:
    """Builds the model for windows of these sizes; one for any size would fail in its first step.

    Raises:
        InputError: If it does not take them.
    """
    options = {name: value for name, value in config.model_options.items() if name != "encoder_weights"}
    for size in dict.fromkeys(sizes):
        try:
            build_model(dataclasses.replace(config, model_options=options), task, (*size, len(task.channel_names())))
        except InputError as error:
            raise InputError(f"Windows of {size[0]} x {size[1]}: {error}") from None


def make_loss(config: RunConfig, task: Task, statistics: Mapping[str, Any]) -> keras.losses.Loss:
    """The loss of a resolved configuration, with class weights from the counts of the training split."""
    check_choice(str(config.loss), sorted(LOSSES), "loss")
    factory, options = LOSSES[str(config.loss)], dict(config.loss_options)
    parameters = inspect.signature(factory).parameters
    if task.kind == "classification":
        check("class_weights" in parameters, f"The loss {config.loss!r} is not one for classes.", task=task.name)
        options.setdefault("from_logits", True)
    told = task.loss_options()
    check(
        "from_logits" in parameters or not told.get("from_logits"),
        f"The loss {config.loss!r} takes no logits, which is what networks of the task give.",
        task=task.name,
    )
    options = {name: value for name, value in told.items() if name in parameters} | options
    if config.class_weights != "none" and "class_weights" not in options:
        if "class_weights" in parameters and task.kind == "classification":
            weights = class_weights(class_counts(task, statistics), str(config.class_weights))
            options["class_weights"] = [float(w) for w in weights]
        else:
            logger.info("the loss %s takes no class weights", config.loss)
    check_options(factory, options, f"loss {config.loss!r}")
    return get_loss(str(config.loss), **options)


def class_counts(task: Task, statistics: Mapping[str, Any]) -> np.ndarray:
    """Labelled voxels of each class in the training split, over all levels.

    Raises:
        InputError: If the manifest counted no labels.
    """
    for variable in task.variables():
        if variable.name in task.read_names() and "class_counts" in statistics.get(variable.name, {}):
            counts = np.asarray(statistics[variable.name]["class_counts"], np.float64)
            counts = counts.reshape(-1, counts.shape[-1]).sum(axis=0)
            check(counts.sum() > 0, f"The training split has no label of `{variable.name}`.", class_counts=list(counts))
            return counts
    raise InputError(f"The manifest counts no classes of the task {task.name!r}; use `class_weights` none.")


def check_options(function: Callable[..., Any], options: Mapping[str, Any], what: str) -> None:
    """Raises `InputError` for options that `function` does not take; the message lists those that it does."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    if unknown := sorted(set(options) - set(parameters)):
        raise InputError(f"The {what} has the options {', '.join(parameters)}. Received {', '.join(unknown)}.")


def make_optimizer(config: RunConfig, steps_per_epoch: int | None = None) -> keras.optimizers.Optimizer:
    """Adam, SGD or RMSprop with the configured learning rate and clipping, and Keras's other defaults.

    Args:
        config: The configuration.
        steps_per_epoch: Steps of an epoch; needed for cosine restarts, whose place is the optimizer's own step count, a
            part of the state that a resumed run goes on from (steps that mixed_float16 skips do not count).

    Raises:
        InputError: If `steps_per_epoch` is missing or 0 where it is needed.
    """
    makers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    rate: Any = config.learning_rate
    if config.schedule == "cosine_restarts":
        check(bool(steps_per_epoch), "Cosine restarts need the steps of an epoch.", steps_per_epoch=steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecayRestarts(
            config.learning_rate,
            config.restart_epochs * int(steps_per_epoch or 0),
            t_mul=float(config.restart_growth),
            m_mul=1.0,
            alpha=config.minimum_learning_rate / config.learning_rate,
        )
    return makers[config.optimizer](learning_rate=rate, global_clipnorm=config.clipnorm)


def use_jit(config: RunConfig) -> bool:
    """Whether to compile with XLA: as configured, by device for "auto"; the JAX backend does nothing else."""
    if keras.backend.backend() == "jax":
        return True
    if keras.backend.backend() == "torch":
        return config.jit == "on"
    return config.jit == "on" or (config.jit == "auto" and bool(accelerators()))


def compile_model(
    model: Any, config: RunConfig, task: Task, statistics: Mapping[str, Any], steps_per_epoch: int | None = None
) -> None:
    """Compiles in place: loss on `final` and every `aux_*`, binary cross-entropy on `presence`, metrics on `final`."""
    names = output_names(model)
    optimizer = make_optimizer(config, steps_per_epoch)
    metrics: Any = training_metrics(task)
    if names == ("final",):
        losses: Any = make_loss(config, task, statistics)
        weights = None
    else:
        losses = {
            name: keras.losses.BinaryCrossentropy(from_logits=True)
            if name == "presence"
            else make_loss(config, task, statistics)
            for name in names
        }
        weights, metrics = deep_supervision_loss_weights(model), {"final": metrics}
    model.compile(optimizer=optimizer, loss=losses, loss_weights=weights, metrics=metrics, jit_compile=use_jit(config))
    model.optimizer.build(model.trainable_variables)
