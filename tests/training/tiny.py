"""A dataset and a configuration so small that a training takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cloudkeras.datasets import DatasetWriter, SampleTable
from cloudkeras.tasks import get_task
from cloudkeras.training import RunConfig

ROWS, COLUMNS = 16, 16
BLIND_ROWS = 4
DAY = 86400.0


def write_radar_shards(folder: Path, samples: dict[str, int] | None = None) -> Path:
    """Curtains whose blind zone continues the lowest visible row, with noise: something that a net can learn."""
    rng = np.random.default_rng(3)
    task = get_task("blind_zone", blind_rows=BLIND_ROWS)
    with DatasetWriter(folder, task, provenance={"source": "test"}, simulated=True, gap_seconds=0.0) as writer:
        for day, (split, count) in enumerate((samples or {"train": 12, "validation": 4, "test": 4}).items()):
            base = rng.uniform(-30, 10, (count, 1, COLUMNS))
            curtain = np.clip(base + rng.normal(0, 2, (count, ROWS, COLUMNS)), -60, 30).astype(np.float32)
            writer.add(split, {"reflectivity": curtain}, sample_table(split, day, count))
    return folder


def sample_table(granule: str, day: int, count: int) -> SampleTable:
    start = day * 10 * DAY + np.arange(count) * 600.0
    zeros = np.zeros(count)
    return SampleTable([granule] * count, start, start + 300, zeros, np.arange(count) * COLUMNS, zeros, zeros)


def tiny_config(data: Path, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "data": str(data),
        "task": "blind_zone",
        "task_options": {"blind_rows": BLIND_ROWS, "ramp_rows": [1, 3], "evaluation_ramp_rows": 2},
        "model": "unet",
        "model_options": {"filters": [4, 8]},
        "dropout": 0.2,
        "l2": 1e-5,
        "learning_rate": 3e-3,
        "decay_epochs": [0.5],
        "epochs": 4,
        "batch_size": 4,
        "patience": None,
    }
    return RunConfig(**{**values, **changes})
