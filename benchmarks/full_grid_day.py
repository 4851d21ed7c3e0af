"""Peak memory and time of mapping one day on MeltwaterBench's grid with its published UNet.

    python benchmarks/full_grid_day.py [--rows 2863] [--columns 1633] [--folder DIR] [--batch-size N]

Makes rasters of smooth noise (simulated) on the grid in the benchmark's layout, and a run folder with the UNet of the
preset `meltwaterbench` (64 to 1024 channels, 31.0 million parameters) that was not trained; then runs
`cloudkeras predict` in a process of its own and prints its peak resident memory. Exit code 1 if that is 2 GiB or more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import zoom

from cloudkeras.ingest.meltwater_layout import LAND, OCEAN, MeltwaterLayout, day_name, winter_name
from cloudkeras.ingest.meltwater_rasters import Grid, write_raster

LIMIT_GIB = 2.0
DAY = datetime.date(2019, 7, 10)
PREDICT = """
import re, sys
from cloudkeras.cli import main
code = main(sys.argv[1:])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 2**20)
sys.exit(code)
"""


def write_rasters(root: Path, rows: int, columns: int) -> list[str]:
    """A day with all products, and six training days of SAR around it.

    Returns:
        The training days.
    """
    grid, layout = Grid.north_up((rows, columns), 236_200.0, -2_444_000.0, 100.0, 3413), MeltwaterLayout.at(root)
    rng = np.random.default_rng(0)

    def smooth(low: float, high: float, cells: int) -> np.ndarray:
        coarse = rng.uniform(low, high, (cells, cells))
        return zoom(coarse, (rows / cells, columns / cells), order=1).astype(np.float32)

    tags = {"simulated": "true"}
    altitude = smooth(-300, 2500, 12)
    write_raster(layout.dem, altitude.clip(0), grid, tags=tags)
    write_raster(layout.land, np.where(altitude > 0, LAND, OCEAN).astype(np.int16), grid, tags=tags)
    write_raster(layout.pmw / day_name(DAY), smooth(170, 270, 40), grid, tags=tags)
    write_raster(layout.mar / day_name(DAY), smooth(0, 0.03, 30), grid, tags=tags)
    if layout.winter is not None:
        write_raster(layout.winter / winter_name(DAY.year), smooth(170, 220, 40), grid, tags=tags)
    train = [DAY + datetime.timedelta(days=n) for n in (-6, -4, -2, 2, 4, 6)]
    for day in (*train, DAY):
        sar = smooth(0, 1, 60)
        sar[:, : columns // 4] = np.nan
        write_raster(layout.sar / day_name(day), sar, grid, tags=tags, nodata=float("nan"))
    return [day.isoformat() for day in train]


def write_run(folder: Path, data: Path) -> int:
    """A run folder as a training leaves it; returns the network's parameters."""
    from cloudkeras.training import RunConfig
    from cloudkeras.training.assembly import build_model
    from cloudkeras.training.presets import preset

    config = RunConfig(data=str(data), **preset("meltwaterbench")).resolved()
    task = config.make_task()
    model = build_model(config, task, (None, None, len(task.channel_names())))
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    (folder / "statistics.json").write_text("{}")
    return model.count_params()


def main() -> int:
    """Makes the files, predicts, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2863)
    parser.add_argument("--columns", type=int, default=1633)
    parser.add_argument("--batch-size", type=int, help="tiles in one call (default: that of the command)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        data = folder / "shards"
        data.mkdir(parents=True, exist_ok=True)
        train_days = write_rasters(folder / "rasters", arguments.rows, arguments.columns)
        (data / "manifest.json").write_text(json.dumps({"provenance": {"train_days": train_days}}))
        parameters = write_run(folder / "run", data)
        command = ["predict", str(folder / "rasters"), "--run", str(folder / "run"), "--out", str(folder / "maps")]
        command += ["--dates", DAY.isoformat(), "--overwrite"]
        if arguments.batch_size:
            command += ["--batch-size", str(arguments.batch_size)]
        began = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", PREDICT, *command], stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - began
    if result.returncode:
        print(result.stdout)
        return result.returncode
    peak = float(result.stdout.split()[-1])
    print(f"{arguments.rows} x {arguments.columns} pixels, {parameters / 1e6:.1f} million parameters")
    print(f"peak resident memory {peak:.2f} GiB (limit {LIMIT_GIB:g}), {seconds:.0f} s with start and files")
    return int(peak >= LIMIT_GIB)


if __name__ == "__main__":
    sys.exit(main())
