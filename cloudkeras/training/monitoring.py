"""Callbacks: order of the data, learning rate, record of every epoch, and an end to runs that diverge."""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import keras

from ..errors import InputError
from .checkpoint import Progress, replace_file, save_state, write_text
from .config import RunConfig

logger = logging.getLogger("cloudkeras")

CHECK_EVERY_STEPS = 25
REPORT_EVERY_SECONDS = 30.0


class TrainingDivergedError(InputError):
    """The loss or the monitored value became NaN or infinite."""


class EpochRate(keras.callbacks.Callback):
    """Sets the learning rate of each epoch from the configuration and the history, so that it needs no state.

    The cosine schedule is another matter: it changes at every step, and is part of the optimizer.
    """

    def __init__(self, config: RunConfig, progress: Progress):
        super().__init__()
        self.config, self.progress = config, progress

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.config.schedule != "cosine_restarts":
            self.model.optimizer.learning_rate = self.config.learning_rate_at(epoch, self.progress.history)


class FiniteCheck(keras.callbacks.Callback):
    """Raises as soon as the loss is NaN or infinite, looked at every few steps so that an accelerator need not wait."""

    def __init__(self, config: RunConfig, progress: Progress):
        super().__init__()
        self.config, self.progress = config, progress
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch % CHECK_EVERY_STEPS == 0 and logs and "loss" in logs:
            self._check("loss", float(logs["loss"]), f"step {batch + 1} of ")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name in ("loss", "val_loss"):
            if name in (logs or {}):
                self._check(name, float(logs[name]))

    def _check(self, name: str, value: float, where: str = "") -> None:
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"The training diverged: `{name}` is {value} at {where}epoch {self.epoch + 1}, learning rate "
                f"{self.config.learning_rate_at(self.epoch, self.progress.history):g}. Try a lower `learning_rate`"
                + (", or `precision` float32." if self.config.precision == "mixed_float16" else ".")
            )


class StepReport(keras.callbacks.Callback):
    """Says every half minute how far a long epoch is."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.begin = epoch, time.monotonic()
        self.reported = self.begin

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now, steps = time.monotonic(), (self.params or {}).get("steps")
        if now - self.reported < REPORT_EVERY_SECONDS or not steps:
            return
        self.reported = now
        left = (now - self.begin) / (batch + 1) * (steps - batch - 1)
        logger.info(
            "epoch %d/%d  step %d/%d  %s left in this epoch",
            *(self.epoch + 1, self.epochs, batch + 1, steps, format_duration(left)),
        )


class Recorder(keras.callbacks.Callback):
    """Keeps the record of a run after each epoch, in an order that a kill at any point cannot spoil.

    First the model of a new best epoch goes to a file of its own, then one file with the whole state replaces the last
    one: from here on the epoch is done. What follows (`model.keras`, `history.csv`, TensorBoard) is derived from
    that state and `publish` makes it again on resume.

    Args:
        config: The configuration.
        folder: The run folder.
        progress: Where the run stands.
        deployed: The same model in float32 and not compiled, which is what is kept of the best epoch.
        board: Where scalars go for TensorBoard, or None.
    """

    def __init__(self, config: RunConfig, folder: Path, progress: Progress, deployed: Any, board: Any = None):
        super().__init__()
        self.config, self.folder, self.progress = config, folder, progress
        self.deployed, self.board = deployed, board
        self.checkpoints = folder / "checkpoints"
        self.epoch_seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begin = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = self.config.learning_rate_at(epoch, self.progress.history)
        row = {"epoch": epoch + 1, "learning_rate": rate, **_plain_logs(logs or {})}
        value = self._monitored(row)
        progress = self.progress
        progress.epoch = epoch + 1
        if self._is_better(value):
            progress.best_epoch, progress.best_value = epoch + 1, value
            progress.best_file = f"best-{epoch + 1:05d}.keras"
            self.deployed.set_weights(self.model.get_weights())
            replace_file(self.checkpoints / progress.best_file, self.deployed.save)
        row["seconds"] = round(time.monotonic() - self.begin, 3)
        self.epoch_seconds.append(row["seconds"])
        progress.seconds = round(progress.seconds + row["seconds"], 3)
        progress.history.append(row)
        save_state(self.checkpoints / "state.npz", self.model, progress)
        publish(self.folder, progress)
        if self.board is not None:
            self.board.add(row)
        self._report(row, value)
        if finished(self.config, progress):
            self.model.stop_training = True

    def _monitored(self, row: dict[str, float]) -> float:
        name = self.config.monitor or ""
        if name not in row:
            known = ", ".join(sorted(k for k in row if k.startswith("val_")))
            raise InputError(f"`monitor` is one of the logged values {known}. Received {name!r}.")
        if not math.isfinite(row[name]):
            raise TrainingDivergedError(
                f"The monitored `{name}` is {row[name]} at epoch {row['epoch']:.0f}: the training diverged, or the "
                "validation split has no label."
            )
        return row[name]

    def _is_better(self, value: float) -> bool:
        best = self.progress.best_value
        return best is None or (value > best if self.config.maximize else value < best)

    def _report(self, row: dict[str, float], value: float) -> None:
        done, total = self.progress.epoch, self.config.epochs
        later = sorted(self.epoch_seconds[1:] or self.epoch_seconds)  # the first one compiles
        typical = later[len(later) // 2]
        logger.info(
            "epoch %d/%d  loss %.4g  val_loss %.4g  %s %.4g (best %.4g at %d)  lr %.3g  %.1f s/epoch  %s left",
            *(done, total, row["loss"], row.get("val_loss", math.nan), self.config.monitor, value),
            *(self.progress.best_value, self.progress.best_epoch, row["learning_rate"], row["seconds"]),
            format_duration(typical * (total - done)),
        )


def finished(config: RunConfig, progress: Progress) -> bool:
    """Whether all epochs are done, or `patience` epochs have brought nothing better."""
    waited = progress.epoch - progress.best_epoch
    return progress.epoch >= config.epochs or (config.patience is not None and waited >= config.patience)


def publish(folder: Path, progress: Progress) -> None:
    """Makes `model.keras` and `history.csv` agree with the state, and removes the models of earlier best epochs."""
    checkpoints = folder / "checkpoints"
    if progress.best_file is not None:
        best, model = checkpoints / progress.best_file, folder / "model.keras"
        # Renaming a link over another of the same file does nothing, and would leave the temporary name.
        if not (model.exists() and model.samefile(best)):
            replace_file(model, lambda temporary: _link_or_copy(best, temporary))
        for path in checkpoints.glob("*best-*.keras"):
            if path.name != progress.best_file:
                path.unlink()
    columns = list(dict.fromkeys(name for row in progress.history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(progress.history)
    write_text(folder / "history.csv", text.getvalue())


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        target.write_bytes(source.read_bytes())


def _plain_logs(logs: dict[str, Any]) -> dict[str, float]:
    """Values as floats; the metrics of the output `final` get the name that they have in a model with one output."""
    plain = {}
    for name, value in logs.items():
        short = name.replace("final_", "", 1) if not name.endswith("final_loss") else name
        plain[short] = float(value)
    return plain


def format_duration(seconds: float) -> str:
    """45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


class ScalarBoard:
    """Scalars for TensorBoard by its own writer, which needs no TensorFlow.

    Args:
        folder: Where the event files go.
    """

    def __init__(self, folder: Path):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder))

    def add(self, row: dict[str, float]) -> None:
        """Writes the values of one epoch."""
        from tensorboard.compat.proto import event_pb2, summary_pb2

        values = [
            summary_pb2.Summary.Value(tag=_tag(name), simple_value=float(value))
            for name, value in row.items()
            if name != "epoch"
        ]
        summary = summary_pb2.Summary(value=values)
        self._writer.add_event(event_pb2.Event(wall_time=time.time(), step=int(row["epoch"]), summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Ends the writer's thread."""
        self._writer.close()


def _tag(name: str) -> str:
    return f"validation/{name[4:]}" if name.startswith("val_") else f"train/{name}"


def open_board(folder: Path) -> ScalarBoard | None:
    """A `ScalarBoard`, or None with a word in the log where TensorBoard is not installed."""
    try:
        return ScalarBoard(folder)
    except ImportError as error:
        logger.info("no TensorBoard log: %s", error)
        return None
