"""Both tasks from data to a scored, exported model and a predicted scene: what `make demo` runs.

Each step is a command that can be typed by hand; it is printed before it runs. Started again, it goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NY_ALESUND = "cloudnet_arctic/20210104_ny-alesund_{}.nc"
# How the first word of a command is run by this interpreter, wherever the environment lies.
PROGRAMS = {"python": [sys.executable], "cloudkeras": [sys.executable, "-m", "cloudkeras.cli"]}


def run(command: str) -> None:
    """Prints and runs one command; ends the demo with its exit code if it fails."""
    print(f"\n$ {command}", flush=True)
    program, *arguments = shlex.split(command)
    code = subprocess.run([*PROGRAMS[program], *arguments], check=False).returncode
    if code:
        sys.exit(code)


def real_radar_day() -> tuple[str, str] | None:
    """The Ny-Alesund day below CLOUDKERAS_REALDATA, ice water content and model columns, or None."""
    folder = os.environ.get("CLOUDKERAS_REALDATA")
    if not folder:
        return None
    names = ("iwc-Z-T-method", "icon-iglo-12-23", "icon-iglo-24-35", "icon-iglo-36-47")
    files = [Path(folder) / NY_ALESUND.format(name) for name in names]
    if not all(file.is_file() for file in files):
        return None
    return shlex.quote(str(files[0])), shlex.join(map(str, files[1:]))


def make_radar_data(out: str, seed: int) -> None:
    """Shards for `blind_zone`: the real day where it is at hand, else simulated curtains."""
    day = real_radar_day()
    if day is None:
        print("\nNo real radar day at hand (CLOUDKERAS_REALDATA): the blind zone is shown on SIMULATED curtains.")
        run(f"cloudkeras simulate --task blind_zone --out {out} --samples 96 --size 128 --jobs 2 --seed {seed}")
    else:
        print("\nBlind zone on a real day: Ny-Alesund, 2021-01-04, reflectivity re-derived from ice water content.")
        run(f"cloudkeras ingest cloudnet --iwc {day[0]} --model {day[1]} --out {out}")


def main(argv: list[str] | None = None) -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of all results (default: demo)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    seed, start = options.seed, time.monotonic()
    folder = options.out
    out = shlex.quote(str(folder))
    sweep = f"python {shlex.quote(os.path.relpath(ROOT / 'tuning' / 'sweep.py'))}"

    phase, radar = f"{out}/cloud_phase", f"{out}/blind_zone"
    run(f"cloudkeras simulate --task cloud_phase --out {phase}/data --samples 160 --size 64 --jobs 2 --seed {seed}")
    run(
        f"{sweep} --task cloud_phase --data {phase}/data --out {phase}/sweep --resume "
        f"--max-trials 4 --initial-points 3 --epochs 3 --batch-limit 16 --retrain-epochs 8 --seed {seed}"
    )
    if not (folder / "blind_zone" / "data" / "manifest.json").exists():
        make_radar_data(f"{radar}/data", seed)
    run(
        f"{sweep} --task blind_zone --data {radar}/data --out {radar}/sweep --resume "
        "--set model.skip_channels=8 --set model.first_guess=true --set model.deep_supervision=true "
        f"--max-trials 4 --initial-points 3 --epochs 3 --batch-limit 10 --retrain-epochs 6 --seed {seed}"
    )
    if not (folder / "scene.nc").exists():
        run(f"cloudkeras simulate --task cloud_phase --scene 192 256 --seed {seed + 1000} --out {out}/scene.nc")
    run(
        f"cloudkeras predict {out}/scene.nc --run {phase}/sweep/best "
        f"--out {out}/scene_phase.nc --figure {out}/scene_phase.png"
    )
    draw_radar_windows(folder / "blind_zone", folder / "radar_windows.png")
    print_results(folder, time.monotonic() - start)


def draw_radar_windows(folder: Path, figure: Path) -> None:
    """Two windows of the test split: the truth, what the radar sees, the row repeated downwards, the best model."""
    import numpy as np

    from cloudkeras import Batches, ShardDataset, load_run
    from cloudkeras.baselines.radar import Repeat
    from cloudkeras.plotting import plot_radar_curtain, save_figure

    dataset, best = ShardDataset.open(folder / "data"), load_run(folder / "sweep" / "best")
    batches = Batches(dataset, best.task, "test", 2, limit=2)
    fields = batches.fields(0)
    x = best.task.network_inputs(fields, best.statistics)
    hidden = fields["blind_zone_mask"] >= 1
    curtains = {
        "truth": fields["reflectivity"],
        "what the radar sees": np.where(hidden, np.nan, fields["reflectivity"]),
        "repeat": best.task.decode(Repeat()(x), x),
        best.name: best.task.decode(best(x), x),
    }
    row_km = 0.0781
    drawn = plot_radar_curtain(
        {name: np.concatenate(list(values), axis=1) for name, values in curtains.items()},
        height_km=row_km * (np.arange(x.shape[1]) + 0.5),
        blind_zone_km=row_km * best.task.blind_rows,
        top_km=5.0,
        title="Two test windows side by side",
        simulated=dataset.simulated,
    )
    save_figure(drawn, figure)


def print_results(folder: Path, seconds: float) -> None:
    """Prints the tables as they came out and where each file is."""
    for title, task in (("3-D cloud phase (simulated scenes)", "cloud_phase"), ("Radar blind zone", "blind_zone")):
        print(f"\n=== {title} ===\n")
        print((folder / task / "sweep" / "scores" / "scores.md").read_text())
    print(f"All results, made in {seconds / 60:.1f} minutes:")
    for task in ("cloud_phase", "blind_zone"):
        sweep = folder / task / "sweep"
        for name in (
            "report.md",
            "trials.md",
            "trials.png",
            "history.png",
            "scores.png",
            "best",
            "scores",
            "export/saved_model",
        ):
            print(f"  {sweep / name}")
    for name in ("scene.nc", "scene_phase.nc", "scene_phase.png", "radar_windows.png"):
        print(f"  {folder / name}")


if __name__ == "__main__":
    main()
