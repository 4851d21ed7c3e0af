"""`cloudkeras predict` on a folder of daily rasters: maps, seasons, melt extent, animations."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, InputError, check
from .ingest_meltwater import parse_days
from .progress import progress_line
from .train import parse_settings

LONGEST = 700  # pixels of the longer side of an animated map


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that only maps have."""
    group = parser.add_argument_group(
        "maps", "of a folder of daily rasters in the layout of MeltwaterBench; complete days are not predicted again"
    )
    add = group.add_argument
    add("--method", metavar="NAME", help="a baseline in place of --run, fitted to the shards in --data")
    add("--set", action="append", default=[], metavar="task.NAME=VALUE", help="with --method, an option of its task")
    add("--data", type=Path, metavar="SHARDS", help="shards whose training days are seen (default: those of the run)")
    add("--dates", nargs="+", metavar="DATE", help="days such as 2017-06-01 or 2017-06-01:2017-09-01 (default: all)")
    add("--netcdf", action=argparse.BooleanOptionalAction, default=True, help="a NetCDF file a year (default: yes)")
    add("--extent", action="store_true", help="melt extent by day, as CSV and figure, beside that of SAR")
    add("--animation", nargs="?", const="gif", metavar="gif|mp4", help="an animation of each year beside SAR")
    add("--seed", type=int, default=0, help="of the members (default: 0)")
    add("--overwrite", action="store_true", help="discard the maps in --out")


MAPS_ONLY = ("method", "set", "data", "dates", "extent", "animation", "overwrite")


def run_maps(arguments: argparse.Namespace) -> int:
    """Maps the days, then makes what is asked for of all maps in the folder, and says where everything is."""
    check((arguments.run is None) != (arguments.method is None), "Maps are made of a `--run` or of a `--method`.")
    for name in ("figure", "no_probability"):
        value = getattr(arguments, name)
        check(not value, f"`--{name.replace('_', '-')}` goes with one scene, not with maps.", **{name: str(value)})
    if arguments.animation is not None:
        from ..plotting.melt_maps import check_animation

        check_animation(arguments.animation)
    dates = None if arguments.dates is None else parse_days(arguments.dates)
    from ..inference.maps import MapReport, predict_maps

    method, days = _method_and_days(arguments)
    report: MapReport = predict_maps(
        method,
        days,
        arguments.out,
        dates=dates,
        tile=arguments.tile,
        overlap=arguments.overlap,
        margin=arguments.margin,
        batch_size=arguments.batch_size,
        members=arguments.members,
        seed=arguments.seed,
        netcdf=arguments.netcdf,
        overwrite=arguments.overwrite,
        progress=_progress(),
    )
    _tell(report, arguments)
    if arguments.extent:
        _extent(arguments.out, method.name, days)
    if arguments.animation is not None:
        _animate(arguments.out, method.name, days, arguments.animation)
    return 1 if report.failed else 0


def _tell(report: Any, arguments: argparse.Namespace) -> None:
    from ..inference.maps import DAYS_FOLDER

    print(f"{len(report.made)} days predicted, {len(report.kept)} were complete")
    print(f"maps   {arguments.out / DAYS_FOLDER}")
    for path in report.seasons.values():
        print(f"season {path}")
    for reason, some in report.left_out.items():
        print(f"left out, {reason}: {len(some)} days, the first {some[0]}")
    for day, why in sorted(report.failed.items()):
        print(f"not mapped, {day}: {why}")


def _method_and_days(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The method, and the rasters with the training days whose SAR it may see."""
    from ..ingest.meltwater_days import BenchmarkDays
    from ..ingest.meltwater_scene import training_days

    data = arguments.data
    if arguments.run is not None:
        from ..training import load_run

        check(not arguments.set, "`--set` goes with `--method`; a run has its task.", set=arguments.set)
        method = load_run(arguments.run)
        data = data or Path(method.config.data)
    else:
        check(data is not None, "A `--method` needs `--data`, the shards whose training days it may see.")
        settings = parse_settings(arguments.set)
        check(set(settings) <= {"task_options"}, "`--set` takes task.NAME=VALUE here.", set=arguments.set)
        method = fitted_baseline(arguments.method, data, settings.get("task_options", {}))
    from ..inference.maps import uses_sar_of_other_days

    try:
        train = training_days(data)
    except DataError as error:
        if uses_sar_of_other_days(method.task):
            raise InputError(
                f"{error} '{method.name}' reads SAR of training days: name the shards with `--data`."
            ) from None
        train = []
    return method, BenchmarkDays(arguments.scene, train_days=train)


def fitted_baseline(name: str, data: Path, options: Mapping[str, Any]) -> Any:
    """A baseline of the task of the shards, fitted to their training split.

    Raises:
        InputError: If the task has no such baseline.
    """
    from ..baselines import baselines_for
    from ..datasets import Batches, ShardDataset
    from ..tasks import get_task

    dataset = ShardDataset.open(data)
    task = get_task(dataset.task_name, **{**dataset.task_options, **options})
    known = {method.name: method for method in baselines_for(task)}
    check(name in known, f"`--method` is one of {', '.join(known) or 'none for this task'}.", method=name)
    method = known[name]
    its_task = getattr(method, "task", None) or task
    return method.fit(Batches(dataset, its_task, "train", 8, statistics=dataset.statistics), dataset.statistics)


def _progress() -> Callable[[str, int, int], None]:
    lines: dict[str, Callable[[int, int], None]] = {}
    units = {"predicting": "tiles", "writing": "seasons"}

    def show(doing: str, done: int, total: int) -> None:
        if doing not in lines:
            lines[doing] = progress_line(doing, units[doing])
        lines[doing](done, total)

    return show


def _extent(out: Path, name: str, days: Any) -> None:
    from ..inference.maps_extent import melt_extents, write_extents
    from ..plotting import save_figure
    from ..plotting.melt_maps import plot_season_extent

    rows = melt_extents(out, days, progress=progress_line("melt extent", "days"))
    print(f"extent {write_extents(out / 'melt_extent.csv', rows)}")
    figure = plot_season_extent(rows, method=name, simulated=days.simulated())
    print(f"figure {save_figure(figure, out / 'melt_extent.png')}")


def _animate(out: Path, name: str, days: Any, kind: str) -> None:
    from ..inference.maps import mapped_days, raster_of
    from ..inference.maps_files import by_year, read_fraction
    from ..plotting.melt_maps import SeasonFrames, save_season_animation, season_frames

    step = -(-max(days.grid.shape) // LONGEST)
    shape = (-(-days.grid.shape[0] // step), -(-days.grid.shape[1] // step))

    for year, some in by_year(mapped_days(out)).items():
        drawer = SeasonFrames(
            nearest(days.land, shape),
            method=name,
            pixel_km=days.grid.transform[0] / 1000 * days.grid.shape[1] / shape[1],
            simulated=days.simulated(),
        )
        show = progress_line(f"animating {year}", "days")

        def frames(some: list[datetime.date] = some, show: Callable[[int, int], None] = show) -> Iterator[Any]:
            read = season_frames(
                some,
                lambda day: read_fraction(raster_of(out, day), shape=shape),
                lambda day: _sar(days, day, shape),
            )
            for number, frame in enumerate(read, 1):
                yield frame
                show(number, len(some))

        print(f"season {save_season_animation(out / f'melt_{year}.{kind}', drawer, frames())}")


def nearest(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An image at fewer pixels: those nearest to the new pixels' centres."""
    rows, columns = (((np.arange(n) + 0.5) * size / n).astype(int) for n, size in zip(shape, image.shape, strict=True))
    return image[np.ix_(rows, columns)]


def _sar(days: Any, day: datetime.date, shape: tuple[int, int]) -> np.ndarray | None:
    if not days.layout.file("sar", day).is_file():
        return None
    try:
        return nearest(days.read("sar", day), shape)
    except DataError:
        return None
