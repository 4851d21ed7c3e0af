import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import RadarRecord, radar_curtain
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


def test_a_longer_step_takes_the_nearest_profile():
    time = 2.0 * np.arange(10)
    axis, profile, observed = regular_columns(time, step_s=4.0)
    assert axis.tolist() == [0, 4, 8, 12, 16] and profile.tolist() == [0, 2, 4, 6, 8] and observed.all()
    axis, profile, observed = regular_columns(np.delete(time, [3, 4, 5, 6]), step_s=4.0)  # ten seconds without
    assert observed.tolist() == [True, True, False, True, True]  # 14 s is half a step from 12
    assert regular_columns(np.delete(time, [3, 4]), step_s=4.0)[2].all()  # six seconds are bridged: two columns are 8
    for options, message in (
        ({"step_s": 0.0}, "`step_s` is above 0"),
        ({"max_gap_s": -1.0}, "`max_gap_s` is at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            regular_columns(time, **options)


def record(height, dbz, time=None):
    time = 30.0 * np.arange(dbz.shape[1]) if time is None else time
    return RadarRecord("a/b.nc", "kazr", time, height, dbz.astype(np.float32), 35.0, 70.0, 20.0)


def test_records_on_other_gates_come_to_the_same_grid():
    """Gates of 30, 78.1 and 240 m: each row shows the gate nearest to its centre, none is left out."""
    for spacing in (30.0, 78.1, 240.0):
        height = spacing * (np.arange(int(11000 / spacing)) + 0.5)
        curtain = radar_curtain(record(height, np.repeat(height[:, None] / 1000, 4, axis=1)))
        np.testing.assert_allclose(curtain.height, row_heights())
        difference = 1000 * curtain.fields["reflectivity"] - curtain.height[:, None]
        assert np.abs(difference).max() <= spacing / 2 + 0.1
    assert curtain.granule == "b.nc" and set(curtain.fields) == {"reflectivity"}


def test_profiles_without_a_value_are_a_gap():
    dbz = np.full((130, 12), -10.0)
    dbz[:, 0] = np.nan  # at the start: the curtain begins later
    dbz[:, 3] = np.nan  # one: bridged
    dbz[:, 6:10] = np.nan  # four: a gap
    curtain = radar_curtain(record(80.0 * (np.arange(130) + 0.5), dbz))
    assert curtain.time[0] == 30.0 and len(curtain.time) == 11
    assert curtain.observed.tolist() == [True] * 5 + [False] * 4 + [True] * 2
    found = np.isfinite(curtain.fields["reflectivity"]).all(axis=0)
    assert found.tolist() == curtain.observed.tolist()
    with pytest.raises(DataError, match=r"two profiles or more with values below 10.0 km; found 1 of 12"):
        radar_curtain(
            record(80.0 * (np.arange(130) + 0.5), np.where(np.arange(12) == 4, -10.0, np.nan) + np.zeros((130, 1)))
        )
