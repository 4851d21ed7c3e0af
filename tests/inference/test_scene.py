import json
import tracemalloc

import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.errors import DataError, InputError
from cloudkeras.inference import predict_scene
from cloudkeras.tasks.cloud_phase import NUM_LEVELS

from .scenes import phase_run, radar_run, whole_phase, write_phase_scene, write_radar_scene


def read(path, name):
    with netCDF4.Dataset(path) as dataset:
        return np.ma.filled(dataset[name][:].astype(np.float32), np.nan)


@pytest.mark.parametrize("shape", [(70, 90), (32, 32), (20, 75), (9, 11)])
def test_tiles_give_what_the_whole_scene_gives(tmp_path, shape):
    run = phase_run(tile=32, radius=1)
    scene = write_phase_scene(tmp_path / "scene.nc", *shape)
    out = predict_scene(run, scene, tmp_path / "out.nc", overlap=10, margin=1, stretch_columns=64)
    expected = whole_phase(run, scene)
    got = read(out, "phase_probability")
    inner = (slice(None), slice(0, shape[0] - 1), slice(0, shape[1] - 1))  # the end of a padded scene sees its mirror
    np.testing.assert_allclose(got[inner], expected[inner], atol=0.0021)  # half a step of 1/250
    top_two = np.sort(expected, axis=-1)[..., -2:]
    certain = (top_two[..., 1] - top_two[..., 0]) > 1e-4
    np.testing.assert_array_equal(read(out, "phase")[inner][certain[inner]], expected.argmax(-1)[inner][certain[inner]])
    assert set(run.batches) <= {(n, 32, 32, 16) for n in range(1, 9)}


def test_the_way_the_scene_is_cut_does_not_change_the_result(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 60, 130)
    results = []
    for k, options in enumerate(({"stretch_columns": 40}, {"stretch_columns": 9999}, {"batch_size": 1})):
        out = predict_scene(phase_run(), scene, tmp_path / f"{k}.nc", **options)
        results.append(read(out, "phase_probability"))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_column_products_follow_from_the_classes(tmp_path):
    out = predict_scene(phase_run(), write_phase_scene(tmp_path / "scene.nc", 40, 50), tmp_path / "out.nc")
    phase, top, base = (read(out, n) for n in ("phase", "cloud_top_height", "cloud_base_height"))
    top_phase, cover, probability = (read(out, n) for n in ("cloud_top_phase", "cloud_cover", "phase_probability"))
    for y, x in np.ndindex(40, 50):
        cloudy = np.flatnonzero(phase[:, y, x] > 0)
        if len(cloudy):
            assert top[y, x] == (cloudy[-1] + 1) * 0.5 and base[y, x] == cloudy[0] * 0.5
            assert top_phase[y, x] == phase[cloudy[-1], y, x]
        else:
            assert np.isnan(top[y, x]) and np.isnan(base[y, x]) and top_phase[y, x] == 0
    np.testing.assert_allclose(cover, (1 - probability[..., 0]).max(axis=0), atol=0.0041)
    assert (phase > 0).any() and (phase == 0).any()


def test_missing_input_stays_missing_and_a_missing_band_does_not(tmp_path):
    def spoil(dataset):
        for name in ("reflectance", "brightness_temperature"):
            dataset[name][5:9, 10:20] = np.nan if dataset[name].dtype == "f4" else np.ma.masked
        dataset["reflectance"][20:22, 30:33] = np.nan if dataset["reflectance"].dtype == "f4" else np.ma.masked

    for packed in (True, False):
        scene = write_phase_scene(tmp_path / "scene.nc", 40, 50, change=spoil, packed=packed)
        out = predict_scene(phase_run(), scene, tmp_path / "out.nc", members=1)
        missing = np.zeros((40, 50), bool)
        missing[5:9, 10:20] = True
        for name in ("phase", "phase_probability", "cloud_top_phase", "cloud_cover"):
            values = read(out, name)
            image = values if values.ndim == 2 else values[0] if values.ndim == 3 else values[0, ..., 0]
            np.testing.assert_array_equal(np.isnan(image), missing)


def test_the_file_is_cf_and_xarray_opens_it_with_coordinates(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 40, 50)
    out = predict_scene(phase_run(), scene, tmp_path / "out.nc")
    with xarray.open_dataset(out) as dataset, xarray.open_dataset(scene) as original:
        assert dict(dataset.sizes) == {"level": NUM_LEVELS, "y": 40, "x": 50, "class": 4}
        assert {"latitude", "longitude", "time", "level", "y", "x"} <= set(dataset.coords)
        np.testing.assert_array_equal(dataset.latitude, original.latitude)
        assert dataset.time == original.time
        np.testing.assert_allclose(dataset.level[:3], [0.25, 0.75, 1.25])
        assert dataset.level.units == "km" and dataset.cloud_top_height.units == "km"
        assert list(dataset.phase.flag_values) == [0, 1, 2, 3]
        assert dataset.phase.flag_meanings == "clear ice mixed liquid"
        assert list(dataset.class_name.values) == ["clear", "ice", "mixed", "liquid"]
        np.testing.assert_allclose(dataset.phase_probability.sum("class"), 1, atol=0.009)
        assert dataset.attrs["Conventions"] == "CF-1.11" and dataset.attrs["simulated"] == "true"
        assert dataset.attrs["history"].startswith("made for a test\n") and "predict" in dataset.attrs["history"]
        card = json.loads(dataset.attrs["model_card"])
        assert card["task"] == "cloud_phase" and card["inputs"]["reflectance"]["units"] == "1"
    with netCDF4.Dataset(out) as dataset:
        assert dataset["phase"].dtype == np.int8 and dataset["phase_probability"].dtype == np.uint8
        assert dataset["phase"].filters()["zlib"] and dataset["phase"].chunking() != "contiguous"


def test_probabilities_can_be_left_out(tmp_path):
    out = predict_scene(
        phase_run(), write_phase_scene(tmp_path / "scene.nc", 33, 33), tmp_path / "out.nc", probability=False
    )
    with netCDF4.Dataset(out) as dataset:
        assert "phase" in dataset.variables and "phase_probability" not in dataset.variables
        assert "class" not in dataset.dimensions


@pytest.mark.parametrize("packed", [True, False])
def test_a_curtain_keeps_every_bit_outside_the_blind_zone(tmp_path, packed):
    def spoil(dataset):
        dataset["reflectivity"][:, 40:44] = np.ma.masked if packed else np.nan  # profiles without any value
        dataset["reflectivity"][10:12, 5:8] = np.ma.masked if packed else np.nan

    scene = write_radar_scene(tmp_path / "scene.nc", 24, 81, packed=packed, change=spoil)
    run = radar_run()
    out = predict_scene(run, scene, tmp_path / "out.nc")
    with netCDF4.Dataset(scene) as before, netCDF4.Dataset(out) as after:
        for dataset in (before, after):
            dataset.set_auto_maskandscale(False)
        assert after["reflectivity"].dtype == before["reflectivity"].dtype
        stored, written = before["reflectivity"][:], after["reflectivity"][:]
        assert stored[6:].tobytes() == written[6:].tobytes()
        filled = after["filled"][:]
    expected = np.zeros((24, 81), bool)
    expected[:6] = True
    expected[:, 40:44] = False
    np.testing.assert_array_equal(filled, expected)
    values = read(out, "reflectivity")
    assert np.isnan(values[:6, 40:44]).all() and np.isfinite(values[:6, :40]).all()
    assert (values[:6, :40] >= -60.01).all() and (values[:6, :40] <= 30.01).all()


def test_a_curtain_is_blended_along_profiles_with_rows_whole(tmp_path):
    run = radar_run()
    scene = write_radar_scene(tmp_path / "scene.nc", 24, 100)
    out = predict_scene(run, scene, tmp_path / "out.nc", overlap=8)
    assert all(shape[1:3] == (24, 32) for shape in run.batches)
    with netCDF4.Dataset(scene) as dataset:
        fields = {"reflectivity": np.ma.filled(dataset["reflectivity"][:].astype(np.float32), np.nan)[None]}
    fields = run.task.prepare(fields)
    x = run.task.network_inputs(fields, run.statistics)
    expected = run.task.decode(run.network(x), x)[0, :6]
    np.testing.assert_allclose(read(out, "reflectivity")[:6], expected, atol=0.006)  # half a step of 0.01 dBZ
    with xarray.open_dataset(out) as dataset:
        assert dataset.reflectivity.units == "dBZ" and "time" in dataset.coords and "height" in dataset.coords


def test_members_give_mean_and_spread(tmp_path):
    rng = np.random.default_rng(0)
    run = radar_run(network=lambda x: 0.25 * rng.normal(size=(*x.shape[:3], 1)).astype(np.float32))
    scene = write_radar_scene(tmp_path / "scene.nc", 24, 60)
    out = predict_scene(run, scene, tmp_path / "out.nc", members=60)
    spread, filled = read(out, "reflectivity_spread"), read(out, "filled")
    assert np.isnan(spread[filled == 0]).all()
    assert spread[filled == 1].mean() == pytest.approx(0.25 * 60, rel=0.1)  # 90 dB / 1.5 a unit

    rng = np.random.default_rng(0)
    run = phase_run()
    run.network = lambda x: 3 * rng.normal(size=(len(x), NUM_LEVELS, 32, 32, 4)).astype(np.float32)
    out = predict_scene(run, write_phase_scene(tmp_path / "s.nc", 32, 32), tmp_path / "o.nc", members=5)
    entropy, mean = read(out, "phase_entropy"), read(out, "phase_probability")
    by_hand = -(mean * np.log(np.maximum(mean, 1e-6))).sum(-1) / np.log(4)
    np.testing.assert_allclose(entropy, by_hand, atol=0.03)


def test_members_of_a_model_that_does_not_vary_are_refused(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 32, 32)

    class Deterministic:
        task, statistics = phase_run().task, phase_run().statistics

    with pytest.raises(InputError, match="Monte Carlo dropout"):
        predict_scene(Deterministic(), scene, tmp_path / "out.nc", members=3)
    assert [p.name for p in tmp_path.iterdir()] == ["scene.nc"]


def test_interrupted_leaves_nothing_and_keeps_the_earlier_file(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 80, 80)
    out = tmp_path / "out.nc"
    out.write_text("earlier")

    def stop(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_scene(phase_run(), scene, out, progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.nc", "scene.nc"] and out.read_text() == "earlier"


def test_progress_counts_every_tile(tmp_path):
    seen = []
    scene = write_phase_scene(tmp_path / "scene.nc", 60, 90)
    predict_scene(phase_run(), scene, tmp_path / "out.nc", overlap=8, progress=lambda *s: seen.append(s))
    assert seen == [(k + 1, 12) for k in range(12)]  # 3 bands of 4 tiles


def rename(old, new):
    return lambda dataset: dataset.renameVariable(old, new)


def set_units(name, units):
    return lambda dataset: dataset[name].setncattr("units", units)


def put(name, value):
    def change(dataset):
        dataset[name][3, 4] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename("reflectance", "albedo"), "variable 'reflectance'.*no such variable; the file has .*albedo"),
        (set_units("brightness_temperature", "degC"), "expected units 'K'; found units 'degC'"),
        (set_units("reflectance", "%"), "variable 'reflectance': expected units '1'; found units '%'"),
        (lambda d: d["brightness_temperature"].delncattr("units"), "found no units"),
        (put("brightness_temperature", 20.0), "expected values from 130 to 450 K.*found 20 .*Check the units"),
    ],
)
def test_a_bad_scene_is_named(tmp_path, change, message):
    scene = write_phase_scene(tmp_path / "scene.nc", 33, 40, change=change, packed=False)
    with pytest.raises(DataError, match=message):
        predict_scene(phase_run(), scene, tmp_path / "out.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["scene.nc"]


def test_other_dimensions_bands_and_sizes_are_named(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 33, 40)
    run = phase_run()
    run.statistics = {**run.statistics, "reflectance": {"mean": [0.0] * 5, "std": [1.0] * 5}}
    with pytest.raises(DataError, match=r"expected 5 values along 'reflective_band'.*found 6"):
        predict_scene(run, scene, tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "shard.nc", "w") as dataset:
        for name, size in (("sample", 2), ("y", 8), ("x", 8), ("reflective_band", 6)):
            dataset.createDimension(name, size)
        dataset.createVariable("reflectance", "f4", ("sample", "y", "x", "reflective_band")).units = "1"
    with pytest.raises(DataError, match=r"dimensions \(y, x, reflective_band\).*This is a shard"):
        predict_scene(phase_run(), tmp_path / "shard.nc", tmp_path / "out.nc")
    curtain = write_radar_scene(tmp_path / "curtain.nc", 20, 50)
    with pytest.raises(DataError, match="expected 24 values along 'height', as in training; found 20"):
        predict_scene(radar_run(rows=24), curtain, tmp_path / "out.nc")


def test_files_that_cannot_be_read_are_named(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 40, 40)
    content = scene.read_bytes()
    scene.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="truncated"):
        predict_scene(phase_run(), scene, tmp_path / "out.nc")
    scene.write_text("not a NetCDF file")
    with pytest.raises(DataError, match="a file that cannot be read"):
        predict_scene(phase_run(), scene, tmp_path / "out.nc")
    with pytest.raises(DataError, match="found a folder"):
        predict_scene(phase_run(), tmp_path, tmp_path / "out.nc")
    with pytest.raises(FileNotFoundError, match=r"There is no scene file .*none\.nc"):
        predict_scene(phase_run(), tmp_path / "none.nc", tmp_path / "out.nc")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 64}, "takes tiles of 32"),
        ({"overlap": 32}, "`overlap` is at least 0 and smaller than the tile"),
        ({"overlap": 4, "margin": 3}, "`margin`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"members": 0}, "`members`"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, message):
    scene = write_phase_scene(tmp_path / "scene.nc", 33, 40)
    with pytest.raises(InputError, match=message):
        predict_scene(phase_run(), scene, tmp_path / "out.nc", **options)


def test_the_scene_is_not_overwritten(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 33, 40)
    with pytest.raises(InputError, match="another file than the scene"):
        predict_scene(phase_run(), scene, scene)
    with pytest.raises(InputError, match="not a folder"):
        predict_scene(phase_run(), scene, tmp_path)


def test_memory_does_not_grow_with_the_scene(tmp_path):
    """Twice the rows and twice the columns, the same memory: one band of tiles over one stretch of columns."""
    peaks = []
    for name, rows, columns in (("small", 64, 240), ("large", 256, 480)):
        scene = write_phase_scene(tmp_path / f"{name}.nc", rows, columns)
        tracemalloc.start()
        predict_scene(phase_run(), scene, tmp_path / "out.nc", stretch_columns=80)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
