"""Make shards of simulated scenes (simulated, not observed), or one simulated scene file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..datasets.synthetic import SIMULATORS, simulate
from ..errors import check, check_choice


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras simulate`."""
    parser.add_argument("--task", default="cloud_phase", help=f"one of {', '.join(SIMULATORS)} (default: %(default)s)")
    parser.add_argument("--out", required=True, help="folder of the shards, or the file of a scene (.nc)")
    parser.add_argument("--samples", type=int, help="scenes in all (default: 200)")
    parser.add_argument("--size", type=int, help="rows and columns of a scene, in pixels (default: 128)")
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
        help="make one scene of Y rows and X columns instead of shards",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs `cloudkeras simulate`."""
    check_choice(arguments.task, tuple(SIMULATORS), "task")
    return _simulate_one_scene(arguments) if arguments.scene else _simulate_shards(arguments)


def _simulate_one_scene(arguments: argparse.Namespace) -> int:
    check(arguments.task == "cloud_phase", "`--scene` goes with `--task cloud_phase`.", task=arguments.task)
    for name in ("samples", "size", "fractions"):
        check(
            getattr(arguments, name) is None,
            f"`--{name}` does not go with `--scene`.",
            **{name: getattr(arguments, name)},
        )
    path = Path(arguments.out)
    check(path.suffix == ".nc", "`--out` of a scene is a file that ends in .nc.", out=arguments.out)
    check(not path.exists(), "`--out` does not exist yet. Remove it or choose another name.", out=arguments.out)
    from ..datasets.synthetic import simulate_scene, write_scene

    scene = simulate_scene(arguments.seed, tuple(arguments.scene))
    write_scene(path, scene)
    rows, columns = scene.phase.shape[1:]
    clear = float((scene.phase == 0).mean())
    regimes = ", ".join(dict.fromkeys(scene.regimes)) or "no clouds"
    print(f"simulated scene of {rows} x {columns} pixels: {100 * clear:.1f} % clear voxels; {regimes}")
    print(f"written to {path}")
    return 0


def _simulate_shards(arguments: argparse.Namespace) -> int:
    out = simulate(
        arguments.task,
        Path(arguments.out),
        samples=200 if arguments.samples is None else arguments.samples,
        size=128 if arguments.size is None else arguments.size,
        seed=arguments.seed,
        jobs=arguments.jobs,
        fractions=tuple(arguments.fractions or (0.7, 0.15, 0.15)),
        progress=_progress_line(),
    )
    print(f"simulated shards of {arguments.task} (seed {arguments.seed}) are in {out}")
    return 0


def _progress_line() -> Callable[[int, int], None]:
    """A callback that writes scenes done and time left: one line redrawn on a terminal, else one every 10 percent."""
    start = time.monotonic()
    first: list[int] = []
    shown = [-1]
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if not first:
            first.append(done)
        step = done if terminal else 10 * done // max(total, 1)
        if step == shown[0]:
            return
        shown[0] = step
        made = done - first[0]
        left = (time.monotonic() - start) / made * (total - done) if made else None
        text = f"simulating: {done} of {total} scenes" + (f", {_clock(left)} left" if left is not None else "")
        end = "\n" if not terminal or done >= total else ""
        print(f"\r{text:60}" if terminal else text, end=end, file=sys.stderr, flush=True)

    return show


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
