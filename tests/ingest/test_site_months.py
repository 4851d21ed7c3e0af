import numpy as np
import pytest

from cloudkeras.datasets import SampleTable
from cloudkeras.datasets.splits import check_no_leak
from cloudkeras.errors import InputError
from cloudkeras.ingest import ModelColumns
from cloudkeras.ingest.curtain import Curtain
from cloudkeras.ingest.site_months import HeldOut, SiteMonthBlocks, cold_months, group_by_site, in_months

JANUARY = float(np.datetime64("2021-01-01", "s").astype(float))
FEBRUARY = float(np.datetime64("2021-02-01", "s").astype(float))


def test_a_tenth_of_what_was_observed_and_a_gap():
    time = np.concatenate([JANUARY + 3600.0 * np.arange(100), FEBRUARY + 3600.0 * np.arange(10)])
    blocks = SiteMonthBlocks(gap_s=2 * 3600).held_out(time[::-1])
    assert blocks == [
        HeldOut("test", "2021-01", time[90], time[99]),
        HeldOut("validation", "2021-01", time[78], time[87]),  # ten hours, before a gap of more than two
        HeldOut("test", "2021-02", time[109], time[109]),
        HeldOut("validation", "2021-02", time[106], time[106]),
    ]


def test_a_month_too_short_for_validation_has_none():
    blocks = SiteMonthBlocks(gap_s=1e6).held_out(JANUARY + 3600.0 * np.arange(20))
    assert [block.split for block in blocks] == ["test"]


def test_the_published_offset_is_caught():
    """Windows of two months concatenated with the wrong offset put training windows into the test period.

    The second month's training indices were shifted by the number of the first month's training windows instead of by
    the number of all its windows (references, section 4.1), so they begin inside the first month's test part.
    """
    january, february = 100, 60
    start = np.concatenate([JANUARY + 1800.0 * np.arange(january), FEBRUARY + 1800.0 * np.arange(february)])
    windows = SampleTable("month", start, start + 1740, 0, 30 * np.arange(len(start)), 71.32, -156.61)
    held = round(0.9 * january), round(0.9 * february)
    test = np.concatenate([np.arange(held[0], january), january + np.arange(held[1], february)])
    right = np.concatenate([np.arange(held[0]), january + np.arange(held[1])])
    wrong = np.concatenate([np.arange(held[0]), held[0] + np.arange(held[1])])
    check_no_leak({"train": windows.take(right), "test": windows.take(test)}, (20, 30), 0.0)
    with pytest.raises(InputError, match=r"train\[90\] .* and test\[0\] .* share pixels"):
        check_no_leak({"train": windows.take(wrong), "test": windows.take(test)}, (20, 30), 0.0)
    with pytest.raises(InputError, match="nearer in time than the gap of 1800 s"):  # the right offset has no gap either
        check_no_leak({"train": windows.take(right), "test": windows.take(test)}, (20, 30), 1800.0)


def test_training_gives_way_in_the_next_month_too():
    time = FEBRUARY - 50 * 3600 + 3600.0 * np.arange(200)
    record = Curtain("a", 70.0, 20.0, np.zeros(1), time, np.ones(200, bool), {})
    months = SiteMonthBlocks(gap_s=5 * 3600)
    starts = months.windows(record, months.held_out(time), 3, 1, 3)
    spans = {s: [(time[i], time[i + 2]) for i in first] for s, first in starts.items()}
    assert all(spans.values())
    for one in spans:
        for other in spans:
            if one != other:
                assert min(max(c - b, a - d) for a, b in spans[one] for c, d in spans[other]) >= 5 * 3600
    assert min(a for a, _ in spans["train"] if a >= FEBRUARY) == FEBRUARY - 3600 + 6 * 3600
    assert max(b for _, b in spans["test"] if b < FEBRUARY) == FEBRUARY - 3600


def test_validation_gives_way_to_the_test_of_the_month_before():
    time = np.concatenate([FEBRUARY - 3600.0 * np.arange(40, 0, -1), FEBRUARY + 3600.0 * np.arange(12)])
    months = SiteMonthBlocks(test_share=0.25, validation_share=0.25, gap_s=6 * 3600)
    blocks = months.held_out(time)
    assert (
        HeldOut("validation", "2021-02", FEBRUARY, FEBRUARY + 2 * 3600) in blocks
    )  # within six hours of January's test
    record = Curtain("a", 70.0, 20.0, np.zeros(1), time, np.ones(52, bool), {})
    starts = months.windows(record, blocks, 1, 1, 1)
    assert not (time[starts["validation"]] >= FEBRUARY).any() and starts["validation"].size


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.6, 0.4), (0.1, -0.1), (1.2, 0.0)])
def test_wrong_shares(shares):
    with pytest.raises(InputError, match="leave something to train on"):
        SiteMonthBlocks(*shares)
    with pytest.raises(InputError, match="`gap_s` is at least 0"):
        SiteMonthBlocks(gap_s=-1)


def test_sites_across_the_date_line_and_platforms_that_move():
    places = [(71.0, 179.999), (71.0, -179.999), (71.03, 180.0), None, (71.015, 180.0), None]
    assert group_by_site(places) == [0, 0, 1, 2, 0, 2]


def test_cold_months_never_exceed_two_degrees():
    time = np.array([JANUARY, JANUARY + 3600, FEBRUARY, FEBRUARY + 3600])
    empty = np.zeros((4, 1))
    columns = ModelColumns(("m",), time, time, empty, {}, np.array([250.0, 275.15, 250.0, 275.16]))
    assert cold_months(columns) == {"2021-01"}
    assert cold_months(columns, 276.0) == {"2021-01", "2021-02"}
    assert in_months(time, {"2021-02"}).tolist() == [False, False, True, True]
