"""Shards of samples, their manifest, splits and statistics, and the batches that training and scoring read from them.

Each public name is imported on first use: the task definitions need `schema` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset import ShardDataset
    from .manifest import Manifest, ShardEntry, read_manifest, write_manifest
    from .normalize import StreamingStatistics
    from .pipeline import Batches
    from .samples import SampleTable
    from .shards import NETCDF_LOCK, read_samples, read_shard, write_shard
    from .splits import SPLITS, block_splits, check_no_leak
    from .summary import describe
    from .validate import find_problems
    from .writer import DatasetWriter, finish_dataset, shard_name

_HOMES = {
    "Batches": "pipeline",
    "DatasetWriter": "writer",
    "Manifest": "manifest",
    "NETCDF_LOCK": "shards",
    "SPLITS": "splits",
    "SampleTable": "samples",
    "ShardDataset": "dataset",
    "ShardEntry": "manifest",
    "StreamingStatistics": "normalize",
    "block_splits": "splits",
    "check_no_leak": "splits",
    "describe": "summary",
    "find_problems": "validate",
    "finish_dataset": "writer",
    "read_manifest": "manifest",
    "read_samples": "shards",
    "read_shard": "shards",
    "shard_name": "writer",
    "write_manifest": "manifest",
    "write_shard": "shards",
}

__all__ = [
    "NETCDF_LOCK",
    "SPLITS",
    "Batches",
    "DatasetWriter",
    "Manifest",
    "SampleTable",
    "ShardDataset",
    "ShardEntry",
    "StreamingStatistics",
    "block_splits",
    "check_no_leak",
    "describe",
    "find_problems",
    "finish_dataset",
    "read_manifest",
    "read_samples",
    "read_shard",
    "shard_name",
    "write_manifest",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
