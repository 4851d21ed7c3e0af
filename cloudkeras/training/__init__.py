"""The training recipe: from a configuration and shards to a run folder, resumable at any moment."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import RunConfig
    from .monitoring import TrainingDivergedError
    from .recipe import train
    from .run import Run, load_run

# Imported on first use: a configuration can be read without a backend.
_PUBLIC = {
    "RunConfig": "config",
    "TrainingDivergedError": "monitoring",
    "train": "recipe",
    "Run": "run",
    "load_run": "run",
}

__all__ = ["Run", "RunConfig", "TrainingDivergedError", "load_run", "train"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
