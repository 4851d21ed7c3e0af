"""Small shards for the tests: random cloud scenes and radar curtains that fit the schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cloudkeras.datasets import DatasetWriter, SampleTable
from cloudkeras.tasks import BlindZone, CloudPhase

ROWS, COLUMNS, PROFILES = 8, 12, 8
NOON = 1_600_000_000.0


def cloud_fields(count: int, seed: int = 0, rows: int = ROWS, columns: int = COLUMNS) -> dict[str, np.ndarray]:
    """Fields of `cloud_phase`, sample first, with missing reflectances and unlabelled voxels."""
    rng = np.random.default_rng(seed)
    image = (count, rows, columns)
    reflectance = rng.uniform(0, 1.2, (*image, 6)).astype(np.float32)
    reflectance[rng.random(image) < 0.1] = np.nan
    return {
        "reflectance": reflectance,
        "brightness_temperature": rng.uniform(190, 310, (*image, 10)).astype(np.float32),
        "solar_zenith_angle": rng.uniform(0, 120, image).astype(np.float32),
        "sensor_zenith_angle": rng.uniform(0, 70, image).astype(np.float32),
        "phase": rng.integers(-1, 4, (count, PROFILES, 38)).astype(np.int8),
        "profile_y": np.tile(np.arange(PROFILES, dtype=np.int16), (count, 1)),
        "profile_x": rng.integers(0, columns, (count, PROFILES)).astype(np.int16),
    }


def table(count: int, first: int = 0, step_seconds: float = 600.0, **changes) -> SampleTable:
    """One granule a sample, every ten minutes, on a diagonal across the tropics."""
    number = np.arange(first, first + count)
    columns = {
        "granule": [f"granule-{i:04d}" for i in number],
        "time_start": NOON + number * step_seconds,
        "time_end": NOON + number * step_seconds + 60,
        "y_start": 0,
        "x_start": 0,
        "latitude": -10 + 0.1 * number,
        "longitude": 100 + 0.1 * number,
        **changes,
    }
    return SampleTable(**columns)


def make_cloud_dataset(folder: Path, counts: dict[str, int] | None = None, seed: int = 0, **options) -> Path:
    """A folder of shards of `cloud_phase`; splits follow one another in time."""
    counts = counts or {"train": 21, "validation": 4, "test": 6}
    defaults = {"provenance": {"source": "test"}, "simulated": True, "gap_seconds": 60, "samples_per_shard": 8}
    first = 0
    with DatasetWriter(folder, CloudPhase(), **{**defaults, **options}) as writer:
        for split, count in counts.items():
            writer.add(split, cloud_fields(count, seed + first), table(count, first))
            first += count
    return folder


def radar_fields(count: int, seed: int = 0, rows: int = 24, columns: int = 16) -> dict[str, np.ndarray]:
    """Fields of `blind_zone`: echo, no echo and missing."""
    rng = np.random.default_rng(seed)
    shape = (count, rows, columns)
    reflectivity = rng.uniform(-40, 20, shape).astype(np.float32)
    reflectivity[rng.random(shape) < 0.3] = -60
    reflectivity[rng.random(shape) < 0.1] = np.nan
    return {"reflectivity": reflectivity, "temperature": rng.uniform(230, 280, shape).astype(np.float32)}


def make_radar_dataset(folder: Path, count: int = 6) -> Path:
    """A folder of shards of `blind_zone`, training split alone."""
    options = {"provenance": {}, "simulated": True, "gap_seconds": 0.0}
    with DatasetWriter(folder, BlindZone(), **options) as writer:
        writer.add("train", radar_fields(count), table(count))
    return folder
