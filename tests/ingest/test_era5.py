import netCDF4
import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import ModelColumns, read_model_columns

from .granules import put, write_categorize

DAY = 1609718400.0  # 2021-01-04
G = 9.80665
LEVELS = np.array([1000.0, 925.0, 850.0, 700.0, 500.0])
HEIGHT = np.array([100.0, 700.0, 1400.0, 3000.0, 5500.0])  # above sea level
NORTH, EAST = np.array([79.0, 78.75, 78.5]), np.array([11.5, 11.75, 12.0, 12.25])
SITE = {"latitude": 78.9, "longitude": 11.9}
PLANE = ["t", "q", "u", "v"]


def truth(name, hour, north, east, height):
    """Linear in all, so that bilinear and linear interpolation are exact."""
    return {
        "t": 270 + 2.0 * (north - 78) + 0.5 * (east - 11) - 6.5e-3 * height + 0.25 * hour,
        "q": 1e-3 + 1e-4 * (north - 78) - 1e-7 * height + 1e-5 * hour,
        "u": 1e-3 * height + hour + 0 * north + 0 * east,
        "v": east - north + 0 * height + 0 * hour,
        "z": G * (height + 10 * (north - 78)),
    }[name]


def write_era5(
    path, *, form="new", names=(*PLANE, "z"), hours=range(25), north=NORTH, east=EAST, surface=None, **extra
):
    """Pressure levels as the Climate Data Store gave them until 2024 ("old") and gives them since ("new")."""
    hours = np.asarray(hours, float)
    time, level = ("valid_time", "pressure_level") if form == "new" else ("time", "level")
    order = slice(None) if form == "new" else slice(None, None, -1)
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in ((time, len(hours)), (level, len(LEVELS)), ("latitude", len(north)), ("longitude", len(east))):
            file.createDimension(dim, size)
        if form == "new":
            put(file, time, "i8", (time,), DAY + 3600 * hours, units="seconds since 1970-01-01", calendar="standard")
        else:
            put(file, time, "i4", (time,), 1060752 + hours, units="hours since 1900-01-01 00:00:00.0")
        put(file, level, "f8", (level,), LEVELS[order], units="hPa" if form == "new" else "millibars")
        put(file, "latitude", "f4", ("latitude",), north, units="degrees_north")
        put(file, "longitude", "f4", ("longitude",), east, units="degrees_east")
        units = {"t": "K", "q": "kg kg**-1", "u": "m s**-1", "v": "m s**-1", "z": "m**2 s**-2"}
        mesh = np.meshgrid(hours, HEIGHT[order], north, east, indexing="ij")
        dims = (time, level, "latitude", "longitude")
        for name in names:
            values = truth(name, mesh[0], mesh[2], mesh[3], mesh[1])
            if extra.get("expver"):
                if "expver" not in file.dimensions:
                    file.createDimension("expver", 2)
                both = np.stack(
                    [np.where(mesh[0] < 12, values, np.nan), np.where(mesh[0] < 12, np.nan, values)], axis=1
                )
                put(file, name, "f8", (time, "expver", *dims[1:]), both, units=units[name])
            else:
                put(file, name, "f8", dims, values, units=extra.get("units", units[name]))
        if surface is not None:
            put(
                file,
                "zs" if "z" in names else "z",
                "f8",
                (time, *dims[2:]),
                np.full((len(hours), len(north), len(east)), surface),
                units="m**2 s**-2",
            )
    return path


def write_single(path, hours=range(25), surface_m=40.0, warm=None):
    """Single levels: the orography, and the temperature at 2 m."""
    hours = np.asarray(hours, float)
    shape = (len(hours), len(NORTH), len(EAST))
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in zip(("valid_time", "latitude", "longitude"), shape, strict=True):
            file.createDimension(dim, size)
        put(file, "valid_time", "i8", ("valid_time",), DAY + 3600 * hours, units="seconds since 1970-01-01")
        put(file, "latitude", "f4", ("latitude",), NORTH, units="degrees_north")
        put(file, "longitude", "f4", ("longitude",), EAST, units="degrees_east")
        dims = ("valid_time", "latitude", "longitude")
        put(file, "z", "f8", dims, np.full(shape, G * surface_m), units="m**2 s**-2")
        put(file, "t2m", "f8", dims, np.broadcast_to((250 + hours)[:, None, None], shape), units="K")
    return path


def expected(name, hour, above, surface_m):
    return truth(name, hour, 78.9, 11.9, above + surface_m - 10 * 0.9)


NAMES = {"temperature": "t", "specific_humidity": "q", "eastward_wind": "u", "northward_wind": "v"}


@pytest.mark.parametrize("form,expver", [("new", False), ("old", False), ("old", True)])
def test_bilinear_columns_above_the_ground(tmp_path, form, expver):
    path = write_era5(tmp_path / "era5.nc", form=form, expver=expver)
    columns = read_model_columns([path], **SITE, altitude_m=11.0)
    np.testing.assert_array_equal(columns.time, DAY + 3600 * np.arange(25))
    np.testing.assert_allclose(columns.height[3], HEIGHT + 9 - 11, rtol=1e-6)
    for name, theirs in NAMES.items():
        np.testing.assert_allclose(
            columns.fields[name][7], truth(theirs, 7, 78.9, 11.9, HEIGHT), rtol=1e-6, err_msg=name
        )
    np.testing.assert_allclose(columns.near_surface, columns.fields["temperature"][:, 0])
    assert np.all(columns.lead_hours == 0)


def test_no_drift_from_the_first_hour_of_the_day_to_the_last(tmp_path):
    """A profile with an hour's own time stamp shows that hour's column, at the end of the day as at its start."""
    columns = read_model_columns([write_era5(tmp_path / "era5.nc")], **SITE, altitude_m=11.0)
    hours = np.arange(25.0)
    found = columns.interpolate(DAY + 3600 * hours, columns.height[0])
    for name in NAMES:
        np.testing.assert_allclose(found[name], columns.fields[name].T, rtol=1e-6)
    radar = DAY + 4.0 * np.arange(21600)  # and 4-s profiles follow the hours to the last
    t = columns.interpolate(radar, np.array([1000.0]), ["temperature"])["temperature"][0]
    np.testing.assert_allclose(t - t[0], 0.25 * (radar - DAY) / 3600, atol=1e-4)


def test_nothing_is_extrapolated(tmp_path):
    columns = read_model_columns([write_era5(tmp_path / "era5.nc")], **SITE, altitude_m=11.0)
    lowest, top = columns.height[0, 0], columns.height[0, -1]
    height = np.array([0.0, lowest / 2, lowest, top, top + 1])
    t = columns.interpolate(DAY + np.array([0.0]), height, ["temperature"])["temperature"][:, 0]
    assert t[0] == t[1] == t[2] and np.isfinite(t[3]) and np.isnan(t[4])


def test_single_levels_give_the_ground_and_two_metres(tmp_path):
    files = [write_era5(tmp_path / "pl.nc"), write_single(tmp_path / "sl.nc", surface_m=200.0)]
    columns = read_model_columns(files, **SITE)
    assert np.isnan(columns.height[:, 0]).all()  # 1000 hPa is below the ground, ERA5 makes it up
    np.testing.assert_allclose(columns.height[0, 1:], HEIGHT[1:] + 9 - 200)
    np.testing.assert_allclose(columns.near_surface, 250 + np.arange(25))
    low = columns.interpolate(DAY + np.array([0.0]), np.array([50.0]), ["temperature"])["temperature"][0, 0]
    assert low == pytest.approx(expected("t", 0, HEIGHT[1] + 9 - 200, 200))


def test_fields_and_days_in_files_of_their_own(tmp_path):
    files = [
        write_era5(tmp_path / "b.nc", hours=range(24, 48)),
        write_era5(tmp_path / "a1.nc", names=("t", "z"), hours=range(24)),
        write_era5(tmp_path / "a2.nc", names=("q", "u", "v"), hours=range(24)),
    ]
    columns = read_model_columns(files, **SITE, altitude_m=0.0)
    assert columns.time.size == 48 and np.all(np.diff(columns.time) == 3600) and len(columns.files) == 3
    np.testing.assert_allclose(columns.fields["eastward_wind"][:, 0], 0.1 + np.arange(48), rtol=1e-6)


def test_nearest_point_and_a_grid_around_the_globe(tmp_path):
    path = write_era5(tmp_path / "era5.nc")
    near = read_model_columns([path], **SITE, altitude_m=0.0, interpolation="nearest")
    assert near.fields["temperature"][0, 0] == pytest.approx(truth("t", 0, 79.0, 12.0, 100.0))
    globe = write_era5(tmp_path / "globe.nc", hours=range(2), east=np.arange(0, 360, 30.0))
    at = read_model_columns([globe], latitude=78.9, longitude=-10.0, altitude_m=0.0)
    v = truth("v", 0, 78.9, 330.0, 100.0) / 3 + truth("v", 0, 78.9, 0.0, 100.0) * 2 / 3  # between 330 and 360 E
    assert at.fields["northward_wind"][0, 0] == pytest.approx(v)


@pytest.mark.parametrize(
    "change,site,message",
    [
        ({"names": ("t", "z")}, {}, r"variable 'q': expected the fields t, q, u, v, z.*found t, z, without q, u, v"),
        ({"names": PLANE}, {}, "without z"),
        ({}, {"latitude": 60.0}, r"grid that holds 60 N, 11.9 E; found 78.5 to 79 N, 11.5 to 12.25 E"),
        ({}, {"longitude": 13.0}, "grid that holds 78.9 N, 13 E"),
        (
            {},
            {"altitude_m": None},
            "geopotential of the surface .single levels., or the altitude of the site; found ne",
        ),
        ({"units": "degC"}, {}, r"variable 't': expected units 'K'; found units 'degC'"),
    ],
)
def test_bad_files(tmp_path, change, site, message):
    path = write_era5(tmp_path / "era5.nc", hours=range(2), **change)
    with pytest.raises(DataError, match=message):
        read_model_columns([path], **{**SITE, "altitude_m": 11.0, **site})


def test_other_mistakes(tmp_path):
    path = write_era5(tmp_path / "era5.nc", hours=range(2))
    with pytest.raises(InputError, match="need the site"):
        read_model_columns([path])
    with pytest.raises(InputError, match="`interpolation` is one of 'bilinear', 'nearest'"):
        read_model_columns([path], **SITE, interpolation="cubic")
    with pytest.raises(InputError, match="`names` is one of"):
        read_model_columns([path], **SITE, names=("pressure",))
    with netCDF4.Dataset(path, "a") as file:
        file.renameDimension("pressure_level", "model_level")
    with pytest.raises(DataError, match="variable 'model_level': expected pressure levels; found model levels"):
        read_model_columns([path], **SITE, altitude_m=0.0)
    with pytest.raises(DataError, match="expected fields on pressure levels; found none"):
        read_model_columns([write_single(tmp_path / "sl.nc")], **SITE)


def test_columns_of_another_site_are_passed_over(tmp_path):
    height, hours = np.array([20.0, 5000.0]), np.array([0.0, 1.0])
    fields = {name: (np.full((2, 2), 250.0 if unit == "K" else 1.0), unit)
              for name, unit in (("temperature", "K"), ("q", "1"), ("uwind", "m s-1"), ("vwind", "m s-1"))}  # fmt: skip
    bits = np.zeros((2, 2), int)
    path = write_categorize(tmp_path / "c.nc", [1.0, 2.0], [111.0, 141.0], np.full((2, 2), -9.0), bits, bits,
                            model=(hours, height + 11, fields))  # fmt: skip
    columns = read_model_columns([path], latitude=78.9, longitude=11.9)  # the model in a categorize file
    assert isinstance(columns, ModelColumns) and columns.time.tolist() == [DAY, DAY + 3600]
    np.testing.assert_allclose(columns.height[0], height, atol=1e-3)
    with pytest.raises(DataError, match=r"c.nc: expected a model column within 1 degree of 53.3 N, -9.9 E; found none"):
        read_model_columns([path], latitude=53.3, longitude=-9.9)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("altitude", "elsewhere")
    with pytest.raises(DataError, match="variable 'altitude': expected the site's height above sea level"):
        read_model_columns([path], latitude=78.9, longitude=11.9)


@pytest.mark.realdata
def test_grib_says_what_it_lacks_and_gives_what_it_has(realdata):
    pytest.importorskip("cfgrib", reason="the extra `ingest` is not installed")
    path = realdata / "era5" / "era5-levels-members.grib"
    with pytest.raises(DataError, match=r"expected the fields t, q, u, v, z.*found t, z, without q, u, v"):
        read_model_columns([path], **SITE, altitude_m=11.0)
    columns = read_model_columns([path], **SITE, altitude_m=11.0, names=("temperature",))
    import cfgrib

    with pytest.warns():  # cfgrib's own, of xarray's merge
        (dataset,) = cfgrib.open_datasets(str(path), indexpath="")
    control = dataset.isel(number=0).interp(latitude=78.9, longitude=11.9)
    np.testing.assert_allclose(columns.fields["temperature"], control.t.values, rtol=1e-5)
    np.testing.assert_allclose(columns.height, control.z.values / G - 11, rtol=1e-4)
    np.testing.assert_array_equal(columns.time, 1483228800 + 43200 * np.arange(4))
    assert 1000 < columns.height[0, 0] < 1600 and 4800 < columns.height[0, 1] < 5800
