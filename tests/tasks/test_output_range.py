"""What tasks say about the values they predict: `encode` undoes `decode`, factors and events by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.tasks import OutputRange, Task, get_task

RNG = np.random.default_rng(0)


def radar_input(rows=12, columns=6, ramp=2, **options):
    task = get_task("blind_zone", blind_rows=4, evaluation_ramp_rows=ramp, **options)
    reflectivity = RNG.uniform(-50, 20, (2, rows, columns)).astype(np.float32)
    reflectivity[:, :, ::2] = -60
    fields = task.prepare({"reflectivity": reflectivity})
    return task, task.network_inputs(fields, {})


def test_radar_encode_undoes_decode():
    task, x = radar_input()
    values = task.decode(RNG.uniform(-1.2, 1.2, (*x.shape[:3], 1)), x)
    np.testing.assert_allclose(task.decode(task.encode(values, x), x), values, atol=1e-4)
    hidden = x[..., -1] >= 1
    clear = task.encode(np.full(hidden.shape, -60.0), x)[..., 0]
    assert (clear[hidden] == -1).all()


def test_melt_and_class_encode_undo_decode():
    task = get_task("meltwater")
    values = RNG.uniform(0, 1, (1, 4, 4))
    np.testing.assert_allclose(task.decode(task.encode(values, None), None), values, atol=1e-5)
    task = get_task("cloud_phase")
    probability = RNG.dirichlet(np.ones(4), (2, 3)).astype(np.float32)
    np.testing.assert_allclose(task.decode(task.encode(probability, None), None), probability, atol=1e-5)


def test_radar_factors_by_hand():
    task, x = radar_input()
    factors = task.calibration_factors(x)
    assert list(factors) == ["visible_echo", "depth"]
    np.testing.assert_array_equal(factors["visible_echo"][0], np.tile([0, 1, 0, 1, 0, 1], (12, 1)))
    np.testing.assert_array_equal(factors["depth"][0, :, 0], [3, 2, 1, 0] + [0] * 8)  # the lowest row first


def test_ranges_and_events():
    assert get_task("blind_zone").output_range() == OutputRange(
        -60, 30, "dBZ", -60, (("echo", -60), ("precipitation", -20))
    )
    melt = get_task("meltwater").output_range()
    assert (melt.low, melt.high, melt.atom, melt.events) == (0, 1, 0, (("melt", 0.1),))


def test_a_regression_without_encode_says_so():
    task = get_task("meltwater")
    with pytest.raises(InputError, match="'meltwater' does not say"):
        Task.encode(task, np.zeros(1), np.zeros(1))
    assert Task.output_range(task) == OutputRange() and Task.calibration_factors(task, np.zeros(1)) == {}


def test_filled_pixels_are_the_hidden_ones():
    task, x = radar_input()
    np.testing.assert_array_equal(task.filled(x)[0, :, 0], [True] * 4 + [False] * 8)
    assert get_task("meltwater").filled(np.zeros((2, 3, 4, 1))).all()
