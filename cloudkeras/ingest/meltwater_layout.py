"""The folder layout of MeltwaterBench, read from its public code and its configuration files.

What was read there (github.com/blutjens/hrmelt at 4f270ea: `runs/unet_smp/data_v1_4/config/config.yaml`,
`hrmelt/dataset.py`, `notebooks/calculate_pmw_winter_means.ipynb`; the data set itself is
huggingface.co/datasets/blutjens/meltwaterbench)::

    <root>/
      raw/Helheim_data/reprojected_100m/
        SAR/S1Xv1.2/HH_PercentMelt/2018_06_03.tif    melt fraction 0..1 (Sentinel-1 HH), NaN where not seen
        PMWv1.0/2018_06_03.tif                       brightness temperature in K, float32; every day of 2016 to 2023
        MAR/MARv3.14_nearest/WA1/2018_06_03.tif      liquid water of the top metre, kg/kg, float32
        GrIMP_DEM/dem_100m.tif                       surface altitude in m
        GIMP_Mask/landMask_100m.tif                  -1 ocean, 1 land and ice
      interim/Helheim_data/reprojected_100m/
        PMWv1.0_winter_means/2018_jan_feb.tif        mean brightness temperature of January and February
      <anywhere>/train.csv, val.csv, test.csv        splits: one file name (2018_06_03.tif) a line, no header

All rasters have one band and one grid, 2863 rows x 1633 columns of 100 m; a day is complete where SAR, PMW and MAR hold
a file of its name. A PMW day with any NaN is left out by the authors. The name `MARv3.14_nearest` says that MAR was put
on the grid by its nearest cell; that the authors blur PMW "to smooth out the sharp edges" says the same of PMW.

Not stated in what was read, and decided here: the projection of the rasters (each says it itself; the melt rasters'
grid is the one that all others are brought to); integer rasters (refused without a scale); the folder names of other
versions of the data (`SAR/*/HH_PercentMelt`, `PMW*`, `MAR/*/WA1`, as in the authors' sample, are found too).
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, check

logger = logging.getLogger("cloudkeras")

RAW = "raw/Helheim_data/reprojected_100m"
INTERIM = "interim/Helheim_data/reprojected_100m"
SAR_FOLDER = "SAR/S1Xv1.2/HH_PercentMelt"
PMW_FOLDER = "PMWv1.0"
MAR_FOLDER = "MAR/MARv3.14_nearest/WA1"
DEM_FILE = "GrIMP_DEM/dem_100m.tif"
LAND_FILE = "GIMP_Mask/landMask_100m.tif"
WINTER_FOLDER = "PMWv1.0_winter_means"
SIMULATION_NAME = (
    "simulation.json"  # beside "raw" where the rasters are simulated: what was, and whether all of it is there
)

OCEAN = -1
LAND = 1
MELT_SEASON = (4, 9)  # first and last month
WINTER_MONTHS = (1, 2)

_DAY = re.compile(r"(\d{4})_(\d{2})_(\d{2})")


def day_name(day: datetime.date) -> str:
    """File name of a day's raster, e.g. "2018_06_03.tif"."""
    return f"{day:%Y_%m_%d}.tif"


def winter_name(year: int) -> str:
    """File name of a year's winter mean."""
    return f"{year}_jan_feb.tif"


def parse_day(name: str) -> datetime.date | None:
    """The day of a file name, or None where the name is not of the form year_month_day."""
    match = _DAY.fullmatch(Path(name.strip()).stem)
    if match is None:
        return None
    try:
        return datetime.date(*(int(part) for part in match.groups()))
    except ValueError:
        return None


@dataclass(frozen=True)
class MeltwaterLayout:
    """Where the rasters of a benchmark folder are.

    Attributes:
        root: The folder that was given.
        sar, pmw, mar: Folders of daily rasters.
        dem, land: Static rasters.
        winter: Folder of winter means; None where the benchmark has none (they are then made from the PMW days).
    """

    root: Path
    sar: Path
    pmw: Path
    mar: Path
    dem: Path
    land: Path
    winter: Path | None = None

    def file(self, product: str, day: datetime.date) -> Path:
        """The raster of "sar", "pmw" or "mar" on a day."""
        return getattr(self, product) / day_name(day)

    def days(self, product: str) -> list[datetime.date]:
        """Days of which "sar", "pmw" or "mar" holds a raster, in order."""
        return sorted(day for path in getattr(self, product).glob("*.tif") if (day := parse_day(path.name)) is not None)

    @classmethod
    def at(cls, root: str | Path) -> MeltwaterLayout:
        """The published names below `root`, whether or not the files exist: what the simulation writes."""
        raw, interim = Path(root) / RAW, Path(root) / INTERIM
        return cls(
            root=Path(root),
            sar=raw / SAR_FOLDER,
            pmw=raw / PMW_FOLDER,
            mar=raw / MAR_FOLDER,
            dem=raw / DEM_FILE,
            land=raw / LAND_FILE,
            winter=interim / WINTER_FOLDER,
        )


def find_layout(folder: str | Path) -> MeltwaterLayout:
    """Finds the benchmark's rasters.

    Args:
        folder: The root of the data set, or the folder that holds `SAR`, `PMW...`, `MAR`, `GrIMP_DEM`, `GIMP_Mask`.

    Raises:
        DataError: If a product is not there; the message names the folder or file that was looked for.
    """
    root = Path(folder)
    check(root.is_dir(), "The benchmark is a folder.", folder=str(folder))
    raw = next((path for path in (root / RAW, *sorted(root.glob("raw/*/*"))) if (path / "SAR").is_dir()), root)
    interim = root / INTERIM / WINTER_FOLDER
    winters = [path for path in (interim, *sorted(root.glob(f"interim/*/*/*{WINTER_FOLDER}"))) if path.is_dir()]
    return MeltwaterLayout(
        root=root,
        sar=_folder(raw, SAR_FOLDER, "SAR/*/HH_PercentMelt"),
        pmw=_folder(raw, PMW_FOLDER, "PMW*"),
        mar=_folder(raw, MAR_FOLDER, "MAR/*/WA1"),
        dem=_file(raw, DEM_FILE, "GrIMP_DEM/*.tif", "the surface altitude"),
        land=_file(raw, LAND_FILE, "GIMP_Mask/*.tif", "the land mask, -1 for ocean and 1 for land"),
        winter=winters[0] if winters else None,
    )


def _folder(raw: Path, published: str, pattern: str) -> Path:
    found = _first(raw, published, (path for path in sorted(raw.glob(pattern)) if path.is_dir()))
    if found is None:
        raise DataError(
            raw / published,
            expected=f"a folder of daily rasters, {pattern}",
            found="no such folder",
            remedy="Give the root of the benchmark, the folder that holds 'raw'.",
        )
    return found


def _file(raw: Path, published: str, pattern: str, what: str) -> Path:
    found = _first(raw, published, sorted(raw.glob(pattern)))
    if found is None:
        raise DataError(
            raw / published,
            expected=f"{what} as a GeoTIFF",
            found="no such file",
            remedy="Download it with the benchmark; no melt can be mapped without it.",
        )
    return found


def _first(raw: Path, published: str, matches: Iterable[Path]) -> Path | None:
    if (raw / published).exists():
        return raw / published
    others = list(matches)
    if others:
        logger.info("%s is not there; reading %s", published, others[-1].relative_to(raw))
    return others[-1] if others else None
