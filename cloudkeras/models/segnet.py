"""SegNet: the decoder puts values back where the encoder's maxima were."""

from __future__ import annotations

import keras

from ..layers import MaxPoolWithIndices, MaxUnpool
from .blocks import Blocks, InputShape, check_arguments, check_count, output


def build_segnet(
    input_shape: InputShape = (128, 128, 16),
    num_classes: int = 4,
    *,
    levels: int | None = None,
    filters: tuple[int, ...] = (32, 64, 128, 256),
    dropout: float = 0.0,
    mc_dropout: bool = False,
    l2: float = 0.0,
    convolutions: int = 2,
    name: str = "segnet",
) -> keras.Model:
    """Builds a SegNet.

    Every scale ends in a pooling whose indices the decoder's unpooling uses; no features skip across. The paper has
    VGG-16's 13 convolutions; here each of the scales has the same number.

    Args:
        input_shape: (rows, columns, channels); rows and columns may be None.
        num_classes: Values at each pixel or voxel.
        levels: None for an image; a number makes a volume of that many levels through a shared 1 x 1 head.
        filters: Channels per encoder scale, shallow to deep; each scale ends in a pooling.
        dropout: Dropout rate after each pooling and each unpooling.
        mc_dropout: Whether dropout stays on at inference.
        l2: L2 penalty on the convolution kernels.
        convolutions: Convolutions in a block.
        name: The model's name and the prefix of its layers' names.

    Input shape:  (batch, rows, columns, channels), normalized, unitless.
    Output shape: (batch, rows, columns, num_classes) or (batch, levels, rows, columns, num_classes), logits or linear
        values, float32; the output is called "final".

    Raises:
        InputError: If an argument is out of its range, or rows or columns do not divide by `2**len(filters)`.

    Example:
        >>> from cloudkeras.models import build_segnet
        >>> build_segnet((64, 96, 3), 1, filters=(4, 8)).output_shape
        (None, 64, 96, 1)

    Reference: Badrinarayanan et al. 2017, arXiv 1511.00561, section 3.
    """
    check_arguments(input_shape, num_classes, levels, filters, dropout, l2, factor=2 ** len(filters))
    check_count(convolutions, "convolutions")
    blocks = Blocks(name, dropout, mc_dropout, l2)
    x = inputs = keras.Input(input_shape, name=blocks.named("input"))
    positions = []
    for i, width in enumerate(filters):
        x = blocks.conv_norm_relu(x, width, f"encoder{i}", count=convolutions)
        x, indices = MaxPoolWithIndices(name=blocks.named(f"encoder{i}_pool"))(x)
        x = blocks.drop(x, f"encoder{i}")
        positions.append(indices)
    for i in range(len(filters) - 1, -1, -1):
        x = MaxUnpool(name=blocks.named(f"decoder{i}_unpool"))([x, positions[i]])
        x = blocks.drop(x, f"decoder{i}")
        # The last convolution of a block has the channels of the next finer scale, where its values are put back.
        for j in range(convolutions):
            width = filters[i] if j < convolutions - 1 else filters[max(i - 1, 0)]
            x = blocks.conv_norm_relu(x, width, f"decoder{i}_{j + 1}")
    return keras.Model(inputs, output(blocks.head(x, num_classes, levels, "final", 1), "final"), name=name)
