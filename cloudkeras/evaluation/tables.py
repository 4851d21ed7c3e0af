"""Scores as Markdown that is also readable in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .bootstrap import Interval

if TYPE_CHECKING:
    from .scores import Scores

FEW_GROUPS = 10


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table with padded columns; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(cells) + " |")
    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return lines


def cell(score: Interval, signed: bool = False) -> str:
    """`0.612 [0.590, 0.633]`, without the interval where there is none."""
    if math.isnan(score.value):
        return "-"
    digits = 2 if max(abs(v) for v in score if not math.isnan(v)) >= 10 else 3
    sign = "+" if signed else ""
    text = f"{score.value:{sign}.{digits}f}"
    return text if math.isnan(score.low) else f"{text} [{score.low:{sign}.{digits}f}, {score.high:{sign}.{digits}f}]"


def markdown(scores: Scores) -> str:
    """Head, one table for each kind of average, and the differences to the reference."""
    lines = [*_head(scores), ""]
    for title, names in scores.metrics.tables.items():
        rows = [[_marked(scores, m), *(cell(scores.score(m, name)) for name in names)] for m in scores.methods]
        lines += [f"## {title}", "", *aligned(["method", *names], rows), ""]
    lines += _difference_table(scores)
    lines += _notes(scores)
    return "\n".join(lines) + "\n"


def _marked(scores: Scores, method: str) -> str:
    return f"{method} *" if method in scores.baselines else method


def _head(scores: Scores) -> list[str]:
    source = scores.provenance
    kind = "SIMULATED data" if scores.simulated else "observed data"
    first = scores.values[scores.methods[0]]
    unit = scores.metrics.count
    # By class or by what the truth shows; what depends on the prediction differs between the methods.
    kinds = [n for n in first if n.startswith(f"{unit}_") and not n.endswith(("predicted_echo", "both_echo"))]
    parts = [f"{int(first[n]):,} {n.removeprefix(f'{unit}_').replace('_', ' ')}" for n in kinds]
    where = f", split {source['split']} of {source['data']}" if "data" in source and "split" in source else ""
    labels = f" Labels: {source['labels']}." if source.get("labels") else ""
    return [
        f"# Scores: {scores.task}, {kind}{where}",
        "",
        f"All methods on the same {scores.num_samples} samples.{labels}",
        f"Counted: {int(first[unit]):,} {unit}" + (f", of these {', '.join(parts)}." if parts else "."),
    ]


def _difference_table(scores: Scores) -> list[str]:
    reference = scores.compared_with
    others = [m for m in scores.methods if m != reference]
    if not others:
        return []
    names = list(next(iter(scores.metrics.tables.values())))
    rows = [[_marked(scores, m), *(cell(scores.difference(m, n), signed=True) for n in names)] for m in others]
    return [f"## paired differences to {reference}", "", *aligned(["method", *names], rows), ""]


def _notes(scores: Scores) -> list[str]:
    notes = []
    if scores.bootstrap and scores.num_groups >= 2:
        grouped = scores.provenance.get("options", {}).get("group_by", "group")
        grouped = grouped if isinstance(grouped, str) else _blocks(grouped)
        percent = f"{100 * scores.confidence:g} %"
        notes.append(
            f"[low, high]: {percent} bootstrap interval, {scores.bootstrap} draws of {scores.num_groups} groups "
            f"(by {grouped})."
        )
        if scores.num_groups < FEW_GROUPS:
            notes.append(f"Only {scores.num_groups} groups: the intervals are rough and too narrow.")
    elif scores.bootstrap:
        notes.append("No intervals: all samples are in one group.")
    if scores.baselines:
        notes.append("* not learned by a network. -: not defined, nothing to judge.")
    if scores.simulated:
        notes.append("Simulated scenes: this says nothing about skill on observations.")
    return [f"{note}  " for note in notes]


def _blocks(seconds: float) -> str:
    return f"blocks of {seconds / 86400:g} days" if seconds >= 2 * 86400 else f"blocks of {seconds:g} s"
