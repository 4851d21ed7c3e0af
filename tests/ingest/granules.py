"""Radar granules in the exact layout of their products, small and made up: KAZR, ARSCL, categorize, 2B-GEOPROF."""

from __future__ import annotations

import netCDF4
import numpy as np

MOMENTS = ("reflectivity_copol", "signal_to_noise_ratio_copol")


def put(file, name, dtype, dims, values, **attributes):
    fill = None if np.issubdtype(np.dtype(dtype), np.integer) else -9999.0
    variable = file.createVariable(name, dtype, dims, fill_value=fill)
    variable.setncatts(attributes)
    variable[...] = np.ma.masked_invalid(np.asarray(values, float))


def write_kazr(
    path,
    time,
    height,
    dbz,
    snr=None,
    *,
    layout="moments",
    day="2019-05-29",
    units="dBZ",
    cf_time=True,
    mask=None,
    flag=None,
    elevation=None,
    place=(71.32, -156.61, 8.0),
):
    """ARM files: "moments" (`kazrge.a1`), "cfr" (`kazrcfrge.a1`), "corrected" (`kazrcorge.c1`), "arscl"."""
    axis = "height" if layout == "arscl" else "range"
    name = {"moments": "reflectivity_copol", "corrected": "reflectivity_copol"}.get(layout, "reflectivity")
    ratio = {"cfr": "signal_to_noise_ratio_copolar_h", "arscl": "signal_to_noise_ratio"}.get(layout, MOMENTS[1])
    with netCDF4.Dataset(path, "w") as file:
        file.datastream = {"arscl": "nsaarsclkazr1kolliasC1.c0"}.get(layout, "nsakazrgeC1.a1")
        file.createDimension("time", len(time))
        file.createDimension(axis, len(height))
        base = (np.datetime64(day) - np.datetime64("1970-01-01")) / np.timedelta64(1, "s")
        put(file, "base_time", "i4", (), base, units="seconds since 1970-1-1 0:00:00 0:00")
        put(file, "time_offset", "f8", ("time",), time, units=f"seconds since {day} 00:00:00 0:00")
        since = (
            {"units": f"seconds since {day} 00:00:00 0:00"} if cf_time else {"long_name": "Time offset from midnight"}
        )
        put(file, "time", "f8", ("time",), time, **since)
        put(file, axis, "f4", (axis,), height, units="m")
        put(file, name, "f4", ("time", axis), dbz, units=units)
        if snr is not None:
            put(file, ratio, "f4", ("time", axis), snr, units="dB")
        if mask is not None:
            put(file, "significant_detection_mask", "i4", ("time", axis), mask, units="1")
        if flag is not None:
            put(file, "reflectivity_clutter_flag", "i2", ("time", axis), flag, units="1")
        if elevation is not None:
            put(file, "elevation", "f4", ("time",), elevation, units="degree")
        for key, value, unit in zip(("lat", "lon", "alt"), place, ("degree_N", "degree_E", "m"), strict=True):
            put(file, key, "f4", () if np.ndim(value) == 0 else ("time",), value, units=unit)
        if layout == "cfr":
            file.createDimension("frequency", 1)
            put(file, "frequency", "f4", ("frequency",), [34.89e9], units="s-1")
        elif layout == "moments":
            file.radar_operating_frequency = "34.830000 GHz"
    return path


def write_categorize(
    path, hours, height, dbz, quality, category, *, altitude=11.0, units="dBZ", day="2021-01-04", model=None
):
    """A Cloudnet `categorize` file, with the model's columns on `model_time` and `model_height`, if given."""
    with netCDF4.Dataset(path, "w") as file:
        file.pid = "https://hdl.handle.net/21.12132/1.made-up"
        file.cloudnet_file_type = "categorize"
        file.createDimension("time", len(hours))
        file.createDimension("height", len(height))
        put(file, "time", "f4", ("time",), hours, units=f"hours since {day} 00:00:00 +00:00")
        put(file, "height", "f4", ("height",), height, units="m")
        put(file, "Z", "f4", ("time", "height"), dbz, units=units)
        put(file, "quality_bits", "i4", ("time", "height"), quality, units="1")
        put(file, "category_bits", "i4", ("time", "height"), category, units="1")
        for name, value, unit in (
            ("altitude", altitude, "m"),
            ("latitude", 78.93, "degree_north"),
            ("longitude", 11.92, "degree_east"),
            ("radar_frequency", 94.0, "GHz"),
        ):
            put(file, name, "f4", (), value, units=unit)
        if model is not None:
            model_hours, model_height, fields = model
            file.createDimension("model_time", len(model_hours))
            file.createDimension("model_height", len(model_height))
            put(file, "model_time", "f4", ("model_time",), model_hours, units=f"hours since {day} 00:00:00 +00:00")
            put(file, "model_height", "f4", ("model_height",), model_height, units="m")
            for name, (values, unit) in fields.items():
                put(file, name, "f4", ("model_time", "model_height"), values, units=unit)
    return path


def write_geoprof(path, profile_time, height, dbz, mask, *, latitude, longitude, surface, quality=None, **options):
    """A granule of 2B-GEOPROF: fields on (ray, bin) are scientific data sets, those on rays and the swath are Vdata.

    Args:
        path: The HDF4 file.
        profile_time: (ray,) s since the start.
        height: (ray, bin) m above mean sea level, falling.
        dbz: (ray, bin), NaN for the missing value.
        mask: (ray, bin) `CPR_Cloud_mask`.
        latitude: (ray,).
        longitude: (ray,).
        surface: (ray,) `DEM_elevation`, -9999 for the sea.
        quality: (ray,) `Data_quality`.
        **options: `tai` and `utc` start in s, `leave_out`: names of fields.
    """
    from pyhdf.HDF import HC, HDF
    from pyhdf.SD import SD, SDC
    from pyhdf.VS import VS  # noqa: F401

    left_out = options.get("leave_out", ())
    sets = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    stored = np.where(np.isnan(dbz), -8888, np.rint(100 * np.nan_to_num(dbz)))
    for name, kind, values in (
        ("Height", SDC.INT16, height),
        ("CPR_Cloud_mask", SDC.INT8, mask),
        ("Radar_Reflectivity", SDC.INT16, stored),
    ):
        if name not in left_out:
            variable = sets.create(name, kind, np.shape(values))
            variable[:] = np.asarray(values).astype(np.int16 if kind == SDC.INT16 else np.int8)
            variable.endaccess()
    sets.end()
    file = HDF(str(path), HC.WRITE)
    tables = file.vstart()
    rays = len(profile_time)
    for name, kind, values in (
        ("Profile_time", HC.FLOAT32, profile_time),
        ("UTC_start", HC.FLOAT32, [options.get("utc", 3600.0)]),
        (
            "TAI_start",
            HC.FLOAT64,
            [options.get("tai", 599_529_600.0 + 3600 + 7)],
        ),  # 2012-01-01 1 h, after seven leap seconds
        ("Latitude", HC.FLOAT32, latitude),
        ("Longitude", HC.FLOAT32, longitude),
        ("DEM_elevation", HC.INT16, surface),
        ("Data_quality", HC.UINT8, np.zeros(rays) if quality is None else quality),
        ("Radar_Reflectivity.factor", HC.FLOAT32, [100.0]),
        ("Radar_Reflectivity.valid_range", HC.INT16, [[-4000, 5000]]),
    ):
        if name in left_out:
            continue
        values = np.asarray(values)
        order = values.shape[1] if values.ndim == 2 else 1
        table = tables.create(name, ((name, kind, order),))
        convert = float if kind in (HC.FLOAT32, HC.FLOAT64) else int
        table.write([[list(map(convert, row)) if order > 1 else convert(row)] for row in values])
        table.detach()
    tables.end()
    file.close()
    return path
