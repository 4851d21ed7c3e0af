from datetime import UTC, datetime

import numpy as np
import pytest

from cloudkeras.datasets.synthetic.geometry import scene_geometry, sensor_angles, solar_angles, solar_declination


def at(*moment):
    return datetime(*moment, tzinfo=UTC).timestamp()


def test_declination_at_solstice_and_equinox():
    assert solar_declination(at(2018, 12, 21, 12)) == pytest.approx(-23.43, abs=0.1)
    assert solar_declination(at(2018, 9, 23, 2)) == pytest.approx(0.0, abs=0.4)


def test_sun_stands_overhead_at_local_noon_and_below_the_ground_at_midnight():
    # on 2018-12-21 at 15 E the sun culminates at 11:00 UTC, the equation of time being 2 minutes
    zenith, _ = solar_angles(np.array(-23.4), np.array(15.0), at(2018, 12, 21, 11))
    assert zenith < 1.0
    zenith, _ = solar_angles(np.array(-23.4), np.array(15.0), at(2018, 12, 21, 23))
    assert zenith == pytest.approx(180 - 2 * 23.4, abs=1.0)


def test_sun_is_in_the_east_in_the_morning():
    _, azimuth = solar_angles(np.array(0.0), np.array(0.0), at(2018, 10, 1, 8))
    assert 80 < azimuth < 100


def test_sensor_zenith_below_the_satellite_and_at_the_rim():
    zenith, _ = sensor_angles(np.array([0.0, 0.0, 60.0]), np.array([140.7, 140.7 - 81.3, 140.7]))
    assert zenith[0] == pytest.approx(0.0, abs=1e-5)
    assert zenith[1] == pytest.approx(90.0, abs=0.2)  # the Earth's rim is 81.3 degrees from the sub-satellite point
    assert 67 < zenith[2] < 69


def test_satellite_stands_in_the_south_for_a_northern_pixel():
    _, azimuth = sensor_angles(np.array([30.0, -30.0]), np.array([140.7, 140.7]))
    assert azimuth[0] == pytest.approx(180.0, abs=1e-6)
    assert azimuth[1] % 360 == pytest.approx(0.0, abs=1e-6)


def test_row_0_is_north_and_pixels_are_2_km():
    geometry = scene_geometry((101, 3), 10.0, 130.0, at(2018, 11, 1))
    assert geometry.latitude[50, 1] == pytest.approx(10.0, abs=1e-5)
    assert geometry.latitude[0, 0] > geometry.latitude[100, 0]
    assert (geometry.latitude[0, 0] - geometry.latitude[100, 0]) * 111.19 == pytest.approx(200.0, abs=0.5)
    assert np.all((geometry.relative_azimuth >= 0) & (geometry.relative_azimuth <= 180))
