import numpy as np
import pytest

from cloudkeras.datasets.synthetic.atmosphere import (
    LEVEL_CENTERS_KM,
    LEVEL_EDGES_KM,
    draw_atmosphere,
    saturation_vapor_pressure,
)
from cloudkeras.datasets.synthetic.infrared import air_columns

from .columns import TROPICS, atmosphere


@pytest.mark.parametrize(
    ("kelvin", "hectopascal"), [(273.15, 6.11), (293.15, 23.39), (233.15, 0.128), (213.15, 0.0108)]
)
def test_saturation_vapor_pressure_at_tabulated_points(kelvin, hectopascal):
    # Smithsonian tables: over liquid at 0 and 20 C, over ice at -40 and -60 C
    assert saturation_vapor_pressure(np.float32(kelvin)) == pytest.approx(hectopascal, rel=0.01)


def test_pressure_is_hydrostatic():
    air = atmosphere(1, **TROPICS)
    pressure = air.pressure(air.temperature(LEVEL_EDGES_KM[:, None]))
    assert pressure[0, 0] == 1013
    # a tropical atmosphere has 500 hPa near 5.9 km
    assert np.interp(5.87, LEVEL_EDGES_KM, pressure[:, 0]) == pytest.approx(500, abs=8)
    assert np.all(np.diff(pressure[:, 0]) < 0)


def test_precipitable_water_of_a_saturated_column_by_hand():
    air = atmosphere(1, **TROPICS)
    center = air.temperature(LEVEL_CENTERS_KM[:, None])
    columns = air_columns(air, center, np.ones((38, 1), bool))
    # first level: 0.98 e_s(T) / (R_v T) times 500 m
    vapor = 0.98 * saturation_vapor_pressure(center[0, 0]) * 100
    assert columns.water_mm[0, 0] == pytest.approx(vapor / (461.5 * center[0, 0]) * 500, rel=1e-4)
    assert 50 < columns.water_mm.sum() < 90


def test_climate_by_latitude():
    rng = np.random.default_rng(3)
    drawn = {
        lat: [draw_atmosphere(rng, np.full((16, 16), lat), -15.0, np.zeros((16, 16))) for _ in range(60)]
        for lat in (0.0, 55.0, -55.0)
    }
    mean = lambda lat, name: np.mean([getattr(a, name).mean() for a in drawn[lat]])  # noqa: E731
    assert 298 < mean(0.0, "surface_air_k") < 303
    assert mean(0.0, "tropopause_km") > 15.5 > 11.5 > mean(55.0, "tropopause_km")
    assert mean(0.0, "tropopause_k") < 200 < 212 < mean(-55.0, "tropopause_k")
    assert mean(55.0, "surface_air_k") < mean(-55.0, "surface_air_k") < 285  # winter in the north


def test_land_is_colder_in_the_winter_hemisphere():
    latitude = np.full((16, 16), 50.0)
    sea, land = (
        draw_atmosphere(np.random.default_rng(1), latitude, -22.0, np.full((16, 16), share)) for share in (0.0, 1.0)
    )
    assert np.all(land.surface_air_k < sea.surface_air_k - 4)


def test_temperature_turns_at_the_tropopause():
    air = atmosphere(1, **TROPICS)
    profile = air.temperature(LEVEL_CENTERS_KM[:, None])[:, 0]
    assert 15.5 <= LEVEL_CENTERS_KM[np.argmin(profile)] <= 17.0
    assert air.temperature(np.float32(16.5))[0] == pytest.approx(194.0, abs=1e-3)
