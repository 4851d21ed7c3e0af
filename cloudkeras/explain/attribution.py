"""How much each input value contributes: saliency and integrated gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import check, check_choice
from ..tasks import Task
from ..tasks.blind_zone import HIDDEN, BlindZone
from .gradients import compiled_gradient, in_batches, input_gradient
from .models import deterministic
from .objectives import Objective

BASELINES = ("hidden", "zero", "mean")


def saliency(model: Any, x: Any, objective: Objective, *, batch_size: int = 8) -> np.ndarray:
    """Absolute value of the gradient of the objective by each input value, in the shape of `x`.

    How strongly the objective answers to a small change there, in units of the objective per unit of the normalised
    input. It says nothing of large changes, and nothing of what would be plausible.

    Reference: Simonyan et al. 2014, arXiv 1312.6034, section 3; for a region of an image, King et al. 2024,
        AIES-D-23-0063.
    """
    return np.abs(input_gradient(model, x, objective, batch_size=batch_size)[1])


@dataclass(frozen=True, eq=False)
class IntegratedGradients:
    """What `integrated_gradients` gives.

    Attributes:
        attributions: In the shape of the input; they sum to `value - baseline_value` for each sample.
        value: The objective at the input, (batch,).
        baseline_value: The objective at the baseline, (batch,).
        steps: Points on the path.
    """

    attributions: np.ndarray
    value: np.ndarray
    baseline_value: np.ndarray
    steps: int

    @property
    def completeness_gap(self) -> np.ndarray:
        """Sum of the attributions minus `value - baseline_value`, (batch,): what the quadrature leaves over."""
        total = self.attributions.reshape(len(self.attributions), -1).sum(axis=1, dtype=np.float64)
        return total - (self.value - self.baseline_value)


def integrated_gradients(
    model: Any, x: Any, objective: Objective, baseline: Any, *, steps: int = 128, batch_size: int = 8
) -> IntegratedGradients:
    """Gradients along the straight line from a baseline to the input, times the difference of the two.

    `A = (x - b) * integral over a in 0..1 of df/dx(b + a (x - b))`. Completeness: the attributions sum to
    `f(x) - f(b)`. The integral is a Gauss-Legendre sum; networks with ReLU have kinks, so that more `steps` shrink
    `completeness_gap` slowly.

    Args:
        model: A functional Keras model; Monte Carlo dropout is switched off.
        x: Network input, (batch, rows, columns, channels).
        objective: What is explained.
        baseline: Where nothing is to be seen, in the network's space, of a shape that broadcasts to that of `x`; see
            `baseline_input`.
        steps: Points on the path.
        batch_size: Points evaluated at once.

    Raises:
        InputError: If `steps` is less than 1 or the baseline does not fit.

    Reference: Sundararajan et al. 2017, arXiv 1703.01365, equation 1 and proposition 1.
    """
    x = np.asarray(x, np.float32)
    check(steps >= 1, "`steps` counts at least 1 point.", steps=steps)
    try:
        start = np.broadcast_to(np.asarray(baseline, np.float32), x.shape)
    except ValueError:
        check(False, f"`baseline` broadcasts to the shape {x.shape} of the input.", baseline=np.shape(baseline))
    gradient = compiled_gradient(deterministic(model), objective)
    nodes, node_weights = np.polynomial.legendre.leggauss(steps)
    # The two ends are evaluated with the rest: their values, not their gradients, are used.
    fractions = np.concatenate([(nodes + 1) / 2, [0.0, 1.0]]).astype(np.float32)
    node_weights = np.concatenate([node_weights / 2, [0.0, 0.0]])
    attributions = np.empty_like(x)
    ends = np.empty((len(x), 2), np.float32)
    for i, sample in enumerate(x):
        weights = objective.weights[i : i + 1] if len(objective.weights) > 1 else objective.weights
        slope, values = np.zeros(sample.shape), []
        for first in range(0, len(fractions), batch_size):
            part = slice(first, first + batch_size)
            path = start[i] + fractions[part, None, None, None] * (sample - start[i])
            path, kept = _filled_up(path, min(batch_size, len(fractions)))
            value, gradients = in_batches(gradient, [path], weights, len(path))
            slope += np.tensordot(node_weights[part], gradients[:kept], axes=1)
            values.append(value[:kept])
        attributions[i] = (sample - start[i]) * slope
        ends[i] = np.concatenate(values)[-2:]
    return IntegratedGradients(attributions, ends[:, 1], ends[:, 0], steps)


def _filled_up(values: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """The values with the last one repeated up to a size, and how many they were."""
    missing = size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values, len(values)


def baseline_input(
    task: Task, x: Any, kind: str | None = None, *, mean: Any = None, keep: Sequence[str] | None = None
) -> np.ndarray:
    """The input at which nothing is to be seen, for `integrated_gradients`.

    - "hidden": -1 everywhere, which the task `blind_zone` uses for "no echo", "missing" and "hidden"; its default.
    - "zero": 0 everywhere, the mean of the training split where inputs are standardised; the default of other tasks.
    - "mean": the mean of each channel, to be given as `mean`.

    Channels that say where to look rather than what is there keep their values, so that the path does not leave what
    the network was trained on; their attributions are 0.

    Args:
        task: The task.
        x: Network input, (batch, rows, columns, channels).
        kind: One of `BASELINES`; None takes the task's default.
        mean: (channel,), for "mean".
        keep: Names of channels that keep their values; None takes those whose names end in "mask".

    Raises:
        InputError: If there is no such baseline or channel.
    """
    if kind is None:
        kind = "hidden" if isinstance(task, BlindZone) else "zero"
    check_choice(kind, BASELINES, "baseline")
    check(
        kind != "hidden" or isinstance(task, BlindZone),
        f'The baseline "hidden" is for the task blind_zone; {task.name} has "zero" and "mean".',
    )
    names = task.channel_names()
    keep = [name for name in names if name.endswith("mask")] if keep is None else list(keep)
    check(set(keep) <= set(names), f"`keep` names channels out of {', '.join(names)}.", keep=keep)
    x = np.asarray(x, np.float32)
    level: Any = {"hidden": HIDDEN, "zero": 0.0}.get(kind)
    if kind == "mean":
        check(np.shape(mean) == (x.shape[-1],), "`mean` has one value a channel.", mean=np.shape(mean))
        level = np.asarray(mean, np.float32)
    baseline = np.broadcast_to(np.asarray(level, np.float32), x.shape).copy()
    for name in keep:
        baseline[..., names.index(name)] = x[..., names.index(name)]
    return baseline
