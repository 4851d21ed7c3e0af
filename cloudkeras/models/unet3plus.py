"""UNet 3+: every decoder scale sees every encoder scale."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ..errors import check_choice
from ..layers import PresenceGate
from .blocks import (
    Blocks,
    InputShape,
    check_arguments,
    check_count,
    check_first_guess,
    check_interpolation,
    output,
)


def build_unet3plus(
    input_shape: InputShape = (128, 128, 2),
    num_classes: int = 1,
    *,
    levels: int | None = None,
    filters: tuple[int, ...] = (32, 64, 128, 256, 512),
    dropout: float = 0.0,
    mc_dropout: bool = False,
    l2: float = 0.0,
    skip_channels: int = 32,
    upsampling: str = "bilinear",
    deep_supervision: bool = False,
    classification_guided: bool = False,
    gate: str = "auto",
    first_guess: bool = False,
    resize: str = "fast",
    name: str = "unet3plus",
) -> keras.Model:
    """Builds a UNet 3+ with full-scale skips, deep supervision and a classification-guided module.

    Each decoder scale concatenates `skip_channels` channels from every scale (finer encoder scales pooled, coarser
    decoder scales upsampled) and fuses them by one convolution of `skip_channels * len(filters)` channels. Defaults are
    those of King et al. 2024 (6,755,233 parameters). Deviations:

    - Upsampling and its 3 x 3 convolution are one operation (`ResizeConv2D`) with the same weights and outputs as the
      two steps; `resize="textbook"` takes the two steps.
    - Dropout comes before the upsampling, not between it and the convolution, where no shortcut could be exact. It
      drops values of the coarse map, so that what is lost is as wide as a coarse pixel.
    - The guidance is soft: sigmoid in place of argmax, which has no gradient (see `PresenceGate`).

    Args:
        input_shape: (rows, columns, channels); rows and columns may be None.
        num_classes: Values at each pixel or voxel.
        levels: None for an image; a number makes a volume of that many levels.
        filters: Channels per encoder scale, shallow to deep.
        dropout: Dropout rate after each pooling and before each upsampling.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on the convolution kernels.
        skip_channels: Channels that each scale gives to each decoder scale.
        upsampling: "bilinear" or "nearest".
        deep_supervision: Adds an output at full resolution from every coarser decoder scale: `aux_1` from the scale
            next to the full one, and so on to the bottom. `deep_supervision_loss_weights` weighs their losses.
        classification_guided: Adds the output `presence`, logits of the image holding each class, and weighs all other
            outputs by it.
        gate: How: "probability", "value" (see `PresenceGate`), or "auto", which is "value" if `num_classes` is 1.
        first_guess: For filling the lowest part of a curtain: the net is shown the lowest visible value repeated
            downwards (`RepeatDownward`; value first, mask last among the channels; 0 below "no echo") and adds to it,
            in all outputs. It then has only to learn where the simplest method errs, which takes far less data.
        resize: "fast" or "textbook"; weights go from one to the other by `set_weights`.
        name: The model's name and the prefix of its layers' names.

    Input shape:  (batch, rows, columns, channels), normalized, unitless.
    Output shape: (batch, rows, columns, num_classes) or (batch, levels, rows, columns, num_classes), logits or linear
        values, float32, called "final". With more than one output a dict: "final", "aux_1", ... of that shape and
        "presence" (batch, num_classes).

    Raises:
        InputError: If an argument is out of its range, or rows or columns do not divide by `2**(len(filters) - 1)`.

    Example:
        >>> from cloudkeras.models import build_unet3plus
        >>> model = build_unet3plus((64, 96, 3), 1, filters=(4, 8), skip_channels=4, deep_supervision=True)
        >>> sorted(model.output_names)
        ['aux_1', 'final']

    Reference: Huang et al. 2020, arXiv 2004.08790, section 2; King et al. 2024, AIES-D-23-0063.
    """
    check_arguments(input_shape, num_classes, levels, filters, dropout, l2)
    check_count(skip_channels, "skip_channels")
    check_interpolation(upsampling)
    check_choice(resize, ("fast", "textbook"), "resize")
    check_choice(gate, ("auto", "probability", "value"), "gate")
    check_first_guess(first_guess, input_shape, num_classes, levels)
    blocks = Blocks(name, dropout, mc_dropout, l2)
    inputs = keras.Input(input_shape, name=blocks.named("input"))
    seen = blocks.first_guess(inputs) if first_guess else inputs
    encoder = _encoder(blocks, seen, filters)
    decoder = _decoder(blocks, encoder, skip_channels, upsampling, fast=resize == "fast")
    outputs = {"final": blocks.head(decoder[0], num_classes, levels, "final", 3)}
    if deep_supervision:
        for i, x in enumerate(decoder[1:], 1):
            outputs[f"aux_{i}"] = blocks.upsampled_head(x, num_classes, levels, 2**i, upsampling, f"aux_{i}")
    if classification_guided:
        form = ("value" if num_classes == 1 else "probability") if gate == "auto" else gate
        outputs = _guided(blocks, outputs, encoder[-1], num_classes, form)
    if first_guess:
        outputs = blocks.add_first_guess(outputs, seen)
    outputs = {key: output(x, key) for key, x in outputs.items()}
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs["final"], name=name)


def _encoder(blocks: Blocks, x: Any, filters: tuple[int, ...]) -> list[Any]:
    """Features by scale, full resolution first."""
    scales: list[Any] = []
    for i, width in enumerate(filters):
        if i:
            x = blocks.drop(blocks.pool(x, 2, f"encoder{i}"), f"encoder{i}")
        x = blocks.conv_norm_relu(x, width, f"encoder{i}", count=2)
        scales.append(x)
    return scales


def _decoder(blocks: Blocks, encoder: list[Any], skip_channels: int, upsampling: str, fast: bool) -> list[Any]:
    """Fused features by scale, full resolution first; the last is the encoder's."""
    bottom = len(encoder) - 1
    decoder = {bottom: encoder[bottom]}
    for i in range(bottom - 1, -1, -1):
        skips = []
        for j in range(bottom + 1):
            part = f"decoder{i}_from{j}"
            x = decoder[j] if j > i else encoder[j]
            if j < i:
                x = blocks.drop(blocks.pool(x, 2 ** (i - j), part), part)
            if j > i:
                x = blocks.drop(x, part)
                x = blocks.upsample_conv(x, skip_channels, 2 ** (j - i), upsampling, part, fast)
            else:
                x = blocks.conv(x, skip_channels, f"{part}_conv")
            skips.append(blocks.norm_relu(x, part))
        x = layers.Concatenate(name=blocks.named(f"decoder{i}_concat"))(skips)
        decoder[i] = blocks.conv_norm_relu(x, skip_channels * len(encoder), f"decoder{i}")
    return [decoder[i] for i in range(bottom + 1)]


def _guided(blocks: Blocks, outputs: dict[str, Any], deepest: Any, num_classes: int, form: str) -> dict[str, Any]:
    """Adds `presence` from the deepest features and weighs all outputs by it."""
    x = blocks.conv(blocks.drop(deepest, "presence"), num_classes, "presence_conv", kernel_size=1)
    presence = layers.GlobalMaxPooling2D(name=blocks.named("presence_pool"))(x)
    gated = {
        key: PresenceGate(form, name=blocks.named(f"{key}_gate"))([value, presence]) for key, value in outputs.items()
    }
    return {**gated, "presence": presence}
