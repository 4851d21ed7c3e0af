"""Small scenes and runs for the tests of inference, written with netCDF4 alone."""

from __future__ import annotations

from types import SimpleNamespace

import netCDF4
import numpy as np

from cloudkeras.tasks import get_task
from cloudkeras.tasks.cloud_phase import NUM_LEVELS

PHASE_STATISTICS = {
    "reflectance": {"mean": [0.3] * 6, "std": [0.2] * 6},
    "brightness_temperature": {"mean": [260.0] * 10, "std": [20.0] * 10},
    "phase": {"class_counts": [[4, 3, 2, 1]] * NUM_LEVELS},
}
RADAR_STATISTICS = {"reflectivity": {"mean": [-20.0], "std": [10.0]}}


class FakeRun:
    """A run whose network is a NumPy function of its input."""

    def __init__(self, task, network, input_shape, statistics, name="fake"):
        self.task, self.network, self.statistics, self.name = task, network, statistics, name
        self.config, self.path = {"model": "fake", "data": "nowhere"}, None
        self.model = SimpleNamespace(input_shape=(None, *input_shape), name="fake", layers=[], count_params=lambda: 0)
        self.batches = []

    def __call__(self, x):
        self.batches.append(x.shape)
        return self.network(x)

    def sample(self, x, members, *, seed=0):
        return np.stack([self.network(x) for _ in range(members)])


def phase_logits(x, radius=0):
    """Logits (batch, 38, rows, columns, 4) that depend on the channels within `radius` pixels, differently by level."""
    if radius:
        padded = np.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
        size = 2 * radius + 1
        rows, columns = x.shape[1:3]
        shifted = [padded[:, i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
        x = np.mean(shifted, axis=0)
    a, b = x[..., 2], x[..., 12]
    level = np.arange(NUM_LEVELS)[:, None, None] / NUM_LEVELS
    a, b = a[:, None], b[:, None]
    return np.stack([b + 0 * level, a * level - 1, a - b * level, 0.5 * a + level], axis=-1).astype(np.float32)


def phase_run(tile=32, radius=0, **options):
    return FakeRun(
        get_task("cloud_phase", **options), lambda x: phase_logits(x, radius), (tile, tile, 16), PHASE_STATISTICS
    )


def radar_run(rows=24, columns=32, network=None, **options):
    network = network or (lambda x: x.mean(axis=1, keepdims=True)[..., :1] + np.zeros_like(x[..., :1]))
    task = get_task("blind_zone", blind_rows=6, **options)
    return FakeRun(task, network, (rows, columns, len(task.channel_names())), RADAR_STATISTICS)


def write_phase_scene(path, rows, columns, seed=0, *, change=None, packed=True):
    """A scene for cloud_phase. `change(dataset)` alters the open file before it is closed."""
    rng = np.random.default_rng(seed)
    with netCDF4.Dataset(path, "w") as dataset:
        for name, size in (("y", rows), ("x", columns), ("reflective_band", 6), ("emissive_band", 10)):
            dataset.createDimension(name, size)
        dataset.simulated = "true"
        dataset.history = "made for a test"
        for dim, size in (("y", rows), ("x", columns)):
            axis = dataset.createVariable(dim, "f4", (dim,))
            axis.units, axis.standard_name = "km", f"projection_{dim}_coordinate"
            axis[:] = 2.0 * np.arange(size)
        for name, low in (("latitude", -10.0), ("longitude", 120.0)):
            grid = dataset.createVariable(name, "f4", ("y", "x"))
            grid.units, grid.standard_name = f"degrees_{'north' if name == 'latitude' else 'east'}", name
            grid[:] = low + 0.02 * np.add.outer(np.arange(rows), np.arange(columns))
        time = dataset.createVariable("time", "f8", ())
        time.units = "seconds since 1970-01-01 00:00:00"
        time.assignValue(1.6e9)
        values = {
            "reflectance": rng.uniform(0, 1, (rows, columns, 6)),
            "brightness_temperature": rng.uniform(200, 300, (rows, columns, 10)),
        }
        for name, band, units, scale, offset in (
            ("reflectance", "reflective_band", "1", 1e-4, 0.0),
            ("brightness_temperature", "emissive_band", "K", 0.01, 273.15),
        ):
            dims = ("y", "x", band)
            if packed:
                variable = dataset.createVariable(name, "i2", dims, fill_value=-32768, zlib=True)
                variable.scale_factor, variable.add_offset = scale, offset
            else:
                variable = dataset.createVariable(name, "f4", dims)
            variable.units, variable.coordinates = units, "latitude longitude time"
            variable[:] = values[name]
        if change is not None:
            change(dataset)
    return path


def write_radar_scene(path, rows, columns, seed=0, *, packed=True, change=None):
    """A scene for blind_zone: smooth echo, some "no echo", some missing."""
    rng = np.random.default_rng(seed)
    with netCDF4.Dataset(path, "w") as dataset:
        dataset.createDimension("height", rows)
        dataset.createDimension("profile", columns)
        height = dataset.createVariable("height", "f4", ("height",))
        height.units, height.positive = "m", "up"
        height[:] = 78.1 * (np.arange(rows) + 0.5)
        time = dataset.createVariable("time", "f8", ("profile",))
        time.units = "seconds since 2021-01-04 00:00:00"
        time[:] = 30.0 * np.arange(columns)
        values = rng.uniform(-50, 20, (rows, columns))
        values[rng.random(values.shape) < 0.2] = -60
        if packed:
            variable = dataset.createVariable("reflectivity", "i2", ("height", "profile"), fill_value=-32768)
            variable.scale_factor, variable.add_offset = 0.01, 0.0
        else:
            variable = dataset.createVariable("reflectivity", "f4", ("height", "profile"))
        variable.units, variable.coordinates = "dBZ", "time"
        variable[:] = values
        if change is not None:
            change(dataset)
    return path


def whole_phase(run, path):
    """Probabilities of a scene without tiles: (level, y, x, class)."""
    with netCDF4.Dataset(path) as dataset:
        fields = {n: np.ma.filled(dataset[n][:].astype(np.float32), np.nan)[None] for n in run.task.physical_inputs()}
    x = run.task.network_inputs(fields, run.statistics)
    return run.task.decode(run.network(x), x)[0]
