"""One model, several instruments: blind-zone tops drawn in training, and other tops in evaluation and export."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.metrics import metrics_for
from cloudkeras.tasks import get_task


def curtains(samples=3, rows=24, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    shape = (samples, rows, columns)
    return np.where(rng.random(shape) < 0.3, -60, rng.uniform(-50, 20, shape)).astype(np.float32)


def rows_hidden(fields):
    return (fields["blind_zone_mask"][:, :, 0] >= 1).sum(axis=1)


def test_training_draws_the_top_for_each_sample_and_evaluation_does_not():
    task = get_task("blind_zone", blind_rows=6, train_blind_rows=[3, 9])
    fields = {"reflectivity": curtains(300)}
    drawn = task.prepare(fields, np.random.default_rng(0))
    counts = np.bincount(rows_hidden(drawn), minlength=11)
    assert set(np.flatnonzero(counts)) == set(range(3, 10)) and counts[3:10].min() > 20
    ramps = (drawn["blind_zone_mask"][:, :, 0] > 0).sum(axis=1) - rows_hidden(drawn)
    assert set(ramps) == set(range(1, 10))
    # Input and target go with the mask of their own sample.
    x, target = task.network_inputs(drawn, {}), task.target(drawn)[..., 0]
    hidden = drawn["blind_zone_mask"] >= 1
    assert (x[..., 0][hidden] == -1).all() and np.isfinite(target[hidden]).all()
    assert np.isnan(target[drawn["blind_zone_mask"] == 0]).all()
    assert (rows_hidden(task.prepare(fields)) == 6).all()


def test_without_a_range_the_draws_are_those_of_before():
    """Ramps, then flips: a seed gives the batches that it gave before tops could be drawn."""
    task, dbz = get_task("blind_zone", blind_rows=4), curtains(8)
    drawn, rng = task.prepare({"reflectivity": dbz}, np.random.default_rng(5)), np.random.default_rng(5)
    ramps, flip = rng.integers(1, 10, (8,)), rng.random((8, 1, 1)) < 0.5
    np.testing.assert_array_equal((drawn["blind_zone_mask"][:, :, 0] > 0).sum(axis=1), 4 + ramps)
    np.testing.assert_array_equal(drawn["reflectivity"], np.where(flip, dbz[:, :, ::-1], dbz))


def test_a_hard_mask_in_training_and_evaluation():
    task = get_task("blind_zone", blind_rows=5, ramp_rows=(0, 0), evaluation_ramp_rows=0)
    for rng in (None, np.random.default_rng(1)):
        fields = task.prepare({"reflectivity": curtains()}, rng)
        np.testing.assert_array_equal(fields["blind_zone_mask"][0, :, 0], [1] * 5 + [0] * 19)
        assert np.isnan(task.target(fields)[:, 5:]).all()
    x = task.network_inputs(fields, {})
    found = task.decode(np.full((3, 24, 6, 1), 0.4, np.float32), x)
    np.testing.assert_allclose(found[:, 5:], fields["reflectivity"][:, 5:], atol=1e-4)


def test_tops_and_shifts_together_leave_the_blind_zone_inside():
    task = get_task("blind_zone", blind_rows=6, train_blind_rows=(3, 9), shift_rows=15)
    task.prepare({"reflectivity": curtains()}, np.random.default_rng(0))
    with pytest.raises(InputError, match="`shift_rows` must leave the blind zone inside"):
        get_task("blind_zone", blind_rows=6, train_blind_rows=(3, 9), shift_rows=16).prepare(
            {"reflectivity": curtains()}, np.random.default_rng(0)
        )


def test_who_may_be_judged_by_whom():
    one, wide = get_task("blind_zone", blind_rows=6), get_task("blind_zone", blind_rows=6, train_blind_rows=(3, 9))
    judges = {rows: get_task("blind_zone", blind_rows=rows) for rows in (2, 3, 6, 9, 10)}
    assert [rows for rows, judge in judges.items() if not one.misfits(judge)] == [6]
    assert [rows for rows, judge in judges.items() if not wide.misfits(judge)] == [3, 6, 9]
    assert wide.misfits(judges[10]) == {"blind_rows": (6, 10)}
    assert not wide.misfits(get_task("blind_zone", blind_rows=6, context=True, ramp_rows=(0, 0)))
    assert metrics_for(judges[9]).blind_rows == 9
    assert get_task("blind_zone", **wide.options()) == wide and wide.options()["train_blind_rows"] == [3, 9]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_blind_rows": (3, 9)}, r"covers `blind_rows`.*train_blind_rows=\(3, 9\), blind_rows=16"),
        ({"train_blind_rows": (0, 20)}, "at least 1 row"),
        ({"train_blind_rows": 16}, "`train_blind_rows` is the fewest and the most rows"),
        ({"train_blind_rows": (3.0, 20)}, "`train_blind_rows` is the fewest and the most rows"),
        ({"ramp_rows": (-1, 3)}, "`ramp_rows` is the shortest and the longest ramp"),
    ],
)
def test_wrong_ranges(options, message):
    with pytest.raises(InputError, match=message):
        get_task("blind_zone", **options)


def test_the_whole_range_must_leave_visible_rows():
    task = get_task("blind_zone", blind_rows=6, train_blind_rows=(3, 24))
    task.prepare({"reflectivity": curtains()})
    with pytest.raises(InputError, match=r"must leave visible rows above it\. Received blind_rows=24, rows=24"):
        task.prepare({"reflectivity": curtains()}, np.random.default_rng(0))


@pytest.mark.tensorflow
def test_a_model_exported_once_fills_blind_zones_of_several_tops(tmp_path):
    """The mask is an input of the SavedModel: other tops need no other export."""
    import tensorflow as tf

    from cloudkeras.export import export_run

    inputs = keras.Input((24, None, 2))
    x = keras.layers.Conv2D(3, 3, padding="same", activation="tanh")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same", name="final")(x))
    task = get_task("blind_zone", blind_rows=6, train_blind_rows=(3, 9))
    run = SimpleNamespace(task=task, model=model, statistics={}, path=None, config={"model": "tiny"}, name="tiny")
    folder = export_run(run, tmp_path / "out")
    serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    dbz, results = curtains(), []
    for rows in (3, 6, 9):
        judge = get_task("blind_zone", blind_rows=rows)
        fields = judge.prepare({"reflectivity": dbz})
        served = serve(**{name: tf.constant(fields[name]) for name in task.physical_inputs()})["reflectivity"].numpy()
        x = judge.network_inputs(fields, {})
        np.testing.assert_allclose(served, judge.decode(model.predict_on_batch(x), x), atol=1e-3)
        seen = fields["blind_zone_mask"] == 0
        np.testing.assert_allclose(served[seen], dbz[seen], atol=1e-3)
        results.append(served)
    assert np.abs(results[0] - results[2]).max() > 1
