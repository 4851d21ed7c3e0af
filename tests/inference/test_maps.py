import csv
import datetime
import json

import numpy as np
import pytest
import rasterio
import xarray

from cloudkeras.baselines.melt import TimeInterpolateSar
from cloudkeras.errors import DataError, InputError
from cloudkeras.inference import predict_scene
from cloudkeras.inference.maps import mapped_days, predict_maps, raster_of, read_record
from cloudkeras.inference.maps_day import DayMap, pack_fraction, unpack_fraction
from cloudkeras.inference.maps_extent import extent_of, melt_extents, write_extents
from cloudkeras.inference.maps_files import read_day_raster, read_fraction, write_day_raster
from cloudkeras.ingest.meltwater_days import BenchmarkDays
from cloudkeras.ingest.meltwater_layout import day_name
from cloudkeras.ingest.meltwater_rasters import Grid, write_raster
from cloudkeras.ingest.meltwater_scene import write_scene_file
from tests.inference.rasters import (
    COLUMNS,
    DAYS,
    GRID,
    LEFT,
    ROWS,
    SAR_DAYS,
    TOP,
    local_logits,
    melt_run,
    write_rasters,
)
from tests.inference.scenes import phase_run

HALF_STEP = 0.51e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_rasters(tmp_path_factory.mktemp("rasters"))


@pytest.fixture
def days(folder):
    return BenchmarkDays(folder, train_days=SAR_DAYS)


@pytest.fixture(scope="module")
def mapped(folder, tmp_path_factory):
    """Maps of all days by a network of fixed size."""
    out = tmp_path_factory.mktemp("maps") / "maps"
    run, steps = melt_run(), []
    days = BenchmarkDays(folder, train_days=SAR_DAYS)
    report = predict_maps(run, days, out, overlap=12, margin=3, progress=lambda *step: steps.append(step))
    return out, run, report, steps


def untiled(run, days, day):
    """The network on the whole grid at once, NaN on the ocean and where PMW is missing."""
    fields = days.fields(day, target=False) | days.static()
    fields = {name: values[None] for name, values in fields.items()}
    x = run.task.network_inputs({**fields, "month": np.array([day.month], np.float32)}, {})
    result = 1 / (1 + np.exp(-run.network(x)[0, ..., 0].astype(np.float64)))
    missing = ~days.land | np.isnan(fields["brightness_temperature"][0])
    return np.where(missing, np.nan, result)


# ---- maps ----------------------------------------------------------------------------------------------------------


def test_tiles_give_what_the_network_gives_on_the_whole_grid(mapped, days):
    out, run, report, steps = mapped
    assert report.made == DAYS and not report.failed and mapped_days(out) == DAYS
    for day in DAYS[:3]:
        np.testing.assert_allclose(read_fraction(raster_of(out, day)), untiled(run, days, day), atol=HALF_STEP)
    assert {shape[1:] for shape in run.batches} == {(32, 32, 5)} and max(shape[0] for shape in run.batches) > 2
    predicting = [step for step in steps if step[0] == "predicting"]
    assert predicting[-1][1] == predicting[-1][2] == len(predicting) and steps[-1] == ("writing", 1, 1)


def test_ocean_and_missing_input_stay_missing(mapped):
    first, second = (read_fraction(raster_of(mapped[0], day)) for day in DAYS[:2])
    assert np.isnan(second[:, 70:]).all() and np.isfinite(second[:, :70]).all()
    assert np.isnan(first[:5, :7]).all() and np.isfinite(first[5:, :70]).all()


def test_a_network_of_any_size_is_given_windows_of_the_task(days, tmp_path):
    run = melt_run(tile=None)
    predict_maps(run, days, tmp_path / "maps", dates=DAYS[1:2], netcdf=False)
    assert {shape[1:3] for shape in run.batches} == {(48, 48)}
    expected = untiled(run, days, DAYS[1])
    np.testing.assert_allclose(read_fraction(raster_of(tmp_path / "maps", DAYS[1])), expected, atol=HALF_STEP)
    assert read_record(tmp_path / "maps")["settings"]["overlap"] == [12, 12]


def test_seams_are_no_larger_than_inside(days, tmp_path):
    """A network that differs from tile to tile: the map steps no more between neighbors than its ramps are steep."""
    drift = melt_run(network=lambda x: np.zeros_like(x[..., :1]) + x.mean(axis=(1, 2, 3), keepdims=True) * 0.2)
    predict_maps(drift, days, tmp_path / "maps", dates=DAYS[1:2], overlap=16, margin=2, netcdf=False)
    image = read_fraction(raster_of(tmp_path / "maps", DAYS[1]))[:, :70]
    steps = [np.abs(np.diff(image, axis=axis)).max() for axis in (0, 1)]
    assert 0 < max(steps) < 0.25 * (image.max() - image.min())


def test_a_scene_file_of_the_day_gives_the_same(mapped, days, tmp_path):
    out, run, _, _ = mapped
    scene = write_scene_file(days, DAYS[0], tmp_path / "scene.nc")
    predict_scene(run, scene, tmp_path / "out.nc", overlap=12, margin=3)
    with xarray.open_dataset(tmp_path / "out.nc") as dataset:
        assert dataset.melt_fraction.attrs["units"] == "1"
        np.testing.assert_allclose(dataset.melt_fraction, read_fraction(raster_of(out, DAYS[0])), atol=5e-4)


def test_members_add_their_spread(days, tmp_path):
    run = melt_run()
    run.sample = lambda x, members, seed=0: np.stack([local_logits(x) + k for k in range(members)])
    out = tmp_path / "maps"
    predict_maps(run, days, out, dates=DAYS[1:2], overlap=12, margin=3, members=3)
    whole = [untiled(melt_run(network=lambda x, k=k: local_logits(x) + k), days, DAYS[1]) for k in range(3)]
    day_map = read_day_raster(raster_of(out, DAYS[1]))
    np.testing.assert_allclose(unpack_fraction(day_map.values), np.mean(whole, axis=0), atol=HALF_STEP)
    np.testing.assert_allclose(unpack_fraction(day_map.spread), np.std(whole, axis=0, ddof=1), atol=HALF_STEP)
    with xarray.open_dataset(out / "melt_fraction_2019.nc") as season:
        np.testing.assert_allclose(season.melt_fraction_spread[0], unpack_fraction(day_map.spread), atol=1e-6)
        assert season.melt_fraction.attrs["ancillary_variables"] == "melt_fraction_spread"


def test_a_baseline_maps_too(days, tmp_path):
    predict_maps(TimeInterpolateSar(), days, tmp_path / "maps", dates=DAYS)
    expected = days.sar_mean(DAYS[1])
    assert np.isnan(expected[:, :20]).all() and np.isfinite(expected[:, 20:70]).all()
    np.testing.assert_allclose(read_fraction(raster_of(tmp_path / "maps", DAYS[1])), expected, atol=HALF_STEP)
    with xarray.open_dataset(tmp_path / "maps" / "melt_fraction_2019.nc") as season:
        assert json.loads(season.attrs["model_card"])["name"] == "time_interpolate_sar"


# ---- files ---------------------------------------------------------------------------------------------------------


def test_a_raster_is_where_the_benchmark_is(mapped, days):
    out, run, _, _ = mapped
    with rasterio.open(raster_of(out, DAYS[2])) as raster, rasterio.open(days.layout.file("sar", DAYS[2])) as sar:
        assert raster.transform == sar.transform and raster.crs == sar.crs and raster.shape == sar.shape
        assert raster.scales == (1e-4,) and raster.nodata == -32768 and raster.descriptions == ("melt_fraction",)
        tags = raster.tags()
        assert tags["date"] == "2019-07-03" and tags["simulated"] == "true" and "local" in tags["source"]
        assert json.loads(tags["settings"])["training_days"] == [day.isoformat() for day in SAR_DAYS]
        x, y = LEFT + 100 * 33 + 50, TOP - 100 * 41 - 50  # the middle of row 41, column 33
        (value,) = next(raster.sample([(x, y)]))
    assert value * 1e-4 == pytest.approx(untiled(run, days, DAYS[2])[41, 33], abs=HALF_STEP)


def test_a_season_is_cf_and_where_the_benchmark_is(mapped, days):
    out, run, report, _ = mapped
    assert report.seasons == {2019: out / "melt_fraction_2019.nc"}
    with xarray.open_dataset(out / "melt_fraction_2019.nc") as season:
        assert season.melt_fraction.dims == ("time", "y", "x") and season.sizes["time"] == len(DAYS)
        assert [str(t)[:10] for t in season.time.values] == [day.isoformat() for day in DAYS]
        x, y = LEFT + 100 * 33 + 50, TOP - 100 * 41 - 50
        value = season.melt_fraction.sel(time="2019-07-03", method="nearest").sel(x=x, y=y)
        assert float(value) == pytest.approx(untiled(run, days, DAYS[2])[41, 33], abs=HALF_STEP)
        assert (np.diff(season.y) < 0).all()
        assert season.melt_fraction.encoding["dtype"] == np.int16
        assert season.melt_fraction.encoding["chunksizes"] == (1, ROWS, COLUMNS)
        name = season.melt_fraction.encoding.get("grid_mapping") or season.melt_fraction.attrs["grid_mapping"]
        crs = season[name].attrs
        assert rasterio.crs.CRS.from_wkt(crs["crs_wkt"]) == GRID.crs
        assert crs["straight_vertical_longitude_from_pole"] == -45 and crs["standard_parallel"] == 70
        assert [float(n) for n in crs["GeoTransform"].split()] == [LEFT, 100, 0, TOP, 0, -100]
        assert season.attrs["Conventions"] == "CF-1.11" and season.attrs["simulated"] == "true"
        assert "local" in season.attrs["history"] and json.loads(season.attrs["model_card"])["task"] == "meltwater"
        np.testing.assert_array_equal(season.land, days.land)


def test_a_day_is_a_cloud_optimised_raster(tmp_path):
    grid = Grid.north_up((600, 520), LEFT, TOP, 100.0, 3413)
    values = np.full(grid.shape, -32768, np.int16)
    values[:300] = np.arange(300)[:, None] * 10
    path = write_day_raster(tmp_path / "day.tif", DayMap(values), ["melt_fraction"], grid, {})
    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.profile["tiled"] and raster.block_shapes == [(256, 256)] and raster.overviews(1) == [2, 4]
        np.testing.assert_array_equal(raster.read(1), values)
    small = read_day_raster(path, shape=(300, 260)).values
    assert small[0, 0] == 5 and small[149, 0] == 2985 and (small[150:] == -32768).all()
    assert [p.name for p in tmp_path.iterdir()] == ["day.tif"]


def test_packing_keeps_a_fraction_to_half_a_step():
    values = np.array([[0.0, 1.0, 0.12345, np.nan, 0.5]], np.float32)
    packed = pack_fraction(values, np.array([[True, True, True, True, False]]))
    assert packed.tolist() == [[0, 10000, 1234, -32768, -32768]] or packed.tolist()[0][2] == 1235
    np.testing.assert_allclose(unpack_fraction(packed), [[0, 1, 0.12345, np.nan, np.nan]], atol=HALF_STEP)


# ---- resumption and bad input --------------------------------------------------------------------------------------


def test_an_interruption_loses_nothing(days, tmp_path):
    out = tmp_path / "maps"

    def stop(doing, done, total):
        if done == total // 2 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_maps(melt_run(), days, out, dates=DAYS[:4], progress=stop)
    assert mapped_days(out) == DAYS[:2] and not list(out.glob("*.nc"))
    before = raster_of(out, DAYS[0]).read_bytes()
    run = melt_run()
    report = predict_maps(run, days, out, dates=DAYS[:4])
    assert report.kept == DAYS[:2] and report.made == DAYS[2:4] and raster_of(out, DAYS[0]).read_bytes() == before
    season = report.seasons[2019]
    stamp = season.stat().st_mtime_ns
    calls = len(run.batches)
    assert predict_maps(run, days, out, dates=DAYS[:4]).made == [] and len(run.batches) == calls
    assert season.stat().st_mtime_ns == stamp
    predict_maps(run, days, out, dates=DAYS[4:5])
    with xarray.open_dataset(season) as dataset:
        assert dataset.sizes["time"] == 5
    assert not list(out.rglob("*.partial"))


def test_maps_of_another_method_are_not_mixed(days, tmp_path):
    out = tmp_path / "maps"
    predict_maps(melt_run(), days, out, dates=DAYS[:2])
    with pytest.raises(InputError, match=r"made otherwise \(margin, overlap differ\)"):
        predict_maps(melt_run(), days, out, dates=DAYS[:1], overlap=4, margin=0)
    with pytest.raises(InputError, match="training_days differ"):
        predict_maps(melt_run(), BenchmarkDays(days.layout.root, train_days=SAR_DAYS[:2]), out, dates=DAYS[:1])
    report = predict_maps(melt_run(), days, out, dates=DAYS[:1], overlap=4, margin=0, overwrite=True)
    assert report.made == DAYS[:1] == mapped_days(out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="A new folder of maps is empty"):
        predict_maps(melt_run(), days, tmp_path / "other", overwrite=True)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_a_bad_day_is_reported_and_does_not_stop_the_others(tmp_path):
    root = write_rasters(tmp_path / "rasters")
    days = BenchmarkDays(root, train_days=SAR_DAYS)
    layout, shape = days.layout, GRID.shape
    damaged = layout.file("pmw", DAYS[1])
    damaged.write_bytes(damaged.read_bytes()[:300])
    elsewhere = Grid.north_up(shape, LEFT + 5e5, TOP, 100.0, 3413)
    write_raster(layout.file("mar", DAYS[2]), np.zeros(shape, np.float32), elsewhere)
    write_raster(layout.file("pmw", DAYS[3]), np.full(shape, np.nan, np.float32), GRID, nodata=float("nan"))
    write_raster(layout.file("pmw", DAYS[5]), np.full(shape, -999, np.float32), GRID)
    layout.file("mar", DAYS[4]).unlink()
    report = predict_maps(melt_run(), days, tmp_path / "maps", dates=[*DAYS, datetime.date(2019, 9, 9)])
    assert report.made == DAYS[:1] and mapped_days(tmp_path / "maps") == DAYS[:1]
    words = {1: "GDAL refuses|damaged", 2: "overlaps the grid", 3: "PMW and MAR have values", 5: "brightness temper"}
    assert sorted(report.failed) == [DAYS[i] for i in words]
    for i, word in words.items():
        assert any(part in report.failed[DAYS[i]] for part in word.split("|")), report.failed[DAYS[i]]
    assert report.left_out == {
        "no MAR raster": [DAYS[4], datetime.date(2019, 9, 9)],
        "no PMW raster": [datetime.date(2019, 9, 9)],
    }
    record = read_record(tmp_path / "maps")
    assert list(record["failed"]) == [DAYS[i].isoformat() for i in words]


def test_what_cannot_be_mapped_is_said_first(days, tmp_path):
    out = tmp_path / "maps"
    with pytest.raises(InputError, match="no day to map; a day needs rasters of MAR and PMW"):
        predict_maps(melt_run(), days, out, dates=[datetime.date(2018, 7, 1)])
    with pytest.raises(InputError, match="predict a fraction"):
        predict_maps(phase_run(), days, out)
    with pytest.raises(InputError, match="do not give winter_brightness_temperature"):
        predict_maps(melt_run(inputs=("winter_brightness_temperature",)), days, out)
    with pytest.raises(InputError, match="takes tiles of 32"):
        predict_maps(melt_run(), days, out, tile=64)
    with pytest.raises(DataError, match="record of maps"):
        read_record(tmp_path)


# ---- melt extent ---------------------------------------------------------------------------------------------------


def test_extent_by_hand():
    nan = np.nan
    predicted = np.array([[0.2, 0.1, 0.9, nan], [0.0, 0.5, 0.11, nan]])
    sar = np.array([[0.3, 0.3, nan, 0.8], [0.05, nan, 0.0, nan]])
    # Mapped: 6 pixels; melting there: 0.2, 0.9, 0.5, 0.11 (0.1 is not above). Seen and mapped: 4 pixels, of which the
    # map has melt at 0.2 and 0.11, SAR at the first two.
    row = extent_of(DAYS[0], predicted, sar, 0.01)
    assert (row.mapped_km2, row.extent_km2, row.seen_km2) == pytest.approx((0.06, 0.04, 0.04))
    assert (row.extent_where_seen_km2, row.sar_extent_km2) == pytest.approx((0.02, 0.02))
    without = extent_of(DAYS[0], predicted, None, 0.01)
    assert without.seen_km2 == 0 and np.isnan(without.sar_extent_km2) and np.isnan(without.extent_where_seen_km2)


def test_extents_of_maps_and_sar_are_on_the_same_pixels(mapped, folder, days, tmp_path):
    rows = melt_extents(mapped[0], days)
    assert [row.date for row in rows] == DAYS and [row.training for row in rows] == [True, False] * 3
    with rasterio.open(days.layout.file("sar", DAYS[2])) as raster:
        sar = raster.read(1)
    image = read_fraction(raster_of(mapped[0], DAYS[2]))
    seen, melts, wet = 0, 0, 0
    for i in range(ROWS):
        for j in range(COLUMNS):
            if np.isfinite(sar[i, j]) and np.isfinite(image[i, j]):
                seen, melts, wet = seen + 1, melts + (image[i, j] > 0.1), wet + (sar[i, j] > 0.1)
    row = rows[2]
    assert (row.seen_km2, row.extent_where_seen_km2, row.sar_extent_km2) == pytest.approx(
        (seen / 100, melts / 100, wet / 100)
    )
    path = write_extents(tmp_path / "extent.csv", rows)
    with path.open() as file:
        table = list(csv.DictReader(file))
    assert float(table[2]["sar_extent_km2"]) == pytest.approx(wet / 100)
    assert table[1]["sar_extent_km2"] == "" and table[1]["training"] == "no" and table[1]["date"] == "2019-07-02"
    with pytest.raises(InputError, match="no maps of these days"):
        melt_extents(mapped[0], days, dates=[datetime.date(2018, 1, 1)])


def test_a_damaged_map_is_named(mapped, days, tmp_path):
    path = tmp_path / day_name(DAYS[0])
    path.write_bytes(raster_of(mapped[0], DAYS[0]).read_bytes()[:100])
    with pytest.raises(DataError, match="expected a map written by"):
        read_fraction(path)
