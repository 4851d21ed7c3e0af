"""Physical values to stored values and back, the CF way, checked on the way in."""

from __future__ import annotations

import numpy as np

from ..errors import InputError, check
from .schema import Packing, Variable


def tolerance(variable: Variable) -> float:
    """How far outside its valid range a value may lie for rounding alone, in physical units."""
    if variable.packing.scale_factor is not None:
        return 0.5 * abs(variable.packing.scale_factor)
    largest = max(abs(limit) for limit in variable.valid_range)
    return 1e-6 * largest if variable.packing.dtype.startswith("f") else 0.0


def pack(variable: Variable, values: np.ndarray) -> np.ndarray:
    """Stored values of physical ones: rounded to the nearest step, missing ones as the fill value.

    Args:
        variable: Says how it is stored.
        values: Physical values with NaN for missing, or integer classes with the fill value for missing.

    Returns:
        An array of `variable.packing.dtype`, same shape.

    Raises:
        InputError: If a value is infinite, outside the valid range, or missing where nothing may be. Nothing is
            clipped.
    """
    values = np.asarray(values)
    check(values.dtype.kind in "fiub", f"'{variable.name}' is numeric.", dtype=str(values.dtype))
    packing, name = variable.packing, variable.name
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if packing.fill is not None and (packing.scale_factor is None or values.dtype.kind != "f"):
        missing |= values == packing.fill
    if missing.any() and packing.fill is None:
        where = tuple(int(i) for i in np.argwhere(missing)[0])
        raise InputError(
            f"'{name}' may not be missing (it has no fill value). Received NaN at {where} of {values.shape}."
        )
    _check_range(variable, values, missing)
    scale = 1.0 if packing.scale_factor is None else packing.scale_factor
    if np.dtype(packing.dtype).kind == "f":
        stored = ((values - packing.add_offset) / scale).astype(packing.dtype)
    else:
        filled = np.where(missing, packing.add_offset, values) if missing.any() else values
        whole = scale == 1 and packing.add_offset == 0
        if whole and values.dtype.kind == "f":
            _check_whole(name, filled)
        stored = filled if whole else np.rint((filled.astype(np.float64) - packing.add_offset) / scale)
        stored = stored.astype(packing.dtype)
    if packing.fill is not None:
        stored[missing] = packing.fill
    return stored


def unpack(stored: np.ndarray, packing: Packing) -> np.ndarray:
    """Physical float32 values with NaN for missing; integers stored as they are (classes, indices) stay integers."""
    if packing.scale_factor is None and stored.dtype.kind in "iu":
        return stored
    values = stored.astype(np.float32)
    if packing.scale_factor is not None:
        values *= np.float32(packing.scale_factor)
    if packing.add_offset:
        values += np.float32(packing.add_offset)
    if packing.fill is not None:
        np.copyto(values, np.nan, where=stored == np.asarray(packing.fill, stored.dtype))
    return values


def _check_range(variable: Variable, values: np.ndarray, missing: np.ndarray) -> None:
    low, high = variable.valid_range
    slack = tolerance(variable)
    outside = ~((values >= low - slack) & (values <= high + slack)) & ~missing
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise InputError(
            f"'{variable.name}' lies within {low:g} and {high:g} (unit '{variable.units}'). "
            f"Received {values[where]!s} at {where} of {values.shape}, {int(outside.sum())} such values; "
            "mark missing values as NaN, and check the unit."
        )


def _check_whole(name: str, values: np.ndarray) -> None:
    fraction = values != np.rint(values)
    check(not fraction.any(), f"'{name}' holds whole numbers.", first=values[fraction][:1].tolist())
