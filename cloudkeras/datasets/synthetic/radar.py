"""Simulated cloud-radar curtains for the blind zone: snowing cloud layers advected over a vertically pointing radar.

Nothing here is observed. Each record is one stretch of weather over a cold site: a temperature and wind profile, a
humidity field, and a few cloud layers. A layer's top is dotted with generating cells; the ice that they shed falls
through sheared wind, so that it arrives at the radar along slanted fall streaks (Marshall 1953, J. Meteor. 10,
25-29), grows in cloud, sublimates in dry air and reaches the ground as snow or ends as virga. What the radar does not
detect is "no echo".
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from ...errors import check
from ...tasks.blind_zone import BlindZone
from ..samples import SampleTable
from ..schema import HEIGHT_ATTRIBUTES, NO_ECHO_DBZ
from ..writer import DatasetWriter
from .dataset import split_counts

SIMULATION_VERSION = 1  # raised whenever the same seed gives other curtains
SOURCE = "simulated cloud-radar curtains (cloudkeras.datasets.synthetic.radar); not an observation"
STEP_S = 30.0
ROW_DEPTH_M = 78.1
WINDOWS_PER_RECORD = 2

LATITUDE, LONGITUDE = 78.9, 11.9  # of a made-up site with an Arctic winter
FIRST_RECORD = 1514764800.0  # 2018-01-01 00:00 UTC
_RECORD_EVERY_S = 3 * 86400.0
_GAP_S = 86400.0
_MARGIN_S = 7200.0  # simulated on either side of a record, since fall streaks come from outside it
_NOTHING = -99.0  # dBZ of no ice at all


@dataclass(frozen=True)
class SimulatedCurtain:
    """A simulated record.

    Attributes:
        height: (row,) m above ground, lowest first.
        time: (column,) s since the record began.
        fields: By variable of `blind_zone`: (row, column), float32.
        layers: Kinds of the cloud layers, in order of making.
    """

    height: np.ndarray
    time: np.ndarray
    fields: dict[str, np.ndarray]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    """What the layers of a kind have in common; a pair is the range that is drawn from.

    Attributes:
        chance: Probability that a record has such a layer.
        top_m: Mean height of the top.
        depth_m: From the top to the base of the saturated air.
        top_sigma_m: Slow and cellular variation of the top.
        source_dbz: Reflectivity that a generating cell starts with.
        cell_db: Standard deviation of the cells' strength.
        cell_s: Duration of a cell over the site.
        cover: Share of the time that the layer is there.
        cover_s: Time scale of its coming and going.
        growth_db_km: Growth of the reflectivity on the way down through cloud.
        fall_m_s: Fall speed.
        drift_m_h: Most that the top and the base rise or sink in an hour (a front's slope).
    """

    chance: float
    top_m: tuple[float, float]
    depth_m: tuple[float, float]
    top_sigma_m: float
    source_dbz: tuple[float, float]
    cell_db: float
    cell_s: tuple[float, float]
    cover: tuple[float, float]
    cover_s: tuple[float, float]
    growth_db_km: tuple[float, float]
    fall_m_s: tuple[float, float]
    drift_m_h: float


_KINDS = {
    # Nimbostratus: deep and lasting; its base sinks to the ground or stays above it.
    "frontal": _Kind(
        0.4, (3500, 8500), (1500, 5500), 250, (-30, -20), 3.5, (240, 600), (0.6, 1.0), (5400, 14400), (7, 12),
        (0.8, 1.2), 700,
    ),
    "cirrus": _Kind(
        0.35, (6500, 9500), (700, 2000), 200, (-35, -28), 4.0, (240, 500), (0.4, 0.9), (3600, 9000), (6, 9),
        (0.6, 0.9), 200,
    ),
    "midlevel": _Kind(
        0.35, (2800, 5500), (500, 1600), 150, (-35, -25), 4.0, (180, 500), (0.4, 0.9), (2400, 7200), (7, 12),
        (0.7, 1.1), 200,
    ),
    # Mixed-phase deck of the boundary layer, in half of the cases wholly inside the blind zone, with its snow below.
    "deck": _Kind(
        0.55, (500, 2200), (200, 900), 80, (-36, -22), 5.0, (150, 600), (0.5, 1.0), (2400, 9000), (12, 25),
        (0.5, 0.9), 60,
    ),
    # Convective snow in cold-air outbreaks: short and strong.
    "shower": _Kind(
        0.2, (1500, 4000), (1200, 3500), 300, (-22, -10), 5.0, (300, 700), (0.15, 0.4), (900, 2400), (10, 18),
        (1.0, 1.5), 0,
    ),
}  # fmt: skip


def simulate_curtain(
    seed: int | Sequence[int] | np.random.Generator,
    shape: tuple[int, int] = (128, 768),
    *,
    step_s: float = STEP_S,
    row_depth_m: float = ROW_DEPTH_M,
) -> SimulatedCurtain:
    """Simulates a record of a vertically pointing 94 or 35 GHz cloud radar with model columns beside it.

    Args:
        seed: Of this record; the same seed gives the same curtain.
        shape: Rows (height, from the ground) and columns (time).
        step_s: Duration of a column in s.
        row_depth_m: Depth of a row in m.

    Returns:
        Reflectivity in dBZ (-60: no echo) and, as a model would give them hourly and with an error, temperature (K),
        specific humidity (kg/kg) and wind (m/s).

    Raises:
        InputError: If the shape or a step is not positive.
    """
    check(len(shape) == 2 and min(shape) >= 2, "`shape` is (rows, columns), each at least 2.", shape=shape)
    check(step_s > 0 and row_depth_m > 0, "Steps are positive.", step_s=step_s, row_depth_m=row_depth_m)
    rng = np.random.default_rng(seed)
    margin = round(_MARGIN_S / step_s)
    height = (np.arange(shape[0]) + 0.5) * row_depth_m
    time = (np.arange(shape[1] + 2 * margin) - margin) * step_s
    air = _Air.draw(rng, height, time)
    humidity = air.humidity.copy()
    power = np.zeros_like(humidity)
    names = [name for name, kind in _KINDS.items() if rng.random() < kind.chance]
    for name in names:
        power += _layer(rng, _KINDS[name], air, humidity)
    inside = slice(margin, margin + shape[1])
    dbz = _as_observed(rng, power, height)[:, inside]
    fields = {"reflectivity": dbz, **_as_modelled(rng, air, humidity, inside)}
    return SimulatedCurtain(height, time[inside], {k: v.astype(np.float32) for k, v in fields.items()}, tuple(names))


@dataclass(frozen=True)
class _Air:
    """The air of a record, margins included: profiles (row,) and fields (row, column)."""

    height: np.ndarray
    time: np.ndarray
    temperature: np.ndarray  # K (row, column)
    pressure: np.ndarray  # hPa (row,)
    humidity: np.ndarray  # relative humidity over ice outside the clouds (row, column)
    eastward: np.ndarray  # m/s (row, column)
    northward: np.ndarray

    @staticmethod
    def draw(rng: np.random.Generator, height: np.ndarray, time: np.ndarray) -> _Air:
        """Cold-season air: an inversion under a constant lapse rate and a tropopause; Ekman spiral and thermal wind."""
        surface = np.clip(rng.normal(261, 8), 240, 276)
        inversion_k, inversion_m = rng.uniform(0, 7), rng.uniform(200, 1200)
        lapse, tropopause = rng.uniform(5.5, 7.0) / 1e3, rng.uniform(7500, 10500)
        profile = surface + inversion_k * (1 - np.exp(-height / inversion_m)) - lapse * np.minimum(height, tropopause)
        drift = 2.0 * _noise(rng, (len(height), len(time)), (2000 / _step(height), 10800 / _step(time)))
        moist = _noise(rng, (len(height), len(time)), (900 / _step(height), 7200 / _step(time)))
        wetness = rng.normal(0.0, 0.6)  # dry and moist spells
        near_ground = rng.normal(0.2, 1.2) * np.exp(
            -height[:, None] / rng.uniform(300, 900)
        )  # foehn, or moist maritime air
        humidity = 0.25 + 0.72 / (1 + np.exp(-(1.3 * moist + wetness + near_ground)))
        eastward, northward = _wind(rng, height)
        gust = [1.5 * _noise(rng, (len(height), len(time)), (1500 / _step(height), 7200 / _step(time))) for _ in "uv"]
        return _Air(
            height,
            time,
            np.clip(profile[:, None] + drift, 185, 290),
            1013.0 * np.exp(-height / 7600),
            humidity,
            eastward[:, None] + gust[0],
            northward[:, None] + gust[1],
        )


def _wind(rng: np.random.Generator, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Geostrophic wind that changes linearly with height, turned and slowed below by an Ekman spiral, in m/s."""
    speed, direction = rng.uniform(5, 15), rng.uniform(0, 2 * np.pi)
    shear, turned = rng.uniform(0, 3.5), direction + rng.normal(0, 0.6)  # m/s per km
    east = speed * np.cos(direction) + shear * height / 1e3 * np.cos(turned)
    north = speed * np.sin(direction) + shear * height / 1e3 * np.sin(turned)
    depth = height / rng.uniform(300, 700)
    decay, cosine, sine = np.exp(-depth), np.cos(depth), np.sin(depth)
    return (
        east * (1 - decay * cosine) - north * decay * sine,
        north * (1 - decay * cosine) + east * decay * sine,
    )


def _layer(rng: np.random.Generator, kind: _Kind, air: _Air, humidity: np.ndarray) -> np.ndarray:
    """Reflectivity factor (mm6 m-3) of one layer and its fall streaks, (row, column); moistens `humidity` in cloud."""
    height, columns, step = air.height, len(air.time), _step(air.time)
    cells = _noise(rng, (columns,), (rng.uniform(*kind.cell_s) / 2.5 / step,))
    slow = _noise(rng, (columns,), (3600 / step,))
    presence = _noise(rng, (columns,), (rng.uniform(*kind.cover_s) / 2 / step,))
    drift = rng.uniform(-1, 1) * kind.drift_m_h * (air.time - air.time.mean()) / 3600
    top = rng.uniform(*kind.top_m) + kind.top_sigma_m * (slow + 0.5 * cells) + drift
    base = top - np.clip(rng.uniform(*kind.depth_m) * (1 + 0.25 * slow) + drift * rng.uniform(-1, 1), 80, None)
    covered = presence - _normal_quantile(1 - rng.uniform(*kind.cover))
    cloud = (height[:, None] <= top) & (height[:, None] >= base) & (covered > 0)
    source = rng.uniform(*kind.source_dbz) + kind.cell_db * cells + 10 * np.minimum(covered - 0.5, 0)
    source = np.where(covered > 0, source, _NOTHING)
    # What sublimates moistens the air below the base, over some hundred metres and the less the drier it was.
    depth_below = np.maximum(base - height[:, None], 0) / np.exp(rng.uniform(np.log(60), np.log(1500)))
    moistened = air.humidity + (1 - air.humidity) * np.exp(-depth_below) * (height[:, None] < top) * (covered > 0)
    mine = np.where(cloud, rng.uniform(1.02, 1.1), moistened)
    np.maximum(humidity, mine, out=humidity)
    shift = _streak_shift(air, float(np.clip(top.mean(), height[0], height[-1])), rng.uniform(*kind.fall_m_s)) / step
    return _fall(kind, rng.uniform(*kind.growth_db_km), height, top, source, humidity, shift)


def _streak_shift(air: _Air, top_m: float, fall_m_s: float) -> np.ndarray:
    """How much later than its generating cell a particle passes the radar, in s, by height.

    The pattern travels with the wind at the layer's top, U. A particle that fell from there to z has been displaced
    against its cell by the integral of (u(z') - U) / v dz', and arrives later by that over -U.
    """
    u, v = air.eastward.mean(axis=1), air.northward.mean(axis=1)
    at = int(np.argmin(np.abs(air.height - top_m)))
    speed = max(float(np.hypot(u[at], v[at])), 4.0)
    along = (u * u[at] + v * v[at]) / max(float(np.hypot(u[at], v[at])), 1e-6)
    lag = np.where(air.height <= top_m, (speed - along) / (fall_m_s * speed), 0.0) * _step(air.height)
    shift = np.cumsum(lag[::-1])[::-1]
    return np.clip(shift, -0.9 * _MARGIN_S, 0.9 * _MARGIN_S)


def _fall(
    kind: _Kind,
    growth_db_km: float,
    height: np.ndarray,
    top: np.ndarray,
    source: np.ndarray,
    humidity: np.ndarray,
    shift: np.ndarray,
) -> np.ndarray:
    """Follows the ice of each generating cell down along its streak.

    In air above ice saturation it grows by `growth_db_km`, less as it nears 14 dBZ, where 94 GHz no longer responds to
    size; below saturation it loses 45 dB/km times the saturation deficit, more where there is little left.
    Neighboring streaks mix on the way down, since large flakes outrun small ones.
    """
    columns = np.arange(len(source), dtype=np.float64)
    km = _step(height) / 1e3
    dbz = np.full(len(source), _NOTHING)
    power = np.zeros(humidity.shape)
    for row in range(len(height) - 1, -1, -1):
        begins = (height[row] <= top) & (height[row] + _step(height) > top)
        begins |= (height[row] <= top) & (dbz <= _NOTHING) & (row == len(height) - 1)
        dbz = np.where(begins, source, dbz)
        there = np.interp(columns + shift[row], columns, humidity[row])
        growth = growth_db_km * np.clip((14 - dbz) / 25, 0, 1)
        loss = 45 * (1 - there) * (1 + np.clip(-(dbz + 25) / 20, 0, 2))
        dbz = np.where(dbz > _NOTHING, dbz + km * np.where(there >= 1, growth, -loss), _NOTHING)
        dbz = np.where(dbz < -55, _NOTHING, dbz)
        linear = np.where(dbz > _NOTHING, 10 ** (dbz / 10), 0.0)
        power[row] = np.interp(columns - shift[row], columns, linear)
        mixed = 0.96 * linear + 0.02 * (np.roll(linear, 1) + np.roll(linear, -1))
        alive = dbz > _NOTHING
        dbz[alive] = 10 * np.log10(mixed[alive])
    return power


def _as_observed(rng: np.random.Generator, power: np.ndarray, height: np.ndarray) -> np.ndarray:
    """What the radar shows in dBZ: turbulent texture and noise on the echo, -60 below the sensitivity at that range."""
    texture = 1.2 * gaussian_filter(rng.standard_normal(power.shape), (1.0, 1.0)) / 0.28 + 0.5 * rng.standard_normal(
        power.shape
    )
    with np.errstate(divide="ignore"):
        dbz = 10 * np.log10(power) + texture
    sensitivity = -42 + 20 * np.log10(np.maximum(height, 300) / 1e3)
    return np.where(dbz >= sensitivity[:, None], np.clip(dbz, NO_ECHO_DBZ + 0.1, 25), NO_ECHO_DBZ)


def _as_modelled(rng: np.random.Generator, air: _Air, humidity: np.ndarray, inside: slice) -> dict[str, np.ndarray]:
    """Hourly columns of an imperfect model, interpolated in time: it knows the air, but not each cloud."""
    hours = np.arange(air.time[0], air.time[-1] + 3600, 3600.0)
    at = np.minimum(np.searchsorted(air.time, hours), len(air.time) - 1)
    after = np.clip(np.searchsorted(air.time[at], air.time[inside], side="right"), 1, len(at) - 1)
    begin, end = air.time[at[after - 1]], air.time[at[after]]
    weight = np.clip((air.time[inside] - begin) / np.maximum(end - begin, 1.0), 0, 1)

    def seen(field: np.ndarray, error: float) -> np.ndarray:
        smooth = gaussian_filter(field, (150 / _step(air.height), 900 / _step(air.time)))[:, at]
        smooth = smooth + error * _noise(rng, smooth.shape, (1000 / _step(air.height), 2.0))
        return smooth[:, after - 1] * (1 - weight) + smooth[:, after] * weight

    temperature = seen(air.temperature, 0.6)
    vapor = np.clip(seen(humidity, 0.06), 0.02, 1.2) * _ice_saturation_hpa(temperature)
    return {
        "temperature": temperature,
        "specific_humidity": 0.622 * vapor / (air.pressure[:, None] - 0.378 * vapor),
        "eastward_wind": seen(air.eastward, 1.0),
        "northward_wind": seen(air.northward, 1.0),
    }


def _ice_saturation_hpa(temperature_k: np.ndarray) -> np.ndarray:
    """Alduchov and Eskridge 1996, J. Appl. Meteor. 35, 601, equation 23."""
    celsius = temperature_k - 273.15
    return 6.1121 * np.exp(22.587 * celsius / (celsius + 273.86))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], scale: tuple[float, ...]) -> np.ndarray:
    """Gaussian noise of mean 0 and variance 1, correlated over `scale` steps along each axis.

    Made on a grid of a quarter of the scale and interpolated linearly, which is as smooth and far quicker.
    """
    stride = [max(1.0, s / 4) for s in scale]
    coarse = tuple(math.ceil((n - 1) / d) + 2 for n, d in zip(shape, stride, strict=True))
    sigma = [s / d for s, d in zip(scale, stride, strict=True)]
    pad = [math.ceil(4 * s) for s in sigma]
    white = rng.standard_normal([n + 2 * p for n, p in zip(coarse, pad, strict=True)])
    field = gaussian_filter(white, sigma)[tuple(slice(p, p + n) for n, p in zip(coarse, pad, strict=True))]
    field = field * math.sqrt(math.prod(2 * math.sqrt(math.pi) * s for s in sigma))
    for axis, (n, d) in enumerate(zip(shape, stride, strict=True)):
        position = np.arange(n) / d
        before = position.astype(int)
        weight = (position - before).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        field = field.take(before, axis=axis) * (1 - weight) + field.take(before + 1, axis=axis) * weight
    return field


def _step(axis: np.ndarray) -> float:
    return float(axis[1] - axis[0])


def _normal_quantile(probability: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(min(max(probability, 1e-6), 1 - 1e-6))


@dataclass(frozen=True)
class _Record:
    """One record to simulate: its number, its split, and how many windows are cut from it."""

    number: int
    split: str
    windows: int


def plan_records(samples: int, fractions: Sequence[float]) -> list[_Record]:
    """Records of at most two windows each, one weather apiece; no record serves two splits."""
    records: list[_Record] = []
    for split, count in zip(("train", "validation", "test"), split_counts(samples, fractions), strict=True):
        parts = math.ceil(count / WINDOWS_PER_RECORD)
        sizes = [count // parts + (i < count % parts) for i in range(parts)] if parts else []
        records += [_Record(len(records) + i, split, size) for i, size in enumerate(sizes)]
    return records


def simulate_dataset(
    out: str | Path,
    *,
    samples: int,
    size: int | tuple[int, int] = 128,
    seed: int = 0,
    jobs: int = 1,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Path:
    """Makes shards and a manifest of `blind_zone` from simulated curtains; all of them say that they are simulated.

    A granule is one record of up to two windows, in weather of its own; splits are made of whole records, two days
    and more apart. Record `i` of a seed is the same whatever `jobs` is.

    Args:
        out: Folder to make.
        samples: Windows in all.
        size: Rows and columns of a window.
        seed: Of the family of records.
        jobs: Processes.
        fractions: Shares of train, validation and test.
        progress: Told of windows done and in all.
        overwrite: Whether to replace a dataset that is there.

    Returns:
        The folder.

    Raises:
        InputError: If an argument is out of bounds or the folder holds a dataset.
    """
    rows, columns = (size, size) if isinstance(size, int | np.integer) else (int(size[0]), int(size[1]))
    check(min(rows, columns) >= 2, "`size` is at least 2 rows and columns.", size=size)
    check(jobs >= 1, "`jobs` is positive.", jobs=jobs)
    check(seed >= 0, "`seed` is not negative.", seed=seed)
    records = plan_records(samples, fractions)
    provenance = {
        "source": SOURCE,
        "simulator": "cloudkeras.datasets.synthetic.radar",
        "version": SIMULATION_VERSION,
        "seed": seed,
        "samples": samples,
        "row_depth_m": ROW_DEPTH_M,
        "step_s": STEP_S,
    }
    height = (np.arange(rows) + 0.5) * ROW_DEPTH_M
    done = 0
    with DatasetWriter(
        out,
        BlindZone(),
        provenance=provenance,
        simulated=True,
        gap_seconds=_GAP_S,
        coordinates={"height": (("height",), height, HEIGHT_ATTRIBUTES)},
        overwrite=overwrite,
    ) as writer:
        for record, fields in zip(records, _simulate_records(records, rows, columns, seed, jobs), strict=True):
            writer.add(record.split, fields, _window_table(record, columns))
            done += record.windows
            if progress is not None:
                progress(done, samples)
    return Path(out)


def _simulate_records(
    records: Sequence[_Record], rows: int, columns: int, seed: int, jobs: int
) -> Iterator[dict[str, np.ndarray]]:
    """The windows of each record in order, made by `jobs` processes at most a few records ahead of the writer."""
    make = partial(_simulate_record, rows=rows, columns=columns, seed=seed)
    if jobs == 1 or len(records) == 1:
        yield from map(make, records)
        return
    with ProcessPoolExecutor(min(jobs, len(records)), multiprocessing.get_context("spawn")) as pool:
        waiting = iter(records)
        pending = [pool.submit(make, record) for record in islice(waiting, 2 * jobs)]
        while pending:
            fields = pending.pop(0).result()
            pending += [pool.submit(make, record) for record in islice(waiting, 1)]
            yield fields


def _simulate_record(record: _Record, *, rows: int, columns: int, seed: int) -> dict[str, np.ndarray]:
    curtain = simulate_curtain([seed, record.number], (rows, record.windows * columns))
    return {
        name: np.moveaxis(values.reshape(rows, record.windows, columns), 1, 0)
        for name, values in curtain.fields.items()
    }


def _window_table(record: _Record, columns: int) -> SampleTable:
    begin = FIRST_RECORD + _RECORD_EVERY_S * record.number
    first = columns * np.arange(record.windows)
    return SampleTable(
        granule=np.full(record.windows, f"simulated-curtain-{record.number:05d}"),
        time_start=begin + STEP_S * first,
        time_end=begin + STEP_S * (first + columns - 1),
        y_start=np.zeros(record.windows, np.int32),
        x_start=first.astype(np.int32),
        latitude=np.full(record.windows, LATITUDE),
        longitude=np.full(record.windows, LONGITUDE),
    )
