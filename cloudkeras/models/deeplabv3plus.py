"""DeepLabv3+: an encoder of dilated convolutions, atrous spatial pyramid pooling, and a light decoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ..errors import check, check_choice, check_divisible
from .blocks import Blocks, InputShape, check_arguments, output
from .encoders import ENCODERS, check_encoder, encoder_features

OUTPUT_STRIDES = (8, 16)
LOW_STRIDE = 4


def build_deeplabv3plus(
    input_shape: InputShape = (128, 128, 16),
    num_classes: int = 4,
    *,
    levels: int | None = None,
    filters: tuple[int, int] = (48, 256),
    dropout: float = 0.0,
    mc_dropout: bool = False,
    l2: float = 0.0,
    encoder: str = "xception",
    encoder_weights: str | None = None,
    output_stride: int = 16,
    rates: tuple[int, ...] = (6, 12, 18),
    name: str = "deeplabv3plus",
) -> keras.Model:
    """Builds a DeepLabv3+ on an encoder of `keras.applications`.

    The deepest features, kept at `output_stride` by dilation, pass atrous spatial pyramid pooling: a 1 x 1 convolution,
    a dilated 3 x 3 one for each rate, and the mean of the image, mixed to `filters[1]` channels. The decoder joins them
    with the features of stride 4, taken down to `filters[0]` channels, applies two 3 x 3 convolutions, and interpolates
    the output by 4. All 3 x 3 convolutions are depthwise separable, with batch normalization and ReLU after both parts.

    MeltwaterBench (arXiv 2512.12142) takes `output_stride=8` and the encoder Xception-71, which `keras.applications`
    does not have: its "xception" is the network of Chollet 2017, shorter, with pooling where Xception-71 has strided
    convolutions. Numbers published for Xception-71 (49.6 million parameters for a UNet on it) are not its numbers.

    Args:
        input_shape: (rows, columns, channels); rows and columns may be None.
        num_classes: Values at each pixel or voxel.
        levels: None for an image; a number makes a volume of that many levels through a shared 1 x 1 head.
        filters: Channels of the features of stride 4 in the decoder, and of everything deeper.
        dropout: Dropout rate before each convolution of the decoder and before the head.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on the convolution kernels, the encoder's too.
        encoder: One of `cloudkeras.models.ENCODERS`.
        encoder_weights: None for a random start, "imagenet" (downloaded by Keras once), or a file of weights of the
            application without its classifier. See `encoder_features` for other than 3 bands and for the values that
            ImageNet weights expect.
        output_stride: 8 or 16; 8 sees finer, at about twice the cost.
        rates: Dilation rates of the pyramid, at `output_stride` 16; Chen et al. double them at 8, MeltwaterBench does
            not.
        name: The model's name and the prefix of its layers' names.

    Input shape:  (batch, rows, columns, channels), normalized, unitless.
    Output shape: (batch, rows, columns, num_classes) or (batch, levels, rows, columns, num_classes), logits or linear
        values, float32; the output is called "final".

    Raises:
        InputError: If an argument is out of its range, rows or columns do not divide by `output_stride`, or the
            weights cannot be had.

    Example:
        >>> from cloudkeras.models import build_deeplabv3plus
        >>> build_deeplabv3plus((64, 96, 4), 1, encoder="mobilenetv2", filters=(8, 16)).output_shape
        (None, 64, 96, 1)

    Reference: Chen et al. 2018, arXiv 1802.02611, section 3; Chollet 2017, arXiv 1610.02357.
    """
    check_arguments(input_shape, num_classes, levels, filters, dropout, l2, factor=1)
    check(len(filters) == 2, "`filters` has 2 entries: features of stride 4, and deeper ones.", filters=filters)
    check(output_stride in OUTPUT_STRIDES, "`output_stride` is 8 or 16.", output_stride=output_stride)
    check(
        len(rates) > 0 and all(isinstance(rate, int) and rate >= 1 for rate in rates),
        "`rates` are whole numbers of at least 1.",
        rates=rates,
    )
    check_choice(encoder, list(ENCODERS), "encoder")
    check_encoder(encoder, encoder_weights)
    check_divisible(input_shape[0], input_shape[1], output_stride, "output_stride")
    blocks = Blocks(name, dropout, mc_dropout, l2)
    inputs = keras.Input(input_shape, name=blocks.named("input"))
    features = encoder_features(blocks, inputs, encoder, encoder_weights, output_stride=output_stride)
    deep = _pyramid(blocks, features[max(features)], filters[1], rates)
    deep = blocks.upsample(deep, output_stride // LOW_STRIDE, "bilinear", "pyramid")
    low = blocks.norm_relu(blocks.conv(features[LOW_STRIDE], filters[0], "low_conv", 1), "low")
    x = layers.Concatenate(name=blocks.named("decoder_concat"))([low, deep])
    for i in (1, 2):  # dropout where branches are joined: in one of them it would change the order of the weights
        x = _separable(blocks, blocks.drop(x, f"decoder_{i}"), filters[1], 1, f"decoder_{i}")
    x = blocks.head(blocks.drop(x, "final"), num_classes, levels, "final", 1)
    x = blocks.upsample(x, LOW_STRIDE, "bilinear", "final")
    return keras.Model(inputs, output(x, "final"), name=name)


def _pyramid(blocks: Blocks, x: Any, channels: int, rates: tuple[int, ...]) -> Any:
    """Atrous spatial pyramid pooling.

    The mean of the image is mixed in as a sum, which is the 1 x 1 convolution of all parts side by side with the mean
    repeated for every pixel, split in two: the same numbers at a fifth less work.
    """
    parts = [blocks.norm_relu(blocks.conv(x, channels, "pyramid_point_conv", 1), "pyramid_point")]
    parts += [_separable(blocks, x, channels, rate, f"pyramid_rate{rate}") for rate in rates]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=blocks.named("pyramid_mean_pool"))(x)
    mean = blocks.norm_relu(blocks.conv(mean, channels, "pyramid_mean_conv", 1), "pyramid_mean")
    mean = layers.Conv2D(
        channels,
        1,
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=blocks.regularizer(),
        name=blocks.named("pyramid_mean_mix"),
    )(mean)
    joined = layers.Concatenate(name=blocks.named("pyramid_concat"))(parts)
    mixed = blocks.conv(joined, channels, "pyramid_mix", 1)
    return blocks.norm_relu(layers.Add(name=blocks.named("pyramid_add"))([mixed, mean]), "pyramid")


def _separable(blocks: Blocks, x: Any, channels: int, rate: int, part: str) -> Any:
    """A depthwise 3 x 3 and a 1 x 1 convolution, each with batch normalization and ReLU."""
    x = layers.DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=rate,
        use_bias=False,
        depthwise_initializer="he_normal",
        depthwise_regularizer=blocks.regularizer(),
        name=blocks.named(f"{part}_depthwise"),
    )(x)
    x = blocks.norm_relu(x, f"{part}_depthwise")
    return blocks.norm_relu(blocks.conv(x, channels, f"{part}_pointwise", 1), f"{part}_pointwise")
