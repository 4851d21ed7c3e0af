"""A simulated MeltwaterBench: GeoTIFFs in the benchmark's folder layout, named simulated everywhere.

The same seed, years and terrain give the same rasters, whatever the number of processes. Years are independent of each
other. A file that is complete is left alone when the command is given again, and none appears before it is.
"""

from __future__ import annotations

import datetime
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import InputError, check
from ...ingest.meltwater_layout import LAND, MELT_SEASON, OCEAN, WINTER_MONTHS, MeltwaterLayout, day_name, winter_name
from ...ingest.meltwater_rasters import Grid, write_raster
from ..shards import new_file
from .melt_physics import MeltRules, next_water, wet_fraction
from .melt_surface import make_surface
from .melt_terrain import EPSG, Terrain, generate_terrain, read_terrain
from .melt_views import PassiveMicrowave, RegionalModel, SyntheticApertureRadar, plan_passes
from .melt_weather import year_weather

logger = logging.getLogger("cloudkeras")

SIMULATION_VERSION = 1
YEARS = tuple(range(2017, 2024))
SOURCE = "simulated meltwater (cloudkeras), not observed"
DESCRIPTION_NAME = "simulation.json"
TRUTH_FOLDER = "simulated_truth"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BenchmarkPlan:
    """What one process needs to simulate a year.

    Attributes:
        out: Folder.
        seed: Of the weather and the noise.
        truth: Whether the noise-free melt fraction of each day is written too.
        terrain: The terrain.
    """

    out: Path
    seed: int
    truth: bool
    terrain: Terrain

    @property
    def grid(self) -> Grid:
        """The rasters' grid."""
        return Grid.north_up(self.terrain.shape, self.terrain.left, self.terrain.top, self.terrain.resolution, EPSG)


def simulate_benchmark(
    out: str | Path,
    *,
    years: Sequence[int] = YEARS,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    jobs: int = 1,
    terrain: Sequence[str | Path] = (),
    surface_mass_balance: str | Path | None = None,
    truth: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Makes the rasters of a simulated benchmark.

    Args:
        out: Folder to make, or to complete: what is missing is added, what is there stays.
        years: Years; each has PMW in January, February and April to September, MAR in April to September, SAR on the
            days with a radar image.
        size: Rows and columns: of the generated terrain (default: 256 x 256), or to cut from the middle of the given
            one (default: all of it).
        seed: The same seed gives the same rasters.
        jobs: Processes; each does a year.
        terrain: Terrain files; see `melt_terrain.read_terrain`. None: a generated coast.
        surface_mass_balance: File with the surface mass balance over that terrain.
        truth: Whether to write the melt fraction of every day without noise and gaps to `simulated_truth/`.
        progress: Told of days done and in all.

    Returns:
        The folder.

    Raises:
        InputError: If an option is wrong or the folder holds another simulation.
        DataError: If a terrain file is not one.
    """
    years = tuple(sorted(set(int(year) for year in years)))
    check(len(years) > 0, "`years` needs at least one year.", years=years)
    check(years[0] >= 1979 and years[-1] <= 2100, "`years` lie between 1979 and 2100.", years=years)
    check(seed >= 0, "`seed` is not negative.", seed=seed)
    check(jobs >= 1, "`jobs` is positive.", jobs=jobs)
    check(len(terrain) > 0 or surface_mass_balance is None, "`surface_mass_balance` goes with `terrain`.")
    shape = None if size is None else ((size, size) if isinstance(size, int | np.integer) else (size[0], size[1]))
    check(shape is None or min(shape) >= 16, "`size` is at least 16 rows and columns.", size=size)
    if terrain:
        ground = read_terrain(terrain, surface_mass_balance)
        ground = ground.crop(shape) if shape else ground
    else:
        ground = generate_terrain(shape or (256, 256), seed)
    plan = BenchmarkPlan(Path(out), seed, truth, ground)
    description = _description(plan, years)
    _begin(plan, description)
    _simulate_years(plan, years, jobs, progress)
    _write_description(plan.out, {**description, "complete": True})
    logger.info("simulated rasters are in %s", plan.out)
    return plan.out


# ---- the folder ----------------------------------------------------------------------------------------------------


def _description(plan: BenchmarkPlan, years: Sequence[int]) -> dict[str, Any]:
    terrain = plan.terrain
    return {
        "simulated": True,
        "source": SOURCE,
        "simulator": "cloudkeras.datasets.synthetic.melt_rasters",
        "version": SIMULATION_VERSION,
        "seed": plan.seed,
        "years": list(years),
        "terrain": terrain.source,
        "rows": terrain.shape[0],
        "columns": terrain.shape[1],
        "left_m": terrain.left,
        "top_m": terrain.top,
        "resolution_m": terrain.resolution,
        "epsg": EPSG,
        "sar_images": {str(year): len(plan_passes(plan.seed, year)) for year in years},
    }


def _begin(plan: BenchmarkPlan, description: dict[str, Any]) -> None:
    """Writes what the folder will hold and its static rasters, or checks that it holds the same already."""
    path = plan.out / DESCRIPTION_NAME
    if path.exists():
        before = json.loads(path.read_text())
        fixed = [key for key in description if key not in ("years", "sar_images")]
        other = {key: before.get(key) for key in fixed if before.get(key) != description[key]}
        check(
            not other,
            f"{plan.out} holds another simulation. Choose another folder or remove it first.",
            there=other,
            asked={key: description[key] for key in other},
        )
        description["years"] = sorted({*before.get("years", ()), *description["years"]})
        description["sar_images"] = {**before.get("sar_images", {}), **description["sar_images"]}
    elif plan.out.exists() and any(plan.out.iterdir()):
        raise InputError(f"{plan.out} holds other files. Choose an empty folder.")
    plan.out.mkdir(parents=True, exist_ok=True)
    _write_description(plan.out, {**description, "complete": False})
    with new_file(plan.out / "README.md") as temporary:
        temporary.write_text(_readme(description))
    layout, tags = MeltwaterLayout.at(plan.out), {"simulated": "true", "source": f"{SOURCE}; {plan.terrain.source}"}
    land = np.where(plan.terrain.land, LAND, OCEAN).astype(np.int8)
    for file, values, nodata in ((layout.dem, plan.terrain.altitude, None), (layout.land, land, None)):
        if not file.exists():
            write_raster(file, values, plan.grid, tags=tags, nodata=nodata)


def _write_description(out: Path, description: dict[str, Any]) -> None:
    with new_file(out / DESCRIPTION_NAME) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n")


def _readme(description: dict[str, Any]) -> str:
    years = ", ".join(str(year) for year in description["years"])
    return f"""# Simulated meltwater rasters

**Simulated, not observed.** Made by cloudkeras {__version__} (`cloudkeras simulate --task meltwater`) in the folder
layout of MeltwaterBench (arXiv 2512.12142), so that everything that reads the benchmark can be run without it. No
number measured on these rasters says anything about Greenland.

- years {years}; grid {description["rows"]} x {description["columns"]} of {description["resolution_m"]:g} m, EPSG:{EPSG}
- {description["terrain"]}; seed {description["seed"]}, version {description["version"]} of the simulation

Where no terrain is known the land mask is {OCEAN}, as on the ocean. What the simulation does, and leaves out, stands
in cloudkeras/datasets/synthetic: melt_weather.py, melt_physics.py, melt_views.py.

    cloudkeras ingest meltwaterbench THIS_FOLDER --out SHARDS
"""


# ---- the years -----------------------------------------------------------------------------------------------------


def _simulate_years(plan: BenchmarkPlan, years: Sequence[int], jobs: int, progress: Progress | None) -> None:
    days = {year: (datetime.date(year, 9, 30) - datetime.date(year, 1, 1)).days + 1 for year in years}
    total, done = sum(days.values()), 0
    if jobs == 1 or len(years) == 1:
        for year in years:
            for number in simulate_year(plan, year):
                if progress is not None:
                    progress(done + number, total)
            done += days[year]
        return
    with ProcessPoolExecutor(min(jobs, len(years)), multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(_whole_year, plan, year): year for year in years}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    future.result()
                    done += days[waiting.pop(future)]
                    if progress is not None:
                        progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _whole_year(plan: BenchmarkPlan, year: int) -> None:
    for _ in simulate_year(plan, year):
        pass


def simulate_year(plan: BenchmarkPlan, year: int) -> Iterable[int]:
    """Writes the rasters of a year that are not there yet; yields the days that are done."""
    layout, terrain = MeltwaterLayout.at(plan.out), plan.terrain
    passes = {image.day: image for image in plan_passes(plan.seed, year)}
    length = (datetime.date(year, 9, 30) - datetime.date(year, 1, 1)).days + 1
    if all(file.exists() for file in _files_of(plan, layout, year, passes)):
        yield length
        return
    surface = make_surface(terrain)
    rules = MeltRules.of(terrain.altitude, surface)
    radiometer, model = PassiveMicrowave(terrain, surface.bareness), RegionalModel(terrain)
    radar = SyntheticApertureRadar(terrain)
    water = np.zeros(terrain.shape, np.float32)
    winter: list[np.ndarray] = []
    for number, weather in enumerate(year_weather(plan.seed, year, terrain.shape, terrain.resolution), 1):
        day = weather.day
        water = next_water(water, rules, weather)
        model.step(weather)
        if _has_pmw(day):
            cells = radiometer.cells(water, weather, _rng(plan, day, 3))
            _write(plan, layout.file("pmw", day), partial(radiometer.pixels, cells), day, "K")
            winter += [cells] if day.month in WINTER_MONTHS else []
        if (day.month, day.day) == (3, 1):
            _write(plan, _winter_file(layout, year), partial(radiometer.pixels, np.mean(winter, axis=0)), day, "K")
        if day.month >= MELT_SEASON[0]:
            _write(plan, layout.file("mar", day), model.pixels, day, "kg kg-1")
            if day in passes or plan.truth:
                fraction = wet_fraction(water, rules.favour)
            if day in passes:
                see = partial(radar.see, fraction, passes[day], _rng(plan, day, 4))
                _write(plan, layout.file("sar", day), see, day, "1", track=str(passes[day].track))
            if plan.truth:
                _write(plan, _truth_file(plan, day), partial(_on_land, fraction, terrain), day, "1")
        yield number


def _on_land(fraction: np.ndarray, terrain: Terrain) -> np.ndarray:
    """In steps of 1/1024, which deflate well."""
    return np.where(terrain.land, np.rint(fraction * 1024) / 1024, np.nan)


def _truth_file(plan: BenchmarkPlan, day: datetime.date) -> Path:
    return plan.out / TRUTH_FOLDER / day_name(day)


def _has_pmw(day: datetime.date) -> bool:
    return day.month in WINTER_MONTHS or MELT_SEASON[0] <= day.month <= MELT_SEASON[1]


def _winter_file(layout: MeltwaterLayout, year: int) -> Path:
    assert layout.winter is not None  # `MeltwaterLayout.at` names it
    return layout.winter / winter_name(year)


def _files_of(
    plan: BenchmarkPlan, layout: MeltwaterLayout, year: int, passes: Iterable[datetime.date]
) -> Iterator[Path]:
    """All files of a year but the static ones."""
    yield _winter_file(layout, year)
    yield from (layout.file("sar", day) for day in passes)
    for number in range((datetime.date(year, 9, 30) - datetime.date(year, 1, 1)).days + 1):
        day = datetime.date(year, 1, 1) + datetime.timedelta(days=number)
        if _has_pmw(day):
            yield layout.file("pmw", day)
        if MELT_SEASON[0] <= day.month:
            yield layout.file("mar", day)
            if plan.truth:
                yield _truth_file(plan, day)


def _rng(plan: BenchmarkPlan, day: datetime.date, stream: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, day.toordinal(), stream])


def _write(
    plan: BenchmarkPlan, file: Path, make: Callable[[], np.ndarray], day: datetime.date, units: str, **tags: str
) -> None:
    """Makes a raster and writes it, unless its file is there."""
    if not file.exists():
        said = {"simulated": "true", "source": SOURCE, "date": day.isoformat(), "units": units, **tags}
        write_raster(file, make().astype(np.float32), plan.grid, tags=said, nodata=np.nan)
