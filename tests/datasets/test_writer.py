import logging

import netCDF4
import numpy as np
import pytest

from cloudkeras.datasets import DatasetWriter, ShardDataset, finish_dataset, shard_name, shards, write_shard, writer
from cloudkeras.errors import DataError, InputError
from cloudkeras.tasks import BlindZone, CloudPhase

from .making import cloud_fields, make_cloud_dataset, make_radar_dataset, radar_fields, table

OPTIONS = {"provenance": {"source": "test"}, "simulated": True, "gap_seconds": 60.0}


def test_samples_are_cut_into_shards_in_order(tmp_path):
    fields, samples = cloud_fields(11), table(11)
    with DatasetWriter(tmp_path, CloudPhase(), samples_per_shard=4, **OPTIONS) as made:
        for part in np.split(np.arange(11), [1, 2, 8]):
            made.add("train", {name: values[part] for name, values in fields.items()}, samples.take(part))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "manifest.json",
        *(shard_name("train", i) for i in range(3)),
    ]
    dataset = ShardDataset.open(tmp_path)
    assert [entry.num_samples for entry in dataset.manifest.splits["train"]] == [4, 4, 3]
    read = dataset.read("train", np.arange(11), ["phase", "brightness_temperature"])
    np.testing.assert_array_equal(read["phase"], fields["phase"])
    np.testing.assert_allclose(read["brightness_temperature"], fields["brightness_temperature"], atol=0.0051)
    np.testing.assert_array_equal(dataset.samples("train").granule, samples.granule)


def test_statistics_are_those_of_the_training_split_alone(tmp_path):
    dataset = ShardDataset.open(make_cloud_dataset(tmp_path / "a"))
    read = dataset.read("train", np.arange(21), ["reflectance", "brightness_temperature", "phase"])
    for name in ("reflectance", "brightness_temperature"):
        values = read[name].astype(np.float64)
        np.testing.assert_allclose(dataset.statistics[name]["mean"], np.nanmean(values, axis=(0, 1, 2)), rtol=1e-9)
        np.testing.assert_allclose(dataset.statistics[name]["std"], np.nanstd(values, axis=(0, 1, 2)), rtol=1e-9)
    counts = [[int((read["phase"][:, :, level] == k).sum()) for k in range(4)] for level in range(38)]
    assert dataset.statistics["phase"]["class_counts"] == counts
    assert dataset.manifest.labels["train"] == {"phase": int(np.sum(counts))}
    other = ShardDataset.open(make_cloud_dataset(tmp_path / "b", {"train": 21, "test": 9}))
    assert other.statistics == dataset.statistics


def test_attributes_name_task_source_and_simulation(tmp_path):
    folder = make_cloud_dataset(tmp_path, attributes={"comment": "for tests"})
    with shards.opened(folder / "train-00000.nc") as file:
        assert (file.cloudkeras_task, file.simulated, file.source) == ("cloud_phase", "true", "test")
        assert file.comment == "for tests"


def test_regression_without_a_level_dimension(tmp_path):
    dataset = ShardDataset.open(make_radar_dataset(tmp_path))
    assert set(dataset.statistics) == {"reflectivity", "temperature"}
    assert len(dataset.statistics["temperature"]["mean"]) == 1
    assert dataset.image_shape(BlindZone()) == (24, 16)
    assert dataset.manifest.labels["train"]["target"] > 0


def test_a_failure_leaves_nothing_under_its_final_name(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        DatasetWriter(tmp_path, CloudPhase(), samples_per_shard=2, **OPTIONS) as made,
    ):
        made.add("train", cloud_fields(5), table(5))
        assert len(list(tmp_path.glob("train-*.nc"))) == 2
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_finishing_leaves_nothing_either(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(writer, "write_manifest", fail)
    with pytest.raises(OSError, match="no space"):
        make_cloud_dataset(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_leaking_dataset_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match=r"train\[4\] .*test\[0\].* share pixels"),
        DatasetWriter(tmp_path, CloudPhase(), **OPTIONS) as made,
    ):
        made.add("train", cloud_fields(5), table(5))
        made.add("test", cloud_fields(2), table(2, first=4))
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_gap_is_refused(tmp_path):
    one_site = {"latitude": 78.9, "longitude": 11.9}
    with (
        pytest.raises(InputError, match="nearer in time than the gap of 900 s"),
        DatasetWriter(tmp_path, CloudPhase(), **{**OPTIONS, "gap_seconds": 900.0}) as made,
    ):
        made.add("train", cloud_fields(2), table(2, **one_site))
        made.add("test", cloud_fields(2), table(2, first=2, **one_site))


def test_an_existing_dataset_is_kept_unless_told(tmp_path):
    make_cloud_dataset(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(InputError, match=r"already holds a dataset. Choose another folder"):
        make_cloud_dataset(tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before
    make_cloud_dataset(tmp_path, {"train": 3}, overwrite=True)
    assert ShardDataset.open(tmp_path).num_samples("train") == 3


@pytest.mark.parametrize(
    ("split", "fields", "count", "message"),
    [
        ("holdout", cloud_fields(2), 2, "`split` is one of 'train', 'validation', 'test'"),
        ("train", cloud_fields(2), 3, "as many samples as the table, 3"),
        ("train", cloud_fields(2, rows=9), 2, "All samples have the same variables and shapes"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, split, fields, count, message):
    with pytest.raises(InputError, match=message), DatasetWriter(tmp_path, CloudPhase(), **OPTIONS) as made:
        made.add("train", cloud_fields(1), table(1))
        made.add(split, fields, table(count, first=1))


def test_no_sample_at_all(tmp_path):
    with (
        pytest.raises(InputError, match="A dataset holds at least 1 sample"),
        DatasetWriter(tmp_path, CloudPhase(), **OPTIONS),
    ):
        pass
    with pytest.raises(InputError, match="`samples_per_shard` is at least 1"):
        DatasetWriter(tmp_path, CloudPhase(), samples_per_shard=0, **OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provenance": {"seed": np.int64(1)}}, "`provenance` holds plain JSON values.*int64 is not JSON"),
        ({"provenance": {"gap": float("nan")}}, "`provenance` holds plain JSON values"),
        ({"gap_seconds": -1.0}, "`gap_seconds` is at least 0"),
        ({"gap_seconds": float("nan")}, "`gap_seconds` is at least 0"),
    ],
)
def test_what_the_manifest_cannot_say_is_refused_at_once(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        DatasetWriter(tmp_path, CloudPhase(), **{**OPTIONS, **change})
    with pytest.raises(InputError, match=message):
        finish_dataset(tmp_path, CloudPhase(), {"train": ["train-00000.nc"]}, **{**OPTIONS, **change})


def test_finishing_complete_shards_gives_what_the_writer_gives(tmp_path, caplog):
    made = ShardDataset.open(make_cloud_dataset(tmp_path / "a"))
    seen = []
    files = {split: made.files(split) for split in ("train", "validation", "test")}
    before = (tmp_path / "a" / "manifest.json").read_text()
    (tmp_path / "a" / "manifest.json").unlink()
    with caplog.at_level(logging.INFO, "cloudkeras"):
        path = finish_dataset(
            tmp_path / "a", CloudPhase(), files, progress=lambda done, total: seen.append((done, total)), **OPTIONS
        )
    assert [line for line in path.read_text().splitlines() if "created" not in line] == [
        line for line in before.splitlines() if "created" not in line
    ]
    assert seen == [(i, 5) for i in range(1, 6)]
    assert f"wrote {path}" in caplog.text


def test_finishing_refuses_shards_that_differ(tmp_path):
    write_shard(tmp_path / "train-00000.nc", CloudPhase().variables(), cloud_fields(2), table(2))
    write_shard(tmp_path / "train-00001.nc", CloudPhase().variables(), cloud_fields(2, rows=9), table(2, 2))
    dense = {**cloud_fields(2), "phase_dense": np.zeros((2, 38, 8, 12), np.int8)}
    write_shard(tmp_path / "train-00002.nc", CloudPhase().variables(), dense, table(2, 4))
    write_shard(tmp_path / "train-00003.nc", BlindZone().variables(), radar_fields(2), table(2))
    for number, message in (
        (1, r"images of \(8, 12\)"),
        (2, "the variables of the other"),
        (3, "dimensions 'y' and 'x'"),
    ):
        with pytest.raises(DataError, match=message):
            files = {"train": ["train-00000.nc", f"train-0000{number}.nc"]}
            finish_dataset(tmp_path, CloudPhase(), files, **OPTIONS)
        assert not (tmp_path / "manifest.json").exists()


def test_opening_looks_for_the_files(tmp_path):
    folder = make_cloud_dataset(tmp_path)
    last = folder / "train-00002.nc"
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"train-00002.nc: expected \d+ bytes, as manifest.json says; found \d+ bytes"):
        ShardDataset.open(folder)
    last.unlink()
    with pytest.raises(DataError, match=r"train-00002.nc: expected a file, listed in manifest.json; found none"):
        ShardDataset.open(folder)


def test_a_shard_of_another_version_is_refused_when_read(tmp_path):
    dataset = ShardDataset.open(make_cloud_dataset(tmp_path))
    with netCDF4.Dataset(dataset.files("test")[0], "a") as file:
        file.cloudkeras_schema_version = np.int32(2)
    dataset.read("train", [0], ["phase"])
    with pytest.raises(DataError, match="expected schema version 1; found 2"):
        dataset.read("test", [0], ["phase"])
