import netCDF4
import numpy as np
import pytest

from cloudkeras.errors import DataError
from cloudkeras.ingest.netcdf import open_granule, read_times, read_variable


def write(path, times, units, **attributes):
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts(attributes)
        file.createDimension("time", len(times))
        file.createVariable("time", "f8", ("time",), fill_value=-1.0)[:] = np.ma.masked_invalid(
            np.asarray(times, float)
        )
        file["time"].units = units
    return path


def read(path):
    with open_granule(path) as dataset:
        return read_times(dataset)


@pytest.mark.parametrize(
    "units", ["hours since 2021-01-04 00:00:00 +0:00", "hours since 2021-01-04", "hours since 2021-01-04T00:00:00Z"]
)
def test_times(tmp_path, units):
    np.testing.assert_allclose(read(write(tmp_path / "a.nc", [0, 1.5], units)), 1609718400 + np.array([0, 5400]))


def test_fractions_of_a_second_count(tmp_path):
    path = write(tmp_path / "a.nc", [0, 2.5], "seconds since 2019-05-29 14:59:58.794000")
    np.testing.assert_allclose(read(path) - 1559141998, [0.794, 3.294], atol=1e-6)


def test_times_since_midnight_of_the_file_s_day(tmp_path):
    path = write(tmp_path / "a.nc", [0, 2], "decimal hours since midnight", year="2021", month="01", day="04")
    np.testing.assert_allclose(read(path), 1609718400 + np.array([0, 7200]))


@pytest.mark.parametrize(
    "times,units,message",
    [
        ([0, 2, 1, 3], "hours since 2021-01-04", "times that increase; found 2 followed by 1 at index 1 .1 such"),
        ([0, 1, 1], "hours since 2021-01-04", "found 1 followed by 1 at index 1"),
        ([0, np.nan, 1], "hours since 2021-01-04", "no missing time; found 1 missing"),
        ([0], "hours since 2021-01-04", "two times or more"),
        ([0, 1], "decimal hours since midnight", "expected units 'hours since"),
        ([0, 1], "hours since 2021-01-04 00:00:00 +02:00", "expected units 'hours since"),
        ([0, 1], "months", "found 'months'"),
    ],
)
def test_wrong_times(tmp_path, times, units, message):
    with pytest.raises(DataError, match=rf"a\.nc: variable 'time'.*{message}"):
        read(write(tmp_path / "a.nc", times, units))


def test_files_that_do_not_open(tmp_path):
    (tmp_path / "text.nc").write_text("no NetCDF")
    for path, found in (("none.nc", "no such file"), ("text.nc", "9 bytes"), (".", "a folder")):
        with pytest.raises(DataError, match=found), open_granule(tmp_path / path):
            pass


def test_missing_variable_and_dimensions(tmp_path):
    with open_granule(write(tmp_path / "a.nc", [0, 1], "hours since 2021-01-04")) as dataset:
        with pytest.raises(DataError, match="variable 'iwc': expected the variable; found the variables time"):
            read_variable(dataset, "iwc")
        with pytest.raises(DataError, match=r"dimensions \('time', 'height'\)"):
            read_variable(dataset, "time", dims=("time", "height"))
