"""The state of a training between two epochs, in one file that is either the old one or the new one, never half."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, InputError

FORMAT = 1


@dataclass
class Progress:
    """What is known of a training beside its variables.

    Early stopping needs nothing more: the epochs waited are `epoch - best_epoch`.

    Attributes:
        epoch: Epochs done.
        best_epoch: The epoch, counted from 1, with the best monitored value; 0 for none yet.
        best_value: That value; None for none yet.
        best_file: Name of the file in the checkpoint folder that holds its model.
        seconds: Time spent in all epochs.
        history: One row of logged values an epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    best_file: str | None = None
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def state_variables(model: Any) -> dict[str, list[Any]]:
    """All variables that the next step depends on: weights, statistics, random seeds; optimizer with its step count."""
    return {"model": list(model.variables), "optimizer": list(model.optimizer.variables)}


def save_state(path: Path, model: Any, progress: Progress) -> None:
    """Writes the variables of a compiled model with its optimizer, and the progress.

    Args:
        path: File to write (`.npz`); replaced in one step.
        model: Compiled model with a built optimizer.
        progress: See `Progress`.
    """
    import keras

    arrays: dict[str, Any] = {
        f"{group}/{index:05d}": np.asarray(keras.ops.convert_to_numpy(variable))
        for group, variables in state_variables(model).items()
        for index, variable in enumerate(variables)
    }
    arrays["progress"] = np.frombuffer(json.dumps({"format": FORMAT, **asdict(progress)}).encode(), np.uint8)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())

    replace_file(path, write)


def read_progress(path: Path) -> Progress:
    """Reads the progress from a state file; an absent file is a training not begun.

    Raises:
        DataError: If the file is not a state of this version.
    """
    if not path.exists():
        return Progress()
    try:
        with np.load(path) as archive:
            values = json.loads(archive["progress"].tobytes())
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            path, expected="the state of a training", found=str(error), remedy="Remove the run folder to start again."
        ) from error
    found = values.pop("format", None)
    if found != FORMAT:
        raise DataError(path, expected=f"state format {FORMAT}", found=f"format {found}", variable="progress")
    return Progress(**values)


def restore_state(path: Path, model: Any) -> None:
    """Assigns the variables of a state file to a compiled model and its built optimizer.

    Raises:
        DataError: If the file belongs to another model.
    """
    with np.load(path) as archive:
        for group, variables in state_variables(model).items():
            stored = [name for name in archive.files if name.startswith(f"{group}/")]
            shapes = [tuple(archive[name].shape) for name in stored]
            if shapes != [tuple(v.shape) for v in variables]:
                raise DataError(
                    path,
                    expected=f"{len(variables)} {group} variables of this configuration",
                    found=f"{len(stored)} variables, or others in shape",
                    remedy="The code of the model has changed since; train in a new folder.",
                )
            for name, variable in zip(stored, variables, strict=True):
                variable.assign(archive[name])


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file under a temporary name beside it, then gives it its name in one step.

    The temporary name keeps the suffix, and is the same every time, so that a killed process leaves at most one.
    """
    temporary = path.with_name(f".partial-{path.name}")
    write(temporary)
    os.replace(temporary, path)


def write_text(path: Path, text: str) -> None:
    """`Path.write_text` that leaves the old file or the new one."""
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    """Writes indented JSON that leaves the old file or the new one."""
    write_text(path, json.dumps(values, indent=2) + "\n")


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Holds a folder for one process; the system lets go of it when the process ends, however it ends.

    Raises:
        InputError: If another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; two trainings in one folder are then the user's to avoid.
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another process is training in this folder; wait for it or end it.") from error
        yield
