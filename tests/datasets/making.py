"""Small shards for the tests: random cloud scenes and radar curtains that fit the schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cloudkeras.datasets import DatasetWriter, SampleTable
from cloudkeras.tasks import BlindZone, CloudPhase, Meltwater

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


MELT_SHAPE = (40, 52)


def melt_fields(count: int, seed: int = 0, shape: tuple[int, int] = MELT_SHAPE) -> dict[str, np.ndarray]:
    """Fields of `meltwater` but for the static ones: a swath that SAR saw on each day, everything else random."""
    rng = np.random.default_rng(seed)
    size = (count, *shape)
    melt = rng.random(size).astype(np.float32) * (rng.random(size) < 0.5)
    for day, first in enumerate(rng.integers(0, shape[1] // 2, count)):
        melt[day, :, :first] = np.nan
        melt[day, :, first + shape[1] // 2 :] = np.nan
    sar = rng.random(size).astype(np.float32)
    sar[rng.random(size) < 0.2] = np.nan
    return {
        "melt_fraction": np.where(melt_static(shape)["land"] > 0, melt, np.nan).astype(np.float32),
        "brightness_temperature": rng.uniform(180, 270, size).astype(np.float32),
        "brightness_temperature_smooth": rng.uniform(190, 250, size).astype(np.float32),
        "winter_brightness_temperature": rng.uniform(170, 220, size).astype(np.float32),
        "liquid_water": rng.uniform(0, 0.02, size).astype(np.float32),
        "liquid_water_smooth": rng.uniform(0, 0.02, size).astype(np.float32),
        "sar_mean": sar,
        "sar_previous": np.round(sar**2, 4),
    }


def melt_static(shape: tuple[int, int] = MELT_SHAPE) -> dict[str, np.ndarray]:
    """Static fields of `meltwater`: a slope from the sea in the first columns."""
    land = np.ones(shape, np.int8)
    land[:, :5] = 0
    altitude = np.broadcast_to(np.linspace(0, 2500, shape[1], dtype=np.float32), shape)
    return {"surface_altitude": altitude.copy(), "land": land}


def make_melt_dataset(folder: Path, counts: dict[str, int] | None = None, shape=MELT_SHAPE, **options) -> Path:
    """A folder of shards of `meltwater`, one day a sample, 100 m apart."""
    counts = counts or {"train": 6, "validation": 2, "test": 3}
    y = (("y",), 1000.0 - 100 * np.arange(shape[0]), {"units": "m", "standard_name": "projection_y_coordinate"})
    x = (("x",), 100.0 * np.arange(shape[1]), {"units": "m", "standard_name": "projection_x_coordinate"})
    crs = ((), np.int32(0), {"grid_mapping_name": "polar_stereographic", "crs_wkt": "..."})
    defaults = {
        "provenance": {"source": "test"},
        "simulated": True,
        "gap_seconds": 0,
        "samples_per_shard": 4,
        "coordinates": {"y": y, "x": x, "crs": crs},
        "static": melt_static(shape),
    }
    first = 0
    with DatasetWriter(folder, Meltwater(), **{**defaults, **options}) as writer:
        for split, count in counts.items():
            samples = table(count, first, step_seconds=10 * 86400.0, latitude=66.0, longitude=-38.0)
            writer.add(split, melt_fields(count, first, shape), samples)
            first += count
    return folder
