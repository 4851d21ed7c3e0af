"""What an evaluation gives: counts of every sample and method, and the scores, intervals and tables made from them."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.shards import new_file
from ..errors import DataError, check, check_choice
from ..metrics import metrics_for
from ..tasks import get_task
from .bootstrap import Interval, draws, group_sums, interval, replicate
from .tables import markdown

FORMAT = 2


@dataclass(frozen=True)
class Scores:
    """Scores of several methods on identical pixels.

    Attributes:
        task: Name of the task.
        task_options: Its options.
        statistics: By method: summable counts of each sample, (sample, ...).
        groups: Name of the group of each sample; groups are what the bootstrap draws.
        simulated: Whether the data are simulated.
        reference: The method that the others are compared with; "" takes the best of `baselines`, or of all.
        baselines: Which of the methods are not learned.
        bootstrap: Replicates; 0 for no intervals.
        seed: Of the bootstrap.
        confidence: Of the intervals, e.g. 0.95.
        provenance: What was scored with what: data, checksum, split, labels, version, options.
        kind: What was scored: "point", or "members" of a distribution.
    """

    task: str
    task_options: dict[str, Any]
    statistics: dict[str, dict[str, np.ndarray]]
    groups: np.ndarray
    simulated: bool = False
    reference: str = ""
    baselines: tuple[str, ...] = ()
    bootstrap: int = 1000
    seed: int = 0
    confidence: float = 0.95
    provenance: dict[str, Any] = field(default_factory=dict)
    kind: str = "point"

    def __post_init__(self) -> None:
        check(len(self.statistics) > 0, "Scores need at least one method.")
        check(0 < self.confidence < 1, "`confidence` lies between 0 and 1.", confidence=self.confidence)
        check(self.bootstrap >= 0, "`bootstrap` is a number of replicates, at least 0.", bootstrap=self.bootstrap)
        if self.reference:
            check_choice(self.reference, list(self.statistics), "reference")

    # ---- numbers -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def metrics(self) -> Any:
        """The scores' definitions; see `cloudkeras.metrics.metrics_for`."""
        return metrics_for(get_task(self.task, **self.task_options), self.kind)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, the best of the primary score first; one without that score last."""
        sign = -1 if self.metrics.higher_is_better(self.metrics.primary) else 1

        def rank(name: str) -> float:
            value = self.values[name][self.metrics.primary]
            return sign * value if math.isfinite(value) else math.inf

        return tuple(sorted(self.statistics, key=rank))

    @functools.cached_property
    def values(self) -> dict[str, dict[str, float]]:
        """Scores by method and name, over all samples."""
        return {
            method: {name: float(value) for name, value in self.metrics.compute(_total(statistics)).items()}
            for method, statistics in self.statistics.items()
        }

    @functools.cached_property
    def profiles(self) -> dict[str, dict[str, np.ndarray]]:
        """Scores by method and name at each level or height."""
        computed = {m: self.metrics.compute_profile(_total(s)) for m, s in self.statistics.items()}
        return {m: {name: scores[name] for name in self.metrics.profile} for m, scores in computed.items()}

    @functools.cached_property
    def _replicates(self) -> dict[str, dict[str, np.ndarray]]:
        counts = draws(self.num_groups, self.bootstrap, self.seed)
        return {m: replicate(self.metrics, group_sums(s, self.groups), counts) for m, s in self.statistics.items()}

    @property
    def num_samples(self) -> int:
        return len(self.groups)

    @property
    def num_groups(self) -> int:
        return len(np.unique(self.groups))

    @property
    def compared_with(self) -> str:
        """The method that the others are compared with."""
        if self.reference:
            return self.reference
        return next((name for name in self.methods if name in self.baselines), self.methods[0])

    def score(self, method: str, name: str) -> Interval:
        """A score of a method with its interval.

        Raises:
            InputError: If there is no such method or score.
        """
        check_choice(method, list(self.statistics), "method")
        check_choice(name, list(self.values[method]), "score")
        return interval(self.values[method][name], self._replicates[method].get(name), self.confidence)

    def difference(self, method: str, name: str, reference: str | None = None) -> Interval:
        """Score of a method minus that of a reference on the same draws, with its interval.

        Args:
            method: The method.
            name: The score.
            reference: The other method; None takes `compared_with`.
        """
        reference = reference or self.compared_with
        value = self.score(method, name).value - self.score(reference, name).value
        ours, theirs = (self._replicates[m].get(name) for m in (method, reference))
        return interval(value, None if ours is None or theirs is None else ours - theirs, self.confidence)

    def total(self, method: str) -> dict[str, np.ndarray]:
        """The statistics of a method summed over all samples."""
        check_choice(method, list(self.statistics), "method")
        return _total(self.statistics[method])

    def resampled(self, method: str, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Summed statistics in each bootstrap replicate, (replicate, ...): intervals of what is no single score.

        Without replicates (`bootstrap=0`, or one group) the first axis is empty.

        Args:
            method: The method.
            names: Its statistics.
        """
        check_choice(method, list(self.statistics), "method")
        sums = group_sums({name: self.statistics[method][name] for name in names}, self.groups)
        counts = draws(self.num_groups, self.bootstrap, self.seed)
        return {name: np.tensordot(counts, values, axes=1) for name, values in sums.items()}

    # ---- output ------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything but the counts, as plain values."""
        names = [name for table in self.metrics.tables.values() for name in table]
        return {
            "task": self.task,
            "task_options": self.task_options,
            "kind": self.kind,
            "simulated": self.simulated,
            "samples": self.num_samples,
            "groups": self.num_groups,
            "primary": self.metrics.primary,
            "ranking": list(self.methods),
            "reference": self.compared_with,
            "baselines": list(self.baselines),
            "bootstrap": {"replicates": self.bootstrap, "seed": self.seed, "confidence": self.confidence},
            "scores": {m: {name: self.score(m, name)._asdict() for name in self.values[m]} for m in self.methods},
            "differences": {
                m: {name: self.difference(m, name)._asdict() for name in names}
                for m in self.methods
                if m != self.compared_with
            },
            "profiles": {m: {name: v.tolist() for name, v in self.profiles[m].items()} for m in self.methods},
            "provenance": self.provenance,
        }

    def to_json(self) -> str:
        """`to_dict` as JSON; what is not a number is null."""
        return json.dumps(_plain(self.to_dict()), indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The tables, to be read in a terminal or rendered."""
        return markdown(self)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes `scores.npz` (the counts), `scores.json` and `scores.md`, each under its name when complete.

        Returns:
            The three paths by "counts", "json" and "markdown".
        """
        folder = Path(folder)
        paths = {name: folder / f"scores.{end}" for name, end in _ENDINGS.items()}
        text, table = self.to_json(), self.to_markdown()
        header = {name: getattr(self, name) for name in _HEADER} | {"format": FORMAT, "methods": list(self.statistics)}
        shared = _truth_only(self.metrics)
        counts: dict[str, Any] = {
            f"{i}/{k}": v
            for i, s in enumerate(self.statistics.values())
            for k, v in s.items()
            if i == 0 or k not in shared
        }
        with new_file(paths["counts"]) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, header=np.array(json.dumps(_plain(header))), groups=self.groups, **counts)
        for name, content in (("json", text), ("markdown", table)):
            with new_file(paths[name]) as temporary:
                temporary.write_text(content, encoding="utf-8")
        return paths

    @classmethod
    def load(cls, folder: str | Path) -> Scores:
        """Reads what `save` wrote, from the folder or its `scores.npz`.

        Raises:
            DataError: If the file is missing or is not one.
        """
        path = Path(folder)
        path = path / "scores.npz" if path.is_dir() or path.suffix != ".npz" else path
        if not path.is_file():
            raise DataError(path, expected="scores", found="no file", remedy="`cloudkeras evaluate --out` writes it.")
        try:
            with np.load(path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            header = json.loads(str(content.pop("header")))
            groups = content.pop("groups")
            found, methods = header.pop("format"), header.pop("methods")
        except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
            raise DataError(path, expected=f"scores of format {FORMAT}", found=str(error)) from error
        if found != FORMAT:
            remedy = "Another version of cloudkeras counts other things; run `cloudkeras evaluate` again."
            raise DataError(path, expected=f"scores of format {FORMAT}", found=f"format {found}", remedy=remedy)
        statistics: dict[str, dict[str, np.ndarray]] = {name: {} for name in methods}
        for key, values in content.items():
            index, name = key.split("/", 1)
            statistics[methods[int(index)]][name] = values
        header["baselines"] = tuple(header["baselines"])
        scores = cls(statistics=statistics, groups=groups, **header)
        share_truth(statistics, scores.metrics)
        return scores


_ENDINGS = {"counts": "npz", "json": "json", "markdown": "md"}
_HEADER = (
    *("task", "task_options", "simulated", "reference", "baselines", "bootstrap", "seed", "confidence"),
    *("provenance", "kind"),
)


def merge_scores(parts: Iterable[Scores]) -> Scores:
    """Scores over the samples of all parts, which must not share any; options are those of the first.

    Raises:
        InputError: If the parts differ in task or methods.
    """
    parts = list(parts)
    check(len(parts) > 0, "Merging needs at least one part.")
    first = parts[0]
    for part in parts[1:]:
        for name in ("task", "task_options", "simulated", "kind"):
            ours, theirs = getattr(first, name), getattr(part, name)
            check(ours == theirs, f"Scores that are merged have the same `{name}`.", first=ours, other=theirs)
        check(
            set(part.statistics) == set(first.statistics),
            "Scores that are merged have the same methods.",
            first=sorted(first.statistics),
            other=sorted(part.statistics),
        )
    statistics = {
        method: {name: np.concatenate([part.statistics[method][name] for part in parts]) for name in counts}
        for method, counts in first.statistics.items()
    }
    share_truth(statistics, first.metrics)
    options = {name: getattr(first, name) for name in _HEADER if name != "provenance"}
    return Scores(
        statistics=statistics,
        groups=np.concatenate([part.groups for part in parts]),
        provenance={"parts": [part.provenance for part in parts]},
        **options,
    )


def _truth_only(metrics: Any) -> tuple[str, ...]:
    return tuple(getattr(metrics, "truth_only", ()))


def share_truth(statistics: dict[str, dict[str, np.ndarray]], metrics: Any) -> dict[str, dict[str, np.ndarray]]:
    """Lets all methods hold the same arrays of what no prediction changes, in place, and returns the statistics."""
    first = next(iter(statistics.values()))
    for counts in statistics.values():
        counts.update({name: first[name] for name in _truth_only(metrics)})
    return statistics


def _total(statistics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values.sum(axis=0) for name, values in statistics.items()}


def _plain(value: Any) -> Any:
    """A copy that JSON can hold: NaN and infinities are None, NumPy values and tuples plain."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
