"""Shards: NetCDF-4 files of samples, CF-1.11, that xarray opens with sensible coordinates.

Layout of a file: dimension `sample` first in every variable, one sample a chunk (or several chunks a sample, where a
task cuts windows), so that any sample is read without its neighbours. A variable without `sample` is static: the same
for all samples of all shards, and stored once in each. Physical quantities are packed (`schema.Packing`); time, place,
window and granule of each sample are auxiliary coordinates. A file appears under its name only when it is complete.

netCDF4 and HDF5 are not thread-safe: whatever reads or writes NetCDF in this package holds `NETCDF_LOCK`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from .._version import __version__
from ..errors import DataError, InputError, check
from .packing import pack, unpack
from .samples import SampleTable
from .schema import CONVENTIONS, SCHEMA_VERSION, Packing, Variable

__all__ = [
    "NETCDF_LOCK",
    "SampleTable",
    "new_file",
    "opened",
    "read_packing",
    "read_samples",
    "read_shard",
    "write_shard",
]

NETCDF_LOCK = threading.RLock()
"""Held by whatever touches the NetCDF library in this process. A fork waits until it is free, so a child never starts
with the library in the middle of a call."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=NETCDF_LOCK.acquire, after_in_parent=NETCDF_LOCK.release, after_in_child=NETCDF_LOCK.release
    )

Coordinates = Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]
"""Coordinate variables of a shard: name to (dimensions, values, attributes)."""

_TIME_UNITS = "seconds since 1970-01-01 00:00:00"
_SAMPLE_ATTRIBUTES: dict[str, dict[str, str]] = {
    "time_start": {
        "standard_name": "time",
        "long_name": "start of the observation",
        "units": _TIME_UNITS,
        "calendar": "standard",
    },
    "time_end": {"long_name": "end of the observation", "units": _TIME_UNITS, "calendar": "standard"},
    "latitude": {
        "standard_name": "latitude",
        "long_name": "latitude of the window's centre",
        "units": "degrees_north",
    },
    "longitude": {
        "standard_name": "longitude",
        "long_name": "longitude of the window's centre",
        "units": "degrees_east",
    },
    "y_start": {"long_name": "first row of the window in its granule", "units": "1"},
    "x_start": {"long_name": "first column of the window in its granule", "units": "1"},
    "granule": {"long_name": "granule that the sample was cut from"},
}


# ---- writing -------------------------------------------------------------------------------------------------------


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its name when the block ends well and vanishes when not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_shard(
    path: str | Path,
    variables: Sequence[Variable],
    fields: Mapping[str, np.ndarray],
    samples: SampleTable,
    *,
    coordinates: Coordinates | None = None,
    attributes: Mapping[str, Any] | None = None,
    compression: str | None = "zlib",
    complevel: int = 1,
    chunks: Mapping[str, int] | None = None,
) -> Path:
    """Writes samples to one file.

    Args:
        path: The file; it is replaced if it exists, and only when the new one is complete.
        variables: What the file may hold. Those that `required` marks must be in `fields`.
        fields: Values by name, sample first (but for static variables): physical units with NaN for missing, classes
            with -1 for missing.
        samples: Time, place and window of each sample.
        coordinates: Further coordinate variables, e.g. `{"level": (("level",), heights, {"units": "km"})}`. One with
            the attribute `grid_mapping_name` is the projection of the variables that lie on projected coordinates.
        attributes: Further global attributes, e.g. `{"source": ..., "cloudkeras_task": "cloud_phase", "simulated":
            "true"}`.
        compression: A compression of `netCDF4.Dataset.createVariable`, or None.
        complevel: Its level; higher ones cost time and gain little on packed radiances.
        chunks: Longest chunk along a dimension, by its name; one sample is one chunk along all others.

    Returns:
        The path.

    Raises:
        InputError: If a field is unknown, missing, of a wrong shape, or holds values outside its valid range.
    """
    known = {variable.name: variable for variable in variables}
    sizes = _dimension_sizes(known, fields, len(samples))
    packed = {name: pack(known[name], values) for name, values in fields.items()}
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts(_global_attributes(attributes or {}))
        for name, size in sizes.items():
            file.createDimension(name, size)
        _write_coordinates(file, coordinates or {}, sizes)
        _write_samples(file, samples)
        filters = {"compression": compression, "complevel": complevel, "shuffle": True} if compression else {}
        for name, values in packed.items():
            _write_variable(file, known[name], values, coordinates or {}, filters, chunks or {})
    return Path(path)


def _dimension_sizes(known: Mapping[str, Variable], fields: Mapping[str, np.ndarray], samples: int) -> dict[str, int]:
    missing = [name for name, variable in known.items() if variable.required and name not in fields]
    check(not missing, f"A shard holds {', '.join(map(repr, missing))}.", fields=sorted(fields))
    unknown = sorted(set(fields) - set(known))
    check(not unknown, f"A shard holds only {', '.join(map(repr, known))}.", unknown=unknown)
    check(samples > 0, "A shard holds at least 1 sample.", samples=samples)
    sizes = {"sample": samples}
    for name, values in fields.items():
        variable, shape = known[name], np.shape(values)
        check(
            len(shape) == len(variable.dims), f"'{name}' has the dimensions ({', '.join(variable.dims)}).", shape=shape
        )
        expected = variable.sizes or (None,) * len(shape)
        for dimension, size, fixed in zip(variable.dims, shape, expected, strict=True):
            wanted = sizes.setdefault(dimension, size if fixed is None else fixed)
            check(
                size == wanted,
                f"'{name}' needs size {wanted} along '{dimension}', as the other variables have or the schema says.",
                shape=shape,
            )
    return sizes


def _global_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Conventions": CONVENTIONS,
        "title": "cloudkeras shard",
        "source": "not stated",
        "history": f"{now} written by cloudkeras {__version__}",
        "cloudkeras_schema_version": np.int32(SCHEMA_VERSION),
        **attributes,
    }


def _write_coordinates(file: netCDF4.Dataset, coordinates: Coordinates, sizes: Mapping[str, int]) -> None:
    for name, (dims, values, attributes) in coordinates.items():
        values = np.asarray(values)
        unknown = [dim for dim in dims if dim not in sizes]
        check(not unknown, f"Coordinate '{name}' lies on dimensions of the variables.", dims=tuple(dims))
        expected = tuple(sizes[dim] for dim in dims)
        check(values.shape == expected, f"Coordinate '{name}' has the shape {expected}.", shape=values.shape)
        variable = file.createVariable(name, str if values.dtype.kind in "US" else values.dtype, tuple(dims))
        variable.setncatts(dict(attributes))
        variable[...] = values.astype(object) if values.dtype.kind in "US" else values


def _write_samples(file: netCDF4.Dataset, samples: SampleTable) -> None:
    for name, attributes in _SAMPLE_ATTRIBUTES.items():
        values = getattr(samples, name)
        variable = file.createVariable(name, str if name == "granule" else values.dtype, ("sample",))
        variable.setncatts(attributes)
        variable[:] = values.astype(object) if name == "granule" else values


def _write_variable(
    file: netCDF4.Dataset,
    variable: Variable,
    values: np.ndarray,
    coordinates: Coordinates,
    filters: Mapping[str, Any],
    chunks: Mapping[str, int],
) -> None:
    packing = variable.packing
    longest = {**chunks, "sample": 1}
    sizes = zip(variable.dims, values.shape, strict=True)
    stored = file.createVariable(
        variable.name,
        packing.dtype,
        variable.dims,
        fill_value=False if packing.fill is None else packing.fill,
        chunksizes=tuple(min(size, longest.get(dim, size)) for dim, size in sizes),
        **filters,
    )
    stored.set_auto_maskandscale(False)
    stored.setncatts(variable_attributes(variable))
    mappings = [n for n, (_, _, found) in coordinates.items() if "grid_mapping_name" in found]
    auxiliary = [
        n
        for n, (dims, _, _) in coordinates.items()
        if n not in mappings and (n,) != tuple(dims) and set(dims) <= set(variable.dims)
    ]
    if names := [*(() if variable.static else _SAMPLE_ATTRIBUTES), *auxiliary]:
        stored.coordinates = " ".join(names)
    projected = {found.get("standard_name") for n, (_, _, found) in coordinates.items() if n in variable.dims}
    if mappings and {"projection_x_coordinate", "projection_y_coordinate"} <= projected:
        stored.grid_mapping = mappings[0]
    stored[:] = values


def variable_attributes(variable: Variable) -> dict[str, Any]:
    """The CF attributes of a variable; `valid_range` in stored units, as CF asks for packed data."""
    packing, dtype = variable.packing, np.dtype(variable.packing.dtype)
    found: dict[str, Any] = {"units": variable.units, "long_name": variable.long_name}
    if variable.standard_name:
        found["standard_name"] = variable.standard_name
    if packing.scale_factor is not None:
        found["scale_factor"] = np.float64(packing.scale_factor)
        found["add_offset"] = np.float64(packing.add_offset)
    scale = 1.0 if packing.scale_factor is None else packing.scale_factor
    limits = (np.asarray(variable.valid_range, np.float64) - packing.add_offset) / scale
    found["valid_range"] = (np.rint(limits) if dtype.kind in "iu" else limits).astype(dtype)
    if variable.flag_meanings:
        found["flag_values"] = np.arange(len(variable.flag_meanings), dtype=dtype)
        found["flag_meanings"] = " ".join(meaning.replace(" ", "_") for meaning in variable.flag_meanings)
    return found


# ---- reading -------------------------------------------------------------------------------------------------------

_MAX_OPEN = 8
_open_files: dict[str, tuple[tuple[int, int, int, int], netCDF4.Dataset]] = {}
_inherited: list[Any] = []  # files of the parent process: never touched, never closed


def _stamp(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return os.getpid(), status.st_ino, status.st_size, status.st_mtime_ns


def _opened_before(path: Path) -> netCDF4.Dataset:
    """The open file, from a small cache in order of last use; the caller holds the lock."""
    key = os.path.abspath(path)
    try:
        stamp = _stamp(path)
    except OSError as error:
        raise DataError(path, expected="a file", found=f"none that can be read ({error.strerror})") from None
    if key in _open_files and _open_files[key][0] == stamp:
        _open_files[key] = _open_files.pop(key)
        return _open_files[key][1]
    _forget(key)
    try:
        file = netCDF4.Dataset(path)
    except OSError as error:
        size = stamp[2]
        raise DataError(
            path,
            expected="a NetCDF-4 file",
            found=f"{size} bytes that the NetCDF library refuses ({error.strerror or error})",
            remedy="The file is truncated, damaged or of another kind; copy or make it again.",
        ) from None
    file.set_auto_maskandscale(False)
    for variable in file.variables.values():
        if variable.dtype is not str and variable.chunking() != "contiguous":
            variable.set_var_chunk_cache(size=1 << 20)  # a chunk is read once: the default of 16 MB each is wasted
    while len(_open_files) >= _MAX_OPEN:
        _forget(next(iter(_open_files)))
    _open_files[key] = (stamp, file)
    return file


def _forget(key: str) -> None:
    if key not in _open_files:
        return
    stamp, file = _open_files.pop(key)
    if stamp[0] == os.getpid():
        file.close()
    else:
        _inherited.append(file)


def close_files() -> None:
    """Closes the files that are kept open for reading; while one is open, HDF5 lets nobody write into it in place."""
    with NETCDF_LOCK:
        for key in list(_open_files):
            _forget(key)


@contextmanager
def closing_files() -> Iterator[None]:
    """Calls `close_files` at the end of the block."""
    try:
        yield
    finally:
        close_files()


@contextmanager
def opened(path: str | Path) -> Iterator[netCDF4.Dataset]:
    """The open file, without masks and scaling, under `NETCDF_LOCK`; the library's errors become `DataError`.

    The last few files stay open, since opening costs as much as reading some samples. A file that changed on disk is
    opened again; so is every file in a forked process.
    """
    with NETCDF_LOCK:
        file = _opened_before(Path(path))
        try:
            yield file
        except (OSError, RuntimeError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            _forget(os.path.abspath(path))
            raise DataError(
                path,
                expected="readable data",
                found=f"an error of the NetCDF library ({error})",
                remedy="The file is damaged; copy or make it again.",
            ) from None


def _variable(file: netCDF4.Dataset, path: str | Path, name: str) -> netCDF4.Variable:
    if name not in file.variables:
        raise DataError(path, variable=name, expected="the variable", found=f"only {', '.join(sorted(file.variables))}")
    return file.variables[name]


def read_packing(variable: netCDF4.Variable) -> Packing:
    """The packing that the attributes of a stored variable declare."""
    attributes = {name: variable.getncattr(name) for name in variable.ncattrs()}
    scale, fill = attributes.get("scale_factor"), attributes.get("_FillValue")
    return Packing(
        variable.dtype.str[1:],
        None if scale is None else float(scale),
        float(attributes.get("add_offset", 0.0)),
        None if fill is None else float(fill),
    )


def runs(indices: np.ndarray) -> list[slice]:
    """Contiguous ascending runs of `indices` as slices, in order: [3, 4, 5, 1] gives [slice(3, 6), slice(1, 2)]."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    return [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(indices, breaks) if part.size]


def static_names(path: str | Path, names: Iterable[str]) -> list[str]:
    """Those of the variables that are static, stored once for all samples."""
    with opened(path) as file:
        return [n for n in names if n in file.variables and "sample" not in file.variables[n].dimensions]


def read_static(path: str | Path, name: str) -> np.ndarray:
    """A decoded static variable, without a sample dimension."""
    with opened(path) as file:
        variable = _variable(file, path, name)
        return unpack(np.asarray(variable[...]), read_packing(variable))


def read_stored_window(
    path: str | Path, names: Sequence[str], sample: int, window: Mapping[str, slice]
) -> dict[str, tuple[np.ndarray, Packing]]:
    """Stored values of a part of one sample, without the sample dimension: `window` cuts dimensions by their name."""
    result = {}
    with opened(path) as file:
        for name in names:
            variable = _variable(file, path, name)
            part = tuple(sample if dim == "sample" else window.get(dim, slice(None)) for dim in variable.dimensions)
            result[name] = np.asarray(variable[part]), read_packing(variable)
    return result


def read_stored(path: str | Path, names: Sequence[str], indices: np.ndarray) -> dict[str, tuple[np.ndarray, Packing]]:
    """Stored values of the samples at `indices`, with their packing, read run by run; static variables as they are."""
    result = {}
    with opened(path) as file:
        for name in names:
            variable = _variable(file, path, name)
            if "sample" not in variable.dimensions:
                result[name] = np.asarray(variable[...]), read_packing(variable)
                continue
            stored = np.empty((len(indices), *variable.shape[1:]), variable.dtype)
            done = 0
            for run in runs(indices):
                count = run.stop - run.start
                stored[done : done + count] = variable[run]
                done += count
            result[name] = stored, read_packing(variable)
    return result


_PORTION = 1 << 26  # values decoded at once, 256 MB as float32


def portions(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """The samples of a shard in portions that fit into memory with these variables: all at once for small ones."""
    with opened(path) as file:
        total = len(file.dimensions["sample"])
        held = [file.variables[n] for n in names if n in file.variables]
        each = sum(int(np.prod([len(file.dimensions[d]) for d in v.dimensions if d != "sample"])) for v in held)
    step = max(1, _PORTION // max(1, each))
    return [np.arange(first, min(first + step, total)) for first in range(0, total, step)]


def read_shard(
    path: str | Path, names: Sequence[str], indices: Sequence[int] | np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Decoded variables of a shard.

    Args:
        path: The file.
        names: The variables.
        indices: Samples, in the order wanted; None for all.

    Returns:
        By name, sample first: float32 in physical units with NaN for missing, or integers with -1 for a missing class.
        Static variables are repeated (a read-only view).

    Raises:
        DataError: If the file is not a readable shard of this schema version or lacks a variable.
        InputError: If an index does not exist.
    """
    check_version(path)
    with opened(path) as file:
        total = len(file.dimensions["sample"])
    wanted = np.arange(total) if indices is None else np.asarray(indices, np.int64)
    check(
        wanted.size == 0 or bool(wanted.min() >= 0 and wanted.max() < total),
        f"{path} holds the samples 0 to {total - 1}.",
        indices=wanted.tolist(),
    )
    fields = {name: unpack(*stored) for name, stored in read_stored(path, names, wanted).items()}
    for name in static_names(path, names):
        fields[name] = np.broadcast_to(fields[name], (len(wanted), *fields[name].shape))
    return fields


def check_version(path: str | Path) -> None:
    """Raises unless the file is a shard of this schema version.

    Raises:
        DataError: If it is not.
    """
    with opened(path) as file:
        attributes = {name: file.getncattr(name) for name in file.ncattrs()}
        dimensions = sorted(file.dimensions)
    version = attributes.get("cloudkeras_schema_version")
    if version is None or "sample" not in dimensions:
        raise DataError(
            path,
            expected="a shard (attribute 'cloudkeras_schema_version' and dimension 'sample')",
            found=f"a NetCDF file with dimensions {', '.join(dimensions) or 'none'}",
        )
    if str(version) != str(SCHEMA_VERSION):
        raise DataError(
            path,
            expected=f"schema version {SCHEMA_VERSION}",
            found=f"{version}",
            remedy="Make the shards again with this version of cloudkeras.",
        )


def read_samples(path: str | Path) -> SampleTable:
    """Time, place and window of each sample of a shard.

    Raises:
        DataError: If the file or one of these variables cannot be read, or holds impossible values.
    """
    with opened(path) as file:
        columns = {name: _variable(file, path, name)[:] for name in _SAMPLE_ATTRIBUTES}
    try:
        return SampleTable(**columns)
    except InputError as error:
        raise DataError(path, expected="a valid table of samples", found=str(error)) from None


def sample_units() -> dict[str, str]:
    """Units of the variables that place a sample in time and space, "" for text."""
    return {name: attributes.get("units", "") for name, attributes in _SAMPLE_ATTRIBUTES.items()}
