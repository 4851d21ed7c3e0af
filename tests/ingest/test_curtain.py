import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.ingest.curtain import nearest_gates, regular_columns, row_heights


def test_rows_are_centered_above_ground():
    np.testing.assert_allclose(row_heights(3, 78.1), [39.05, 117.15, 195.25])
    assert row_heights()[15] < 1250 < row_heights()[16]
    with pytest.raises(InputError, match="positive"):
        row_heights(0)


def test_nearest_gate_within_one_row():
    gates, reached = nearest_gates(
        np.array([110.0, 150.0, 190.0]), np.array([20.0, 39.05, 117.15, 195.25, 300.0]), 78.1
    )
    assert gates.tolist() == [0, 0, 0, 2, 2]
    assert reached.tolist() == [False, True, True, True, False]


def test_single_missing_profile_is_bridged_and_a_gap_is_not():
    time = np.array([0.0, 30, 60, 120, 150, 330, 360, 390])  # 90 is missing; 180 to 300 is a gap
    axis, profile, observed = regular_columns(time, max_gap_s=60)
    np.testing.assert_allclose(axis, 30 * np.arange(14))
    assert observed.tolist() == [True] * 6 + [False] * 5 + [True] * 3
    assert profile[observed].tolist() == [0, 1, 2, 2, 3, 4, 5, 6, 7]  # of two equally near, the earlier
    assert not regular_columns(time, max_gap_s=30)[2][3]


def test_columns_follow_time_stamps_without_drift():
    time = np.cumsum(np.where(np.arange(3000) % 3 == 0, 30.1, 30.0))  # 100 s late by the end
    axis, profile, observed = regular_columns(time, max_gap_s=60)
    assert observed.all()
    assert np.abs(time[profile] - axis).max() <= 15.1
