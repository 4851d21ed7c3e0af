"""The network as explanations need it: without random numbers, and cut open at a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from ..errors import InputError, check


class LayerInfo(NamedTuple):
    """A layer whose output is a map.

    Attributes:
        name: Its name.
        kind: Its class.
        shape: Of its output without the batch, (rows, columns, features) or (levels, rows, columns, features).
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]


def deterministic(model: Any) -> Any:
    """A copy of a functional model with the same weights whose Monte Carlo dropout is switched off.

    Explanations are of this function: a gradient through dropout that is on is one of a randomly thinned network, and
    neither the completeness of integrated gradients nor an importance of 0 for an ignored channel holds for it. The
    model itself is not touched.

    Raises:
        InputError: If the model is not a functional one.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "operations", None):
        raise InputError(f"Explanations need a functional Keras model. Received {type(model).__name__}.")

    def without_dropout(layer: Any) -> Any:
        config = layer.get_config()
        if "always_on" in config:
            config["always_on"] = False
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=without_dropout, recursive=True)
    twin.set_weights(model.get_weights())
    twin.jit_compile = model.jit_compile
    return twin


def final_output(outputs: Any) -> Any:
    """The output that is judged: "final" of a model with several."""
    return outputs["final"] if isinstance(outputs, Mapping) else outputs


def output_shape(model: Any, x: Any) -> tuple[int, ...]:
    """Shape of the final output for inputs like `x`, without the batch."""
    shape = model.compute_output_shape((1, *np.shape(x)[1:]))
    return tuple(final_output(shape)[1:])


def image_layers(model: Any) -> list[LayerInfo]:
    """The layers whose output is one map of features, in order from input to output.

    Grad-CAM and feature maps can be made of each. The input and the final output are left out.
    """
    final = final_output(model.output)
    found = []
    for layer in model.layers:
        output = None if isinstance(layer, keras.layers.InputLayer) else layer.output
        if output is None or isinstance(output, (list, tuple, Mapping)) or len(output.shape) not in (4, 5):
            continue
        if output is not final:
            found.append(LayerInfo(layer.name, type(layer).__name__, tuple(output.shape[1:])))
    return found


def find_layer(model: Any, name: str) -> Any:
    """The layer of that name.

    Raises:
        InputError: If its output is not a map; the message lists the layers that have one.
    """
    names = [layer.name for layer in image_layers(model)]
    check(name in names, f"`layer` is one of {', '.join(names)}.", layer=name)
    return model.get_layer(name)


def cut_at(model: Any, name: str) -> tuple[Any, Any]:
    """A model from the input to a layer's output, and one from input and layer's output to the final output.

    The second still takes the input, since skip connections pass the layer by.

    Args:
        model: Of `deterministic`; its layers get nodes of the new models.
        name: The layer.
    """
    layer = find_layer(model, name)
    activation = layer.output
    body = keras.Model(model.input, activation)
    return body, keras.Model([*model.inputs, activation], final_output(model.output))


class DeterministicMethod:
    """A run, or another method with a Keras `model`, that gives the same output each time.

    Monte Carlo dropout is off; a method without a model is called as it is. Batches have one size, so that one compiled
    function serves all of them.

    Args:
        method: The method.
        batch_size: Samples at once.
    """

    def __init__(self, method: Any, batch_size: int = 8):
        self.method, self.batch_size = method, batch_size
        self.name = method.name
        for attribute in ("task", "statistics", "config", "path"):
            if hasattr(method, attribute):
                setattr(self, attribute, getattr(method, attribute))
        self._twin: Any = None

    def __call__(self, x: Any) -> np.ndarray:
        """(batch, rows, columns, channels) to the final output, in network space."""
        x = np.asarray(x, np.float32)
        if getattr(self.method, "model", None) is None:
            return np.asarray(final_output(self.method(x)))
        if self._twin is None:
            self._twin = deterministic(self.method.model)
        outputs = []
        for start in range(0, len(x), self.batch_size):
            batch = x[start : start + self.batch_size]
            kept = len(batch)
            batch = np.concatenate([batch, np.repeat(batch[-1:], self.batch_size - kept, axis=0)])
            outputs.append(np.asarray(final_output(self._twin.predict_on_batch(batch)), np.float32)[:kept])
        return np.concatenate(outputs)
