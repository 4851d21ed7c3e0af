"""Make shards of simulated scenes, one simulated scene or radar record, or the rasters of a meltwater benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..datasets.synthetic import SIMULATORS, simulate
from ..errors import check, check_choice
from .progress import progress_line


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras simulate`."""
    parser.add_argument("--task", default="cloud_phase", help=f"one of {', '.join(SIMULATORS)} (default: %(default)s)")
    parser.add_argument("--out", required=True, help="folder of the shards, or the file of a scene (.nc)")
    parser.add_argument("--samples", type=int, help="scenes in all (default: 200)")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="N",
        help="rows and columns of a scene, in pixels (default: 128; two numbers for meltwater, default 256)",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same scenes (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the splits (default: 0.7 0.15 0.15)",
    )
    parser.add_argument(
        "--scene",
        type=int,
        nargs=2,
        metavar=("Y", "X"),
        help="make one scene of Y rows and X columns instead of shards; blind_zone: a record, 128 2880 is a day",
    )
    rasters = parser.add_argument_group("meltwater", "rasters in the layout of MeltwaterBench, over a terrain")
    rasters.add_argument("--years", nargs="+", metavar="YEAR", help="such as 2017-2023 (the default), or 2018 2020")
    rasters.add_argument(
        "--terrain", nargs="+", type=Path, metavar="FILE", help="altitude and mask (default: generated)"
    )
    rasters.add_argument(
        "--surface-mass-balance", type=Path, metavar="FILE", help="surface mass balance on that terrain"
    )
    rasters.add_argument(
        "--truth", action="store_true", default=None, help="also write each day without noise and gaps"
    )


_MELTWATER_OPTIONS = ("years", "terrain", "surface_mass_balance", "truth")


def run(arguments: argparse.Namespace) -> int:
    """Runs `cloudkeras simulate`."""
    check_choice(arguments.task, tuple(SIMULATORS), "task")
    if arguments.task == "meltwater":
        return _simulate_rasters(arguments)
    given = {name: getattr(arguments, name) for name in _MELTWATER_OPTIONS if getattr(arguments, name) is not None}
    for name, value in given.items():
        check(False, f"`--{name.replace('_', '-')}` goes with `--task meltwater`.", **{name: value})
    check(arguments.size is None or len(arguments.size) == 1, "`--size` is one number.", size=arguments.size)
    return _simulate_one_scene(arguments) if arguments.scene else _simulate_shards(arguments)


def _simulate_rasters(arguments: argparse.Namespace) -> int:
    for name in ("samples", "fractions", "scene"):
        value = getattr(arguments, name)
        check(value is None, f"`--{name}` does not go with `--task meltwater`.", **{name: value})
    size = arguments.size
    check(size is None or len(size) <= 2, "`--size` is rows and columns.", size=size)
    options = {"years": parse_years(arguments.years)} if arguments.years else {}
    out = simulate(
        arguments.task,
        Path(arguments.out),
        size=None if size is None else (size[0], size[-1]),
        seed=arguments.seed,
        jobs=arguments.jobs,
        terrain=arguments.terrain or (),
        surface_mass_balance=arguments.surface_mass_balance,
        truth=bool(arguments.truth),
        progress=progress_line("simulating", "days"),
        **options,
    )
    print(f"simulated rasters (seed {arguments.seed}) are in {out}")
    print(f"shards of them: cloudkeras ingest meltwaterbench {out} --out FOLDER")
    return 0


def parse_years(words: Sequence[str]) -> tuple[int, ...]:
    """Years from words like "2017-2019" and "2021"."""
    years: list[int] = []
    for word in words:
        first, _, last = word.partition("-")
        check(first.isdigit() and (last or first).isdigit(), "`--years` are like 2017-2023 or 2018 2020.", years=word)
        years += range(int(first), int(last or first) + 1)
    check(len(years) > 0, "`--years` run forwards.", years=list(words))
    return tuple(years)


def _simulate_one_scene(arguments: argparse.Namespace) -> int:
    for name in ("samples", "size", "fractions"):
        check(
            getattr(arguments, name) is None,
            f"`--{name}` does not go with `--scene`.",
            **{name: getattr(arguments, name)},
        )
    path = Path(arguments.out)
    check(path.suffix == ".nc", "`--out` of a scene is a file that ends in .nc.", out=arguments.out)
    check(not path.exists(), "`--out` does not exist yet. Remove it or choose another name.", out=arguments.out)
    if arguments.task == "blind_zone":
        return _simulate_record(path, tuple(arguments.scene), arguments.seed)
    from ..datasets.synthetic import simulate_scene, write_scene

    scene = simulate_scene(arguments.seed, tuple(arguments.scene))
    write_scene(path, scene)
    rows, columns = scene.phase.shape[1:]
    clear = float((scene.phase == 0).mean())
    regimes = ", ".join(dict.fromkeys(scene.regimes)) or "no clouds"
    print(f"simulated scene of {rows} x {columns} pixels: {100 * clear:.1f} % clear voxels; {regimes}")
    print(f"written to {path}")
    return 0


def _simulate_record(path: Path, shape: tuple[int, int], seed: int) -> int:
    from ..datasets.synthetic import simulate_curtain, write_curtain

    curtain = simulate_curtain(seed, shape)
    write_curtain(path, curtain)
    hours, layers = (curtain.time[-1] - curtain.time[0]) / 3600, ", ".join(curtain.layers) or "no clouds"
    print(f"simulated radar record of {shape[0]} rows x {shape[1]} profiles, {hours:.1f} h: {layers}")
    print(f"written to {path}")
    return 0


def _simulate_shards(arguments: argparse.Namespace) -> int:
    out = simulate(
        arguments.task,
        Path(arguments.out),
        samples=200 if arguments.samples is None else arguments.samples,
        size=128 if arguments.size is None else arguments.size[0],
        seed=arguments.seed,
        jobs=arguments.jobs,
        fractions=tuple(arguments.fractions or (0.7, 0.15, 0.15)),
        progress=progress_line("simulating", "scenes"),
    )
    print(f"simulated shards of {arguments.task} (seed {arguments.seed}) are in {out}")
    return 0
