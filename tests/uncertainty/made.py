"""A task, a data set and sources of members made by hand."""

from __future__ import annotations

import numpy as np

from cloudkeras.tasks import get_task
from cloudkeras.uncertainty.pixels import Features, Pixels

TASK = get_task("blind_zone", blind_rows=4, ramp_rows=(1, 3), evaluation_ramp_rows=2)


class Source:
    """A method with `sample`: the input's first channel plus noise in network space, the same for the same seed."""

    def __init__(self, name="source", width=0.1, task=TASK, statistics=None):
        self.name, self.width, self.task = name, width, task
        self.statistics = statistics if statistics is not None else {"reflectivity": {"mean": [0.0], "std": [1.0]}}

    def __call__(self, x):
        return self.sample(x, 1)[0]

    def sample(self, x, members, *, seed=0):
        rng = np.random.default_rng(seed)
        visible = x[:, 4:5, :, :1] + np.zeros_like(x[..., :1])
        return (visible + self.width * rng.normal(size=(members, *visible.shape))).astype(np.float32)


class Fixed:
    """A method without `sample`."""

    def __init__(self, name="fixed", value=0.2, task=TASK):
        self.name, self.value, self.task = name, value, task
        self.statistics = {"reflectivity": {"mean": [0.0], "std": [1.0]}}

    def __call__(self, x):
        return np.full((*np.shape(x)[:3], 1), self.value, np.float32)


def radar_input(samples=2, rows=12, columns=10, seed=0):
    rng = np.random.default_rng(seed)
    reflectivity = rng.uniform(-50, 20, (samples, rows, columns)).astype(np.float32)
    reflectivity[rng.random(reflectivity.shape) < 0.3] = -60
    fields = TASK.prepare({"reflectivity": reflectivity})
    return TASK.network_inputs(fields, {}), fields


def gaussian_pixels(pixels=6000, factor=1.0, members=50, seed=0, stretches=10):
    """Truth from N(center, width), members from N(center, factor x width), and the members."""
    rng = np.random.default_rng(seed)
    center, width = rng.normal(0, 5, pixels), rng.uniform(1, 4, pixels)
    truth = center + width * rng.normal(size=pixels)
    drawn = center + factor * width * rng.normal(size=(members, pixels))
    return table_of(truth, drawn, stretches), drawn


def echo_pixels(pixels=4000, seed=0, stretches=10, members=20):
    """Echo with a probability that the spread tells; the members always show echo, far too sure."""
    rng = np.random.default_rng(seed)
    center, width = rng.uniform(-40, 10, pixels), rng.uniform(0.1, 2, pixels)
    chance = 1 / (1 + np.exp(4 * (width - 1.2)))
    truth = np.where(rng.random(pixels) < chance, np.clip(center + 5 * rng.normal(size=pixels), -59, 30), -60.0)
    drawn = np.clip(center + width * rng.normal(size=(members, pixels)), -59, 30)
    return table_of(truth, drawn, stretches, atom=-60.0, factors=(rng.random((1, pixels)) < 0.5)), drawn


def table_of(truth, drawn, stretches, atom=None, factors=None) -> Pixels:
    from cloudkeras.metrics.probabilistic import crps
    from cloudkeras.uncertainty.pixels import features_of

    factors = np.zeros((0, len(truth)), np.int8) if factors is None else np.asarray(factors, np.int8)
    features: Features = features_of(drawn, factors, atom)
    place = np.arange(len(truth)) * stretches // len(truth)
    return Pixels(truth, features, place, crps(truth, np.sort(drawn, axis=0))[0])
