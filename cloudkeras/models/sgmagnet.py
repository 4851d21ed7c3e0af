"""SGMAGNet: a volume from an image; height-conditioned features, 3-D convolutions at several scales, phase gates."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ..errors import check
from ..layers import HeightEmbedding, PhaseGate, Upsample
from .blocks import Blocks, InputShape, check_arguments, check_count, check_interpolation, output
from .unet import unet_features


def build_sgmagnet(
    input_shape: InputShape = (128, 128, 16),
    num_classes: int = 4,
    *,
    levels: int = 38,
    filters: tuple[int, ...] = (32, 64, 128, 256, 512),
    dropout: float = 0.0,
    mc_dropout: bool = False,
    l2: float = 0.0,
    scales: tuple[int, ...] = (1, 2, 4),
    volume_channels: int = 8,
    embedding_size: int = 8,
    height_embedding: bool = True,
    phase_gating: bool = True,
    upsampling: str = "bilinear",
    name: str = "sgmagnet",
) -> keras.Model:
    """Builds an SGMAGNet: 3-D cloud phase from a geostationary imager.

    No code of the authors is public; this is built from the paper's three parts:

    1. Dynamic height encoder: a UNet makes image features at several scales; learnable embeddings of the levels
       generate the filters through which each level reads them (`HeightEmbedding`).
    2. Multi-scale volumetric generator: 3-D convolutions on grids 4, 2 and 1 pixels wide, coarse to fine, each
       scale added to the upsampled coarser one. Channels double where the grid halves, so that all cost alike.
    3. Phase-aware gating: softmax gates of a 3-D convolution weigh each phase's features (`PhaseGate`).

    The volume refines a plain head: logits = 1 x 1 convolution of the full-resolution image features + what the three
    parts add. So the net starts as a UNet with a volume head and need only learn what that one misses: vertical
    structure, and which phases exclude each other.

    The generator and the gating normalize over the channels of each voxel alone and see a finite neighbourhood
    (`decoder_radius`), so that decoding a part of the columns gives the same numbers there as decoding all. Dense 3 x 3
    x 3 convolutions are used as they are: on a CPU (oneDNN) 8 thin channels at full resolution cost less than one image
    convolution block.

    Args:
        input_shape: (rows, columns, channels); rows and columns may be None.
        num_classes: Phases, with "clear".
        levels: Number of levels.
        filters: Channels per encoder scale of the image network, shallow to deep.
        dropout: Dropout rate after each pooling and each upsampling of the image network.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on the convolution kernels.
        scales: Grid spacings of the generator in pixels, ascending powers of 2 beginning with 1, each double the one
            before; `(1,)` leaves only full resolution, `()` switches the generator off.
        volume_channels: Channels of the volume at scale 1; `scale` times as many at the others.
        embedding_size: Length of a level's embedding.
        height_embedding: False gives each level independent filters.
        phase_gating: False replaces the gates by a plain convolution.
        upsampling: "bilinear", "nearest" or "transpose", in the image network.
        name: The model's name and the prefix of its layers' names.

    Input shape:  (batch, rows, columns, channels), normalized, unitless.
    Output shape: (batch, levels, rows, columns, num_classes), logits, float32; the output is called "final".

    Raises:
        InputError: If an argument is out of its range, or rows or columns do not divide by `2**(len(filters) - 1)`.

    Example:
        >>> from cloudkeras.models import build_sgmagnet
        >>> build_sgmagnet((32, 48, 3), 4, levels=5, filters=(4, 8, 8), volume_channels=2).output_shape
        (None, 5, 32, 48, 4)

    Reference: SGMAGNet, arXiv 2509.15706.
    """
    check_count(levels, "levels")
    check_arguments(input_shape, num_classes, levels, filters, dropout, l2)
    check_count(volume_channels, "volume_channels")
    check_count(embedding_size, "embedding_size")
    check_interpolation(upsampling, ("bilinear", "nearest", "transpose"))
    check(
        tuple(scales) == tuple(2**i for i in range(len(scales))) and len(scales) <= len(filters),
        "`scales` is (1, 2, 4, ...), at most as many as `filters`, or () for none.",
        scales=scales,
        filters=filters,
    )
    blocks = Blocks(name, dropout, mc_dropout, l2)
    inputs = keras.Input(input_shape, name=blocks.named("input"))
    features = unet_features(blocks, inputs, tuple(filters), upsampling, "image_")
    logits = blocks.head(features[0], num_classes, levels, "final", 1)
    if scales or phase_gating:
        lift = _Lift(blocks, levels, embedding_size, height_embedding)
        volume = _generator(blocks, features, scales, volume_channels, lift)
        refined = _refinement(blocks, volume, num_classes, volume_channels, phase_gating)
        logits = layers.Add(name=blocks.named("refined"))([logits, refined])
    return keras.Model(inputs, output(logits, "final"), name=name)


def decoder_radius(scales: tuple[int, ...] = (1, 2, 4)) -> int:
    """How far from a column, in pixels along y or x, image features still change what is decoded there.

    At each scale of spacing `s` the 3 x 3 x 3 convolution reaches `s` further, and so does the interpolation from every
    coarser scale; the gating (or the convolution in its place) reaches 1.

    Args:
        scales: As in `build_sgmagnet`.

    Returns:
        The largest distance in pixels, to which a crop that does not begin at a multiple of `max(scales)` adds its
        offset.
    """
    return 1 + sum(scales) + sum(scales[1:])


class _Lift:
    """Image features to a volume, the same way at all scales."""

    def __init__(self, blocks: Blocks, levels: int, embedding_size: int, conditioned: bool):
        self.blocks, self.levels = blocks, levels
        self.embedding_size, self.conditioned = embedding_size, conditioned

    def __call__(self, x: Any, channels: int, scale: int) -> Any:
        return HeightEmbedding(
            self.levels,
            channels,
            self.embedding_size,
            self.conditioned,
            kernel_regularizer=self.blocks.regularizer(),
            name=self.blocks.named(f"lift{scale}"),
        )(x)


def _generator(blocks: Blocks, features: list[Any], scales: tuple[int, ...], channels: int, lift: _Lift) -> Any:
    """The volume at full resolution, made coarse to fine."""
    if not scales:
        return lift(features[0], channels, 1)
    volume = None
    for i in range(len(scales) - 1, -1, -1):
        scale = scales[i]
        lifted = lift(features[i], channels * scale, scale)
        if volume is not None:
            coarse = _mix(blocks, volume, channels * scale, f"volume{scale}_from_coarse")
            coarse = Upsample(2, name=blocks.named(f"volume{scale}_upsample"))(coarse)
            lifted = layers.Add(name=blocks.named(f"volume{scale}_add"))([lifted, coarse])
        volume = _volume_block(blocks, lifted, channels * scale, f"volume{scale}")
    return volume


def _volume_block(blocks: Blocks, x: Any, channels: int, part: str) -> Any:
    """A residual block: 3 x 3 x 3 for the neighbourhood, then 7 x 1 x 1 for the column, at no reach in y and x."""
    y = layers.RMSNormalization(name=blocks.named(f"{part}_norm"))(x)
    y = _conv3d(blocks, y, channels, (3, 3, 3), f"{part}_space")
    y = layers.ReLU(name=blocks.named(f"{part}_relu"))(y)
    y = _conv3d(blocks, y, channels, (7, 1, 1), f"{part}_column")
    return layers.Add(name=blocks.named(f"{part}_residual"))([x, y])


def _refinement(blocks: Blocks, volume: Any, num_classes: int, channels: int, phase_gating: bool) -> Any:
    """What the volume adds to the logits, small at first."""
    x = layers.RMSNormalization(name=blocks.named("refine_norm"))(volume)
    if phase_gating:
        width = max(2, channels // 2)
        x = PhaseGate(num_classes, width, kernel_regularizer=blocks.regularizer(), name=blocks.named("phase_gate"))(x)
    else:
        x = _conv3d(blocks, x, 2 * channels, (3, 3, 3), "refine_conv")
    x = layers.ReLU(name=blocks.named("refine_relu"))(x)
    return _mix(blocks, x, num_classes, "refine_logits", keras.initializers.RandomNormal(stddev=0.05))


def _conv3d(blocks: Blocks, x: Any, channels: int, kernel_size: tuple[int, int, int], part: str) -> Any:
    return layers.Conv3D(
        channels,
        kernel_size,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=blocks.regularizer(),
        name=blocks.named(part),
    )(x)


def _mix(blocks: Blocks, x: Any, channels: int, part: str, initializer: Any = "he_normal") -> Any:
    """A 1 x 1 x 1 convolution."""
    return layers.Dense(
        channels, kernel_initializer=initializer, kernel_regularizer=blocks.regularizer(), name=blocks.named(part)
    )(x)
