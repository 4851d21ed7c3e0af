"""One day of a benchmark folder, predicted on its whole grid."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, check
from ..ingest.meltwater_days import BenchmarkDays
from ..ingest.meltwater_splits import day_seconds
from ..tasks import Fields, Task
from .products import output_dims
from .scene import Predictor, Progress, Window, scene_tiles, stream
from .tiling import AxisTiles

STEP, MISSING = 1e-4, -32768  # fractions are stored as int16, packed as in the shards


class DaySource:
    """The inputs of a task on a day, in memory; see `scene.Source`.

    Args:
        days: The rasters.
        task: Says which variables are read, and nothing else is.
    """

    def __init__(self, days: BenchmarkDays, task: Task) -> None:
        self.days, self.task = days, task
        self.path: Path = days.layout.root
        self.rows, self.columns = days.grid.shape
        self.fields: Fields = {}
        self.time_start = np.asarray(np.nan)

    def load(self, day: datetime.date) -> None:
        """Reads a day in place of the one before.

        Raises:
            InputError: If the task reads what the rasters do not give.
            DataError: If a raster of the day is missing or wrong, or nowhere is there all that the task needs.
        """
        images = [name for name, dims in self.task.physical_inputs().items() if dims]
        static = self.days.static()
        self.fields = {}
        fields = self.days.fields(day, target=False, names=images)
        fields |= {name: static[name] for name in (*images, *self.task.mask_names()) if name in static}
        absent = [name for name in images if name not in fields]
        check(
            not absent,
            f"Rasters in the layout of MeltwaterBench do not give {', '.join(absent)}, which '{self.task.name}' reads.",
            folder=str(self.path),
        )
        covered = self.task.covered(fields)
        if covered is not None and not covered.any():
            raise DataError(
                self.path,
                expected=f"land on which PMW and MAR have values on {day.isoformat()}",
                found="none",
                remedy="The day cannot be mapped.",
            )
        self.fields, self.time_start = fields, np.asarray(day_seconds(day), np.float64)

    def read(self, rows: slice, columns: slice) -> Fields:
        """A window of the inputs in physical units, and the start of the day as `time_start`."""
        fields = {name: np.asarray(values[rows, columns], np.float32) for name, values in self.fields.items()}
        return {**fields, "time_start": self.time_start}


@dataclass
class DayMap:
    """What was predicted for a day, as it is stored.

    Attributes:
        values: (y, x) int16 in steps of `STEP`; `MISSING` where there is no result.
        spread: The standard deviation over the members likewise; None for one member.
    """

    values: np.ndarray
    spread: np.ndarray | None = None

    @property
    def bands(self) -> list[np.ndarray]:
        """The images in the order of a raster's bands."""
        return [self.values] if self.spread is None else [self.values, self.spread]


def predict_day(
    predictor: Predictor, source: DaySource, tiles: tuple[AxisTiles, AxisTiles], progress: Progress | None = None
) -> DayMap:
    """Predicts a day tile by tile.

    Args:
        predictor: The method with its members.
        source: The day, loaded.
        tiles: Along rows and columns; see `day_tiles`.
        progress: Called with the tiles done and the tiles in all.
    """
    shape = (source.rows, source.columns)
    fill = np.int16(MISSING)
    result = DayMap(np.full(shape, fill), np.full(shape, fill) if predictor.members > 1 else None)

    def write(window: Window, mean: np.ndarray, spread: np.ndarray | None, block: Fields) -> None:
        covered = source.task.covered(block)
        where = np.ones(mean.shape, bool) if covered is None else covered
        result.values[window] = pack_fraction(mean, where)
        if result.spread is not None and spread is not None:
            result.spread[window] = pack_fraction(spread, where)

    whole = tiles[1].padded_size + tiles[1].tile  # a day is in memory anyway: no tile is done twice
    stream(predictor, source, tiles, write, stretch_columns=whole, progress=progress)
    return result


def day_tiles(method: Any, source: DaySource, tile: int | None, overlap: int | None, margin: int | None) -> Any:
    """The tiles of a day; see `scene.scene_tiles`.

    Raises:
        InputError: If the method gives no image of fractions, or the tile does not fit it.
    """
    task = source.task
    fits = task.kind == "regression" and output_dims(task) == ("y", "x") and task.output_range().high <= 1
    check(fits, "Maps are made of methods that predict a fraction (y, x).", task=task.name)
    return scene_tiles(method, source, tile, overlap, margin)


def pack_fraction(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Fractions as int16 in steps of `STEP`, `MISSING` outside of `where` and at NaN."""
    steps = np.rint(values / np.float32(STEP))
    return np.where(where & np.isfinite(values), steps, MISSING).astype(np.int16)


def unpack_fraction(values: np.ndarray) -> np.ndarray:
    """The fractions of `pack_fraction`, float32 with NaN."""
    physical = values.astype(np.float32) * np.float32(STEP)
    return np.where(values == MISSING, np.float32(np.nan), physical)
