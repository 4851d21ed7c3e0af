"""Shapley values, exact over all subsets: what each of a few players is worth when they play in any company."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import check

MAX_PLAYERS = 10


def subsets(players: Sequence[str]) -> list[frozenset[str]]:
    """All subsets, the empty one first, by size and in the order of the players.

    Raises:
        InputError: If there is no player, one is named twice, or there are more than `MAX_PLAYERS`.
    """
    check(
        1 <= len(players) <= MAX_PLAYERS and len(set(players)) == len(players),
        f"`players` are 1 to {MAX_PLAYERS} different names.",
        players=list(players),
    )
    sizes = range(len(players) + 1)
    return [frozenset(chosen) for size in sizes for chosen in itertools.combinations(players, size)]


def shapley_values(scores_by_subset: Mapping[Iterable[str], Any]) -> dict[str, np.ndarray]:
    """The mean gain that a player brings, over all orders in which the players may come.

    `phi_i = sum over subsets S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S))`. They sum to
    `v(all) - v(none)` (efficiency); a player that changes nothing gets 0, two that change the same get the same.

    Args:
        scores_by_subset: The score of each subset of players, a number or an array (bootstrap replicates, say); larger
            is better. Keys are collections of names, such as tuples; each of the 2**n subsets once.

    Returns:
        By player, in order of first mention, in the shape of the scores.

    Raises:
        InputError: If a subset is missing or there twice, or a score is not finite.

    Example:
        >>> from cloudkeras.explain import shapley_values
        >>> values = shapley_values({(): 0.0, ("t",): 1.0, ("q",): 2.0, ("t", "q"): 5.0})
        >>> float(values["t"]), float(values["q"])
        (2.0, 3.0)

    Reference: Shapley 1953, A value for n-person games, equation 12; Lundberg and Lee 2017, arXiv 1705.07874.
    """
    keys = [frozenset(key) for key in scores_by_subset]
    players = list(dict.fromkeys(name for key in scores_by_subset for name in key))
    scores = {key: np.asarray(v, np.float64) for key, v in zip(keys, scores_by_subset.values(), strict=True)}
    expected = subsets(players)
    missing = [sorted(s) for s in expected if s not in scores]
    check(not missing, "Shapley values need the score of every subset, the empty one included.", missing=missing[:8])
    check(len(keys) == len(expected), "Each subset has one score.", subsets=[sorted(k) for k in keys])
    check(
        all(np.isfinite(v).all() for v in scores.values()),
        "Scores are finite.",
        not_finite=[sorted(k) for k, v in scores.items() if not np.isfinite(v).all()],
    )
    count = len(players)
    values = {}
    for player in players:
        total = np.zeros(np.shape(scores[frozenset()]))
        for subset in expected:
            if player not in subset:
                size = len(subset)
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                total = total + weight * (scores[subset | {player}] - scores[subset])
        values[player] = total
    return values
