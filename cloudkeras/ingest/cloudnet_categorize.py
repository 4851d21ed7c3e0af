"""Cloudnet's categorize product: reflectivity with bits that say what was seen and how well.

| in the file | reflectivity |
|---|---|
| `Z`, `quality_bits` 2: ground clutter or another artefact | missing |
| `Z`, `category_bits` 5 without 0 or 1: insects and no hydrometeor | no echo |
| rain or melting ice attenuated the radar, not corrected (see below), with or without `Z` | missing |
| `Z`, liquid water attenuated the radar, not corrected (`quality_bits` 4 without 5) | echo, or missing if asked |
| any other `Z` | echo |
| no `Z` elsewhere | no echo |

Attenuation by rain is bit 6 without 7, by melting ice bit 8 without 9; files before 2024 have neither and say bit 4
without 5 alone, which is read as rain or melting ice wherever the category bits show some at or below the pixel. It
can put out an echo, so that nothing is known above. Attenuation by supercooled liquid costs a decibel or two at 94 GHz
and is kept: it lies over most mixed-phase cloud, and a network takes a missing echo for none.

Bits: Hogan and O'Connor 2004, Cloudnet product description, as in the attribute `definition` of the files.
"""

from __future__ import annotations

import netCDF4
import numpy as np

from ..errors import DataError
from .cloudnet_iwc import read_frequency
from .netcdf import read_constant, read_reflectivity, read_times, read_variable
from .record import RadarRecord, in_order, mapped

_DIMS = ("time", "height")


def is_cloudnet_categorize(dataset: netCDF4.Dataset) -> bool:
    """Whether the open file looks like the product."""
    return {"Z", "category_bits", "quality_bits"} <= set(dataset.variables)


def read_cloudnet_categorize(
    dataset: netCDF4.Dataset, frequency_ghz: float | None = None, keep_attenuated: bool = True
) -> RadarRecord:
    """Reads an open file.

    Args:
        dataset: The file.
        frequency_ghz: Of the radar, for files that do not say.
        keep_attenuated: Whether echo above liquid water whose attenuation was not corrected is kept.

    Raises:
        DataError: If the file is not of that kind.
    """
    path = dataset.filepath()
    time = read_times(dataset, ordered=False)
    height = read_variable(dataset, "height", units=("m",), dims=("height",))
    dbz = read_reflectivity(dataset, "Z", _DIMS)
    quality, category = (_bits(dataset, name) for name in ("quality_bits", "category_bits"))
    echo, missing = _echo(np.isfinite(dbz), quality, category, keep_attenuated)
    order = in_order(path, time)
    place = [_place(dataset, name, len(time)) for name in ("latitude", "longitude", "altitude")]
    latitude, longitude, altitude = (x[order] if isinstance(x, np.ndarray) else x for x in place)
    return RadarRecord(
        path,
        "cloudnet-categorize",
        time[order],
        height - float(np.mean(altitude)),
        mapped(dbz, echo, missing)[order].T,
        read_frequency(dataset) if frequency_ghz is None else frequency_ghz,
        latitude,
        (longitude + 180) % 360 - 180,
        "Z",
        str(getattr(dataset, "pid", "")),
        altitude,
    )


def _place(dataset: netCDF4.Dataset, name: str, profiles: int) -> float | np.ndarray:
    """Latitude, longitude or altitude; heights are above mean sea level, so that none of them can be guessed."""
    value = read_constant(dataset, (name,), profiles)
    if value is None:
        raise DataError(
            dataset.filepath(),
            variable=name,
            expected=f"the {name} of the site",
            found="no such variable",
            remedy="Take the product as Cloudnet serves it, or add the variable.",
        )
    return value


def _bits(dataset: netCDF4.Dataset, name: str) -> np.ndarray:
    return np.nan_to_num(read_variable(dataset, name, dims=_DIMS)).astype(np.int64)


def _echo(
    number: np.ndarray, quality: np.ndarray, category: np.ndarray, keep_attenuated: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Where there is an echo and where nothing is known, each (profile, gate); see the module's table."""

    def bit(bits: np.ndarray, i: int) -> np.ndarray:
        return (bits >> i) & 1 == 1

    clutter = bit(quality, 2)
    insects = bit(category, 5) & ~bit(category, 0) & ~bit(category, 1)
    rain = (bit(category, 1) & ~bit(category, 2)) | bit(category, 3)
    liquid = bit(quality, 4) & ~bit(quality, 5)
    corrected = bit(quality, 7) | bit(quality, 9)
    wet = (bit(quality, 6) & ~bit(quality, 7)) | (bit(quality, 8) & ~bit(quality, 9))
    wet |= liquid & ~corrected & np.logical_or.accumulate(rain, axis=1)
    missing = (number & clutter) | wet
    if not keep_attenuated:
        missing |= number & liquid
    return number & ~insects, missing
