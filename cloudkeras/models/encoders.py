"""Encoders from `keras.applications`: any number of bands, features by scale, dilation in place of strides."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from ..errors import DataError, InputError, check, check_choice
from .blocks import NORM_MOMENTUM, Blocks

DEEPEST = 32
# Every scale of it is a whole number of pixels, and all applications have weights for it.
_TEMPLATE_SIZE = 224
_POOLING = (layers.MaxPooling2D, layers.AveragePooling2D)


@dataclass(frozen=True)
class Encoder:
    """A network of `keras.applications` and where its features are.

    Attributes:
        application: Its name there, or a function with the same arguments.
        scales: The operation whose output has the stride 2, 4, 8, 16, 32: its name, or a pattern whose last match it
            is; None where the network has no such scale. Operations that Keras numbers through all models are numbered
            here in the order of the graph, from 1: "add_1" is the first sum.
        options: Further arguments of the application.
    """

    application: str | Callable[..., keras.Model]
    scales: tuple[str | None, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, weights: str | None) -> keras.Model:
        """The network without its classifier, for 3 bands."""
        make = self.application
        if isinstance(make, str):
            make = getattr(keras.applications, make)
        shape = (_TEMPLATE_SIZE, _TEMPLATE_SIZE, 3)
        return make(include_top=False, weights=weights, input_shape=shape, **self.options)


def _resnet(depth: int, blocks: int) -> Encoder:
    scales = ("conv1_relu", "conv2_block3_out", "conv3_block*_out", f"conv4_block{blocks}_out", "conv5_block3_out")
    return Encoder(f"ResNet{depth}", scales)


def _efficientnet(variant: str) -> Encoder:
    scales = ("block1*", "block2*", "block3*", "block5*", "top_activation")
    return Encoder(f"EfficientNetV2{variant}", scales, {"include_preprocessing": False})


def _convnext(variant: str, third: int) -> Encoder:
    """Stages of 3, 3, `third` and 3 blocks, each of which ends in a sum; no scale of stride 2."""
    scales = (None, "add_3", "add_6", f"add_{6 + third}", "layer_normalization_1")
    return Encoder(f"ConvNeXt{variant}", scales, {"include_preprocessing": False})


ENCODERS: dict[str, Encoder] = {
    "resnet50": _resnet(50, 6),
    "resnet101": _resnet(101, 23),
    "resnet152": _resnet(152, 36),
    "xception": Encoder("Xception", ("block1_conv2_act", "add_1", "add_2", "add_11", "block14_sepconv2_act")),
    "mobilenetv2": Encoder(
        "MobileNetV2", ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu")
    ),
    "efficientnetv2b0": _efficientnet("B0"),
    "efficientnetv2b1": _efficientnet("B1"),
    "efficientnetv2b2": _efficientnet("B2"),
    "efficientnetv2b3": _efficientnet("B3"),
    "efficientnetv2s": _efficientnet("S"),
    "efficientnetv2m": _efficientnet("M"),
    "efficientnetv2l": _efficientnet("L"),
    "convnext_tiny": _convnext("Tiny", 9),
    "convnext_small": _convnext("Small", 27),
    "convnext_base": _convnext("Base", 27),
    "convnext_large": _convnext("Large", 27),
}


def encoder_features(
    blocks: Blocks, x: Any, name: str, weights: str | None, *, deepest: int = DEEPEST, output_stride: int = DEEPEST
) -> dict[int, Any]:
    """Features of an encoder on an input of any number of bands.

    The layers are those of `keras.applications` up to the deepest scale asked for, with the model's prefix, its L2
    penalty and its momentum of batch normalization. Without dilation, three bands give the application's own features,
    with one exception: Xception's two unpadded convolutions are padded, so that each scale is a whole number of pixels.

    With an `output_stride` below 32, what comes deeper keeps that resolution: strides become 1, and convolutions behind
    them are dilated by as much, so that they reach the same pixels (Chen et al. 2017, arXiv 1706.05587, section 3.1).
    Pooling cannot be dilated in Keras, and takes the neighbouring pixels.

    Weights for other than 3 bands: the first convolution's kernel, averaged over the 3 and times 3 / bands, for each
    band. An image with the same values in all bands then gives the response of a grey 3-band image.

    ImageNet weights expect values as `keras.applications.<module>.preprocess_input` makes them: 0 to 255 less a mean
    (ResNet), -1 to 1 (Xception, MobileNetV2, EfficientNetV2), or mean 0 and standard deviation 1 (ConvNeXt). Input that
    is normalized to mean 0 and standard deviation 1 has a common factor against that, which the batch normalization
    behind the first convolution takes away within tens of training steps; no rescaling is built in.

    Args:
        blocks: Name, L2 penalty of the model.
        x: Input tensor of the model, (batch, rows, columns, bands).
        name: One of `ENCODERS`.
        weights: None for a random start, "imagenet", or a file of weights of the application without its classifier.
        deepest: Largest stride asked for, a power of 2 from 4 to 32.
        output_stride: Stride that no features exceed; `deepest` counts without this limit.

    Returns:
        Tensors by the stride that they have in `keras.applications`; a scale that the network lacks is left out.

    Raises:
        InputError: If there is no such encoder, or its weights cannot be had.
    """
    check_choice(name, list(ENCODERS), "encoder")
    encoder = ENCODERS[name]
    source = _load(encoder, name, weights)
    names = _names(source)
    strides = [2 ** (i + 1) for i, scale in enumerate(encoder.scales) if scale and 2 ** (i + 1) <= deepest]
    tensors = [_find(source, names, str(encoder.scales[stride.bit_length() - 2])) for stride in strides]
    wanted = keras.Model(source.inputs, tensors)
    copy = _Copy(blocks, names, output_stride)
    outputs = keras.models.clone_model(wanted, input_tensors=[x], clone_function=copy).outputs
    if weights is not None:
        copy.give_weights()
    return dict(zip(strides, outputs, strict=True))


def adapt_kernel(kernel: np.ndarray, bands: int) -> np.ndarray:
    """The kernel of a first convolution for another number of bands: the mean over the bands times 3 / `bands`.

    Args:
        kernel: (rows, columns, 3, filters).
        bands: Bands of the input.

    Returns:
        (rows, columns, bands, filters); the kernel itself for 3 bands.
    """
    if bands == kernel.shape[2]:
        return kernel
    mean = kernel.mean(axis=2, keepdims=True) * (kernel.shape[2] / bands)
    return np.repeat(mean, bands, axis=2)


def check_encoder(name: str | None, weights: str | None) -> None:
    """Raises `InputError` unless the encoder exists and its weights are None, "imagenet" or a file."""
    if name is not None:
        check_choice(name, list(ENCODERS), "encoder")
    check(name is not None or weights is None, "`encoder_weights` are those of an `encoder`.", encoder_weights=weights)
    check(
        weights in (None, "imagenet") or Path(str(weights)).is_file(),
        "`encoder_weights` is None, 'imagenet' or a file of weights.",
        encoder_weights=weights,
    )


def _load(encoder: Encoder, name: str, weights: str | None) -> keras.Model:
    try:
        return encoder.build(weights)
    except Exception as error:
        if weights is None:
            raise
        if weights != "imagenet":
            expected = f"the weights of keras.applications' {name} without its classifier (include_top=False)"
            raise DataError(weights, expected=expected, found=str(error)) from error
        raise InputError(
            f"The ImageNet weights of the encoder {name!r} are neither in Keras's cache nor to be downloaded: {error}. "
            f"Go online once; or run keras.applications.{encoder.application}(include_top=False) where there is a "
            "connection and copy ~/.keras/models here; or give a file as `encoder_weights`; or None for a random start."
        ) from error


def _names(model: keras.Model) -> dict[Any, str]:
    """Names of all operations that do not depend on what else was built before."""
    names, counts = {}, dict[str, int]()
    for operation in model.operations:
        own = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(operation).__name__).lower()
        own = own.replace("conv2_d", "conv2d")
        if re.fullmatch(rf"{own}(_\d+)?", operation.name):
            counts[own] = counts.get(own, 0) + 1
            names[operation] = f"{own}_{counts[own]}"
        else:
            names[operation] = operation.name
    return names


def _find(model: keras.Model, names: Mapping[Any, str], pattern: str) -> Any:
    """The output of the last operation of that name."""
    return [operation for operation in model.operations if fnmatch.fnmatchcase(names[operation], pattern)][-1].output


def _stride(tensor: Any) -> int:
    """How much coarser than the input of the template a tensor is, as a power of 2; 1 for what is no image."""
    if len(tensor.shape) != 4 or not tensor.shape[1]:
        return 1
    return 2 ** max(0, round(float(np.log2(_TEMPLATE_SIZE / tensor.shape[1]))))


class _Copy:
    """Copies operations one by one, as `keras.models.clone_model` asks for them.

    Args:
        blocks: Name and L2 penalty of the model.
        names: Name of each operation.
        output_stride: Stride that no output exceeds.
    """

    def __init__(self, blocks: Blocks, names: Mapping[Any, str], output_stride: int):
        self.blocks, self.names, self.output_stride = blocks, names, output_stride
        self.copies: dict[Any, Any] = {}
        self.padded = {
            layer: producer
            for layer in names
            if isinstance(layer, layers.Layer) and isinstance(producer := _producer(layer), layers.ZeroPadding2D)
        }
        self.unpadded = {self.padded[layer] for layer in self.padded if self._is_dilated(layer)}

    def __call__(self, operation: Any) -> Any:
        if operation not in self.copies:
            self.copies[operation] = self._copy(operation, self.names[operation])
        return self.copies[operation]

    def give_weights(self) -> None:
        """Gives the copies the weights of their originals."""
        for original, copy in self.copies.items():
            if isinstance(original, layers.Layer) and original.weights:
                shapes = [tuple(w.shape) for w in copy.weights]
                stored = original.get_weights()
                copy.set_weights(
                    [w if w.shape == s else adapt_kernel(w, s[2]) for w, s in zip(stored, shapes, strict=True)]
                )

    def _copy(self, operation: Any, name: str) -> Any:
        if isinstance(operation, keras.Sequential):
            inner = [self._copy(layer, f"{name}_{i}") for i, layer in enumerate(operation.layers)]
            return keras.Sequential(inner, name=self.blocks.named(f"encoder_{name}"))
        config = {**operation.get_config(), "name": self.blocks.named(f"encoder_{name}")}
        if not isinstance(operation, layers.Layer):
            return type(operation).from_config(config)
        config.pop("dtype", None)  # that of the global policy
        for key in ("kernel_regularizer", "depthwise_regularizer", "pointwise_regularizer"):
            if key in config:
                config[key] = self.blocks.regularizer()
        if isinstance(operation, layers.BatchNormalization):
            config["momentum"] = NORM_MOMENTUM
        return type(operation).from_config({**config, **self._geometry(operation, config)})

    def _is_dilated(self, layer: Any) -> bool:
        """Whether a convolution or pooling is behind a stride that is taken away, or is that stride."""
        return _window(layer) > 1 and _stride(layer.output) > self.output_stride

    def _geometry(self, layer: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        """What changes in the strides, dilation and padding of a layer."""
        if layer in self.unpadded:
            return {"padding": 0}
        if "strides" not in config:
            return {}
        if _stride(layer.output) > self.output_stride:
            dilation = max(1, _stride(layer.input) // self.output_stride)
            rate = {} if isinstance(layer, _POOLING) or _window(layer) == 1 else {"dilation_rate": dilation}
            return {"strides": 1, "padding": "same", **rate}
        if config["padding"] == "valid" and layer not in self.padded and _window(layer) > max(layer.strides):
            return {"padding": "same"}
        return {}


def _window(layer: Any) -> int:
    """Rows or columns, whichever are more, that a layer looks at; 1 for layers that look at pixels one by one."""
    return max(getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None) or (1,))


def _producer(layer: Any) -> Any:
    """What makes the input of a layer with one input."""
    tensor = layer.input
    return None if isinstance(tensor, list | tuple | dict) else tensor._keras_history.operation
