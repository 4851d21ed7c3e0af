"""Figures of results: scores with their intervals, and the course of a training."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import DataError, check
from .style import LINE_COLORS, bare, new_figure, title_of

Interval = tuple[float, float, float]
_BEST_AT = {"frequency_bias": 1, "bias": 0}  # scores that are best at a value, by what their name holds
_MOST = 12  # scores of a figure


def plot_scores(
    scores: Any,
    *,
    metrics: Sequence[str] | None = None,
    title: str | None = None,
    simulated: bool | None = None,
) -> Figure:
    """One panel a metric, one row a method: the value as a point, its bootstrap interval as a line.

    Args:
        scores: What `cloudkeras.evaluate` returns, the `scores.json` that it saves (or its folder), or a mapping of
            method to metric to value or (value, low, high). Methods stand in its order; baselines are hollow points.
        metrics: Metrics to show, in order; None shows the most telling ones of the task, or all that methods share.
        title: Title of the figure; None says what was scored.
        simulated: Whether the data are simulated, which the title then says; None takes it from the scores.

    Raises:
        DataError: If a file of scores is not one.
        InputError: If there is no method, or a metric that not all methods have.
    """
    report = _report(scores)
    table = {
        str(name): {str(m): _interval(v) for m, v in row.items()} for name, row in report.get("scores", report).items()
    }
    check(len(table) > 0, "`scores` has at least one method.", methods=list(table))
    task = str(report.get("task", "")) if "scores" in report else ""
    shared = [m for m in next(iter(table.values())) if all(m in row for row in table.values())]
    chosen = list(metrics) if metrics is not None else [m for m in _shown(report, shared) if m in shared][:_MOST]
    unknown = sorted(set(chosen) - set(shared))
    check(bool(chosen) and not unknown, f"Metrics that all methods have: {', '.join(shared)}.", metrics=chosen)
    across = min(3, len(chosen))
    down = -(-len(chosen) // across)
    figure = new_figure(1.6 + 2.9 * across, 0.8 + down * (0.75 + 0.27 * len(table)))
    axes = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    for spare in axes[len(chosen) :]:
        spare.remove()
    hollow = set(report.get("baselines", ())) if task else set()
    definitions = _definitions(report)
    for axis, metric in zip(axes, chosen, strict=False):
        _draw_metric(axis, _label(metric, definitions), {n: row[metric] for n, row in table.items()}, hollow)
    if title is None:
        title = f"{task}: {report.get('samples')} samples, the same pixels for all methods" if task else "Scores"
    known = report.get("simulated") if task and simulated is None else simulated
    figure.suptitle(title_of(title, known), fontsize=12)
    return figure


def _report(scores: Any) -> Mapping[str, Any]:
    """Scores as a mapping: a report of an evaluation, or method to metric to value."""
    if isinstance(scores, str | Path):
        path = Path(scores) / "scores.json" if Path(scores).is_dir() else Path(scores)
        try:
            scores = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise DataError(path, expected="scores as JSON", found=str(error)) from error
        if not isinstance(scores, Mapping) or "scores" not in scores:
            raise DataError(path, expected="scores as `cloudkeras evaluate` writes them", found="other JSON")
    return scores if isinstance(scores, Mapping) else scores.to_dict()


def _interval(value: Any) -> Interval:
    if isinstance(value, Mapping):
        value = [value.get(name) for name in ("value", "low", "high")]
    parts = (value, None, None) if value is None or np.ndim(value) == 0 else value
    middle, low, high = (float("nan") if v is None else float(v) for v in parts)
    return middle, low, high


def _definitions(report: Mapping[str, Any]) -> Any:
    """The scores' definitions of a report of an evaluation; None for other mappings."""
    if not report.get("task") or "scores" not in report:
        return None
    from ..metrics import metrics_for
    from ..tasks import get_task

    return metrics_for(get_task(report["task"], **report.get("task_options", {})), report.get("kind", "point"))


def _shown(report: Mapping[str, Any], shared: Sequence[str]) -> Sequence[str]:
    return getattr(_definitions(report), "shown", ()) or shared


def _label(metric: str, definitions: Any) -> str:
    """Name, unit and which way is better."""
    words = metric.replace("_", " ")
    if definitions is None:
        return words
    unit = getattr(definitions, "unit", lambda _: "")(metric)
    unit = f" ({unit})" if unit else ""
    for name, best in _BEST_AT.items():
        if name in metric:
            return f"{words}{unit}, {best} is best"
    return f"{words}{unit}, {'higher' if definitions.higher_is_better(metric) else 'lower'} is better"


def _draw_metric(axis: Axes, label: str, values: Mapping[str, Interval], hollow: Collection[str]) -> None:
    for place, (name, (value, low, high)) in enumerate(values.items()):
        color = LINE_COLORS[1 + place % (len(LINE_COLORS) - 1)]  # black is the truth, in other figures
        if np.isfinite([low, high]).all():
            axis.plot([low, high], [place, place], color=color, linewidth=2, solid_capstyle="round", alpha=0.55)
        face = "white" if name in hollow else color
        axis.plot(value, place, marker="o", markersize=6, color=color, markerfacecolor=face)
    axis.set_title(label, fontsize=9)
    axis.set_yticks(range(len(values)), list(values))
    axis.set_ylim(len(values) - 0.5, -0.5)
    axis.margins(x=0.12)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    bare(axis)


def plot_history(
    path: str | Path,
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
    simulated: bool | None = None,
) -> Figure:
    """The course of a training: each logged value against the epoch, training and validation together.

    Args:
        path: `history.csv` of a run folder, or the folder.
        names: Values to show, in order, without "val_"; None shows all.
        title: Title of the figure; None takes the name of the folder.
        simulated: Whether the data are simulated; the title says so.

    Raises:
        DataError: If the file is not a history.
        InputError: If a value was not logged.
    """
    path = Path(path)
    file = path / "history.csv" if path.is_dir() else path
    history = _read_history(file)
    epochs = history.pop("epoch")
    known = [n for n in history if not n.startswith("val_") and np.isfinite(history[n]).any()]
    known += [n[4:] for n in history if n.startswith("val_") and n[4:] not in history]
    known = [n for n in known if n not in ("seconds", "time")]
    known.sort(key=lambda name: (name == "learning_rate", name != "loss"))  # the loss first, the learning rate last
    if not known:
        raise DataError(file, expected="logged values beside the epoch", found="none")
    shown = known if names is None else list(names)
    check(bool(shown) and set(shown) <= set(known), f"`names` are of {', '.join(known)}.", names=names)
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = new_figure(0.6 + 3.4 * across, 0.9 + 2.3 * down)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for spare in axes[len(shown) :]:
        spare.remove()
    for axis, name in zip(axes, shown, strict=False):
        _draw_history(axis, name, epochs, history)
    figure.suptitle(title_of(title or file.resolve().parent.name, simulated), fontsize=12)
    return figure


def _read_history(file: Path) -> dict[str, np.ndarray]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except UnicodeDecodeError as error:
        raise DataError(file, expected="a history as CSV", found=str(error)) from error
    if not rows or "epoch" not in rows[0]:
        raise DataError(file, expected="a column 'epoch' and at least one row", found=f"{len(rows)} rows")
    return {name: np.array([_number(row[name]) for row in rows]) for name in rows[0] if name}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _draw_history(axis: Axes, name: str, epochs: np.ndarray, history: Mapping[str, np.ndarray]) -> None:
    drawn = 0
    for key, label, color in ((name, "training", LINE_COLORS[1]), (f"val_{name}", "validation", LINE_COLORS[2])):
        if key in history and np.isfinite(history[key]).any():
            marker = "o" if len(epochs) < 30 else None
            steps = "steps-post" if name == "learning_rate" else "default"
            axis.plot(epochs, history[key], color=color, label=label, marker=marker, markersize=3, drawstyle=steps)
            drawn += 1
    axis.set_title(name.replace("_", " "), fontsize=10)
    axis.set_xlabel("epoch", fontsize=9)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    values = np.concatenate([history[k] for k in (name, f"val_{name}") if k in history])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 50 * values.min():
        axis.set_yscale("log")
    axis.grid(color="#e5e5e5", linewidth=0.6)
    axis.tick_params(labelsize=8)
    if drawn > 1:
        axis.legend(frameon=False, fontsize=8)
    bare(axis)
