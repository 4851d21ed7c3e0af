"""Splits are blocks of time with a gap between them, and a checker proves that no two of them share anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError, check, check_choice
from .samples import SampleTable

SPLITS = ("train", "validation", "test")
SITE_DEGREES = 0.01

_DAY = 86400.0


def block_splits(
    time_start: np.ndarray,
    time_end: np.ndarray | None = None,
    *,
    blocks: Sequence[tuple[float, float, str]] | None = None,
    fractions: Mapping[str, float] | Sequence[float] | None = None,
    gap_seconds: float = 0.0,
) -> np.ndarray:
    """Assigns samples to splits by blocks of time and leaves out those that come too near to another split.

    Where two neighbouring blocks belong to different splits, training gives way: its samples nearer than `gap_seconds`
    to a sample of the other split are left out, so that the samples to score by, fewer as they are, stay. Between
    validation and test, validation gives way.

    Args:
        time_start: (n,) start of each sample, seconds since 1970-01-01 UTC, in any order.
        time_end: (n,) its end; None for instants.
        blocks: `(first hour, last hour, split)`, hours since midnight UTC of the day of the earliest sample; a sample
            belongs to the block that holds all of it.
        fractions: In place of blocks: the share of the samples of each split, in order of time, e.g.
            `{"train": 0.7, "validation": 0.15, "test": 0.15}`, or three numbers in that order.
        gap_seconds: Shortest time from the end of a sample to the start of one of another split.

    Returns:
        (n,) names of splits; "" for a sample of no split.

    Raises:
        InputError: If blocks overlap, fractions do not sum to 1, a split is unknown, or a time is not finite.
    """
    start = np.asarray(time_start, np.float64)
    end = start if time_end is None else np.asarray(time_end, np.float64)
    check(
        start.ndim == 1 and start.shape == end.shape,
        "Times are one-dimensional, one entry a sample.",
        shape=start.shape,
    )
    check(bool(np.isfinite(start).all() and np.isfinite(end).all()), "Times are finite.")
    check(bool((end >= start).all()), "`time_end` is not before `time_start`.")
    check(np.isfinite(gap_seconds) and gap_seconds >= 0, "`gap_seconds` is at least 0.", gap_seconds=gap_seconds)
    check((blocks is None) != (fractions is None), "Give either `blocks` or `fractions`.")
    if start.size == 0:
        return np.empty(0, "<U10")
    names = _by_blocks(start, end, blocks) if blocks is not None else _by_fractions(start, fractions)
    for name in ("train", "validation"):  # who gives way
        others = np.isin(names, [split for split in SPLITS if SPLITS.index(split) > SPLITS.index(name)])
        mine = names == name
        names[mine & (_distance(start, end, start[others], end[others]) < gap_seconds)] = ""
    return names


def _distance(start: np.ndarray, end: np.ndarray, other_start: np.ndarray, other_end: np.ndarray) -> np.ndarray:
    """Time from each sample to the nearest of the others, negative by the overlap; infinite without others."""
    if other_start.size == 0:
        return np.full(start.shape, np.inf)
    order = np.argsort(other_start, kind="stable")
    other_start, latest_end = other_start[order], np.maximum.accumulate(other_end[order])
    begun = np.searchsorted(other_start, start, side="right")  # others that start before or with the sample
    before = np.where(begun > 0, start - latest_end[np.maximum(begun - 1, 0)], np.inf)
    after = np.where(begun < other_start.size, other_start[np.minimum(begun, other_start.size - 1)] - end, np.inf)
    return np.minimum(before, after)


def _by_blocks(start: np.ndarray, end: np.ndarray, blocks: Sequence[tuple[float, float, str]]) -> np.ndarray:
    midnight = np.floor(start.min() / _DAY) * _DAY
    names = np.full(start.shape, "", "<U10")
    ordered = sorted(blocks, key=lambda block: block[0])
    for (first, last, split), following in zip(ordered, [*ordered[1:], None], strict=True):
        check_choice(split, SPLITS, "split")
        check(
            first < last,
            "A block is (first hour, last hour, split) with the first before the last.",
            block=(first, last),
        )
        check(following is None or following[0] >= last, "Blocks do not overlap.", blocks=list(blocks))
        names[(start >= midnight + 3600 * first) & (end <= midnight + 3600 * last)] = split
    return names


def _by_fractions(start: np.ndarray, fractions: Mapping[str, float] | Sequence[float] | None) -> np.ndarray:
    if not isinstance(fractions, Mapping):
        numbers = tuple(fractions or ())
        check(len(numbers) == len(SPLITS), "`fractions` is a share by split, or three numbers.", fractions=numbers)
        fractions = dict(zip(SPLITS, numbers, strict=True))
    shares = dict(fractions)
    for split in shares:
        check_choice(split, SPLITS, "split")
    total = sum(shares.values())
    check(
        min(shares.values(), default=-1) >= 0 and abs(total - 1) < 1e-6,
        "Fractions are at least 0 and sum to 1.",
        **shares,
    )
    edges = np.rint(np.cumsum([0.0, *shares.values()]) * start.size).astype(int)
    names, order = np.full(start.shape, "", "<U10"), np.argsort(start, kind="stable")
    for split, first, last in zip(shares, edges[:-1], edges[1:], strict=True):
        names[order[first:last]] = split
    return names


def check_no_leak(
    samples_by_split: Mapping[str, SampleTable],
    patch_shape: tuple[int, int],
    gap_seconds: float,
    *,
    site_degrees: float = SITE_DEGREES,
) -> None:
    """Proves that samples of different splits share no pixel and keep their distance in time.

    Two rules. (1) Windows of different splits in the same granule do not overlap in rows and columns. (2) If
    `gap_seconds` is above 0, samples of different splits that belong to the same granule, or to the same site whatever
    their granules are called, lie at least that far apart, from the end of one to the start of the other. Samples
    belong to one site if their centres agree within `site_degrees` (pairs up to twice as far are caught as well). For
    images of a fixed region choose it as large as a patch.

    The cost is that of sorting, not of comparing all pairs.

    Args:
        samples_by_split: The samples of each split.
        patch_shape: Rows and columns of every window.
        gap_seconds: Shortest time between samples of different splits; 0 asks for rule (1) alone.
        site_degrees: See above.

    Raises:
        InputError: At the first leak found; it names both samples.
    """
    check(len(patch_shape) == 2 and min(patch_shape) > 0, "`patch_shape` is (rows, columns).", patch_shape=patch_shape)
    check(np.isfinite(gap_seconds) and gap_seconds >= 0, "`gap_seconds` is at least 0.", gap_seconds=gap_seconds)
    check(0 < site_degrees <= 90, "`site_degrees` is above 0 and at most 90.", site_degrees=site_degrees)
    tables = {split: table for split, table in samples_by_split.items() if len(table)}
    if len(tables) < 2:
        return
    samples = SampleTable.concatenate(tables.values())
    split = np.repeat(np.arange(len(tables)), [len(table) for table in tables.values()])
    first = np.repeat(
        np.cumsum([0, *(len(table) for table in tables.values())])[:-1], [len(t) for t in tables.values()]
    )
    names = [f"{list(tables)[s]}[{i}]" for s, i in zip(split, np.arange(len(split)) - first, strict=True)]
    granule = np.unique(samples.granule, return_inverse=True)[1]
    if (pair := _shared_pixels(samples, split, granule, patch_shape)) is not None:
        _raise_leak(samples, names, pair, "share pixels", patch_shape)
    if gap_seconds > 0:
        for group in (granule, *_sites(samples, site_degrees)):
            if (pair := _too_near(samples, split, group, gap_seconds)) is not None:
                _raise_leak(samples, names, pair, f"are nearer in time than the gap of {gap_seconds:g} s", patch_shape)


def _raise_leak(
    samples: SampleTable, names: Sequence[str], pair: tuple[int, int], what: str, patch_shape: tuple[int, int]
) -> None:
    told = []
    for i in pair:
        y, x = int(samples.y_start[i]), int(samples.x_start[i])
        begin, end = (np.datetime64(int(t[i]), "s") for t in (samples.time_start, samples.time_end))
        window = f"rows {y} to {y + patch_shape[0] - 1}, columns {x} to {x + patch_shape[1] - 1}"
        told.append(f"{names[i]} (granule {samples.granule[i]}, {window}, {begin} to {end} UTC)")
    raise InputError(
        f"Splits may not leak into each other. Samples {told[0]} and {told[1]} {what}. "
        "Make the splits of blocks of time with a gap (`block_splits`)."
    )


def _shared_pixels(
    samples: SampleTable, split: np.ndarray, granule: np.ndarray, patch_shape: tuple[int, int]
) -> tuple[int, int] | None:
    """Two samples of different splits whose windows overlap, found through a grid of cells as large as a window.

    A window touches at most four cells; windows that overlap share one. Inside a cell, windows of one split at one
    place are alike, so that only different places are compared.
    """
    rows, columns = patch_shape
    columns_of_table = np.stack([granule, samples.y_start, samples.x_start, split], axis=1)
    unique, index = np.unique(columns_of_table, axis=0, return_index=True)
    places = unique.tolist()
    cells: dict[tuple[int, int, int], list[int]] = {}
    for number, (g, y, x, s) in enumerate(places):
        touched = {(g, j // rows, i // columns) for j in (y, y + rows - 1) for i in (x, x + columns - 1)}
        for cell in touched:
            for other in cells.setdefault(cell, []):
                _, y2, x2, s2 = places[other]
                if s2 != s and abs(y2 - y) < rows and abs(x2 - x) < columns:
                    return int(index[other]), int(index[number])
        for cell in touched:
            cells[cell].append(number)
    return None


def _sites(samples: SampleTable, degrees: float) -> list[np.ndarray]:
    """Site numbers by four shifted grids of cells twice `degrees` wide: pairs nearer than `degrees` share a cell."""
    width = 2 * degrees
    grids = []
    for shift_y in (0.0, degrees):
        for shift_x in (0.0, degrees):
            row = np.floor((samples.latitude + 90 + shift_y) / width).astype(np.int64)
            column = np.floor(np.mod(samples.longitude + shift_x, 360.0) / width).astype(np.int64)
            grids.append(np.unique(np.stack([row, column], axis=1), axis=0, return_inverse=True)[1].ravel())
    return grids


def _too_near(samples: SampleTable, split: np.ndarray, group: np.ndarray, gap: float) -> tuple[int, int] | None:
    """Two samples of one group and different splits nearer in time than the gap.

    In order of start, the nearest earlier sample of another split is the one that ends last among those, so two
    candidates a group are enough: the latest end so far, and the latest end of any split but that one's.
    """
    order = np.lexsort((samples.time_start, group))
    best: list[tuple[float, int]] = []
    current = -1
    for i in order.tolist():
        if group[i] != current:
            current, best = group[i], []
        for end, j in best:
            if split[j] != split[i] and samples.time_start[i] - end < gap:
                return j, i
        same = [entry for entry in best if split[entry[1]] == split[i]]
        rest = [entry for entry in best if split[entry[1]] != split[i]]
        best = [max([*same, (float(samples.time_end[i]), i)]), *rest]
    return None
