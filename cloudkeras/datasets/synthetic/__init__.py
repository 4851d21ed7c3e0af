"""Simulated scenes, always named so: clouds and their truth, a forward model of AHI, a radar curtain."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ...errors import check_choice

SIMULATORS: dict[str, str] = {
    "cloud_phase": "cloudkeras.datasets.synthetic.dataset:simulate_dataset",
    "blind_zone": "cloudkeras.datasets.synthetic.radar:simulate_dataset",
    "meltwater": "cloudkeras.datasets.synthetic.melt_rasters:simulate_benchmark",
}
"""Task name to "module:function", called as `(out, *, samples, size, seed, jobs, fractions, progress)` and made into
shards; but for "meltwater", which makes the rasters that `ingest` reads: `(out, *, years, size, seed, jobs, terrain,
surface_mass_balance, truth, progress)`."""


def simulate(task: str, out: str | Path, **options: Any) -> Path:
    """Makes shards of simulated samples for a task, or the rasters of a simulated meltwater benchmark.

    Args:
        task: One of `SIMULATORS`.
        out: Folder of the shards or rasters.
        **options: Those of the task's function; see `SIMULATORS`.

    Returns:
        The folder.

    Raises:
        InputError: If the task has no simulator, or an option is out of range.
    """
    check_choice(task, tuple(SIMULATORS), "task")
    module, function = SIMULATORS[task].split(":")
    return getattr(importlib.import_module(module), function)(Path(out), **options)


_EXPORTS = {
    "Scene": "scenes",
    "SimulatedCurtain": "radar",
    "simulate_curtain": "radar",
    "simulate_scene": "scenes",
    "simulate_dataset": "dataset",
    "write_curtain": "scene_file",
    "write_scene": "scene_file",
}

__all__ = [
    "SIMULATORS",
    "Scene",
    "SimulatedCurtain",
    "simulate",
    "simulate_curtain",
    "simulate_dataset",
    "simulate_scene",
    "write_curtain",
    "write_scene",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
