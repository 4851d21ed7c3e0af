"""What a sweep tries, task by task, and how a point becomes the configuration of a run.

All parameters have a finite list of values, in even steps of their logarithm where they span decades. So two points are
equal or not, "tried before" is exact, and a space can be known to be exhausted.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
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
    "fraction": (
        Parameter("loss", ("masked_mae", "masked_mse", "masked_bce"), ordered=False),
        Parameter(
            "schedule", ("step", "cosine_restarts", "plateau", "constant"), ordered=False, default="cosine_restarts"
        ),
    ),
}
# King et al. 2024 search 5e-5 .. 5e-2 in learning rate among others; a full search follows theirs where it is wider.
_FULL_LEARNING_RATES = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "small": {"filters": (4, 8, 16), "depth": (2, 3, 4), "batch_size": (2, 4, 8)},
    "full": {"filters": (16, 32, 64), "depth": (3, 4, 5, 6), "batch_size": (2, 4, 8, 16)},
}
# Encoders of `keras.applications`, in order of cost; "own" is the encoder that the builder itself makes.
OWN_ENCODER = "own"
_ENCODERS: dict[str, tuple[str, ...]] = {
    "small": ("mobilenetv2",),
    "full": ("mobilenetv2", "efficientnetv2b0", "resnet50", "xception"),
}
_MOST_SCALES_ON_AN_ENCODER = 5
# A DeepLabv3+ has two widths and no depth: here the deeper one, the other being 3 / 16 of it (48 and 256 as published).
_DEEPLAB_FILTERS: dict[str, tuple[int, ...]] = {"small": (32, 64, 128), "full": (128, 256)}
_OUTPUT_STRIDES = (8, 16)

_KING2024: Space = (
    Parameter(
        "learning_rate",
        (5e-7, 1.6e-6, 5e-6, 1.6e-5, 5e-5, 1.6e-4, 5e-4, 1.6e-3, 5e-3, 1.6e-2, 5e-2),
        default=5e-5,
    ),
    Parameter("l2", (1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2), default=1e-5),
    Parameter("dropout", (0.01, 0.1, 0.2, 0.5), default=0.2),
    Parameter("optimizer", ("adam", "sgd", "rmsprop"), ordered=False, default="adam"),
    Parameter("upsampling", ("bilinear", "nearest"), ordered=False, default="bilinear"),
    Parameter("filters", (16, 32, 64), default=32),
    Parameter("depth", (4, 5, 6, 7), default=5),
    Parameter("batch_size", (2, 4, 8, 16), default=16),
)
# Published search spaces, by the name of the training preset that says what is not searched.
PRESET_SPACES: dict[str, Space] = {"king2024": _KING2024, "king2024_era5": _KING2024}


def preset_space(name: str, model: str, image_shape: tuple[int | None, int | None], samples: int) -> Space:
    """A published search space, as far as images, data and model allow it.

    King et al. 2024 search depths of 3 to 6 poolings (4 to 7 scales, which is what `depth` counts), batches of 2 to 16,
    learning rates from 5e-7 to 5e-2 and L2 penalties from 1e-5 to 1e-2 (here in half decades), 16 to 64 filters at the
    first scale, four dropout rates, three optimizers and two ways of upsampling. The first point is what they found.

    Args:
        name: One of `PRESET_SPACES`.
        model: Name of the builder; parameters that it does not have are left out.
        image_shape: Rows and columns.
        samples: Samples of the training split.

    Raises:
        InputError: If there is no such space, or no depth fits the images.

    Reference: King et al. 2024, AIES-D-23-0063.
    """
    check_choice(name, sorted(PRESET_SPACES), "preset")
    check_choice(model, sorted(MODELS), "model")
    parameters = {p.name: p for p in PRESET_SPACES[name]}
    if "upsampling" not in inspect.signature(MODELS[model]).parameters:
        del parameters["upsampling"]
    for shape, values in _possible(
        {n: parameters[n].values for n in ("depth", "batch_size")}, model, image_shape, samples
    ).items():
        default = parameters[shape].default
        parameters[shape] = Parameter(shape, values, default=default if default in values else values[-1])
    return tuple(parameters.values())


def search_space(
    task: Task,
    model: str,
    image_shape: tuple[int | None, int | None],
    samples: int,
    size: str,
    model_options: Mapping[str, Any] | None = None,
) -> Space:
    """The parameters to search.

    Schedules are searched for the melt fraction in place of the epoch of the step. So is the encoder of its UNet, and
    that of every DeepLabv3+.

    Args:
        task: The task.
        model: Name of the builder.
        image_shape: Rows and columns, None where they vary; the depth is limited to what they divide by.
        samples: Samples of the training split; the batch size is limited to half of them.
        size: "small" for minutes on a CPU, "full" for an accelerator.
        model_options: Options of the builder that the user has fixed, which may limit the others.

    Raises:
        InputError: If no depth fits the images, or the model or size is unknown.
    """
    check_choice(model, sorted(MODELS), "model")
    check_choice(size, SIZES, "space")
    fixed = dict(model_options or {})
    kind = "fraction" if task.loss_options().get("from_logits") else task.kind
    parameters = {p.name: p for p in (*_COMMON, *_BY_KIND[kind])}
    if "schedule" in parameters:
        del parameters["decay_at"]
    if size == "full":
        parameters["learning_rate"] = Parameter("learning_rate", _FULL_LEARNING_RATES, default=5e-4)
        parameters["optimizer"] = Parameter("optimizer", ("adam", "rmsprop", "sgd"), ordered=False)
    shapes: dict[str, tuple[Any, ...]] = dict(_SHAPES[size])
    if model == "deeplabv3plus":
        shapes |= {"filters": _DEEPLAB_FILTERS[size], "output_stride": _OUTPUT_STRIDES}
        del shapes["depth"]
        parameters["encoder"] = Parameter("encoder", _ENCODERS[size])
    elif model == "unet" and kind == "fraction" and "encoder" not in fixed:
        parameters["encoder"] = Parameter("encoder", (OWN_ENCODER, *_ENCODERS[size]), ordered=False)
    encoded = "encoder" in parameters or fixed.get("encoder") is not None
    for name, values in _possible(shapes, model, image_shape, samples, encoded).items():
        parameters[name] = Parameter(name, values, default=values[len(values) // 2])
    return tuple(parameters.values())


def _possible(
    shapes: Mapping[str, tuple[Any, ...]],
    model: str,
    image_shape: tuple[int | None, int | None],
    samples: int,
    encoded: bool = False,
) -> dict[str, tuple[Any, ...]]:
    """What the images divide by (depths, strides), and batch sizes that leave two steps an epoch."""
    batches = tuple(b for b in shapes["batch_size"] if 2 * b <= samples) or (1,)
    possible = {**shapes, "batch_size": batches}
    if "depth" in shapes:
        possible["depth"] = tuple(d for d in shapes["depth"] if _depth_fits(model, d, image_shape, encoded))
        check(
            bool(possible["depth"]),
            "No depth of the search divides the images; choose another size.",
            images=image_shape,
        )
    if "output_stride" in shapes:
        possible["output_stride"] = tuple(n for n in shapes["output_stride"] if _divides(n, image_shape))
        strides = shapes["output_stride"]
        check(bool(possible["output_stride"]), f"Rows and columns divide by {min(strides)}.", images=image_shape)
    return possible


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


# What goes with a schedule in a run of so many epochs: steps at 0.7 and 0.85; three cosines, each twice as long as the
# one before, that end with the run; a plateau of an eighth of the epochs.
_SCHEDULE_FIELDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "step": lambda epochs: {"decay_epochs": (0.7, 0.85)},
    "cosine_restarts": lambda epochs: {"restart_epochs": max(1, round(epochs / 7)), "restart_growth": 2},
    "plateau": lambda epochs: {"plateau_patience": max(1, epochs // 8)},
    "constant": lambda epochs: {},
}


def configuration(base: RunConfig, point: Mapping[str, Any]) -> RunConfig:
    """The run of a point.

    Args:
        base: What all runs of the sweep share; its model is resolved.
        point: Values by parameter name. `filters` and `depth` become the builder's `filters`, `decay_at` the fractions
            of the epochs at which the learning rate decays: there, and half-way from there to the end; `schedule` also
            sets what fits the number of epochs; other names that a run does not have are options of the builder.
    """
    point = dict(point)
    options = dict(base.model_options)
    if "filters" in point:
        options["filters"] = _filters(str(base.model), int(point.pop("filters")), point.pop("depth", None))
    if "encoder" in point:
        encoder = point.pop("encoder")
        options["encoder"] = None if encoder == OWN_ENCODER else encoder
    if "decay_at" in point:
        at = float(point.pop("decay_at"))
        point["decay_epochs"] = (at, (1 + at) / 2)
    fields: dict[str, Any] = {**_SCHEDULE_FIELDS[str(point["schedule"])](base.epochs)} if "schedule" in point else {}
    known = {f.name for f in dataclasses.fields(RunConfig)}
    for name in (set(point) - known) & set(inspect.signature(MODELS[str(base.model)]).parameters):
        options[name] = point.pop(name)
    if unknown := sorted(set(point) - known):
        raise InputError(f"A point of the search has parameters that no run has: {', '.join(unknown)}.")
    return dataclasses.replace(base, model_options=options, **fields, **point)


def _depth_fits(model: str, depth: int, image_shape: tuple[int | None, int | None], encoded: bool = False) -> bool:
    """Whether the builder takes that many scales on images of that size."""
    if model == "sgmagnet" and depth < 3:  # its generator works at three scales
        return False
    if encoded and depth > _MOST_SCALES_ON_AN_ENCODER:
        return False
    # Each scale of a SegNet ends in a pooling; an encoder is one scale deeper than the decoder on it.
    halvings = depth if model == "segnet" or encoded else depth - 1
    return _divides(2**halvings, image_shape)


def _divides(factor: int, image_shape: tuple[int | None, int | None]) -> bool:
    return all(n is None or n % factor == 0 for n in image_shape)


def _filters(model: str, first: int, depth: Any) -> list[int]:
    """The builder's `filters`: a DeepLabv3+'s two, or doubling from scale to scale, as many as its default if None."""
    if model == "deeplabv3plus":
        return [max(4, 3 * first // 16), first]
    default = inspect.signature(MODELS[model]).parameters["filters"].default
    return [first * 2**i for i in range(len(default) if depth is None else int(depth))]
