"""A scene file made from arrays: what `predict_scene` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..datasets.packing import pack
from ..datasets.schema import CONVENTIONS, Variable
from ..datasets.shards import NETCDF_LOCK, Coordinates, new_file, variable_attributes
from ..errors import check
from ..tasks import Task

_CHUNK = 256


def write_scene_file(
    path: str | Path,
    task: Task,
    fields: Mapping[str, np.ndarray],
    *,
    coordinates: Coordinates | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a scene: variables of a task without the sample dimension, packed as in shards.

    Args:
        path: The file; it takes its name when it is complete.
        task: Says how each variable is stored.
        fields: Physical values by name, e.g. `{"reflectivity": (height, profile) in dBZ}`; NaN is missing.
        coordinates: Coordinate variables: name to (dimensions, values, attributes).
        attributes: Global attributes, e.g. `{"simulated": "true"}`.

    Returns:
        The path.

    Raises:
        InputError: If a field is unknown or of a wrong shape or range, or one that the network reads is missing.
    """
    known = {variable.name: variable for variable in task.variables()}
    needed = [name for name in task.physical_inputs() if name in known]
    check(
        set(needed) <= set(fields) <= set(known),
        f"A scene for {task.name} holds {', '.join(needed)}, and besides only variables of the task.",
        fields=sorted(fields),
    )
    sizes = _sizes({known[name]: np.shape(values) for name, values in fields.items()})
    packed = {name: pack(known[name], values) for name, values in fields.items()}
    auxiliary = [name for name, (dims, _, _) in (coordinates or {}).items() if (name,) != tuple(dims)]
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w") as file:
        file.setncatts({"Conventions": CONVENTIONS, "cloudkeras_task": task.name, **(attributes or {})})
        for dim, size in sizes.items():
            file.createDimension(dim, size)
        for name, (dims, values, described) in (coordinates or {}).items():
            axis = file.createVariable(name, np.asarray(values).dtype, tuple(dims))
            axis.setncatts(dict(described))
            axis[...] = values
        for name, values in packed.items():
            dims, fill = known[name].dims[1:], known[name].packing.fill
            stored = file.createVariable(
                name,
                known[name].packing.dtype,
                dims,
                zlib=True,
                complevel=1,
                chunksizes=[min(_CHUNK, sizes[dim]) for dim in dims],
                fill_value=False if fill is None else fill,
            )
            stored.set_auto_maskandscale(False)
            stored.setncatts(variable_attributes(known[name]))
            if auxiliary:
                stored.coordinates = " ".join(auxiliary)
            stored[...] = values
    return Path(path)


def _sizes(shapes: Mapping[Variable, tuple[int, ...]]) -> dict[str, int]:
    """Sizes of the dimensions, which all variables must share."""
    sizes: dict[str, int] = {}
    for variable, shape in shapes.items():
        dims = variable.dims[1:]
        fits = len(shape) == len(dims) and all(sizes.setdefault(d, n) == n for d, n in zip(dims, shape, strict=True))
        check(fits, f"'{variable.name}' has the dimensions ({', '.join(dims)}), sized as in the others.", shape=shape)
    return sizes
