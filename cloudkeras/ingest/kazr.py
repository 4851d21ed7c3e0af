"""The Ka-band zenith radar of ARM: moments (`kazr*.a1`, `.b1`), corrected moments (`kazrcor*`) and ARSCL.

| in the file | reflectivity |
|---|---|
| masked, fill or NaN in moments | missing |
| significant by `significant_detection_mask` (corrected moments) or by the signal-to-noise ratio (threshold) | echo |
| not significant | no echo |
| masked in ARSCL, which holds significant detections alone | no echo |
| `reflectivity_clutter_flag` of ARSCL says clutter alone, bad or missing data | missing |
| profile that points off the zenith by more than 1 degree (`elevation`) | missing |

Moments hold a number at each gate, mostly noise. The threshold of -15 dB is the one with which ARM compared KAZR with
CloudSat (Kollias et al. 2019, AMT 12, 4949; DOE/SC-ARM-TR-279, p. 12). In the general mode of 2019-05-29 at SGP noise
lies at -24 dB, and fewer than 1 in 200 clear gates pass. Below about 1 km, ground clutter and insects echo too, and
moments do not tell them from cloud.

Heights are distances from the antenna, which stands a few metres above ground.
"""

from __future__ import annotations

import re

import netCDF4
import numpy as np

from ..errors import DataError, check
from .netcdf import read_constant, read_reflectivity, read_times, read_variable
from .record import RadarRecord, in_order, logger, mapped

SNR_THRESHOLD_DB = -15.0
NOMINAL_FREQUENCY_GHZ = 34.86

_SNR = (
    "signal_to_noise_ratio_copol",
    "signal_to_noise_ratio_copolar_h",
    "snr_copol",
    "signal_to_noise_ratio",
)
_DETECTION = "significant_detection_mask"
_CLUTTER = "reflectivity_clutter_flag"
_FREQUENCY_ATTRIBUTES = (
    "radar_operating_frequency",
    "radar_operating_frequency_burst",
    "radar_operating_frequency_chirp",
)


def is_kazr(dataset: netCDF4.Dataset) -> bool:
    """Whether the open file looks like one of the products."""
    stream = " ".join(str(getattr(dataset, name, "")) for name in ("datastream", "_datastream", "platform_id", "title"))
    return "reflectivity_copol" in dataset.variables or (
        "reflectivity" in dataset.variables and ("kazr" in stream.lower() or _CLUTTER in dataset.variables)
    )


def read_kazr(
    dataset: netCDF4.Dataset, frequency_ghz: float | None = None, snr_threshold_db: float | None = SNR_THRESHOLD_DB
) -> RadarRecord:
    """Reads an open file.

    Args:
        dataset: The file.
        frequency_ghz: Of the radar; None for what the file says, 34.86 if it does not.
        snr_threshold_db: Signal-to-noise ratio in dB from which a gate of a file of moments holds an echo; None takes
            every number for an echo. Files with a mask of their own do not need it.

    Raises:
        DataError: If the file is not of that kind.
        InputError: If the threshold is not finite.
    """
    check(
        snr_threshold_db is None or bool(np.isfinite(snr_threshold_db)),
        "`snr_threshold_db` is a number in dB or None.",
        snr_threshold_db=snr_threshold_db,
    )
    path = dataset.filepath()
    name = "reflectivity_copol" if "reflectivity_copol" in dataset.variables else "reflectivity"
    axis = next(
        (d for d in ("range", "height") if name in dataset.variables and d in dataset.variables[name].dimensions),
        "range",
    )
    time = read_kazr_time(dataset)
    height = read_variable(dataset, axis, units=("m", "meters", "meter"), dims=(axis,))
    dbz = read_reflectivity(dataset, name, ("time", axis))
    echo, missing = _echo(dataset, dbz, axis, snr_threshold_db)
    place = {key: read_constant(dataset, names, len(time)) for key, names in _PLACE.items()}
    for key in ("latitude", "longitude"):
        if place[key] is None:
            raise DataError(path, variable=_PLACE[key][0], expected=f"the {key} of the radar", found="no such variable")
    order = in_order(path, time)
    latitude, longitude, altitude = (
        v[order] if isinstance(v, np.ndarray) else (float("nan") if v is None else v) for v in place.values()
    )
    return RadarRecord(
        path,
        "kazr",
        time[order],
        height,
        mapped(dbz, echo, missing)[order].T,
        _read_frequency(dataset) if frequency_ghz is None else frequency_ghz,
        latitude,
        (longitude + 180) % 360 - 180,
        name,
        str(getattr(dataset, "doi", "")),
        altitude,
    )


_PLACE = {"latitude": ("lat", "latitude"), "longitude": ("lon", "longitude"), "altitude": ("alt", "altitude")}


def _echo(
    dataset: netCDF4.Dataset, dbz: np.ndarray, axis: str, snr_threshold_db: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where there is an echo and where nothing is known, each (profile, gate); see the module's table."""
    dims = ("time", axis)
    number = np.isfinite(dbz)
    snr = next((name for name in _SNR if name in dataset.variables), None)
    if axis == "height":  # ARSCL
        echo, missing = number, _flagged(dataset, dims, dbz.shape)
    elif _DETECTION in dataset.variables:
        mask = read_variable(dataset, _DETECTION, dims=dims)
        echo, missing = number & (mask == 1), np.isnan(mask) | (~number & (mask == 1))
    elif snr_threshold_db is None:
        echo, missing = number, ~number
    elif snr is None:
        raise DataError(
            dataset.filepath(),
            variable=_SNR[0],
            expected="a signal-to-noise ratio to tell echo from noise by",
            found="no such variable",
            remedy="Give --snr-threshold none if noise has been masked already.",
        )
    else:
        ratio = read_variable(dataset, snr, units=("dB",), dims=dims)
        echo, missing = number & (ratio >= snr_threshold_db), ~number | np.isnan(ratio)
    if "elevation" in dataset.variables and dataset.variables["elevation"].dimensions == ("time",):
        elevation = np.nan_to_num(read_variable(dataset, "elevation"), nan=90.0)
        missing = missing | (np.abs(elevation - 90) > 1)[:, None]
    return echo, missing


def _flagged(dataset: netCDF4.Dataset, dims: tuple[str, str], shape: tuple[int, ...]) -> np.ndarray:
    """Where ARSCL's clutter flag, read by the meanings that the file itself gives, leaves nothing to go by."""
    if _CLUTTER not in dataset.variables:
        return np.zeros(shape, bool)
    variable = dataset.variables[_CLUTTER]
    meanings: dict[float, str] = {}
    if hasattr(variable, "flag_values") and hasattr(variable, "flag_meanings"):
        meanings = dict(zip(np.atleast_1d(variable.flag_values), str(variable.flag_meanings).split(), strict=False))
    for attribute in variable.ncattrs():
        if match := re.fullmatch(r"flag_(-?\d+|minus_?\d+)_description", attribute):
            value = match.group(1).replace("minus_", "-").replace("minus", "-")
            meanings[float(value)] = str(variable.getncattr(attribute))
    unusable = [value for value, text in meanings.items() if re.search(r"clutter[ _-]?only|bad|missing", text, re.I)]
    if not meanings:
        logger.warning("%s: %s has no flag meanings and is not used", dataset.filepath(), _CLUTTER)
    flag = read_variable(dataset, _CLUTTER, dims=dims)
    return np.isnan(flag) | np.isin(flag, unusable) if meanings else np.zeros(shape, bool)


def read_kazr_time(dataset: netCDF4.Dataset) -> np.ndarray:
    """`time` by its CF unit, or `base_time` + `time_offset` in files that have no such unit; not sorted."""
    path = dataset.filepath()
    if "time" in dataset.variables and " since " in str(getattr(dataset.variables["time"], "units", "")):
        return read_times(dataset, ordered=False)
    if "base_time" not in dataset.variables or "time_offset" not in dataset.variables:
        raise DataError(
            path,
            variable="time",
            expected="times with units 'seconds since ...', or `base_time` and `time_offset`",
            found=repr(getattr(dataset.variables.get("time"), "units", "no such variable")),
        )
    base = read_variable(dataset, "base_time").ravel()[0]
    offset = read_variable(dataset, "time_offset")
    if offset.ndim > 1:  # repeated along the gates
        offset = offset[:, 0]
    return base + offset


def _read_frequency(dataset: netCDF4.Dataset) -> float:
    if "frequency" in dataset.variables:
        return float(np.nanmean(read_variable(dataset, "frequency", units=("s-1", "Hz", "hz", "1/s")))) / 1e9
    for attribute in _FREQUENCY_ATTRIBUTES:
        if match := re.match(r"\s*([\d.]+)\s*(GHz|Hz)?", str(getattr(dataset, attribute, ""))):
            return float(match.group(1)) / (1e9 if match.group(2) == "Hz" else 1.0)
    return NOMINAL_FREQUENCY_GHZ
