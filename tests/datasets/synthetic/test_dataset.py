import json

import netCDF4
import numpy as np
import pytest

from cloudkeras.datasets.dataset import ShardDataset
from cloudkeras.datasets.shards import read_shard
from cloudkeras.datasets.synthetic import SIMULATORS, simulate_dataset, simulate_scene, write_scene
from cloudkeras.datasets.synthetic import dataset as module
from cloudkeras.datasets.synthetic.dataset import GAP_SECONDS, SIMULATION_VERSION, plan_shards, split_counts
from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task

NAMES = ("reflectance", "brightness_temperature", "phase", "phase_dense", "profile_x", "solar_zenith_angle")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "data"
    return simulate_dataset(out, samples=8, size=24, seed=3)


def test_split_counts():
    assert split_counts(100, (0.7, 0.15, 0.15)) == (70, 15, 15)
    assert split_counts(3, (0.7, 0.15, 0.15)) == (1, 1, 1)
    assert split_counts(5, (0.8, 0.0, 0.2)) == (4, 0, 1)
    assert split_counts(4, (0.1, 0.45, 0.45)) == (1, 1, 2) or sum(split_counts(4, (0.1, 0.45, 0.45))) == 4


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.2, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_wrong_fractions(fractions):
    with pytest.raises(InputError, match="`fractions` are three shares"):
        split_counts(10, fractions)


def test_splits_are_blocks_of_time_with_a_gap(tmp_path):
    plans = plan_shards(tmp_path, samples=400, size=(128, 128), seed=1, fractions=(0.7, 0.15, 0.15))
    times = {split: np.concatenate([p.times for p in plans if p.split == split]) for split in module.SPLITS}
    assert times["train"].max() + GAP_SECONDS <= times["validation"].min()
    assert times["validation"].max() + GAP_SECONDS <= times["test"].min()
    indices = np.concatenate([p.indices for p in plans])
    np.testing.assert_array_equal(indices, np.arange(400))


def test_dataset_opens_and_is_named_simulated(made):
    dataset = ShardDataset.open(made)
    assert dataset.simulated
    assert dataset.task_name == "cloud_phase"
    assert [dataset.num_samples(s) for s in ("train", "validation", "test")] == [6, 1, 1]
    assert dataset.image_shape(get_task("cloud_phase")) == (24, 24)
    with netCDF4.Dataset(made / "train-00000.nc") as file:
        assert file.simulated == "true"
        assert "not an observation" in file.source
        assert file["granule"][0] == "simulated-3-00000"
        np.testing.assert_allclose(file["level"][:3], [0.25, 0.75, 1.25])


def test_shards_hold_the_scenes(made):
    plan = plan_shards(made, samples=8, size=(24, 24), seed=3, fractions=(0.7, 0.15, 0.15))[0]
    scene = simulate_scene(3, 24, index=2, time=plan.times[2])
    stored = read_shard(made / "train-00000.nc", NAMES, [2])
    for name in NAMES:
        np.testing.assert_allclose(stored[name][0], scene.fields()[name], atol=0.0051)


def test_jobs_do_not_change_the_scenes(made, tmp_path):
    again = simulate_dataset(tmp_path / "data", samples=8, size=24, seed=3, jobs=2)
    for file in sorted(made.glob("*.nc")):
        one, two = read_shard(file, NAMES), read_shard(again / file.name, NAMES)
        for name in NAMES:
            np.testing.assert_array_equal(one[name], two[name])


def test_a_stopped_run_resumes(made, tmp_path, monkeypatch):
    real = module.simulate_scene
    calls = []

    def stops(seed, shape, *, index, time):
        if index == 7:
            raise KeyboardInterrupt
        calls.append(index)
        return real(seed, shape, index=index, time=time)

    monkeypatch.setattr(module, "simulate_scene", stops)
    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(tmp_path / "data", samples=8, size=24, seed=3)
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [
        "simulation.json",
        "train-00000.nc",
        "validation-00000.nc",
    ]
    calls.clear()
    monkeypatch.setattr(module, "simulate_scene", lambda *a, **k: calls.append(k["index"]) or real(*a, **k))
    reports = []
    out = simulate_dataset(tmp_path / "data", samples=8, size=24, seed=3, progress=lambda d, n: reports.append((d, n)))
    assert calls == [7]
    assert reports == [(7, 8), (8, 8)]
    np.testing.assert_array_equal(
        read_shard(out / "test-00000.nc", ["reflectance"])["reflectance"],
        read_shard(made / "test-00000.nc", ["reflectance"])["reflectance"],
    )


@pytest.mark.parametrize("change", [{"seed": 4}, {"size": 32}, {"samples": 9}])
def test_a_folder_of_other_settings_is_refused(made, change):
    before = {p.name: p.stat().st_mtime_ns for p in made.iterdir()}
    with pytest.raises(InputError, match=f"other settings: {next(iter(change))}="):
        simulate_dataset(made, **{"samples": 8, "size": 24, "seed": 3, **change})
    assert {p.name: p.stat().st_mtime_ns for p in made.iterdir()} == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(InputError, match="not empty"):
        simulate_dataset(tmp_path, samples=4, size=24)


def test_settings_say_which_version_made_the_scenes(made):
    assert json.loads((made / "simulation.json").read_text())["version"] == SIMULATION_VERSION


def test_scene_file_has_the_variables_on_y_and_x(tmp_path):
    scene = simulate_scene(1, (24, 40))
    with netCDF4.Dataset(write_scene(tmp_path / "scene.nc", scene)) as file:
        assert file.simulated == "true"
        assert file["phase_dense"].dimensions == ("level", "y", "x")
        assert file["reflectance"].dimensions == ("y", "x", "reflective_band")
        np.testing.assert_array_equal(file["phase_dense"][...], scene.phase)
        np.testing.assert_allclose(file["brightness_temperature"][...], scene.brightness_temperature, atol=0.0051)
        np.testing.assert_allclose(file["latitude"][...], scene.geometry.latitude)
        assert file["time"][...] == scene.geometry.time
        np.testing.assert_allclose(file["y"][:2], [0.0, 2.0])


def test_every_simulator_can_be_found():
    import importlib.util

    for target in SIMULATORS.values():
        assert importlib.util.find_spec(target.split(":")[0]) is not None


def test_a_complete_folder_is_left_as_it_is(tmp_path):
    """A sweep recognizes its data by the checksum of the manifest, which holds the time when it was made."""
    out = simulate_dataset(tmp_path / "data", samples=6, size=16, seed=1)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in out.iterdir()}
    simulate_dataset(out, samples=6, size=16, seed=1)
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in out.iterdir()} == before
