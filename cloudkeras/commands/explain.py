"""Show what a run looks at (saliency, integrated gradients, Grad-CAM, feature maps) and what each channel is worth."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ..errors import InputError
from .evaluate import add_interval_options, evaluation_task
from .train import show_progress

_METHODS = {
    "layers": "list the layers that Grad-CAM and feature maps can be made of",
    "saliency": "size of the gradient of the objective by each input value",
    "integrated-gradients": "contribution of each input value to the objective, against a baseline",
    "grad-cam": "places of a layer that raise the objective",
    "feature-maps": "what a layer holds",
    "permutation": "how much worse the scores get when a channel comes from another sample",
    "shapley": "what each channel brings, by training a run for every subset of channels",
}
_MAPS = ("saliency", "integrated-gradients", "grad-cam", "feature-maps")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the methods and their options."""
    methods = parser.add_subparsers(dest="method", required=True, metavar="METHOD")
    for name, text in _METHODS.items():
        method = methods.add_parser(name, help=text, description=text.capitalize() + ".")
        what = "folder of a run; its configuration is trained" if name == "shapley" else "folder of a run"
        method.add_argument("run", type=Path, metavar="RUN", help=what)
        if name == "layers":
            continue
        method.add_argument("--data", type=Path, required=True, help="folder of shards")
        method.add_argument("--out", type=Path, required=True, help="folder for numbers and figures")
        method.add_argument("--split", default="test", help="train, validation or test (default: test)")
        method.add_argument("--batch-size", type=int, default=8, help="samples at once (default: 8)")
        if name in _MAPS:
            method.add_argument("--sample", type=int, nargs="+", default=[0], help="numbers in the split (default: 0)")
        if name in _MAPS[:3]:
            _objective_options(method)
        if name in ("grad-cam", "feature-maps"):
            method.add_argument("--layer", required=True, help="name of a layer; `explain layers RUN` lists them")
        if name in ("permutation", "shapley"):
            _importance_options(method)
    _own_options(methods.choices)


def _objective_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("objective: the mean of one output over a region").add_argument
    add(
        "--region",
        default="judged",
        help="judged (where labels are: the blind zone, the track), all, or a field such as blind_zone_mask",
    )
    add("--rows", type=_slice, metavar="A:B", help="of the region, rows A to B - 1 only (one number: that row)")
    add("--columns", type=_slice, metavar="A:B", help="of the region, columns A to B - 1 only")
    add("--class", dest="channel", metavar="CLASS", help="class, for tasks that have some")
    add("--level", type=int, help="level of a volume (default: all)")
    add(
        "--space",
        default="network",
        choices=("network", "decoded"),
        help="network: logits or normalised values; decoded: probabilities or physical units (default: network)",
    )


def _importance_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, help="score this many samples of the split (default: all)")
    add_interval_options(parser)


def _own_options(parsers: Any) -> None:
    add = parsers["integrated-gradients"].add_argument
    add("--baseline", choices=("hidden", "zero", "mean"), help="hidden: -1, no echo; zero: the training mean where "
        "inputs are standardised; mean: the mean of the split (default: hidden for blind_zone, else zero)")  # fmt: skip
    add("--steps", type=int, default=128, help="points on the path from the baseline (default: 128)")
    parsers["grad-cam"].add_argument(
        "--weights",
        choices=("mean", "local"),
        default="mean",
        help="mean: gradients averaged over the layer (Grad-CAM); local: each at its place (HiResCAM) (default: mean)",
    )
    parsers["feature-maps"].add_argument("--limit", type=int, default=16, help="features drawn (default: 16)")
    add = parsers["permutation"].add_argument
    add("--repeats", type=int, default=5, help="exchanges of channels between samples (default: 5)")
    add("--seed", type=int, default=0, help="of the exchanges and the bootstrap (default: 0)")
    add("--labels", choices=("auto", "track", "dense"), default="auto", help="as in `cloudkeras evaluate`")
    add("--group", action="append", metavar="NAME=CHANNEL,...", help="channels to exchange together (may be repeated)")
    add = parsers["shapley"].add_argument
    add("--seeds", type=int, nargs="+", help="seeds of the trainings (default: that of RUN)")
    add("--epochs", type=int, help="epochs of each training (default: those of RUN)")
    add("--option", help="the task's option that lists channels (blind_zone: context)")
    add("--player", action="append", metavar="NAME=CHANNEL,...", help="channels that come and go together "
        "(may be repeated; default for blind_zone: t, q, u and v)")  # fmt: skip
    add("--always", nargs="*", default=[], metavar="CHANNEL", help="channels that all subsets have")


def _slice(text: str) -> slice:
    first, colon, last = text.partition(":")
    try:
        begin = int(first) if first else 0
        return slice(begin, (int(last) if last else None) if colon else begin + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected A:B or one number, got {text!r}") from None


def run(arguments: argparse.Namespace) -> None:
    """Explains, and says where the results are."""
    show_progress()
    if arguments.method == "layers":
        _print_layers(arguments)
    elif arguments.method in _MAPS:
        from .explain_maps import explain_samples

        explain_samples(arguments)
    elif arguments.method == "permutation":
        _permutation(arguments)
    else:
        _shapley(arguments)


def _print_layers(arguments: argparse.Namespace) -> None:
    from ..explain import image_layers
    from ..training import load_run

    layers = image_layers(load_run(arguments.run).model)
    width = max((len(layer.name) for layer in layers), default=0)
    for layer in layers:
        shape = " x ".join("?" if size is None else str(size) for size in layer.shape)
        print(f"{layer.name:{width}}  {layer.kind:20}  {shape}")


# ---- importance ------------------------------------------------------------------------------------------------------


def _named_channels(items: list[str] | None) -> dict[str, tuple[str, ...]] | None:
    """`["wind=u,v"]` as `{"wind": ("u", "v")}`.

    Raises:
        InputError: If an item is not of that form or a name comes twice.
    """
    if not items:
        return None
    groups: dict[str, tuple[str, ...]] = {}
    for item in items:
        name, equals, channels = item.partition("=")
        if not (equals and name and channels) or name in groups:
            raise InputError(f"Channels are grouped as NAME=CHANNEL,CHANNEL, each name once. Received {item!r}.")
        groups[name] = tuple(channels.split(","))
    return groups


def _permutation(arguments: argparse.Namespace) -> None:
    from ..datasets import ShardDataset
    from ..explain import permutation_importance
    from ..plotting import plot_importance, save_figure
    from ..training import load_run

    run, dataset = load_run(arguments.run), ShardDataset.open(arguments.data)
    importance = permutation_importance(
        run,
        dataset,
        task=evaluation_task(dataset, [run], arguments.labels),
        split=arguments.split,
        groups=_named_channels(arguments.group),
        repeats=arguments.repeats,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        bootstrap=arguments.bootstrap,
        confidence=arguments.confidence,
        group_by=arguments.group_by,
    )
    paths = importance.save(arguments.out)
    title = f"Channel importance of {run.name} by permutation"
    paths["figure"] = save_figure(plot_importance(importance, title=title), arguments.out / "permutation.png")
    print(importance.to_markdown())
    for name, path in paths.items():
        print(f"{name:8} {path}")


def _shapley(arguments: argparse.Namespace) -> None:
    from ..explain import retrain_subsets
    from ..plotting import plot_shapley, save_figure
    from ..training import load_run

    config = load_run(arguments.run).config
    changes: dict[str, Any] = {"data": str(arguments.data)}
    if arguments.epochs is not None:
        changes["epochs"] = arguments.epochs
    importance, scores = retrain_subsets(
        dataclasses.replace(config, **changes),
        arguments.out,
        option=arguments.option,
        players=_named_channels(arguments.player),
        always=arguments.always,
        seeds=arguments.seeds,
        split=arguments.split,
        batch_size=arguments.batch_size,
        bootstrap=arguments.bootstrap,
        confidence=arguments.confidence,
        group_by=arguments.group_by,
        limit=arguments.limit,
    )
    paths = importance.save(arguments.out)
    paths["scores"] = scores.save(arguments.out / "scores")["json"]
    paths["figure"] = save_figure(plot_shapley(importance), arguments.out / "shapley.png")
    print(importance.to_markdown())
    for name, path in paths.items():
        print(f"{name:8} {path}")
    print(f"{'runs':8} {arguments.out / 'runs'}")
