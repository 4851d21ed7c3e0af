"""Maps of every day of a benchmark folder: predicted one by one, each kept as soon as it is complete."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..datasets.shards import new_file
from ..errors import DataError, check
from ..ingest.meltwater_days import BenchmarkDays
from ..ingest.meltwater_layout import MELT_SEASON, day_name, parse_day
from ..tasks import Task
from .maps_day import DaySource, day_tiles, predict_day
from .maps_files import by_year, season_days, write_day_raster, write_season
from .scene import Predictor
from .tiling import AxisTiles

RECORD_NAME = "maps.json"
RECORD_FORMAT = 1
REFERENCE = "MeltwaterBench, arXiv 2512.12142"
DAYS_FOLDER = "days"
CALL_PIXELS = 2 * 256**2  # of the tiles in one call: a UNet of 31 million parameters then stays below 2 GiB
_PRODUCTS = {"brightness_temperature": "pmw", "liquid_water": "mar"}  # start of a variable's name to what is needed

Progress = Callable[[str, int, int], None]


@dataclass
class MapReport:
    """What `predict_maps` did.

    Attributes:
        out: The folder.
        made: Days predicted now.
        kept: Days asked for that were complete before.
        failed: Day to what was wrong with it.
        left_out: Reason to days without the rasters that the method needs.
        seasons: NetCDF files, by year.
    """

    out: Path
    made: list[datetime.date] = field(default_factory=list)
    kept: list[datetime.date] = field(default_factory=list)
    failed: dict[datetime.date, str] = field(default_factory=dict)
    left_out: dict[str, list[datetime.date]] = field(default_factory=dict)
    seasons: dict[int, Path] = field(default_factory=dict)


def predict_maps(
    method: Any,
    days: BenchmarkDays,
    out: str | Path,
    *,
    dates: Iterable[datetime.date] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    margin: int | None = None,
    batch_size: int | None = None,
    members: int = 1,
    seed: int = 0,
    netcdf: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> MapReport:
    """Maps the days of a benchmark folder on its whole grid.

    `out/days` gets a cloud-optimised GeoTIFF a day, named as in the benchmark (2018_06_03.tif); `out` gets a CF NetCDF
    file a year, and `maps.json`, which says how the maps were made. A day is complete when its GeoTIFF is there: given
    again, the call goes on where it was interrupted. A day with a missing or damaged raster is passed over and
    reported. Ocean, and pixels where an input of the day has no value, are missing in the map.

    One day is in memory at a time, and of its prediction one band of tiles; see `predict_scene` for tiles and members.

    Args:
        method: A trained run, or a baseline (fitted where it needs to be), whose own `task` says what it reads.
        days: The rasters, with the training days whose SAR images the method may see.
        out: Folder to make or to go on with.
        dates: Days; None for all of the melting season (April to September) that have the rasters that are needed.
        tile: Pixels of a tile; None takes the model's input size, or the task's window for one of dynamic size.
        overlap: Pixels that neighboring tiles share; None is twice the margin by which the task is
            judged, and a quarter of a tile at least.
        margin: Pixels at inner tile borders that are not used; None is a quarter of the overlap.
        batch_size: Tiles in one call of the model; None takes few, for little memory (a GPU is faster with more).
        members: Passes of a model with Monte Carlo dropout; more than one adds their standard deviation.
        seed: Of the members.
        netcdf: Whether to write the NetCDF files.
        overwrite: Whether to discard maps that are in `out`.
        progress: Called with "predicting" and tiles done and in all, then with "writing" and seasons done and in all.

    Returns:
        What was done.

    Raises:
        InputError: If an option is wrong, no day can be mapped, or `out` holds maps made otherwise.
    """
    check(batch_size is None or batch_size >= 1, "`batch_size` is at least 1.", batch_size=batch_size)
    check(members >= 1, "`members` is at least 1.", members=members)
    stochastic = members == 1 or hasattr(method, "sample")
    check(stochastic, "Several members need a run with Monte Carlo dropout; leave `members` out.", members=members)
    out, source = Path(out), DaySource(days, method.task)
    tiles = day_tiles(method, source, tile, overlap, margin)
    report = MapReport(out)
    able = _plan(days, method.task, dates, report)
    settings = _settings(method, days, tiles, members, seed)
    if members > 1:  # refused here, not on the first day, if the method always says the same
        method.sample(
            np.zeros((1, *(axis.tile for axis in tiles), len(method.task.channel_names())), np.float32), members
        )
    _open_folder(out, settings, overwrite)
    report.kept = [day for day in able if raster_of(out, day).is_file()]
    pending = [day for day in able if not raster_of(out, day).is_file()]
    each = len(tiles[0]) * len(tiles[1])
    predictor = Predictor(method, batch_size or max(1, CALL_PIXELS // (tiles[0].tile * tiles[1].tile)), members, seed)
    tags = _tags(method, days, settings)
    for number, day in enumerate(pending):
        tell = _tile_progress(progress, number * each, len(pending) * each)
        try:
            source.load(day)
        except DataError as error:
            report.failed[day] = str(error)
            tell(each, each)
            continue
        day_map = predict_day(predictor, source, tiles, tell)
        names = output_names(method.task, members)
        write_day_raster(raster_of(out, day), day_map, names, days.grid, {**tags, "date": day.isoformat()})
        report.made.append(day)
    if netcdf:
        report.seasons = _write_seasons(out, method, days, settings, progress)
    _write_record(out, settings, report)
    return report


def raster_of(out: str | Path, day: datetime.date) -> Path:
    """The raster of a day in a folder of maps."""
    return Path(out) / DAYS_FOLDER / day_name(day)


def mapped_days(out: str | Path) -> list[datetime.date]:
    """The days that a folder of maps holds, in order."""
    files = (Path(out) / DAYS_FOLDER).glob("*.tif")
    return sorted(day for file in files if (day := parse_day(file.name)) is not None)


def output_names(task: Task, members: int) -> list[str]:
    """Names of a map's bands."""
    name = task.output_name()
    return [name] if members == 1 else [name, f"{name}_spread"]


def read_record(out: str | Path) -> dict[str, Any]:
    """What `maps.json` says.

    Raises:
        DataError: If the folder holds no maps.
    """
    path = Path(out) / RECORD_NAME
    try:
        record = json.loads(path.read_text())
        record["settings"], record["maps_format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            path,
            expected="the record of maps made by `cloudkeras predict`",
            found=f"none that can be read ({type(error).__name__})",
        ) from None
    return record


# ---- days ----------------------------------------------------------------------------------------------------------


def uses_sar_of_other_days(task: Task) -> bool:
    """Whether the task reads SAR of training days, which then must be known."""
    return any(name.startswith("sar_") for name in task.physical_inputs())


def _plan(
    days: BenchmarkDays, task: Task, dates: Iterable[datetime.date] | None, report: MapReport
) -> list[datetime.date]:
    """The days that can be mapped; `report.left_out` gets the others that were asked for."""
    needed = {p.upper() for start, p in _PRODUCTS.items() if any(n.startswith(start) for n in task.physical_inputs())}
    held = {product.upper(): set(days.layout.days(product)) for product in ("pmw", "mar", "sar")}
    if dates is None:
        known = set.intersection(*(held[p] for p in needed)) if needed else set.union(*held.values())
        wanted = sorted(day for day in known if MELT_SEASON[0] <= day.month <= MELT_SEASON[1])
    else:
        wanted = sorted(set(dates))
    able = []
    for day in wanted:
        absent = sorted(product for product in needed if day not in held[product])
        for product in absent:
            report.left_out.setdefault(f"no {product} raster", []).append(day)
        if not absent:
            able.append(day)
    check(
        len(able) > 0,
        f"There is no day to map; a day needs rasters of {' and '.join(sorted(needed)) or 'any product'}.",
        folder=str(days.layout.root),
        days=[day.isoformat() for day in wanted[:3]],
    )
    return able


# ---- how the maps are made -----------------------------------------------------------------------------------------


def _settings(
    method: Any, days: BenchmarkDays, tiles: tuple[AxisTiles, AxisTiles], members: int, seed: int
) -> dict[str, Any]:
    """All that the values of a map depend on, beside the rasters."""
    task = method.task
    settings: dict[str, Any] = {
        "method": method.name,
        "fingerprint": _fingerprint(method),
        "task": task.name,
        "task_options": task.options(),
        "grid": days.grid.describe(),
        "tile": [axis.tile for axis in tiles],
        "overlap": [axis.overlap for axis in tiles],
        "margin": [axis.margin for axis in tiles],
        "members": members,
        "seed": seed if members > 1 else None,
    }
    if uses_sar_of_other_days(task):
        settings["training_days"] = [day.isoformat() for day in days.train_days]
    return json.loads(json.dumps(settings))


def _fingerprint(method: Any) -> str:
    """SHA-256 of what a method has learned: the files of a run, the parameters of a baseline."""
    digest = hashlib.sha256()
    path = getattr(method, "path", None)
    files = [] if path is None else [Path(path) / name for name in ("model.keras", "statistics.json")]
    for file in filter(Path.is_file, files):
        digest.update(file.read_bytes())
    digest.update(json.dumps(_parameters(method), sort_keys=True).encode())
    return digest.hexdigest()


def _parameters(method: Any) -> dict[str, Any]:
    """The numbers of a baseline by name."""
    if hasattr(method, "model"):
        return {}
    kinds = (int, float, str, np.ndarray, np.generic)
    found = {name: value for name, value in vars(method).items() if isinstance(value, kinds)}
    return {name: np.asarray(value).tolist() for name, value in sorted(found.items())}


def _open_folder(out: Path, settings: Mapping[str, Any], overwrite: bool) -> None:
    """Makes the folder, or sees that what it holds was made in the same way."""
    check(not out.exists() or out.is_dir(), "The maps go into a folder.", out=str(out))
    record = out / RECORD_NAME
    if record.exists() and overwrite:
        for day in mapped_days(out):
            raster_of(out, day).unlink()
        for file in out.glob("*_[0-9][0-9][0-9][0-9].nc"):
            file.unlink()
    elif record.exists():
        before = read_record(out)["settings"]
        other = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        check(
            not other,
            f"The folder holds maps that were made otherwise ({', '.join(other)} differ). Take another folder, or "
            "discard them with `--overwrite`.",
            out=str(out),
        )
        return
    else:
        check(
            not out.exists() or not any(out.iterdir()),
            f"A new folder of maps is empty; this one holds other things and no {RECORD_NAME}.",
            out=str(out),
        )
    _write_record(out, settings, MapReport(out))


def _write_record(out: Path, settings: Mapping[str, Any], report: MapReport) -> None:
    record = {
        "maps_format": RECORD_FORMAT,
        "settings": dict(settings),
        "failed": {day.isoformat(): why for day, why in sorted(report.failed.items())},
        "left_out": {why: [day.isoformat() for day in some] for why, some in report.left_out.items()},
        "cloudkeras_version": __version__,
        "updated": _now(),
    }
    with new_file(out / RECORD_NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _tags(method: Any, days: BenchmarkDays, settings: Mapping[str, Any]) -> dict[str, str]:
    """Provenance of a day's raster."""
    simulated = days.simulated()
    return {
        "title": f"{method.task.output_name()} predicted by {method.name}" + (" (simulated data)" if simulated else ""),
        "source": f"cloudkeras {__version__}, {method.name}",
        "history": f"{_now()}: cloudkeras {__version__} predict, {method.name}, rasters {days.layout.root.name}",
        "settings": json.dumps(settings),
        "simulated": "true" if simulated else "false",
    }


def _tile_progress(progress: Progress | None, before: int, total: int) -> Callable[[int, int], None]:
    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress("predicting", before + done, total)

    return tell


# ---- seasons -------------------------------------------------------------------------------------------------------


def season_file(out: str | Path, task: Task, year: int) -> Path:
    """The NetCDF file of a year."""
    return Path(out) / f"{task.output_name()}_{year}.nc"


def _write_seasons(
    out: Path, method: Any, days: BenchmarkDays, settings: Mapping[str, Any], progress: Progress | None
) -> dict[int, Path]:
    """Writes each year whose file lacks a day or is older than a map."""
    years = by_year(mapped_days(out))
    task, members = method.task, settings["members"]
    names = output_names(task, members)
    long_name = next((v.long_name for v in task.variables() if v.name == names[0]), names[0])
    long_names = [f"predicted {long_name}", f"standard deviation of {names[0]} over {members} members"][: len(names)]
    land = (
        days.land.astype(np.int8),
        {
            "long_name": "land and ice",
            "standard_name": "land_binary_mask",
            "flag_values": np.array([0, 1], np.int8),
            "flag_meanings": "ocean land",
        },
    )
    files = {}
    for number, (year, members_of_year) in enumerate(years.items(), 1):
        files[year] = season_file(out, task, year)
        rasters = {day: raster_of(out, day) for day in members_of_year}
        newest = max(raster.stat().st_mtime for raster in rasters.values())
        if season_days(files[year]) != members_of_year or files[year].stat().st_mtime < newest:
            attributes = _season_attributes(method, days, settings, year)
            write_season(
                files[year], rasters, names, long_names, days.grid, static={"land": land}, attributes=attributes
            )
        if progress is not None:
            progress("writing", number, len(years))
    return files


def _season_attributes(method: Any, days: BenchmarkDays, settings: Mapping[str, Any], year: int) -> dict[str, Any]:
    tags = _tags(method, days, settings)
    kept = {key: tags[key] for key in ("source", "history", "settings", "simulated")}
    kept["title"] = tags["title"].replace(" predicted", f" of {year} predicted", 1)
    return {**kept, "references": REFERENCE, "task": method.task.name, "model_card": json.dumps(_card(method))}


def _card(method: Any) -> dict[str, Any]:
    """The model card of a run; for a baseline its name and parameters."""
    if not hasattr(method, "model"):
        return {"name": method.name, "task": method.task.name, "parameters": _parameters(method)}
    from ..export import model_card

    return model_card(method)
