"""Folders of simulated shards: planned by index, made by several processes, resumed after a stop."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, check
from ...tasks.cloud_phase import EMISSIVE_BANDS_UM, REFLECTIVE_BANDS_UM, CloudPhase
from ..samples import SampleTable
from ..shards import write_shard
from .atmosphere import LEVEL_CENTERS_KM
from .geometry import PERIOD_END, PERIOD_START
from .scenes import Scene, scene_shape, simulate_scene

SIMULATION_VERSION = 1  # raised whenever the same seed gives other scenes
GAP_SECONDS = 86400.0  # between the blocks of time of two splits
SETTINGS_FILE = "simulation.json"
SPLITS = ("train", "validation", "test")
_PIXELS_PER_SHARD = 32 * 128 * 128

Progress = Callable[[int, int], None]
"""Called with the number of scenes done and the number in all."""

SOURCE = "simulated clouds and simulated AHI radiances (cloudkeras.datasets.synthetic); not an observation"


@dataclass(frozen=True)
class ShardPlan:
    """One shard to make.

    Attributes:
        path: Where.
        split: "train", "validation" or "test".
        indices: Of its scenes in the family of the seed.
        times: Of its scenes, seconds since 1970-01-01 UTC.
    """

    path: str
    split: str
    indices: tuple[int, ...]
    times: tuple[float, ...]


def split_counts(samples: int, fractions: Sequence[float]) -> tuple[int, int, int]:
    """Numbers of scenes of the three splits: rounded, and at least one in each split of a fraction above 0.

    Raises:
        InputError: If the fractions are not three numbers of sum 1 with a training share, or the samples are too few.
    """
    values = [float(f) for f in fractions]
    check(
        len(values) == 3 and min(values) >= 0 and abs(sum(values) - 1) < 1e-6 and values[0] > 0,
        "`fractions` are three shares (train, validation, test) that add to 1, the first above 0.",
        fractions=tuple(fractions),
    )
    wanted = sum(f > 0 for f in values)
    check(samples >= wanted, f"`samples` is at least {wanted}, one for each split.", samples=samples)
    held_out = [max(1, round(samples * f)) if f > 0 else 0 for f in values[1:]]
    while samples - sum(held_out) < 1:
        held_out[int(np.argmax(held_out))] -= 1
    return samples - sum(held_out), held_out[0], held_out[1]


def plan_shards(
    out: Path, *, samples: int, size: tuple[int, int], seed: int, fractions: Sequence[float]
) -> list[ShardPlan]:
    """The shards of a folder: blocks of indices, each in its own block of time with a gap of a day between splits.

    A scene's time follows from seed, index and the block of its split, never from the number of processes.
    """
    counts = split_counts(samples, fractions)
    per_shard = int(np.clip(_PIXELS_PER_SHARD // (size[0] * size[1]), 1, 64))
    used = [count for count in counts if count]
    available = PERIOD_END - PERIOD_START - GAP_SECONDS * (len(used) - 1)
    plans, begin, index = [], PERIOD_START, 0
    for split, count in zip(SPLITS, counts, strict=True):
        if not count:
            continue
        length = available * count / samples
        for number, first in enumerate(range(0, count, per_shard)):
            indices = tuple(range(index + first, index + min(first + per_shard, count)))
            drawn = [np.random.default_rng([seed, i, 1]).uniform(0.0, length) for i in indices]
            # whole seconds: what the file stores is what the scene was made with
            times = tuple(float(np.floor(begin + t)) for t in drawn)
            plans.append(ShardPlan(str(out / f"{split}-{number:05d}.nc"), split, indices, times))
        begin += length + GAP_SECONDS
        index += count
    return plans


def simulate_dataset(
    out: str | Path,
    *,
    samples: int,
    size: int | tuple[int, int] = 128,
    seed: int = 0,
    jobs: int = 1,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    progress: Progress | None = None,
) -> Path:
    """Makes a folder of simulated shards for `cloud_phase`, with its manifest.

    Scene `i` of a seed is the same whatever `jobs` is. A run that was stopped goes on where it was: complete shards are
    kept.

    Args:
        out: The folder; new, empty, or begun with the same settings.
        samples: Scenes in all.
        size: Pixels of 2 km of a scene.
        seed: Of the family of scenes.
        jobs: Processes.
        fractions: Shares of train, validation and test.
        progress: Told of each finished scene.

    Returns:
        The folder; one that is complete is left as it is.

    Raises:
        InputError: If an argument is out of bounds or the folder holds something else.
    """
    from ..manifest import MANIFEST_NAME
    from ..writer import finish_dataset

    shape = scene_shape(size)
    check(samples > 0, "`samples` is positive.", samples=samples)
    check(jobs > 0, "`jobs` is positive.", jobs=jobs)
    check(seed >= 0, "`seed` is not negative.", seed=seed)
    out = Path(out)
    settings = {
        "task": CloudPhase.name,
        "samples": samples,
        "size": list(shape),
        "seed": seed,
        "fractions": [float(f) for f in fractions],
        "version": SIMULATION_VERSION,
    }
    plans = plan_shards(out, samples=samples, size=shape, seed=seed, fractions=fractions)
    claim_folder(out, settings)
    missing = [plan for plan in plans if not Path(plan.path).exists()]
    if not missing and (out / MANIFEST_NAME).exists():  # complete; a run or sweep knows its data by the manifest
        return out
    kept = samples - sum(len(plan.indices) for plan in missing)
    _make_shards(missing, shape, seed, jobs, kept, samples, progress)
    files = {split: [plan.path for plan in plans if plan.split == split] for split in SPLITS}
    finish_dataset(
        out,
        CloudPhase(),
        {split: paths for split, paths in files.items() if paths},
        provenance={"source": SOURCE, "simulator": "cloudkeras.datasets.synthetic", **settings},
        simulated=True,
        gap_seconds=GAP_SECONDS,
    )
    return out


def claim_folder(out: Path, settings: dict[str, Any]) -> None:
    """Writes the settings into a new folder, or finds the same settings in one that was begun.

    Raises:
        InputError: If the folder holds other data, or data of other settings.
    """
    file = out / SETTINGS_FILE
    if file.exists():
        try:
            found = json.loads(file.read_text())
        except ValueError:
            found = {}
        different = sorted(k for k in {*settings, *found} if settings.get(k) != found.get(k))
        if different:
            wanted = ", ".join(f"{k}={settings.get(k)!r} (there {found.get(k)!r})" for k in different)
            raise InputError(f"{out} holds simulated shards of other settings: {wanted}. Choose another folder.")
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty and was not begun by this command. Choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".partial")
    temporary.write_text(json.dumps(settings, indent=2) + "\n")
    os.replace(temporary, file)


def _make_shards(
    plans: list[ShardPlan],
    shape: tuple[int, int],
    seed: int,
    jobs: int,
    kept: int,
    total: int,
    progress: Progress | None,
) -> None:
    """Makes shards in this process or in several, telling `progress` after each scene."""

    def report(done: int, of: int) -> None:
        if progress is not None:
            progress(done, of)

    report(kept, total)
    if jobs == 1 or len(plans) < 2:
        done = kept
        for plan in plans:
            make_shard(plan, shape, seed, partial(_report_from, report, done, total))
            done += len(plan.indices)
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("i", 0)
    with ProcessPoolExecutor(min(jobs, len(plans)), context, _start_worker, (counter,)) as pool:
        pending = {pool.submit(_make_in_worker, plan, shape, seed) for plan in plans}
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.5)
                for future in finished:
                    future.result()
                report(kept + counter.value, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _report_from(report: Progress, done: int, total: int, number: int) -> None:
    report(done + number, total)


def make_shard(plan: ShardPlan, shape: tuple[int, int], seed: int, scene_done: Callable[[int], None]) -> None:
    """Simulates the scenes of a shard and writes it; `scene_done` hears how many of its scenes are finished."""
    scenes = []
    for number, (index, moment) in enumerate(zip(plan.indices, plan.times, strict=True), 1):
        scenes.append(simulate_scene(seed, shape, index=index, time=moment))
        scene_done(number)
    fields = [scene.fields() for scene in scenes]
    write_shard(
        plan.path,
        CloudPhase().variables(),
        {name: np.stack([f[name] for f in fields]) for name in fields[0]},
        sample_table(scenes),
        coordinates=band_coordinates(),
        attributes={
            "title": "Simulated cloud scenes",
            "source": SOURCE,
            "cloudkeras_task": CloudPhase.name,
            "simulated": "true",
            "simulation_seed": np.int64(seed),
            "simulation_version": np.int32(SIMULATION_VERSION),
        },
    )


def sample_table(scenes: Sequence[Scene]) -> SampleTable:
    """Each scene is a granule of its own."""
    times = np.array([scene.geometry.time for scene in scenes])
    center = [tuple(size // 2 for size in scene.geometry.latitude.shape) for scene in scenes]
    pairs = list(zip(scenes, center, strict=True))
    return SampleTable(
        granule=np.array([scene.granule for scene in scenes]),
        time_start=times,
        time_end=times,
        y_start=np.zeros(len(scenes), np.int32),
        x_start=np.zeros(len(scenes), np.int32),
        latitude=np.array([float(scene.geometry.latitude[at]) for scene, at in pairs]),
        longitude=np.array([float(scene.geometry.longitude[at]) for scene, at in pairs]),
    )


def band_coordinates() -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """Coordinate variables of levels and bands."""
    band = {"units": "um", "standard_name": "radiation_wavelength", "long_name": "central wavelength"}
    level = {"units": "km", "standard_name": "height", "positive": "up", "long_name": "height of the level center"}
    return {
        "level": (("level",), LEVEL_CENTERS_KM.astype(np.float32), level),
        "reflective_band": (("reflective_band",), np.array(REFLECTIVE_BANDS_UM, np.float32), band),
        "emissive_band": (("emissive_band",), np.array(EMISSIVE_BANDS_UM, np.float32), band),
    }


_counter: Any = None  # of this worker process: scenes finished by all


def _start_worker(counter: Any) -> None:
    global _counter
    _counter = counter


def _make_in_worker(plan: ShardPlan, shape: tuple[int, int], seed: int) -> None:
    def scene_done(_: int) -> None:
        with _counter.get_lock():
            _counter.value += 1

    make_shard(plan, shape, seed, scene_done)
