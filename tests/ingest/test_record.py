import numpy as np
import pytest

from cloudkeras.errors import DataError
from cloudkeras.ingest import RadarRecord
from cloudkeras.ingest.record import check_plausible, in_order, mapped


def record(**change):
    values = {"time": np.arange(3.0), "height": np.array([100.0, 200.0]), "reflectivity": np.zeros((2, 3), np.float32)}
    values |= {"latitude": 70.0, "longitude": 20.0} | change
    return RadarRecord("a.nc", "kazr", frequency_ghz=35.0, variable="Z", **values)


def test_what_a_record_refuses():
    assert record().site == (70.0, 20.0) and "Ka-band" in record().source and np.isnan(record().altitude)
    assert record(latitude=np.array([70.0, 71.0, 72.0])).site == (71.0, 20.0)
    for change, message in (
        ({"reflectivity": np.zeros((3, 2))}, r"a.nc: expected reflectivity of \(2, 3\); found \(3, 2\)"),
        ({"height": np.array([200.0, 100.0])}, "'height': expected two increasing heights or more, none missing"),
        ({"time": np.array([0.0, 1.0, np.nan])}, "'time': expected two increasing times"),
        ({"time": np.zeros(1), "reflectivity": np.zeros((2, 1))}, "'time': expected two increasing times.*found 1"),
        ({"reflectivity": np.full((2, 3), np.inf)}, "'Z': expected finite or missing values; found infinity"),
    ):
        with pytest.raises(DataError, match=message):
            record(**change)


def test_three_states_stay_apart():
    dbz = np.array([-10.0, -80.0, np.nan, -10.0, -10.0, -np.inf, -np.inf])
    echo = np.array([True, True, True, False, True, True, False])
    missing = np.array([False, False, False, False, True, False, False])
    found = mapped(dbz, echo, missing)
    np.testing.assert_allclose(found, [-10, -59.9, np.nan, -60, np.nan, np.nan, -60])
    assert found.dtype == np.float32


def test_order_of_times(caplog):
    time = np.arange(100.0)
    assert in_order("a.nc", time).tolist() == list(range(100)) and not caplog.text
    swapped = time.copy()
    swapped[[10, 11]] = swapped[[11, 10]]
    swapped[50] = swapped[49]
    order = in_order("a.nc", swapped)
    assert (np.diff(swapped[order]) > 0).all() and len(order) == 99
    assert "a.nc: 2 times did not increase: sorted, 1 repeated profiles dropped" in caplog.text
    two_parts = np.concatenate([time[50:], time[:50]])  # files joined in the wrong order
    np.testing.assert_array_equal(two_parts[in_order("a.nc", two_parts)], time)
    with pytest.raises(DataError, match=r"0 followed by 0 at index 0 \(50 such steps\). Sort the record by time"):
        in_order("a.nc", np.repeat(time[:50], 2))


def test_plausible_values():
    for values in ([-50.0, 20.0], np.linspace(0, 30, 40), [np.nan, np.nan], np.linspace(0, 0.9, 5)):
        check_plausible("a.nc", "Z", np.asarray(values))
    for values, found in (([-50.0, 61.0], "-50 to 61"), (np.geomspace(1e-6, 50, 40), "1e-06 to 50")):
        with pytest.raises(DataError, match=rf"variable 'Z': expected reflectivity in dBZ.*{found}.*mm6 m-3"):
            check_plausible("a.nc", "Z", np.asarray(values))
