"""What the builders share: argument checks, named blocks, output heads, loss weights for several outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from ..errors import check, check_choice, check_divisible
from ..layers import MonteCarloDropout, RepeatDownward, ResizeConv2D, UnfoldLevels, Upsample, VolumeHead
from ..layers.upsample import INTERPOLATIONS

PRESENCE_WEIGHT = 0.1
# Keras's 0.99 needs some 500 steps before inference sees the statistics that training saw; radar days have 20 an epoch.
NORM_MOMENTUM = 0.9
ACTIVATIONS = ("relu", "leaky_relu")
LEAK = 0.2  # slope of "leaky_relu" below 0 (Geiss & Hardin 2021)

InputShape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class Blocks:
    """The blocks of one model: names start with the model's, regularization and dropout are the same throughout.

    Attributes:
        name: The model's name; every layer but the outputs is called `<name>_<part>`.
        dropout: Dropout rate, 0 for none.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on all convolution kernels, 0 for none.
        activation: "relu" or "leaky_relu" after the convolutions.
        batch_norm: Whether batch normalization comes between convolution and activation.
    """

    name: str
    dropout: float = 0.0
    mc_dropout: bool = False
    l2: float = 0.0
    activation: str = "relu"
    batch_norm: bool = True

    def named(self, part: str) -> str:
        return f"{self.name}_{part}"

    def regularizer(self) -> keras.regularizers.Regularizer | None:
        return keras.regularizers.L2(self.l2) if self.l2 else None

    def conv(self, x: Any, filters: int, part: str, kernel_size: int = 3) -> Any:
        """A 2-D convolution, he_normal, with bias."""
        return layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=self.regularizer(),
            name=self.named(part),
        )(x)

    def norm_relu(self, x: Any, part: str) -> Any:
        """Batch normalization, if any, and the activation."""
        if self.batch_norm:
            x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=self.named(f"{part}_norm"))(x)
        slope = LEAK if self.activation == "leaky_relu" else 0.0
        return layers.ReLU(negative_slope=slope, name=self.named(f"{part}_{self.activation}"))(x)

    def conv_norm_relu(self, x: Any, filters: int, part: str, count: int = 1) -> Any:
        """`count` times convolution 3 x 3, batch normalization, activation."""
        for i in range(1, count + 1):
            numbered = part if count == 1 else f"{part}_{i}"
            x = self.norm_relu(self.conv(x, filters, f"{numbered}_conv"), numbered)
        return x

    def drop(self, x: Any, part: str, *, even_at_zero: bool = False) -> Any:
        """Dropout. `even_at_zero` keeps the layer at rate 0, for nets whose order of layers would depend on it."""
        if not self.dropout and not even_at_zero:
            return x
        return MonteCarloDropout(self.dropout, self.mc_dropout, name=self.named(f"{part}_dropout"))(x)

    def pool(self, x: Any, factor: int, part: str) -> Any:
        return layers.MaxPooling2D(factor, name=self.named(f"{part}_pool"))(x)

    def upsample(self, x: Any, factor: int, interpolation: str, part: str) -> Any:
        return Upsample(factor, interpolation, name=self.named(f"{part}_upsample"))(x)

    def upsample_conv(self, x: Any, filters: int, factor: int, interpolation: str, part: str, fast: bool) -> Any:
        """Upsampling and a convolution 3 x 3; `fast` computes the same by `ResizeConv2D`, with the same weights."""
        if not fast:
            return self.conv(self.upsample(x, factor, interpolation, part), filters, f"{part}_conv")
        return ResizeConv2D(
            filters, factor, interpolation, kernel_regularizer=self.regularizer(), name=self.named(f"{part}_conv")
        )(x)

    def transposed_conv(self, x: Any, filters: int, part: str) -> Any:
        """Upsampling by 2 by a transposed convolution 2 x 2."""
        return layers.Conv2DTranspose(
            filters,
            2,
            strides=2,
            kernel_initializer="he_normal",
            kernel_regularizer=self.regularizer(),
            name=self.named(f"{part}_conv"),
        )(x)

    def first_guess(self, inputs: Any) -> Any:
        """The input with its lowest visible row repeated downwards; see `RepeatDownward`."""
        return RepeatDownward(name=self.named("first_guess"))(inputs)

    def add_first_guess(self, outputs: dict[str, Any], seen: Any) -> dict[str, Any]:
        """Adds the first channel of `seen` to all outputs but `presence`."""
        guess = seen[..., :1]
        return {
            key: x if key == "presence" else layers.Add(name=self.named(f"{key}_sum"))([x, guess])
            for key, x in outputs.items()
        }

    def head(self, x: Any, num_classes: int, levels: int | None, part: str, kernel_size: int) -> Any:
        """The last convolution: an image of `num_classes` channels, or a volume (levels, y, x, class)."""
        if levels is None:
            return self.conv(x, num_classes, f"{part}_head", kernel_size)
        return VolumeHead(
            levels, num_classes, kernel_size, kernel_regularizer=self.regularizer(), name=self.named(f"{part}_head")
        )(x)

    def upsampled_head(
        self, x: Any, num_classes: int, levels: int | None, factor: int, interpolation: str, part: str
    ) -> Any:
        """A head 3 x 3 at low resolution, its output upsampled to the full one."""
        x = self.conv(x, num_classes * (levels or 1), f"{part}_head")
        x = self.upsample(x, factor, interpolation, part)
        return x if levels is None else UnfoldLevels(levels, name=self.named(f"{part}_unfold"))(x)


def output(x: Any, name: str) -> Any:
    """Ends an output in float32 under exactly that name, whatever the precision policy."""
    return layers.Activation("linear", dtype="float32", name=name)(x)


def check_arguments(
    input_shape: Sequence[int | None],
    num_classes: int,
    levels: int | None,
    filters: Sequence[int],
    dropout: float,
    l2: float,
    *,
    factor: int | None = None,
) -> None:
    """Checks the arguments that all builders share.

    Args:
        input_shape: (rows, columns, channels) without the batch; rows and columns may be None.
        num_classes: Values at each pixel or voxel.
        levels: Number of levels, or None for an image.
        filters: Channels by scale.
        dropout: Dropout rate.
        l2: L2 penalty.
        factor: What rows and columns must divide by; `2**(len(filters) - 1)` if None.

    Raises:
        InputError: Naming the rule, the value and the remedy.
    """
    check(
        isinstance(filters, Sequence) and len(filters) >= 2 and all(_positive(f) for f in filters),
        "`filters` needs at least 2 whole numbers of at least 1, shallow to deep.",
        filters=filters,
    )
    check(
        isinstance(input_shape, Sequence)
        and len(input_shape) == 3
        and all(size is None or _positive(size) for size in input_shape[:2])
        and _positive(input_shape[2]),
        "`input_shape` is (rows, columns, channels) without the batch; rows and columns may be None.",
        input_shape=input_shape,
    )
    check(_positive(num_classes), "`num_classes` is a whole number of at least 1.", num_classes=num_classes)
    check(
        levels is None or _positive(levels),
        "`levels` is None for an image, or a whole number of at least 1 for a volume.",
        levels=levels,
    )
    check(_real(dropout) and 0.0 <= dropout < 1.0, "`dropout` is a share in [0, 1).", dropout=dropout)
    check(_real(l2) and 0.0 <= l2 < float("inf"), "`l2` is a finite penalty of at least 0.", l2=l2)
    reason = "2**(len(filters) - 1)" if factor is None else "2**len(filters)"
    check_divisible(input_shape[0], input_shape[1], factor or 2 ** (len(filters) - 1), reason)


def check_first_guess(first_guess: bool, input_shape: InputShape, num_classes: int, levels: int | None) -> None:
    """Raises `InputError` if a first guess is asked for and input or output cannot have one."""
    check(
        not first_guess or (levels is None and num_classes == 1 and input_shape[-1] >= 2),
        "`first_guess` is for images of one value (num_classes 1) with at least the channels value and mask.",
        input_shape=input_shape,
        num_classes=num_classes,
        levels=levels,
    )


def check_interpolation(value: str, choices: Sequence[str] = INTERPOLATIONS) -> None:
    """Raises `InputError` unless `value` is one of the choices of `upsampling`."""
    check_choice(value, choices, "upsampling")


def check_count(value: Any, name: str) -> None:
    """Raises `InputError` unless `value` is a whole number of at least 1."""
    check(_positive(value), f"`{name}` is a whole number of at least 1.", **{name: value})


def deep_supervision_loss_weights(model: keras.Model) -> dict[str, float]:
    """Loss weights for the outputs of a model, by name, for `compile(loss_weights=...)`.

    `final` has 1 and `aux_i` has `0.5**i`: the auxiliary outputs are made at ever coarser scales and cannot show the
    detail that the target has, so that they guide without outweighing the output that is used (together they stay
    below 1). `presence` has 0.1, a hint on the side. (The published code gives all outputs the same weight.)

    Args:
        model: A model of one of the builders.

    Returns:
        One weight for each of `model.output_names`.
    """
    return {name: _loss_weight(name) for name in model.output_names}


def _loss_weight(name: str) -> float:
    if name.startswith("aux_"):
        return 0.5 ** int(name.removeprefix("aux_"))
    return PRESENCE_WEIGHT if name == "presence" else 1.0


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
