"""Where and when each sample was cut: the table that travels with the fields and that splits are judged by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..errors import check

_DTYPES = {
    "granule": np.str_,
    "time_start": np.float64,
    "time_end": np.float64,
    "y_start": np.int32,
    "x_start": np.int32,
    "latitude": np.float64,
    "longitude": np.float64,
}


@dataclass(frozen=True)
class SampleTable:
    """One entry a sample in each array; scalars are repeated to the common length.

    Attributes:
        granule: Name of the granule (one file, image or day of one instrument) that the sample was cut from.
        time_start: Start of the observation, seconds since 1970-01-01 00:00:00 UTC.
        time_end: Its end, not before the start.
        y_start: First row of the window in its granule.
        x_start: First column of the window in its granule.
        latitude: Latitude of the window's centre, degrees north, -90 to 90.
        longitude: Longitude of the window's centre, degrees east, -180 to 360.

    Raises:
        InputError: If the lengths differ, a number is not finite, a place is not on the globe or time runs backwards.
    """

    granule: np.ndarray
    time_start: np.ndarray
    time_end: np.ndarray
    y_start: np.ndarray
    x_start: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray

    def __post_init__(self) -> None:
        arrays = {name: np.asarray(getattr(self, name)) for name in _DTYPES}
        lengths = sorted({array.size for array in arrays.values() if array.ndim})
        check(
            all(array.ndim <= 1 for array in arrays.values()) and len(lengths) <= 1,
            "The arrays of a sample table are one-dimensional and equally long.",
            shapes={name: array.shape for name, array in arrays.items()},
        )
        length = lengths[0] if lengths else 1
        for name, array in arrays.items():
            if array.dtype == object and name == "granule":
                array = np.array([str(value) for value in array.ravel()], dtype=np.str_).reshape(array.shape)
            column: np.ndarray = np.broadcast_to(array.astype(_DTYPES[name]), (length,)).copy()
            object.__setattr__(self, name, column)
            if column.dtype.kind == "f":
                check(bool(np.isfinite(column).all()), f"`{name}` of every sample is finite.", **{name: column})
        check(bool((self.time_end >= self.time_start).all()), "`time_end` is not before `time_start`.")
        _check_range("latitude", self.latitude, -90.0, 90.0)
        _check_range("longitude", self.longitude, -180.0, 360.0)

    def __len__(self) -> int:
        return len(self.granule)

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> SampleTable:
        """The rows at `indices`, or where a boolean mask is true."""
        rows = indices if isinstance(indices, slice) else np.asarray(indices)
        if not isinstance(rows, slice) and rows.size == 0:
            rows = rows.astype(np.intp)
        return SampleTable(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def concatenate(cls, tables: Iterable[SampleTable]) -> SampleTable:
        """All rows of all tables, in order; no table gives an empty one."""
        tables = list(tables)
        columns = {name: [getattr(table, name) for table in tables] for name in _DTYPES}
        return cls(**{name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()})


def _check_range(name: str, values: np.ndarray, low: float, high: float) -> None:
    if values.size:
        inside = values.min() >= low and values.max() <= high
        check(
            bool(inside),
            f"`{name}` lies within {low:g} and {high:g} degrees.",
            smallest=values.min(),
            largest=values.max(),
        )
