"""CloudSat's 2B-GEOPROF: reflectivity along a satellite's track, whose lowest kilometre is lost in surface clutter.

| in the granule | reflectivity |
|---|---|
| `CPR_Cloud_mask` at least the threshold (20: cloud; 30, 40: surer), `Radar_Reflectivity` valid | echo |
| `CPR_Cloud_mask` 0, or 6 to below the threshold (weak, by averaging along the track) | no echo |
| `CPR_Cloud_mask` 5: surface clutter | missing |
| `CPR_Cloud_mask` 1 (bad data) or -9 | missing |
| mask at or above the threshold, but reflectivity missing (-8888) or out of its valid range | missing |
| ray with `Data_quality` other than 0 | missing |
| bins below the surface (`DEM_elevation`; -9999 is the sea) | not in the record |

Source: Marchand et al. 2008, J. Atmos. Oceanic Technol. 25, 519-533; Level 2 GEOPROF Product Process Description and
Interface Control Document, P1_R05 (2018). `Radar_Reflectivity` is stored times `Radar_Reflectivity.factor` (100).

Bins follow the surface of the Earth model, ray by ray, 240 m apart; the record has them on one axis above ground, each
gate the nearest bin of its ray, at most half a bin away. Profiles are 0.16 s or 1.1 km apart: time stands for distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.shards import NETCDF_LOCK
from ..errors import DataError, InputError, check
from .record import RadarRecord, check_plausible, in_order, mapped

CLOUD_MASK_THRESHOLD = 20
FREQUENCY_GHZ = 94.05

_TOP_M = 25000.0
_NO_DEM = -9999  # the sea
_MAGIC = b"\x0e\x03\x13\x01"
_TAI_EPOCH = datetime(1993, 1, 1, tzinfo=UTC).timestamp()
# Leap seconds since the epoch of TAI93 (IERS Bulletin C).
_LEAPS = [
    datetime(*day, tzinfo=UTC).timestamp()
    for day in (
        (1993, 7, 1), (1994, 7, 1), (1996, 1, 1), (1997, 7, 1), (1999, 1, 1),
        (2006, 1, 1), (2009, 1, 1), (2012, 7, 1), (2015, 7, 1), (2017, 1, 1),
    )
]  # fmt: skip


def is_hdf4(path: str | Path) -> bool:
    """Whether a file begins as HDF4 files do."""
    with open(path, "rb") as file:
        return file.read(4) == _MAGIC


def read_geoprof(path: str | Path, cloud_mask_threshold: int = CLOUD_MASK_THRESHOLD) -> RadarRecord:
    """Reads a granule.

    Args:
        path: The HDF4 file.
        cloud_mask_threshold: Least value of `CPR_Cloud_mask` that counts as an echo, 6 to 40.

    Raises:
        DataError: If the file is not of that kind.
        InputError: If the threshold is out of range or pyhdf is not installed.
    """
    check(
        6 <= cloud_mask_threshold <= 40,
        "`cloud_mask_threshold` lies within 6 (weakest detection) and 40 (surest).",
        cloud_mask_threshold=cloud_mask_threshold,
    )
    path = str(path)
    with _opened(path) as granule:
        time = granule.time()
        latitude, longitude, surface, quality = (
            granule.records(name) for name in ("Latitude", "Longitude", "DEM_elevation", "Data_quality")
        )
        height, mask = granule.grid("Height"), granule.grid("CPR_Cloud_mask")
        raw = granule.grid("Radar_Reflectivity")
        factor = granule.attribute("Radar_Reflectivity", "factor", 100.0)
        low, high = (v * 1.0 for v in granule.range("Radar_Reflectivity", (-4000.0, 5000.0)))
    dbz = np.where((raw >= low) & (raw <= high), raw / factor, np.nan)
    detected = mask >= cloud_mask_threshold
    check_plausible(path, "Radar_Reflectivity", np.where(detected, dbz, np.nan))
    missing = (mask < 0) | np.isin(mask, (1, 5)) | (quality != 0)[:, None]
    surface = np.where(surface == _NO_DEM, 0.0, surface)
    values = mapped(dbz, detected, missing)
    gates, values = _above_ground(path, height, surface, values)
    order = in_order(path, time)
    return RadarRecord(
        path,
        "geoprof",
        time[order],
        gates,
        values[order].T,
        FREQUENCY_GHZ,
        latitude[order],
        longitude[order],
        "Radar_Reflectivity",
        Path(path).name,
        surface[order],
    )


def read_geoprof_bins(path: str | Path) -> dict[str, np.ndarray]:
    """A granule's own bins, not put on one axis: what a file beside it must give back.

    Returns:
        "time" (ray,) s since 1970-01-01 UTC; "profile_time" (ray,) s since the start; "latitude", "longitude" (ray,);
        "surface" (ray,) m above mean sea level, 0 at sea; "height" (ray, bin) m above mean sea level; "reflectivity"
        (ray, bin) int16 as stored; "factor" (), by which stored values are divided for dBZ.
    """
    with _opened(str(path)) as granule:
        surface = granule.records("DEM_elevation")
        return {
            "time": granule.time(),
            "profile_time": granule.records("Profile_time"),
            "latitude": granule.records("Latitude"),
            "longitude": granule.records("Longitude"),
            "surface": np.where(surface == _NO_DEM, 0.0, surface),
            "height": granule.grid("Height"),
            "reflectivity": granule.grid("Radar_Reflectivity").astype(np.int16),
            "factor": np.asarray(granule.attribute("Radar_Reflectivity", "factor", 100.0)),
        }


def _above_ground(
    path: str, height: np.ndarray, surface: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gates above ground (gate,) and the nearest bin's value at each: (ray, gate)."""
    known = height > -9000
    step = np.diff(height, axis=1)[known[:, 1:] & known[:, :-1]]
    spacing = float(np.median(np.abs(step))) if step.size else 0.0
    if not (spacing > 0 and (step < 0).all()):
        raise DataError(
            path, variable="Height", expected="heights that fall from bin to bin", found="heights that do not"
        )
    gates = spacing * (np.arange(round(_TOP_M / spacing)) + 0.5)
    wanted = surface[:, None] + gates
    index = np.rint((height[:, :1] - wanted) / spacing).astype(int)
    inside = (index >= 0) & (index < height.shape[1])
    index = index.clip(0, height.shape[1] - 1)
    near = np.abs(np.take_along_axis(height, index, axis=1) - wanted) <= 0.51 * spacing
    return gates, np.where(inside & near, np.take_along_axis(values, index, axis=1), np.float32(np.nan))


class _Granule:
    """An open HDF4 file: scientific data sets, and tables ("Vdata") by name."""

    def __init__(self, path: str, sets: Any, tables: Any):
        self.path, self._sets, self._tables = path, sets, tables

    def grid(self, name: str) -> np.ndarray:
        """A scientific data set (ray, bin) as float64."""
        if name not in self._sets.datasets():
            self._absent(name, sorted(self._sets.datasets()))
        values = np.asarray(self._sets.select(name).get(), np.float64)
        if values.ndim != 2:
            raise DataError(self.path, variable=name, expected="dimensions (ray, bin)", found=f"{values.shape}")
        return values

    def table(self, name: str) -> np.ndarray | None:
        """All records of a table, or None."""
        reference = self._tables.find(name)
        if not reference:
            return None
        table = self._tables.attach(reference)
        try:
            return np.asarray(table.read(table.inquire()[0])).ravel()
        finally:
            table.detach()

    def records(self, name: str) -> np.ndarray:
        """A table (ray,) as float64."""
        values = self.table(name)
        if values is None:
            self._absent(name, sorted(e[0] for e in self._tables.vdatainfo() if e[0] and "Dim" not in e[0]))
        return np.asarray(values, np.float64)

    def attribute(self, name: str, what: str, default: float) -> float:
        """A swath attribute such as `Radar_Reflectivity.factor`."""
        values = self.table(f"{name}.{what}")
        return default if values is None else float(values[0])

    def range(self, name: str, default: tuple[float, float]) -> tuple[float, float]:
        """The swath attribute `valid_range`."""
        values = self.table(f"{name}.valid_range")
        return default if values is None or len(values) != 2 else (float(values[0]), float(values[1]))

    def time(self) -> np.ndarray:
        """(ray,) s since 1970-01-01 UTC.

        The day comes from `TAI_start` (s since 1993 without leap seconds), the time of day from `UTC_start`.
        """
        profile = self.records("Profile_time")
        tai = _TAI_EPOCH + float(self.records("TAI_start")[0])
        start = tai - sum(tai - i >= leap for i, leap in enumerate(_LEAPS))
        if (utc := self.table("UTC_start")) is not None:
            day = 86400 * np.round((start - float(utc[0])) / 86400)
            start = float(day) + float(utc[0])
        return start + profile

    def _absent(self, name: str, present: list[str]) -> None:
        raise DataError(
            self.path,
            variable=name,
            expected="a granule of 2B-GEOPROF with that field",
            found=f"the fields {', '.join(present) or 'none'}",
        )


@contextmanager
def _opened(path: str) -> Iterator[_Granule]:
    try:
        from pyhdf.error import HDF4Error
        from pyhdf.HDF import HC, HDF
        from pyhdf.SD import SD, SDC
        from pyhdf.VS import VS  # noqa: F401  (adds `vstart`)
    except ImportError as error:
        raise InputError(f"{path}: HDF4 files need pyhdf. Install it: pip install 'cloudkeras[ingest]'.") from error
    with NETCDF_LOCK:
        try:
            sets, file = SD(path, SDC.READ), HDF(path, HC.READ)
            tables = file.vstart()
        except HDF4Error as error:
            raise DataError(path, expected="an HDF4 file", found=f"one that does not open ({error})") from error
        try:
            yield _Granule(path, sets, tables)
        except HDF4Error as error:
            raise DataError(path, expected="a whole HDF4 file", found=f"a read error ({error})") from error
        finally:
            tables.end()
            file.close()
            sets.end()
