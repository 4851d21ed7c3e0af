"""The contract between a retrieval problem and everything that is written once for all of them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..datasets.schema import Variable, Windows
from ..errors import InputError

Fields = dict[str, np.ndarray]
"""Decoded variables of a batch by name: float32 in physical units with NaN for missing, or integer classes with -1."""


@dataclass(frozen=True)
class OutputRange:
    """What values the result of a regression takes, and which events it is asked for.

    Attributes:
        low: Smallest value.
        high: Largest value.
        units: Of the values.
        atom: A value at the lower end that has a probability of its own ("no echo", no melt); None for no such value.
        events: Name and threshold of each event: the value is above the threshold.
    """

    low: float = -np.inf
    high: float = np.inf
    units: str = "1"
    atom: float | None = None
    events: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Task(abc.ABC):
    """What goes in, what comes out, and how it is judged.

    Subclasses are frozen dataclasses: their fields are the options of the task, plain JSON values, so that
    `dataclasses.asdict` writes a task into a run's configuration and `get_task(name, **options)` makes it again.

    The way of a batch, the same in training, evaluation, prediction and export::

        fields  = shard variables, decoded                     (physical units)
        fields  = task.prepare(fields, rng)                    (augmented, targets and masks made)
        x       = task.network_inputs(fields, statistics)      (batch, rows, columns, channels), normalised
        y       = task.targets(fields, output_names)           class -1 or NaN where there is no label
        outputs = model(x)                                     logits or normalised values
        result  = task.decode(outputs, x)                      probabilities or physical units
    """

    name: ClassVar[str]
    kind: ClassVar[str]  # "classification" or "regression"
    classes: ClassVar[tuple[str, ...]] = ()
    # Options in which a method may differ from the task that judges it: what it sees or is taught, not what is judged.
    input_options: ClassVar[frozenset[str]] = frozenset()
    default_model: ClassVar[str]
    default_loss: ClassVar[str]
    row_dim: ClassVar[str]  # the shard dimensions that become the rows and columns of the network's images
    column_dim: ClassVar[str]
    sample_columns: ClassVar[tuple[str, ...]] = ()  # of the table of samples, which `prepare` gets with the fields
    block_seconds: ClassVar[float] = 3600.0  # samples of one granule nearer than that are not independent
    one_site: ClassVar[bool] = False  # all granules show one place: nor are samples of different ones

    @abc.abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """All variables that a shard of this task may hold; `required` marks those that it must."""

    @abc.abstractmethod
    def read_names(self) -> tuple[str, ...]:
        """Names of the variables that a batch needs with the present options."""

    @abc.abstractmethod
    def channel_names(self) -> tuple[str, ...]:
        """One name for each channel of the network's input, in order."""

    @abc.abstractmethod
    def builder_arguments(self) -> dict[str, Any]:
        """What a model builder must be told beside the input size: `num_classes`, and `levels` for volumes."""

    @abc.abstractmethod
    def physical_inputs(self) -> dict[str, tuple[str, ...]]:
        """Named inputs of an exported model, in physical units: name to dimensions without the batch.

        These are the keys of `fields` that `network_inputs` reads.
        """

    def windows(self) -> Windows | None:
        """How windows are cut out of samples; None if a sample is an image of the network as it is.

        With windows `truth` and `decode` give (batch, rows, columns).
        """
        return None

    def label_names(self) -> tuple[str, ...]:
        """Variables that are nothing but truth; with windows they are missing outside a tile's core."""
        return ()

    def loss_options(self) -> dict[str, Any]:
        """What a loss is told unless the user says otherwise; a loss takes those that it has."""
        return {}

    def mask_names(self) -> tuple[str, ...]:
        """Variables that `covered` reads beside the inputs, where a scene holds them."""
        return ()

    def covered(self, fields: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Where a predicted scene has a result, bool (..., rows, columns); elsewhere it is missing.

        Args:
            fields: Inputs and `mask_names` in physical units, prepared.

        Returns:
            The mask; None for wherever any input has a value.
        """
        return None

    @abc.abstractmethod
    def prepare(self, fields: Fields, rng: np.random.Generator | None = None) -> Fields:
        """Adds what the network needs and the shard does not hold (targets on the grid, masks), and augments.

        Args:
            fields: Decoded shard variables, batch first.
            rng: Source of random augmentation; None gives the deterministic form used for evaluation.
        """

    @abc.abstractmethod
    def network_inputs(self, fields: Mapping[str, Any], statistics: Mapping[str, Any], xp: Any = np) -> Any:
        """Normalised network input from fields in physical units.

        Written once for NumPy and for Keras: `xp` is `numpy` in pipelines and `keras.ops` in exported models, so only
        functions that both have under one name are used.

        Args:
            fields: Physical values by name, batch first; NaN is missing.
            statistics: The manifest's statistics of the training split, by variable: "mean" and "std" as lists.
            xp: The array namespace.

        Returns:
            (batch, rows, columns, channels), float32, finite.
        """

    @abc.abstractmethod
    def target(self, fields: Mapping[str, np.ndarray]) -> np.ndarray:
        """The truth of a prepared batch in network space: classes int8 with -1, or normalised float32 with NaN."""

    @abc.abstractmethod
    def truth(self, fields: Mapping[str, np.ndarray]) -> np.ndarray:
        """The truth of a prepared batch in the space of `decode`: classes with -1, or physical values with NaN."""

    def fixed_scaling(self) -> dict[str, tuple[float, float]] | None:
        """What `network_inputs` subtracts from a variable and divides it by, in place of the training split's numbers.

        Variables that are left out stay as they are. None where the statistics are used.
        """
        return None

    @abc.abstractmethod
    def decode(self, outputs: Any, inputs: Any, xp: Any = np) -> Any:
        """Turns network outputs into what a user reads: class probabilities, or physical values.

        Args:
            outputs: The model's final output.
            inputs: The network input that it belongs to.
            xp: `numpy`, or `keras.ops` inside an exported model.
        """

    def encode(self, values: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Network outputs that `decode` turns into `values`: for methods whose results are physical.

        Args:
            values: What `decode` returns: class probabilities, or physical values.
            inputs: The network input that they belong to.
        """
        if self.kind == "classification":
            return np.log(np.maximum(values, 1e-12)).astype(np.float32)
        raise InputError(f"The task '{self.name}' does not say which network outputs a value belongs to.")

    def output_range(self) -> OutputRange:
        """What values `decode` gives, for regressions."""
        return OutputRange()

    def calibration_factors(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """What an error may depend on, as small whole numbers by name, the most important first; arrays like `truth`.

        Seen in the network input alone, so that it is known wherever the network is used.
        """
        return {}

    def filled(self, inputs: np.ndarray) -> np.ndarray:
        """Where the result is the network's own and not the observation, bool, an array like `truth`."""
        return np.ones(np.shape(inputs)[:3], bool)

    @abc.abstractmethod
    def output_name(self) -> str:
        """Name of what `decode` returns, as it appears in exported models and NetCDF files."""

    def presence(self, target: np.ndarray) -> np.ndarray:
        """Which classes a sample holds, (batch, num_classes) of 0 and 1: the target of a classification-guided head."""
        count = max(1, len(self.classes))
        flat = target.reshape(len(target), -1)
        if self.kind == "classification":
            return np.stack([(flat == k).any(axis=1) for k in range(count)], axis=1).astype(np.float32)
        return np.isfinite(flat).any(axis=1, keepdims=True).astype(np.float32)

    def targets(self, fields: Mapping[str, np.ndarray], output_names: tuple[str, ...] = ("final",)) -> Any:
        """Targets for all outputs of a model: one array for one output, else a dict by output name.

        `final` and every `aux_*` get `target`; `presence` gets `presence(target)`.
        """
        target = self.target(fields)
        if len(output_names) == 1:
            return target
        return {name: self.presence(target) if name == "presence" else target for name in output_names}

    def misfits(self, judge: Task) -> dict[str, tuple[Any, Any]]:
        """Options that keep a method of this task from being judged by another: name to (this, judge).

        Empty if it may be. Options in `input_options` may always differ; a task whose methods serve more than one
        value of another option says so here.

        Args:
            judge: The task that judges, of the same name.
        """
        mine, theirs = self.options(), judge.options()
        return {k: (v, theirs[k]) for k, v in mine.items() if k not in judge.input_options and v != theirs[k]}

    def options(self) -> dict[str, Any]:
        """The task's options as plain values, for `get_task(self.name, **options)`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
