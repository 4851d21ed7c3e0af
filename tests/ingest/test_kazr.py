import netCDF4
import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import radar_curtain, read_radar

from .granules import put, write_kazr

DAY = 1559088000.0  # 2019-05-29
TIME = 4.0 * np.arange(6)
HEIGHT = 100.0 + 30.0 * np.arange(5)


def moments(**change):
    """Reflectivity and signal-to-noise ratio (profile, gate): two gates of echo, one missing, the rest noise."""
    dbz, snr = np.full((6, 5), -50.0), np.full((6, 5), -24.0)
    dbz[:, 1], snr[:, 1] = -12.5, 10.0
    dbz[:, 2], snr[:, 2] = -70.0, -14.0  # fainter than the grid of the task holds, and yet an echo
    dbz[:, 4] = np.nan
    return {"time": TIME, "height": HEIGHT, "dbz": dbz, "snr": snr, **change}


@pytest.mark.parametrize("layout", ["moments", "cfr"])
def test_noise_is_no_echo(tmp_path, layout):
    record = read_radar(write_kazr(tmp_path / "k.cdf", layout=layout, **moments()))
    np.testing.assert_allclose(record.reflectivity[:, 0], [-60, -12.5, -59.9, -60, np.nan])
    np.testing.assert_array_equal(record.time, DAY + TIME)
    np.testing.assert_allclose(record.height, HEIGHT)
    assert record.product == "kazr" and record.variable == {"cfr": "reflectivity"}.get(layout, "reflectivity_copol")
    assert record.frequency_ghz == pytest.approx({"cfr": 34.89}.get(layout, 34.83), abs=1e-3)
    assert (record.latitude, record.longitude, record.altitude) == pytest.approx((71.32, -156.61, 8.0), abs=1e-4)


def test_the_threshold_is_an_option(tmp_path):
    path = write_kazr(tmp_path / "k.cdf", **moments())
    assert read_radar(path, snr_threshold_db=-10).reflectivity[2, 0] == -60
    np.testing.assert_allclose(
        read_radar(path, snr_threshold_db=None).reflectivity[:, 0], [-50, -12.5, -59.9, -50, np.nan]
    )
    with pytest.raises(InputError, match=r"`snr_threshold_db` is a number in dB or None.*nan"):
        read_radar(path, snr_threshold_db=np.nan)
    bare = write_kazr(tmp_path / "bare.cdf", **moments(snr=None))
    with pytest.raises(DataError, match=r"bare.cdf: variable 'signal_to_noise_ratio_copol'.*--snr-threshold none"):
        read_radar(bare)


def test_corrected_moments_have_their_own_mask(tmp_path):
    mask = np.zeros((6, 5))
    mask[:, [0, 4]] = 1
    path = write_kazr(tmp_path / "k.nc", layout="corrected", mask=mask, **moments())
    np.testing.assert_allclose(read_radar(path).reflectivity[:, 0], [-50, -60, -60, -60, np.nan])


@pytest.mark.parametrize("style", ["cf", "arm"])
def test_arscl_holds_detections_alone_and_flags_clutter(tmp_path, style):
    flag = np.tile([0, 1, 2, 3, 4], (6, 1))
    dbz = np.full((6, 5), -20.0)
    dbz[:, 0] = np.nan
    path = write_kazr(tmp_path / "k.nc", TIME, HEIGHT, dbz, layout="arscl", flag=flag)
    with netCDF4.Dataset(path, "a") as file:
        variable = file["reflectivity_clutter_flag"]
        texts = ["no_detection", "hydrometeor_only", "hydrometeor_and_clutter", "clutter_only", "bad_data"]
        if style == "cf":
            variable.flag_values, variable.flag_meanings = np.arange(5, dtype="i2"), " ".join(texts)
        else:
            variable.setncatts({f"flag_{i}_description": text.replace("_", " ") for i, text in enumerate(texts)})
    np.testing.assert_allclose(read_radar(path).reflectivity[:, 0], [-60, -20, -20, np.nan, np.nan])


def test_times_without_a_unit_and_a_position_repeated_along_the_gates(tmp_path):
    path = write_kazr(tmp_path / "k.cdf", cf_time=False, **moments())
    np.testing.assert_array_equal(read_radar(path).time, DAY + TIME)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("lat", "old")
        put(file, "lat", "f8", ("range",), np.full(5, 71.3), units="degree_N")
    assert read_radar(path).latitude == pytest.approx(71.3)
    with netCDF4.Dataset(path, "a") as file:
        file["lat"][2] = 60.0
    with pytest.raises(DataError, match="'lat': expected one number, or one a profile; found 5 numbers that differ"):
        read_radar(path)


def test_a_ship_moves_and_a_scan_is_left_out(tmp_path):
    place = (np.linspace(-60, -61, 6), 140.0, 20.0)
    elevation = [90, 90, 45, 90, 90, 90]
    record = read_radar(write_kazr(tmp_path / "k.cdf", place=place, elevation=elevation, **moments()))
    np.testing.assert_allclose(record.latitude, place[0], rtol=1e-6)
    assert record.site == pytest.approx((-60.6, 140.0))
    assert np.isnan(record.reflectivity).all(axis=0).tolist() == [False, False, True, False, False, False]
    curtain = radar_curtain(record, rows=3)
    assert curtain.latitude.shape == curtain.time.shape and curtain.observed.all()  # one profile is bridged


def test_linear_units_are_converted(tmp_path):
    data = moments()
    linear = 10 ** (data["dbz"] / 10)
    linear[0, 0] = 0.0
    data["snr"][0, 0] = 5.0
    path = write_kazr(tmp_path / "k.cdf", units="mm^6/m^3", **{**data, "dbz": linear})
    found = read_radar(path).reflectivity
    np.testing.assert_allclose(found[:, 1], [-60, -12.5, -59.9, -60, np.nan], atol=1e-4)
    assert np.isnan(found[0, 0])  # an echo by its ratio without a number


@pytest.mark.parametrize(
    "change,message",
    [
        ({"units": "dBm"}, "expected units 'dBZ' or 'mm6 m-3'; found units 'dBm'"),
        ({"dbz": 10 ** (np.linspace(-40, 8, 30) / 10).reshape(6, 5)}, r"reflectivity in dBZ.*If they are in mm6 m-3"),
        ({"dbz": np.full((6, 5), 1000.0)}, "at most 60.*values from 1000 to 1000"),
        ({"dbz": np.full((6, 5), -1.0), "units": "mm6 m-3"}, "0 mm6 m-3 or more; found -1"),
        ({"height": HEIGHT[::-1]}, "'height': expected two increasing heights"),
        ({"time": TIME[::-1]}, "times that increase; found"),
        ({"time": np.where(TIME == 4, np.nan, TIME)}, "no missing time; found 1 missing"),
    ],
)
def test_bad_files(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_radar(write_kazr(tmp_path / "k.cdf", **{**moments(), **change}))


def test_few_times_out_of_order_are_sorted(tmp_path, caplog):
    time = TIME.copy()
    time[3] = time[1]  # a profile written twice
    data = moments(time=time)
    data["dbz"][:, 1] = np.arange(6)
    record = read_radar(write_kazr(tmp_path / "k.cdf", **data))
    np.testing.assert_allclose(record.time - DAY, [0, 4, 8, 16, 20])
    np.testing.assert_allclose(record.reflectivity[1], [0, 1, 2, 4, 5])
    assert "1 times did not increase: sorted, 1 repeated profiles dropped" in caplog.text


def test_truncated_and_other_files(tmp_path):
    path = write_kazr(tmp_path / "k.cdf", **moments())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"k.cdf: expected a NetCDF file; found 3000 bytes"):
        read_radar(path)
    other = write_kazr(tmp_path / "o.cdf", **moments())
    with pytest.raises(
        DataError, match=r"o.cdf: expected a radar file \(cloudnet-categorize\); found the variables alt"
    ):
        read_radar(other, product="cloudnet-categorize")
    with pytest.raises(InputError, match="`product` is one of 'auto'"):
        read_radar(other, product="mmcr")
    with netCDF4.Dataset(tmp_path / "e.nc", "w"):
        pass
    with pytest.raises(DataError, match=r"cloudnet-iwc or .*geoprof\); found the variables none"):
        read_radar(tmp_path / "e.nc")


@pytest.mark.realdata
def test_southern_great_plains(realdata):
    record = read_radar(realdata / "arm" / "sgpkazrgeC1.a1.20190529.000002.cdf")
    assert record.reflectivity.shape == (414, 61) and record.frequency_ghz == pytest.approx(34.83)
    assert (record.latitude, record.longitude, record.altitude) == pytest.approx((36.606, -97.485, 316.0))
    assert record.time[0] == DAY + 15 * 3600 and record.height[0] == pytest.approx(100.68, abs=0.01)
    share = {low: (record.reflectivity[(record.height >= low) & (record.height < low + 1000)] > -60).mean()
             for low in (0, 3000, 6000, 11000)}  # fmt: skip
    assert share[0] > 0.8  # clutter and insects
    assert share[6000] > 0.99 and share[3000] < 0.005 and share[11000] < 0.005  # ice cloud, and clear air
    curtain = radar_curtain(record)
    assert curtain.fields["reflectivity"].shape == (128, 61) and curtain.observed.all() and curtain.step_s == 60
