"""Granules in the exact layout of Cloudnet's files, small and made up."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest


def write_iwc(path, hours, height, iwc, *, altitude=11.0, frequency=94.0, status=None, units="hours since 2021-01-04"):
    """An `iwc-Z-T-method` file: iwc (time, height) kg m-3, NaN where masked."""
    with netCDF4.Dataset(path, "w") as file:
        file.pid = "https://hdl.handle.net/21.12132/1.made-up"
        file.createDimension("time", len(hours))
        file.createDimension("height", len(height))
        _put(file, "time", "f8", ("time",), hours, f"{units} 00:00:00 +0:00" if "since" in units else units)
        _put(file, "height", "f4", ("height",), height, "m")
        _put(file, "iwc", "f4", ("time", "height"), iwc, "kg m-3")
        _put(file, "altitude", "f4", (), altitude, "m")
        _put(file, "latitude", "f4", (), 78.93, "degree_north")
        _put(file, "longitude", "f4", (), 11.92, "degree_east")
        if frequency is not None:
            _put(file, "radar_frequency", "f4", (), frequency, "GHz")
        if status is not None:
            _put(file, "iwc_retrieval_status", "i1", ("time", "height"), status, "")
    return path


def write_model(
    path, hours, lead, height, *, offset=0.0, surface_k=270.0, with_lead=True, per_hour=1.0, day="2021-01-04"
):
    """A model file whose temperature falls by 6.5 K/km and rises by 1 K an hour, shifted by `offset`."""
    hours, height = np.asarray(hours, float), np.asarray(height, float)
    grid = np.broadcast_to(height, (len(hours), len(height)))
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(hours))
        file.createDimension("level", len(height))
        _put(file, "time", "f4", ("time",), hours, f"hours since {day} 00:00:00 +00:00")
        if with_lead:
            _put(file, "forecast_time", "f4", ("time",), lead, "hours")
        _put(file, "height", "f4", ("time", "level"), grid, "m")
        temperature = surface_k - 6.5e-3 * grid + per_hour * hours[:, None] + offset
        _put(file, "temperature", "f4", ("time", "level"), temperature, "K")
        _put(file, "q", "f4", ("time", "level"), 1e-3 * np.exp(-grid / 2000), "1")
        _put(file, "uwind", "f4", ("time", "level"), grid / 1000, "m s-1")
        _put(file, "vwind", "f4", ("time", "level"), -grid / 1000, "m s-1")
    return path


def _put(file, name, dtype, dims, values, units):
    variable = file.createVariable(name, dtype, dims, fill_value=-99 if dtype == "i1" else -999.0)
    variable.units = units
    variable[...] = np.ma.masked_invalid(np.asarray(values, float))


@pytest.fixture
def day(tmp_path):
    """A whole day at steps of 5 minutes, gates every 40 m from 110 m above ground, and its model columns.

    A gap of 50 minutes at 10 h. Returns (iwc file, model file, hours).
    """
    hours = np.arange(0.05, 24, 1 / 12)
    hours = hours[(hours < 10.0) | (hours > 10.8)]
    height = 121.0 + 40.0 * np.arange(60)
    rng = np.random.default_rng(0)
    iwc = np.where(rng.random((len(hours), len(height))) < 0.5, 10 ** rng.uniform(-7, -4, (len(hours), len(height))), 0)
    iwc_file = write_iwc(tmp_path / "20210104_site_iwc.nc", hours, height, iwc)
    model = write_model(tmp_path / "20210104_site_model.nc", np.arange(25), np.arange(25) % 12 + 12, [10, 500, 9000])
    return iwc_file, model, hours
