"""What channels are worth, with intervals: the result of permutation and of retraining."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.shards import new_file
from ..evaluation.bootstrap import Interval


@dataclass(frozen=True, eq=False)
class Importance:
    """Importance of channels, or groups of them, for one score. Positive: the channel makes the score better.

    Attributes:
        method: "permutation" or "shapley".
        score: Name of the score.
        units: Its unit, "" for none.
        higher_is_better: Whether a larger score is better.
        values: By channel: importance, in units of the score, with its interval.
        by_seed: By channel: importance for each seed of the shuffling, or of the training.
        scores: The score itself: by permuted channel and, as "nothing", untouched; or by subset of channels.
        confidence: Of the intervals.
        simulated: Whether the data are simulated.
        provenance: What was scored with what.
    """

    method: str
    score: str
    units: str
    higher_is_better: bool
    values: dict[str, Interval]
    by_seed: dict[str, list[float]]
    scores: dict[str, Interval]
    confidence: float = 0.95
    simulated: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def ranking(self) -> list[str]:
        """Channels, the most important first."""
        return sorted(self.values, key=lambda name: -self.values[name].value)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values; what is not a number is None."""
        return {
            "method": self.method,
            "score": self.score,
            "units": self.units,
            "higher_is_better": self.higher_is_better,
            "simulated": self.simulated,
            "confidence": self.confidence,
            "ranking": self.ranking,
            "importance": {name: _plain(self.values[name]) for name in self.ranking},
            "by_seed": {name: [_number(v) for v in self.by_seed[name]] for name in self.ranking},
            "scores": {name: _plain(value) for name, value in self.scores.items()},
            "provenance": self.provenance,
        }

    def to_markdown(self) -> str:
        """A table of the importance and one of the scores."""
        unit = f" ({self.units})" if self.units and self.units != "1" else ""
        better = "higher" if self.higher_is_better else "lower"
        percent = f"{100 * self.confidence:g} % interval"
        lines = [
            f"Importance by {self.method}: what the channel improves of {self.score}{unit}, {percent}"
            + (" (simulated data)" if self.simulated else ""),
            "",
            "| channel | importance | interval |",
            "|---|---|---|",
        ]
        lines += [f"| {name} | {_words(self.values[name])} |" for name in self.ranking]
        first = "permuted" if self.method == "permutation" else "channels"
        lines += ["", f"{self.score}{unit}, {better} is better", "", f"| {first} | score | interval |", "|---|---|---|"]
        lines += [f"| {name} | {_words(value)} |" for name, value in self.scores.items()]
        return "\n".join(lines) + "\n"

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes `<method>.json` and `<method>.md`; returns their paths by "json" and "markdown"."""
        folder = Path(folder)
        contents = {
            "json": json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n",
            "markdown": self.to_markdown(),
        }
        paths = {"json": folder / f"{self.method}.json", "markdown": folder / f"{self.method}.md"}
        for name, content in contents.items():
            with new_file(paths[name]) as temporary:
                temporary.write_text(content, encoding="utf-8")
        return paths


def _number(value: float) -> float | None:
    return float(f"{value:.8g}") if np.isfinite(value) else None


def _plain(value: Interval) -> dict[str, float | None]:
    return {name: _number(v) for name, v in value._asdict().items()}


def _words(value: Interval) -> str:
    # Adding 0 turns -0 into 0.
    interval = f"{value.low + 0.0:.4g} to {value.high + 0.0:.4g}" if np.isfinite([value.low, value.high]).all() else "-"
    return f"{value.value + 0.0:.4g} | {interval}"
