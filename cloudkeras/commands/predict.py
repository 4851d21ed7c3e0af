"""Apply a run to a scene of any size, or to a folder of daily rasters: overlapping tiles, blended, written as maps."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..errors import check
from . import predict_maps


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras predict`."""
    parser.add_argument(
        "scene",
        type=Path,
        help="NetCDF file with the task's variables, without a sample dimension; or a folder of daily rasters",
    )
    parser.add_argument("--run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, help="NetCDF file to write; a folder for maps")
    parser.add_argument("--figure", type=Path, help="picture of the result to write (.png, .pdf, .svg)")
    parser.add_argument("--overlap", type=int, help="pixels that tiles share (default: a quarter of a tile)")
    parser.add_argument("--margin", type=int, help="pixels at inner tile borders not used (default: overlap / 8)")
    parser.add_argument(
        "--tile", type=int, help="pixels of a tile, for a model of dynamic size (default: 128 or the task's)"
    )
    parser.add_argument("--batch-size", type=int, help="tiles in one call of the model (default: 8; few for maps)")
    parser.add_argument("--members", type=int, default=1, help="passes of a Monte Carlo dropout model (default: 1)")
    parser.add_argument("--no-probability", action="store_true", help="leave class probabilities out of the file")
    predict_maps.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predicts, draws, and says where."""
    if arguments.scene.is_dir():
        return predict_maps.run_maps(arguments)
    check(arguments.run is not None, "A scene needs `--run`.")
    for name in predict_maps.MAPS_ONLY:
        value = getattr(arguments, name)
        check(not value, f"`--{name}` goes with a folder of daily rasters, not with a scene.", **{name: str(value)})
    figure = arguments.figure
    if figure is not None:
        check(
            figure.suffix.lower() in (".png", ".pdf", ".svg"),
            "`--figure` ends in .png, .pdf or .svg.",
            figure=str(figure),
        )
    from ..inference import predict_scene
    from ..training import load_run

    out = predict_scene(
        load_run(arguments.run),
        arguments.scene,
        arguments.out,
        tile=arguments.tile,
        overlap=arguments.overlap,
        margin=arguments.margin,
        batch_size=8 if arguments.batch_size is None else arguments.batch_size,
        members=arguments.members,
        seed=arguments.seed,
        probability=not arguments.no_probability,
        progress=_Progress(),
    )
    print(f"scene  {out}")
    if figure is not None:
        from ..plotting import plot_scene, save_figure

        print(f"figure {save_figure(plot_scene(out, scene=arguments.scene), figure)}")
    return 0


class _Progress:
    """Tiles done and time left on standard error, once a second at most; the first call, which compiles, left out."""

    def __init__(self) -> None:
        self.began = self.shown = time.monotonic()
        self.warm: tuple[int, float] | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.warm is None:
            self.warm = done, now
        if done < total and now - self.shown < 1:
            return
        self.shown = now
        terminal = sys.stderr.isatty()
        text = f"{done} of {total} tiles, {self._rest(done, total, now)}"
        end = "\n" if done == total or not terminal else ""
        print(("\r\x1b[K" if terminal else "") + text, end=end, file=sys.stderr, flush=True)

    def _rest(self, done: int, total: int, now: float) -> str:
        if done == total:
            return f"{now - self.began:.1f} s"
        warm_done, warm_time = self.warm or (0, self.began)
        if done == warm_done:
            return "time left not known yet"
        return f"{(now - warm_time) / (done - warm_done) * (total - done):.0f} s left"
