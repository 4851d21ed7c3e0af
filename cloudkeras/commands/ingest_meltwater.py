"""The product `meltwaterbench` of `cloudkeras ingest`."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path

from ..errors import check
from .progress import progress_line


def add_product(products: argparse._SubParsersAction) -> None:
    """Adds the sub-command with its options."""
    parser = products.add_parser(
        "meltwaterbench",
        help="the rasters of MeltwaterBench, observed or simulated, for the task meltwater",
        description="Daily rasters of SAR melt fraction, passive microwave and MAR, to shards of whole days; or single "
        "days as scene files.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="the benchmark's folder, the one that holds 'raw'")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of shards to make; of scene files with --scene")
    add("--split", default="published", help="published, blocks, or a folder with train.csv, val.csv and test.csv")
    add("--seed", type=int, default=42, help="of the draw of the published split")
    add("--images-per-month", type=int, default=2, help="days of each month for validation, and for test, if published")
    add("--gap-days", type=float, default=6.0, help="days between the splits of blocks")
    add("--smoothing", default="published", choices=("published", "none"), help="Gaussian smoothing of PMW and MAR")
    add("--overwrite", action="store_true", help="replace the dataset in --out")
    add(
        "--scene",
        nargs="+",
        metavar="DATE",
        help="write these days (2019-07-10, or 2019-07-01:2019-07-31) as scene files for `cloudkeras predict`",
    )
    add("--data", type=Path, metavar="SHARDS", help="with --scene: the shards whose training days a prediction may see")


def run(arguments: argparse.Namespace) -> int:
    """Makes the shards, or the scene files, and says what is in them."""
    if arguments.scene:
        return _write_scenes(arguments)
    check(arguments.data is None, "`--data` goes with `--scene`.", data=arguments.data)
    from ..datasets import ShardDataset
    from ..ingest.meltwater import ingest_meltwater

    out = ingest_meltwater(
        arguments.folder,
        arguments.out,
        split=arguments.split,
        seed=arguments.seed,
        images_per_month=arguments.images_per_month,
        gap_days=arguments.gap_days,
        smoothing=arguments.smoothing,
        overwrite=arguments.overwrite,
        progress=_progress(),
    )
    dataset = ShardDataset.open(out)
    counts = ", ".join(f"{dataset.num_samples(split)} {split}" for split in ("train", "validation", "test"))
    told = dataset.manifest.provenance
    print(f"{counts} days, {told['grid']}{' (simulated)' if dataset.simulated else ''}")
    for reason, days in told["left_out"].items():
        print(f"left out, {reason}: {len(days)} days")
    if leak := told["split"].get("leak"):
        print(leak)
    print(f"shards: {out}")
    return 0


def _write_scenes(arguments: argparse.Namespace) -> int:
    check(arguments.data is not None, "`--scene` needs `--data`, the shards of the run, for their training days.")
    from ..ingest.meltwater_days import BenchmarkDays
    from ..ingest.meltwater_scene import predictable_days, training_days, write_scene_file

    days = BenchmarkDays(arguments.folder, train_days=training_days(arguments.data), smoothing=arguments.smoothing)
    wanted = parse_days(arguments.scene)
    able = set(predictable_days(days))
    chosen = [day for day in wanted if day in able]
    check(len(chosen) > 0, "`--scene` names days with PMW and MAR.", scene=arguments.scene)
    show = progress_line("writing", "scenes")
    for number, day in enumerate(chosen, 1):
        write_scene_file(days, day, arguments.out / f"{day.isoformat()}.nc")
        show(number, len(chosen))
    if len(wanted) > len(chosen):
        print(f"left out, without PMW or MAR: {len(wanted) - len(chosen)} days")
    print(f"{len(chosen)} scene files: {arguments.out}")
    return 0


def parse_days(words: list[str]) -> list[datetime.date]:
    """Days from words like "2019-07-10" and "2019-07-01:2019-07-31", in order."""
    days: set[datetime.date] = set()
    for word in words:
        first, _, last = word.partition(":")
        try:
            begin, end = (datetime.date.fromisoformat(part) for part in (first, last or first))
        except ValueError:
            check(False, "Days are like 2019-07-10 or 2019-07-01:2019-07-31.", day=word)
            raise
        check(begin <= end, "Days run forwards.", day=word)
        days |= {begin + datetime.timedelta(days=n) for n in range((end - begin).days + 1)}
    return sorted(days)


def _progress() -> Callable[[str, int, int], None]:
    lines: dict[str, Callable[[int, int], None]] = {}

    def show(doing: str, done: int, total: int) -> None:
        if doing not in lines:
            lines[doing] = progress_line(doing, "days")
        lines[doing](done, total)

    return show
