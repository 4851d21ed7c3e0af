import json

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.tasks import Meltwater, get_task
from cloudkeras.tasks.meltwater import DEFAULT_INPUTS, PUBLISHED


def fields(count=3, shape=(6, 8), seed=0):
    rng = np.random.default_rng(seed)
    size = (count, *shape)
    land = np.ones(size, np.int8)
    land[:, :, 0] = 0
    melt = rng.random(size).astype(np.float32)
    melt[:, 0] = np.nan
    liquid = rng.uniform(0, 0.02, size).astype(np.float32)
    liquid[0, 2, 2] = np.nan
    sar = rng.random(size).astype(np.float32)
    sar[1, 1, 1] = np.nan
    return {
        "melt_fraction": melt,
        "brightness_temperature_smooth": rng.uniform(180, 270, size).astype(np.float32),
        "liquid_water_smooth": liquid,
        "sar_mean": sar,
        "surface_altitude": rng.uniform(0, 2500, size).astype(np.float32),
        "land": land,
        # 1 January 2020, 29 February 2020, 31 December 2019 at 23:59:59
        "time_start": np.array([1577836800.0, 1582934400.0, 1577836799.0]),
    }


def test_published_normalisation():
    given = fields()
    x = Meltwater().network_inputs(given, {})
    assert x.shape == (3, 6, 8, 4) and x.dtype == np.float32 and np.isfinite(x).all()
    np.testing.assert_allclose(x[..., 0], (given["brightness_temperature_smooth"] - 206.104) / 26.772, rtol=1e-4)
    np.testing.assert_allclose(x[2, ..., 1], (given["liquid_water_smooth"][2] - 0.005986) / 0.008952, rtol=1e-4)
    assert x[0, 2, 2, 1] == 0 and x[1, 1, 1, 2] == 0  # missing
    np.testing.assert_array_equal(x[0, ..., 2], given["sar_mean"][0])
    np.testing.assert_allclose(x[..., 3], (given["surface_altitude"] - 1175.094) / 993.852, atol=1e-4)
    assert set(PUBLISHED) >= set(DEFAULT_INPUTS) - {"sar_mean"}


def test_training_normalisation_and_physical_units():
    given = fields()
    statistics = {name: {"mean": [2.0], "std": [4.0]} for name in DEFAULT_INPUTS}
    x = Meltwater(normalization="training").network_inputs(given, statistics)
    np.testing.assert_allclose(x[..., 3], (given["surface_altitude"] - 2) / 4, rtol=1e-5)
    np.testing.assert_array_equal(x[0, ..., 2], given["sar_mean"][0])  # fractions stay
    x = Meltwater(normalization="none").network_inputs(given, {})
    np.testing.assert_array_equal(x[..., 0], given["brightness_temperature_smooth"])


def test_the_calendar_of_a_sample():
    task = Meltwater(inputs=("month", "land", "season_cos", "season_sin"))
    prepared = task.prepare(fields())
    np.testing.assert_array_equal(prepared["month"], [1, 2, 12])
    np.testing.assert_array_equal(prepared["day_of_year"], [1, 60, 365])
    x = task.network_inputs(prepared, {})
    np.testing.assert_array_equal(x[..., 0], np.broadcast_to(np.array([1, 2, 12])[:, None, None], (3, 6, 8)))
    np.testing.assert_array_equal(x[..., 1], prepared["land"])
    angle = 2 * np.pi * np.array([1, 60, 365]) / 365.25
    np.testing.assert_allclose(x[:, 0, 0, 2:], np.stack([np.cos(angle), np.sin(angle)], axis=1), atol=1e-6)
    assert task.physical_inputs() == {"land": ("y", "x"), "month": (), "day_of_year": ()}
    without = {k: v for k, v in fields().items() if k != "time_start"}
    with pytest.raises(InputError, match="channel 'month' needs `month`"):
        task.network_inputs(task.prepare(without), {})


@pytest.mark.parametrize("inputs", [DEFAULT_INPUTS, ("month", "season_sin", "sar_mean", "land")])
def test_numpy_and_keras_agree(inputs):
    from keras import ops

    task = Meltwater(inputs=inputs)
    given = task.prepare(fields())
    tensors = {name: ops.convert_to_tensor(values.astype(np.float32)) for name, values in given.items()}
    expected = task.network_inputs(given, {})
    found = np.asarray(ops.convert_to_numpy(task.network_inputs(tensors, {}, xp=ops)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    outputs = np.random.default_rng(0).normal(0, 30, (3, 6, 8, 1)).astype(np.float32)
    decoded = np.asarray(ops.convert_to_numpy(task.decode(ops.convert_to_tensor(outputs), None, xp=ops)))
    np.testing.assert_allclose(decoded, task.decode(outputs, None), atol=1e-6)
    assert decoded.min() >= 0 and decoded.max() <= 1


def test_the_ocean_and_what_sar_did_not_see_are_no_labels():
    task = Meltwater()
    prepared = task.prepare(fields())
    labelled = np.isfinite(task.target(prepared)[..., 0])
    assert not labelled[:, 0].any() and not labelled[:, :, 0].any() and labelled[:, 1:, 1:].all()
    np.testing.assert_array_equal(task.truth(prepared), task.target(prepared)[..., 0])
    np.testing.assert_array_equal(task.presence(task.target(prepared)), np.ones((3, 1)))
    np.testing.assert_array_equal(task.presence(np.full((1, 2, 2, 1), 0.1, np.float32)), [[0]])
    np.testing.assert_array_equal(task.presence(np.full((1, 2, 2, 1), np.nan, np.float32)), [[0]])


def test_decode_is_a_sigmoid_that_encode_undoes():
    task = Meltwater()
    values = np.array([0, 1e-4, 0.1, 0.5, 0.999, 1], np.float32).reshape(1, 2, 3)
    outputs = task.encode(values, None)
    decoded = task.decode(outputs, None)
    np.testing.assert_allclose(decoded, values, atol=1e-6)
    assert decoded[0, 0, 0] == 0 and decoded[0, 1, 2] == 1
    np.testing.assert_allclose(task.decode(np.array([[[[2.0]]]], np.float32), None), 1 / (1 + np.exp(-2.0)), rtol=1e-6)


def test_flips_move_all_images_alike():
    given = fields(64)
    given["time_start"] = np.zeros(64)
    task = Meltwater(flips=True)
    plain, flipped = task.prepare(given), task.prepare(given, np.random.default_rng(0))
    kinds = set()
    for i in range(64):
        variants = {(a, b): (slice(None, None, a), slice(None, None, b)) for a in (1, -1) for b in (1, -1)}
        matching = [
            k for k, v in variants.items() if np.array_equal(plain["sar_mean"][i][v], flipped["sar_mean"][i], True)
        ]
        assert len(matching) == 1
        kinds.add(matching[0])
        for name in ("melt_fraction", "surface_altitude", "land"):
            np.testing.assert_array_equal(plain[name][i][variants[matching[0]]], flipped[name][i])
    assert len(kinds) == 4
    np.testing.assert_array_equal(Meltwater().prepare(given, np.random.default_rng(0))["sar_mean"], plain["sar_mean"])


def test_options_survive_json_and_wrong_ones_are_named():
    task = Meltwater(inputs=["sar_mean"], crop=[64, 32], evaluation_window=96, margin=8)
    assert task.evaluation_window == (96, 96) and task.windows().crop == (64, 32)
    assert get_task("meltwater", **json.loads(json.dumps(task.options()))) == task
    for options, message in (
        ({"inputs": ["rain"]}, "`inputs` is one of"),
        ({"inputs": ["melt_fraction"]}, "`inputs` is one of"),
        ({"inputs": []}, "at least one channel"),
        ({"inputs": ["land", "land"]}, "a channel once"),
        ({"normalization": "maybe"}, "`normalization` is one of"),
        ({"crop": [64]}, "whole rows and columns"),
        ({"crop": "64"}, "whole rows and columns"),
        ({"crop": [0, 4]}, "at least 1 row"),
        ({"margin": 128}, "larger than twice `margin`"),
        ({"crops_per_day": 0}, "At least 1 crop"),
    ):
        with pytest.raises(InputError, match=message):
            Meltwater(**options)


def test_an_exported_model_gives_fractions_from_physical_units():
    from types import SimpleNamespace

    import keras

    from cloudkeras.export import serving_function

    task = Meltwater(inputs=("liquid_water_smooth", "surface_altitude", "month", "land"))
    image = keras.Input((6, 8, 4))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, kernel_initializer="random_normal")(image))
    prepared = task.prepare(fields())
    run = SimpleNamespace(task=task, model=model, statistics={})
    given = {name: prepared[name] for name in task.physical_inputs()}
    served = np.asarray(keras.ops.convert_to_numpy(serving_function(run)(given)["melt_fraction"]))
    x = task.network_inputs(prepared, {})
    weights, bias = (np.asarray(w) for w in model.get_weights())
    expected = 1 / (1 + np.exp(-(x @ weights[0, 0] + bias)[..., 0]))
    np.testing.assert_allclose(served, expected, atol=1e-5)
    assert served.min() >= 0 and served.max() <= 1
