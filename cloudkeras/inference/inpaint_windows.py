"""From columns of a record to the statistics of its blind zone: windows along time, blended, in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, check
from ..tasks import BlindZone, Fields
from ..uncertainty import Calibration, EnsembleMethod, summarize
from .inpaint_blend import Blend
from .inpaint_columns import Columns
from .tiling import AxisTiles, pad_to

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DEFAULT_COLUMNS = 128
STRETCH_COLUMNS = 1024
SHORTEST_SHARE = 8  # a segment shorter than that part of a window is not filled
Statistics = dict[str, np.ndarray]


@dataclass(frozen=True)
class Filler:
    """Statistics of the blind zone in windows of a record.

    Attributes:
        source: A run, or a `DeepEnsemble`.
        task: Its task, with the rows that are hidden.
        members: How many to draw; a source that always says the same gives one, an ensemble of such one each.
        seed: Of the members.
        statistic: Point value: "median" or "mean" of the members.
        calibration: Recalibrates the members.
        levels: Of the quantiles.
    """

    source: Any
    task: BlindZone
    members: int = 50
    seed: int = 0
    statistic: str = "median"
    calibration: Calibration | None = None
    levels: tuple[float, ...] = QUANTILES
    method: EnsembleMethod = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        check(self.seed >= 0, "`seed` is at least 0.", seed=self.seed)
        check(self.members >= 1, "`members` is at least 1.", members=self.members)
        members, runs = self.members, getattr(self.source, "runs", ())
        if runs and not all(getattr(run, "stochastic", True) for run in runs):
            members = min(members, len(runs))
        method = EnsembleMethod(self.source, members, self.seed, self.statistic, self.calibration, task=self.task)
        object.__setattr__(self, "method", method)

    @property
    def drawn(self) -> int:
        """Members of each window."""
        return self.method.num_members

    @property
    def uncertain(self) -> bool:
        """Whether there is a distribution: several members, or a calibration."""
        return self.drawn > 1 or self.calibration is not None

    @property
    def atom(self) -> float:
        """The value that means "no echo"."""
        return float(self.task.output_range().atom or 0.0)

    @property
    def threshold(self) -> float | None:
        """Probability from which the point value shows an echo; None for means."""
        if self.statistic == "mean":
            return None
        return 0.5 if self.calibration is None else self.calibration.threshold

    def size(self) -> tuple[int | None, int]:
        """Rows, None if the network takes any number, and columns of a window."""
        model = getattr(self.source, "runs", (self.source,))[0].model
        rows, columns = model.input_shape[1:3]
        return rows, columns or DEFAULT_COLUMNS

    def __call__(self, windows: Sequence[Fields]) -> Iterator[Statistics]:
        """Yields the statistics of each window: hidden rows and all columns.

        Args:
            windows: Fields in physical units, (rows, columns) each.

        Raises:
            InputError: If the network gives values that are not finite.
        """
        fields = self.task.prepare({name: np.stack([w[name] for w in windows]) for name in windows[0]})
        x = self.task.network_inputs(fields, self.source.statistics)
        raw = self.method.raw_members(x)
        if not np.isfinite(raw).all():
            raise InputError(f"The model of '{self.method.name}' gives values that are not finite; train it again.")
        found = self._members(raw) if self.calibration is None else self._calibrated(raw, x, self.calibration)
        for i in range(len(windows)):
            yield {name: values[..., i, : self.task.blind_rows, :] for name, values in found.items()}

    def _members(self, raw: np.ndarray) -> Statistics:
        raw = raw[:, :, : self.task.blind_rows]
        summary = summarize(raw, quantiles=self.levels, event=self.atom)
        point = summary["mean"]
        if self.statistic == "median":
            point = np.where(summary["probability"] > 0.5, summary["median"], np.float32(self.atom))
        found = {"point": point, "probability": summary["probability"]}
        return found | ({k: summary[k] for k in ("spread", "quantiles")} if self.drawn > 1 else {})

    def _calibrated(self, raw: np.ndarray, x: np.ndarray, calibration: Calibration) -> Statistics:
        members = calibration.apply(raw, x, self.task, self.members if len(raw) == 1 else None)
        point = calibration.point(raw, x, self.task) if self.statistic == "median" else members.mean(axis=0)
        return {
            "point": point,
            "probability": calibration.probability(raw, x, self.task, self.atom),
            "spread": members.std(axis=0, ddof=1 if len(members) > 1 else 0),
            "quantiles": calibration.quantiles(raw, x, self.task, self.levels),
        }


@dataclass(frozen=True)
class WindowPlan:
    """How the segments of a record are covered by windows.

    Attributes:
        columns: The record.
        width: Columns of a window.
        overlap: Columns that neighboring windows share, at least.
        margin: Columns at inner ends of a window that are not used.
        longest: Columns held in memory at a time.
    """

    columns: Columns
    width: int
    overlap: int
    margin: int
    longest: int = STRETCH_COLUMNS

    @property
    def shortest(self) -> int:
        """Fewest columns of a segment that is filled."""
        return -(-self.width // SHORTEST_SHARE)

    def segments(self) -> list[tuple[int, int]]:
        """First and one past the last column of each segment that is long enough."""
        return [(first, stop) for first, stop in self.columns.segments() if stop - first >= self.shortest]

    def tiles(self, first: int, stop: int) -> AxisTiles:
        """The windows of a segment."""
        return AxisTiles(stop - first, self.width, self.overlap, self.margin)

    def count(self) -> int:
        """Windows that are predicted in all; those at the end of a stretch count twice."""
        return sum(
            len(inside)
            for first, stop in self.segments()
            for _, _, inside in self.tiles(first, stop).groups(self.longest)
        )


def fill_segment(
    filler: Filler, plan: WindowPlan, first: int, stop: int, batch_size: int, step: Callable[[int], None]
) -> Iterator[tuple[int, Statistics]]:
    """Yields the first column and the statistics of consecutive stretches of a segment.

    A segment shorter than a window is mirrored at its end until it fills one.

    Args:
        filler: Makes statistics of windows.
        plan: How windows lie.
        first: First column of the segment.
        stop: One past its last column.
        batch_size: Windows at once.
        step: Called with the number of windows done since the last call.
    """
    tiles = plan.tiles(first, stop)
    for begin, end, inside in tiles.groups(plan.longest):
        left, right = tiles.starts[inside[0]], tiles.starts[inside[-1]] + tiles.tile
        fields = plan.columns.fields(first + left, min(first + right, stop))
        rows = next(iter(fields.values())).shape[0]
        fields = {name: pad_to(values, rows, right - left) for name, values in fields.items()}
        blend = Blend((filler.task.blind_rows, right - left), filler.atom, filler.threshold)
        for k in range(0, len(inside), batch_size):
            some = inside[k : k + batch_size]
            starts = [tiles.starts[j] - left for j in some]
            cut = [{n: v[:, s : s + tiles.tile] for n, v in fields.items()} for s in starts]
            for j, start, statistics in zip(some, starts, filler(cut), strict=True):
                blend.add(slice(start, start + tiles.tile), tiles.weights(j), statistics)
            step(len(some))
        end = min(end, stop - first)
        yield first + begin, {n: v[..., begin - left : end - left] for n, v in blend.result().items()}
