"""What is explained: one number for each sample, a weighted mean of the network's output over a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from ..errors import check, check_choice
from ..tasks import Task

SPACES = ("network", "decoded")


@dataclass(frozen=True, eq=False)
class Objective:
    """A weighted mean of the output.

    Attributes:
        name: What it is, for titles and files.
        weights: (1 or batch, ...) over the axes of the final output, float32; they sum to 1 for each sample.
        space: "network" for logits or normalised values, "decoded" for what `Task.decode` makes of them:
            probabilities or physical units. Clipped values (no echo) have no gradient there.
        task: Needed for "decoded".
        unit: Unit of the number.
    """

    name: str
    weights: np.ndarray
    space: str = "network"
    task: Task | None = None
    unit: str = "1"

    def __call__(self, outputs: Any, inputs: Any, weights: Any) -> Any:
        """The number for each sample, (batch,).

        Args:
            outputs: The final output, a tensor of the backend.
            inputs: The network input.
            weights: `weights`, or those of the samples at hand, as a tensor.
        """
        if self.space == "decoded" and self.task is not None:
            outputs = self.task.decode(outputs, inputs, keras.ops)
        if len(outputs.shape) == len(weights.shape) - 1:
            outputs = keras.ops.expand_dims(outputs, -1)
        axes = tuple(range(1, len(weights.shape)))
        return keras.ops.sum(outputs * weights, axis=axes)


def make_objective(
    output_shape: Sequence[int],
    *,
    task: Task | None = None,
    region: Any = None,
    level: int | None = None,
    channel: int | str | None = None,
    space: str = "network",
    region_name: str = "",
) -> Objective:
    """The mean of one channel of the output over a region.

    Examples: the blind zone (`region` is its mask), one class at a level (`channel="ice", level=12`), a row (`region`
    is 1 in that row).

    Args:
        output_shape: Of the final output without the batch: (rows, columns, channels) or (levels, rows, columns,
            channels).
        task: Names the classes; needed for the space "decoded".
        region: Weights, (rows, columns), (levels, rows, columns), or either with the batch in front; None is
            everywhere.
        level: Level of a volume; None is all of them.
        channel: Class by name or number; may be left out where there is only one channel.
        space: See `Objective`.
        region_name: What the region is called.

    Raises:
        InputError: If there is no such class or level, shapes do not fit, or the region is empty.
    """
    shape = tuple(int(size) for size in output_shape)
    check(len(shape) in (3, 4), "`output_shape` is that of an image or a volume.", output_shape=shape)
    check_choice(space, SPACES, "space")
    check(space == "network" or task is not None, 'The space "decoded" needs a `task`.')
    classes = tuple(task.classes) if task is not None else ()
    number = _channel_number(channel, classes, shape[-1])
    weights = np.zeros((*_region(region, shape[:-1]).shape, shape[-1]), np.float32)
    weights[..., number] = _at_level(_region(region, shape[:-1]), level, shape)
    total = weights.reshape(len(weights), -1).sum(axis=1)
    check(
        bool((total > 0).all()),
        "`region` holds at least one pixel of each sample. Choose another sample or region.",
        empty=np.flatnonzero(total <= 0)[:8].tolist(),
        region=region_name or None,
    )
    weights /= total.reshape(-1, *[1] * (weights.ndim - 1))
    what = classes[number] if classes else (f"channel {number}" if shape[-1] > 1 else "output")
    name = f"mean {what}" + (f" at level {level}" if level is not None else "")
    name += f", {region_name}" if region_name else ""
    return Objective(name, weights, space, task, _unit(task, space))


def _unit(task: Task | None, space: str) -> str:
    if task is None or space == "network" or task.kind == "classification":
        return "1"
    return next((v.units for v in task.variables() if v.name == task.output_name()), "1")


def _channel_number(channel: int | str | None, classes: tuple[str, ...], count: int) -> int:
    if channel is None:
        check(count == 1, f"`channel` is one of {', '.join(classes) or f'0..{count - 1}'}.", channel=channel)
        return 0
    if isinstance(channel, str):
        if channel in classes:
            return classes.index(channel)
        check(channel.isdigit(), f"`channel` is one of {', '.join(classes) or f'0..{count - 1}'}.", channel=channel)
    number = int(channel)
    check(0 <= number < count, f"`channel` is one of {', '.join(classes) or f'0..{count - 1}'}.", channel=channel)
    return number


def _region(region: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The region with a batch axis, (1 or batch, [levels,] rows, columns)."""
    if region is None:
        return np.ones((1, *shape), np.float32)
    weights = np.asarray(region, np.float32)
    check(bool(np.isfinite(weights).all()) and weights.min(initial=0) >= 0, "`region` is finite and not negative.")
    if len(shape) == 3 and weights.ndim >= 2 and weights.shape[-2:] == shape[1:] and weights.shape[-3:] != shape:
        weights = weights[..., None, :, :]  # an image, for all levels
    fits = weights.ndim in (len(shape), len(shape) + 1) and all(
        w in (1, s) for w, s in zip(weights.shape[-len(shape) :], shape, strict=True)
    )
    check(fits, f"`region` has the shape {shape[-2:]} or {shape}, with or without the batch.", shape=weights.shape)
    if weights.ndim == len(shape):
        weights = weights[None]
    return np.array(np.broadcast_to(weights, (len(weights), *shape)))


def _at_level(region: np.ndarray, level: int | None, shape: tuple[int, ...]) -> np.ndarray:
    if level is None:
        return region
    check(len(shape) == 4, "`level` is for volumes; this model gives images.", level=level)
    check(0 <= level < shape[0], f"`level` is one of 0..{shape[0] - 1}.", level=level)
    only = np.zeros_like(region)
    only[:, level] = region[:, level]
    return only
