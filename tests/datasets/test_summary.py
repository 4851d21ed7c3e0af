import pytest

from cloudkeras.datasets import describe
from cloudkeras.datasets.summary import _tree
from cloudkeras.errors import DataError

from .making import cloud_fields, make_cloud_dataset, make_radar_dataset


def test_a_file_in_words(tmp_path):
    path = make_cloud_dataset(tmp_path) / "train-00000.nc"
    text = describe(path)
    assert "simulated samples for the task cloud_phase" in text
    assert "8 samples of 8 granules, 2020-09-13T12:26:40 to 2020-09-13T13:37:40 UTC" in text
    (line,) = (line for line in text.splitlines() if line.startswith("brightness_temperature "))
    assert "sample 8 x y 8 x x 12 x emissive_band 10" in line and " K " in line and line.endswith("0.0%")
    phase = cloud_fields(21)["phase"][:8]
    labelled = int((phase >= 0).sum())
    ice = (phase == 1).sum() / labelled
    assert f"ice {ice:.2%}" in text and f"of {labelled} labelled voxels" in text


def test_a_folder_in_words(tmp_path):
    text = describe(make_cloud_dataset(tmp_path))
    assert 'simulated shards for task cloud_phase {"labels": "track", "angles": false}' in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["train"][1:3] == ["21", "3"] and rows["test"][1:3] == ["6", "1"]
    assert rows["reflectance[5]"][0] == "reflectance[5]" and "labelled voxels" in text


def test_a_folder_with_one_split(tmp_path):
    rows = [line.split() for line in describe(make_radar_dataset(tmp_path)).splitlines()]
    assert ["test", "0", "0", "-", "-", "-", "-"] in rows
    assert any(row[:1] == ["reflectivity"] for row in rows)


def test_neither(tmp_path):
    with pytest.raises(DataError, match="found no manifest"):
        describe(tmp_path)
    (tmp_path / "a.nc").write_bytes(b"")
    with pytest.raises(DataError, match="a NetCDF-4 file; found 0 bytes"):
        describe(tmp_path / "a.nc")


def test_where_the_data_come_from_is_an_entry_a_line_and_long_lists_are_shortened():
    days = [f"2018-04-{day:02d}" for day in range(1, 21)]
    lines = _tree({"seed": 7, "split": {"name": "blocks", "near": {"1": 0, "3": 2}}, "left_out": {}, "days": days})
    assert lines == [
        "  seed: 7",
        "  split:",
        "    name: blocks",
        "    near: 1 0, 3 2",
        "  left_out: none",
        "  days: 20, from 2018-04-01 to 2018-04-20",
    ]
