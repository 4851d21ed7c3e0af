"""The optical lookup table: reflection, transmission and emission of cloud layers in the bands of AHI.

`optics_table.nc` beside this file was made by `make_optics_table.py`; its docstring says how.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from ...errors import DataError
from ..shards import NETCDF_LOCK
from .clouds import CloudColumns

TABLE = Path(__file__).with_name("optics_table.nc")
LIQUID_ROW, ICE_ROW = 0, 1  # along the dimension `phase`
_DEPTH_SCALE = 6.0  # reflectance is nearly linear in depth / (depth + scale)


@dataclass(frozen=True)
class Layer:
    """How a layer treats sunlight, in the solar bands of the table. All arrays (pixels, bands).

    Attributes:
        reflectance: Bidirectional reflectance factor at the pixel's angles.
        transmittance_sun: Direct and diffuse flux transmittance from the direction of the sun.
        transmittance_view: The same for the direction of the imager.
        diffuse_albedo: For isotropic light.
        diffuse_transmittance: For isotropic light.
    """

    reflectance: np.ndarray
    transmittance_sun: np.ndarray
    transmittance_view: np.ndarray
    diffuse_albedo: np.ndarray
    diffuse_transmittance: np.ndarray


@dataclass(frozen=True)
class Angles:
    """Positions of the angles of each pixel on the axes of the table, (pixels,)."""

    sun: np.ndarray
    view_as_cosine: np.ndarray
    view: np.ndarray
    azimuth: np.ndarray


def multilinear(table: np.ndarray, positions: Sequence[np.ndarray]) -> np.ndarray:
    """Multilinear interpolation along the first axes of a table.

    Args:
        table: (n1, ..., nk, values).
        positions: k arrays (pixels,), positions in steps along each axis, clipped to its ends.

    Returns:
        (pixels, values), float32.
    """
    strides = np.cumprod([1, *table.shape[len(positions) - 1 : 0 : -1]])[::-1]
    flat = table.reshape(-1, table.shape[-1])
    base, weights, steps = 0, [], []
    for position, size, stride in zip(positions, table.shape, strides, strict=False):
        lower = np.clip(position.astype(np.int32), 0, max(size - 2, 0))
        fraction = np.clip(position - lower, 0.0, 1.0).astype(np.float32)
        base = base + lower * stride
        weights.append((1.0 - fraction, fraction))
        steps.append(stride if size > 1 else 0)
    result = np.zeros((len(positions[0]), table.shape[-1]), np.float32)
    for corner in itertools.product((0, 1), repeat=len(positions)):
        weight = np.prod([w[c] for w, c in zip(weights, corner, strict=True)], axis=0)
        offset = sum(c * s for c, s in zip(corner, steps, strict=True))
        result += weight[:, None] * flat[base + offset]
    return result


class CloudOptics:
    """Reads the table and interpolates in it.

    Args:
        path: The table; the shipped one by default.

    Raises:
        DataError: If the file is missing or is not such a table.
    """

    def __init__(self, path: str | Path = TABLE):
        try:
            with NETCDF_LOCK, netCDF4.Dataset(path) as file:
                tables = {n: np.asarray(v[...], np.float32) for n, v in file.variables.items()}
        except OSError as error:
            raise DataError(
                path,
                expected="the optical table of the simulator",
                found=str(error),
                remedy="Install the package again, or run python -m cloudkeras.datasets.synthetic.make_optics_table.",
            ) from error
        self.solar_bands_um = tuple(float(b) for b in tables["solar_band"].round(2))
        self.infrared_bands_um = tuple(float(b) for b in tables["infrared_band"].round(2))
        self._axes = {n: tables[n] for n in ("cosine", "view_cosine", "azimuth", "rayleigh_depth", "optical_depth")}
        self._log_radius = np.log(tables["radius_um"])
        self._reflectance = tables["cloud_reflectance"]
        self._transmittance = tables["cloud_transmittance"]
        self._diffuse = np.concatenate([tables["cloud_diffuse_albedo"], tables["cloud_diffuse_transmittance"]], axis=-1)
        self._infrared = np.concatenate([tables["infrared_absorption"], tables["opaque_reflectance"]], axis=-1)
        self._rayleigh_reflectance = tables["rayleigh_reflectance"][..., None]
        self._rayleigh_transmittance = tables["rayleigh_transmittance"][..., None]
        self._rayleigh_diffuse = np.stack(
            [tables["rayleigh_diffuse_albedo"], tables["rayleigh_diffuse_transmittance"]], axis=-1
        )

    def angles(self, cos_sun: np.ndarray, cos_view: np.ndarray, relative_azimuth: np.ndarray) -> Angles:
        """Positions on the angular axes; azimuth in degrees, 0 where the sun is behind the imager."""
        return Angles(
            _position(cos_sun, self._axes["cosine"]),
            _position(cos_view, self._axes["cosine"]),
            _position(cos_view, self._axes["view_cosine"]),
            _position(relative_azimuth, self._axes["azimuth"]),
        )

    def cloud_layer(self, row: int, depth: np.ndarray, radius_um: np.ndarray, angles: Angles) -> Layer:
        """A cloud of droplets (`LIQUID_ROW`) or crystals (`ICE_ROW`).

        Args:
            row: Phase.
            depth: Visible optical depth, (pixels,).
            radius_um: Effective radius, (pixels,).
            angles: Of the pixels.
        """
        radius = _position(np.log(radius_um), self._log_radius[row])
        nodes = self._axes["optical_depth"]
        along = _position(depth / (depth + _DEPTH_SCALE), nodes / (nodes + _DEPTH_SCALE))
        diffuse = multilinear(self._diffuse[row], (radius, along))
        bands = len(self.solar_bands_um)
        return Layer(
            multilinear(self._reflectance[row], (radius, along, angles.sun, angles.view, angles.azimuth)),
            multilinear(self._transmittance[row], (radius, along, angles.sun)),
            multilinear(self._transmittance[row], (radius, along, angles.view_as_cosine)),
            diffuse[:, :bands],
            diffuse[:, bands:],
        )

    def rayleigh_layer(self, depth: np.ndarray, angles: Angles) -> Layer:
        """Air of a Rayleigh optical depth, (pixels,), one band."""
        along = _position(depth, self._axes["rayleigh_depth"])
        diffuse = multilinear(self._rayleigh_diffuse, (along,))
        return Layer(
            multilinear(self._rayleigh_reflectance, (along, angles.sun, angles.view, angles.azimuth)),
            multilinear(self._rayleigh_transmittance, (along, angles.sun)),
            multilinear(self._rayleigh_transmittance, (along, angles.view_as_cosine)),
            diffuse[:, :1],
            diffuse[:, 1:],
        )

    def infrared(self, clouds: CloudColumns, cos_view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Absorption by cloud in the infrared bands.

        Args:
            clouds: Cloud by level.
            cos_view: Cosine of the sensor zenith angle, (pixels,).

        Returns:
            absorption: Absorption optical depth of each level along the vertical, (bands, levels, pixels).
            backscatter: Share of the radiance from above that a level sends back instead of emitting, same shape.
        """
        bands = len(self.infrared_bands_um)
        shape = clouds.liquid_optical_depth.shape
        absorption = np.zeros((bands, shape[0] * shape[1]), np.float32)
        backscatter = np.zeros_like(absorption)
        view = _position(cos_view, self._axes["view_cosine"])
        for row, depth, radius_um in (
            (LIQUID_ROW, clouds.liquid_optical_depth, clouds.liquid_radius_um),
            (ICE_ROW, clouds.ice_optical_depth, clouds.ice_radius_um),
        ):
            cloudy = np.flatnonzero(depth)
            if not len(cloudy):
                continue
            radius = _position(np.log(radius_um.reshape(-1)[cloudy]), self._log_radius[row])
            values = multilinear(self._infrared[row], (radius, view[cloudy % shape[1]])).T
            own = values[:bands] * depth.reshape(-1)[cloudy]
            absorption[:, cloudy] += own
            backscatter[:, cloudy] += own * values[bands:]
        np.divide(backscatter, absorption, out=backscatter, where=absorption > 0)
        return absorption.reshape(bands, *shape), backscatter.reshape(bands, *shape)


def _position(values: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Positions of values in steps along ascending nodes, clipped to the ends."""
    return np.interp(values, nodes, np.arange(len(nodes))).astype(np.float32)
