"""Make shards from granules."""

from __future__ import annotations

import argparse
from pathlib import Path

from .ingest_meltwater import add_product as add_meltwaterbench
from .ingest_meltwater import run as run_meltwaterbench

_RADARS = {
    "cloudnet": (
        "Cloudnet's ice water content or categorize product, for the task blind_zone",
        "Radar curtains of Cloudnet: reflectivity of the categorize product, or re-derived from ice water content "
        "with a model's temperature.",
    ),
    "kazr": (
        "ARM's Ka-band zenith radar (moments, corrected moments, ARSCL), for the task blind_zone",
        "Radar curtains of KAZR, with model context from ERA5 or Cloudnet's model files if there is any.",
    ),
    "geoprof": (
        "CloudSat 2B-GEOPROF, for the task blind_zone",
        "Radar curtains along CloudSat's track; needs pip install 'cloudkeras[ingest]'.",
    ),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the products, each a sub-command with its options."""
    products = parser.add_subparsers(dest="product", metavar="product", required=True)
    for name, (short, long) in _RADARS.items():
        radar = products.add_parser(
            name, help=short, description=long, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        _add_files(radar, name)
        _add_splits(radar)
        _add_grid(radar)
    add_meltwaterbench(products)


def _add_files(parser: argparse.ArgumentParser, product: str) -> None:
    options = ("--radar", "--iwc") if product == "cloudnet" else ("--radar",)
    parser.add_argument(
        *options, dest="radar", nargs="+", type=Path, required=True, metavar="FILE", help="radar files, of any sites"
    )
    if product != "geoprof":
        parser.add_argument(
            "--model", nargs="+", type=Path, metavar="FILE", help="model columns of the days: Cloudnet's, or ERA5"
        )
        parser.add_argument(
            "--interpolation", default="bilinear", choices=("bilinear", "nearest"), help="between ERA5's grid points"
        )
        parser.add_argument(
            "--cold-season",
            action="store_true",
            help="take only months whose near-surface temperature never exceeds 2 C",
        )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of shards to make")
    parser.add_argument("--overwrite", action="store_true", help="replace the dataset in --out")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be used")
    parser.add_argument("--frequency", type=float, metavar="GHZ", help="the radar's, where the file does not say")
    if product == "kazr":
        parser.add_argument(
            "--snr-threshold",
            type=_number_or_none,
            default=-15.0,
            metavar="DB",
            help="signal-to-noise ratio from which a gate holds an echo; 'none' if noise is masked",
        )
    if product == "geoprof":
        parser.add_argument("--cloud-mask", type=int, default=20, help="least CPR_Cloud_mask that counts as an echo")
    if product == "cloudnet":
        parser.add_argument(
            "--drop-attenuated",
            action="store_true",
            help="categorize: treat echo above liquid water, not corrected for it, as missing",
        )


def _number_or_none(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


def _add_splits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split",
        default="hours",
        choices=("hours", "site-month"),
        help="hold out hours of each day, or the end of each month at each site",
    )
    parser.add_argument(
        "--test-hours", nargs=2, type=float, default=(12.0, 18.0), metavar="H", help="test block, hours UTC"
    )
    parser.add_argument(
        "--validation-hours", nargs=2, type=float, default=(8.0, 10.9), metavar="H", help="validation block, hours UTC"
    )
    parser.add_argument("--test-share", type=float, default=0.1, help="share of each site-month for the test")
    parser.add_argument("--validation-share", type=float, default=0.1, help="the same for validation")
    parser.add_argument(
        "--gap", type=float, metavar="S", help="time between windows of different splits, in s; a window's if not given"
    )


def _add_grid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stride", type=int, default=8, help="most columns from one training window to the next")
    parser.add_argument("--evaluation-stride", type=int, default=128, help="the same for validation and test")
    parser.add_argument("--columns", type=int, default=128, help="columns of a window")
    parser.add_argument("--rows", type=int, default=128, help="rows of the grid, from the ground")
    parser.add_argument("--row-depth", type=float, default=78.1, metavar="M", help="depth of a row in m")
    parser.add_argument("--step", type=float, metavar="S", help="duration of a column in s; the record's if not given")
    parser.add_argument(
        "--max-gap", type=float, metavar="S", help="longest gap that is bridged, in s; two columns if not given"
    )


def run(arguments: argparse.Namespace) -> int:
    """Makes the shards and says what is in them, and which files were not used."""
    if arguments.product == "meltwaterbench":
        return run_meltwaterbench(arguments)
    from ..datasets import ShardDataset
    from ..ingest import ingest_radar
    from .train import show_progress

    show_progress()
    given = vars(arguments)
    out = ingest_radar(
        arguments.radar,
        given.get("model"),
        arguments.out,
        product=arguments.product,
        split=arguments.split,
        test_hours=tuple(arguments.test_hours),
        validation_hours=tuple(arguments.validation_hours),
        test_share=arguments.test_share,
        validation_share=arguments.validation_share,
        cold_season=given.get("cold_season", False),
        stride=arguments.stride,
        evaluation_stride=arguments.evaluation_stride,
        rows=arguments.rows,
        row_depth_m=arguments.row_depth,
        columns=arguments.columns,
        step_s=arguments.step,
        max_gap_s=arguments.max_gap,
        gap_s=arguments.gap,
        frequency_ghz=arguments.frequency,
        snr_threshold_db=given.get("snr_threshold"),
        cloud_mask_threshold=given.get("cloud_mask", 20),
        keep_attenuated=not given.get("drop_attenuated", False),
        interpolation=given.get("interpolation", "bilinear"),
        strict=arguments.strict,
        overwrite=arguments.overwrite,
    )
    dataset = ShardDataset.open(out)
    provenance = dataset.manifest.provenance
    counts = ", ".join(f"{dataset.num_samples(split)} {split}" for split in ("train", "validation", "test"))
    used, refused = len(provenance["radar_files"]), provenance["refused_files"]
    print(f"{counts} windows of {arguments.rows} x {arguments.columns} ({provenance['source']}) from {used} files")
    if refused:
        print(f"{len(refused)} of {used + len(refused)} files not used:")
        print("\n".join(f"  {entry['reason']}" for entry in refused))
    print(f"shards: {out}")
    return 0
