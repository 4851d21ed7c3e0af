"""Losses on classes: cross-entropy, focal, soft Dice and Jaccard. The label -1 neither counts nor has a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from ..datasets.schema import CLASS_MISSING
from ..errors import check
from .base import TINY, MaskedLoss, batch_mean, per_sample, serializable


def _labels_like(y_true: Any, num_axes: int) -> Any:
    """Drops a trailing axis of length 1 that labels may carry beyond `num_axes`."""
    return ops.squeeze(y_true, axis=-1) if len(y_true.shape) == num_axes + 1 else y_true


class _ClassLoss(MaskedLoss):
    """Base of the losses on classes: which voxels count, and how much.

    Args:
        from_logits: Whether predictions are logits rather than probabilities.
        class_weights: One non-negative weight a class; None weights all alike.
        ignore_class: The label that means "no label".
        level_weights: One non-negative weight for each entry of the first axis after the batch (the level of a volume).
    """

    def __init__(self, from_logits, class_weights, ignore_class, level_weights, name, reduction):
        super().__init__(name, reduction)
        for argument, weights in (("class_weights", class_weights), ("level_weights", level_weights)):
            check(
                weights is None or (len(weights) > 0 and all(math.isfinite(w) and w >= 0 for w in weights)),
                f"`{argument}` holds finite numbers of at least 0.",
                **{argument: weights},
            )
        self.from_logits, self.ignore_class = bool(from_logits), int(ignore_class)
        self.class_weights = None if class_weights is None else tuple(float(w) for w in class_weights)
        self.level_weights = None if level_weights is None else tuple(float(w) for w in level_weights)
        self._options = {
            "from_logits": self.from_logits,
            "class_weights": self.class_weights and list(self.class_weights),
            "ignore_class": self.ignore_class,
            "level_weights": self.level_weights and list(self.level_weights),
        }

    def _labels(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Labels with 0 in place of the missing ones, and the float mask of the labelled voxels.

        A label that is no class makes the loss NaN, so that training stops instead of learning from it.
        """
        num_classes = y_pred.shape[-1]
        check(
            self.class_weights is None or num_classes is None or len(self.class_weights) == num_classes,
            f"`class_weights` needs one number a class, {num_classes} here.",
            class_weights=self.class_weights,
        )
        labels = _labels_like(y_true, len(y_pred.shape) - 1)
        labelled = ops.logical_and(ops.not_equal(labels, self.ignore_class), ops.equal(labels, labels))
        labels = ops.where(labelled, labels, ops.zeros_like(labels))
        known = ops.logical_and(labels >= 0, labels < num_classes)
        mask = ops.where(known, ops.cast(labelled, "float32"), ops.full_like(labels, float("nan")))
        return ops.cast(ops.where(known, labels, ops.zeros_like(labels)), "int32"), mask

    def _class_weighted(self, mask: Any, labels: Any) -> Any:
        if self.class_weights is None:
            return mask
        return mask * ops.take(ops.convert_to_tensor(self.class_weights, dtype="float32"), labels, axis=0)

    def _level_weighted(self, mask: Any) -> Any:
        if self.level_weights is None:
            return mask
        check(
            mask.shape[1] is None or mask.shape[1] == len(self.level_weights),
            f"`level_weights` needs one number a level, {mask.shape[1]} here.",
            level_weights=self.level_weights,
        )
        shape = (1, len(self.level_weights), *(1,) * (len(mask.shape) - 2))
        return mask * ops.reshape(ops.convert_to_tensor(self.level_weights, dtype="float32"), shape)


@serializable
class SparseCrossentropy(_ClassLoss):
    """Cross-entropy of integer labels, sum(w l) / sum(w) over the labelled voxels.

    w is the weight of the voxel's true class (and level), l = -log p(true class).

    Args:
        from_logits: Whether predictions are logits rather than probabilities.
        class_weights: One weight a class, see `class_weights`.
        ignore_class: The label that means "no label".
        level_weights: One weight for each entry of the first axis after the batch.
        name: Name of the loss.
        reduction: Keras reduction over the samples.

    Input shape:  labels (batch, ...) of any integer or float type, predictions (batch, ..., num_classes).
    """

    def __init__(
        self,
        from_logits: bool = True,
        class_weights: Sequence[float] | None = None,
        ignore_class: int = CLASS_MISSING,
        level_weights: Sequence[float] | None = None,
        name: str = "sparse_crossentropy",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(from_logits, class_weights, ignore_class, level_weights, name, reduction)

    def _voxel_loss(self, labels: Any, y_pred: Any) -> Any:
        return ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=self.from_logits)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, mask = self._labels(y_true, y_pred)
        weights = self._level_weighted(self._class_weighted(mask, labels))
        loss = self._voxel_loss(labels, y_pred)
        return batch_mean(per_sample(loss * weights), per_sample(weights))


@serializable
class Focal(SparseCrossentropy):
    """Cross-entropy times (1 - p)^gamma, which fades out the voxels that are already right.

    Normalized by sum(w) as the cross-entropy is, so that `gamma=0` is the cross-entropy. The class weights are the
    alpha of the paper.

    Args:
        gamma: Focusing exponent, at least 0.
        from_logits: As in `SparseCrossentropy`.
        class_weights: As in `SparseCrossentropy`.
        ignore_class: As in `SparseCrossentropy`.
        level_weights: As in `SparseCrossentropy`.
        name: Name of the loss.
        reduction: Keras reduction over the samples.

    Reference: Lin et al. 2017, arXiv 1708.02002, equation 5.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        from_logits: bool = True,
        class_weights: Sequence[float] | None = None,
        ignore_class: int = CLASS_MISSING,
        level_weights: Sequence[float] | None = None,
        name: str = "focal",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(from_logits, class_weights, ignore_class, level_weights, name, reduction)
        check(math.isfinite(gamma) and gamma >= 0, "`gamma` is a finite number of at least 0.", gamma=gamma)
        self.gamma = float(gamma)
        self._options["gamma"] = self.gamma

    def _voxel_loss(self, labels: Any, y_pred: Any) -> Any:
        loss = super()._voxel_loss(labels, y_pred)
        return ops.power(ops.maximum(-ops.expm1(-loss), TINY), self.gamma) * loss


class _OverlapLoss(_ClassLoss):
    """1 - mean over the classes of an overlap of probabilities with labels, both summed over the whole batch.

    A class that no labelled voxel of the batch has is left out of the mean: its overlap is 0 whatever the prediction,
    and wrong predictions of it already cost the classes that they displace.
    """

    jaccard = False

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if sample_weight is None:
            return super().__call__(y_true, y_pred)
        return super().__call__((y_true, sample_weight), y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, sample_weight = y_true if isinstance(y_true, tuple) else (y_true, None)
        labels, mask = self._labels(y_true, y_pred)
        mask = self._level_weighted(mask)
        if sample_weight is not None:
            mask = mask * ops.reshape(sample_weight, (-1, *(1,) * (len(mask.shape) - 1)))
        probabilities = ops.softmax(y_pred, axis=-1) if self.from_logits else y_pred
        num_classes = y_pred.shape[-1]
        mask = ops.expand_dims(mask, -1)
        true = ops.one_hot(labels, num_classes, dtype="float32") * mask
        intersection, true_sum, predicted_sum = (
            ops.sum(ops.reshape(values, (-1, num_classes)), axis=0)
            for values in (true * probabilities, true, mask * probabilities)
        )
        union = true_sum + predicted_sum - (intersection if self.jaccard else 0)
        overlap = (1 if self.jaccard else 2) * intersection / ops.maximum(union, TINY)
        weights = ops.ones_like(overlap)
        if self.class_weights is not None:
            weights = ops.convert_to_tensor(self.class_weights, dtype="float32")
        weights = ops.where(true_sum > 0, weights, ops.zeros_like(weights))
        loss = ops.sum(weights * (1 - overlap)) / ops.maximum(ops.sum(weights), TINY)
        loss = loss + 0 * ops.sum(true_sum)  # A label that is no class is NaN in the sum: it must not pass unseen.
        return ops.ones((ops.shape(y_pred)[0],), dtype="float32") * loss


@serializable
class SoftDice(_OverlapLoss):
    """1 - Dice of probabilities and labels, per class over the batch, averaged over the classes present.

    Dice = 2 sum(p t) / (sum(p) + sum(t)) over the labelled voxels.

    Args:
        from_logits: As in `SparseCrossentropy`.
        class_weights: Weights of the classes in the average.
        ignore_class: As in `SparseCrossentropy`.
        level_weights: Weights of the voxels by level.
        name: Name of the loss.
        reduction: Keras reduction over the samples.

    Reference: Milletari et al. 2016, arXiv 1606.04797, section 3, with sums instead of squares in the denominator.
    """

    def __init__(
        self,
        from_logits: bool = True,
        class_weights: Sequence[float] | None = None,
        ignore_class: int = CLASS_MISSING,
        level_weights: Sequence[float] | None = None,
        name: str = "soft_dice",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(from_logits, class_weights, ignore_class, level_weights, name, reduction)


@serializable
class SoftJaccard(_OverlapLoss):
    """1 - Jaccard index (IoU) of probabilities and labels, per class over the batch, averaged over the classes present.

    IoU = sum(p t) / (sum(p) + sum(t) - sum(p t)) over the labelled voxels. Probabilities are not thresholded, which
    would leave no gradient.

    Args:
        from_logits: As in `SparseCrossentropy`.
        class_weights: Weights of the classes in the average.
        ignore_class: As in `SparseCrossentropy`.
        level_weights: Weights of the voxels by level.
        name: Name of the loss.
        reduction: Keras reduction over the samples.
    """

    jaccard = True

    def __init__(
        self,
        from_logits: bool = True,
        class_weights: Sequence[float] | None = None,
        ignore_class: int = CLASS_MISSING,
        level_weights: Sequence[float] | None = None,
        name: str = "soft_jaccard",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(from_logits, class_weights, ignore_class, level_weights, name, reduction)


@serializable
class DiceCompound(SoftDice):
    """`crossentropy_weight` x cross-entropy + `dice_weight` x soft Dice.

    The cross-entropy gives every voxel a gradient, the Dice makes rare classes count as much as frequent ones.

    Args:
        crossentropy_weight: Weight of the cross-entropy.
        dice_weight: Weight of the Dice loss.
        from_logits: As in `SparseCrossentropy`.
        class_weights: Weights of the classes, in the cross-entropy alone.
        ignore_class: As in `SparseCrossentropy`.
        level_weights: Weights of the voxels by level, in both.
        name: Name of the loss.
        reduction: Keras reduction over the samples.
    """

    def __init__(
        self,
        crossentropy_weight: float = 1.0,
        dice_weight: float = 1.0,
        from_logits: bool = True,
        class_weights: Sequence[float] | None = None,
        ignore_class: int = CLASS_MISSING,
        level_weights: Sequence[float] | None = None,
        name: str = "dice_compound",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(from_logits, None, ignore_class, level_weights, name, reduction)
        self._crossentropy = SparseCrossentropy(from_logits, class_weights, ignore_class, level_weights)
        self.crossentropy_weight, self.dice_weight = float(crossentropy_weight), float(dice_weight)
        self._options |= {
            "class_weights": self._crossentropy._options["class_weights"],
            "crossentropy_weight": self.crossentropy_weight,
            "dice_weight": self.dice_weight,
        }

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, sample_weight = y_true if isinstance(y_true, tuple) else (y_true, None)
        crossentropy = self._crossentropy.call(labels, y_pred)
        if sample_weight is not None:
            crossentropy = crossentropy * ops.reshape(sample_weight, (-1,))
        return self.crossentropy_weight * crossentropy + self.dice_weight * super().call(y_true, y_pred)
