"""UNet: encoder, decoder, and skips between equal scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from ..errors import check
from .blocks import (
    INTERPOLATIONS,
    Blocks,
    InputShape,
    check_arguments,
    check_first_guess,
    check_interpolation,
    output,
)
from .encoders import DEEPEST, check_encoder, encoder_features


def unet_features(blocks: Blocks, x: Any, filters: tuple[int, ...], upsampling: str, part: str = "") -> list[Any]:
    """The body of a UNet.

    Returns:
        Decoder features by scale, full resolution first, the deepest (the bottom of the U) last; the one at index i
        has `filters[i]` channels and 1 / 2**i of the rows and columns.
    """
    skips = []
    for i, width in enumerate(filters):
        if i:
            x = blocks.drop(blocks.pool(x, 2, f"{part}encoder{i}"), f"{part}encoder{i}")
        x = blocks.conv_norm_relu(x, width, f"{part}encoder{i}", count=2)
        skips.append(x)
    return _decoder(blocks, x, skips[:-1], filters, upsampling, part)


def _decoder(
    blocks: Blocks, x: Any, skips: Sequence[Any], filters: tuple[int, ...], upsampling: str, part: str = ""
) -> list[Any]:
    """Decoder features by scale, full resolution first, `x` last; a skip may be None."""
    features = [x]
    for i in range(len(skips) - 1, -1, -1):
        name = f"{part}decoder{i}"
        x = blocks.drop(_upsample(blocks, features[0], filters[i], upsampling, name), name)
        if skips[i] is not None:
            x = layers.Concatenate(name=blocks.named(f"{name}_concat"))([skips[i], x])
        features.insert(0, blocks.conv_norm_relu(x, filters[i], name, count=2))
    return features


def _features_on_encoder(
    blocks: Blocks, x: Any, filters: tuple[int, ...], upsampling: str, encoder: str, weights: str | None
) -> list[Any]:
    """As `unet_features`, with an encoder of `keras.applications`, which is one scale deeper than the decoder."""
    deepest = 2 ** len(filters)
    scales = encoder_features(blocks, x, encoder, weights, deepest=deepest)
    skips = [None, *(scales.get(2**i) for i in range(1, len(filters)))]
    return _decoder(blocks, blocks.drop(scales[deepest], "encoder"), skips, filters, upsampling)


def _upsample(blocks: Blocks, x: Any, filters: int, upsampling: str, part: str) -> Any:
    if upsampling == "transpose":
        return blocks.transposed_conv(x, filters, f"{part}_up")
    x = blocks.upsample_conv(x, filters, 2, upsampling, f"{part}_up", fast=False)
    return blocks.norm_relu(x, f"{part}_up")


def build_unet(
    input_shape: InputShape = (128, 128, 16),
    num_classes: int = 4,
    *,
    levels: int | None = None,
    filters: tuple[int, ...] = (32, 64, 128, 256, 512),
    dropout: float = 0.0,
    mc_dropout: bool = False,
    l2: float = 0.0,
    upsampling: str = "bilinear",
    first_guess: bool = False,
    encoder: str | None = None,
    encoder_weights: str | None = None,
    name: str = "unet",
) -> keras.Model:
    """Builds a UNet.

    Two 3 x 3 convolutions a block, each with batch normalization and ReLU; "same" padding in place of the paper's
    cropping. Upsampling is an interpolation and a 3 x 3 convolution, or the paper's 2 x 2 transposed convolution.

    The UNet of MeltwaterBench (arXiv 2512.12142; 31.0 million parameters) is `filters=(64, 128, 256, 512, 1024),
    upsampling="transpose"`. With `encoder`, the encoder is a network of `keras.applications`, one scale deeper than the
    decoder, whose features of stride 2, 4, ... are the skips; the full resolution has none, as in
    segmentation_models.pytorch, and the same holds for stride 2 with a ConvNeXt. (The published UNet of that kind has
    an Xception-71, which `keras.applications` does not; its 49.6 million parameters are not those of "xception".)

    Args:
        input_shape: (rows, columns, channels); rows and columns may be None.
        num_classes: Values at each pixel or voxel.
        levels: None for an image; a number makes a volume of that many levels through a shared 1 x 1 head.
        filters: Channels per scale, shallow to deep; with `encoder` those of the decoder alone, at most 5.
        dropout: Dropout rate after each pooling and each upsampling; with `encoder` after it and each upsampling.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on the convolution kernels.
        upsampling: "bilinear", "nearest" or "transpose".
        first_guess: For filling the lowest part of a curtain: the net is shown the lowest visible value repeated
            downwards (`RepeatDownward`) and adds to it.
        encoder: None for the paper's, or one of `cloudkeras.models.ENCODERS`.
        encoder_weights: None for a random start, "imagenet" (downloaded by Keras once), or a file of weights of the
            application without its classifier. See `encoder_features` for other than 3 bands and for the values that
            ImageNet weights expect.
        name: The model's name and the prefix of its layers' names.

    Input shape:  (batch, rows, columns, channels), normalized, unitless.
    Output shape: (batch, rows, columns, num_classes) or (batch, levels, rows, columns, num_classes), logits or linear
        values, float32; the output is called "final".

    Raises:
        InputError: If an argument is out of its range, rows or columns do not divide by `2**(len(filters) - 1)`
            (`2**len(filters)` with `encoder`), or the weights cannot be had.

    Example:
        >>> from cloudkeras.models import build_unet
        >>> build_unet((64, 96, 3), 1, filters=(4, 8)).output_shape
        (None, 64, 96, 1)

    Reference: Ronneberger et al. 2015, arXiv 1505.04597, section 2.
    """
    factor = None if encoder is None or not isinstance(filters, Sequence) else 2 ** len(filters)
    check_arguments(input_shape, num_classes, levels, filters, dropout, l2, factor=factor)
    check_encoder(encoder, encoder_weights)
    check_interpolation(upsampling, (*INTERPOLATIONS, "transpose"))
    check_first_guess(first_guess, input_shape, num_classes, levels)
    check(factor is None or factor <= DEEPEST, "With `encoder`, `filters` has at most 5 entries.", filters=filters)
    blocks = Blocks(name, dropout, mc_dropout, l2)
    inputs = keras.Input(input_shape, name=blocks.named("input"))
    seen = blocks.first_guess(inputs) if first_guess else inputs
    if encoder is None:
        features = unet_features(blocks, seen, tuple(filters), upsampling)
    else:
        features = _features_on_encoder(blocks, seen, tuple(filters), upsampling, encoder, encoder_weights)
    outputs = {"final": blocks.head(features[0], num_classes, levels, "final", 1)}
    if first_guess:
        outputs = blocks.add_first_guess(outputs, seen)
    return keras.Model(inputs, output(outputs["final"], "final"), name=name)
