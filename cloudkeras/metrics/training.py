"""Keras metrics that follow a training, with names that do not change: "macro_f1" and "mae"."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..datasets.schema import CLASS_MISSING
from ..errors import check

_serializable = keras.saving.register_keras_serializable(package="cloudkeras")


@_serializable
class MacroF1(keras.metrics.Metric):
    """F1 averaged over the classes that truth or prediction has, from a confusion matrix summed over the batches.

    Counts are float32, exact up to 2^24 a cell and rounded to 7 digits beyond. Sample weights are not used: a score
    counts voxels.

    Args:
        num_classes: Number of classes.
        ignore_class: The label that means "no label".
        name: Name of the metric.
        dtype: Not used; counts are float32 whatever the precision policy.

    Input shape:  labels (batch, ...), logits or probabilities (batch, ..., num_classes).
    """

    def __init__(
        self, num_classes: int, ignore_class: int = CLASS_MISSING, name: str = "macro_f1", dtype: Any = "float32"
    ):
        check(num_classes >= 2, "`num_classes` is at least 2.", num_classes=num_classes)
        super().__init__(name=name, dtype="float32")
        self.num_classes, self.ignore_class = int(num_classes), int(ignore_class)
        self.confusion = self.add_variable((self.num_classes, self.num_classes), initializer="zeros", name="confusion")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true = ops.cast(y_true, "int32")
        if len(y_true.shape) == len(y_pred.shape):
            y_true = ops.squeeze(y_true, axis=-1)
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        labelled = ops.not_equal(y_true, self.ignore_class)
        size = self.num_classes**2
        # One more bin takes the voxels without a label.
        index = ops.where(labelled, y_true * self.num_classes + predicted, ops.full_like(predicted, size))
        index = ops.reshape(index, (-1,))
        # Not `bincount`, which JAX cannot trace through Keras; whole numbers, since float32 stops counting at 2^24.
        counts = ops.segment_sum(ops.ones_like(index), index, num_segments=size + 1)[:size]
        counts = ops.reshape(ops.cast(counts, "float32"), (self.num_classes, self.num_classes))
        self.confusion.assign(self.confusion + counts)

    def result(self) -> Any:
        hits = ops.diagonal(self.confusion)
        totals = ops.sum(self.confusion, axis=0) + ops.sum(self.confusion, axis=1)
        present = ops.cast(totals > 0, "float32")
        f1 = 2 * hits / ops.maximum(totals, 1)
        return ops.sum(f1) / ops.maximum(ops.sum(present), 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes, "ignore_class": self.ignore_class}


@_serializable
class DecodedMAE(keras.metrics.Metric):
    """Mean absolute error in physical units over the pixels whose truth is not NaN.

    Network values are clipped to the range that has a physical meaning before they are compared: for reflectivity
    everything below -0.5 is "no echo", -60 dBZ.

    Args:
        scale: Physical units per network unit.
        minimum: Smallest network value.
        maximum: Largest network value.
        from_logits: Whether predictions are logits of a fraction, which go through a sigmoid first.
        name: Name of the metric.
        dtype: Not used; sums are float32 whatever the precision policy.

    Input shape:  truth and predictions (batch, ..., channels) in network space.
    """

    def __init__(
        self,
        scale: float = 1.0,
        minimum: float = -1e30,
        maximum: float = 1e30,
        name: str = "mae",
        dtype: Any = "float32",
        from_logits: bool = False,
    ):
        check(scale > 0 and minimum < maximum, "`scale` is above 0 and `minimum` below `maximum`.", scale=scale)
        super().__init__(name=name, dtype="float32")
        self.scale, self.minimum, self.maximum = float(scale), float(minimum), float(maximum)
        self.from_logits = bool(from_logits)
        self.error = self.add_variable((), initializer="zeros", name="error")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        y_pred = ops.sigmoid(y_pred) if self.from_logits else y_pred
        labelled = ops.logical_not(ops.isnan(y_true))
        true, predicted = (ops.clip(values, self.minimum, self.maximum) for values in (y_true, y_pred))
        difference = ops.where(labelled, ops.abs(predicted - true), ops.zeros_like(y_pred))
        self.error.assign(self.error + self.scale * ops.sum(difference))
        self.count.assign(self.count + ops.sum(ops.cast(labelled, "float32")))

    def result(self) -> Any:
        return self.error / ops.maximum(self.count, 1)

    def get_config(self) -> dict[str, Any]:
        options = {"scale": self.scale, "minimum": self.minimum, "maximum": self.maximum}
        return {**super().get_config(), **options, "from_logits": self.from_logits}
