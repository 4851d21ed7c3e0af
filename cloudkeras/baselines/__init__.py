"""Methods that no network learns, called like a model: network input in, network output out.

`fit(batches, statistics)` takes the batches of the training split and the statistics by which they were normalized.
"""

from __future__ import annotations

from typing import Any

from ..tasks import Task

__all__ = ["baselines_for"]


def baselines_for(task: Task) -> list[Any]:
    """One of each of a task's baselines, not yet fitted; none for a task that has none."""
    if task.name == "cloud_phase":
        from .classification import classification_baselines

        return list(classification_baselines())
    if task.name == "blind_zone":
        from .radar import radar_baselines

        return list(radar_baselines())
    if task.name == "meltwater":
        from .melt import melt_baselines

        return list(melt_baselines(task))
    return []
