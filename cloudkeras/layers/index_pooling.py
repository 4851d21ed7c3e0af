"""Max pooling that remembers where each maximum was, and the unpooling that puts values back there."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import check


def _windows_first(x: Any, window: int) -> Any:
    """(batch, rows, columns, channels) -> (batch, rows / w, columns / w, w * w, channels), windows row by row."""
    _, rows, columns, channels = ops.shape(x)
    x = ops.reshape(x, (-1, rows // window, window, columns // window, window, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows // window, columns // window, window * window, channels))


def _windows_back(x: Any, window: int) -> Any:
    """The inverse of `_windows_first`."""
    _, rows, columns, _, channels = ops.shape(x)
    x = ops.reshape(x, (-1, rows, columns, window, window, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * window, columns * window, channels))


def _scaled(size: int | None, factor: int, grow: bool) -> int | None:
    if size is None:
        return None
    return size * factor if grow else size // factor


class _Windowed(keras.layers.Layer):
    def __init__(self, window: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        check(isinstance(window, int) and window >= 2, "`window` is a whole number of at least 2.", window=window)
        self.window = window
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable(package="cloudkeras")
class MaxPoolWithIndices(_Windowed):
    """Max pooling in windows without overlap, with the position of each maximum.

    The position is counted within its window, row by row: 0 to `window**2 - 1`, the first one where several are equal
    (after a ReLU many are 0). Only that one gets the gradient.

    Args:
        window: Rows and columns of a window.

    Input shape:  (batch, rows, columns, channels), rows and columns multiples of `window`.
    Output shape: two of (batch, rows / window, columns / window, channels): maxima, and int32 positions.

    Raises:
        InputError: If `window` is not a whole number of at least 2.
    Reference: Badrinarayanan et al. 2017, SegNet, arXiv 1511.00561, section 3.
    """

    def call(self, inputs: Any) -> tuple[Any, Any]:
        windows = _windows_first(inputs, self.window)
        indices = ops.cast(ops.argmax(windows, axis=3), "int32")
        chosen = ops.one_hot(indices, self.window**2, axis=3, dtype=windows.dtype)
        return ops.sum(windows * chosen, axis=3), indices

    def compute_output_spec(self, inputs: Any) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, rows, columns, channels = inputs.shape
        shape = (batch, _scaled(rows, self.window, False), _scaled(columns, self.window, False), channels)
        return keras.KerasTensor(shape, dtype=self.compute_dtype), keras.KerasTensor(shape, dtype="int32")


@keras.saving.register_keras_serializable(package="cloudkeras")
class MaxUnpool(_Windowed):
    """Puts each value at the position that `MaxPoolWithIndices` noted, zeros elsewhere.

    Args:
        window: Rows and columns of a window, as in the pooling.

    Input shape:  a list of two of (batch, rows, columns, channels): values, and int32 positions.
    Output shape: (batch, rows * window, columns * window, channels).

    Raises:
        InputError: If `window` is not a whole number of at least 2.
    Reference: Badrinarayanan et al. 2017, SegNet, arXiv 1511.00561, section 3.
    """

    def call(self, inputs: Any) -> Any:
        values, indices = inputs
        chosen = ops.one_hot(indices, self.window**2, axis=3, dtype=values.dtype)
        return _windows_back(ops.expand_dims(values, 3) * chosen, self.window)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        batch, rows, columns, channels = inputs[0].shape
        shape = (batch, _scaled(rows, self.window, True), _scaled(columns, self.window, True), channels)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)
