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

NY_ALESUND = "cloudnet_arctic/20210104_ny-alesund_{}.nc"
SWEEP = str(Path(__file__).with_name("sweep.py"))


def run(*command: object) -> None:
    """Prints and runs one command; ends the demo with its exit code if it fails."""
    words = [str(word) for word in command]
    shown = ["cloudkeras" if word == "-m" else word for word in words[1:] if word != "cloudkeras.cli"]
    print(f"\n$ {shlex.join(shown if '-m' in words else ['python', *shown])}", flush=True)
    code = subprocess.run(words, check=False).returncode
    if code:
        sys.exit(code)


def cloudkeras(*arguments: object) -> None:
    """Runs the command `cloudkeras` of this interpreter."""
    run(sys.executable, "-m", "cloudkeras.cli", *arguments)


def real_radar_day() -> tuple[Path, list[Path]] | None:
    """The Ny-Alesund day (ice water content, model columns) below CLOUDKERAS_REALDATA, or None."""
    folder = os.environ.get("CLOUDKERAS_REALDATA")
    if not folder:
        return None
    names = ("iwc-Z-T-method", "icon-iglo-12-23", "icon-iglo-24-35", "icon-iglo-36-47")
    files = [Path(folder) / NY_ALESUND.format(name) for name in names]
    return (files[0], files[1:]) if all(file.is_file() for file in files) else None


def radar_data(out: Path, seed: int) -> Path:
    """Shards for `blind_zone`: the real day where it is at hand, else a simulated curtain."""
    day = real_radar_day()
    if day is None:
        print("\nNo real radar day at hand (CLOUDKERAS_REALDATA): the blind zone is shown on SIMULATED curtains.")
        cloudkeras("simulate", "--task", "blind_zone", "--out", out, "--samples", 96, "--size", 128, "--seed", seed)
    else:
        print("\nBlind zone on a real day: Ny-Alesund, 2021-01-04, reflectivity re-derived from ice water content.")
        cloudkeras("ingest", "cloudnet", "--iwc", day[0], "--model", *day[1], "--out", out)
    return out


def main(argv: list[str] | None = None) -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of all results (default: demo)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    out, seed = options.out, options.seed
    start = time.monotonic()

    phase, radar, scene = out / "cloud_phase", out / "blind_zone", out / "scene.nc"
    cloudkeras(
        *("simulate", "--task", "cloud_phase", "--out", phase / "data"),
        *("--samples", 240, "--size", 64, "--seed", seed),
    )
    run(
        *(
            sys.executable,
            SWEEP,
            "--task",
            "cloud_phase",
            "--data",
            phase / "data",
            "--out",
            phase / "sweep",
            "--resume",
        ),
        *("--max-trials", 4, "--epochs", 3, "--retrain-epochs", 8, "--seed", seed),
    )
    data = radar_data(radar / "data", seed)
    run(
        *(sys.executable, SWEEP, "--task", "blind_zone", "--data", data, "--out", radar / "sweep", "--resume"),
        *("--max-trials", 3, "--epochs", 2, "--retrain-epochs", 6, "--seed", seed),
    )
    if not scene.exists():
        cloudkeras("simulate", "--task", "cloud_phase", "--scene", 192, 256, "--seed", seed + 1000, "--out", scene)
    cloudkeras(
        *("predict", scene, "--run", phase / "sweep" / "best"),
        *("--out", out / "scene_phase.nc", "--figure", out / "scene_phase.png"),
    )
    print_results(out, phase / "sweep", radar / "sweep", time.monotonic() - start)


def print_results(out: Path, phase: Path, radar: Path, seconds: float) -> None:
    """Prints the tables as they came out and where each file is."""
    for title, folder in (("3-D cloud phase (simulated scenes)", phase), ("Radar blind zone", radar)):
        print(f"\n=== {title} ===\n")
        for table in sorted((folder / "scores").glob("*.md")):
            print(table.read_text())
    print(f"\nAll results, made in {seconds / 60:.1f} minutes:")
    for file in sorted(
        path for path in out.rglob("*") if path.suffix in {".md", ".png", ".json"} or path.name == "saved_model"
    ):
        if "trials" not in file.parts and "data" not in file.parts:
            print(f"  {file}")
    print(f"  {out / 'scene_phase.nc'}  (xarray.open_dataset opens it)")


if __name__ == "__main__":
    main()
