"""Methods that no network learns, called like a model: network input in, network output out.

`fit(batches, statistics)` takes the batches of the training split and the statistics by which they were normalized.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tasks import Task

__all__ = ["BASELINES", "baselines_for"]


def _cloud_phase(task: Task) -> list[Any]:
    from .classification import classification_baselines

    return list(classification_baselines())


def _blind_zone(task: Task) -> list[Any]:
    from .radar import radar_baselines

    return list(radar_baselines())


def _meltwater(task: Task) -> list[Any]:
    from .melt import melt_baselines

    return list(melt_baselines(task))


BASELINES: dict[str, Callable[[Task], list[Any]]] = {
    "cloud_phase": _cloud_phase,
    "blind_zone": _blind_zone,
    "meltwater": _meltwater,
}
"""Task name to what makes its baselines."""


def baselines_for(task: Task) -> list[Any]:
    """One of each of a task's baselines, not yet fitted; none for a task that has none."""
    return BASELINES[task.name](task) if task.name in BASELINES else []
