import itertools

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.explain import shapley_values
from cloudkeras.explain.shapley import subsets

# Three musicians paid by who plays. By hand, e.g. for a: orders abc, acb give v(a) = 12; bac v(ab) - v(b) = 24 - 6;
# cab v(ac) - v(c) = 27 - 9; bca, cba v(abc) - v(bc) = 36 - 15: (12 + 12 + 18 + 18 + 21 + 21) / 6 = 17.
GAME = {(): 0, ("a",): 12, ("b",): 6, ("c",): 9, ("a", "b"): 24, ("a", "c"): 27, ("b", "c"): 15, ("a", "b", "c"): 36}


def test_a_game_worked_by_hand():
    values = shapley_values(GAME)
    assert {k: float(v) for k, v in values.items()} == pytest.approx({"a": 17, "b": 8, "c": 11})


def test_axioms_on_a_random_game_against_all_orders():
    rng = np.random.default_rng(0)
    players = ("t", "q", "u", "v")
    game = {s: float(rng.normal()) for s in subsets(players)}
    values = shapley_values(game)
    assert len(game) == 16
    assert sum(values.values()) == pytest.approx(game[frozenset(players)] - game[frozenset()])
    for player in players:
        gains = []
        for order in itertools.permutations(players):
            before = frozenset(order[: order.index(player)])
            gains.append(game[before | {player}] - game[before])
        assert values[player] == pytest.approx(np.mean(gains))


def test_a_dummy_gets_nothing_and_equals_get_the_same():
    game = {s: float(len(s & {"a", "b"}) ** 2) for s in subsets(("a", "b", "idle"))}
    values = shapley_values(game)
    assert values["idle"] == 0 and values["a"] == values["b"] == 2


def test_arrays_of_scores():
    values = shapley_values({k: np.array([v, 2.0 * v]) for k, v in GAME.items()})
    np.testing.assert_allclose(values["a"], [17, 34])


def test_wrong_games():
    with pytest.raises(InputError, match=r"need the score of every subset.*missing=\[\['a', 'c'\]\]"):
        shapley_values({k: v for k, v in GAME.items() if k != ("a", "c")})
    with pytest.raises(InputError, match="Each subset has one score"):
        shapley_values({**GAME, ("c", "a"): 1.0})
    with pytest.raises(InputError, match=r"Scores are finite. Received not_finite=\[\['b'\]\]"):
        shapley_values({**GAME, ("b",): np.nan})
    with pytest.raises(InputError, match="`players` are 1 to 10 different names"):
        subsets(("a", "a"))
