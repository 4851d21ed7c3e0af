"""The readers of benchmarks/simulated_climatology.py on hand-made gates and on the real observations."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "simulated_climatology.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("simulated_climatology", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_gates_onto_levels(benchmark):
    height = np.arange(20) * 0.05 + 0.025  # two levels of ten gates
    clear, ice, liquid, mixed = np.zeros(10), np.full(10, 1), np.full(10, 3), np.full(10, 2)
    thin = clear.copy()
    thin[3] = 3  # a tenth of the gates: cloudy
    half = np.where(np.arange(10) < 5, 1, 3)
    unseen = np.full(10, -1)
    phase = np.stack([np.r_[ice, thin], np.r_[half, liquid], np.r_[mixed, unseen]]).astype(int)
    found = benchmark.onto_levels(phase, height)
    np.testing.assert_array_equal(found[:, :2], [[1, 3], [2, 3], [2, -1]])
    assert np.all(found[:, 2:] == -1)


def test_layers_are_runs_of_cloudy_levels(benchmark):
    phase = np.zeros((4, 38), int)
    phase[1, 2:5] = 3
    phase[2, [0, 10, 37]] = 1
    phase[3, [1, 2, 4]] = 2
    np.testing.assert_allclose(benchmark.Profiles("hand", phase).layers(), [0.25, 0.25, 0.25, 0.25])


@pytest.mark.realdata
def test_real_profiles_are_read(benchmark, realdata):
    maldives, amazon, bucharest, alaska = benchmark.real_profiles(realdata)
    assert maldives.phase.shape == (2541, 38)  # the day is not complete
    assert bucharest.phase.shape[0] == 5 * 2880
    assert amazon.phase.shape[0] == 223 * 15
    top = benchmark.CENTERS_KM[np.nanargmax(maldives.fraction(benchmark.ICE))]
    assert 10 < top < 14
    assert np.nanmax(maldives.fraction(benchmark.ICE)[:8]) < 0.01  # no ice below 4 km in the tropics
    assert np.nanmax(amazon.fraction(benchmark.ICE)[20:34]) > 0.3  # tropical high cloud
    assert np.all(alaska.phase[:, 7:] == -1)  # the lidar product ends at 3 km
    seen = bucharest.phase[bucharest.phase >= 0]
    assert (seen > 0).mean() == pytest.approx(0.092, abs=0.01)
