import netCDF4
import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import columns as columns_module
from cloudkeras.ingest.columns import ModelFiles, read_model_columns

from .conftest import write_model

DAY = 1609718400.0  # 2021-01-04


def test_shortest_lead_wins_whatever_the_order(tmp_path):
    late = write_model(tmp_path / "b.nc", np.arange(25), np.full(25, 30), [10, 1000, 9000], offset=5)
    early = write_model(tmp_path / "a.nc", np.arange(0, 13), np.full(13, 12), [10, 1000, 9000])
    for files in ([late, early], [early, late]):
        columns = read_model_columns(files)
        assert columns.lead_hours.tolist() == [12] * 13 + [30] * 12
        assert (np.diff(columns.time) > 0).all()
        np.testing.assert_allclose(columns.fields["temperature"][:, 0] - np.arange(25), [269.935] * 13 + [274.935] * 12)


def test_linear_in_height_and_time_by_time_stamp(tmp_path):
    columns = read_model_columns([write_model(tmp_path / "m.nc", np.arange(25), np.arange(25), [10, 1000, 9000])])
    time = DAY + np.array([0.0, 1800.0, 36054.0, 86400.0])
    height = np.array([10.0, 505.0, 5000.0])
    found = columns.interpolate(time, height)
    np.testing.assert_allclose(found["temperature"], 270 - 6.5e-3 * height[:, None] + (time - DAY) / 3600, rtol=1e-6)
    np.testing.assert_allclose(found["eastward_wind"][:, 1], height / 1000, rtol=1e-6)
    assert found["northward_wind"].shape == (3, 4) and found["specific_humidity"].dtype == np.float32


def test_nothing_is_extrapolated(tmp_path):
    columns = read_model_columns([write_model(tmp_path / "m.nc", np.arange(25), np.arange(25), [100, 1000])])
    found = columns.interpolate(DAY + np.zeros(1), np.array([20.0, 100.0, 1000.0, 1001.0]), ["temperature"])
    temperature = found["temperature"][:, 0]
    assert temperature[0] == temperature[1] and np.isfinite(temperature[2]) and np.isnan(temperature[3])


def test_levels_may_be_stored_from_the_top_and_differ_between_files(tmp_path):
    up = read_model_columns([write_model(tmp_path / "a.nc", np.arange(13), np.arange(13), [10, 1000, 9000])])
    files = [
        write_model(tmp_path / "b.nc", np.arange(13), np.arange(13), [9000, 1000, 10]),
        write_model(tmp_path / "c.nc", np.arange(12, 25), np.arange(13), [10, 700, 1000, 2000, 9000]),
    ]
    both = read_model_columns(files)
    time, height = DAY + np.array([0.0, 40000.0]), np.array([50.0, 4000.0])
    for name in up.fields:
        np.testing.assert_allclose(
            both.interpolate(time, height)[name], up.interpolate(time, height)[name], rtol=1e-5, atol=2e-4
        )
    assert both.interpolate(DAY + np.array([80000.0]), height)["temperature"].shape == (2, 1)


def test_columns_that_do_not_cover_the_radar(tmp_path):
    columns = read_model_columns([write_model(tmp_path / "m.nc", np.arange(13), np.arange(13), [10, 9000])])
    with pytest.raises(
        DataError, match=r"m.nc.*'time'.*2021-01-04T14:00:00Z.*found columns from 2021-01-04T00:00:00Z to"
    ):
        columns.interpolate(DAY + np.array([3600.0, 14 * 3600.0]), np.array([50.0]))


def test_columns_too_far_apart(tmp_path):
    columns = read_model_columns([write_model(tmp_path / "m.nc", [0, 3, 12], [0, 3, 12], [10, 9000])])
    columns.interpolate(DAY + np.array([3600.0]), np.array([50.0]))
    with pytest.raises(DataError, match="at most 6 hours apart; found none between 2021-01-04T03"):
        columns.interpolate(DAY + np.array([3600.0, 6 * 3600.0]), np.array([50.0]))


def test_heights_that_do_not_increase(tmp_path):
    with pytest.raises(DataError, match="'height': expected heights that increase"):
        read_model_columns([write_model(tmp_path / "m.nc", [0, 1], [0, 1], [10, 500, 400])])


def test_no_file():
    with pytest.raises(InputError, match="at least one file of model columns"):
        read_model_columns([])


def test_wrong_unit(tmp_path):
    path = write_model(tmp_path / "m.nc", [0, 1], [0, 1], [10, 500])
    with netCDF4.Dataset(path, "a") as file:
        file["temperature"].units = "degC"
    with pytest.raises(DataError, match="'temperature': expected units 'K'; found units 'degC'"):
        read_model_columns([path])


def test_files_are_read_once_for_each_site(tmp_path, monkeypatch):
    calls = []
    real = columns_module.read_model_columns
    monkeypatch.setattr(columns_module, "read_model_columns", lambda *a, **k: calls.append(k) or real(*a, **k))
    files = ModelFiles([write_model(tmp_path / "m.nc", [0, 1], [0, 1], [10, 9000])], names=("temperature",))
    first = files.at(78.93, 11.92, 11.0)
    assert files.at(78.931, 11.921) is first and set(first.fields) == {"temperature"}
    assert files.at(60.0, 11.92) is not first and len(calls) == 2 and len(files.read()) == 2
    assert calls[0]["altitude_m"] == 11.0 and calls[0]["latitude"] == 78.93


def test_two_metre_temperature_or_the_lowest_level(tmp_path):
    path = write_model(tmp_path / "m.nc", [0, 1], [0, 1], [10, 9000])
    np.testing.assert_allclose(read_model_columns([path]).near_surface, [269.935, 270.935], rtol=1e-6)
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("sfc_temp_2m", "f4", ("time",))[:] = [271.5, 272.0]
        file["sfc_temp_2m"].units = "K"
    np.testing.assert_allclose(read_model_columns([path]).near_surface, [271.5, 272.0])
