"""Days of the benchmark: splits and smoothing."""

import datetime

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest.meltwater_layout import day_name, parse_day
from cloudkeras.ingest.meltwater_smoothing import gaussian_smooth
from cloudkeras.ingest.meltwater_splits import block_split, by_split, listed_split, neighbours, published_split

DAYS = [
    datetime.date(year, 4, 1) + datetime.timedelta(n)
    for year in range(2017, 2024)
    for n in range(0, 183, 2)
]  # fmt: skip


def test_names_of_days():
    assert day_name(datetime.date(2018, 6, 3)) == "2018_06_03.tif"
    assert parse_day("2018_06_03.tif") == datetime.date(2018, 6, 3)
    assert parse_day("2018_13_03.tif") is None and parse_day("dem_100m.tif") is None


def test_published_split_is_stratified_by_month():
    split = published_split(DAYS)
    parts = by_split(split)
    assert set(split) == set(DAYS)
    for name in ("validation", "test"):
        months = [(day.year, day.month) for day in parts[name]]
        assert sorted(set(months)) == [(y, m) for y in range(2018, 2024) for m in range(4, 10)]
        assert len(months) == 72 and all(months.count(month) == 2 for month in set(months))
    assert published_split(DAYS) == split and published_split(DAYS, seed=1) != split
    assert published_split(list(reversed(DAYS))) == split


def test_published_split_with_few_days():
    two = [datetime.date(2018, 4, 1), datetime.date(2018, 4, 5)]
    assert set(published_split(two).values()) == {"train"}
    only = [day for day in DAYS if day.year == 2017]
    assert len(by_split(published_split(only))["test"]) == 12


def test_blocks_are_months_with_a_gap():
    split = block_split(DAYS, gap_days=6)
    parts = by_split(split)
    for name in ("validation", "test"):
        held = {(day.year, day.month) for day in parts[name]}
        assert len(held) == 6 and {year for year, _ in held} == set(range(2018, 2024))
        assert {month for _, month in held} == {4, 5, 6, 7, 8, 9}
    days = {name: np.array([day.toordinal() for day in parts[name]]) for name in parts}
    # A sample lasts all of its day: 6 days from the end of one to the start of the next are 7 dates.
    for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert np.abs(days[a][:, None] - days[b]).min() >= 7
    assert 0.5 * len(DAYS) < len(parts["train"]) < len(DAYS) - 72
    near = neighbours(split)["test"]
    assert near["with_a_training_day_within"] == {"1": 0, "3": 0, "6": 0} and near["nearest_training_day"] >= 7
    assert neighbours(published_split(DAYS))["test"]["with_a_training_day_within"]["3"] > 60


def test_blocks_of_one_year():
    parts = by_split(block_split([day for day in DAYS if day.year == 2019]))
    assert {day.month for day in parts["test"]} == {5} and {day.month for day in parts["validation"]} == {8}
    assert block_split([]) == {}
    with pytest.raises(InputError, match="`gap_days` is at least 0"):
        block_split(DAYS, gap_days=-1)


def test_lists_of_the_authors(tmp_path):
    lists = {"train.csv": DAYS[:5], "val.csv": DAYS[5:6], "test.csv": DAYS[6:8]}
    for name, days in lists.items():
        (tmp_path / name).write_text("".join(f"{day_name(day)}\n" for day in days))
    split = listed_split(tmp_path, DAYS)
    assert by_split(split) == {"train": DAYS[:5], "validation": DAYS[5:6], "test": DAYS[6:8]}
    with pytest.raises(DataError, match=r"days that are complete in the folder of rasters; found 2017-04-01"):
        listed_split(tmp_path, DAYS[1:])
    (tmp_path / "val.csv").write_text(day_name(DAYS[0]) + "\n")
    with pytest.raises(DataError, match="found 2017-04-01 in train and validation"):
        listed_split(tmp_path, DAYS)
    (tmp_path / "val.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"file names such as 2018_06_03.tif; found 'a,b'"):
        listed_split(tmp_path, DAYS)
    (tmp_path / "test.csv").unlink()
    (tmp_path / "val.csv").write_text("")
    with pytest.raises(DataError, match=r"test.csv: expected a list of file names"):
        listed_split(tmp_path, DAYS)


# ---- smoothing ----


def naive_blur(values, kernel, sigma):
    """The definition, pixel by pixel: mirrored border, weights of the two axes multiplied."""
    half = kernel // 2
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    plane = np.outer(weights, weights)
    plane /= plane.sum()
    padded = np.pad(values, half, mode="reflect")
    rows, columns = values.shape
    return np.array(
        [[(padded[i : i + kernel, j : j + kernel] * plane).sum() for j in range(columns)] for i in range(rows)]
    )


def test_smoothing_is_the_definition():
    values = np.random.default_rng(0).normal(200, 20, (14, 11)).astype(np.float32)
    np.testing.assert_allclose(gaussian_smooth(values, 7, 2.0), naive_blur(values, 7, 2.0), rtol=1e-5)
    np.testing.assert_allclose(
        gaussian_smooth(values, 9, 2.0), gaussian_filter(values, 2.0, mode="mirror", radius=4), rtol=1e-5
    )


def test_smoothing_commutes_with_the_normalization():
    values = np.random.default_rng(1).normal(206, 27, (30, 40)).astype(np.float32)
    before = gaussian_smooth((values - 206.104) / 26.772, 45, 15.0)
    after = (gaussian_smooth(values, 45, 15.0) - 206.104) / 26.772
    np.testing.assert_allclose(before, after, atol=1e-4)


def test_missing_values_count_for_nothing():
    values = np.full((20, 20), 5.0, np.float32)
    values[4:8, 4:8] = np.nan
    smooth = gaussian_smooth(values, 9, 3.0)
    np.testing.assert_allclose(smooth[np.isfinite(values)], 5.0, rtol=1e-5)
    assert np.isnan(smooth[4:8, 4:8]).all() and np.isfinite(smooth).sum() == 400 - 16


def test_kernels_are_checked():
    for kernel, sigma, message in [(4, 1.0, "odd"), (0, 1.0, "odd"), (5, 0.0, "above 0")]:
        with pytest.raises(InputError, match=message):
            gaussian_smooth(np.zeros((4, 4)), kernel, sigma)
