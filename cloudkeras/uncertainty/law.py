"""The predictive distribution of a pixel: a probability of its own for the atom, dressed residuals for the rest.

    X = low                                            with probability 1 - p
    X = clip(center + scale (m + stretch (R - m)))     with probability p, given that this is above low

p = (S q + 1/2) / (S + 1) with q = sigmoid(a + b . f), a logistic regression on the features, and S the number of
stretches of the record that it was fitted to: stretches, not pixels, are what is independent, and a frequency seen in S
of them is known no better than Jeffreys' prior says. R is drawn from the residuals of the pixel's group and m is their
median; `scale` is 1, or the spread of the members (not less than a floor) where residuals are standardized by it.
Groups are cells of, in this order: the task's first factor, the class of the center, the class of the spread, the
task's other factors; how many of these count is the law's `depth`. A cell with too few pixels, or from a single stretch
of the record, takes the residuals of the coarser cell that it is in.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from .pixels import Features

RESIDUAL_LEVELS = np.linspace(0, 1, 101)
CLASSES = 4
MIN_PIXELS = 200


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-values)), which no value overflows."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(values, np.float64)))


@dataclass(frozen=True)
class Design:
    """Columns of the logistic regression: members above the atom, center and spread standardized, factors one-hot.

    Center and spread also appear times the first factor's columns, since what a value means depends on it most.

    Attributes:
        mean: Of center and spread.
        std: Of center and spread.
        levels: Values of each factor that have a column (all but the smallest).
    """

    mean: tuple[float, float]
    std: tuple[float, float]
    levels: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, features: Features) -> Design:
        numbers = np.stack([features.center, features.spread])
        std = numbers.std(axis=1)
        levels = tuple(tuple(int(v) for v in np.unique(factor)[1:]) for factor in features.factors)
        return cls(tuple(numbers.mean(axis=1).tolist()), tuple(np.where(std > 1e-9, std, 1.0).tolist()), levels)

    def columns(self, features: Features) -> np.ndarray:
        """(pixel, column)."""
        numbers = [
            np.clip((value - mean) / std, -5, 5)
            for value, mean, std in zip((features.center, features.spread), self.mean, self.std, strict=True)
        ]
        one_hot = [[factor == v for v in levels] for factor, levels in zip(features.factors, self.levels, strict=True)]
        crossed = [number * column for column in (one_hot[0] if one_hot else []) for number in numbers]
        flat = [column for columns in one_hot for column in columns]
        return np.stack([2 * features.probability - 1, *numbers, *flat, *crossed], axis=1).astype(np.float64)


@dataclass(frozen=True)
class EventProbability:
    """Probability that the truth is above the atom.

    Attributes:
        design: The columns.
        intercept: Of the regression.
        weights: One a column.
        stretches: Stretches of the record that it was fitted to.
    """

    design: Design
    intercept: float
    weights: tuple[float, ...]
    stretches: int

    def __call__(self, features: Features) -> np.ndarray:
        share = sigmoid(self.intercept + self.design.columns(features) @ np.asarray(self.weights))
        return (self.stretches * share + 0.5) / (self.stretches + 1)


def fit_event(features: Features, happened: np.ndarray, place: np.ndarray, strength: float) -> EventProbability:
    """Logistic regression with an L2 penalty; a frequency of 0 or 1 where all pixels are alike.

    Args:
        features: Of the pixels.
        happened: Whether the truth is above the atom.
        place: Number of the stretch that each pixel is from.
        strength: scikit-learn's `C` times 100 / pixels: neighbouring pixels say nearly the same, and a penalty that
            does not grow with them would vanish.
    """
    design, total, count = Design.of(features), len(happened), int(np.sum(happened))
    stretches = len(np.unique(place))
    if count in (0, total):
        columns = design.columns(features.take(slice(0, 1))).shape[1]
        return EventProbability(design, 50.0 if count else -50.0, (0.0,) * columns, stretches)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100 * strength / total, solver="newton-cholesky")
    model.fit(design.columns(features), happened)
    return EventProbability(design, float(model.intercept_[0]), tuple(model.coef_[0].tolist()), stretches)


@dataclass(frozen=True)
class Residuals:
    """Quantiles of residuals in cells, each with a fallback.

    Attributes:
        depth: How many keys count.
        standardized: Whether residuals are in units of the spread.
        floor: Smallest spread for that.
        center_edges: Between classes of the center; the first is the atom, or -inf.
        spread_edges: Between classes of the spread.
        cells: Keys of the cells, shortest first; () is the cell of all pixels.
        quantiles: Of the residuals of each cell at `RESIDUAL_LEVELS`.
        stretch: Factor of all residuals about their median.
    """

    depth: int
    standardized: bool
    floor: float
    center_edges: tuple[float, ...]
    spread_edges: tuple[float, ...]
    cells: tuple[tuple[int, ...], ...]
    quantiles: np.ndarray
    stretch: float = 1.0

    def keys(self, features: Features) -> np.ndarray:
        """(pixel, key)."""
        return _keys(features, np.asarray(self.center_edges), np.asarray(self.spread_edges))[:, : self.depth]

    def cell_of(self, features: Features) -> np.ndarray:
        """Index of the finest cell that each pixel is in."""
        keys = self.keys(features)
        rows, inverse = np.unique(keys, axis=0, return_inverse=True)
        known = {key: i for i, key in enumerate(self.cells)}
        found = [
            next(known[tuple(r[:n])] for n in range(len(r), -1, -1) if tuple(r[:n]) in known) for r in rows.tolist()
        ]
        return np.asarray(found, np.int64)[np.asarray(inverse).reshape(-1)]

    def scale(self, features: Features) -> np.ndarray:
        if not self.standardized:
            return np.ones(len(features))
        return np.maximum(features.spread, self.floor)

    def at(self, features: Features, levels: np.ndarray) -> np.ndarray:
        """Center plus residual at levels (level, pixel) between 0 and 1, not clipped."""
        cell = self.cell_of(features)
        position = np.clip(levels, 0, 1) * (len(RESIDUAL_LEVELS) - 1)
        below = np.minimum(position.astype(np.int64), len(RESIDUAL_LEVELS) - 2)
        table = self.stretched()
        lower, upper = table[cell, below], table[cell, below + 1]
        return features.center + self.scale(features) * (lower + (position - below) * (upper - lower))

    def below(self, features: Features, values: np.ndarray) -> np.ndarray:
        """Share of the residual distribution below values (pixel,)."""
        cell, table = self.cell_of(features), self.stretched()
        residual = (values - features.center) / self.scale(features)
        share = np.empty(len(features))
        for number in np.unique(cell):
            here = cell == number
            share[here] = np.interp(residual[here], table[number], RESIDUAL_LEVELS, left=0.0, right=1.0)
        return share

    def stretched(self) -> np.ndarray:
        middle = self.quantiles[:, len(RESIDUAL_LEVELS) // 2, None]
        return middle + self.stretch * (self.quantiles - middle)


def _keys(features: Features, center_edges: np.ndarray, spread_edges: np.ndarray) -> np.ndarray:
    center = np.searchsorted(center_edges, features.center, side="left")  # the atom itself is class 0
    spread = np.searchsorted(spread_edges, features.spread, side="left")
    factors = [factor.astype(np.int64) for factor in features.factors]
    return np.stack([*factors[:1], center, spread, *factors[1:]], axis=1)


def class_edges(features: Features, atom: float | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Edges between classes of center and spread that hold about equally many pixels."""
    inner = np.arange(1, CLASSES) / CLASSES
    center = features.center if atom is None else features.center[features.center > atom]
    edges = np.unique(np.quantile(center, inner)).tolist() if len(center) else []
    spread = np.unique(np.quantile(features.spread, inner)).tolist() if np.ptp(features.spread) > 0 else []
    return tuple(edges if atom is None else [atom, *edges]), tuple(spread)


def fit_residuals(
    features: Features,
    truth: np.ndarray,
    place: np.ndarray,
    edges: tuple[tuple[float, ...], tuple[float, ...]],
    depth: int,
    standardized: bool,
    min_pixels: int = MIN_PIXELS,
) -> Residuals:
    """Quantiles of the residuals of pixels whose truth is above the atom, by cells.

    A cell needs `min_pixels` pixels from two stretches of the record.
    """
    floor = float(max(0.25 * np.median(features.spread), 1e-6)) if len(features) else 1e-6
    keys = _keys(features, *(np.asarray(e) for e in edges))
    scale = np.maximum(features.spread, floor) if standardized else 1.0
    residual = (truth - features.center) / scale
    cells: list[tuple[int, ...]] = [()]
    tables = [np.quantile(residual, RESIDUAL_LEVELS) if len(residual) else np.zeros(len(RESIDUAL_LEVELS))]
    for length in range(1, min(depth, keys.shape[1]) + 1):
        rows, inverse = np.unique(keys[:, :length], axis=0, return_inverse=True)
        inverse = np.asarray(inverse).reshape(-1)
        for number, row in enumerate(rows.tolist()):
            here = inverse == number
            if here.sum() < min_pixels or len(np.unique(place[here])) < 2 or tuple(row[:-1]) not in cells:
                continue
            cells.append(tuple(row))
            tables.append(np.quantile(residual[here], RESIDUAL_LEVELS))
    return Residuals(depth, standardized, floor, *edges, tuple(cells), np.stack(tables))


@dataclass(frozen=True)
class Law:
    """The predictive distribution.

    Attributes:
        low: Smallest value.
        high: Largest value.
        atom: `low` if it has a probability of its own, else None.
        event: Probability of being above the atom; None without an atom.
        residuals: Of values above it.
    """

    low: float
    high: float
    atom: float | None
    event: EventProbability | None
    residuals: Residuals

    def probability(self, features: Features) -> np.ndarray:
        """The p of each pixel, 1 without an atom."""
        return np.ones(len(features)) if self.event is None else self.event(features)

    def quantiles(self, features: Features, levels: np.ndarray, probability: np.ndarray | None = None) -> np.ndarray:
        """(level, pixel); never decreasing along the levels."""
        p = self.probability(features) if probability is None else probability
        inner = (np.asarray(levels)[:, None] - (1 - p)) / np.maximum(p, 1e-12)
        values = self._given_event(features, np.clip(inner, 0, 1))
        return values if self.atom is None else np.where(inner > 0, values, self.atom)

    def given_event(self, features: Features, level: float = 0.5) -> np.ndarray:
        """A quantile of the values above the atom, (pixel,)."""
        return self._given_event(features, np.full((1, 1), level))[0]

    def _given_event(self, features: Features, levels: np.ndarray) -> np.ndarray:
        cut = self._cut(features)
        low = self.low if self.atom is None else self.atom + 1e-4 * (self.high - self.atom)
        return np.clip(self.residuals.at(features, cut + (1 - cut) * levels), low, self.high)

    def _cut(self, features: Features) -> np.ndarray:
        """Share of the residual distribution that the atom cuts off, (pixel,)."""
        if self.atom is None:
            return np.zeros(len(features))
        return np.minimum(self.residuals.below(features, np.full(len(features), self.atom)), 0.999)

    def bounds(self, features: Features, truth: np.ndarray, probability: np.ndarray | None = None) -> np.ndarray:
        """Probability of a value below the truth, and of one not above it, (2, pixel)."""
        p = self.probability(features) if probability is None else probability
        cut = self._cut(features)
        above = np.maximum(self.residuals.below(features, truth) - cut, 0) / (1 - cut)
        share = (1 - p) + p * above
        return np.stack([np.where(truth <= self.low, 0.0, share), np.where(truth >= self.high, 1.0, share)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        result = dataclasses.asdict(self)
        result["residuals"]["quantiles"] = self.residuals.quantiles.tolist()
        return result

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Law:
        """What `to_dict` gave, after a way through JSON."""
        event, residuals = values["event"], dict(values["residuals"])
        if event is not None:
            design = {k: _tuples(v) for k, v in event["design"].items()}
            event = EventProbability(**{**event, "design": Design(**design), "weights": tuple(event["weights"])})
        for name in ("center_edges", "spread_edges", "cells"):
            residuals[name] = _tuples(residuals[name])
        residuals["quantiles"] = np.asarray(residuals["quantiles"], np.float64)
        return cls(**{**values, "event": event, "residuals": Residuals(**residuals)})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value
