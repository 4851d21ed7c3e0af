"""The first guess of a hidden lowest part of a curtain: the lowest value that is seen, repeated downwards."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="cloudkeras")
class RepeatDownward(keras.layers.Layer):
    """Fills the hidden rows of the first channel, column by column, with the value of the first row above them.

    The last channel is the mask: 1 where hidden. Rows are heights, the lowest first; in each column the hidden rows lie
    together at the bottom. A column whose first visible row is no more than `threshold` ("no echo"), or that is hidden
    as a whole, gets 0: beside columns with echo a guess of "no echo" would be a jump that the net has to undo where
    the layer begins below the first visible row, and a smooth correction spills over into the columns beside it.

    Args:
        threshold: Value above which the first visible row is repeated; -0.5 is "no echo" in radar curtains.

    Input shape:  (batch, rows, columns, channels); first channel the value, last the mask.
    Output shape: the same; only hidden pixels of the first channel differ.

    Reference: the baseline REP of King et al. 2024, AIES-D-23-0063.
    """

    def __init__(self, threshold: float = -0.5, **kwargs: Any):
        super().__init__(**kwargs)
        self.threshold = float(threshold)
        self.built = True

    def call(self, inputs: Any) -> Any:
        values, hidden = inputs[..., :1], ops.cast(inputs[..., -1:] >= 1, inputs.dtype)
        hidden_below = ops.pad(hidden[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])
        lowest_seen = ops.sum(values * hidden_below * (1 - hidden), axis=1, keepdims=True)
        lowest_seen = ops.where(lowest_seen > self.threshold, lowest_seen, ops.zeros_like(lowest_seen))
        filled = hidden * lowest_seen + (1 - hidden) * values
        return ops.concatenate([filled, inputs[..., 1:]], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}
