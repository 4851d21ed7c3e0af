import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.errors import InputError
from cloudkeras.inference import predict_scene, write_scene_file
from cloudkeras.ingest import radar_curtain, read_model_columns, read_radar
from cloudkeras.tasks import get_task

from .scenes import phase_run, radar_run

RNG = np.random.default_rng(0)


def fields():
    return {
        "reflectance": RNG.uniform(0, 1, (40, 36, 6)).astype(np.float32),
        "brightness_temperature": RNG.uniform(200, 300, (40, 36, 10)).astype(np.float32),
    }


def test_a_scene_written_from_arrays_is_read_as_it_was(tmp_path):
    values = fields()
    values["reflectance"][3, 4] = np.nan
    coordinates = {
        "y": (("y",), 2.0 * np.arange(40), {"units": "km"}),
        "latitude": (("y", "x"), np.zeros((40, 36)), {"units": "degrees_north"}),
    }
    path = write_scene_file(
        tmp_path / "scene.nc",
        get_task("cloud_phase"),
        values,
        coordinates=coordinates,
        attributes={"simulated": "true"},
    )
    with xarray.open_dataset(path) as dataset:
        np.testing.assert_allclose(dataset.reflectance, values["reflectance"], atol=5.1e-5)
        np.testing.assert_allclose(dataset.brightness_temperature, values["brightness_temperature"], atol=5.1e-3)
        assert set(dataset.coords) == {"y", "latitude"} and dataset.attrs["simulated"] == "true"
    out = predict_scene(phase_run(), path, tmp_path / "out.nc")
    with xarray.open_dataset(out) as dataset:
        assert {"y", "latitude"} <= set(dataset.coords)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("reflectance"), "A scene for cloud_phase holds reflectance, brightness_temperature"),
        (lambda f: f.update(albedo=f["reflectance"]), "only variables of the task"),
        (lambda f: f.update(reflectance=f["reflectance"][None]), r"'reflectance' has the dimensions \(y, x,"),
        (lambda f: f.update(reflectance=f["reflectance"][:7]), "sized as in the others"),
        (lambda f: f.update(reflectance=100 * f["reflectance"]), "lies within -0.05 and 2"),
    ],
)
def test_what_is_no_scene_is_named(tmp_path, change, message):
    values = fields()
    change(values)
    with pytest.raises(InputError, match=message):
        write_scene_file(tmp_path / "scene.nc", get_task("cloud_phase"), values)
    assert not list(tmp_path.iterdir())


@pytest.mark.realdata
def test_a_real_day_of_radar_is_filled_and_its_gap_is_not(realdata, tmp_path):
    folder = realdata / "cloudnet_arctic"
    model = read_model_columns(sorted(folder.glob("*icon-iglo*.nc")))
    record = read_radar(folder / "20210104_ny-alesund_iwc-Z-T-method.nc", model=model)
    curtain = radar_curtain(record, model)
    run = radar_run(rows=128, columns=128)
    scene = write_scene_file(
        tmp_path / "day.nc",
        run.task,
        {"reflectivity": curtain.fields["reflectivity"]},
        coordinates={
            "height": (("height",), curtain.height, {"units": "m", "positive": "up"}),
            "time": (("profile",), curtain.time, {"units": "seconds since 1970-01-01 00:00:00"}),
        },
    )
    out = predict_scene(run, scene, tmp_path / "filled.nc")
    with netCDF4.Dataset(scene) as before, netCDF4.Dataset(out) as after:
        for dataset in (before, after):
            dataset.set_auto_maskandscale(False)
        rows = run.task.blind_rows
        assert before["reflectivity"][rows:].tobytes() == after["reflectivity"][rows:].tobytes()
        filled = after["filled"][:]
        np.testing.assert_array_equal(filled[:rows].all(axis=0), curtain.observed)
        assert not filled[rows:].any()
