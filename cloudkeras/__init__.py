"""Keras 3 models, pipelines and baselines for cloud and surface retrievals.

The public names are imported on first use: `import cloudkeras` loads neither Keras, a backend nor Matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._version import __version__

_PUBLIC = {
    "build_sgmagnet": "models",
    "build_unet3plus": "models",
    "build_unet": "models",
    "build_segnet": "models",
    "build_deeplabv3plus": "models",
    "MODELS": "models",
    "LOSSES": "losses",
    "get_loss": "losses",
    "TASKS": "tasks",
    "get_task": "tasks",
    "ShardDataset": "datasets",
    "Batches": "datasets",
    "train": "training",
    "load_run": "training",
    "evaluate": "evaluation",
    "DeepEnsemble": "uncertainty",
    "EnsembleMethod": "uncertainty",
    "Calibration": "uncertainty",
    "fit_calibration": "uncertainty",
    "summarize": "uncertainty",
    "export_run": "export",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
