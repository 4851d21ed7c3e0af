"""Make shards from granules."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the products, each a sub-command with its options."""
    products = parser.add_subparsers(dest="product", metavar="product", required=True)
    cloudnet = products.add_parser(
        "cloudnet",
        help="Cloudnet ice water content and model columns, for the task blind_zone",
        description="Radar curtains (reflectivity re-derived from Cloudnet's ice water content) with model context.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    cloudnet.add_argument(
        "--iwc", nargs="+", type=Path, required=True, metavar="FILE", help="iwc-Z-T-method, one a day"
    )
    cloudnet.add_argument(
        "--model", nargs="+", type=Path, required=True, metavar="FILE", help="model columns of the days"
    )
    cloudnet.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of shards to make")
    cloudnet.add_argument(
        "--test-hours", nargs=2, type=float, default=(12.0, 18.0), metavar="H", help="test block, hours UTC"
    )
    cloudnet.add_argument(
        "--validation-hours", nargs=2, type=float, default=(8.0, 10.9), metavar="H", help="validation block, hours UTC"
    )
    cloudnet.add_argument("--stride", type=int, default=8, help="most columns from one training window to the next")
    cloudnet.add_argument("--evaluation-stride", type=int, default=128, help="the same for validation and test")
    cloudnet.add_argument("--columns", type=int, default=128, help="columns of a window")
    cloudnet.add_argument("--rows", type=int, default=128, help="rows of the grid, from the ground")
    cloudnet.add_argument("--row-depth", type=float, default=78.1, metavar="M", help="depth of a row in m")
    cloudnet.add_argument(
        "--step", type=float, metavar="S", help="duration of a column in s; the record's if not given"
    )
    cloudnet.add_argument(
        "--max-gap", type=float, metavar="S", help="longest gap that is bridged, in s; two columns if not given"
    )
    cloudnet.add_argument(
        "--gap", type=float, metavar="S", help="time between windows of different splits, in s; a window's if not given"
    )
    cloudnet.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")
    cloudnet.add_argument("--frequency", type=float, metavar="GHZ", help="the radar's, where the file does not say")


def run(arguments: argparse.Namespace) -> int:
    """Makes the shards and says what is in them."""
    from ..datasets import ShardDataset
    from ..ingest import ingest_radar

    out = ingest_radar(
        arguments.iwc,
        arguments.model,
        arguments.out,
        test_hours=tuple(arguments.test_hours),
        validation_hours=tuple(arguments.validation_hours),
        stride=arguments.stride,
        evaluation_stride=arguments.evaluation_stride,
        rows=arguments.rows,
        row_depth_m=arguments.row_depth,
        columns=arguments.columns,
        step_s=arguments.step,
        max_gap_s=arguments.max_gap,
        gap_s=arguments.gap,
        frequency_ghz=arguments.frequency,
        overwrite=arguments.overwrite,
    )
    dataset = ShardDataset.open(out)
    counts = ", ".join(f"{dataset.num_samples(split)} {split}" for split in ("train", "validation", "test"))
    print(f"{counts} windows of {arguments.rows} x {arguments.columns} (reflectivity re-derived from IWC)")
    print(f"shards: {out}")
    return 0
