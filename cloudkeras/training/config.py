"""The configuration of a run: everything that its result depends on beside the data and the code."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, check, check_choice
from ..tasks import Task, get_task
from .schedules import SCHEDULES, cosine_restarts_rate, plateau_rate, step_rate

OPTIMIZERS = ("adam", "sgd", "rmsprop")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
JIT_MODES = ("auto", "on", "off")
MODES = ("auto", "max", "min")
CLASS_WEIGHT_SCHEMES = ("none", "inverse_sqrt", "effective", "median_frequency")

_LOWER_IS_BETTER = ("loss", "mae", "mse", "rmse", "error")
_TASK_DEFAULTS = {
    "classification": {"class_weights": "inverse_sqrt", "monitor": "val_macro_f1"},
    "regression": {"class_weights": "none", "monitor": "val_mae"},
}


@dataclass(frozen=True)
class RunConfig:
    """What to train, on what, and how. Plain JSON values, so that a run folder can hold all of it.

    Attributes:
        data: Folder of shards with its manifest.
        task: One of `cloudkeras.tasks.TASKS`.
        task_options: Options of the task.
        model: One of `cloudkeras.models.MODELS`; None takes the task's default.
        model_options: Further arguments of the builder, e.g. `{"filters": [16, 32, 64]}`.
        loss: One of `cloudkeras.losses.LOSSES`; None takes the task's default.
        loss_options: Further arguments of the loss.
        class_weights: How class counts of the training split become weights of the loss ("none", "inverse_sqrt",
            "effective", "median_frequency"); None takes "inverse_sqrt" for classification.
        optimizer: "adam", "sgd" or "rmsprop".
        learning_rate: Learning rate before any decay.
        schedule: How it changes: "step" at `decay_epochs`, "cosine_restarts" at every step (Loshchilov and Hutter 2017,
            arXiv 1608.03983, equation 5), "plateau" once `monitor` no longer improves, or "constant".
        decay_epochs: For "step": epochs (counted from 0) at which the learning rate is multiplied by `decay_factor`:
            whole numbers, or fractions of `epochs` in (0, 1). King et al. 2024 decay at 450 and 475 of 501.
        decay_factor: For "step" and "plateau": what the learning rate is multiplied by.
        restart_epochs: For "cosine_restarts": epochs until the first restart.
        restart_growth: For "cosine_restarts": whole factor by which each period is longer than the one before.
        minimum_learning_rate: For "cosine_restarts" and "plateau": no learning rate is below.
        plateau_patience: For "plateau": epochs without an improvement of `monitor` after which the learning rate falls,
            counted as by `keras.callbacks.ReduceLROnPlateau`.
        plateau_min_delta: For "plateau": what `monitor` must be better by to count as an improvement.
        plateau_cooldown: For "plateau": epochs after a fall that do not count.
        clipnorm: Largest norm of the gradient of all weights together; a longer one is scaled down. None never.
        epochs: Most epochs to train.
        batch_size: Samples a step.
        l2: L2 penalty on the model's kernels.
        dropout: Dropout rate of the model.
        patience: Epochs without a better `monitor` after which training stops; None never stops.
        monitor: The logged value that picks the best epoch; None takes "val_macro_f1" for classification and
            "val_mae" for regression. A loss that contains an L2 term cannot be compared between runs, these can.
        monitor_mode: "max", "min", or "auto" from the name.
        seed: Seeds initial weights, dropout, order and augmentation.
        precision: "float32", "mixed_bfloat16" or "mixed_float16". What is kept is float32.
        jit: XLA compilation: "on", "off", or "auto" for accelerators only (on a CPU it makes 3-D convolutions about
            ten times slower).
        augment: Whether to flip training samples where physics allows.
        initial_weights: Run folder or `.keras` file of the same architecture whose weights training starts from
            (one trained on simulated data, say); None starts at random.
        limit_train_batches: Steps of an epoch at most, on that many samples spread evenly over the split, the same in
            each epoch; None for all.
        limit_validation_batches: The same for validation.
        name: Name of the run in tables; None takes the name of its folder.
    """

    data: str
    task: str = "cloud_phase"
    task_options: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    model_options: dict[str, Any] = field(default_factory=dict)
    loss: str | None = None
    loss_options: dict[str, Any] = field(default_factory=dict)
    class_weights: str | None = None
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "step"
    decay_epochs: tuple[float, ...] = (0.9, 0.95)
    decay_factor: float = 0.1
    restart_epochs: int = 10
    restart_growth: int = 2
    minimum_learning_rate: float = 0.0
    plateau_patience: int = 10
    plateau_min_delta: float = 1e-4
    plateau_cooldown: int = 0
    clipnorm: float | None = None
    epochs: int = 50
    batch_size: int = 8
    l2: float = 0.0
    dropout: float = 0.0
    patience: int | None = 20
    monitor: str | None = None
    monitor_mode: str = "auto"
    seed: int = 0
    precision: str = "float32"
    jit: str = "auto"
    augment: bool = True
    initial_weights: str | None = None
    limit_train_batches: int | None = None
    limit_validation_batches: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", str(self.data))
        object.__setattr__(self, "decay_epochs", tuple(self.decay_epochs))
        for name in ("task_options", "model_options", "loss_options"):
            value = getattr(self, name)
            check(isinstance(value, Mapping), f"`{name}` is an object of names and values.", **{name: value})
            object.__setattr__(self, name, _plain(value))
        _check_types(self)
        check_choice(self.optimizer, OPTIMIZERS, "optimizer")
        check_choice(self.schedule, SCHEDULES, "schedule")
        check_choice(self.precision, PRECISIONS, "precision")
        check_choice(self.jit, JIT_MODES, "jit")
        check_choice(self.monitor_mode, MODES, "monitor_mode")
        if self.class_weights is not None:
            check_choice(self.class_weights, CLASS_WEIGHT_SCHEMES, "class_weights")
        _check_ranges(self)

    @property
    def decay_at(self) -> tuple[int, ...]:
        """The decay epochs as whole numbers."""
        return tuple(round(e * self.epochs) if 0 < e < 1 else int(e) for e in self.decay_epochs)

    def learning_rate_at(self, epoch: float, history: Sequence[Mapping[str, float]] = ()) -> float:
        """Learning rate of an epoch.

        Args:
            epoch: Counted from 0; with "cosine_restarts" the rate of its first step, of a later one at a fraction.
            history: Logged values of the epochs done, one row each, which decide with "plateau".
        """
        if self.schedule == "step":
            return step_rate(self.learning_rate, epoch, self.decay_at, self.decay_factor)
        if self.schedule == "cosine_restarts":
            period, growth, minimum = self.restart_epochs, self.restart_growth, self.minimum_learning_rate
            return cosine_restarts_rate(self.learning_rate, epoch, period, growth, minimum)
        if self.schedule == "plateau":
            return plateau_rate(
                self.learning_rate,
                [row[str(self.monitor)] for row in history[: int(epoch)]],
                maximize=self.maximize,
                factor=self.decay_factor,
                patience=self.plateau_patience,
                min_delta=self.plateau_min_delta,
                cooldown=self.plateau_cooldown,
                minimum=self.minimum_learning_rate,
            )
        return self.learning_rate

    @property
    def maximize(self) -> bool:
        """Whether a larger `monitor` is better."""
        if self.monitor_mode != "auto":
            return self.monitor_mode == "max"
        return not (self.monitor or "loss").lower().endswith(_LOWER_IS_BETTER)

    def make_task(self) -> Task:
        """The task with its options."""
        return get_task(self.task, **self.task_options)

    def resolved(self) -> RunConfig:
        """The same with the task's defaults written out, as a run folder keeps it."""
        task = self.make_task()
        defaults = {"model": task.default_model, "loss": task.default_loss, **_TASK_DEFAULTS[task.kind]}
        missing: dict[str, Any] = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, task_options=task.options(), **missing)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The inverse of `to_dict`; missing names take their defaults.

        Raises:
            InputError: If a name is unknown, `data` is missing or a value is not valid.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise InputError(
                f"A run configuration has the keys {', '.join(known)}. Received also {', '.join(unknown)}."
            )
        check("data" in values, "A run configuration needs `data`, the folder of shards.")
        return cls(**values)

    @classmethod
    def read(cls, path: str | Path) -> RunConfig:
        """Reads a configuration from a JSON file.

        Raises:
            InputError: If the file is not a JSON object or its content is not valid.
        """
        return cls.from_dict(read_json_object(path))

    def differences(self, other: RunConfig) -> dict[str, tuple[Any, Any]]:
        """What differs, apart from where the data lie: name to (this, other)."""
        mine, others = self.to_dict(), other.to_dict()
        return {k: (mine[k], others[k]) for k in mine if k not in ("data", "name") and mine[k] != others[k]}


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Reads a file that must hold a JSON object.

    Raises:
        InputError: If it does not.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a JSON object; {error}.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object; found {type(values).__name__}.")
    return values


def _plain(value: Any) -> Any:
    """The value with tuples as lists, as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


_COUNTS = ("epochs", "batch_size", "restart_epochs", "restart_growth", "plateau_patience")
_WHOLE = (*_COUNTS, "seed", "plateau_cooldown")
_WHOLE_OR_NONE = ("patience", "limit_train_batches", "limit_validation_batches")
_NUMBERS = ("learning_rate", "decay_factor", "minimum_learning_rate", "plateau_min_delta", "l2", "dropout")
_TEXT = ("task", "optimizer", "schedule", "precision", "jit", "monitor_mode")
_TEXT_OR_NONE = ("model", "loss", "class_weights", "monitor", "initial_weights", "name")


def _check_types(config: RunConfig) -> None:
    def is_whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def is_number(value: Any) -> bool:
        return is_whole(value) or (isinstance(value, float) and math.isfinite(value))

    def each(names: tuple[str, ...], rule: str, test: Any) -> None:
        for name in names:
            value = getattr(config, name)
            check(test(value), f"`{name}` is {rule}.", **{name: value})

    each(_WHOLE, "a whole number", is_whole)
    each(_WHOLE_OR_NONE, "a whole number or null", lambda v: v is None or is_whole(v))
    each(_NUMBERS, "a finite number", is_number)
    each(("clipnorm",), "a finite number or null", lambda v: v is None or is_number(v))
    each(_TEXT, "a text", lambda v: isinstance(v, str))
    each(_TEXT_OR_NONE, "a text or null", lambda v: v is None or isinstance(v, str))
    each(("augment",), "true or false", lambda v: isinstance(v, bool))
    each(("decay_epochs",), "a list of numbers", lambda v: all(is_number(e) for e in v))


def _check_ranges(config: RunConfig) -> None:
    check(config.learning_rate > 0, "`learning_rate` is above 0.", learning_rate=config.learning_rate)
    check(config.decay_factor > 0, "`decay_factor` is above 0.", decay_factor=config.decay_factor)
    for name in ("l2", "plateau_min_delta", "plateau_cooldown"):
        check(getattr(config, name) >= 0, f"`{name}` is 0 or more.", **{name: getattr(config, name)})
    check(config.clipnorm is None or config.clipnorm > 0, "`clipnorm` is above 0, or null.", clipnorm=config.clipnorm)
    check(
        0 <= config.minimum_learning_rate <= config.learning_rate,
        "`minimum_learning_rate` is from 0 to `learning_rate`.",
        minimum_learning_rate=config.minimum_learning_rate,
        learning_rate=config.learning_rate,
    )
    check(
        config.schedule != "plateau" or config.decay_factor < 1,
        "`decay_factor` is below 1 with the schedule 'plateau'.",
        decay_factor=config.decay_factor,
    )
    check(0 <= config.dropout < 1, "`dropout` is in [0, 1).", dropout=config.dropout)
    check(0 <= config.seed < 2**32, "`seed` is in [0, 2**32).", seed=config.seed)
    for name in _COUNTS:
        check(getattr(config, name) >= 1, f"`{name}` is at least 1.", **{name: getattr(config, name)})
    for name in _WHOLE_OR_NONE:
        value = getattr(config, name)
        check(value is None or value >= 1, f"`{name}` is at least 1, or null.", **{name: value})
    check(
        all(0 < e < 1 or (e >= 1 and float(e).is_integer()) for e in config.decay_epochs),
        "`decay_epochs` are whole epochs from 1, or fractions of `epochs` in (0, 1).",
        decay_epochs=config.decay_epochs,
    )
