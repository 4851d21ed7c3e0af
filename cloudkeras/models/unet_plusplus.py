"""UNet++: a triangle of nodes between encoder and decoder, any of whose sub-nets can be cut out."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ..errors import InputError, check, check_choice
from .blocks import (
    ACTIVATIONS,
    INTERPOLATIONS,
    Blocks,
    InputShape,
    check_arguments,
    check_count,
    check_first_guess,
    check_interpolation,
    output,
)

CONNECTIONS = ("nested", "dense")
FINAL_ACTIVATIONS = ("linear", "tanh")


def build_unet_plusplus(
    input_shape: InputShape = (128, 128, 2),
    num_classes: int = 1,
    *,
    levels: int | None = None,
    filters: tuple[int, ...] = (32, 64, 128, 256, 512),
    dropout: float = 0.0,
    mc_dropout: bool = False,
    l2: float = 0.0,
    upsampling: str = "bilinear",
    deep_supervision: bool = False,
    connections: str = "nested",
    convolutions: int = 2,
    batch_norm: bool = True,
    activation: str = "relu",
    final_activation: str = "linear",
    first_guess: bool = False,
    name: str = "unet_plusplus",
) -> keras.Model:
    """Builds a UNet++ with deep supervision that `prune_unet_plusplus` cuts to any depth.

    Node (i, j) works at scale i (rows and columns / 2**i) with `filters[i]` channels. Nodes (i, 0) are the encoder.
    Node (i, j) sees the nodes (i, 0) ... (i, j - 1) of its own scale and the upsampled node (i + 1, j - 1) below.
    Deviations from Zhou et al.: batch normalization in each block, and with deep supervision the outputs stand side by
    side, for `deep_supervision_loss_weights`, where the paper averages them.

    The net of Geiss & Hardin 2021 is `filters=(8, 16, 32, 64, 128, 256, 512)`, `connections="dense"`,
    `convolutions=1`, `batch_norm=False`, `activation="leaky_relu"`, `final_activation="tanh"`, `upsampling="nearest"`
    (training preset "geiss2021").

    Args:
        input_shape: (rows, columns, channels); rows and columns may be None.
        num_classes: Values at each pixel or voxel.
        levels: None for an image; a number makes a volume of that many levels through a shared 1 x 1 head.
        filters: Channels per scale, shallow to deep; the depth of the net is one less than their number.
        dropout: Dropout rate after each pooling and each upsampling.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on the convolution kernels.
        upsampling: "bilinear", "nearest" or "transpose" (2 x 2 transposed convolution).
        deep_supervision: Adds an output from every node of full resolution: `aux_1` from the sub-net one less deep than
            the whole, and so on to that of depth 1. `deep_supervision_loss_weights` weighs their losses.
        connections: "nested" as in Zhou et al., or "dense" as in Geiss & Hardin: a node hands on, beside its own
            channels, all that it got from its scale (at full resolution the input too), every node sees the pooled node
            (i - 1, j) as well, and a convolution of `filters[0]` channels for each scale comes before the head.
        convolutions: Convolutions 3 x 3 in each node.
        batch_norm: Whether each has batch normalization.
        activation: "relu", or "leaky_relu" of slope 0.2.
        final_activation: "linear", or "tanh" for values that lie in -1..1.
        first_guess: For filling the lowest part of a curtain: the net is shown the lowest visible value repeated
            downwards (`RepeatDownward`) and adds to it, in all outputs.
        name: The model's name and the prefix of its layers' names.

    Input shape:  (batch, rows, columns, channels), normalized, unitless.
    Output shape: (batch, rows, columns, num_classes) or (batch, levels, rows, columns, num_classes), logits or linear
        values, float32, called "final"; with deep supervision a dict "final", "aux_1", ... of that shape.

    Raises:
        InputError: If an argument is out of its range, or rows or columns do not divide by `2**(len(filters) - 1)`.

    Example:
        >>> from cloudkeras.models import build_unet_plusplus, prune_unet_plusplus
        >>> model = build_unet_plusplus((64, 96, 3), 1, filters=(4, 8, 16), deep_supervision=True)
        >>> sorted(model.output_names)
        ['aux_1', 'final']
        >>> prune_unet_plusplus(model, 1).count_params() < model.count_params()
        True

    Reference: Zhou et al. 2018, arXiv 1807.10165, section 3; Zhou et al. 2020, arXiv 1912.05074, section III;
        Geiss & Hardin 2021, AMT 14, 7729, section 3 and the public code.
    """
    check_arguments(input_shape, num_classes, levels, filters, dropout, l2)
    check_interpolation(upsampling, (*INTERPOLATIONS, "transpose"))
    check_choice(connections, CONNECTIONS, "connections")
    check_choice(activation, ACTIVATIONS, "activation")
    check_choice(final_activation, FINAL_ACTIVATIONS, "final_activation")
    check_count(convolutions, "convolutions")
    check_first_guess(first_guess, input_shape, num_classes, levels)
    blocks = Blocks(name, dropout, mc_dropout, l2, activation, batch_norm)
    inputs = keras.Input(input_shape, name=blocks.named("input"))
    seen = blocks.first_guess(inputs) if first_guess else inputs
    nodes = _full_resolution_nodes(blocks, seen, tuple(filters), upsampling, convolutions, connections == "dense")
    depth = len(filters) - 1
    outputs: dict[str, Any] = {}
    for j in range(depth, 0 if deep_supervision else depth - 1, -1):
        key = _output_name(j, depth)
        x = nodes[j]
        if connections == "dense":
            x = blocks.norm_relu(blocks.conv(x, filters[0] * (j + 1), f"{key}_mix_conv"), f"{key}_mix")
        x = blocks.head(x, num_classes, levels, key, 1)
        if final_activation != "linear":
            x = layers.Activation(final_activation, dtype="float32", name=blocks.named(f"{key}_{final_activation}"))(x)
        outputs[key] = x
    if first_guess:
        outputs = blocks.add_first_guess(outputs, seen)
    outputs = {key: output(x, key) for key, x in outputs.items()}
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs["final"], name=name)


def prune_unet_plusplus(model: keras.Model, depth: int) -> keras.Model:
    """The sub-net of a UNet++ of that depth: its output at full resolution and only the nodes that it needs.

    A net trained with deep supervision holds nets of every depth from 1 to its own; the shallow ones are faster and
    smaller. The result shares the weights of `model`, and its output is called "final".

    Args:
        model: A model of `build_unet_plusplus(..., deep_supervision=True)`.
        depth: Number of poolings to keep, from 1 to `len(filters) - 1`.

    Raises:
        InputError: If the model is no such net, or has no such depth.

    Reference: Zhou et al. 2020, arXiv 1912.05074, section III-C.
    """
    outputs = model.output if isinstance(model.output, dict) else {"final": model.output}
    names = {layer.name for layer in model.layers}
    deepest = 0
    while f"{model.name}_node0_{deepest + 1}_concat" in names:
        deepest += 1
    if deepest == 0 or set(outputs) != {_output_name(j, deepest) for j in range(1, deepest + 1)}:
        raise InputError(
            "Only a UNet++ with an output at every depth can be cut: build it with `deep_supervision=True`. "
            f"Received {model.name!r} with the outputs {', '.join(outputs)}."
        )
    check(
        isinstance(depth, int) and not isinstance(depth, bool) and 1 <= depth <= deepest,
        f"`depth` is a whole number from 1 to {deepest} for this net.",
        depth=depth,
    )
    x = outputs[_output_name(depth, deepest)]
    x = x if depth == deepest else output(x, "final")
    return keras.Model(model.input, x, name=f"{model.name}_depth{depth}")


def _output_name(j: int, depth: int) -> str:
    return "final" if j == depth else f"aux_{depth - j}"


def _full_resolution_nodes(
    blocks: Blocks, x: Any, filters: tuple[int, ...], upsampling: str, convolutions: int, dense: bool
) -> list[Any]:
    """Nodes (0, 0), (0, 1), ... as they are handed on.

    Built diagonal by diagonal of i + j: the net of depth d is the first d + 1 diagonals.
    """
    handed: dict[tuple[int, int], Any] = {}
    for diagonal in range(len(filters)):
        for j in range(diagonal + 1):
            i = diagonal - j
            part = f"node{i}_{j}"
            sources = [x] if diagonal == 0 else _sources(blocks, handed, i, j, filters[i], upsampling, dense)
            y = blocks.conv_norm_relu(_concat(blocks, sources, f"{part}_concat"), filters[i], part, convolutions)
            if dense and (j > 0 or i == 0):
                y = _concat(blocks, [y, handed[i, j - 1] if j else x], f"{part}_out")
            handed[i, j] = y
    return [handed[0, j] for j in range(len(filters))]


def _sources(
    blocks: Blocks, handed: dict[tuple[int, int], Any], i: int, j: int, filters: int, upsampling: str, dense: bool
) -> list[Any]:
    """What node (i, j) sees.

    Keras orders layers, and so weights, by their distance from the output: with dropout layers at any rate, that order
    is the same with dropout and without.
    """
    part = f"node{i}_{j}"
    sources = []
    if j:
        # A dense node holds all earlier ones of its scale.
        sources += [handed[i, j - 1]] if dense else [handed[i, k] for k in range(j)]
        below = handed[i + 1, j - 1]
        if upsampling == "transpose":
            up = blocks.transposed_conv(below, filters, f"{part}_up")
        else:
            up = blocks.upsample(below, 2, upsampling, f"{part}_up")
        sources.append(blocks.drop(up, f"{part}_up", even_at_zero=True))
    if i and (dense or not j):
        pooled = blocks.pool(handed[i - 1, j], 2, part)
        sources.append(blocks.drop(pooled, f"{part}_down", even_at_zero=True))
    return sources


def _concat(blocks: Blocks, values: list[Any], part: str) -> Any:
    return layers.Concatenate(name=blocks.named(part))(values) if len(values) > 1 else values[0]
