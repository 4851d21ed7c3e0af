"""`Run`: a method that needs neither the data folder nor a finished training."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.training import load_run, train

from .tiny import tiny_config, write_radar_shards


def test_prediction_in_batches_is_the_prediction_of_each_sample(finished_run):
    inputs = np.random.default_rng(0).uniform(-1, 1, (7, 16, 16, 2)).astype(np.float32)
    whole = finished_run.predict(inputs, batch_size=7)
    assert whole.shape == (7, 16, 16, 1)
    np.testing.assert_allclose(finished_run.predict(inputs, batch_size=3), whole, rtol=0, atol=1e-5)
    np.testing.assert_allclose(finished_run(inputs[4:5])[0], whole[4], rtol=0, atol=1e-5)


def test_a_run_is_a_method_without_its_data(tmp_path):
    shards = write_radar_shards(tmp_path / "shards")
    made = train(tiny_config(shards, epochs=1, name="first"), tmp_path / "run")
    inputs = np.zeros((1, 16, 16, 2), np.float32)
    expected = made(inputs)
    shutil.rmtree(shards)
    run = load_run(tmp_path / "run")
    assert (run.name, run.task.blind_rows, run.finished) == ("first", 4, True)
    assert set(run.statistics) >= {"reflectivity"}
    np.testing.assert_array_equal(run(inputs), expected)


def test_the_name_is_that_of_the_folder_unless_it_has_one(finished_run):
    assert finished_run.name == "whole"


def test_a_run_in_progress_gives_its_best_epoch_so_far(finished_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished_run.path, copy)
    (copy / "summary.json").unlink()
    run = load_run(copy)
    assert run.finished is False
    inputs = np.zeros((1, 16, 16, 2), np.float32)
    np.testing.assert_allclose(run(inputs), finished_run(inputs), atol=1e-6)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"expected a run folder; found no config\.json"):
        load_run(tmp_path)


def test_a_broken_state_and_a_broken_model_are_named(finished_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished_run.path, copy)
    (copy / "model.keras").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"model\.keras: expected a Keras model"):
        _ = load_run(copy).model
    (copy / "checkpoints" / "state.npz").write_bytes(b"not a state")
    with pytest.raises(DataError, match=r"state\.npz: expected the state of a training"):
        _ = load_run(copy).progress


def test_a_state_of_another_model_is_refused(finished_run, radar_shards, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished_run.path, copy)
    (copy / "summary.json").unlink()
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(
        text.replace('"filters": [\n      4,\n      8', '"filters": [\n      2,\n      4')
    )
    with pytest.raises(DataError, match=r"state\.npz: expected .* model variables of this configuration"):
        train(tiny_config(radar_shards, model_options={"filters": [2, 4]}), copy)


def test_sample_of_a_run_with_dropout_on_and_off(radar_shards, finished_run, tmp_path):
    options = {"filters": [4, 8], "mc_dropout": True}
    run = train(tiny_config(radar_shards, epochs=1, model_options=options), tmp_path / "mc")
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 2)).astype(np.float32)
    members = run.sample(inputs, 3, seed=5)
    assert members.shape == (3, 2, 16, 16, 1) and np.ptp(members, axis=0).max() > 0
    np.testing.assert_array_equal(load_run(run.path).sample(inputs, 3, seed=5), members)
    with pytest.raises(InputError, match="dropout stays on at inference"):
        finished_run.sample(inputs, 3)
