"""A run: a folder that a training made, and the method that comes out of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, InputError
from ..tasks import Task
from .checkpoint import Progress, read_progress
from .config import RunConfig, read_json_object


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model with what it needs to be used: a method, called like the baselines.

    Attributes:
        path: The run folder.
        config: The configuration, with all defaults written out.
        task: The task.
        statistics: The statistics of the training split by which inputs are normalised.
        name: Name in tables.
        batch_size: Samples that a call predicts at once.
    """

    path: Path
    config: RunConfig
    task: Task
    statistics: Mapping[str, Any]
    name: str
    batch_size: int

    @functools.cached_property
    def model(self) -> Any:
        """The model of the best epoch so far, float32, not compiled for training; loaded on first use.

        Raises:
            InputError: If the run has no model yet.
        """
        file = self.path / "model.keras"
        if not file.exists():
            raise InputError(f"{self.path}: expected a model; found none, since no epoch is done yet. Train first.")
        import keras

        from .. import losses, metrics, models  # noqa: F401  (registers what the file refers to)
        from .assembly import use_jit

        try:
            model = keras.models.load_model(file, compile=False)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(file, expected="a Keras model", found=str(error)) from error
        model.jit_compile = use_jit(self.config)
        return model

    @property
    def progress(self) -> Progress:
        """Where the training stands: epochs done, best epoch, history."""
        return read_progress(self.path / "checkpoints" / "state.npz")

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return (self.path / "summary.json").exists()

    def __call__(self, inputs: Any) -> np.ndarray:
        """The final output, in network space.

        Args:
            inputs: Network input, (batch, rows, columns, channels).
        """
        return self.predict(inputs)

    def predict(self, inputs: Any, batch_size: int | None = None) -> np.ndarray:
        """The final output in batches of one size, so that one compiled function serves all of them.

        Args:
            inputs: Network input, (batch, rows, columns, channels).
            batch_size: Samples at once; by default that of the training.
        """
        inputs = np.asarray(inputs, np.float32)
        size = min(batch_size or self.batch_size, max(1, len(inputs)))
        outputs = []
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            missing = size - len(batch)
            if missing:
                batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
            output = self.model.predict_on_batch(batch)
            output = output["final"] if isinstance(output, Mapping) else output
            outputs.append(np.asarray(output, np.float32)[: size - missing])
        return np.concatenate(outputs)

    @functools.cached_property
    def stochastic(self) -> bool:
        """Whether the model has dropout that stays on at inference, so that members of it differ."""
        from .sampling import active_dropouts

        return len(active_dropouts(self.model)) > 0

    @functools.cached_property
    def _sampler(self) -> Any:
        from .assembly import use_jit
        from .sampling import Sampler

        return Sampler(self.model, use_jit(self.config))

    def sample(self, inputs: Any, members: int, *, seed: int = 0) -> np.ndarray:
        """Members of the final output: passes of a model with Monte Carlo dropout, in one compiled graph.

        The members of a sample depend on `seed`, `members` and the sample alone, not on the batch that it is in.

        Args:
            inputs: Network input, (batch, rows, columns, channels).
            members: Passes, at least 1.
            seed: The same seed gives the same members; at least 0.

        Returns:
            (members, batch, rows, columns, ...), in network space, float32.

        Raises:
            InputError: If the model has no dropout that stays on at inference.
        """
        return np.stack(list(self._sampler.members(inputs, members, seed)), axis=1)


def load_run(path: str | Path) -> Run:
    """Opens a run folder, whether its training is finished or not; the data folder is not needed.

    Raises:
        InputError: If the folder is not that of a run.
    """
    path = Path(path)
    for name in ("config.json", "statistics.json"):
        if not (path / name).is_file():
            raise InputError(f"{path}: expected a run folder; found no {name}. `cloudkeras train --out` makes one.")
    config = RunConfig.read(path / "config.json")
    return Run(
        path=path,
        config=config,
        task=config.make_task(),
        statistics=read_json_object(path / "statistics.json"),
        name=config.name or path.resolve().name,
        batch_size=config.batch_size,
    )
