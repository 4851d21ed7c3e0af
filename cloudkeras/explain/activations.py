"""What a layer holds (feature maps) and which of its places raise the objective (Grad-CAM)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ..errors import check, check_choice
from .gradients import compiled_gradient, in_batches
from .models import cut_at, deterministic, find_layer
from .objectives import Objective

CAM_WEIGHTS = ("mean", "local")


def feature_maps(model: Any, x: Any, layer: str, *, batch_size: int = 8) -> np.ndarray:
    """The output of a layer.

    Args:
        model: A functional Keras model; Monte Carlo dropout is switched off.
        x: Network input, (batch, rows, columns, channels).
        layer: One of `image_layers`.
        batch_size: Samples at once.

    Returns:
        (batch, rows, columns, features) or (batch, levels, rows, columns, features), float32, at the layer's own
        resolution.

    Raises:
        InputError: If there is no such layer; the message lists those there are.
    """
    twin = deterministic(model)
    part = keras.Model(twin.input, find_layer(twin, layer).output)
    return _predict(part, np.asarray(x, np.float32), batch_size)


def _predict(model: Any, x: np.ndarray, batch_size: int) -> np.ndarray:
    parts = [
        keras.ops.convert_to_numpy(model(x[i : i + batch_size], training=False)) for i in range(0, len(x), batch_size)
    ]
    return np.concatenate(parts).astype(np.float32)


def grad_cam(
    model: Any,
    x: Any,
    objective: Objective,
    layer: str,
    *,
    weights: str = "mean",
    resize: bool = True,
    batch_size: int = 8,
) -> np.ndarray:
    """Class activation map of a layer, weighted by gradients.

    `ReLU(sum over features k of a_k A_k)`, with `a_k` the mean over the layer's positions of the gradient of the
    objective by `A_k`. The objective being a mean over a region of a dense output, this is the form for segmentation.
    It shows where the layer's features speak for a larger objective; what speaks against it is cut off.

    The mean forgets where the gradient was: with a small region and a layer of high resolution the map can be large at
    places that cannot reach the region at all. `weights="local"` multiplies each activation by its own gradient, which
    is 0 there.

    Args:
        model: A functional Keras model; Monte Carlo dropout is switched off.
        x: Network input, (batch, rows, columns, channels).
        objective: What is explained.
        layer: One of `image_layers`.
        weights: "mean" (Grad-CAM) or "local" (HiResCAM).
        resize: Whether rows and columns are interpolated bilinearly to those of the input.
        batch_size: Samples at once.

    Returns:
        (batch, rows, columns), or (batch, levels, rows, columns) for a layer of a volume; not negative, in units of the
        objective per position of the layer.

    Raises:
        InputError: If there is no such layer, or the objective does not depend on it.

    Reference: Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2; Vinogradova et al. 2020, arXiv 2002.11434,
        equation 2, for regions; Draelos and Carin 2020, arXiv 2011.08891, equation 5, for "local".
    """
    x = np.asarray(x, np.float32)
    check_choice(weights, CAM_WEIGHTS, "weights")
    body, head = cut_at(deterministic(model), layer)
    activation = _predict(body, x, batch_size)
    _, gradient = in_batches(compiled_gradient(head, objective), [x, activation], objective.weights, batch_size)
    check(
        bool(np.any(gradient)),
        "The objective does not depend on the output of `layer`: it does not lead to the final output, or what is "
        "decoded is clipped.",
        layer=layer,
        objective=objective.name,
    )
    if weights == "mean":
        gradient = gradient.mean(axis=tuple(range(1, gradient.ndim - 1)), keepdims=True)
    cam = np.maximum((gradient * activation).sum(axis=-1), 0)
    return resized(cam, x.shape[1:3]) if resize else cam


def resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (..., rows, columns) interpolated bilinearly to a size."""
    if maps.shape[-2:] == tuple(size):
        return maps
    flat = maps.reshape(-1, *maps.shape[-2:], 1)
    new = keras.ops.convert_to_numpy(keras.ops.image.resize(flat, size, "bilinear", data_format="channels_last"))
    return np.asarray(new, np.float32).reshape(*maps.shape[:-2], *size)
