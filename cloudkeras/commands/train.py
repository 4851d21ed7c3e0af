"""Train a model on shards. The same command on an interrupted run continues it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..training.config import (
    CLASS_WEIGHT_SCHEMES,
    JIT_MODES,
    MODES,
    OPTIMIZERS,
    PRECISIONS,
    RunConfig,
    read_json_object,
)
from ..training.presets import PRESETS, describe_presets, preset
from ..training.schedules import SCHEDULES

_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "jit": JIT_MODES,
    "monitor_mode": MODES,
    "class_weights": CLASS_WEIGHT_SCHEMES,
}
_GROUPS = ("task", "model", "loss")
_HELP = {
    "data": "folder of shards",
    "task": "cloud_phase, blind_zone or meltwater",
    "model": "sgmagnet, unet3plus, unet, unet_plusplus, segnet or deeplabv3plus; by default the task's own",
    "decay_epochs": "epochs, or fractions of all epochs, at which the learning rate is multiplied by the decay factor",
    "schedule": "how the learning rate changes from epoch to epoch",
    "decay_factor": "what the learning rate is multiplied by, with step and plateau",
    "restart_epochs": "epochs until the first restart of cosine_restarts",
    "restart_growth": "factor by which each period of cosine_restarts is longer than the one before",
    "minimum_learning_rate": "no learning rate is below, with cosine_restarts and plateau",
    "plateau_patience": "epochs without an improvement of the monitored value after which plateau lowers the rate",
    "plateau_min_delta": "what the monitored value must be better by to count as an improvement, with plateau",
    "plateau_cooldown": "epochs after a fall that do not count, with plateau",
    "clipnorm": "largest norm of the gradient of all weights together",
    "patience": "epochs without a better monitored value after which training stops",
    "monitor": "logged value that picks the best epoch, e.g. val_macro_f1 or val_mae",
    "initial_weights": "run folder or .keras file of the same architecture to start from",
    "jit": "XLA compilation; auto is accelerators only",
    "limit_train_batches": "steps of an epoch at most",
    "limit_validation_batches": "validation batches at most",
    "name": "name of the run in tables",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each field of `RunConfig`."""
    parser.add_argument("--out", required=True, type=Path, help="run folder")
    parser.add_argument(
        "--preset",
        action=_Preset,
        metavar="NAME",
        help=f"published set-up to start from: {', '.join(PRESETS)}; list shows what each holds. --config and options "
        "override it",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON file of a configuration; options override it")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the task, the model or the loss, e.g. model.filters=[16,32,64] or task.labels=dense; "
        "the value is JSON, or a text",
    )
    for field in dataclasses.fields(RunConfig):
        if not field.name.endswith("_options"):
            _add_option(parser, field)


class _Preset(argparse.Action):
    """Stores the name; "list" shows all presets and ends, like `--help`."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        if values == "list":
            print(describe_presets())
            parser.exit()
        setattr(namespace, self.dest, values)


def _add_option(parser: argparse.ArgumentParser, field: dataclasses.Field) -> None:
    flag, kind = "--" + field.name.replace("_", "-"), str(field.type)
    default = "" if field.default in (None, dataclasses.MISSING) else f"{field.default}"
    text = _HELP.get(field.name, field.name.replace("_", " ")) + (f" (default {default})" if default else "")
    common: dict[str, Any] = {"dest": field.name, "default": None, "help": text}
    if kind == "bool":
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    elif field.name == "decay_epochs":
        parser.add_argument(flag, type=float, nargs="*", metavar="EPOCH", **common)
    elif field.name == "patience":
        parser.add_argument(flag, type=_whole_or_none, metavar="EPOCHS", **common)
    else:
        convert = float if kind.startswith("float") else int if kind.startswith("int") else str
        parser.add_argument(flag, type=convert, choices=_CHOICES.get(field.name), **common)


def _whole_or_none(text: str) -> int | str:
    return "none" if text.lower() == "none" else int(text)


def run(arguments: argparse.Namespace) -> None:
    """Trains and says where the results are."""
    config = config_from(arguments)
    show_progress()
    from ..training import train

    finished = train(config, arguments.out)
    progress = finished.progress
    print(f"{finished.name}: best {config.resolved().monitor} {progress.best_value:.4g} at epoch {progress.best_epoch}")
    print(f"model    {finished.path / 'model.keras'}")
    print(f"history  {finished.path / 'history.csv'}")
    print(f"next     cloudkeras evaluate {finished.path} --data {config.data} --out {finished.path / 'scores'}")


def config_from(arguments: argparse.Namespace) -> RunConfig:
    """The configuration of a command line: preset, then file, then options, then `--set`.

    Raises:
        InputError: If a name or a value is not valid.
    """
    values = read_json_object(arguments.config) if arguments.config else {}
    options = {f.name: getattr(arguments, f.name, None) for f in dataclasses.fields(RunConfig)}
    options = {name: value for name, value in options.items() if value is not None}
    if arguments.preset:
        task, model = (options.get(name, values.get(name)) for name in ("task", "model"))
        values = merged(preset(arguments.preset, task=task, model=model), values)
    if options.get("patience") == "none":
        options["patience"] = None
    return RunConfig.from_dict(merged({**values, **options}, parse_settings(arguments.set)))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a configuration, `above` before `below`; options of task, model and loss one by one."""
    fields = {**below, **above}
    for name in (f"{group}_options" for group in _GROUPS):
        if isinstance(below.get(name), Mapping) and isinstance(above.get(name), Mapping):
            fields[name] = {**below[name], **above[name]}
    return fields


def parse_settings(items: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["model.filters=[16,32]"]` as `{"model_options": {"filters": [16, 32]}}`.

    Raises:
        InputError: If an item is not of that form.
    """
    settings: dict[str, dict[str, Any]] = {}
    for item in items:
        key, value = _parse_setting(item)
        group, _, name = key.partition(".")
        settings.setdefault(f"{group}_options", {})[name] = value
    return settings


def _parse_setting(item: str) -> tuple[str, Any]:
    key, equals, text = item.partition("=")
    group, dot, name = key.partition(".")
    if not (equals and dot and name and group in _GROUPS):
        raise InputError(f"`--set` takes task.NAME=VALUE, model.NAME=VALUE or loss.NAME=VALUE. Received {item!r}.")
    try:
        return key, json.loads(text)
    except json.JSONDecodeError:
        return key, text


def show_progress() -> None:
    """Sends the package's progress to standard error, once, unless the application has set up logging itself."""
    logger = logging.getLogger("cloudkeras")
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.INFO)
