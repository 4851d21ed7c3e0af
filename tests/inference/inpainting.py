"""Radar files and runs for the tests of filling: windows of 24 rows and 32 columns, 6 rows (468.6 m) hidden."""

from __future__ import annotations

import netCDF4
import numpy as np

from cloudkeras.tasks import get_task
from tests.inference.scenes import RADAR_STATISTICS, FakeRun
from tests.ingest.granules import write_kazr

ROWS, COLUMNS, BLIND_ROWS, DEPTH_M = 24, 32, 6, 78.1
TOP_M = BLIND_ROWS * DEPTH_M
STEP_S = 30.0


class Run(FakeRun):
    """A run whose network is a NumPy function; with `noise` it draws members, else it always says the same."""

    def __init__(self, network, noise=0.0, **options):
        task = get_task("blind_zone", **{"blind_rows": BLIND_ROWS, "evaluation_ramp_rows": 0, **options})
        super().__init__(task, network, (ROWS, COLUMNS, len(task.channel_names())), RADAR_STATISTICS)
        self.noise, self.stochastic = noise, noise > 0

    def sample(self, x, members, *, seed=0):
        values = self.network(x)
        return values + self.noise * np.random.default_rng(seed).normal(size=(members, *values.shape))


def lowest_visible(x):
    """The mean of the lowest visible row over three columns, in all rows: an operation that looks one column far."""
    row = np.pad(x[:, BLIND_ROWS, :, 0], ((0, 0), (1, 1)), mode="edge")
    mean = (row[:, :-2] + row[:, 1:-1] + row[:, 2:]) / 3
    return np.broadcast_to(mean[:, None, :, None], (*x.shape[:3], 1)).astype(np.float32)


def over_the_window(x):
    """The mean over all visible pixels of a window: an operation that feels everything in it."""
    mean = x[:, BLIND_ROWS:, :, 0].mean(axis=(1, 2))
    return np.broadcast_to(mean[:, None, None, None], (*x.shape[:3], 1)).astype(np.float32)


def smooth_echo(profiles, gates, seed=0):
    """Reflectivity (profile, gate) in dBZ that varies slowly."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(profiles) / 9 + rng.uniform(0, 6))[:, None] + np.cos(np.arange(gates) / 7)
    return (8 * wave - 5).astype(np.float32)


def kazr_file(path, time=None, dbz=None, *, gate_m=30.0, gates=60, **options):
    """A file of KAZR moments in which everything is echo."""
    time = STEP_S * np.arange(100) if time is None else np.asarray(time, float)
    height = gate_m * (np.arange(gates) + 0.5)
    dbz = smooth_echo(len(time), gates) if dbz is None else dbz
    return write_kazr(path, time, height, dbz, np.where(np.isnan(dbz), np.nan, 20.0), **options)


def raw(path, *names):
    """Variables as they are stored."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        values = [np.asarray(file[name][...]) for name in names]
    return values[0] if len(values) == 1 else values
