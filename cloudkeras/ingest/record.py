"""What every reader of a radar file returns: the record of one instrument on its own grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from ..errors import DataError

logger = logging.getLogger("cloudkeras")

FAINTEST_ECHO_DBZ = NO_ECHO_DBZ + 0.1
STRONGEST_ECHO_DBZ = 60.0  # a cloud radar's receiver saturates well below
MENDED_SHARE = 0.05

_SOURCES = {
    "cloudnet-iwc": "reflectivity re-derived from IWC",
    "cloudnet-categorize": "Cloudnet categorize product, reflectivity factor corrected for attenuation",
    "kazr": "ARM Ka-band zenith radar, co-polar reflectivity",
    "geoprof": "CloudSat 2B-GEOPROF, reflectivity along the track",
}


@dataclass(frozen=True)
class RadarRecord:
    """Reflectivity of one radar's record on its own gates and profiles.

    Attributes:
        file: Where it comes from.
        product: "cloudnet-iwc", "cloudnet-categorize", "kazr" or "geoprof".
        time: (profile,) s since 1970-01-01 UTC, increasing.
        height: (gate,) m above ground, increasing.
        reflectivity: (gate, profile) float32 dBZ; -60 where observed without echo, at least -59.9 where there is an
            echo, NaN where missing.
        frequency_ghz: Of the radar.
        latitude: Degrees north; (profile,) along a satellite's track.
        longitude: Degrees east, -180 to 180; (profile,) along a satellite's track.
        variable: Name of the reflectivity in the file, "" if it was re-derived.
        identifier: The file's persistent identifier, or "".
        altitude: Of the ground, m above mean sea level; (profile,) along a track; NaN if the file does not say.

    Raises:
        DataError: If shapes do not agree, heights or times do not increase, or a value is infinite.
    """

    file: str
    product: str
    time: np.ndarray
    height: np.ndarray
    reflectivity: np.ndarray
    frequency_ghz: float
    latitude: float | np.ndarray
    longitude: float | np.ndarray
    variable: str = ""
    identifier: str = ""
    altitude: float | np.ndarray = float("nan")

    def __post_init__(self) -> None:
        shape = (len(self.height), len(self.time))
        if self.reflectivity.shape != shape:
            raise DataError(self.file, expected=f"reflectivity of {shape}", found=f"{self.reflectivity.shape}")
        for name, axis in (("height", self.height), ("time", self.time)):
            if not (axis.ndim == 1 and axis.size > 1 and np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
                found = f"{axis.size} that do not" if axis.size > 1 else f"{axis.size}"
                raise DataError(
                    self.file, variable=name, expected=f"two increasing {name}s or more, none missing", found=found
                )
        if np.isinf(self.reflectivity).any():
            raise DataError(self.file, variable=self.variable, expected="finite or missing values", found="infinity")

    @property
    def source(self) -> str:
        """Where the reflectivity comes from, in words."""
        return _SOURCES[self.product]

    @property
    def site(self) -> tuple[float, float]:
        """Latitude and longitude of the site, or of the middle of the track."""
        middle = len(self.time) // 2
        latitude, longitude = (np.broadcast_to(x, self.time.shape)[middle] for x in (self.latitude, self.longitude))
        return float(latitude), float(longitude)


def mapped(dbz: np.ndarray, echo: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Reflectivity as records hold it: `dbz` where there is an echo, -60 where there is none, NaN where missing.

    Args:
        dbz: Reflectivity in dBZ; NaN or infinite where the file has no number. An echo without a number is missing.
        echo: Where the radar saw a target, of the same shape.
        missing: Where nothing is known; it wins over `echo`.

    Returns:
        float32, of the same shape; echoes are at least -59.9.
    """
    number = np.where(np.isfinite(dbz), np.maximum(dbz, FAINTEST_ECHO_DBZ), np.nan)
    return np.where(missing, np.nan, np.where(echo, number, NO_ECHO_DBZ)).astype(np.float32)


def check_plausible(file: str, variable: str, dbz: np.ndarray) -> None:
    """Refuses reflectivity that cannot be in dBZ.

    A cloud radar's echoes reach down to -20 dBZ and less and never above 60 dBZ, while in mm6 m-3 nothing is negative
    and most echoes lie below 1.

    Args:
        file: For the message.
        variable: For the message.
        dbz: Echoes and noise; NaN and infinite values are passed over.

    Raises:
        DataError: If values exceed 60, or none is negative though most are below 1.
    """
    values = dbz[np.isfinite(dbz)]
    if values.size == 0:
        return
    strongest, weakest = float(values.max()), float(values.min())
    if strongest > STRONGEST_ECHO_DBZ or (weakest >= 0 and values.size > 10 and float(np.median(values)) < 1):
        raise DataError(
            file,
            variable=variable,
            expected=f"reflectivity in dBZ, at most {STRONGEST_ECHO_DBZ:g} and negative where weak",
            found=f"values from {weakest:g} to {strongest:g}",
            remedy="If they are in mm6 m-3, say so in the attribute `units`: they are converted then.",
        )


def in_order(file: str, time: np.ndarray) -> np.ndarray:
    """Indices of the profiles in order of time, each time once.

    Cloud radars repeat a profile or set back their clock now and then. Where at most one step in twenty (or one alone)
    does not increase, the profiles are sorted and of equal times the first is kept, which is logged; a record with more
    of them has a wrong time coordinate and is refused.

    Args:
        file: For the message.
        time: (profile,) s.

    Raises:
        DataError: If a time is missing or too many do not increase.
    """
    if not np.isfinite(time).all():
        raise DataError(
            file, variable="time", expected="no missing time", found=f"{int((~np.isfinite(time)).sum())} missing"
        )
    back = np.flatnonzero(np.diff(time) <= 0)
    if back.size == 0:
        return np.arange(len(time))
    if back.size > max(1, MENDED_SHARE * len(time)):
        i = int(back[0])
        raise DataError(
            file,
            variable="time",
            expected="times that increase",
            found=f"{time[i]:.15g} followed by {time[i + 1]:.15g} at index {i} ({back.size} such steps)",
            remedy="Sort the record by time and drop repeated profiles.",
        )
    order = np.argsort(time, kind="stable")
    order = order[np.concatenate([[True], np.diff(time[order]) > 0])]
    logger.warning(
        "%s: %d times did not increase: sorted, %d repeated profiles dropped", file, back.size, len(time) - len(order)
    )
    return order
