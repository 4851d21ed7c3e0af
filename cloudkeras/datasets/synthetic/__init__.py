"""Simulated scenes, always named so: clouds and their truth, a forward model of AHI, a radar curtain."""

from __future__ import annotations

import importlib
from typing import Any

SIMULATORS: dict[str, str] = {
    "cloud_phase": "cloudkeras.datasets.synthetic.dataset:simulate_dataset",
    "blind_zone": "cloudkeras.datasets.synthetic.radar:simulate_dataset",
}
"""Task name to "module:function", all called as `(out, *, samples, size, seed, jobs, fractions, progress)`."""

_EXPORTS = {
    "Scene": "scenes",
    "simulate_scene": "scenes",
    "simulate_dataset": "dataset",
    "write_scene": "scene_file",
}

__all__ = ["SIMULATORS", "Scene", "simulate_dataset", "simulate_scene", "write_scene"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
