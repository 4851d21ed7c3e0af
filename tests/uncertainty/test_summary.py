from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.uncertainty import summarize, summary


def test_against_numpy_in_one_block_and_in_many(monkeypatch):
    samples = np.random.default_rng(0).normal(size=(9, 3, 4, 5)).astype(np.float32)
    for block in (10**9, 20):
        monkeypatch.setattr(summary, "_BLOCK_VALUES", block)
        found = summarize(samples, quantiles=(0.1, 0.5, 0.95), event=(0.0, 1.0))
        np.testing.assert_allclose(found["mean"], samples.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["spread"], samples.std(axis=0, ddof=1), rtol=1e-5)
        np.testing.assert_allclose(found["median"], np.median(samples, axis=0))
        expected = np.quantile(samples.astype(np.float64), [0.1, 0.5, 0.95], axis=0, method="weibull")
        np.testing.assert_allclose(found["quantiles"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["probability"], [(samples > t).mean(axis=0) for t in (0, 1)])
    assert all(v.dtype == np.float32 for v in found.values()) and found["probability"].shape == (2, 3, 4, 5)


def test_one_event_one_member_and_missing_pixels():
    samples = np.array([[1.0, np.nan, 3.0]])
    found = summarize(samples, event=2.0)
    np.testing.assert_array_equal(found["probability"], [0, np.nan, 1])
    np.testing.assert_array_equal(found["spread"], [0, np.nan, 0])
    np.testing.assert_array_equal(found["quantiles"][0], [1, np.nan, 3])
    some = summarize(np.array([[1.0, 1.0], [np.nan, 3.0]]))
    assert np.isnan(some["mean"][0]) and some["mean"][1] == 2 and "probability" not in some


def test_wrong_arguments():
    with pytest.raises(InputError, match="at least one member"):
        summarize(np.zeros((0, 3)))
    with pytest.raises(InputError, match="`quantiles` lie between 0 and 1"):
        summarize(np.zeros((2, 3)), quantiles=(0.0, 0.5))
