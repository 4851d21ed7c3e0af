"""What a variable of a shard is: dimensions, unit, valid range, packing. The same table writes, reads and validates."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
CONVENTIONS = "CF-1.11"

CLASS_MISSING = -1  # a voxel without a label; never a class
NO_ECHO_DBZ = -60.0  # reflectivity of a radar pixel that was observed and holds no echo
ECHO_ABOVE_DBZ = NO_ECHO_DBZ + 0.005  # half a step of the packing above it, so that rounding makes no echo


@dataclass(frozen=True)
class Packing:
    """How a physical quantity is stored, the CF way: `physical = packed * scale_factor + add_offset`.

    Attributes:
        dtype: NumPy name of the stored type, e.g. "i2", "i1", "f4".
        scale_factor: Physical units per stored unit; None stores the values as they are.
        add_offset: Physical value of stored 0.
        fill: The stored value that means missing; None where the variable is never missing.
    """

    dtype: str
    scale_factor: float | None = None
    add_offset: float = 0.0
    fill: float | None = None


@dataclass(frozen=True)
class Variable:
    """One variable of a shard.

    Attributes:
        name: Its name in the file.
        dims: Its dimensions in the file, "sample" first.
        units: UDUNITS string, "1" for dimensionless.
        valid_range: Smallest and largest physical value that is not an error.
        packing: How it is stored.
        long_name: Plain words for a figure's axis.
        standard_name: CF standard name, "" where there is none.
        required: Whether a shard without it is refused.
        flag_meanings: For class variables, the names of classes 0, 1, ...
        sizes: Sizes that never vary, one an entry of `dims`, None where any size goes; empty where none is fixed.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    valid_range: tuple[float, float]
    packing: Packing
    long_name: str
    standard_name: str = ""
    required: bool = True
    flag_meanings: tuple[str, ...] = ()
    sizes: tuple[int | None, ...] = ()
