import time

import numpy as np
import pytest

from cloudkeras.datasets import SampleTable, block_splits, check_no_leak
from cloudkeras.errors import InputError

HOUR = 3600.0
DAY = 86400.0
PATCH = (128, 128)
SECONDS_A_COLUMN = 4.0


def radar_windows(first_columns, granule="day-1", day=0, latitude=78.9) -> SampleTable:
    """Windows of 128 columns of 4 s each, cut from one day of one radar."""
    first = np.asarray(first_columns)
    start = day * DAY + first * SECONDS_A_COLUMN
    return SampleTable(
        granule=np.full(first.shape, granule),
        time_start=start,
        time_end=start + 127 * SECONDS_A_COLUMN,
        y_start=0,
        x_start=first,
        latitude=latitude,
        longitude=11.9,
    )


def month(number: int, first: int, last: int) -> SampleTable:
    """All windows of a month of ten days' worth of columns, numbered `first` to `last`."""
    columns = np.arange(first, last) * 128
    return radar_windows(columns, granule=f"month-{number}", day=40 * number)


def test_a_clean_split_passes():
    splits = {"train": radar_windows([0, 64, 128]), "test": radar_windows([512, 640])}
    # columns 255 to 512: 256 columns of 4 s between the end of one and the start of the other, 1028 s
    check_no_leak(splits, PATCH, 1028)
    with pytest.raises(InputError, match="nearer in time than the gap of 1029 s"):
        check_no_leak(splits, PATCH, 1029)


def test_shared_pixels_are_found_and_named():
    splits = {"train": radar_windows([0, 128]), "test": radar_windows([900, 255])}
    message = (
        r"train\[1\] \(granule day-1, rows 0 to 127, columns 128 to 255.* and test\[1\].*columns 255.*share pixels"
    )
    with pytest.raises(InputError, match=message):
        check_no_leak(splits, PATCH, 0)


def test_touching_windows_share_no_pixel():
    check_no_leak({"train": radar_windows([0, 128]), "test": radar_windows([256])}, PATCH, 0)


@pytest.mark.parametrize("offset", [(127, 127), (-127, 127), (127, -127), (-127, -127), (0, 0), (1, -100)])
def test_overlap_in_rows_and_columns_is_found_in_every_direction(offset):
    place = {"time_start": 0.0, "time_end": 0.0, "latitude": 0.0, "longitude": 0.0}
    one = SampleTable(granule=["image"], y_start=[300], x_start=[300], **place)
    other = SampleTable(granule=["image"], y_start=[300 + offset[0]], x_start=[300 + offset[1]], **place)
    with pytest.raises(InputError, match="share pixels"):
        check_no_leak({"train": one, "test": other}, PATCH, 0)
    beside = SampleTable(granule=["image"], y_start=[428], x_start=[300 + offset[1]], **place)
    elsewhere = SampleTable(granule=["another"], y_start=[300], x_start=[300], **place)
    check_no_leak({"train": one, "validation": beside, "test": elsewhere}, PATCH, 0)


def test_wrong_month_offset_is_caught():
    """Each month keeps its last 10 % for the test, but the indices of the second month are joined with the length of
    the training part as offset instead of that of the whole month, so that training windows land in the test period
    (King et al. 2024, public code).
    """
    windows, kept = 100, 90
    right = [month(1, 0, kept), month(2, 0, kept)]
    test = SampleTable.concatenate([month(1, kept + 1, windows), month(2, kept + 1, windows)])
    gap = 127 * SECONDS_A_COLUMN
    check_no_leak({"train": SampleTable.concatenate(right), "test": test}, PATCH, gap)
    everything = SampleTable.concatenate([month(1, 0, windows), month(2, 0, windows)])
    wrong = np.concatenate([np.arange(kept), kept + np.arange(kept)])  # the offset should be `windows`
    with pytest.raises(InputError, match=r"granule month-1, .*share pixels"):
        check_no_leak({"train": everything.take(wrong), "test": test}, PATCH, gap)


def test_one_site_under_two_granule_names_is_caught():
    evening = radar_windows([21400], "day-1")  # ends at 23:55
    morning = radar_windows([0], "day-2", day=1)
    with pytest.raises(InputError, match="nearer in time than the gap of 600 s"):
        check_no_leak({"train": evening, "test": morning}, PATCH, 600)
    check_no_leak({"train": evening, "test": radar_windows([0], "day-2", day=1, latitude=71.3)}, PATCH, 600)


@pytest.mark.parametrize("latitude", [78.9 + 0.0099, 78.9 - 0.0099])
def test_a_site_may_be_known_to_a_hundredth_of_a_degree(latitude):
    splits = {"train": radar_windows([0], "a"), "test": radar_windows([100], "b", latitude=latitude)}
    with pytest.raises(InputError, match="nearer in time"):
        check_no_leak(splits, PATCH, 1)
    with pytest.raises(InputError, match="nearer in time"):
        check_no_leak({**splits, "test": radar_windows([100], "b", latitude=74.0)}, PATCH, 1, site_degrees=5)


def test_a_site_on_the_meridian_is_one_site():
    west, east = (
        SampleTable(granule=[g], time_start=0, time_end=9, y_start=0, x_start=0, latitude=51.5, longitude=x)
        for g, x in (("w", -0.004), ("e", 0.004))
    )
    with pytest.raises(InputError, match="nearer in time"):
        check_no_leak({"train": west, "test": east}, PATCH, 1)


def test_the_nearest_is_found_behind_a_long_sample():
    """A long early sample of one split, then short ones of the other: the last that began is not the last that ends."""
    common = {"y_start": 0, "latitude": 0.0, "longitude": 0.0}
    train = SampleTable(granule=["g"] * 2, time_start=[0, 10], time_end=[100, 20], x_start=[0, 500], **common)
    test = SampleTable(granule=["g"], time_start=[105], time_end=[110], x_start=[1000], **common)
    with pytest.raises(InputError, match=r"train\[0\].*test\[0\].*gap of 6 s"):
        check_no_leak({"train": train, "test": test}, PATCH, 6)
    check_no_leak({"train": train, "test": test}, PATCH, 5)


def test_agrees_with_comparing_all_pairs():
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(60):
        n = 6
        samples = SampleTable(
            granule=rng.choice(["a", "b"], n),
            time_start=(start := rng.integers(0, 4000, n).astype(float)),
            time_end=start + rng.integers(0, 30, n),
            y_start=rng.integers(0, 40, n),
            x_start=rng.integers(0, 40, n),
            latitude=rng.choice([0.0, 10.0], n),
            longitude=0.0,
        )
        split, gap = rng.integers(0, 3, n), float(rng.choice([0, 20, 100]))
        leak = False
        for i in range(n):
            for j in range(n):
                if split[i] == split[j]:
                    continue
                same = samples.granule[i] == samples.granule[j]
                near = same or samples.latitude[i] == samples.latitude[j]
                pixels = (
                    abs(samples.y_start[i] - samples.y_start[j]) < 9
                    and abs(samples.x_start[i] - samples.x_start[j]) < 5
                )
                apart = max(samples.time_start[j] - samples.time_end[i], samples.time_start[i] - samples.time_end[j])
                leak |= bool((same and pixels) or (near and apart < gap))
        tables = {name: samples.take(split == k) for k, name in enumerate(("train", "validation", "test"))}
        try:
            check_no_leak(tables, (9, 5), gap)
            found = False
        except InputError:
            found = True
        outcomes.append(leak)
        assert found == leak
    assert 10 < sum(outcomes) < 50


def test_many_windows_are_checked_quickly():
    columns = np.arange(0, 12000)
    train = radar_windows(columns)  # every column starts a window
    test = radar_windows(columns[:6000] + 13000)
    begin = time.process_time()
    check_no_leak({"train": train, "test": test}, PATCH, 100)
    assert time.process_time() - begin < 10


def test_blocks_leave_a_gap_and_training_gives_way():
    start = np.arange(0, DAY, 512.0)
    end = start + 508
    blocks = [(0, 12, "train"), (12, 18, "test"), (18, 24, "train")]
    names = block_splits(start, end, blocks=blocks, gap_seconds=512)
    assert set(names) == {"train", "test", ""}
    inside = (start >= 12 * HOUR) & (end <= 18 * HOUR)
    np.testing.assert_array_equal(names == "test", inside)
    separation = [
        max(b0 - a1, a0 - b1)
        for a0, a1 in zip(start[names == "train"], end[names == "train"], strict=True)
        for b0, b1 in zip(start[inside], end[inside], strict=True)
    ]
    assert min(separation) >= 512
    left_out = (names == "") & ((end <= 12 * HOUR) | (start >= 18 * HOUR))
    assert 1 <= left_out.sum() <= 3
    samples = radar_windows(start / SECONDS_A_COLUMN)
    check_no_leak({name: samples.take(names == name) for name in ("train", "test")}, PATCH, 512)


def test_blocks_count_from_midnight_of_the_first_day():
    start = np.array([5 * DAY + 13 * HOUR, 5 * DAY + 30 * HOUR, 5 * DAY + 20 * HOUR])
    assert block_splits(start, blocks=[(12, 18, "test"), (24, 48, "train")]).tolist() == ["test", "train", ""]


def test_fractions_follow_time_not_order():
    rng = np.random.default_rng(0)
    start = rng.permutation(1000) * 10.0
    names = block_splits(start, fractions={"train": 0.7, "validation": 0.15, "test": 0.15})
    assert [int((names == split).sum()) for split in ("train", "validation", "test")] == [700, 150, 150]
    assert start[names == "train"].max() < start[names == "validation"].min()
    assert start[names == "validation"].max() < start[names == "test"].min()
    with_gap = block_splits(start, fractions=(0.7, 0.15, 0.15), gap_seconds=25)
    # apart by multiples of 10 s: of each neighbouring pair of blocks the earlier one loses two samples
    assert [int((with_gap == split).sum()) for split in ("train", "validation", "test", "")] == [698, 148, 150, 4]


def test_overlapping_windows_are_parted_without_a_gap():
    start = np.arange(0, 1000, 10.0)
    names = block_splits(start, start + 35, fractions={"train": 0.5, "test": 0.5})
    assert start[names == "train"].max() + 35 <= start[names == "test"].min()
    assert (names == "").sum() == 3


def test_no_sample_gives_no_split():
    assert block_splits(np.empty(0), fractions={"train": 1.0}).shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either `blocks` or `fractions`"),
        ({"blocks": [(0, 13, "train"), (12, 18, "test")]}, "Blocks do not overlap"),
        ({"blocks": [(6, 6, "train")]}, "first hour, last hour"),
        ({"blocks": [(0, 6, "holdout")]}, "`split` is one of 'train', 'validation', 'test'"),
        ({"fractions": {"train": 0.7, "test": 0.2}}, "sum to 1"),
        ({"fractions": {"train": 1.2, "test": -0.2}}, "at least 0 and sum to 1"),
        ({"fractions": (0.5, 0.5)}, "three numbers"),
        ({"fractions": {"train": 1.0}, "gap_seconds": -1}, "`gap_seconds` is at least 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        block_splits(np.arange(4.0), **options)


def test_bad_times():
    with pytest.raises(InputError, match="Times are finite"):
        block_splits(np.array([0.0, np.nan]), fractions=(1, 0, 0))
    with pytest.raises(InputError, match="not before"):
        block_splits(np.array([5.0]), np.array([4.0]), fractions=(1, 0, 0))
