"""Where a run was made: versions, device, code and data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..datasets import ShardDataset

_PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "netCDF4", "keras-tuner")


def describe_environment(data: Path) -> dict[str, Any]:
    """Versions, backend, device, git commit of the code and checksum of the data's manifest, as JSON values."""
    import keras

    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv,
        "cloudkeras": __version__,
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "backend": keras.backend.backend(),
        "device": device_name(),
        "data": str(data.resolve()),
        "data_manifest_sha256": manifest_checksum(data),
    }


def describe_grid(dataset: ShardDataset) -> dict[str, float]:
    """Spacing of the images that a run is trained on, where the shards say: what it expects of a record later.

    Returns:
        "row_depth_m", the depth of a row of a curtain, and "column_s", the duration of its columns.
    """
    grid = {}
    height = dataset.coordinates(["height"]).get("height")
    if height is not None and len(height) > 1:
        grid["row_depth_m"] = round(float(np.median(np.diff(height))), 6)
        table, columns = dataset.samples("train"), dataset.manifest.patch_shape[1]
        if columns > 1 and len(table):
            grid["column_s"] = round(float(np.median(table.time_end - table.time_start)) / (columns - 1), 4)
    return grid


def manifest_checksum(data: Path) -> str:
    """SHA-256 of `manifest.json`, which itself holds the checksums of the shards."""
    return hashlib.sha256((data / "manifest.json").read_bytes()).hexdigest()


def accelerators() -> list[str]:
    """Names of the accelerators that the backend would use; empty on a machine with CPUs alone."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        return [tf.config.experimental.get_device_details(d).get("device_name", d.name) for d in devices]
    if backend == "jax":
        import jax

        return [d.device_kind for d in jax.devices() if d.platform != "cpu"]
    if backend == "torch":
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return []


def device_name() -> str:
    """The accelerators in words, or the processor."""
    found = accelerators()
    return ", ".join(found) if found else f"CPU ({platform.processor() or platform.machine()})"


def git_commit() -> str | None:
    """Commit of the checkout that the package runs from, with "+changes" if files differ; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
