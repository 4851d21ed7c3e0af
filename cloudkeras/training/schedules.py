"""Learning rates as plain functions of the epoch and of what is logged: a resumed run needs no state for them."""

from __future__ import annotations

import math
from collections.abc import Iterable

SCHEDULES = ("step", "cosine_restarts", "plateau", "constant")


def step_rate(initial: float, epoch: float, decay_at: Iterable[int], factor: float) -> float:
    """The initial rate times `factor` for each epoch of `decay_at` that has come."""
    return initial * factor ** sum(epoch >= at for at in decay_at)


def cosine_restarts_rate(initial: float, epoch: float, period: int, growth: int, minimum: float) -> float:
    """Cosine annealing with warm restarts.

    `minimum + (initial - minimum) (1 + cos(pi T_cur / T_i)) / 2`, where `T_cur` are the epochs since the last restart,
    fractions included, and `T_i` is the length of the period: `period` epochs at first, `growth` times as long after
    each restart.

    Args:
        initial: Rate at the start and after each restart.
        epoch: Epochs done; a fraction within an epoch.
        period: Epochs until the first restart.
        growth: Factor by which the periods grow.
        minimum: Rate that each period runs towards.

    Reference: Loshchilov and Hutter 2017, arXiv 1608.03983, section 3, equation 5.
    """
    since, length = float(epoch), period
    while since >= length:
        since, length = since - length, length * growth
    return minimum + 0.5 * (initial - minimum) * (1.0 + math.cos(math.pi * since / length))


def plateau_rate(
    initial: float,
    values: Iterable[float],
    *,
    maximize: bool,
    factor: float,
    patience: int,
    min_delta: float,
    cooldown: int,
    minimum: float,
) -> float:
    """The rate after the epochs whose monitored values are given, as `keras.callbacks.ReduceLROnPlateau` counts.

    Args:
        initial: Rate at the start.
        values: Monitored value of each epoch done.
        maximize: Whether a larger value is better.
        factor: What the rate is multiplied by at a plateau, below 1.
        patience: Epochs without an improvement that make a plateau.
        min_delta: What a value must be better by to count as an improvement.
        cooldown: Epochs after a reduction that count towards no plateau.
        minimum: No rate is below.
    """
    rate, best, waited, cooling = initial, None, 0, 0
    for value in values:
        if cooling:
            cooling, waited = cooling - 1, 0
        if best is None or (value - min_delta > best if maximize else value + min_delta < best):
            best, waited = value, 0
        elif not cooling:
            waited += 1
            if waited >= patience and rate > minimum:
                rate, cooling, waited = max(rate * factor, minimum), cooldown, 0
    return rate
