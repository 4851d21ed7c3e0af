"""What a variable of a shard is: dimensions, unit, valid range, packing. The same table writes, reads and validates."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check

SCHEMA_VERSION = 1
CONVENTIONS = "CF-1.11"

CLASS_MISSING = -1  # a voxel without a label; never a class
NO_ECHO_DBZ = -60.0  # reflectivity of a radar pixel that was observed and holds no echo
ECHO_ABOVE_DBZ = NO_ECHO_DBZ + 0.005  # half a step of the packing above it, so that rounding makes no echo
HEIGHT_ATTRIBUTES = {
    "units": "m",
    "long_name": "height above ground",
    "standard_name": "height",
    "positive": "up",
    "axis": "Z",
}
"""CF attributes of the rows of a radar curtain."""


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
        dims: Its dimensions in the file, "sample" first. Without "sample" it is static: the same for all samples, and
            stored once in each shard.
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

    @property
    def static(self) -> bool:
        """Whether all samples share it."""
        return "sample" not in self.dims


@dataclass(frozen=True)
class Windows:
    """How a task cuts windows out of samples that are too large to be an image of a network.

    In training an epoch takes `crops_per_sample` random crops of every sample. Otherwise a sample is covered by tiles:
    a regular stride of `tile - 2 margin` pixels and a last tile that ends where the sample ends. The core of a tile,
    which is what is judged of it, keeps `margin` pixels away from the tile's edges except where they are the sample's;
    each pixel is in the core of one tile. Windows larger than a sample are cut to it (`windows.fitted`).

    Attributes:
        crop: Rows and columns of a crop.
        crops_per_sample: Crops of each sample in an epoch.
        tile: Rows and columns of a tile.
        margin: Pixels between a tile's inner edges and its core.

    Raises:
        InputError: If a number is out of range.
    """

    crop: tuple[int, int]
    crops_per_sample: int
    tile: tuple[int, int]
    margin: int

    def __post_init__(self) -> None:
        check(min(self.crop) >= 1, "A crop has at least 1 row and 1 column.", crop=self.crop)
        check(min(self.tile) >= 1, "A tile has at least 1 row and 1 column.", tile=self.tile)
        check(self.crops_per_sample >= 1, "At least 1 crop is taken of a sample.", crops=self.crops_per_sample)
        check(self.margin >= 0, "`margin` is 0 pixels or more.", margin=self.margin)
