"""The file that is filled: its gates, profiles and reflectivity as they are stored, and how they are copied."""

from __future__ import annotations

import abc
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from ..datasets.shards import NETCDF_LOCK
from ..ingest import RadarRecord
from ..ingest.geoprof import read_geoprof_bins
from ..ingest.kazr import read_kazr_time
from ..ingest.netcdf import open_granule, read_times

DERIVED_NAME = "reflectivity"
_FLOAT_MISSING = np.float32(9.96921e36)
_LOCATION_NAMES = re.compile(
    r"(time|height|range|level|profile|base_time|time_offset|lat|lon|alt|latitude|longitude|altitude"
    r"|elevation|azimuth|(radar_)?frequency|(radar_)?wavelength)$"
)
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}
_COPY_PROFILES = 1024
_CHUNK_PROFILES = 512


class FileGrid(abc.ABC):
    """Where the values of a file lie, and its reflectivity as stored.

    Attributes:
        path: The file.
        name: The reflectivity's name in the output.
        dims: Its dimensions.
        profile_axis: Which of them counts profiles; the other counts gates.
        time: (profile,) s since 1970-01-01 UTC, in the order of the file.
        height: (gate,) or (profile, gate) m above ground.
        no_echo_dbz: What a filled gate without echo is given; None for the missing value, as in the file itself.
        attributes: Global attributes of the file.
    """

    path: Path
    name: str
    dims: tuple[str, str]
    profile_axis: int = 0
    time: np.ndarray
    height: np.ndarray
    no_echo_dbz: float | None = None
    attributes: dict[str, Any]

    @property
    def profiles(self) -> int:
        """Number of profiles."""
        return len(self.time)

    @property
    def gates(self) -> int:
        """Number of gates."""
        return int(self.height.shape[-1])

    def heights(self, profiles: np.ndarray | slice) -> np.ndarray:
        """Heights of some profiles, (1 or profile, gate) m above ground."""
        return self.height[None] if self.height.ndim == 1 else self.height[profiles]

    @abc.abstractmethod
    def define(self, output: netCDF4.Dataset) -> None:
        """Makes dimensions, coordinates (copied) and the reflectivity, which takes values as stored."""

    @abc.abstractmethod
    def stored(self, profiles: slice) -> np.ndarray:
        """The reflectivity of some profiles as stored, not decoded, (profile, gate)."""

    @property
    @abc.abstractmethod
    def missing(self) -> Any:
        """The stored value that means missing."""

    @abc.abstractmethod
    def encode(self, dbz: np.ndarray) -> np.ndarray:
        """Stored values of reflectivity in dBZ, none of them missing."""

    def close(self) -> None:  # noqa: B027  (a grid without an open file has nothing to do)
        """Closes the file."""

    def place(self, values: np.ndarray) -> np.ndarray:
        """(..., profile, gate) in the order of the file's dimensions, or back."""
        return values if self.profile_axis == 0 else np.swapaxes(values, -1, -2)

    def window(self, profiles: slice, gates: slice = slice(None)) -> tuple[slice, slice]:
        """Index of profiles and gates in the order of the file's dimensions."""
        return (profiles, gates) if self.profile_axis == 0 else (gates, profiles)

    def chunks(self) -> list[int]:
        """Chunk lengths of variables on the grid."""
        lengths = (min(_CHUNK_PROFILES, self.profiles), self.gates)
        return list(lengths if self.profile_axis == 0 else lengths[::-1])

    def blind_gates(self, top_m: float) -> slice:
        """The range of gates that holds all of those between the ground and `top_m`; empty if there is none."""
        inside = (self.height >= 0) & (self.height < top_m)
        found = np.flatnonzero(inside if inside.ndim == 1 else inside.any(axis=0))
        return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)


class NetcdfGrid(FileGrid):
    """A NetCDF file whose own reflectivity is filled.

    Args:
        path: The file.
        name: The reflectivity.
        time: See `FileGrid`.
        height: See `FileGrid`.
        profile_dim: The dimension that counts profiles.
        no_echo_dbz: See `FileGrid`.
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        time: np.ndarray,
        height: np.ndarray,
        profile_dim: str = "time",
        no_echo_dbz: float | None = None,
    ):
        self.path, self.name, self.time, self.height = Path(path), name, time, height
        self.no_echo_dbz = no_echo_dbz
        self._closing = contextlib.ExitStack()
        with NETCDF_LOCK:
            self.dataset = netCDF4.Dataset(self.path)
            self._closing.callback(self.dataset.close)
            self.dataset.set_auto_maskandscale(False)
            self.attributes = {key: self.dataset.getncattr(key) for key in self.dataset.ncattrs()}
        self._open(profile_dim)

    def _open(self, profile_dim: str) -> None:
        self.variable = self.dataset[self.name]
        first, second = self.variable.dimensions
        self.dims, self.profile_axis = (first, second), (first, second).index(profile_dim)
        self._attributes = {key: self.variable.getncattr(key) for key in self.variable.ncattrs()}

    def close(self) -> None:
        with NETCDF_LOCK:
            self._closing.close()

    def define(self, output: netCDF4.Dataset) -> None:
        with NETCDF_LOCK:
            for dim in self.dims:
                output.createDimension(dim, len(self.dataset.dimensions[dim]))
            for name in self.coordinate_names():
                copy_variable(self.dataset[name], output)
            self._mend_time(output)
            self._define_reflectivity(output)

    def _define_reflectivity(self, output: netCDF4.Dataset) -> None:
        attributes = dict(self._attributes)
        fill = attributes.pop("_FillValue", None)
        if fill is None and "missing_value" not in attributes:
            fill = self.missing
        create_on_grid(output, self, self.name, self.variable.dtype, fill, attributes)

    def coordinate_names(self) -> list[str]:
        """Coordinates of the dimensions and what says where and when, on the dimensions of the grid alone."""
        listed = set(str(self._attributes.get("coordinates", "")).split())
        listed.add(str(self._attributes.get("grid_mapping", "")))
        names = [
            name
            for name, variable in self.dataset.variables.items()
            if name != self.name
            and variable.dtype != str
            and set(variable.dimensions) <= set(self.dims)
            and (name in self.dims or name in listed or (variable.ndim < 2 and _LOCATION_NAMES.match(name)))
        ]
        bounds = [str(getattr(self.dataset[name], "bounds", "")) for name in names]
        return names + [n for n in bounds if n in self.dataset.variables and n not in names and self._fits(n)]

    def _fits(self, name: str) -> bool:
        return set(self.dataset[name].dimensions) <= set(self.dims)

    def _mend_time(self, output: netCDF4.Dataset) -> None:
        """Gives a copied `time` without a reference date, as old files have it, the unit that readers understand."""
        time = output.variables.get("time")
        if time is None or time.shape != self.time.shape or re.search(r" since \d", str(getattr(time, "units", ""))):
            return
        values = np.asarray(time[...], np.float64)
        for unit, seconds in _SECONDS.items():
            start = self.time - seconds * values
            if np.ptp(start) < 0.01:
                reference = np.datetime64(round(float(start[0])), "s").item()
                time.units = f"{unit} since {reference:%Y-%m-%d %H:%M:%S}"
                time.setncatts({"standard_name": "time", "calendar": "standard"})
                return

    def stored(self, profiles: slice) -> np.ndarray:
        with NETCDF_LOCK:
            return self.place(np.asarray(self.variable[self.window(profiles)]))

    @property
    def missing(self) -> Any:
        fill = self._attributes.get("_FillValue", self._attributes.get("missing_value"))
        if fill is None:
            fill = netCDF4.default_fillvals[self.variable.dtype.str[1:]]
        return np.asarray(fill, self.variable.dtype).ravel()[0]

    def encode(self, dbz: np.ndarray) -> np.ndarray:
        values = np.asarray(dbz, np.float64)
        if str(self._attributes.get("units", "")).replace(" ", "").lower().startswith("mm"):
            values = 10 ** (values / 10)
        values = values - float(self._attributes.get("add_offset", 0.0))
        values = values / float(self._attributes.get("scale_factor", 1.0))
        low, high = self._limits()
        kind = self.variable.dtype
        if np.issubdtype(kind, np.integer):
            info = np.iinfo(kind)
            values = np.rint(np.clip(values, max(low, info.min), min(high, info.max)))
            clash = values == float(self.missing)
            return np.where(clash, values + (1 if self.missing <= 0 else -1), values).astype(kind)
        return np.clip(values, low, high).astype(kind)

    def _limits(self) -> tuple[float, float]:
        """Smallest and largest stored value that the file's own attributes call valid."""
        pair = np.atleast_1d(self._attributes.get("valid_range", ()))
        low, high = (float(pair[0]), float(pair[1])) if len(pair) == 2 else (-np.inf, np.inf)
        low = float(self._attributes.get("valid_min", low))
        return low, float(self._attributes.get("valid_max", high))


class DerivedGrid(NetcdfGrid):
    """A NetCDF file that has no reflectivity: the re-derived one is written on the grid of the quantity it is from.

    Args:
        path: The file.
        source_name: The quantity, e.g. "iwc".
        record: The record, with its reflectivity.
        time: See `FileGrid`.
    """

    def __init__(self, path: str | Path, source_name: str, record: RadarRecord, time: np.ndarray):
        self.record, self._source_name = record, source_name
        super().__init__(path, DERIVED_NAME, time, record.height, no_echo_dbz=NO_ECHO_DBZ)

    def _open(self, profile_dim: str) -> None:
        self.variable = self.dataset[self._source_name]
        first, second = self.variable.dimensions
        self.dims, self.profile_axis = (first, second), (first, second).index(profile_dim)
        self._attributes = {}
        self._index = np.searchsorted(self.record.time, self.time)

    def _define_reflectivity(self, output: netCDF4.Dataset) -> None:
        attributes = {
            "long_name": "reflectivity re-derived from IWC, -60 where observed or filled without echo",
            "standard_name": "equivalent_reflectivity_factor",
            "units": "dBZ",
            "comment": "Ice water content inverted for the reflectivity factor by Hogan et al. 2006, J. Appl. Meteor. "
            "Climatol. 45, 301-317, with a model's temperature.",
        }
        create_on_grid(output, self, self.name, np.dtype("f4"), self.missing, attributes)

    def stored(self, profiles: slice) -> np.ndarray:
        values = self.record.reflectivity[:, self._index[profiles]].T
        return np.where(np.isnan(values), self.missing, values)

    @property
    def missing(self) -> Any:
        return _FLOAT_MISSING

    def encode(self, dbz: np.ndarray) -> np.ndarray:
        return np.asarray(dbz, np.float32)


class GeoprofGrid(FileGrid):
    """A granule of CloudSat 2B-GEOPROF (HDF4), written as NetCDF on its own rays and bins.

    Args:
        path: The granule.
    """

    def __init__(self, path: str | Path):
        bins = read_geoprof_bins(path)
        self.path, self.name, self.dims, self._bins = Path(path), "Radar_Reflectivity", ("nray", "nbin"), bins
        self.time = bins["time"]
        self.height = bins["height"] - bins["surface"][:, None]
        self.height[bins["height"] < -9000] = np.nan
        self.attributes = {}

    def define(self, output: netCDF4.Dataset) -> None:
        bins = self._bins
        for dim, size in zip(self.dims, bins["height"].shape, strict=True):
            output.createDimension(dim, size)
        start = float(bins["time"][0] - bins["profile_time"][0])
        reference = np.datetime64(round(start * 1000), "ms").item()
        since = f"seconds since {reference:%Y-%m-%d %H:%M:%S}.{reference.microsecond // 1000:03d}"
        rays = ("nray",)
        for name, dtype, dims, values, described in (
            ("Profile_time", "f4", rays, bins["profile_time"], {"standard_name": "time", "units": since}),
            ("Latitude", "f4", rays, bins["latitude"], {"standard_name": "latitude", "units": "degrees_north"}),
            ("Longitude", "f4", rays, bins["longitude"], {"standard_name": "longitude", "units": "degrees_east"}),
            ("DEM_elevation", "i2", rays, bins["surface"], {"standard_name": "surface_altitude", "units": "m"}),
            ("Height", "i2", self.dims, bins["height"], {"standard_name": "altitude", "units": "m", "positive": "up"}),
        ):
            variable = output.createVariable(name, dtype, dims, zlib=True)
            variable.setncatts({"long_name": name.replace("_", " "), **described})
            if name == "Profile_time":
                variable.calendar = "standard"
            variable[...] = values
        attributes = {
            "long_name": "radar reflectivity factor",
            "standard_name": "equivalent_reflectivity_factor",
            "units": "dBZ",
            "scale_factor": np.float32(1 / float(bins["factor"])),
            "coordinates": "Profile_time Latitude Longitude Height",
        }
        create_on_grid(output, self, self.name, np.dtype("i2"), self.missing, attributes)

    def stored(self, profiles: slice) -> np.ndarray:
        return self._bins["reflectivity"][profiles]

    @property
    def missing(self) -> Any:
        return np.int16(-8888)

    def encode(self, dbz: np.ndarray) -> np.ndarray:
        return np.rint(dbz * float(self._bins["factor"])).astype(np.int16)


def create_on_grid(
    output: netCDF4.Dataset,
    grid: FileGrid,
    name: str,
    dtype: np.dtype,
    fill: Any,
    attributes: dict[str, Any],
    before: tuple[str, ...] = (),
) -> netCDF4.Variable:
    """A compressed variable on the grid's dimensions, that takes values as they are stored.

    Args:
        output: The file.
        grid: The grid.
        name: Of the variable.
        dtype: Of what is stored.
        fill: Its missing value, or None.
        attributes: Its attributes.
        before: Dimensions before those of the grid.
    """
    chunks = [len(output.dimensions[dim]) for dim in before] + grid.chunks()
    variable = output.createVariable(
        name,
        dtype.newbyteorder("="),
        (*before, *grid.dims),
        zlib=True,
        complevel=4,
        shuffle=True,
        chunksizes=chunks,
        fill_value=fill,
    )
    variable.set_auto_maskandscale(False)
    variable.setncatts(attributes)
    return variable


def copy_variable(source: netCDF4.Variable, output: netCDF4.Dataset) -> None:
    """Copies a variable with its attributes, value by value as stored.

    The coordinate of a dimension has no missing value, and says none (CF-1.11, section 2.5.1); time and height say that
    they are (4.3, 4.4).
    """
    attributes = {key: source.getncattr(key) for key in source.ncattrs()}
    fill = attributes.pop("_FillValue", None)
    if source.dimensions == (source.name,):
        fill = None
        attributes.pop("missing_value", None)
        if re.search(r" since \d", str(attributes.get("units", ""))):
            attributes.setdefault("standard_name", "time")
        if source.name == "height":
            attributes.setdefault("positive", "up")
    copy = output.createVariable(
        source.name,
        source.dtype.newbyteorder("="),
        source.dimensions,
        fill_value=fill,
        zlib=source.ndim > 0,
        complevel=4,
    )
    copy.set_auto_maskandscale(False)
    copy.setncatts(attributes)
    if source.ndim == 0:
        copy.assignValue(source.getValue())
        return
    for start in range(0, source.shape[0], _COPY_PROFILES):
        part = slice(start, start + _COPY_PROFILES)
        copy[part] = source[part]


def grid_for(record: RadarRecord) -> FileGrid:
    """The grid of the file that a record was read from, of whatever product.

    Raises:
        DataError: If the file cannot be read.
    """
    if record.product == "geoprof":
        return GeoprofGrid(record.file)
    with open_granule(record.file) as dataset:
        is_kazr = record.product == "kazr"
        time = read_kazr_time(dataset) if is_kazr else read_times(dataset, ordered=False)
    if record.product == "cloudnet-iwc":
        return DerivedGrid(record.file, "iwc", record, time)
    return NetcdfGrid(record.file, record.variable, time, record.height)


@contextlib.contextmanager
def closing(grid: FileGrid) -> Iterator[FileGrid]:
    """Closes a grid's file at the end."""
    try:
        yield grid
    finally:
        grid.close()
