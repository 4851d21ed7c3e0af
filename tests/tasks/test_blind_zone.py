import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task

CONTEXT = {
    "temperature": (180.0, 300.0),
    "specific_humidity": (5.7e-8, 0.0115),
    "eastward_wind": (-30.0, 30.0),
    "northward_wind": (-30.0, 30.0),
}


def record(samples=3, rows=32, columns=10, seed=0):
    """Echo, no echo and missing pixels, with context."""
    rng = np.random.default_rng(seed)
    shape = (samples, rows, columns)
    dbz = rng.uniform(-50, 20, shape)
    kind = rng.random(shape)
    dbz = np.where(kind < 0.3, -60, np.where(kind < 0.4, np.nan, dbz))
    context = {name: rng.uniform(low, high, shape) for name, (low, high) in CONTEXT.items()}
    return {name: values.astype(np.float32) for name, values in {"reflectivity": dbz, **context}.items()}


def test_scaling_as_published():
    task = get_task("blind_zone", context=True, blind_rows=1)
    edges = np.array([0.0, 0.5, 1.0])
    fields = {name: (low + edges * (high - low)).reshape(1, 1, 3) for name, (low, high) in CONTEXT.items()}
    fields["reflectivity"] = np.array([-59.9, -15.0, 30.0]).reshape(1, 1, 3)
    fields = task.prepare({name: np.repeat(v, 12, axis=1).astype(np.float32) for name, v in fields.items()})
    x = task.network_inputs(fields, {})
    assert x.shape == (1, 12, 3, 6) and x.dtype == np.float32
    expected = 1.5 * edges - 0.5
    np.testing.assert_allclose(x[0, 11, :, 0], [1.5 * 0.1 / 90 - 0.5, 0.25, 1.0], atol=1e-5)
    for channel in range(1, 5):
        np.testing.assert_allclose(x[0, 11, :, channel], expected, atol=1e-5)


@pytest.mark.parametrize("ramp,expected", [(0, [1, 1, 0, 0, 0]), (1, [1, 1, 0.5, 0, 0]), (3, [1, 1, 0.75, 0.5, 0.25])])
def test_mask_and_ramp(ramp, expected):
    task = get_task("blind_zone", blind_rows=2, evaluation_ramp_rows=ramp)
    mask = task.prepare({"reflectivity": np.zeros((2, 12, 3), np.float32)})["blind_zone_mask"]
    assert mask.shape == (2, 12, 3) and mask.dtype == np.float32
    np.testing.assert_allclose(mask[1, :5, 2], expected)
    assert (mask[:, 2 + ramp :] == 0).all()


def test_training_draws_the_ramp_and_flips_time_for_half():
    task = get_task("blind_zone", context=True, blind_rows=4)
    fields = record(400, 20, 4)
    drawn = task.prepare(fields, np.random.default_rng(0))
    ramps = (drawn["blind_zone_mask"][:, :, 0] > 0).sum(axis=1) - 4
    assert set(ramps) == set(range(1, 10))
    flipped = np.array(
        [np.array_equal(a, b[:, ::-1]) for a, b in zip(drawn["temperature"], fields["temperature"], strict=True)]
    )
    assert 0.4 < flipped.mean() < 0.6
    for name in ("reflectivity", *CONTEXT):
        expected = np.where(flipped[:, None, None], fields[name][:, :, ::-1], fields[name])
        np.testing.assert_array_equal(drawn[name], expected)
    again = task.prepare(fields, np.random.default_rng(0))
    np.testing.assert_array_equal(again["blind_zone_mask"], drawn["blind_zone_mask"])


@pytest.mark.parametrize("keep_context", [True, False])
def test_hidden_rows_leave_no_trace_in_the_input(keep_context):
    task = get_task("blind_zone", context=True, keep_context=keep_context)
    fields = record()
    changed = {name: values.copy() for name, values in fields.items()}
    changed["reflectivity"][:, :16] = np.random.default_rng(9).uniform(-60, 30, (3, 16, 10))
    changed["reflectivity"][0, 3], changed["reflectivity"][1, 3] = np.nan, -60
    if not keep_context:
        for name in CONTEXT:
            changed[name][:, :16] += 1
    for seed in (None, 1, 2):
        one, other = (
            task.network_inputs(task.prepare(f, None if seed is None else np.random.default_rng(seed)), {})
            for f in (fields, changed)
        )
        np.testing.assert_array_equal(one, other)
    assert (one[:, :16, :, 0] == -1).all()
    assert ((one[:, :16, :, 1:5] == -1).all()) == (not keep_context)


def test_no_echo_and_missing_are_minus_one_in_the_input():
    task = get_task("blind_zone")
    fields = task.prepare(record())
    x, dbz = task.network_inputs(fields, {}), fields["reflectivity"][:, 16:]
    nothing = np.isnan(dbz) | (dbz <= -60)
    assert np.isfinite(x).all() and x.shape[-1] == 2
    assert (x[:, 16:, :, 0][nothing] == -1).all() and (x[:, 16:, :, 0][~nothing] > -0.5).all()
    np.testing.assert_array_equal(x[..., -1], fields["blind_zone_mask"])


def test_missing_context_is_minus_one():
    task = get_task("blind_zone", context=True)
    fields = record()
    fields["temperature"][:, 5] = np.nan
    x = task.network_inputs(task.prepare(fields), {})
    assert (x[:, 5, :, 1] == -1).all() and (x[:, 6, :, 1] >= -0.5).all()


def test_target_covers_blind_zone_and_ramp_and_truth_the_blind_zone_alone():
    task = get_task("blind_zone")
    fields = task.prepare(record())
    dbz, target, truth = fields["reflectivity"], task.target(fields)[..., 0], task.truth(fields)
    assert target.dtype == truth.dtype == np.float32
    assert np.isnan(target[:, 24:]).all() and np.isnan(truth[:, 16:]).all()
    np.testing.assert_array_equal(np.isnan(target[:, :24]), np.isnan(dbz[:, :24]))
    np.testing.assert_array_equal(truth[:, :16], dbz[:, :16])
    clear = dbz[:, :24] == -60
    assert (target[:, :24][clear] == -1).all()
    echo = ~clear & np.isfinite(dbz[:, :24])
    np.testing.assert_allclose(target[:, :24][echo], 1.5 * (dbz[:, :24][echo] + 60) / 90 - 0.5, atol=1e-6)


def test_decode_inverts_the_target_and_passes_the_observation():
    task = get_task("blind_zone")
    fields = task.prepare(record())
    x, target, dbz = task.network_inputs(fields, {}), task.target(fields), fields["reflectivity"]
    found = task.decode(np.nan_to_num(target, nan=5.0), x)  # 5: whatever a network says where it is not asked
    seen = np.isfinite(dbz)
    np.testing.assert_allclose(found[seen], dbz[seen], atol=1e-4)
    assert (found[:, 24:][~seen[:, 24:]] == -60).all()
    truth = task.truth(fields)
    np.testing.assert_allclose(found[:, :16][seen[:, :16]], truth[:, :16][seen[:, :16]], atol=1e-4)


def test_decode_by_hand():
    task = get_task("blind_zone", blind_rows=1)
    x = np.zeros((1, 3, 2, 2), np.float32)
    x[0, :, :, 0] = [[-1, -1], [-0.2, -1], [0.4, 0.1]]
    x[0, :, :, 1] = [[1, 1], [0.5, 0.5], [0, 0]]
    outputs = np.array([[0.0, -0.6], [0.2, 0.0], [9.0, 9.0]], np.float32).reshape(1, 3, 2, 1)
    # blended: 0, -0.6 | 0.5 (0.2 - 0.2), 0.5 (0 - 1) | 0.4, 0.1; dBZ = 60 (v + 0.5) - 60
    np.testing.assert_allclose(task.decode(outputs, x)[0], [[-30, -60], [-30, -60], [-6, -24]], atol=1e-5)
    assert task.decode(outputs * 0 + 5, x)[0, 0, 0] == 30


def test_presence_says_whether_there_is_echo():
    task = get_task("blind_zone")
    dbz = np.full((3, 32, 10), -60, np.float32)
    dbz[1, 3, 4] = -20
    dbz[2] = np.nan
    target = task.target(task.prepare({"reflectivity": dbz}))
    np.testing.assert_array_equal(task.presence(target), [[0], [1], [0]])
    targets = task.targets(task.prepare({"reflectivity": dbz}), ("final", "aux_1", "presence"))
    assert targets["presence"].shape == (3, 1) and targets["aux_1"].shape == (3, 32, 10, 1)


def test_reflectivity_off_by_its_packing_is_still_no_echo():
    task = get_task("blind_zone")
    fields = task.prepare({"reflectivity": np.full((1, 20, 2), -59.999996, np.float32)})
    assert (task.network_inputs(fields, {})[..., 0] == -1).all()
    assert (task.truth(fields)[:, :16] == -60).all() and np.nanmax(task.target(fields)) == -1


def test_names_and_options_make_the_task_again():
    task = get_task("blind_zone", context=True, ramp_rows=[2, 4])
    assert get_task("blind_zone", **task.options()) == task
    assert task.channel_names() == ("reflectivity", *CONTEXT, "blind_zone_mask")
    assert set(task.physical_inputs()) == set(task.channel_names())
    assert get_task("blind_zone").channel_names() == ("reflectivity", "blind_zone_mask")
    assert task.builder_arguments() == {"num_classes": 1} and task.output_name() == "reflectivity"


@pytest.mark.parametrize(
    "options,message",
    [
        ({"blind_rows": 0}, "blind_rows=0"),
        ({"ramp_rows": (3, 2)}, "ramp_rows=\\(3, 2\\)"),
        ({"evaluation_ramp_rows": -1}, "evaluation_ramp_rows=-1"),
        ({"ramp": 3}, "Received ramp"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        get_task("blind_zone", **options)


def test_blind_zone_that_fills_the_image():
    with pytest.raises(InputError, match="blind_rows=16, rows=16"):
        get_task("blind_zone").prepare({"reflectivity": np.zeros((1, 16, 4), np.float32)})


def check_keras_operations():
    """`network_inputs` and `decode` give the same with NumPy and with the backend at hand."""
    from keras import ops

    for options in ({}, {"context": True}, {"context": True, "keep_context": False}):
        task = get_task("blind_zone", **options)
        fields = task.prepare(record())
        tensors = {name: ops.convert_to_tensor(fields[name]) for name in task.physical_inputs()}
        x, x_ops = task.network_inputs(fields, {}), task.network_inputs(tensors, {}, xp=ops)
        np.testing.assert_allclose(ops.convert_to_numpy(x_ops), x, atol=1e-6)
        y = np.random.default_rng(0).uniform(-1, 1, (*x.shape[:3], 1)).astype("float32")
        found = ops.convert_to_numpy(task.decode(ops.convert_to_tensor(y), x_ops, xp=ops))
        np.testing.assert_allclose(found, task.decode(y, x), atol=1e-4)


def test_the_same_in_keras_operations():
    check_keras_operations()


def test_the_same_in_operations_of_jax():
    pytest.importorskip("jax")
    code = "from tests.tasks.test_blind_zone import check_keras_operations as check; check()"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_half_of_the_training_samples_are_moved_down_whole():
    """Each sample is the original from some row on, missing at the top; none in evaluation."""
    rows, blind = 24, 4
    original = np.broadcast_to(np.arange(rows, dtype=np.float32)[None, :, None] - 40, (64, rows, 3))
    task = get_task("blind_zone", blind_rows=blind, shift_rows=6)
    moved = task.prepare({"reflectivity": original}, np.random.default_rng(0))["reflectivity"]
    shifts = (moved[:, 0, 0] + 40).astype(int)
    assert 16 < (shifts > 0).sum() < 48
    assert set(shifts) == set(range(7))
    for sample, shift in zip(moved, shifts, strict=True):
        np.testing.assert_array_equal(sample[: rows - shift], original[0, shift:])
        assert np.isnan(sample[rows - shift :]).all()
    np.testing.assert_array_equal(task.prepare({"reflectivity": original})["reflectivity"], original)


def test_shift_rows_are_checked():
    with pytest.raises(InputError, match="`shift_rows` counts 0 rows or more"):
        get_task("blind_zone", shift_rows=-1)
    with pytest.raises(InputError, match="`shift_rows` must leave the blind zone inside the image"):
        fields = {"reflectivity": np.zeros((1, 24, 3), np.float32)}
        get_task("blind_zone", blind_rows=4, shift_rows=21).prepare(fields, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["blind_zone", "cloud_phase"])
def test_what_a_method_may_see_differently_are_options_of_the_task(name):
    task = get_task(name)
    assert task.input_options <= set(task.options())
    assert "blind_rows" not in task.input_options


CHOICES = [
    (["eastward_wind", "temperature"], ("temperature", "eastward_wind")),
    (("specific_humidity",), ("specific_humidity",)),
    (list(CONTEXT), True),
    ([], False),
    (True, True),
    (False, False),
]


@pytest.mark.parametrize("given,kept", CHOICES)
def test_context_channels_are_chosen_one_by_one(given, kept):
    """The channels of a subset are those of the whole, in the same order and with the same values."""
    task, whole = get_task("blind_zone", context=given), get_task("blind_zone", context=True)
    assert task.context == kept and get_task("blind_zone", **json.loads(json.dumps(task.options()))) == task
    names = task.context_names()
    assert task.channel_names() == ("reflectivity", *names, "blind_zone_mask")
    assert task.read_names() == ("reflectivity", *names) and set(task.physical_inputs()) == set(task.channel_names())
    fields = record()
    needed = task.prepare({name: fields[name] for name in task.read_names()})
    every = whole.network_inputs(whole.prepare(fields), {})
    expected = every[..., [whole.channel_names().index(name) for name in task.channel_names()]]
    np.testing.assert_array_equal(task.network_inputs(needed, {}), expected)


@pytest.mark.parametrize("given", [["pressure"], "temperature", ["temperature", "temperature"], 2])
def test_context_that_is_none_is_refused(given):
    with pytest.raises(InputError, match="`context` is true, false, or a list of different names out of temperature"):
        get_task("blind_zone", context=given)
