"""Fills the blind zone of a radar's file: any product, any length, with uncertainty, on the file's own grid."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ..datasets.shards import NETCDF_LOCK, new_file
from ..errors import DataError, InputError, check, check_choice
from ..ingest import RadarRecord
from ..ingest.curtain import ROW_DEPTH_M, ROWS
from ..ingest.radar import PRODUCTS
from ..tasks import BlindZone
from ..uncertainty import Calibration, DeepEnsemble, calibration_of
from .inpaint_attributes import global_attributes
from .inpaint_columns import grid_of
from .inpaint_opening import RecordOptions, blind_zone_view, check_fillable, is_scene, open_record, open_scene
from .inpaint_windows import STRETCH_COLUMNS, Filler, WindowPlan, fill_segment
from .inpaint_writing import FLAG_MEANINGS, FilledFile

logger = logging.getLogger("cloudkeras")

INPAINT_PRODUCTS = ("auto", "cloudnet", *PRODUCTS, "scene")


@dataclass(frozen=True)
class Inpainted:
    """What was filled.

    Attributes:
        path: The file.
        product: Of the input.
        blind_zone_top_m: Top of the blind zone, m above ground.
        hidden_rows: Rows that the network did not see.
        members: Members drawn for each window.
        calibrated: Whether they were recalibrated.
        segments: Stretches of the record between gaps that were filled.
        gates: Number of gates by flag meaning.
        record: The record that was read; None for a scene.
        variable: Name of the reflectivity in the file.
        profile_axis: Which of its dimensions counts profiles.
        time: (profile,) s since 1970-01-01 UTC, in the order of the file; from 0 in a scene without times.
        height: (gate,) or (profile, gate) m above ground.
    """

    path: Path
    product: str
    blind_zone_top_m: float
    hidden_rows: int
    members: int
    calibrated: bool
    segments: int
    gates: dict[str, int]
    record: RadarRecord | None
    variable: str
    profile_axis: int
    time: np.ndarray
    height: np.ndarray


def inpaint(
    path: str | Path,
    model: Any,
    out: str | Path,
    *,
    product: str = "auto",
    context: Sequence[str | Path] | None = None,
    blind_zone_top_m: float | None = None,
    members: int = 50,
    seed: int = 0,
    statistic: str = "median",
    calibration: Calibration | str | Path | bool = True,
    interpolation: str = "linear",
    row_depth_m: float | None = None,
    step_s: float | None = None,
    max_gap_s: float | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    stretch_columns: int = STRETCH_COLUMNS,
    progress: Callable[[int, int], None] | None = None,
    **radar: Any,
) -> Inpainted:
    """Fills the blind zone of a record and writes it beside what was observed, as CF NetCDF.

    The reflectivity keeps its name, type, packing and attributes, and outside the blind zone every stored value to the
    bit; coordinates and location are the input's. A file without reflectivity (Cloudnet's ice water content) gets the
    re-derived one. Inside the blind zone nothing of the input is used or kept.

    The record is put on the network's grid as in training (`radar_curtain`) and cut at gaps; windows overlap along time
    and are blended with smooth weights (see `Blend`), and the result is brought back to the file's gates and profiles.
    A segment shorter than a window is mirrored at its end; one shorter than an eighth of a window is not filled. A
    profile without a value above the blind zone stays missing. What is filled without echo is missing in a file's own
    reflectivity, as its gates without echo are (in a scene and in re-derived reflectivity -60 dBZ); `filled` tells it
    from what could not be filled.

    Args:
        path: A radar's file (see `read_radar`), or a scene of the task (`reflectivity(height, profile)`).
        model: A run (`load_run`), a `DeepEnsemble`, or the folder of a run; several folders make an ensemble.
        out: The file to write; it appears under its name when it is complete.
        product: Of the input: one of `INPAINT_PRODUCTS`; "auto" recognizes it.
        context: Files of model columns: temperature for ice water content, and what the network's context needs.
        blind_zone_top_m: Top of the blind zone, m above ground; None for the rows that the network hides by itself.
            Lower than it was trained for hides as much as in training and fills only below; higher is refused.
        members: Members to draw; a model that always says the same gives one.
        seed: Of the members.
        statistic: What is written: "median" of the members (an echo where its probability is 0.5, or the threshold of
            the calibration, or more), or their "mean".
        calibration: True for the one in the run's folder, if there is one; False for none; or a file.
        interpolation: Between the network's rows and columns: "linear" or "nearest".
        row_depth_m: Depth of the network's rows; None for that of the training, 78.1 if it is not known.
        step_s: Duration of a column; None for that of the training, or of the record where they are nearly the same.
        max_gap_s: Longest gap that is bridged, in s; None for two columns.
        overlap: Columns that windows share; None for half a window. A quarter of them at each end are not used, where a
            network feels the edge of its window.
        batch_size: Windows at once.
        stretch_columns: Columns held in memory at a time.
        progress: Called with the windows done and the windows in all.
        **radar: Further options of `read_radar`.

    Returns:
        What was filled.

    Raises:
        InputError: If an option is wrong or something the network needs is not given.
        DataError: If the file is not as it should be, or nothing in it can be filled.
    """
    path, out = Path(path), Path(out)
    check_choice(product, INPAINT_PRODUCTS, "product")
    check_choice(interpolation, ("linear", "nearest"), "interpolation")
    check_choice(statistic, ("median", "mean"), "statistic")
    check(batch_size >= 1, "`batch_size` is at least 1.", batch_size=batch_size)
    _check_paths(path, out)
    source = open_model(model)
    chosen = _calibration(source, calibration)
    trained = grid_of(getattr(source, "runs", (source,))[0])
    depth = trained.get("row_depth_m", ROW_DEPTH_M) if row_depth_m is None else row_depth_m
    filler = Filler(source, source.task, members, seed, statistic, chosen)
    rows, width = filler.size()
    view = blind_zone_view(source.task, rows or ROWS, depth, blind_zone_top_m)
    filler = dataclasses.replace(filler, task=hiding(source.task, view.hidden_rows))
    _check_calibration(filler, source.task)
    shared = width // 2 if overlap is None else overlap
    with contextlib.ExitStack() as stack:
        if product == "scene" or (product == "auto" and is_scene(path)):
            opened = open_scene(stack, path, filler, view, max_gap_s)
        else:
            options = RecordOptions(product, context, step_s, trained.get("column_s"), max_gap_s, radar)
            opened = open_record(stack, path, filler.task, view, options)
        plan = WindowPlan(opened.columns, width, shared, shared // 4, stretch_columns)
        check_fillable(opened, plan, view)
        with _created(out) as output:
            file = FilledFile(
                *(output, opened.grid, filler, opened.columns, view.top_m, depth, interpolation == "linear"),
                fillable=opened.fillable,
            )
            _write(file, plan, batch_size, progress)
            attributes = global_attributes(source, opened, filler, view, plan, interpolation)
            with NETCDF_LOCK:
                output.setncatts(attributes)
    gates = dict(zip(FLAG_MEANINGS.split(), file.counts.tolist(), strict=True))
    grid = opened.grid
    return Inpainted(
        path=out,
        product=opened.product,
        blind_zone_top_m=view.top_m,
        hidden_rows=view.hidden_rows,
        members=filler.drawn,
        calibrated=chosen is not None,
        segments=len(plan.segments()),
        gates=gates,
        record=opened.record,
        variable=grid.name,
        profile_axis=grid.profile_axis,
        time=grid.time,
        height=grid.height,
    )


def _write(file: FilledFile, plan: WindowPlan, batch_size: int, progress: Callable[[int, int], None] | None) -> None:
    file.define()
    file.copy_observed(plan.segments())
    done, total = 0, plan.count()

    def step(windows: int) -> None:
        nonlocal done
        done += windows
        if progress is not None:
            progress(done, total)

    if progress is not None:
        progress(0, total)
    for segment in plan.segments():
        for start, statistics in fill_segment(file.filler, plan, *segment, batch_size, step):
            file.fill(segment, start, statistics)


# ---- the model -----------------------------------------------------------------------------------------------------


def open_model(model: Any) -> Any:
    """A run or a `DeepEnsemble` of the task `blind_zone`, from itself, a folder or several.

    Raises:
        InputError: If it is for another task, or a folder is not that of a run.
    """
    from ..training import load_run

    if isinstance(model, str | Path):
        model = [model]
    if isinstance(model, Sequence):
        folders = [str(Path(one).resolve()) for one in model if isinstance(one, str | Path)]
        check(len(set(folders)) == len(folders), "The runs of an ensemble are different ones.", model=folders)
        runs = [load_run(one) if isinstance(one, str | Path) else one for one in model]
        check(len(runs) > 0, "`model` names at least one run.", model=model)
        model = runs[0] if len(runs) == 1 else DeepEnsemble(runs)
    if not isinstance(model.task, BlindZone):
        raise InputError(
            f"Filling needs a run of the task 'blind_zone'; '{model.name}' is for '{model.task.name}'. "
            "`cloudkeras predict` applies it to a scene."
        )
    return model


def _calibration(source: Any, wanted: Calibration | str | Path | bool) -> Calibration | None:
    if isinstance(wanted, bool):
        return calibration_of(source) if wanted else None
    return wanted if isinstance(wanted, Calibration) else Calibration.load(wanted)


def _check_calibration(filler: Filler, trained: BlindZone) -> None:
    """Says where a calibration is used beyond what it was fitted for."""
    calibration = filler.calibration
    if calibration is None:
        return
    check_choice(filler.task.name, (calibration.task,), "the task of the calibration")
    if calibration.members != filler.drawn:
        logger.warning(
            "the calibration was fitted with %d members and is used with %d: take as many",
            *(calibration.members, filler.drawn),
        )
    if filler.task.blind_rows != trained.blind_rows:
        logger.warning(
            "the calibration was fitted with %d hidden rows and is used with %d",
            *(trained.blind_rows, filler.task.blind_rows),
        )


def hiding(task: BlindZone, rows: int) -> BlindZone:
    """The task with so many rows hidden."""
    return dataclasses.replace(task, blind_rows=rows, train_blind_rows=None)


def _check_paths(path: Path, out: Path) -> None:
    if not path.exists():
        raise DataError(path, expected="a radar file or a scene", found="no such file", remedy="Check the path.")
    check(not out.is_dir(), "The output is a file, not a folder.", out=str(out))
    check(
        not out.exists() or not os.path.samefile(path, out),
        "The output is another file than the input.",
        out=str(out),
    )


@contextlib.contextmanager
def _created(path: Path) -> Iterator[netCDF4.Dataset]:
    """A NetCDF-4 file under a temporary name, renamed to `path` on success and removed on any failure."""
    with new_file(path) as partial:
        with NETCDF_LOCK:
            dataset = netCDF4.Dataset(partial, "w")
        try:
            yield dataset
        finally:
            with NETCDF_LOCK:
                dataset.close()
