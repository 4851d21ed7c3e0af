"""MeltwaterBench rasters to shards: values, context, splits, and what can be wrong with a folder."""

import datetime
import json
import logging
import shutil

import netCDF4
import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.datasets import ShardDataset, check_no_leak
from cloudkeras.datasets.shards import read_samples, read_shard, read_static
from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest.meltwater import ingest_meltwater, survey
from cloudkeras.ingest.meltwater_days import BenchmarkDays
from cloudkeras.ingest.meltwater_layout import MeltwaterLayout, find_layout
from cloudkeras.ingest.meltwater_rasters import Grid, read_raster, write_raster
from cloudkeras.ingest.meltwater_scene import predictable_days, training_days, write_scene_file

rasterio = pytest.importorskip("rasterio")

SHAPE = (8, 6)
GRID = Grid.north_up(SHAPE, 300_000, -2_500_000, 100, 3413)
SEASON = [datetime.date(year, month, day) for year in (2018, 2019) for month in (5, 6, 7) for day in range(1, 29, 3)]


def melt(day):
    """A melt fraction that tells its day: the day of the year / 1000 plus the column / 100."""
    return np.float32(day.timetuple().tm_yday / 1000) + np.arange(SHAPE[1], dtype=np.float32)[None, :] / 100


def make_benchmark(root, days=SEASON, grid=GRID):
    """A small benchmark: ocean in the last column, a gap in the first row of SAR."""
    layout = MeltwaterLayout.at(root)
    ones = np.ones(grid.shape, np.float32)
    land = ones.astype(np.int8)
    land[:, -1] = -1
    write_raster(layout.land, land, grid)
    write_raster(layout.dem, 100 * ones + np.arange(grid.shape[0], dtype=np.float32)[:, None], grid)
    for day in days:
        image = melt(day) * ones
        image[0] = np.nan
        write_raster(layout.file("sar", day), image, grid, nodata=np.nan)
        write_raster(layout.file("pmw", day), 200 * ones + day.month, grid)
        write_raster(layout.file("mar", day), 0.001 * day.month * ones, grid)
    for year in sorted({day.year for day in days}):
        for number in (1, 2, 3):
            write_raster(layout.file("pmw", datetime.date(year, number, 5)), (180 + 10 * number) * ones, grid)
    return layout


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("melt") / "bench"
    make_benchmark(root)
    return root


@pytest.fixture
def root(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "bench")


# ---- values ----


def test_fields_of_a_day(pristine):
    days = BenchmarkDays(pristine, train_days=SEASON)
    day = SEASON[4]
    fields = days.fields(day)
    expected = melt(day) * np.ones(SHAPE, np.float32)
    expected[0], expected[:, -1] = np.nan, np.nan  # the gap; the ocean
    np.testing.assert_allclose(fields["melt_fraction"], expected, atol=1e-6)
    np.testing.assert_allclose(fields["brightness_temperature"], 205)
    np.testing.assert_allclose(fields["brightness_temperature_smooth"], 205, atol=1e-4)
    np.testing.assert_allclose(fields["liquid_water_smooth"], 0.005, atol=1e-8)
    np.testing.assert_allclose(fields["winter_brightness_temperature"], 195)  # of 190 and 200; March does not count
    np.testing.assert_array_equal(days.static()["land"][:, -2:], [[1, 0]] * SHAPE[0])
    assert set(BenchmarkDays(pristine, smoothing="none").fields(day)) == {
        name for name in fields if not name.endswith("_smooth")
    }


def test_context_is_made_of_training_days_of_the_year_without_the_day_itself(pristine):
    train = [day for i, day in enumerate(SEASON) if i % 2 == 0]
    days = BenchmarkDays(pristine, train_days=train)
    for day in (SEASON[0], SEASON[7], SEASON[8], SEASON[29], SEASON[-1], datetime.date(2019, 6, 9)):
        others = [d for d in train if d.year == day.year and d != day]
        near = [d for d in others if d < day][-3:] + [d for d in others if d > day][:3]
        mean = np.mean([melt(d) for d in near], axis=0) * np.ones(SHAPE)
        mean[0], mean[:, -1] = np.nan, np.nan
        np.testing.assert_allclose(days.sar_mean(day), mean, atol=1e-6)
        before = [d for d in others if d < day]
        previous = melt(before[-1]) * np.ones(SHAPE) if before else np.full(SHAPE, np.nan)
        previous[0], previous[:, -1] = np.nan, np.nan
        np.testing.assert_allclose(days.sar_previous(day), previous, atol=1e-6)
    assert np.isnan(BenchmarkDays(pristine).sar_mean(SEASON[5])).all()


def test_sar_previous_takes_the_last_valid_pixel(root):
    layout = find_layout(root)
    holed = melt(SEASON[3]) * np.ones(SHAPE, np.float32)
    holed[2:4] = np.nan
    write_raster(layout.file("sar", SEASON[3]), holed, GRID, nodata=np.nan)
    days = BenchmarkDays(root, train_days=SEASON[:5])
    previous = days.sar_previous(SEASON[4])
    np.testing.assert_allclose(previous[2:4, :-1], (melt(SEASON[2]) * np.ones((2, 6)))[:, :-1], atol=1e-6)
    np.testing.assert_allclose(previous[4:, :-1], (melt(SEASON[3]) * np.ones((4, 6)))[:, :-1], atol=1e-6)
    np.testing.assert_array_equal(days.sar_previous(SEASON[4]), previous)  # and asked again
    np.testing.assert_allclose(days.sar_previous(SEASON[1])[4, 0], melt(SEASON[0])[0, 0], atol=1e-6)  # going back


def test_winter_file_comes_before_the_days(root):
    layout = MeltwaterLayout.at(root)
    write_raster(layout.winter / "2018_jan_feb.tif", np.full(SHAPE, 210, np.float32), GRID)
    days = BenchmarkDays(root)
    assert days.winter(2018)[0, 0] == 210 and days.winter(2019)[0, 0] == 195
    assert days.winter(2017) is None


# ---- shards ----


def test_shards_hold_the_days(pristine, tmp_path):
    out = ingest_meltwater(pristine, tmp_path / "shards", samples_per_shard=7, images_per_month=1, seed=3)
    dataset = ShardDataset.open(out)
    assert [dataset.num_samples(s) for s in ("train", "validation", "test")] == [48, 6, 6]
    provenance = dataset.manifest.provenance
    train = [datetime.date.fromisoformat(day) for day in provenance["train_days"]]
    assert len(train) == 48
    days = BenchmarkDays(pristine, train_days=train)
    for file in sorted(out.glob("test-*.nc")):
        samples = read_samples(file)
        fields = read_shard(file, ["melt_fraction", "sar_mean", "sar_previous", "brightness_temperature_smooth"])
        for i, name in enumerate(samples.granule):
            day = datetime.date.fromisoformat(str(name))
            assert day not in train
            assert samples.time_end[i] - samples.time_start[i] == 86399
            for key, values in fields.items():
                np.testing.assert_allclose(values[i], days.fields(day)[key], atol=0.006)
    np.testing.assert_allclose(read_static(out / "test-00000.nc", "surface_altitude"), days.altitude, atol=0.06)
    assert 60 < samples.latitude[0] < 70 and -45 < samples.longitude[0] < -30
    assert provenance["published_normalization"]["liquid_water"] == {"mean": 0.005986, "std": 0.008952}
    with netCDF4.Dataset(out / "test-00000.nc") as shard:
        assert shard["melt_fraction"].grid_mapping == "crs"
        assert shard["crs"].grid_mapping_name == "polar_stereographic"
        assert shard["crs"].straight_vertical_longitude_from_pole == -45
        np.testing.assert_allclose(shard["y"][:], -2_500_050 - 100 * np.arange(8))
        np.testing.assert_allclose(shard["x"][:], 300_050 + 100 * np.arange(6))


def test_blocks_keep_their_gap_and_the_published_split_leaks(pristine, tmp_path):
    tables = {}
    for name in ("blocks", "published"):
        out = ingest_meltwater(pristine, tmp_path / name, split=name, gap_days=4, images_per_month=1)
        dataset = ShardDataset.open(out)
        tables[name] = {split: read_samples(out / f"{split}-00000.nc") for split in ("train", "validation", "test")}
        told = dataset.manifest.provenance["split"]
        assert told["name"] == name and ("leak" in told) == (name == "published")
    check_no_leak(tables["blocks"], SHAPE, 4 * 86400.0)
    assert ShardDataset.open(tmp_path / "blocks").manifest.gap_seconds == 4 * 86400
    with pytest.raises(InputError, match="nearer in time than the gap"):
        check_no_leak(tables["published"], SHAPE, 4 * 86400.0)


def test_command(pristine, tmp_path, capsys):
    out = tmp_path / "shards"
    assert main(["ingest", "meltwaterbench", str(pristine), "--out", str(out), "--images-per-month", "1"]) == 0
    said = capsys.readouterr()
    assert "48 train, 6 validation, 6 test days, 8 x 6 pixels of 100 m" in said.out and "simulated" not in said.out
    assert "have a training day within 3 days" in said.out and "checking: 60 of 60 days" in said.err
    scenes = ["--scene", "2019-06-01:2019-06-05", "--data", str(out), "--out", str(tmp_path / "scenes")]
    assert main(["ingest", "meltwaterbench", str(pristine), *scenes]) == 0
    assert sorted(p.name for p in (tmp_path / "scenes").iterdir()) == ["2019-06-01.nc", "2019-06-04.nc"]
    assert "left out, without PMW or MAR: 3 days" in capsys.readouterr().out
    assert main(["ingest", "meltwaterbench", str(pristine), "--scene", "soon", *scenes[2:]]) == 2
    assert "Days are like 2019-07-10" in capsys.readouterr().err


def test_simulated_rasters_make_simulated_shards(tmp_path):
    from cloudkeras.datasets.synthetic import simulate

    simulate("meltwater", tmp_path / "rasters", years=(2019,), size=(16, 20), seed=1)
    dataset = ShardDataset.open(ingest_meltwater(tmp_path / "rasters", tmp_path / "shards"))
    assert dataset.simulated and "simulated" in dataset.manifest.provenance["source"]
    assert 160 < dataset.manifest.statistics["brightness_temperature"]["mean"][0] < 270


# ---- scenes ----


def test_scene_file_reads_as_a_scene(pristine, tmp_path):
    from cloudkeras.inference.reading import SceneReader
    from cloudkeras.tasks import get_task

    out = ingest_meltwater(pristine, tmp_path / "shards", images_per_month=1)
    train = training_days(out)
    day = next(day for day in SEASON if day not in train)
    path = write_scene_file(pristine, day, tmp_path / "scene.nc", train_days=train)
    task = get_task("meltwater")
    expected = BenchmarkDays(pristine, train_days=train)
    with SceneReader(path, task, ShardDataset.open(out).manifest.statistics) as reader:
        assert (reader.rows, reader.columns) == SHAPE
        window = reader.read(slice(2, 5), slice(1, 4))
    fields = {**expected.fields(day), **expected.static()}
    for name in task.physical_inputs():
        np.testing.assert_allclose(window[name], fields[name][2:5, 1:4], atol=0.06)
    with netCDF4.Dataset(path) as file:
        assert file.granule == day.isoformat() and file.simulated == "false"
        assert netCDF4.num2date(file["time"][...], file["time"].units).strftime("%Y-%m-%d") == day.isoformat()


def test_a_day_that_sar_missed_can_be_predicted(root, tmp_path):
    find_layout(root).file("sar", SEASON[4]).unlink()
    days = BenchmarkDays(root, train_days=[d for d in SEASON if d != SEASON[4]])
    assert SEASON[4] in list(predictable_days(days))
    path = write_scene_file(days, SEASON[4], tmp_path / "scene.nc")
    with netCDF4.Dataset(path) as file:
        assert np.ma.getmaskarray(file["melt_fraction"][:]).all()
        assert np.isfinite(file["sar_mean"][1:, :-1]).all()
    with pytest.raises(InputError, match="`train_days` are needed"):
        write_scene_file(root, SEASON[4], tmp_path / "other.nc")
    with pytest.raises(DataError, match=r"manifest of shards made by"):
        training_days(root)


# ---- what can be wrong ----


def test_missing_masked_and_incomplete_days_are_left_out_and_told(root, tmp_path, caplog):
    layout = find_layout(root)
    layout.file("pmw", SEASON[0]).unlink()
    layout.file("mar", SEASON[1]).unlink()
    write_raster(layout.file("sar", SEASON[2]), np.full(SHAPE, np.nan, np.float32), GRID)
    holed = np.full(SHAPE, 205, np.float32)
    holed[3, 3] = np.nan
    write_raster(layout.file("pmw", SEASON[3]), holed, GRID)
    at_sea = np.full(SHAPE, 205, np.float32)
    at_sea[:, -1] = np.nan  # no harm
    write_raster(layout.file("pmw", SEASON[5]), at_sea, GRID)
    with caplog.at_level(logging.WARNING, "cloudkeras"):
        out = ingest_meltwater(root, tmp_path / "shards", images_per_month=1)
    left = json.loads((out / "manifest.json").read_text())["provenance"]["left_out"]
    assert left == {
        "no PMW raster": [SEASON[0].isoformat()],
        "no MAR raster": [SEASON[1].isoformat()],
        "SAR saw no land": [SEASON[2].isoformat()],
        "gaps in PMW or MAR on land": [SEASON[3].isoformat()],
    }
    assert "1 days are left out, SAR saw no land: 2018-05-07" in caplog.text
    dataset = ShardDataset.open(out)
    assert sum(dataset.num_samples(s) for s in ("train", "validation", "test")) == len(SEASON) - 4


def test_no_usable_day(root):
    shutil.rmtree(find_layout(root).mar)
    find_layout_error = pytest.raises(DataError, match=r"MAR/\*/WA1; found no such folder")
    with find_layout_error:
        BenchmarkDays(root)
    (MeltwaterLayout.at(root).mar).mkdir(parents=True)
    with pytest.raises(DataError, match="found none; 60 of SAR, 66 of PMW, 0 of MAR"):
        survey(BenchmarkDays(root))


def test_missing_dem_and_mask(root):
    layout = find_layout(root)
    layout.dem.unlink()
    with pytest.raises(DataError, match=r"the surface altitude as a GeoTIFF; found no such file"):
        BenchmarkDays(root)
    layout.land.unlink()
    with pytest.raises(InputError, match="The benchmark is a folder"):
        find_layout(root / "none")


def test_a_mask_of_other_values(root):
    write_raster(find_layout(root).land, np.full(SHAPE, 7, np.int8), GRID)
    with pytest.raises(DataError, match=r"-1 \(or 0\) for ocean and 1 for land; found the values \[7.0\]"):
        BenchmarkDays(root)


def test_another_grid_is_brought_to_that_of_sar(root, caplog):
    """PMW on 300-m cells that hold a plane in x: bilinear interpolation gives the plane back."""
    coarse = Grid.north_up((8, 8), 299_400, -2_499_400, 300, 3413)
    plane = (200 + 0.01 * (coarse.x() - 300_000)) * np.ones((8, 1))
    layout, day = find_layout(root), SEASON[4]
    write_raster(layout.file("pmw", day), plane.astype(np.float32), coarse)
    with caplog.at_level(logging.INFO, "cloudkeras"):
        values = BenchmarkDays(root).read("pmw", day)
    np.testing.assert_allclose(values, (200 + 0.01 * (GRID.x() - 300_000)) * np.ones((8, 1)), atol=1e-3)
    assert "8 x 8 pixels of 300 m" in caplog.text and "brought to 8 x 6 pixels of 100 m" in caplog.text


def test_another_projection_is_reprojected(root):
    """MAR in geographic coordinates, a plane in latitude: agrees with the latitude of the SAR pixels."""
    layout, day = find_layout(root), SEASON[4]
    latitude, longitude = GRID.center()
    wkt = rasterio.crs.CRS.from_epsg(4326).to_wkt()
    degrees = Grid((60, 60), (0.002, 0.0, longitude - 0.06, 0.0, -0.002, latitude + 0.06), wkt)
    plane = (0.05 + 0.5 * (degrees.y() - latitude))[:, None] * np.ones((1, 60))
    write_raster(layout.file("mar", day), plane.astype(np.float32), degrees)
    x, y = np.meshgrid(GRID.x(), GRID.y())
    _, there = rasterio.warp.transform(GRID.crs, "EPSG:4326", x.ravel(), y.ravel())
    expected = 0.05 + 0.5 * (np.reshape(there, SHAPE) - latitude)
    np.testing.assert_allclose(BenchmarkDays(root).read("mar", day), expected, atol=2e-5)


def test_masks_take_their_nearest_pixel(tmp_path):
    coarse = Grid.north_up((4, 3), 300_000, -2_500_000, 200, 3413)
    classes = np.array([[1, -1, 1]] * 4, np.int8)
    write_raster(tmp_path / "m.tif", classes, coarse)
    values = read_raster(tmp_path / "m.tif", GRID, "nearest", classes=True)
    np.testing.assert_array_equal(values, [[1, 1, -1, -1, 1, 1]] * 8)
    part = read_raster(tmp_path / "m.tif", GRID, "nearest", window=(slice(2, 5), slice(1, 4)), classes=True)
    np.testing.assert_array_equal(part, values[2:5, 1:4])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        ({"values": np.full(SHAPE, 20, np.uint8)}, r"integers with a scale; found uint8 without one.*-scale 0.01"),
        (
            {"values": np.full(SHAPE, 35, np.float32)},
            r"a melt fraction of 0 to 1; found 35 \(48 such pixels\).*percent",
        ),
        ({"grid": Grid.north_up(SHAPE, 900_000, -2_500_000, 100, 3413)}, r"overlaps the grid.*found 8 x 6 pixels"),
    ],
)
def test_wrong_rasters(root, write, message):
    given = {"values": np.full(SHAPE, 0.2, np.float32), "grid": GRID} | write
    write_raster(find_layout(root).file("sar", SEASON[6]), **given)
    with pytest.raises(DataError, match=message):
        survey(BenchmarkDays(root))


def test_integers_with_a_scale_are_read(root):
    file = find_layout(root).file("sar", SEASON[6])
    write_raster(file, np.full(SHAPE, 20, np.uint8), GRID, nodata=255)
    with rasterio.open(file, "r+") as raster:
        raster.scales = (0.01,)
    values = BenchmarkDays(root).read("sar", SEASON[6])
    np.testing.assert_allclose(values[:, :-1], 0.2)


def test_truncated_and_foreign_files(root, tmp_path):
    file = find_layout(root).file("sar", SEASON[6])
    noise = np.random.default_rng(0).random((400, 300), dtype=np.float32)
    large = Grid.north_up((400, 300), 300_000, -2_500_000, 100, 3413)
    write_raster(tmp_path / "large.tif", noise, large)
    whole = (tmp_path / "large.tif").read_bytes()
    (tmp_path / "half.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half.tif: expected .*(truncated)"):
        read_raster(tmp_path / "half.tif", large, "nearest")
    file.write_text("no raster")
    with pytest.raises(DataError, match="9 bytes that GDAL refuses"):
        survey(BenchmarkDays(root))
    with rasterio.open(file, "w", driver="GTiff", height=8, width=6, count=2, dtype="float32", crs=GRID.crs,
                       transform=GRID.affine()) as raster:  # fmt: skip
        raster.write(np.zeros((2, 8, 6), np.float32))
    with pytest.raises(DataError, match="a raster of one band; found 2 bands"):
        survey(BenchmarkDays(root))


def test_a_raster_without_projection(root):
    file = find_layout(root).file("pmw", SEASON[6])
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        raster = rasterio.open(file, "w", driver="GTiff", height=8, width=6, count=1, dtype="float32")
    with raster:
        raster.write(np.full((1, 8, 6), 200, np.float32))
    with pytest.raises(DataError, match=r"with projection and position; found none.*gdal_edit"):
        survey(BenchmarkDays(root))


def test_options_are_checked(pristine, tmp_path):
    for options, message in [
        ({"split": "random"}, "'published', 'blocks' or a folder"),
        ({"images_per_month": 0}, "at least 1"),
        ({"seed": -1}, "not negative"),
        ({"smoothing": "some"}, "'published', 'none'"),
        ({"split": "blocks", "gap_days": 100}, "days for the split 'train'"),
    ]:
        with pytest.raises(InputError, match=message):
            ingest_meltwater(pristine, tmp_path / "shards", **options)
    assert not (tmp_path / "shards" / "manifest.json").exists()


def test_rasterio_is_named_where_it_is_missing(monkeypatch, pristine):
    import sys

    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(InputError, match=r"pip install 'cloudkeras\[geo\]'"):
        BenchmarkDays(pristine)
