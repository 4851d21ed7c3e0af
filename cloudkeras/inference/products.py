"""What a predicted scene holds: variables in a CF NetCDF file, written block by block."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import netCDF4
import numpy as np

from ..datasets.schema import CLASS_MISSING
from ..tasks import Fields, Task
from ..tasks.cloud_phase import LEVEL_HEIGHT_KM
from .reading import SceneReader

PROBABILITY_STEP = 1 / 250  # stored as 0..250 in one byte, 255 is missing
BYTE_MISSING = 255
_FLOAT_MISSING = np.float32(9.96921e36)
_COPY_ROWS = 256


def output_dims(task: Task) -> tuple[str, ...]:
    """Dimensions of what `task.decode` returns, without the batch."""
    if task.kind == "regression":
        return (task.row_dim, task.column_dim)
    levels = ("level",) if task.builder_arguments().get("levels") else ()
    return (*levels, task.row_dim, task.column_dim, "class")


def chunk_length(stride: int, size: int, most: int = 64) -> int:
    """The largest divisor of `stride` up to `most`, so that no chunk is compressed twice; at most `size`."""
    return min(size, max(n for n in range(1, min(stride, most) + 1) if stride % n == 0))


def products_for(task: Task, **options: Any) -> Products:
    """The products of a task: classes and probabilities, or a field with its hidden part filled."""
    if task.kind == "classification":
        return ClassProducts(task, **options)
    return FieldProducts(task, **options)


class Products(abc.ABC):
    """Variables of a predicted scene.

    Args:
        task: What was predicted.
        probability: Whether class probabilities are written, beside the classes.
        spread: Whether the spread of several Monte Carlo members is written.
    """

    def __init__(self, task: Task, *, probability: bool = True, spread: bool = False) -> None:
        self.task, self.probability, self.spread = task, probability, spread
        self.image_dims = (task.row_dim, task.column_dim)
        self.chunks: dict[str, int] = {}
        self.auxiliary: list[str] = []

    def define(self, output: netCDF4.Dataset, reader: SceneReader, chunks: dict[str, int]) -> None:
        """Makes dimensions, coordinates (copied from the scene) and variables.

        Args:
            output: The file to write, open and empty.
            reader: The scene.
            chunks: Chunk length along the row and the column dimension.
        """
        self.chunks = chunks
        for dim, size in self.dimensions(reader).items():
            output.createDimension(dim, size)
        self._copy_coordinates(output, reader)
        self.define_variables(output, reader)

    def dimensions(self, reader: SceneReader) -> dict[str, int]:
        """Dimensions of the file by name."""
        return {self.task.row_dim: reader.rows, self.task.column_dim: reader.columns}

    @abc.abstractmethod
    def define_variables(self, output: netCDF4.Dataset, reader: SceneReader) -> None:
        """Makes the data variables."""

    @abc.abstractmethod
    def write(
        self,
        output: netCDF4.Dataset,
        reader: SceneReader,
        window: tuple[slice, slice],
        values: np.ndarray,
        spread: np.ndarray | None,
        fields: Fields,
    ) -> None:
        """Writes one block.

        Args:
            output: The file.
            reader: The scene.
            window: Rows and columns of the block.
            values: Decoded prediction on `output_dims(task)`.
            spread: Standard deviation over the members, like `values`; None for one member.
            fields: Prepared input of the block, (rows, columns, ...).
        """

    def _create(
        self,
        output: netCDF4.Dataset,
        name: str,
        dtype: str,
        dims: Sequence[str],
        fill: Any = None,
        **attributes: Any,
    ) -> netCDF4.Variable:
        """A compressed, chunked variable that takes values as they are stored."""
        sizes = [self.chunks.get(dim, len(output.dimensions[dim])) for dim in dims]
        variable = output.createVariable(
            name, dtype, tuple(dims), zlib=True, complevel=2, shuffle=True, chunksizes=sizes, fill_value=fill
        )
        variable.setncatts(attributes)
        if self.auxiliary:
            variable.coordinates = " ".join(self.auxiliary)
        variable.set_auto_maskandscale(False)
        variable.set_var_chunk_cache(size=1 << 20)  # blocks are whole chunks: nothing is written twice
        return variable

    def _copy_coordinates(self, output: netCDF4.Dataset, reader: SceneReader) -> None:
        names = reader.coordinates(tuple(output.dimensions))
        for name in names:
            stored = reader.dataset[name]
            attributes = {key: stored.getncattr(key) for key in stored.ncattrs()}
            fill = attributes.pop("_FillValue", None)
            packed = stored.ndim > 0
            copy = output.createVariable(name, stored.dtype, stored.dimensions, fill_value=fill, zlib=packed)
            copy.setncatts({key: value for key, value in attributes.items() if key != "coordinates"})
            for variable in (stored, copy):
                variable.set_auto_maskandscale(False)
            if stored.ndim == 0:
                copy.assignValue(stored.getValue())
            for start in range(0, stored.shape[0], _COPY_ROWS) if stored.ndim else ():
                copy[start : start + _COPY_ROWS] = stored[start : start + _COPY_ROWS]
            stored.set_auto_maskandscale(True)
        self.auxiliary = [
            n for n in names if n not in output.dimensions and "grid_mapping_name" not in output[n].ncattrs()
        ]


class ClassProducts(Products):
    """Classes, their probabilities, and what follows from them in each column: cloud top, base, cover."""

    @property
    def name(self) -> str:
        """Name of the class variable, e.g. "phase"."""
        return self.task.output_name().removesuffix("_probability")

    @property
    def levels(self) -> int:
        """Number of levels, 0 for a task without."""
        return int(self.task.builder_arguments().get("levels") or 0)

    def dimensions(self, reader: SceneReader) -> dict[str, int]:
        dims = {"level": self.levels} if self.levels else {}
        dims |= super().dimensions(reader)
        return dims | ({"class": len(self.task.classes)} if self.probability else {})

    def _flags(self) -> dict[str, Any]:
        return {
            "flag_values": np.arange(len(self.task.classes), dtype=np.int8),
            "flag_meanings": " ".join(self.task.classes),
        }

    def define_variables(self, output: netCDF4.Dataset, reader: SceneReader) -> None:
        dims = output_dims(self.task)[:-1]
        if self.levels and "level" not in output.variables:
            level = output.createVariable("level", "f4", ("level",))
            level.setncatts(
                {"units": "km", "standard_name": "altitude", "long_name": "center of the level", "positive": "up"}
            )
            level.axis = "Z"
            level[:] = (np.arange(self.levels, dtype=np.float32) + 0.5) * LEVEL_HEIGHT_KM
        self._create(
            output, self.name, "i1", dims, np.int8(CLASS_MISSING), long_name=f"most likely {self.name}", **self._flags()
        )
        if self.probability:
            self._define_probability(output)
        if self.spread:
            self._create(
                output,
                f"{self.name}_entropy",
                "u1",
                dims,
                np.uint8(BYTE_MISSING),
                long_name="entropy of the members' mean probability, 0 is certain, 1 is undecided",
                units="1",
                scale_factor=np.float32(PROBABILITY_STEP),
            )
        if self.levels:
            self._define_columns(output)

    def _define_probability(self, output: netCDF4.Dataset) -> None:
        names = output.createVariable("class_name", str, ("class",))
        names.long_name = "name of the class"
        for k, name in enumerate(self.task.classes):
            names[k] = name
        self._create(
            output,
            self.task.output_name(),
            "u1",
            output_dims(self.task),
            np.uint8(BYTE_MISSING),
            long_name=f"probability of each {self.name}",
            units="1",
            scale_factor=np.float32(PROBABILITY_STEP),
        )

    def _define_columns(self, output: netCDF4.Dataset) -> None:
        for edge, standard in (("top", "cloud_top_altitude"), ("base", "cloud_base_altitude")):
            self._create(
                output,
                f"cloud_{edge}_height",
                "f4",
                self.image_dims,
                _FLOAT_MISSING,
                long_name=f"{edge} of the {'highest' if edge == 'top' else 'lowest'} cloudy level, missing where clear",
                standard_name=standard,
                units="km",
            )
        self._create(
            output,
            f"cloud_top_{self.name}",
            "i1",
            self.image_dims,
            np.int8(CLASS_MISSING),
            long_name=f"{self.name} of the highest cloudy level, {self.task.classes[0]} where there is none",
            **self._flags(),
        )
        self._create(
            output,
            "cloud_cover",
            "u1",
            self.image_dims,
            np.uint8(BYTE_MISSING),
            long_name="largest cloud probability of the column's levels (maximum overlap)",
            units="1",
            scale_factor=np.float32(PROBABILITY_STEP),
        )

    def write(
        self,
        output: netCDF4.Dataset,
        reader: SceneReader,
        window: tuple[slice, slice],
        values: np.ndarray,
        spread: np.ndarray | None,
        fields: Fields,
    ) -> None:
        missing = ~observed(reader, fields)
        whole = (slice(None),) * (1 if self.levels else 0)
        classes = values.argmax(axis=-1).astype(np.int8)
        output[self.name][(*whole, *window)] = np.where(missing, np.int8(CLASS_MISSING), classes)
        if self.probability:
            packed = _pack_probability(values, missing[..., None])
            output[self.task.output_name()][(*whole, *window)] = packed
        if self.spread:
            entropy = -(values * np.log(np.maximum(values, 1e-12))).sum(axis=-1) / np.log(values.shape[-1])
            output[f"{self.name}_entropy"][(*whole, *window)] = _pack_probability(entropy, missing)
        if self.levels:
            columns = column_products(classes)
            for name in ("cloud_top_height", "cloud_base_height"):
                height = columns[name]
                output[name][window] = np.where(missing | np.isnan(height), _FLOAT_MISSING, height)
            top = np.where(missing, np.int8(CLASS_MISSING), columns["cloud_top_class"])
            output[f"cloud_top_{self.name}"][window] = top
            output["cloud_cover"][window] = _pack_probability(1 - values[..., 0].min(axis=0), missing)


class FieldProducts(Products):
    """A physical field. Where the task hides part of it, only that part is predicted; the rest is kept to the bit."""

    def define_variables(self, output: netCDF4.Dataset, reader: SceneReader) -> None:
        name = self.task.output_name()
        if name in reader.variables:
            stored = reader.dataset[name]
            attributes = {key: stored.getncattr(key) for key in stored.ncattrs()}
            attributes.pop("coordinates", None)
            fill = attributes.pop("_FillValue", netCDF4.default_fillvals[stored.dtype.str[1:]])
            attributes["ancillary_variables"] = "filled"
            self._create(output, name, stored.dtype, self.image_dims, fill, **attributes)
        else:
            known = {v.name: {"long_name": v.long_name, "units": v.units} for v in self.task.variables()}
            self._create(output, name, "f4", self.image_dims, _FLOAT_MISSING, **known.get(name, {"long_name": name}))
        self._create(
            output,
            "filled",
            "i1",
            self.image_dims,
            long_name=f"where {name} is predicted",
            flag_values=np.array([0, 1], np.int8),
            flag_meanings="as_observed filled",
        )
        if self.spread:
            units = {"units": next(v.units for v in self.task.variables() if v.name == name)}
            self._create(
                output,
                f"{name}_spread",
                "f4",
                self.image_dims,
                _FLOAT_MISSING,
                long_name=f"standard deviation of {name} over the members where it is filled",
                **units,
            )

    def write(
        self,
        output: netCDF4.Dataset,
        reader: SceneReader,
        window: tuple[slice, slice],
        values: np.ndarray,
        spread: np.ndarray | None,
        fields: Fields,
    ) -> None:
        name = self.task.output_name()
        seen = observed(reader, fields)
        mask = fields.get("blind_zone_mask")
        hidden = np.ones(seen.shape, bool) if mask is None else np.asarray(mask) >= 1
        if mask is not None:  # a profile that saw nothing above the blind zone tells nothing about what is in it
            seen = np.broadcast_to((seen & ~hidden).any(axis=0), seen.shape)
        fill = hidden & seen
        if name in reader.variables:
            stored = output[name]
            result = np.where(fill, self._pack(stored, values), stored.getncattr("_FillValue"))
            result = np.where(hidden, result, reader.raw(name, *window))
        else:
            stored = output[name]
            result = np.where(fill, values, _FLOAT_MISSING)
        stored[window] = result.astype(stored.dtype)
        output["filled"][window] = fill.astype(np.int8)
        if self.spread and spread is not None:
            output[f"{name}_spread"][window] = np.where(fill, spread, _FLOAT_MISSING).astype(np.float32)

    @staticmethod
    def _pack(stored: netCDF4.Variable, values: np.ndarray) -> np.ndarray:
        scale = getattr(stored, "scale_factor", 1.0)
        packed = (values.astype(np.float64) - getattr(stored, "add_offset", 0.0)) / scale
        return np.rint(packed) if np.issubdtype(stored.dtype, np.integer) else packed


def observed(reader: SceneReader, fields: Fields) -> np.ndarray:
    """(rows, columns) bool: where the task has a result, or else where any input variable has a value in any band."""
    covered = reader.task.covered(fields)
    if covered is not None:
        return covered
    finite = [np.isfinite(fields[name]) for name in reader.variables]
    return np.any([f.reshape(*f.shape[:2], -1).any(axis=-1) for f in finite], axis=0)


def column_products(classes: np.ndarray) -> dict[str, np.ndarray]:
    """Cloud top, base and the class at the top from classes (level, ...), class 0 clear.

    Returns:
        `cloud_top_height` (upper edge of the highest cloudy level) and `cloud_base_height` (lower edge of the lowest)
        in km, NaN where clear; `cloud_top_class`, 0 where clear. Each of shape (...).
    """
    cloudy = classes > 0
    any_cloud = cloudy.any(axis=0)
    top = len(classes) - 1 - cloudy[::-1].argmax(axis=0)
    base = cloudy.argmax(axis=0)
    top_class = np.take_along_axis(classes, top[None], axis=0)[0]
    return {
        "cloud_top_height": np.where(any_cloud, (top + 1) * LEVEL_HEIGHT_KM, np.nan).astype(np.float32),
        "cloud_base_height": np.where(any_cloud, base * LEVEL_HEIGHT_KM, np.nan).astype(np.float32),
        "cloud_top_class": np.where(any_cloud, top_class, 0).astype(np.int8),
    }


def _pack_probability(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    packed = np.rint(np.clip(values, 0, 1) / PROBABILITY_STEP).astype(np.uint8)
    return np.where(missing, np.uint8(BYTE_MISSING), packed)
