"""A simulated scene, or record of a radar, as one NetCDF file, for `cloudkeras predict` and `inpaint`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..._version import __version__
from ...tasks.blind_zone import BlindZone
from ...tasks.cloud_phase import CloudPhase
from ..packing import pack
from ..schema import CONVENTIONS, HEIGHT_ATTRIBUTES, SCHEMA_VERSION, Variable
from ..shards import NETCDF_LOCK, new_file, variable_attributes
from . import radar
from .dataset import SOURCE, band_coordinates
from .random_fields import PIXEL_KM
from .scenes import Scene


def write_scene(path: str | Path, scene: Scene) -> Path:
    """Writes a scene: the variables of `cloud_phase` without the sample dimension, with their coordinates.

    Args:
        path: The file; it takes its name when it is complete.
        scene: The scene.

    Returns:
        The path.
    """
    fields = scene.fields()
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts(_attributes(scene))
        coordinates = {**band_coordinates(), **_grid(scene)}
        sizes = {"y": scene.phase.shape[1], "x": scene.phase.shape[2], "profile": len(scene.track.y)}
        sizes |= {name: len(coordinates[name][1]) for name in ("level", "reflective_band", "emissive_band")}
        for name, size in sizes.items():
            file.createDimension(name, size)
        _write_coordinates(file, coordinates)
        for variable in CloudPhase().variables():
            located = {"y", "x"} <= set(variable.dims)
            _write(file, variable, fields[variable.name], "latitude longitude time" if located else "")
    return Path(path)


def write_curtain(path: str | Path, curtain: radar.SimulatedCurtain, *, start: float = radar.FIRST_RECORD) -> Path:
    """Writes a simulated record: the variables of `blind_zone` without the sample dimension, with their coordinates.

    Args:
        path: The file; it takes its name when it is complete.
        curtain: The record.
        start: Time of its first profile, s since 1970-01-01 UTC.

    Returns:
        The path.
    """
    seconds = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "standard", "standard_name": "time"}
    coordinates: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {
        "height": (("height",), curtain.height, HEIGHT_ATTRIBUTES),
        "time": (("profile",), start + curtain.time, seconds),
        "latitude": ((), np.asarray(radar.LATITUDE), {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": ((), np.asarray(radar.LONGITUDE), {"units": "degrees_east", "standard_name": "longitude"}),
    }
    with NETCDF_LOCK, new_file(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts(_common_attributes("Simulated cloud-radar curtain", radar.SOURCE, BlindZone.name))
        file.simulation_layers = ", ".join(curtain.layers)
        for name, size in zip(("height", "profile"), curtain.fields["reflectivity"].shape, strict=True):
            file.createDimension(name, size)
        _write_coordinates(file, coordinates)
        for variable in BlindZone().variables():
            _write(file, variable, curtain.fields[variable.name], "time latitude longitude")
    return Path(path)


def _write_coordinates(
    file: netCDF4.Dataset, coordinates: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]
) -> None:
    for name, (dims, values, attributes) in coordinates.items():
        coordinate = file.createVariable(name, values.dtype, dims)
        coordinate.setncatts(attributes)
        coordinate[...] = values


def _write(file: netCDF4.Dataset, variable: Variable, values: np.ndarray, located: str) -> None:
    dims, fill = variable.dims[1:], variable.packing.fill
    stored = file.createVariable(
        variable.name,
        variable.packing.dtype,
        dims,
        fill_value=False if fill is None else fill,
        compression="zlib",
        complevel=1,
    )
    stored.set_auto_maskandscale(False)
    stored.setncatts(variable_attributes(variable))
    if located:
        stored.coordinates = located
    stored[...] = pack(variable, values)


def _attributes(scene: Scene) -> dict[str, Any]:
    return {
        **_common_attributes("Simulated cloud scene", SOURCE, CloudPhase.name),
        "simulation_seed": np.int64(scene.seed),
        "simulation_regimes": ", ".join(scene.regimes),
        "granule": scene.granule,
    }


def _common_attributes(title: str, source: str, task: str) -> dict[str, Any]:
    return {
        "Conventions": CONVENTIONS,
        "title": title,
        "source": source,
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} simulated by cloudkeras {__version__}",
        "cloudkeras_task": task,
        "cloudkeras_schema_version": np.int32(SCHEMA_VERSION),
        "simulated": "true",
    }


def _grid(scene: Scene) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    rows, columns = scene.phase.shape[1:]
    geometry = scene.geometry
    along = {"units": "km", "long_name": "distance from the scene's first pixel"}
    return {
        "y": (("y",), np.arange(rows, dtype=np.float32) * PIXEL_KM, {**along, "axis": "Y"}),
        "x": (("x",), np.arange(columns, dtype=np.float32) * PIXEL_KM, {**along, "axis": "X"}),
        "latitude": (("y", "x"), geometry.latitude, {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": (("y", "x"), geometry.longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        "time": (
            (),
            np.asarray(geometry.time, np.float64),
            {"units": "seconds since 1970-01-01 00:00:00", "calendar": "standard", "standard_name": "time"},
        ),
    }
