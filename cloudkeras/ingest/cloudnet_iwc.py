"""Cloudnet's ice water content (product `iwc-Z-T-method`), and the reflectivity that it was retrieved from.

| in the file | reflectivity |
|---|---|
| `iwc` above 0 | echo, re-derived with the model's temperature (`reflectivity.reflectivity_from_iwc`) |
| `iwc` = 0 (older files) | no echo |
| masked, `iwc_retrieval_status` 0 (no ice) or 4 (ice that the lidar alone detected) | no echo |
| masked, any other status (rain, ice or clear sky above rain, unretrieved) | missing |
| no temperature at an echo's height and time | missing |

Echo whose liquid attenuation was not corrected (status 2) is kept: it is most of the ice in mixed-phase cloud.
"""

from __future__ import annotations

import netCDF4
import numpy as np

from ..errors import DataError, InputError
from .columns import ModelColumns, ModelFiles
from .netcdf import read_times, read_variable
from .record import RadarRecord, in_order
from .reflectivity import reflectivity_from_iwc, relation_for

_STATUS = "iwc_retrieval_status"
_STATUS_WITHOUT_ECHO = (0, 4)


def is_cloudnet_iwc(dataset: netCDF4.Dataset) -> bool:
    """Whether the open file looks like the product."""
    return "iwc" in dataset.variables


def read_cloudnet_iwc(
    dataset: netCDF4.Dataset, model: ModelColumns | ModelFiles | None, frequency_ghz: float | None = None
) -> RadarRecord:
    """Reads an open file.

    Args:
        dataset: The file.
        model: Columns whose temperature the relation needs, or the files to read them from at the record's site.
        frequency_ghz: Of the radar, for files that do not say.

    Raises:
        DataError: If the file is not of that kind.
        InputError: If no model columns are given.
    """
    path = dataset.filepath()
    if model is None:
        raise InputError(
            f"{path}: reflectivity is re-derived from ice water content with the temperature of a model. "
            "Give model columns (`cloudkeras ingest --model FILE`, `cloudkeras inpaint --context FILE`)."
        )
    time, height, iwc = read_ice(dataset)
    altitude = float(read_variable(dataset, "altitude", units=("m",), dims=()))
    latitude, longitude = (float(read_variable(dataset, name, dims=())) for name in ("latitude", "longitude"))
    if frequency_ghz is None:
        frequency_ghz = read_frequency(dataset)
    relation_for(frequency_ghz)
    height = height - altitude
    columns = model if isinstance(model, ModelColumns) else model.at(latitude, longitude, altitude)
    temperature = columns.interpolate(time, height, ["temperature"])["temperature"]
    dbz = reflectivity_from_iwc(iwc, temperature, frequency_ghz)
    return RadarRecord(
        path,
        "cloudnet-iwc",
        time,
        height,
        dbz,
        frequency_ghz,
        latitude,
        (longitude + 180) % 360 - 180,
        "",
        str(getattr(dataset, "pid", "")),
        altitude,
    )


def read_ice(dataset: netCDF4.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time (profile,) s, height (gate,) m above mean sea level, and ice water content (gate, profile) kg m-3.

    Content is 0 for no echo and NaN for missing; see the module's table.
    """
    path = dataset.filepath()
    time = read_times(dataset, ordered=False)
    height = read_variable(dataset, "height", units=("m",), dims=("height",))
    iwc = read_variable(dataset, "iwc", units=("kg m-3", "kg m**-3"), dims=("time", "height"))
    if not (np.isfinite(height).all() and height.size > 1 and (np.diff(height) > 0).all()):
        raise DataError(
            path, variable="height", expected="increasing heights, none missing", found="heights that do not"
        )
    if (iwc < 0).any() or np.isinf(iwc).any():
        raise DataError(
            path, variable="iwc", expected="0 or more, or masked", found=f"values down to {np.nanmin(iwc):g} kg m-3"
        )
    if np.nanmax(iwc, initial=0.0) > 0.1:
        raise DataError(
            path,
            variable="iwc",
            expected="at most 0.1 kg m-3",
            found=f"{np.nanmax(iwc):g} kg m-3",
            remedy="Is it in g m-3?",
        )
    if _STATUS in dataset.variables:
        status = read_variable(dataset, _STATUS, dims=("time", "height"))
        iwc = np.where(np.isnan(iwc) & np.isin(status, _STATUS_WITHOUT_ECHO), 0.0, iwc)
    order = in_order(path, time)
    return time[order], height, iwc[order].T


def read_frequency(dataset: netCDF4.Dataset) -> float:
    """`radar_frequency` in GHz.

    Raises:
        DataError: If the file does not say.
    """
    if "radar_frequency" not in dataset.variables:
        raise DataError(
            dataset.filepath(),
            variable="radar_frequency",
            expected="the radar's frequency in GHz",
            found="no such variable",
            remedy="Give it: --frequency 94 (or 35).",
        )
    return float(read_variable(dataset, "radar_frequency", units=("GHz",), dims=()))
