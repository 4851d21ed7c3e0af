"""The retrieval problems. A new one is one new file here and one line in `TASKS`."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, check_choice
from .base import Fields, OutputRange, Task
from .blind_zone import BlindZone
from .cloud_phase import CloudPhase
from .meltwater import Meltwater

TASKS: dict[str, type[Task]] = {task.name: task for task in (CloudPhase, BlindZone, Meltwater)}

__all__ = ["TASKS", "BlindZone", "CloudPhase", "Fields", "Meltwater", "OutputRange", "Task", "get_task"]


def get_task(name: str, **options: Any) -> Task:
    """The task of that name with its options.

    Args:
        name: One of `TASKS`.
        **options: The task's own options; see its class.

    Raises:
        InputError: If there is no such task or option.
    """
    check_choice(name, sorted(TASKS), "task")
    known = set(TASKS[name].__dataclass_fields__)
    if unknown := sorted(set(options) - known):
        raise InputError(f"Task '{name}' has the options {', '.join(sorted(known))}. Received {', '.join(unknown)}.")
    return TASKS[name](**options)
