"""A scene file: the variables of a task's shards without the sample dimension, read window by window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..datasets.schema import Variable
from ..datasets.shards import NETCDF_LOCK
from ..errors import DataError
from ..tasks import Fields, Task

VERTICAL_DIMS = ("height", "level")
COORDINATE_NAMES = ("time", "latitude", "longitude", "lat", "lon", "height", "altitude", "level", "crs")
_SECONDS = "seconds since 1970-01-01 00:00:00"
_SAME_UNITS = {
    "1": ("1", "", "dimensionless", "unitless", "kg kg-1", "kg/kg"),
    "K": ("K", "kelvin", "Kelvin"),
    "dBZ": ("dBZ", "dbz"),
    "degree": ("degree", "degrees", "deg"),
    "m s-1": ("m s-1", "m/s", "m s**-1", "m s^-1"),
}


class SceneReader:
    """An open scene that fits a task; use it as a context manager.

    Args:
        path: A NetCDF file with the variables that the task's network reads, e.g. `reflectance(y, x, reflective_band)`
            and `brightness_temperature(y, x, emissive_band)`, packed or not; missing values are NaN or the fill value.
        task: What the scene is for.
        statistics: Normalization statistics of the run, whose lists say how many bands each variable has.

    Attributes:
        rows, columns: Size of the scene along `task.row_dim` and `task.column_dim`.
        variables: The variables of the task that the network reads, by name.
        masks: Those that say where there is a result (`task.mask_names`) and are in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is not a NetCDF file, or a variable is missing or has other dimensions, units or bands.
    """

    def __init__(self, path: str | Path, task: Task, statistics: Mapping[str, Any]) -> None:
        self.path, self.task = Path(path), task
        if not self.path.exists():
            raise FileNotFoundError(f"There is no scene file {self.path}.")
        if self.path.is_dir():
            raise DataError(path, expected="a scene as a NetCDF file", found="a folder")
        try:
            with NETCDF_LOCK:
                self.dataset = netCDF4.Dataset(self.path)
        except (OSError, RuntimeError) as error:
            raise DataError(
                path,
                expected="a scene as a NetCDF-4 file",
                found=f"a file that cannot be read ({error})",
                remedy="It may be truncated; make or copy it again.",
            ) from error
        try:
            wanted = {v.name: v for v in task.variables()}
            self.variables = {name: wanted[name] for name in task.physical_inputs() if name in wanted}
            self.masks = {n: wanted[n] for n in task.mask_names() if n in self.dataset.variables}
            for variable in {**self.masks, **self.variables}.values():
                self._check(variable, statistics)
            first = self.dataset[next(iter(self.variables))]
            sizes = dict(zip(first.dimensions, first.shape, strict=True))
            self.rows, self.columns = int(sizes[task.row_dim]), int(sizes[task.column_dim])
            if not (self.rows and self.columns):
                raise DataError(path, expected="at least one row and column", found=f"{self.rows} x {self.columns}")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(self, *_: object) -> None:
        with NETCDF_LOCK:
            self.dataset.close()

    def _check(self, variable: Variable, statistics: Mapping[str, Any]) -> None:
        """Raises `DataError` unless the file holds `variable` as the task means it."""
        name, dims = variable.name, variable.dims if variable.static else variable.dims[1:]
        if name not in self.dataset.variables:
            raise DataError(
                self.path,
                variable=name,
                expected=f"{name}({', '.join(dims)}) in {variable.units}",
                found="no such variable; the file has " + (", ".join(self.dataset.variables) or "none"),
            )
        stored = self.dataset[name]
        if stored.dimensions != dims:
            is_shard = stored.dimensions == variable.dims
            raise DataError(
                self.path,
                variable=name,
                expected=f"dimensions ({', '.join(dims)})",
                found=f"({', '.join(stored.dimensions)})",
                remedy="This is a shard of samples: score it with `cloudkeras evaluate`." if is_shard else None,
            )
        units = str(getattr(stored, "units", ""))
        if units not in _SAME_UNITS.get(variable.units, (variable.units,)):
            raise DataError(
                self.path,
                variable=name,
                expected=f"units '{variable.units}'",
                found=f"units '{units}'" if units else "no units",
                remedy="Convert the values and set the attribute `units`.",
            )
        bands = stored.shape[2:]
        means = statistics.get(name, {}).get("mean")
        if bands and means is not None and len(means) != bands[-1]:
            raise DataError(
                self.path,
                variable=name,
                expected=f"{len(means)} values along '{dims[-1]}', as the run was trained with",
                found=f"{bands[-1]}",
            )

    def read(self, rows: slice, columns: slice) -> Fields:
        """A window of all variables, without a batch dimension: (rows, columns, ...) float32, NaN where missing.

        Where the task asks for the time of a sample and the scene has one time, `time_start` (seconds since 1970, a
        number without dimensions) is there too.

        Raises:
            DataError: If a value is outside the variable's valid range, or the file is damaged.
        """
        fields: Fields = {}
        for name, variable in {**self.masks, **self.variables}.items():
            values = self._values(name, (rows, columns))
            fields[name] = np.ma.filled(np.ma.asarray(values).astype(np.float32), np.nan)
            self._check_range(variable, fields[name])
        if "time_start" in self.task.sample_columns and (seconds := self._seconds()) is not None:
            fields["time_start"] = np.asarray(seconds, np.float64)
        return fields

    def _seconds(self) -> float | None:
        """The scene's one time in seconds since 1970; None where it has none or several."""
        stored = self.dataset.variables.get("time")
        if stored is None or stored.size != 1 or "units" not in stored.ncattrs():
            return None
        with NETCDF_LOCK:
            value = float(np.ma.filled(np.ma.asarray(stored[...]).astype(np.float64), np.nan).reshape(-1)[0])
        try:
            calendar = getattr(stored, "calendar", "standard")
            date = netCDF4.num2date(np.asarray(value), stored.units, calendar)
            return float(np.asarray(netCDF4.date2num(date, _SECONDS, calendar)))
        except ValueError as error:
            raise DataError(
                self.path, variable="time", expected=f"a time such as '{_SECONDS}'", found=f"'{stored.units}' ({error})"
            ) from None

    def raw(self, name: str, rows: slice, columns: slice) -> np.ndarray:
        """A window of one variable as it is stored, not unpacked."""
        stored = self.dataset[name]
        with NETCDF_LOCK:
            stored.set_auto_maskandscale(False)
            try:
                return np.asarray(self._values(name, (rows, columns)))
            finally:
                stored.set_auto_maskandscale(True)

    def _values(self, name: str, window: tuple[slice, slice]) -> Any:
        try:
            with NETCDF_LOCK:
                return self.dataset[name][window]
        except (OSError, RuntimeError) as error:
            raise DataError(
                self.path,
                variable=name,
                expected="values that can be read",
                found=f"a damaged file ({error})",
                remedy="It may be truncated; make or copy it again.",
            ) from error

    def _check_range(self, variable: Variable, values: np.ndarray) -> None:
        low, high = variable.valid_range
        # Half a packing step: a value at the limit may come back from its packed form just beyond it.
        slack = 0.51 * (variable.packing.scale_factor or 0.0) + 1e-6 * max(abs(low), abs(high))
        bad = (values < low - slack) | (values > high + slack)
        if bad.any():
            raise DataError(
                self.path,
                variable=variable.name,
                expected=f"values from {low:g} to {high:g} {variable.units}, NaN where missing",
                found=f"{values[bad][0]:g} ({int(bad.sum())} such values in one window)",
                remedy="Check the units; mask values that are not measurements.",
            )

    def coordinates(self, dims: tuple[str, ...]) -> list[str]:
        """Names of the coordinate variables of the scene that lie on `dims` alone."""
        listed = {
            word for name in self.variables for word in str(getattr(self.dataset[name], "coordinates", "")).split()
        }
        mappings = {str(getattr(self.dataset[name], "grid_mapping", "")) for name in self.variables}
        return [
            name
            for name, stored in self.dataset.variables.items()
            if (name in dims or name in listed or name in mappings or name in COORDINATE_NAMES)
            and set(stored.dimensions) <= set(dims)
            and name not in self.variables
            and stored.dtype != str
        ]

    def attribute(self, name: str, default: Any = "") -> Any:
        """A global attribute of the scene file."""
        return getattr(self.dataset, name, default)
