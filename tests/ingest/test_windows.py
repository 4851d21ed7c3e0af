import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.ingest.curtain import Curtain
from cloudkeras.ingest.windows import TimeBlocks, cut, split_windows, window_starts


def curtain(hours=24.0, step=300.0, observed=None):
    time = 1609718400 + step * np.arange(int(hours * 3600 / step))  # 2021-01-04
    values = np.arange(2 * len(time), dtype=np.float32).reshape(2, -1)
    observed = np.ones(len(time), bool) if observed is None else observed
    return Curtain("day", 78.9, 11.9, np.array([0.0, 1.0]), time, observed, {"reflectivity": values})


def test_windows_avoid_gaps_and_reach_both_ends():
    usable = np.array([1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1], bool)
    assert window_starts(usable, 4, 4).tolist() == [0, 3, 12]
    assert window_starts(usable, 4, 1).tolist() == [0, 1, 2, 3, 12]
    assert window_starts(usable, 3, 2).tolist() == [0, 2, 4, 8, 12, 13]
    assert window_starts(usable, 8, 1).size == 0
    with pytest.raises(InputError, match="stride=0"):
        window_starts(usable, 4, 0)


def test_splits_keep_their_hours_and_their_distance():
    record, width, gap = curtain(), 12, 3600.0
    starts = split_windows(record, TimeBlocks((12, 18), (8, 10), gap), width, 1, width)
    intervals = {s: [(record.time[i], record.time[i + width - 1]) for i in first] for s, first in starts.items()}
    hour = {s: [((a - record.time[0]) / 3600, (b - record.time[0]) / 3600) for a, b in v] for s, v in intervals.items()}
    assert all(a >= 12 and b < 18 for a, b in hour["test"]) and hour["test"][0][0] == 12
    assert all(a >= 8 and b < 10 for a, b in hour["validation"])
    seen = np.concatenate([np.arange(i, i + width) for i in starts["test"]])
    assert set(seen) == set(range(144, 216))  # the block is seen whole
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        apart = [max(c - b, a - d) for a, b in intervals[one] for c, d in intervals[other]]
        assert min(apart) >= gap
    assert {0, 84 - width} <= set(starts["train"])  # 0 to 7 h


def test_gap_reaches_across_midnight():
    record = curtain(48)
    starts = split_windows(record, TimeBlocks((0, 2), None, 3600.0), 12, 1, 12)
    trained = {int(c) for i in starts["train"] for c in range(i, i + 12)}
    assert max(c for c in trained if c < 288) < 276 and starts["validation"].size == 0


def test_cut_returns_the_pixels():
    record = curtain()
    windows = cut(record, np.array([5, 0]), 3)["reflectivity"]
    assert windows.shape == (2, 2, 3)
    np.testing.assert_array_equal(windows[0], record.fields["reflectivity"][:, 5:8])


@pytest.mark.parametrize(
    "arguments,message",
    [
        (((18, 12), None), "test_hours=\\(18, 12\\)"),
        (((12, 18), (17, 20)), "must lie"),
        (((12, 18), (10, 11.5), 3600.0), "3600 s apart"),
        (((12, 18), (18.5, 26)), "0 to 24"),
        (((12, 18), None, -1.0), "gap_s=-1"),
    ],
)
def test_wrong_blocks(arguments, message):
    with pytest.raises(InputError, match=message):
        TimeBlocks(*arguments)
