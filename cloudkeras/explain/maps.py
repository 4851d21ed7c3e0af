"""Maps of an explanation as NetCDF, with the axes of the sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import numpy as np

from .._version import __version__
from ..datasets.schema import CONVENTIONS
from ..datasets.shards import NETCDF_LOCK, new_file
from ..errors import check
from .samples import Axis, Sample


class MapVariable(NamedTuple):
    """A variable of the file.

    Attributes:
        dims: Names of its dimensions.
        values: Its values.
        attributes: `long_name`, `units` and the like.
    """

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, Any]


def write_maps(
    path: str | Path,
    samples: Sequence[Sample],
    variables: Mapping[str, MapVariable],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    axes: Mapping[str, Axis] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Writes maps of samples to one file; it appears under its name when it is complete.

    Args:
        path: The file.
        samples: The samples, in the order of the dimension "sample"; number and time become coordinates.
        variables: By name. Rows and columns of the input are the dimensions named as the axes of the first sample.
        labels: Names along a dimension, such as `{"channel": [...]}`.
        axes: Further axes by dimension, such as those of a coarser layer.
        attributes: Global attributes.

    Raises:
        InputError: If a dimension has two sizes.
    """
    sizes: dict[str, int] = {}
    for name, variable in variables.items():
        for dim, size in zip(variable.dims, variable.values.shape, strict=True):
            known = sizes.setdefault(dim, size)
            check(known == size, f"The dimension '{dim}' has one size.", variable=name, sizes=(known, size))
    first = samples[0]
    known_axes = {axis.name: axis for axis in (first.rows, first.columns)} | dict(axes or {})
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w") as file:
        file.setncatts({"Conventions": CONVENTIONS, "cloudkeras_version": __version__, **(attributes or {})})
        for dim, size in sizes.items():
            file.createDimension(dim, size)
        _write_samples(file, samples)
        for dim, names in (labels or {}).items():
            if dim in sizes:
                text = file.createVariable(dim, str, (dim,))
                text[:] = np.array(list(names), dtype=object)
        for dim, axis in known_axes.items():
            if dim in sizes:
                _write_axis(file, dim, axis, samples)
        for name, variable in variables.items():
            stored = file.createVariable(name, "f4", variable.dims, zlib=True, complevel=1, fill_value=np.nan)
            stored.setncatts(dict(variable.attributes))
            stored[:] = variable.values
    return Path(path)


def _write_samples(file: netCDF4.Dataset, samples: Sequence[Sample]) -> None:
    if "sample" not in file.dimensions:
        return
    number = file.createVariable("sample", "i4", ("sample",))
    number.long_name = "number of the sample in its split"
    number[:] = [sample.number for sample in samples]
    start = file.createVariable("time_start", "f8", ("sample",))
    start.setncatts({"standard_name": "time", "units": "seconds since 1970-01-01 00:00:00", "calendar": "standard"})
    start[:] = [sample.time for sample in samples]


def _write_axis(file: netCDF4.Dataset, dim: str, axis: Axis, samples: Sequence[Sample]) -> None:
    """A coordinate: by sample where samples lie at different places."""
    per_sample = [s.rows if s.rows.name == dim else s.columns for s in samples if dim in (s.rows.name, s.columns.name)]
    several = "sample" in file.dimensions and any(not np.array_equal(a.values, axis.values) for a in per_sample)
    if several:
        stored = file.createVariable(f"{dim}_coordinate", "f8", ("sample", dim))
        stored[:] = np.stack([a.values for a in per_sample])
    else:
        stored = file.createVariable(dim, "f8", (dim,))
        stored[:] = axis.values
    stored.setncatts({"units": axis.units, "long_name": axis.label})
