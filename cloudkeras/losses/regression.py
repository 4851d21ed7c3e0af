"""Losses on values: MAE, MSE, cross-entropy, SSIM and the hybrid of UNet 3+. A NaN in the truth counts for nothing.

Two options make the masked losses those of MeltwaterBench (arXiv 2512.12142): `from_logits` puts predictions through a
sigmoid first, for a target between 0 and 1, and `per_image` takes the mean of each image over its labelled pixels,
sum(loss * labelled) / max(labelled, 1), and then the mean of the images; one without any label counts there as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from ..errors import check
from .base import TINY, MaskedLoss, batch_mean, per_sample, serializable


def _labelled_values(y_true: Any, y_pred: Any, from_logits: bool = False) -> tuple[Any, Any, Any]:
    """Truth, prediction and float mask; both are 0 where the truth is NaN, so that no gradient passes there."""
    if len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = ops.expand_dims(y_true, -1)
    y_pred = ops.sigmoid(y_pred) if from_logits else y_pred
    labelled = ops.logical_not(ops.isnan(y_true))
    zeros = ops.zeros_like(y_pred)
    return ops.where(labelled, y_true, zeros), ops.where(labelled, y_pred, zeros), ops.cast(labelled, "float32")


class _ImageLoss(MaskedLoss):
    """Base of the losses that may be averaged image by image and take logits of a fraction."""

    def __init__(self, from_logits: bool, per_image: bool, name: str, reduction: str | None):
        super().__init__(name, reduction)
        self.from_logits, self.per_image = bool(from_logits), bool(per_image)
        self._options = {"from_logits": self.from_logits, "per_image": self.per_image}

    def _mean(self, loss: Any, mask: Any) -> Any:
        """One value a sample of losses that are 0 where `mask` is."""
        total, count = per_sample(loss), per_sample(mask)
        return total / ops.maximum(count, 1) if self.per_image else batch_mean(total, count)


@serializable
class MaskedMAE(_ImageLoss):
    """Mean absolute error over the pixels whose truth is not NaN.

    Args:
        name: Name of the loss.
        reduction: Keras reduction over the samples.
        from_logits: Whether predictions are logits of a fraction.
        per_image: Whether each image counts alike, rather than each pixel of the batch.

    Input shape:  truth (batch, ..., channels), or without the channel axis; predictions (batch, ..., channels).
    """

    def __init__(
        self,
        name: str = "masked_mae",
        reduction: str | None = "sum_over_batch_size",
        from_logits: bool = False,
        per_image: bool = False,
    ):
        super().__init__(from_logits, per_image, name, reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted, mask = _labelled_values(y_true, y_pred, self.from_logits)
        return self._mean(ops.abs(predicted - true), mask)


@serializable
class MaskedMSE(_ImageLoss):
    """Mean squared error over the pixels whose truth is not NaN.

    Args:
        name: Name of the loss.
        reduction: Keras reduction over the samples.
        from_logits: Whether predictions are logits of a fraction.
        per_image: Whether each image counts alike, rather than each pixel of the batch.

    Input shape:  truth (batch, ..., channels), or without the channel axis; predictions (batch, ..., channels).
    """

    def __init__(
        self,
        name: str = "masked_mse",
        reduction: str | None = "sum_over_batch_size",
        from_logits: bool = False,
        per_image: bool = False,
    ):
        super().__init__(from_logits, per_image, name, reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted, mask = _labelled_values(y_true, y_pred, self.from_logits)
        return self._mean(ops.square(predicted - true), mask)


@serializable
class MaskedBCE(_ImageLoss):
    """Binary cross-entropy -t log p - (1 - t) log(1 - p) over the pixels whose truth t, 0 to 1, is not NaN.

    Args:
        from_logits: Whether predictions are logits, which is the stable form, or fractions p.
        per_image: Whether each image counts alike, rather than each pixel of the batch.
        name: Name of the loss.
        reduction: Keras reduction over the samples.

    Input shape:  truth (batch, ..., channels), or without the channel axis; predictions (batch, ..., channels).
    """

    def __init__(
        self,
        from_logits: bool = True,
        per_image: bool = False,
        name: str = "masked_bce",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(from_logits, per_image, name, reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted, mask = _labelled_values(y_true, y_pred)
        if self.from_logits:
            return self._mean((ops.softplus(predicted) - true * predicted) * mask, mask)
        predicted = ops.clip(predicted, TINY, 1 - TINY)
        return self._mean(-(true * ops.log(predicted) + (1 - true) * ops.log1p(-predicted)) * mask, mask)


def gaussian_window(size: int, sigma: float) -> np.ndarray:
    """`size` weights of a Gaussian of standard deviation `sigma` pixels, summing to 1, float32."""
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


@serializable
class MaskedSSIM(_ImageLoss):
    """1 - structural similarity, averaged over the pixels whose truth is not NaN.

    Pixels without truth are 0 in both images and are left out of the average; so is what the window reaches beyond the
    image's edge, which counts as pixels without truth. `drop_border` also leaves out the pixels whose window crosses
    the edge (the MeltwaterBench form: `size=71, sigma=10, data_range=1, drop_border=True`). It is off by default
    because the lowest rows of a blind zone lie at the edge.

    Args:
        size: Window length in pixels, odd.
        sigma: Standard deviation of the Gaussian window in pixels.
        data_range: Largest possible difference of two values; network space is -1 .. 1.
        k1: Constant that steadies the comparison of means.
        k2: Constant that steadies the comparison of variances.
        drop_border: Whether pixels nearer than half a window to the edge are left out.
        name: Name of the loss.
        reduction: Keras reduction over the samples.
        from_logits: Whether predictions are logits of a fraction.
        per_image: Whether each image counts alike, rather than each pixel of the batch.

    Input shape:  truth and predictions (batch, rows, columns, channels).

    Raises:
        InputError: If an option is out of range, or with `drop_border` an image is smaller than the window.

    Reference: Wang et al. 2004, doi 10.1109/TIP.2003.819861, equation 13.
    """

    def __init__(
        self,
        size: int = 11,
        sigma: float = 1.5,
        data_range: float = 2.0,
        k1: float = 0.01,
        k2: float = 0.03,
        drop_border: bool = False,
        name: str = "masked_ssim",
        reduction: str | None = "sum_over_batch_size",
        from_logits: bool = False,
        per_image: bool = False,
    ):
        super().__init__(from_logits, per_image, name, reduction)
        check(size >= 1 and size % 2 == 1, "`size` is an odd number of pixels.", size=size)
        check(sigma > 0 and data_range > 0, "`sigma` and `data_range` are above 0.", sigma=sigma, data_range=data_range)
        self.size, self.sigma, self.data_range = int(size), float(sigma), float(data_range)
        self.k1, self.k2, self.drop_border = float(k1), float(k2), bool(drop_border)
        names = ("size", "sigma", "data_range", "k1", "k2", "drop_border")
        self._options |= {name: getattr(self, name) for name in names}

    def _smooth(self, images: Any) -> Any:
        window = gaussian_window(self.size, self.sigma)
        channels = images.shape[-1]
        for shape in ((self.size, 1, 1, 1), (1, self.size, 1, 1)):
            kernel = np.tile(window.reshape(shape), (1, 1, channels, 1))
            images = ops.depthwise_conv(images, ops.convert_to_tensor(kernel), padding="same")
        return images

    def similarity(self, true: Any, predicted: Any) -> Any:
        """SSIM at each pixel, (batch, rows, columns, channels), of two images without NaN."""
        c1, c2 = (self.k1 * self.data_range) ** 2, (self.k2 * self.data_range) ** 2
        products = [true, predicted, true * true, predicted * predicted, true * predicted]
        mean_t, mean_p, square_t, square_p, cross = ops.split(self._smooth(ops.concatenate(products, -1)), 5, axis=-1)
        variances = ops.maximum(square_t - mean_t**2, 0) + ops.maximum(square_p - mean_p**2, 0)
        means = (2 * mean_t * mean_p + c1) / (mean_t**2 + mean_p**2 + c1)
        return means * (2 * (cross - mean_t * mean_p) + c2) / (variances + c2)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted, mask = _labelled_values(y_true, y_pred, self.from_logits)
        loss = (1 - self.similarity(true, predicted)) * mask
        if self.drop_border and self.size > 1:
            check(
                all(length is None or length >= self.size for length in loss.shape[1:3]),
                "With `drop_border` images have at least `size` rows and columns, or no pixel would be judged. Choose "
                "larger crops, a smaller `size`, or `drop_border` false.",
                size=self.size,
                image=tuple(loss.shape[1:3]),
            )
            border = slice(self.size // 2, -(self.size // 2))
            loss, mask = loss[:, border, border], mask[:, border, border]
        return self._mean(loss, mask)


@serializable
class UNet3PlusHybrid(MaskedLoss):
    """MAE + (1 - SSIM) + (1 - soft IoU of the echo), each over the labelled pixels alone.

    The IoU compares where there is echo. Occupancy rises linearly from 0 at `echo_range[0]` (no echo) to 1 at
    `echo_range[1]` (the faintest echo), so truth, which never lies between, is exactly 0 or 1, a perfect prediction has
    IoU 1, and a prediction in between has a gradient, which a threshold would not have. One pixel is added to numerator
    and denominator, so that a batch without any echo rewards predicting none. Intersection and union are summed over
    the batch; a sample weight multiplies the IoU term of the whole batch by its mean.

    Args:
        mae_weight: Weight of the MAE.
        ssim_weight: Weight of 1 - SSIM.
        iou_weight: Weight of 1 - IoU.
        echo_range: Normalized values of "no echo" and of the faintest echo.
        size: Window of the SSIM in pixels, odd.
        sigma: Its standard deviation in pixels.
        data_range: Largest possible difference of two values.
        name: Name of the loss.
        reduction: Keras reduction over the samples.

    Input shape:  truth and predictions (batch, rows, columns, channels).
    Reference: the hybrid loss of UNet 3+, Huang et al. 2020, arXiv 2004.08790, section 2.2, with MAE in place of focal.
    """

    def __init__(
        self,
        mae_weight: float = 1.0,
        ssim_weight: float = 1.0,
        iou_weight: float = 1.0,
        echo_range: Sequence[float] = (-1.0, -0.5),
        size: int = 11,
        sigma: float = 1.5,
        data_range: float = 2.0,
        name: str = "unet3plus_hybrid",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name, reduction)
        check(
            len(echo_range) == 2 and echo_range[0] < echo_range[1],
            '`echo_range` is the value of "no echo" and the larger value of the faintest echo.',
            echo_range=echo_range,
        )
        self.mae_weight, self.ssim_weight, self.iou_weight = float(mae_weight), float(ssim_weight), float(iou_weight)
        self.echo_range = (float(echo_range[0]), float(echo_range[1]))
        self._ssim = MaskedSSIM(size, sigma, data_range)
        names = ("mae_weight", "ssim_weight", "iou_weight")
        self._options = {name: getattr(self, name) for name in names} | {"echo_range": list(self.echo_range)}
        self._options |= {name: self._ssim._options[name] for name in ("size", "sigma", "data_range")}

    def _soft_iou(self, true: Any, predicted: Any, mask: Any) -> Any:
        low, high = self.echo_range
        true, predicted = (mask * ops.clip((values - low) / (high - low), 0, 1) for values in (true, predicted))
        intersection = ops.sum(true * predicted)
        return (intersection + 1) / (ops.sum(true) + ops.sum(predicted) - intersection + 1)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted, mask = _labelled_values(y_true, y_pred)
        mae = batch_mean(per_sample(ops.abs(predicted - true)), per_sample(mask))
        iou_loss = ops.ones_like(mae) * (1 - self._soft_iou(true, predicted, mask))
        return self.mae_weight * mae + self.ssim_weight * self._ssim.call(y_true, y_pred) + self.iou_weight * iou_loss
