"""What all losses share: float32, and a batch mean over labelled voxels made of one value a sample."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

TINY = 1e-7
serializable = keras.saving.register_keras_serializable(package="cloudkeras")


def per_sample(values: Any) -> Any:
    """Sum over all axes but the first."""
    return ops.sum(ops.reshape(values, (ops.shape(values)[0], -1)), axis=1)


def batch_mean(numerator: Any, denominator: Any) -> Any:
    """Per-sample values whose mean is sum(numerator) / sum(denominator), 0 where nothing is labelled."""
    total = ops.sum(denominator)
    safe = ops.where(total > 0, total, ops.ones_like(total))
    return numerator * (ops.cast(ops.shape(numerator)[0], "float32") / safe)


class MaskedLoss(keras.losses.Loss):
    """Base: float32 whatever the policy, the options of the subclass in its configuration."""

    def __init__(self, name: str, reduction: str | None = "sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self._options: dict[str, Any] = {}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._options}
