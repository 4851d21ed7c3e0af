"""Opens what is filled: a radar's file of any product, or a scene of the task."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from ..errors import DataError, InputError, check
from ..ingest import ModelFiles, RadarRecord, read_radar
from ..ingest.curtain import row_heights
from ..ingest.geoprof import is_hdf4
from ..ingest.netcdf import open_granule
from ..tasks import BlindZone
from .inpaint_columns import Columns, column_step, record_columns, scene_columns, scene_times
from .inpaint_grid import FileGrid, NetcdfGrid, closing, grid_for
from .inpaint_windows import Filler, WindowPlan
from .reading import SceneReader

logger = logging.getLogger("cloudkeras")

_ROUNDING_ROWS = 0.05


@dataclass(frozen=True)
class Opened:
    """An input on its way: its grid, the columns that the network sees, and which profiles can be filled."""

    product: str
    grid: FileGrid
    columns: Columns
    fillable: np.ndarray
    record: RadarRecord | None = None


@dataclass(frozen=True)
class View:
    """How the network looks at a record: its rows, their depth, and which of them are hidden."""

    rows: int
    row_depth_m: float
    hidden_rows: int
    top_m: float


def blind_zone_view(task: BlindZone, rows: int, depth_m: float, top_m: float | None) -> View:
    """Which rows to hide for a blind zone up to `top_m`.

    Raises:
        InputError: If the network was not trained for so high a blind zone.
    """
    check(math.isfinite(depth_m) and depth_m > 0, "`row_depth_m` is above 0.", row_depth_m=depth_m)
    if top_m is None:
        return View(rows, depth_m, task.blind_rows, task.blind_rows * depth_m)
    check(
        math.isfinite(top_m) and top_m >= depth_m,
        f"`blind_zone_top_m` is in metres above ground, at least a row of the network ({depth_m:g} m).",
        blind_zone_top_m=top_m,
    )
    fewest, most = task.train_blind_rows or (task.blind_rows, task.blind_rows)
    hidden = max(1, math.ceil(top_m / depth_m - _ROUNDING_ROWS))
    if hidden > most:
        raise InputError(
            f"The model was trained for blind zones up to {most * depth_m:.0f} m ({most} rows of {depth_m:g} m). "
            f"Received a top of {top_m:g} m. Train one for it: --set 'task.train_blind_rows=[{fewest},{hidden}]'."
        )
    if hidden < fewest:
        logger.warning(
            "the model was trained for blind zones from %.0f m: what lies between %g m and that is kept, but not "
            "seen by the network",
            *(fewest * depth_m, top_m),
        )
        hidden = fewest
    return View(rows, depth_m, hidden, min(top_m, hidden * depth_m))


def is_scene(path: Path) -> bool:
    """Whether a file looks like a scene of the task: `reflectivity(height, profile)`."""
    if path.is_file() and is_hdf4(path):
        return False
    with open_granule(path) as dataset:
        variable = dataset.variables.get("reflectivity")
        return variable is not None and variable.dimensions == ("height", "profile")


@dataclass(frozen=True)
class RecordOptions:
    """How a radar's file is read.

    Attributes:
        product: See `read_radar`.
        context: Files of model columns.
        step_s: Duration of a column; None for that of the training.
        trained_step_s: That of the training, if it is known.
        max_gap_s: See `radar_curtain`.
        radar: Further options of `read_radar`.
    """

    product: str = "auto"
    context: Sequence[str | Path] | None = None
    step_s: float | None = None
    trained_step_s: float | None = None
    max_gap_s: float | None = None
    radar: dict[str, Any] = field(default_factory=dict)


def open_record(stack: contextlib.ExitStack, path: Path, task: BlindZone, view: View, options: RecordOptions) -> Opened:
    """Opens a radar's file.

    Raises:
        InputError: If model columns are needed and not given.
        DataError: If the file is not as it should be.
    """
    context = options.context
    temperature = ModelFiles(context, names=("temperature",)) if context else None
    record = read_radar(path, product=options.product, model=temperature, **options.radar)
    model = None
    if names := task.context_names():
        if not context:
            raise InputError(
                f"The model was trained with {', '.join(names)} as context. Give files of model columns that cover "
                "the record: `cloudkeras inpaint --context FILE`, or take a model of reflectivity alone."
            )
        if isinstance(record.latitude, np.ndarray) or isinstance(record.longitude, np.ndarray):
            raise DataError(
                path,
                expected="a radar that stands still, for a model with context",
                found="a track",
                remedy="Take a model of reflectivity alone.",
            )
        model = ModelFiles(context, names=names).at(record.latitude, record.longitude, float(np.mean(record.altitude)))
    elif context and record.product != "cloudnet-iwc":
        logger.info("context files are not used: the model sees reflectivity alone")
    columns, fillable = record_columns(
        record,
        model,
        rows=view.rows,
        row_depth_m=view.row_depth_m,
        hidden_m=view.top_m,
        step_s=column_step(record, options.trained_step_s) if options.step_s is None else options.step_s,
        max_gap_s=options.max_gap_s,
    )
    grid = stack.enter_context(closing(grid_for(record)))
    index = np.searchsorted(record.time, grid.time).clip(0, len(record.time) - 1)
    return Opened(record.product, grid, columns, fillable[index], record)


def open_scene(stack: contextlib.ExitStack, path: Path, filler: Filler, view: View, max_gap_s: float | None) -> Opened:
    """Opens a scene, which is read as it is needed.

    Raises:
        DataError: If it is not as the network needs it.
    """
    reader = stack.enter_context(SceneReader(path, filler.task, filler.source.statistics))
    if reader.rows != view.rows:
        raise DataError(path, expected=f"{view.rows} rows along 'height', as in training", found=str(reader.rows))
    heights = row_heights(view.rows, view.row_depth_m)
    _check_scene_heights(reader, heights, view.row_depth_m)
    columns, order, has_values = scene_columns(reader, view.hidden_rows, max_gap_s)
    time = scene_times(reader)
    grid = stack.enter_context(closing(NetcdfGrid(path, "reflectivity", time, heights, "profile", NO_ECHO_DBZ)))
    index = np.searchsorted(time[order], time).clip(0, len(order) - 1)
    return Opened("scene", grid, columns, has_values[index])


def _check_scene_heights(reader: SceneReader, expected: np.ndarray, depth_m: float) -> None:
    """Refuses a scene whose rows are not those of the training."""
    variable = reader.dataset.variables.get("height")
    if variable is None or variable.dimensions != ("height",):
        return
    scale = {"m": 1.0, "km": 1e3}.get(str(getattr(variable, "units", "m")), 1.0)
    height = np.asarray(variable[...], np.float64) * scale
    if np.abs(height - expected).max() > 0.5 * depth_m:
        raise DataError(
            reader.path,
            variable="height",
            expected=f"rows {depth_m:g} m apart from {expected[0]:g} m above ground, as in training",
            found=f"{height[0]:g} to {height[-1]:g} m",
            remedy="Interpolate the scene to these heights, or give the radar's own file.",
        )


def check_fillable(opened: Opened, plan: WindowPlan, view: View) -> None:
    """Refuses a record in which nothing can be filled."""
    gates = opened.grid.blind_gates(view.top_m)
    if gates.start == gates.stop:
        lowest = float(np.nanmin(np.where(opened.grid.height >= 0, opened.grid.height, np.nan)))
        raise DataError(
            opened.grid.path,
            variable="height",
            expected=f"gates below the top of the blind zone, {view.top_m:.0f} m above ground",
            found=f"the lowest at {lowest:.0f} m",
            remedy="Give a higher --blind-zone-top, if the model serves it.",
        )
    if not plan.segments():
        lengths = [stop - first for first, stop in opened.columns.segments()]
        raise DataError(
            opened.grid.path,
            variable="time",
            expected=f"at least {plan.shortest} columns of {opened.columns.step_s:g} s without a gap, "
            f"an eighth of the network's window of {plan.width}",
            found=f"{max(lengths, default=0)} columns at most",
            remedy="Take a longer record, or bridge longer gaps (--max-gap).",
        )
