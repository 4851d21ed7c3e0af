import json

import pytest

from cloudkeras.datasets import Manifest, ShardEntry, read_manifest, write_manifest
from cloudkeras.errors import DataError

MANIFEST = Manifest(
    task="cloud_phase",
    task_options={"labels": "track"},
    simulated=True,
    patch_shape=(8, 12),
    variables=("reflectance", "phase"),
    splits={"train": (ShardEntry("train-00000.nc", 5, 1000, "ab"), ShardEntry("train-00001.nc", 2, 400, "cd"))},
    labels={"train": {"phase": 17}},
    statistics={"reflectance": {"mean": [0.1 + 0.2], "std": [1.0], "minimum": [None]}},
    gap_seconds=600.0,
    provenance={"source": "test"},
)


def test_round_trip(tmp_path):
    path = write_manifest(tmp_path, MANIFEST)
    assert path.name == "manifest.json" and [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
    assert read_manifest(tmp_path) == MANIFEST
    assert MANIFEST.num_samples("train") == 7 and MANIFEST.num_samples("test") == 0


def test_the_file_says_what_it_is(tmp_path):
    content = json.loads(write_manifest(tmp_path, MANIFEST).read_text())
    assert (content["schema"], content["schema_version"]) == ("cloudkeras-shards", 1)
    assert content["splits"]["train"]["num_samples"] == 7
    assert content["task"] == {"name": "cloud_phase", "options": {"labels": "track"}}


def test_not_a_number_never_reaches_the_file(tmp_path):
    bad = Manifest(**{**MANIFEST.__dict__, "statistics": {"reflectance": {"mean": [float("nan")]}}})
    with pytest.raises(ValueError, match="Out of range float"):
        write_manifest(tmp_path, bad)
    assert list(tmp_path.iterdir()) == []


def test_no_manifest_and_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"found no manifest. The manifest is written last"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="found no folder"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00\x01"])
def test_not_json_or_not_a_manifest(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"does not parse|variable 'schema'"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "'schema': expected 'cloudkeras-shards'; found 'other'"),
        ({"schema_version": 2}, "expected schema version 1; found 2. Make the shards again"),
        ({"task": "cloud_phase"}, "'task': expected an object with 'name' and 'options'"),
        ({"task": {"name": "cloud_phase"}}, "'task': expected an object with 'name' and 'options'"),
        ({"simulated": "yes"}, "'simulated': expected true or false; found yes"),
        ({"simulated": None}, "'simulated': expected true or false; found null"),
        ({"patch_shape": [8]}, "'patch_shape': expected two whole numbers"),
        ({"patch_shape": [8, 0]}, "'patch_shape': expected two whole numbers"),
        ({"gap_seconds": True}, "'gap_seconds': expected a number of seconds"),
        ({"statistics": []}, "'statistics': expected an object by variable"),
        ({"labels": {"train": {"phase": -1}}}, "'labels.train': expected counts"),
        ({"splits": {"holdout": {"files": [], "num_samples": 0}}}, "'splits.holdout': expected one of train"),
        ({"splits": {"train": []}}, "'splits.train': expected an object with 'files'"),
        ({"splits": {"train": {"files": [{"name": "a.nc"}], "num_samples": 0}}}, "entries with name, num_samples"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, change, message):
    path = write_manifest(tmp_path, MANIFEST)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["task", "simulated", "patch_shape", "splits", "statistics", "labels", "provenance"])
def test_a_missing_entry_is_named(tmp_path, name):
    path = write_manifest(tmp_path, MANIFEST)
    content = json.loads(path.read_text())
    del content[name]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"variable '{name}': expected .*; found nothing"):
        read_manifest(tmp_path)


def test_counts_that_do_not_add_up_and_names_that_lead_elsewhere(tmp_path):
    path = write_manifest(tmp_path, MANIFEST)
    content = json.loads(path.read_text())
    content["splits"]["train"]["num_samples"] = 8
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"'splits.train.num_samples': expected 7; found 8"):
        read_manifest(tmp_path)
    content["splits"]["train"]["files"][0]["name"] = "../train-00000.nc"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="entries with name"):
        read_manifest(tmp_path)
