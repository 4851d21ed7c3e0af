"""Filling of each kind of file: how its own values and conventions are kept."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.errors import DataError, InputError
from cloudkeras.inference import inpaint
from cloudkeras.inference.inpaint_writing import FILLED, FILLED_CLEAR, OBSERVED
from cloudkeras.ingest import read_radar
from cloudkeras.uncertainty import DeepEnsemble
from tests.inference.inpainting import BLIND_ROWS, TOP_M, Run, kazr_file, lowest_visible, raw, smooth_echo
from tests.inference.scenes import write_radar_scene
from tests.ingest.conftest import write_iwc, write_model
from tests.ingest.granules import write_categorize, write_geoprof

HEIGHT = 30.0 * (np.arange(60) + 0.5)
BLIND = HEIGHT < TOP_M
HOURS = np.arange(100) / 120


def clear(x):
    return np.full((*x.shape[:3], 1), -1, np.float32)


def packed_kazr(path, **attributes):
    """KAZR moments whose reflectivity is packed in int16, with every stored value that there is."""
    kazr_file(path)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("reflectivity_copol", "unpacked")
        variable = file.createVariable("reflectivity_copol", "i2", ("time", "range"), fill_value=-32768, zlib=True)
        variable.setncatts({"units": "dBZ", "scale_factor": 0.01, "add_offset": -10.0, **attributes})
        variable[...] = file["unpacked"][...]
        variable[7, 30] = np.ma.masked
        variable[8, 31] = -10.0
    return path


def test_packed_values_are_copied_without_decoding(tmp_path):
    path = packed_kazr(tmp_path / "in.nc")
    inpaint(path, Run(lowest_visible), tmp_path / "out.nc")
    inpaint(kazr_file(tmp_path / "plain.nc"), Run(lowest_visible), tmp_path / "plain_out.nc")
    before, after = (raw(p, "reflectivity_copol") for p in (path, tmp_path / "out.nc"))
    assert after.dtype == np.int16 and after[:, ~BLIND].tobytes() == before[:, ~BLIND].tobytes()
    assert before[7, 30] == -32768 == after[7, 30]
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(tmp_path / "out.nc") as new:
        attributes = {k: v for k, v in new["reflectivity_copol"].__dict__.items() if k != "ancillary_variables"}
        assert attributes == old["reflectivity_copol"].__dict__
    with xarray.open_dataset(tmp_path / "out.nc") as file:
        plain = raw(tmp_path / "plain_out.nc", "reflectivity_copol")
        np.testing.assert_allclose(file.reflectivity_copol.values[:, BLIND], plain[:, BLIND], atol=0.0051 + 1e-2)


def test_filled_values_stay_within_what_the_file_calls_valid(tmp_path):
    path = packed_kazr(tmp_path / "in.nc", valid_range=np.array([-4000, 2500], np.int16))
    high = Run(lambda x: np.full((*x.shape[:3], 1), 1.0, np.float32))  # 30 dBZ
    inpaint(path, high, tmp_path / "out.nc")
    assert (raw(tmp_path / "out.nc", "reflectivity_copol")[:, BLIND] == 2500).all()


def test_a_scene_keeps_its_layout(tmp_path):
    path = write_radar_scene(tmp_path / "in.nc", 24, 90)
    result = inpaint(path, Run(lowest_visible, noise=0.1), tmp_path / "out.nc", members=4)
    before, after, flag = raw(path, "reflectivity"), *raw(tmp_path / "out.nc", "reflectivity", "filled")
    assert result.product == "scene" and after.dtype == before.dtype
    assert after[BLIND_ROWS:].tobytes() == before[BLIND_ROWS:].tobytes() and (after[:BLIND_ROWS] > -6001).all()
    assert (flag[:BLIND_ROWS] >= FILLED).all() and (flag[BLIND_ROWS:] == OBSERVED).all()
    with xarray.open_dataset(tmp_path / "out.nc") as file:
        assert file.reflectivity.dims == ("height", "profile")
        assert file.reflectivity_quantile.dims == ("quantile", "height", "profile")
        assert file.time.values[1] == np.datetime64("2021-01-04T00:00:30")
    inpaint(path, Run(clear), tmp_path / "clear.nc")
    after, flag = raw(tmp_path / "clear.nc", "reflectivity", "filled")
    assert (after[:BLIND_ROWS] == -6000).all() and (flag[:BLIND_ROWS] == FILLED_CLEAR).all()


def test_a_scene_on_other_rows_is_refused(tmp_path):
    def stretch(file):
        file["height"][:] = 100.0 * np.arange(24)

    path = write_radar_scene(tmp_path / "in.nc", 24, 40, change=stretch)
    with pytest.raises(DataError, match=r"'height': expected rows 78.1 m apart .* found 0 to 2300 m"):
        inpaint(path, Run(lowest_visible), tmp_path / "out.nc")
    path = write_radar_scene(tmp_path / "low.nc", 20, 40)
    with pytest.raises(DataError, match="expected 24 rows along 'height', as in training; found 20"):
        inpaint(path, Run(lowest_visible), tmp_path / "out.nc")


def test_categorize_keeps_missing_for_no_echo(tmp_path):
    dbz = smooth_echo(100, 60)
    dbz[:, 40] = np.nan
    zeros = np.zeros(dbz.shape)
    path = write_categorize(tmp_path / "in.nc", HOURS, HEIGHT + 11, dbz, zeros, zeros)
    inpaint(path, Run(clear), tmp_path / "out.nc")
    after, flag = raw(tmp_path / "out.nc", "Z", "filled")
    assert after[:, ~BLIND].tobytes() == raw(path, "Z")[:, ~BLIND].tobytes()
    assert (after[:, BLIND] == -9999).all() and (flag[:, BLIND] == FILLED_CLEAR).all()


def iwc_file(path, **options):
    iwc = 10 ** np.clip(smooth_echo(100, 60) / 15 - 5, -7, -3.5)
    iwc[:, 50:] = 0
    return write_iwc(path, HOURS, HEIGHT + 11, iwc, **options)


def test_ice_water_content_gets_the_re_derived_reflectivity(tmp_path):
    path = iwc_file(tmp_path / "in.nc")
    model = write_model(tmp_path / "model.nc", np.arange(25), np.arange(25), [10, 500, 9000])
    with pytest.raises(InputError, match=r"re-derived from ice water content.*--context FILE"):
        inpaint(path, Run(lowest_visible), tmp_path / "out.nc")
    inpaint(path, Run(clear), tmp_path / "out.nc", context=[model])
    record = read_radar(path, model=[model])
    with xarray.open_dataset(tmp_path / "out.nc") as file:
        assert file.reflectivity.dims == ("time", "height") and file.reflectivity.attrs["units"] == "dBZ"
        assert "re-derived from IWC" in file.reflectivity.attrs["long_name"] and "iwc" not in file
        np.testing.assert_array_equal(file.reflectivity.values[:, ~BLIND], record.reflectivity.T[:, ~BLIND])
        assert (file.reflectivity.values[:, BLIND] == -60).all()
        assert file.attrs["input_pid"].endswith("1.made-up") and "pid" not in file.attrs
    assert raw(tmp_path / "out.nc", "height").tobytes() == raw(path, "height").tobytes()


def test_old_times_get_a_reference_date(tmp_path):
    path = iwc_file(tmp_path / "in.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "decimal hours since midnight"
        file.setncatts({"year": "2021", "month": "01", "day": "04"})
    model = write_model(tmp_path / "model.nc", np.arange(25), np.arange(25), [10, 500, 9000])
    inpaint(path, Run(lowest_visible), tmp_path / "out.nc", context=[model])
    assert raw(tmp_path / "out.nc", "time").tobytes() == raw(path, "time").tobytes()
    with xarray.open_dataset(tmp_path / "out.nc") as file:
        assert file.time.values[-1] == np.datetime64("2021-01-04T00:49:30")


def test_context_reaches_the_network(tmp_path):
    seen = []

    def network(x):
        seen.append(x[0])
        return clear(x)

    path = kazr_file(tmp_path / "in.nc")
    model = write_model(
        tmp_path / "model.nc", np.arange(25), np.arange(25), [10, 500, 9000], day="2019-05-29", surface_k=260.0
    )
    with netCDF4.Dataset(model, "a") as file:
        for name, value in (("latitude", 71.32), ("longitude", -156.61)):
            file.createVariable(name, "f4", ())[...] = value
    inpaint(path, Run(network, context=["temperature"]), tmp_path / "out.nc", context=[model])
    kelvin = (seen[0][..., 1] + 0.5) * 80 + 180
    np.testing.assert_allclose(kelvin[:, 0], 260 - 6.5e-3 * np.maximum(10, 78.1 * (np.arange(24) + 0.5)), atol=0.01)


def test_a_granule_of_geoprof_on_its_own_bins(tmp_path):
    pytest.importorskip("pyhdf")
    rays, bins = 80, 20
    surface = np.where(np.arange(rays) < 40, -9999, 200)
    top = np.where(np.arange(rays) % 3, 4000.0, 4100.0)
    height = top[:, None] - 240.0 * np.arange(bins)
    dbz = smooth_echo(rays, bins)
    mask = np.full((rays, bins), 40)
    mask[:, -4:] = 5  # surface clutter
    path = tmp_path / "in.hdf"
    along = np.linspace(70, 71, rays)
    write_geoprof(
        path, 0.16 * np.arange(rays), height, dbz, mask, latitude=along, longitude=along, surface=surface
    )  # fmt: skip
    inpaint(path, Run(lowest_visible), tmp_path / "out.nc", step_s=0.16)
    after, flag, heights = raw(tmp_path / "out.nc", "Radar_Reflectivity", "filled", "Height")
    above = height - np.maximum(surface, 0)[:, None]
    blind = (above >= 0) & (above < TOP_M)
    stored = np.rint(100 * dbz).astype(np.int16)
    assert after[~blind].tobytes() == stored[~blind].tobytes() and np.array_equal(heights, height)
    assert (flag[blind] == FILLED).all() and (flag[~blind] == OBSERVED).all() and blind.any(axis=1).all()
    with xarray.open_dataset(tmp_path / "out.nc") as file:
        assert file.Radar_Reflectivity.dims == ("nray", "nbin")
        step = np.diff(file.Profile_time.values).astype("timedelta64[ms]").astype(int)
        assert file.Profile_time.dt.year[0] == 2012 and np.all(np.abs(step - 160) <= 1)
        assert abs(float(file.Radar_Reflectivity[0].max()) - dbz[0].max()) < 30


def test_runs_of_one_value_make_an_ensemble(tmp_path):
    path = kazr_file(tmp_path / "in.nc")
    runs = [Run(lambda x, k=k: lowest_visible(x) + 0.1 * k) for k in range(3)]
    for k, run in enumerate(runs):
        run.name = f"run{k}"
    result = inpaint(path, DeepEnsemble(runs), tmp_path / "out.nc", members=50)
    with netCDF4.Dataset(result.path) as file:
        assert result.members == file.members == 3
        blind = file["reflectivity_copol_spread"][...][:, BLIND]
        # 0.1 of the network's space is 6 dB; the standard deviation of 0, 6, 12 is 6.
        np.testing.assert_allclose(blind, 6, atol=1e-3)
        assert file["reflectivity_copol_spread"][...].mask[:, ~BLIND].all()
