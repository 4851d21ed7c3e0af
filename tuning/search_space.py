"""What a sweep tries, task by task, and how a point becomes the configuration of a run.

All parameters have a finite list of values, in even steps of their logarithm where they span decades. So two points are
equal or not, "tried before" is exact, and a space can be known to be exhausted.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudkeras.errors import InputError, check, check_choice
from cloudkeras.models import MODELS
from cloudkeras.tasks import Task
from cloudkeras.training import RunConfig

Value = float | int | str
SIZES = ("small", "full")


@dataclass(frozen=True)
class Parameter:
    """One axis of the search.

    Attributes:
        name: Its name in tables.
        values: All values that it may take.
        ordered: Whether neighbours in the list are alike.
        default: Value before anything is known.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool = True
    default: Value | None = None

    def __post_init__(self) -> None:
        check(len(self.values) >= 1, f"The parameter {self.name!r} needs at least 1 value.")
        check(len(set(self.values)) == len(self.values), f"The values of {self.name!r} differ.", values=self.values)

    def encode(self, value: Value) -> list[float]:
        """Coordinates in which like values are near: 0 to 1 in order, or one axis a value, all of them as far apart."""
        index = self.values.index(value)
        if self.ordered:
            return [index / max(1, len(self.values) - 1)]
        return [math.sqrt(0.5) * (i == index) for i in range(len(self.values))]


Space = tuple[Parameter, ...]
Point = dict[str, Value]

_COMMON: Space = (
    Parameter("learning_rate", (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2), default=1e-3),
    Parameter("l2", (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3), default=1e-6),
    Parameter("dropout", (0.0, 0.05, 0.1, 0.2, 0.3, 0.5), default=0.1),
    Parameter("decay_at", (0.5, 0.7, 0.9), default=0.7),
)
_BY_KIND: dict[str, Space] = {
    "classification": (
        Parameter("loss", ("sparse_crossentropy", "focal", "dice_compound"), ordered=False),
        Parameter("class_weights", ("none", "inverse_sqrt", "median_frequency"), default="inverse_sqrt"),
    ),
    "regression": (Parameter("loss", ("masked_mae", "masked_mse", "unet3plus_hybrid"), ordered=False),),
}
# King et al. 2024 search 5e-5 .. 5e-2 in learning rate among others; a full search follows theirs where it is wider.
_FULL_LEARNING_RATES = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "small": {"filters": (4, 8, 16), "depth": (2, 3, 4), "batch_size": (2, 4, 8)},
    "full": {"filters": (16, 32, 64), "depth": (3, 4, 5, 6), "batch_size": (2, 4, 8, 16)},
}


def search_space(task: Task, model: str, image_shape: tuple[int, int], samples: int, size: str) -> Space:
    """The parameters to search.

    Args:
        task: The task.
        model: Name of the builder.
        image_shape: Rows and columns; the depth is limited to what they divide by.
        samples: Samples of the training split; the batch size is limited to half of them.
        size: "small" for minutes on a CPU, "full" for an accelerator.

    Raises:
        InputError: If no depth fits the images, or the model or size is unknown.
    """
    check_choice(model, sorted(MODELS), "model")
    check_choice(size, SIZES, "space")
    shapes: dict[str, tuple[int, ...]] = dict(_SHAPES[size])
    shapes["batch_size"] = tuple(b for b in shapes["batch_size"] if 2 * b <= samples) or (1,)
    shapes["depth"] = tuple(d for d in shapes["depth"] if _depth_fits(model, d, image_shape))
    check(bool(shapes["depth"]), "No depth of the search divides the images; choose another size.", images=image_shape)
    parameters = {p.name: p for p in (*_COMMON, *_BY_KIND[task.kind])}
    if size == "full":
        parameters["learning_rate"] = Parameter("learning_rate", _FULL_LEARNING_RATES, default=5e-4)
        parameters["optimizer"] = Parameter("optimizer", ("adam", "rmsprop", "sgd"), ordered=False)
    for name in ("filters", "depth", "batch_size"):
        values = shapes[name]
        parameters[name] = Parameter(name, values, default=values[len(values) // 2])
    return tuple(parameters.values())


def without(space: Space, fixed: Mapping[str, Any]) -> Space:
    """The space without the parameters that the user has fixed."""
    return tuple(p for p in space if p.name not in fixed)


def size_of(space: Space) -> int:
    """Number of points."""
    return math.prod(len(p.values) for p in space)


def neighbours(space: Space, point: Point) -> Iterator[Point]:
    """All points that differ in one parameter: by one step where it is ordered, by anything where it is not."""
    for parameter in space:
        index = parameter.values.index(point[parameter.name])
        for other, value in enumerate(parameter.values):
            if other != index and (not parameter.ordered or abs(other - index) == 1):
                yield {**point, parameter.name: value}


def configuration(base: RunConfig, point: Mapping[str, Any]) -> RunConfig:
    """The run of a point.

    Args:
        base: What all runs of the sweep share; its model is resolved.
        point: Values by parameter name. `filters` and `depth` become the builder's `filters`, `decay_at` the fractions
            of the epochs at which the learning rate decays: there, and half-way from there to the end.
    """
    point = dict(point)
    options = dict(base.model_options)
    if "filters" in point:
        options["filters"] = _filters(str(base.model), int(point.pop("filters")), point.pop("depth", None))
    if "decay_at" in point:
        at = float(point.pop("decay_at"))
        point["decay_epochs"] = (at, (1 + at) / 2)
    known = {f.name for f in dataclasses.fields(RunConfig)}
    if unknown := sorted(set(point) - known):
        raise InputError(f"A point of the search has parameters that no run has: {', '.join(unknown)}.")
    return dataclasses.replace(base, model_options=options, **point)


def _depth_fits(model: str, depth: int, image_shape: tuple[int, int]) -> bool:
    """Whether the builder takes that many scales on images of that size."""
    if model == "sgmagnet" and depth < 3:  # its generator works at three scales
        return False
    halvings = depth if model == "segnet" else depth - 1  # each scale of a SegNet ends in a pooling
    return all(n % 2**halvings == 0 for n in image_shape)


def _filters(model: str, first: int, depth: Any) -> list[int]:
    """The builder's `filters`, doubling from scale to scale; as many scales as its default has if `depth` is None."""
    default = inspect.signature(MODELS[model]).parameters["filters"].default
    return [first * 2**i for i in range(len(default) if depth is None else int(depth))]
