import json
import pickle

import netCDF4
import numpy as np
import pytest

from cloudkeras.datasets import Batches, DatasetWriter, ShardDataset
from cloudkeras.datasets.manifest import file_sha256
from cloudkeras.datasets.schema import Windows
from cloudkeras.datasets.shards import read_shard
from cloudkeras.datasets.summary import describe
from cloudkeras.datasets.validate import find_problems
from cloudkeras.datasets.windows import MAX_DRAWS, core_edges, fitted, tile_grid, tile_starts
from cloudkeras.errors import DataError, InputError
from cloudkeras.tasks import Meltwater

from .making import MELT_SHAPE, make_melt_dataset, melt_fields, melt_static, table

TASK = Meltwater(crop=(16, 16), crops_per_day=3, evaluation_window=(24, 24), margin=4, normalization="none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_melt_dataset(tmp_path_factory.mktemp("windows") / "melt")


@pytest.fixture(scope="module")
def dataset(folder):
    return ShardDataset.open(folder)


# ---- geometry ------------------------------------------------------------------------------------------------------


def test_tiles_of_ten_pixels_by_hand():
    np.testing.assert_array_equal(tile_starts(10, 6, 1), [0, 4])
    np.testing.assert_array_equal(core_edges(10, 6, 1), [0, 5, 10])
    np.testing.assert_array_equal(tile_starts(11, 6, 1), [0, 4, 5])  # the last tile ends where the axis ends
    np.testing.assert_array_equal(core_edges(11, 6, 1), [0, 5, 9, 11])
    np.testing.assert_array_equal(core_edges(6, 6, 1), [0, 6])


@pytest.mark.parametrize("shape", [(24, 24), (25, 40), (61, 33)])
@pytest.mark.parametrize("margin", [0, 1, 7])
def test_cores_cover_every_pixel_once_and_keep_the_margin(shape, margin):
    grid = tile_grid(Windows((8, 8), 1, (24, 20), margin), shape)
    judged = np.zeros(shape, int)
    for start, (y0, y1, x0, x1) in zip(grid.starts, grid.cores, strict=True):
        judged[y0:y1, x0:x1] += 1
        for first, end, begin, tile, size in ((y0, y1, start[0], 24, shape[0]), (x0, x1, start[1], 20, shape[1])):
            assert begin >= 0 and begin + tile <= size
            assert first - begin >= margin or first == 0
            assert begin + tile - end >= margin or end == size
    assert (judged == 1).all()


def test_windows_larger_than_a_sample_are_cut_to_it():
    assert fitted(Windows((8, 8), 1, (24, 24), 4), (20, 40)).tile == (20, 24)
    assert fitted(Windows((256, 256), 1, (256, 64), 4), (100, 300)) == Windows((96, 256), 1, (96, 64), 4)
    assert fitted(Windows((64, 40), 4, (8, 8), 1), (20, 40)) == Windows((20, 40), 1, (8, 8), 1)
    assert len(tile_grid(Windows((8, 8), 1, (256, 256), 48), (96, 96))) == 1  # one tile has no inner edge, so no margin
    with pytest.raises(InputError, match=r"Samples of 100 x 300 take several tiles.*tile=\(96, 256\), margin=48"):
        tile_grid(Windows((8, 8), 1, (256, 256), 48), (100, 300))
    with pytest.raises(InputError, match="At least 1 crop"):
        Windows((8, 8), 0, (96, 256), 4)


# ---- static variables ----------------------------------------------------------------------------------------------


def test_static_variables_are_stored_once_and_repeated_when_read(folder, dataset):
    with netCDF4.Dataset(folder / "train-00000.nc") as file:
        assert file["land"].dimensions == ("y", "x") and file["melt_fraction"].dimensions == ("sample", "y", "x")
        assert file["melt_fraction"].grid_mapping == "crs" and "crs" not in file["melt_fraction"].coordinates
        assert "coordinates" not in file["land"].ncattrs()
    static = melt_static()
    fields = dataset.read("train", [5, 0], ["land", "surface_altitude", "melt_fraction"])
    np.testing.assert_array_equal(fields["land"], np.stack([static["land"]] * 2))
    np.testing.assert_allclose(fields["surface_altitude"][1], static["surface_altitude"], atol=0.051)
    np.testing.assert_allclose(fields["melt_fraction"][1], melt_fields(6)["melt_fraction"][0], atol=5.1e-5)
    alone = read_shard(folder / "train-00001.nc", ["land"], [1, 0, 1])
    np.testing.assert_array_equal(alone["land"], np.stack([static["land"]] * 3))


def test_statistics_count_static_variables_once(dataset):
    assert dataset.statistics["surface_altitude"]["count"] == [MELT_SHAPE[0] * MELT_SHAPE[1]]
    assert dataset.statistics["surface_altitude"]["mean"][0] == pytest.approx(1250, abs=0.1)
    assert dataset.statistics["brightness_temperature"]["count"] == [6 * MELT_SHAPE[0] * MELT_SHAPE[1]]
    assert "land" not in dataset.statistics


def test_labels_are_counted_and_shards_are_valid(folder, dataset):
    assert dataset.manifest.labels["train"] == {"target": int(np.isfinite(melt_fields(6)["melt_fraction"]).sum())}
    assert find_problems(folder) == []
    assert "surface_altitude               y 40 x x 52" in describe(folder / "train-00000.nc")


def test_a_static_variable_that_differs_between_shards(tmp_path):
    folder = make_melt_dataset(tmp_path / "melt")
    with netCDF4.Dataset(folder / "test-00000.nc", "r+") as file:
        file["land"][0, :] = 0
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["splits"]["test"]["files"][0]
    entry["sha256"] = file_sha256(folder / entry["name"])
    entry["bytes"] = (folder / entry["name"]).stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = [str(p) for p in find_problems(folder)]
    assert len(found) == 1 and "variable 'land': expected the values of train-00000.nc" in found[0]


def test_unknown_and_missing_static_variables(tmp_path):
    options = {"provenance": {}, "simulated": True, "gap_seconds": 0}
    with pytest.raises(InputError, match=r"Static variables of task 'meltwater': surface_altitude, land.*'melt_frac"):
        DatasetWriter(tmp_path / "a", Meltwater(), static={"melt_fraction": np.zeros(MELT_SHAPE)}, **options)
    writers = [
        ("A shard holds 'surface_altitude', 'land'", DatasetWriter(tmp_path / "b", Meltwater(), **options)),
        (
            "needs size 52 along 'x'",
            DatasetWriter(tmp_path / "c", Meltwater(), static=melt_static((40, 51)), **options),
        ),
    ]
    for message, writer in writers:
        with pytest.raises(InputError, match=message), writer:
            writer.add("train", melt_fields(1), table(1))


# ---- batches of tiles ----------------------------------------------------------------------------------------------


def test_tiles_judge_every_valid_pixel_once(dataset):
    batches = Batches(dataset, TASK, "test", 5)
    whole = dataset.read("test", np.arange(3), ["melt_fraction"])["melt_fraction"]
    assert batches.num_samples == 3 * len(batches.tiles) and batches.input_shape == (24, 24, 4)
    counts, total = np.zeros(3), np.zeros(3)
    seen = np.full(whole.shape, np.nan)
    for i in range(len(batches)):
        truth = TASK.truth(batches.fields(i))
        for sample, (y, x), window in zip(batches.indices(i), batches.starts(i), truth, strict=True):
            valid = np.isfinite(window)
            counts[sample] += valid.sum()
            total[sample] += window[valid].sum()
            part = seen[sample, y : y + 24, x : x + 24]
            part[valid] = window[valid]
    np.testing.assert_array_equal(counts, np.isfinite(whole).sum(axis=(1, 2)))
    np.testing.assert_array_equal(seen, whole)


def test_inputs_of_a_tile_are_whole_and_dates_come_along(dataset):
    batches = Batches(dataset, TASK, "test", 4)
    whole = dataset.read("test", np.arange(3), TASK.read_names())
    fields = batches.fields(3)  # tiles 12 .. 15 of 2 x 3 a sample: all of the third
    for row, (sample, (y, x)) in enumerate(zip(batches.indices(3), batches.starts(3), strict=True)):
        window = whole["brightness_temperature_smooth"][sample, y : y + 24, x : x + 24]
        np.testing.assert_array_equal(fields["brightness_temperature_smooth"][row], window)
        np.testing.assert_array_equal(fields["land"][row], melt_static()["land"][y : y + 24, x : x + 24])
    np.testing.assert_array_equal(fields["time_start"], dataset.samples("test").time_start[batches.indices(3)])
    assert set(fields["month"]) <= set(range(1, 13))
    extra = batches.read(3, ["liquid_water"])["liquid_water"]
    y, x = batches.starts(3)[1]
    sample = batches.indices(3)[1]
    np.testing.assert_array_equal(
        extra[1], dataset.read("test", [sample], ["liquid_water"])["liquid_water"][0, y : y + 24, x : x + 24]
    )


def test_chosen_samples_keep_all_their_tiles(dataset):
    batches = Batches(dataset, TASK, "test", 4, samples=[2, 0])
    drawn = np.concatenate([batches.indices(i) for i in range(len(batches))])
    np.testing.assert_array_equal(drawn, np.repeat([2, 0], len(batches.tiles)))


# ---- random crops --------------------------------------------------------------------------------------------------


def test_crops_are_a_function_of_seed_epoch_and_number(dataset):
    first = Batches(dataset, TASK, "train", 4, shuffle=True, seed=3)
    assert first.num_samples == 18 and first.input_shape == (16, 16, 4)
    other = Batches(dataset, TASK, "train", 4, shuffle=True, seed=3)
    for i in (4, 1):  # in any order, as after a resumed run
        np.testing.assert_array_equal(first[i][0], other[i][0])
        np.testing.assert_array_equal(first[i][1], other[i][1])
    before = np.concatenate([first.starts(i) for i in range(len(first))])
    first.set_epoch(1)
    after = np.concatenate([first.starts(i) for i in range(len(first))])
    assert (before != after).any(axis=1).mean() > 0.8
    drawn = np.concatenate([first.indices(i) for i in range(len(first))])
    np.testing.assert_array_equal(np.bincount(drawn), [3] * 6)
    resumed = pickle.loads(pickle.dumps(other))
    resumed.set_epoch(1)
    np.testing.assert_array_equal(resumed[2][0], first[2][0])


def test_crops_agree_with_the_shards_and_hold_labels(dataset):
    batches = Batches(dataset, TASK, "train", 6, shuffle=True)
    whole = dataset.read("train", np.arange(6), ["melt_fraction", "sar_mean"])
    for i in range(len(batches)):
        fields = batches.fields(i)
        for row, (sample, (y, x)) in enumerate(zip(batches.indices(i), batches.starts(i), strict=True)):
            for name, values in whole.items():
                np.testing.assert_array_equal(fields[name][row], values[sample, y : y + 16, x : x + 16])
        assert np.isfinite(fields["target"]).any(axis=(1, 2, 3)).all()


def test_a_day_without_any_label_ends_the_search_and_gives_no_nan(tmp_path, monkeypatch):
    fields = melt_fields(2)
    fields["melt_fraction"][1] = np.nan
    options = {"provenance": {}, "simulated": True, "gap_seconds": 0, "static": melt_static()}
    with DatasetWriter(tmp_path / "melt", Meltwater(), **options) as writer:
        writer.add("train", fields, table(2))
    dataset = ShardDataset.open(tmp_path / "melt")
    calls = []
    original = ShardDataset.read_window
    monkeypatch.setattr(ShardDataset, "read_window", lambda self, *a: calls.append(a[2]) or original(self, *a))
    batches = Batches(dataset, TASK, "train", 6, shuffle=True)
    x, y = batches[0]
    assert np.isfinite(x).all()
    empty = batches.indices(0) == 1
    assert np.isnan(y[empty]).all() and np.isfinite(y[~empty]).any(axis=(1, 2, 3)).all()
    assert sum(names == ("melt_fraction",) for names in calls) >= 3 * MAX_DRAWS


def test_a_small_grid_takes_the_windows_that_fit(dataset):
    crops = Batches(dataset, Meltwater(crop=(64, 16)), "train", 2, shuffle=True)
    assert crops[0][0].shape == (2, *crops.input_shape) == (2, 32, 16, 4)
    tiles = Batches(dataset, Meltwater(margin=4), "test", 2)
    assert tiles.input_shape == (32, 32, 4) and len(tiles.tiles) == 4
    assert dataset.image_shape(Meltwater(margin=4)) == (32, 32)


def test_variables_that_are_missing(tmp_path):
    fields = {name: values for name, values in melt_fields(2).items() if name != "sar_mean"}
    options = {"provenance": {}, "simulated": True, "gap_seconds": 0, "static": melt_static()}
    with DatasetWriter(tmp_path / "melt", Meltwater(), **options) as writer:
        writer.add("train", fields, table(2))
    with pytest.raises(DataError, match="'sar_mean': expected the variable, which task 'meltwater' needs"):
        Batches(ShardDataset.open(tmp_path / "melt"), TASK, "train", 2)


def test_a_tensorflow_pipeline_gives_the_same_windows(dataset):
    pytest.importorskip("tensorflow")
    batches = Batches(dataset, TASK, "train", 4, shuffle=True)
    for i, (x, y) in enumerate(batches.as_tf_dataset()):
        np.testing.assert_array_equal(x.numpy(), batches[i][0])
        np.testing.assert_array_equal(y.numpy(), batches[i][1])
    assert i == len(batches) - 1
