"""Fills the blind zone of a radar's file: any product, any length, with uncertainty, on the file's own grid."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from .._version import __version__
from ..datasets.manifest import file_sha256
from ..datasets.schema import CONVENTIONS, NO_ECHO_DBZ
from ..datasets.shards import NETCDF_LOCK, new_file
from ..errors import DataError, InputError, check, check_choice
from ..ingest import ModelFiles, RadarRecord, read_radar
from ..ingest.curtain import ROW_DEPTH_M, ROWS, row_heights
from ..ingest.geoprof import is_hdf4
from ..ingest.netcdf import open_granule
from ..ingest.radar import PRODUCTS
from ..tasks import BlindZone
from ..uncertainty import Calibration, DeepEnsemble, calibration_of
from .inpaint_columns import Columns, column_step, grid_of, record_columns, scene_columns, scene_times
from .inpaint_grid import FileGrid, NetcdfGrid, closing, grid_for
from .inpaint_windows import STRETCH_COLUMNS, Filler, WindowPlan, fill_segment
from .inpaint_writing import FLAG_MEANINGS, FilledFile
from .reading import SceneReader

logger = logging.getLogger("cloudkeras")

INPAINT_PRODUCTS = ("auto", "cloudnet", *PRODUCTS, "scene")
_ROUNDING_ROWS = 0.05
_KEPT_ATTRIBUTES = (
    "title", "location", "institution", "year", "month", "day", "references",
    "site_id", "facility_id", "datastream", "simulated", "cloudnet_file_type",
)  # fmt: skip
_IDENTIFIERS = ("pid", "file_uuid", "doi")  # of the input, not of what is made from it


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


@dataclass(frozen=True)
class _Opened:
    """An input on its way: its grid, the columns that the network sees, and which profiles can be filled."""

    product: str
    grid: FileGrid
    columns: Columns
    fillable: np.ndarray
    record: RadarRecord | None = None


@dataclass(frozen=True)
class _View:
    """How the network looks at a record: its rows, their depth, and which of them are hidden."""

    rows: int
    row_depth_m: float
    hidden_rows: int
    top_m: float


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
        overlap: Columns that windows share; None for a quarter of a window.
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
    depth = row_depth_m or trained.get("row_depth_m", ROW_DEPTH_M)
    filler = Filler(source, source.task, members, seed, statistic, chosen)
    rows, width = filler.size()
    view = _view(source.task, rows or ROWS, depth, blind_zone_top_m)
    filler = dataclasses.replace(filler, task=hiding(source.task, view.hidden_rows))
    _check_calibration(filler, source.task)
    shared = width // 4 if overlap is None else overlap
    with contextlib.ExitStack() as stack:
        if product == "scene" or (product == "auto" and _is_scene(path)):
            opened = _open_scene(stack, path, filler, view, max_gap_s)
        else:
            opened = _open_record(
                stack, path, filler.task, view, product, context, step_s, trained.get("column_s"), max_gap_s, radar
            )
        plan = WindowPlan(opened.columns, width, shared, shared // 8, stretch_columns)
        _check_fillable(opened, plan, view)
        with _created(out) as output:
            file = FilledFile(
                *(output, opened.grid, filler, opened.columns, view.top_m, depth, interpolation == "linear"),
                fillable=opened.fillable,
            )
            _write(file, plan, batch_size, progress)
            attributes = _attributes(source, opened, filler, view, plan, interpolation)
            with NETCDF_LOCK:
                output.setncatts(attributes)
    gates = dict(zip(FLAG_MEANINGS.split(), file.counts.tolist(), strict=True))
    return Inpainted(
        out,
        opened.product,
        view.top_m,
        view.hidden_rows,
        filler.drawn,
        chosen is not None,
        len(plan.segments()),
        gates,
        opened.record,
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


def _view(task: BlindZone, rows: int, depth_m: float, top_m: float | None) -> _View:
    """Which rows to hide for a blind zone up to `top_m`.

    Raises:
        InputError: If the network was not trained for so high a blind zone.
    """
    check(math.isfinite(depth_m) and depth_m > 0, "`row_depth_m` is above 0.", row_depth_m=depth_m)
    if top_m is None:
        return _View(rows, depth_m, task.blind_rows, task.blind_rows * depth_m)
    check(math.isfinite(top_m) and top_m > 0, "`blind_zone_top_m` is above 0.", blind_zone_top_m=top_m)
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
    return _View(rows, depth_m, hidden, min(top_m, hidden * depth_m))


# ---- the input -----------------------------------------------------------------------------------------------------


def _check_paths(path: Path, out: Path) -> None:
    if not path.exists():
        raise DataError(path, expected="a radar file or a scene", found="no such file", remedy="Check the path.")
    check(not out.is_dir(), "The output is a file, not a folder.", out=str(out))
    check(
        not out.exists() or not os.path.samefile(path, out),
        "The output is another file than the input.",
        out=str(out),
    )


def _is_scene(path: Path) -> bool:
    if path.is_file() and is_hdf4(path):
        return False
    with open_granule(path) as dataset:
        variable = dataset.variables.get("reflectivity")
        return variable is not None and variable.dimensions == ("height", "profile")


def _open_record(
    stack: contextlib.ExitStack,
    path: Path,
    task: BlindZone,
    view: _View,
    product: str,
    context: Sequence[str | Path] | None,
    step_s: float | None,
    trained_step_s: float | None,
    max_gap_s: float | None,
    radar: dict[str, Any],
) -> _Opened:
    temperature = ModelFiles(context, names=("temperature",)) if context else None
    record = read_radar(path, product=product, model=temperature, **radar)
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
        step_s=step_s if step_s is not None else column_step(record, trained_step_s),
        max_gap_s=max_gap_s,
    )
    grid = stack.enter_context(closing(grid_for(record)))
    index = np.searchsorted(record.time, grid.time).clip(0, len(record.time) - 1)
    return _Opened(record.product, grid, columns, fillable[index], record)


def _open_scene(
    stack: contextlib.ExitStack, path: Path, filler: Filler, view: _View, max_gap_s: float | None
) -> _Opened:
    reader = stack.enter_context(SceneReader(path, filler.task, filler.source.statistics))
    if reader.rows != view.rows:
        raise DataError(path, expected=f"{view.rows} rows along 'height', as in training", found=str(reader.rows))
    heights = row_heights(view.rows, view.row_depth_m)
    _check_scene_heights(reader, heights, view.row_depth_m)
    columns, order, has_values = scene_columns(reader, view.hidden_rows, max_gap_s)
    time = scene_times(reader)
    grid = stack.enter_context(closing(NetcdfGrid(path, "reflectivity", time, heights, "profile", NO_ECHO_DBZ)))
    index = np.searchsorted(time[order], time).clip(0, len(order) - 1)
    return _Opened("scene", grid, columns, has_values[index])


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


def _check_fillable(opened: _Opened, plan: WindowPlan, view: _View) -> None:
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


# ---- the output ----------------------------------------------------------------------------------------------------


def _attributes(
    source: Any, opened: _Opened, filler: Filler, view: _View, plan: WindowPlan, interpolation: str
) -> dict[str, Any]:
    from ..export import model_card

    given = opened.grid.attributes
    runs = getattr(source, "runs", (source,))
    cards = [model_card(run) for run in runs]
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    step = f"{now}: cloudkeras {__version__} inpaint, model {source.name}, input {opened.grid.path.name}"
    title = str(given.get("title", "")) or f"Radar reflectivity of {opened.grid.path.name}"
    observed = opened.record.source if opened.record else str(given.get("source", "scene"))
    kept = {name: given[name] for name in _KEPT_ATTRIBUTES if name in given}
    kept |= {f"input_{name}": given[name] for name in _IDENTIFIERS if name in given}
    made = {
        "Conventions": CONVENTIONS,
        "title": f"{title}, blind zone filled",
        "source": f"{observed}; below {view.top_m:g} m above ground filled by cloudkeras {__version__}, "
        f"model {source.name}",
        "history": f"{given['history']}\n{step}" if given.get("history") else step,
        "input_file": opened.grid.path.name,
        "input_product": opened.product,
        "input_sha256": file_sha256(opened.grid.path),
        "blind_zone_top_m": np.float64(view.top_m),
        "hidden_rows": np.int32(view.hidden_rows),
        "row_depth_m": np.float64(view.row_depth_m),
        "column_s": np.float64(opened.columns.step_s),
        "members": np.int32(filler.drawn),
        "seed": np.int32(filler.seed),
        "statistic": filler.statistic,
        "calibration": _describe_calibration(filler.calibration),
        "interpolation": interpolation,
        "windows": f"{plan.width} columns, overlap {plan.overlap}, margin {plan.margin}",
        "segments": np.int32(len(plan.segments())),
        "model_card": json.dumps(cards[0] if len(cards) == 1 else cards),
    }
    if "institution" not in kept and "location" in kept:
        made["institution"] = str(kept["location"])
    return kept | made


def _describe_calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return "none"
    report = calibration.report
    return f"fitted on {report.get('split', '?')} of {Path(str(report.get('data', '?'))).name}, {report.get('fitted')}"


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
