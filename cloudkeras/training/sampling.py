"""Members of a model with Monte Carlo dropout: many passes in one compiled graph, reproducible."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from ..errors import InputError, check
from ..layers import MonteCarloDropout

PIXELS_AT_ONCE = 25 * 128 * 128
"""Pixels of all members in one call: 25 members of 128 x 128. It is part of what a seed means; see `Sampler`."""


class Sampler:
    """Draws members of a model whose dropout stays on at inference.

    The members of one sample go through the model side by side along the batch axis, where Keras's dropout draws a mask
    for each entry, in chunks of equal size. Everything before the first dropout is computed once for all members, and
    outputs that do not reach `final` (deep supervision) are not computed at all: the model is cut in two along its
    graph, layers and weights being those of the model. Batch normalization stays in inference mode.

    The masks depend on the seed, the number of members and the sample's own values, and on nothing else: not on the
    batch that the sample is in, nor on what was drawn before. Another backend draws other masks.

    Args:
        model: A Keras model.
        jit_compile: Whether both parts are compiled with XLA (on TensorFlow XLA draws other masks).

    Raises:
        InputError: If no layer of the model drops anything at inference.
    """

    def __init__(self, model: Any, jit_compile: bool = False):
        self._dropouts = active_dropouts(model)
        if not self._dropouts:
            raise InputError(
                f"Members need a model whose dropout stays on at inference; '{model.name}' always says the same. Train "
                "it with dropout and the model option mc_dropout (--dropout 0.2 --set model.mc_dropout=true), or make "
                "an ensemble of several runs (DeepEnsemble)."
            )
        self._fixed, self._random = _cut(model)
        for part in (self._fixed, self._random):
            if part is not None:
                part.jit_compile = jit_compile

    def members(self, inputs: np.ndarray, members: int, seed: int = 0) -> Iterator[np.ndarray]:
        """Yields the members of each sample, (members, rows, columns, ...), float32.

        Args:
            inputs: Network input, (batch, rows, columns, channels).
            members: Passes.
            seed: At least 0.
        """
        check(_whole(members) and members >= 1, "`members` is a whole number, at least 1.", members=members)
        check(_whole(seed) and seed >= 0, "`seed` is a whole number, at least 0.", seed=seed)
        inputs = np.asarray(inputs, np.float32)
        chunks = -(-members // max(1, PIXELS_AT_ONCE // int(np.prod(inputs.shape[1:3]))))
        size = -(-members // chunks)
        before = [layer.seed_generator.state.numpy() for layer in self._dropouts]
        try:
            for sample in inputs:
                root = int.from_bytes(hashlib.blake2b(sample.tobytes(), digest_size=8).digest(), "little")
                shared = self._prefix(sample[None])
                parts = [self._draw(shared, size, [seed, root, chunk]) for chunk in range(chunks)]
                yield np.concatenate(parts)[:members]
        finally:
            self._set_states(before)

    def _prefix(self, sample: np.ndarray) -> list[np.ndarray]:
        if self._fixed is None:
            return [sample]
        return [np.asarray(value) for value in _as_list(self._fixed.predict_on_batch(sample))]

    def _draw(self, shared: list[np.ndarray], size: int, entropy: list[int]) -> np.ndarray:
        words = np.random.SeedSequence(entropy).generate_state(2 * len(self._dropouts))
        self._set_states(list(words.reshape(-1, 2)))
        repeated = [np.broadcast_to(value, (size, *value.shape[1:])) for value in shared]
        output = self._random.predict_on_batch(repeated if len(repeated) > 1 else repeated[0])
        return np.asarray(output["final"] if isinstance(output, Mapping) else output, np.float32)

    def _set_states(self, states: list[np.ndarray]) -> None:
        for layer, state in zip(self._dropouts, states, strict=True):
            variable = layer.seed_generator.state
            variable.assign(np.asarray(state).astype(np.uint32).astype(variable.dtype))


def active_dropouts(model: Any) -> list[Any]:
    """The layers of a model, nested ones too, that drop values at inference."""
    return [layer for layer in _all_layers(model) if _drops(layer)]


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _all_layers(layer: Any) -> Iterator[Any]:
    """A model's layers, those of nested models too, each once."""
    seen, waiting = set(), [layer]
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += getattr(one, "layers", None) or []


def _drops(layer: Any) -> bool:
    return isinstance(layer, MonteCarloDropout) and layer.always_on and layer.rate > 0


def _cut(model: Any) -> tuple[Any, Any]:
    """The part of a functional model that is the same in all passes (None if there is none), and the part that is not.

    A value is random if a dropout or a random value is among what it was computed from. The border are the values that
    are not random and go into an operation that is, or are the final output.
    """
    if not hasattr(model, "operations") or len(model.inputs) != 1:
        return None, model
    final = model.output["final"] if isinstance(model.output, Mapping) else model.output
    if isinstance(final, (list, tuple)):
        return None, model
    random: set[int] = set()
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    for node in nodes:
        inside = any(_drops(layer) for layer in _all_layers(node.operation))
        if inside or any(id(tensor) in random for tensor in node.input_tensors):
            random |= {id(tensor) for tensor in node.outputs}
    needed, tensors = _ancestors(final, random)
    if not needed or any(id(tensor) == id(model.inputs[0]) for tensor in tensors):
        return None, keras.Model(model.input, final)
    border = tensors[0] if len(tensors) == 1 else tensors
    return keras.Model(model.input, border), keras.Model(border, final)


def _ancestors(final: Any, random: set[int]) -> tuple[set[int], list[Any]]:
    """The random values that `final` is computed from, and the values that are not random right before them."""
    needed: set[int] = set()
    border: dict[int, Any] = {}
    waiting = [final]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in random:
            border.setdefault(id(tensor), tensor)
        elif id(tensor) not in needed:
            needed.add(id(tensor))
            history = tensor._keras_history
            waiting += history.operation._inbound_nodes[history.node_index].input_tensors
    return needed, list(border.values())
