"""Fill the blind zone in a radar's file (Cloudnet, KAZR, 2B-GEOPROF) or in a scene, with uncertainty.

The output is CF NetCDF on the input's own gates and profiles. Outside the blind zone the reflectivity is the input's,
bit for bit; `filled` says what was filled, and spread, quantiles and echo probability lie beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import check

if TYPE_CHECKING:
    from ..inference import Inpainted

_FIGURES = (".png", ".pdf", ".svg")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras inpaint`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, metavar="FILE", help="radar file of any length, or a scene")
    parser.add_argument(
        "--model", nargs="+", type=Path, required=True, metavar="RUN", help="folder of a run; several are an ensemble"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="NetCDF file to write")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="picture: before, filled, spread (.png, .pdf, .svg)"
    )
    parser.add_argument(
        "--blind-zone-top",
        type=float,
        metavar="M",
        help="top of the blind zone in m above ground, within what the model was trained for (default: the model's)",
    )
    sampling = parser.add_argument_group("uncertainty")
    sampling.add_argument("--members", type=int, default=50, help="passes of the model (default: 50)")
    sampling.add_argument("--seed", type=int, default=0, help="the same seed gives the same file (default: 0)")
    sampling.add_argument(
        "--statistic", choices=("median", "mean"), default="median", help="what is written of the members (median)"
    )
    sampling.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="calibration to use (default: that in the run's folder, if any)",
    )
    sampling.add_argument("--no-calibration", action="store_true", help="leave the members as they are")
    _add_input(parser.add_argument_group("the input"))
    _add_grid(parser.add_argument_group("the network's grid"))


def _add_input(group: Any) -> None:
    group.add_argument(
        "--product",
        default="auto",
        metavar="NAME",
        help="cloudnet-iwc, cloudnet-categorize, kazr, geoprof or scene (default: recognized)",
    )
    group.add_argument(
        "--context",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="model columns (Cloudnet's model files, ERA5), for ice water content and models trained with context",
    )
    group.add_argument("--frequency", type=float, metavar="GHZ", help="the radar's, where the file does not say")
    group.add_argument(
        "--snr-threshold",
        type=_number_or_none,
        default=-15.0,
        metavar="DB",
        help="KAZR moments: signal-to-noise ratio from which a gate holds an echo; 'none' if noise is masked (-15)",
    )
    group.add_argument("--cloud-mask", type=int, default=20, help="2B-GEOPROF: least CPR_Cloud_mask of an echo (20)")
    group.add_argument(
        "--drop-attenuated", action="store_true", help="categorize: echo above liquid water, uncorrected, is missing"
    )
    group.add_argument("--max-gap", type=float, metavar="S", help="longest gap that is bridged (default: two columns)")


def _add_grid(group: Any) -> None:
    group.add_argument("--row-depth", type=float, metavar="M", help="depth of a row (default: that of the training)")
    group.add_argument("--step", type=float, metavar="S", help="duration of a column (default: that of the training)")
    group.add_argument("--overlap", type=int, help="columns that windows share (default: half a window)")
    group.add_argument("--batch-size", type=int, default=4, help="windows at once (default: 4)")
    group.add_argument(
        "--interpolation",
        choices=("linear", "nearest"),
        default="linear",
        help="from the network's rows and columns to the file's gates and profiles (linear)",
    )


def _number_or_none(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


def run(arguments: argparse.Namespace) -> None:
    """Fills, draws, and says what was done and where it is."""
    figure = arguments.figure
    check(
        figure is None or figure.suffix.lower() in _FIGURES,
        "`--figure` ends in .png, .pdf or .svg.",
        figure=str(figure),
    )
    check(
        not (arguments.no_calibration and arguments.calibration),
        "Give --calibration or --no-calibration, not both.",
    )
    from ..inference import inpaint
    from .progress import progress_line
    from .train import show_progress

    show_progress()
    result = inpaint(
        arguments.file,
        arguments.model,
        arguments.out,
        product=arguments.product,
        context=arguments.context,
        blind_zone_top_m=arguments.blind_zone_top,
        members=arguments.members,
        seed=arguments.seed,
        statistic=arguments.statistic,
        calibration=arguments.calibration or not arguments.no_calibration,
        interpolation=arguments.interpolation,
        row_depth_m=arguments.row_depth,
        step_s=arguments.step,
        max_gap_s=arguments.max_gap,
        overlap=arguments.overlap,
        batch_size=arguments.batch_size,
        progress=progress_line("inpainting", "windows"),
        frequency_ghz=arguments.frequency,
        snr_threshold_db=arguments.snr_threshold,
        cloud_mask_threshold=arguments.cloud_mask,
        keep_attenuated=not arguments.drop_attenuated,
    )
    _report(result)
    if figure is not None:
        from ..plotting import plot_filled, save_figure

        print(f"figure {save_figure(plot_filled(result), figure)}")


def _report(result: Inpainted) -> None:
    gates = result.gates
    blind = sum(count for name, count in gates.items() if name != "observed")
    filled = gates["filled"] + gates["filled_without_echo"]
    print(
        f"{result.product}: {filled:,} of {blind:,} gates below {result.blind_zone_top_m:.0f} m filled in "
        f"{result.segments} segment{'s' if result.segments != 1 else ''}, {gates['filled']:,} of them with echo"
    )
    if gates["not_filled_missing"]:
        print(f"{gates['not_filled_missing']:,} gates not filled: nothing was observed above them")
    if gates["not_filled_short_segment"]:
        print(f"{gates['not_filled_short_segment']:,} gates not filled: too few profiles between two gaps")
    if result.members == 1:
        said = "uncertainty from the calibration" if result.calibrated else "no uncertainty: the model gives one value"
    else:
        said = f"{result.members} members, " + ("recalibrated" if result.calibrated else "not recalibrated")
    print(said)
    print(f"filled {result.path}")
