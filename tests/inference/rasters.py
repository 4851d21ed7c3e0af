"""A small folder of rasters in the layout of MeltwaterBench, and runs that map them."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from cloudkeras.ingest.meltwater_layout import LAND, OCEAN, MeltwaterLayout, day_name
from cloudkeras.ingest.meltwater_rasters import Grid, write_raster
from cloudkeras.tasks import get_task
from tests.inference.scenes import FakeRun

ROWS, COLUMNS = 96, 80
LEFT, TOP = 236_200.0, -2_444_000.0
GRID = Grid.north_up((ROWS, COLUMNS), LEFT, TOP, 100.0, 3413)
DAYS = [datetime.date(2019, 7, n) for n in range(1, 7)]
SAR_DAYS = DAYS[::2]
INPUTS = ("brightness_temperature", "liquid_water", "sar_mean", "surface_altitude", "month")


def write_rasters(root: Path, days=DAYS, sar_days=SAR_DAYS, grid=GRID) -> Path:
    """Noise in all products; ocean in the east; PMW missing in a corner on the first day; SAR sees all but the west."""
    layout, rng = MeltwaterLayout.at(root), np.random.default_rng(1)
    tags, shape = {"simulated": "true"}, grid.shape
    land = np.full(shape, LAND, np.int16)
    land[:, -shape[1] // 8 :] = OCEAN
    write_raster(layout.land, land, grid, tags=tags)
    write_raster(layout.dem, rng.uniform(0, 2000, shape).astype(np.float32), grid, tags=tags)
    for day in days:
        pmw = rng.uniform(180, 260, shape).astype(np.float32)
        if day == days[0]:
            pmw[:5, :7] = np.nan
        write_raster(layout.pmw / day_name(day), pmw, grid, tags=tags, nodata=float("nan"))
        write_raster(layout.mar / day_name(day), rng.uniform(0, 0.03, shape).astype(np.float32), grid, tags=tags)
    for day in sar_days:
        sar = rng.uniform(0, 1, shape).astype(np.float32)
        sar[:, : shape[1] // 4] = np.nan
        write_raster(layout.sar / day_name(day), sar, grid, tags=tags, nodata=float("nan"))
    return root


def local_logits(x, radius=2):
    """Logits of the mean over channels and the pixels within `radius`, zeros beyond the edge."""
    mean = x.mean(axis=-1)
    size = 2 * radius + 1
    padded = np.pad(mean, ((0, 0), (radius, radius), (radius, radius)))
    rows, columns = mean.shape[1:]
    shifted = [padded[:, i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
    return (0.5 * np.mean(shifted, axis=0) - 1)[..., None].astype(np.float32)


def melt_run(tile=32, network=local_logits, inputs=INPUTS, **options):
    task = get_task("meltwater", inputs=inputs, **{"evaluation_window": [48, 48], "margin": 6, **options})
    return FakeRun(task, network, (tile, tile, len(inputs)), {}, name="local")
