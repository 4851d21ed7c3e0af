import numpy as np
import pytest

from cloudkeras.datasets.synthetic.clouds import (
    CLEAR,
    ICE,
    LIQUID,
    MIXED,
    Glaciation,
    cloud_columns,
    ice_effective_radius,
    liquid_share,
)

from .columns import layer


def columns_at(temperature_k, *layers):
    return cloud_columns(layers, np.full((38, 1), temperature_k, np.float32))


def test_a_layer_fills_its_levels_and_keeps_its_optical_depth():
    clouds = columns_at(280.0, layer(1, 1.25, 2.75, 6.0))
    # 250 m in level 2, 500 m in levels 3 and 4, 250 m in level 5: one, two, two, one sixths of 6
    np.testing.assert_allclose(clouds.optical_depth[2:6, 0], [1, 2, 2, 1], rtol=1e-5)
    assert clouds.optical_depth.sum() == pytest.approx(6.0, rel=1e-5)
    assert (clouds.lower_km[2, 0], clouds.upper_km[5, 0]) == (1.25, 2.75)


def test_layers_add_up():
    clouds = columns_at(280.0, layer(1, 1.0, 2.0, 3.0), layer(1, 1.0, 1.5, 2.0))
    np.testing.assert_allclose(clouds.optical_depth[2:4, 0], [3.5, 1.5], rtol=1e-5)


@pytest.mark.parametrize(
    ("temperature_k", "phase"), [(283.0, LIQUID), (273.2, LIQUID), (253.15, MIXED), (235.1, ICE), (210.0, ICE)]
)
def test_phase_by_temperature(temperature_k, phase):
    clouds = columns_at(temperature_k, layer(1, 5.0, 6.0, 2.0, half_ice_k=20.0))
    assert clouds.phase()[10, 0] == phase
    assert clouds.phase()[9, 0] == CLEAR


def test_liquid_share_never_breaks_the_limits_of_freezing():
    rng = np.random.default_rng(0)
    temperature = rng.uniform(200, 300, 20000).astype(np.float32)
    share = liquid_share(temperature, 3 * rng.standard_normal(20000), Glaciation(15.0), rng.random(20000))
    assert np.all(share[temperature >= 273.15] == 1)
    assert np.all(share[temperature <= 235.15] == 0)
    between = share[(temperature > 240) & (temperature < 270)]
    assert 0.05 < np.mean((between > 0.1) & (between < 0.9)) < 0.5  # mixed, with the pure phases beside it
    assert (between == 0).any()
    assert (between == 1).any()


def test_probability_of_ice_grows_with_supercooling():
    latent = np.random.default_rng(1).standard_normal(4000)
    share = [
        liquid_share(np.float32(273.15 - s), latent, Glaciation(15.0), np.float32(0.5)).mean() for s in range(2, 37, 5)
    ]
    assert np.all(np.diff(share) < 0)


def test_droplets_gather_at_the_top_of_altocumulus():
    glaciation = Glaciation(20.0, 5.0, 0.8, liquid_top=2.5)
    bottom, top = liquid_share(np.float32(253.15), np.zeros(2), glaciation, np.array([0.0, 1.0]))
    assert top > 0.9 > bottom


def test_below_the_detection_limit_is_clear():
    clouds = columns_at(220.0, layer(1, 10.0, 10.5, 0.019))
    assert clouds.optical_depth.max() == pytest.approx(0.019, rel=1e-4)
    assert np.all(clouds.phase() == CLEAR)


def test_crystals_grow_with_temperature():
    np.testing.assert_allclose(ice_effective_radius(np.array([190.0, 233.15, 273.15])), [20.0, 38.0, 55.0])
