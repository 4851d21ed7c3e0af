import numpy as np
import pytest

from cloudkeras.datasets.synthetic.infrared import brightness_temperature, planck_radiance
from cloudkeras.tasks.cloud_phase import EMISSIVE_BANDS_UM

from .columns import BAND, DRY, MIDDLE, TROPICS, atmosphere, layer, temperatures

WINDOWS = (3.89, 8.59, 10.41, 11.24, 12.38)


def test_planck_by_hand_and_back():
    # 2 h c^2 / lambda^5 / (exp(h c / (lambda k T)) - 1) at 11.24 um and 300 K
    h, c, k = 6.62607015e-34, 2.99792458e8, 1.380649e-23
    expected = 2 * h * c**2 / 11.24e-6**5 / np.expm1(h * c / (11.24e-6 * k * 300)) * 1e-6
    radiance = planck_radiance(11.24, np.float32(300))
    assert radiance == pytest.approx(expected, rel=1e-5)
    for band in EMISSIVE_BANDS_UM:
        assert brightness_temperature(band, planck_radiance(band, np.float32(230))) == pytest.approx(230, abs=0.01)


@pytest.mark.parametrize(("climate", "base", "top"), [(TROPICS, 8.0, 13.3), (MIDDLE, 3.0, 8.2), (DRY, 1.0, 2.7)])
def test_opaque_cloud_has_its_top_temperature(climate, base, top):
    air = atmosphere(1, **climate)
    cloud_top_k = air.temperature(np.float32(top))[0]
    observed = temperatures(air, [layer(1, base, top, 200.0)])[0, BAND[11.24]]
    assert observed == pytest.approx(cloud_top_k, abs=1.0)


def test_opaque_cloud_top_follows_the_height_within_a_level():
    air = atmosphere(5, **MIDDLE)
    tops = np.array([8.05, 8.15, 8.25, 8.35, 8.45])
    observed = temperatures(air, [layer(5, 6.0, tops, 300.0)])[:, BAND[11.24]]
    np.testing.assert_allclose(observed, air.temperature(tops.astype(np.float32)), atol=1.0)
    assert np.all(np.diff(observed) < 0)


def test_no_optical_depth_is_clear_sky():
    air = atmosphere(3, **TROPICS)
    clear = temperatures(air)
    np.testing.assert_array_equal(temperatures(air, [layer(3, 5.0, 9.0, 0.0)]), clear)
    np.testing.assert_allclose(
        temperatures(air, [layer(3, 9.0, 9.5, 1e-5)])[:, BAND[11.24]], clear[:, BAND[11.24]], atol=0.05
    )


def test_black_ground_without_air_shows_its_own_temperature():
    air = atmosphere(1, **DRY)
    observed = temperatures(air, skin_k=295.0, emissivity=1.0)[0]
    for band in (8.59, 10.41, 11.24, 12.38):
        assert observed[BAND[band]] == pytest.approx(295.0, abs=0.6)  # the well-mixed gases remain


def test_thin_ice_is_warmer_at_8_6_and_liquid_is_colder():
    for climate, top in ((TROPICS, 12.5), (MIDDLE, 9.0)):
        air = atmosphere(3, **climate)
        depths = np.array([0.8, 1.5, 2.5])
        ice = temperatures(air, [layer(3, top - 1.5, top, depths)])
        assert np.all(ice[:, BAND[8.59]] - ice[:, BAND[11.24]] > 0.3)
        liquid = temperatures(air, [layer(3, 0.8, 1.5, np.array([2.0, 10.0, 30.0]))])
        assert np.all(liquid[:, BAND[8.59]] - liquid[:, BAND[11.24]] < -0.2)


def test_split_window_is_positive_for_thin_ice():
    thin = temperatures(atmosphere(1, **MIDDLE), [layer(1, 7.0, 8.5, 1.0)])[0]
    assert thin[BAND[11.24]] - thin[BAND[12.38]] > 1.0


def test_water_clouds_emit_less_at_3_9_um_by_night():
    night = temperatures(atmosphere(1, **MIDDLE), [layer(1, 0.8, 1.5, 30.0)])[0]
    assert -6 < night[BAND[3.89]] - night[BAND[11.24]] < -1


@pytest.mark.parametrize("climate", [TROPICS, MIDDLE])
def test_clear_sky_bands_are_in_order(climate):
    clear = temperatures(atmosphere(1, **climate))[0]
    wv62, wv69, wv73, window = (clear[BAND[b]] for b in (6.24, 6.94, 7.35, 11.24))
    assert wv62 + 5 < wv69
    assert wv69 + 5 < wv73
    assert wv73 + 10 < window
    assert clear[BAND[9.64]] + 10 < window
    assert clear[BAND[13.28]] + 10 < window
    # values as seen from AHI in clear skies
    assert 232 < wv62 < 252
    assert 250 < clear[BAND[13.28]] < 278


def test_limb_cooling():
    air = atmosphere(4, **TROPICS)
    clear = temperatures(air, cos_view=np.array([1.0, 0.7, 0.5, 0.35], np.float32))
    assert np.all(np.diff(clear, axis=0) < 0)
    assert np.all(clear[0, [BAND[b] for b in WINDOWS]] - clear[3, [BAND[b] for b in WINDOWS]] < 8)


def test_moist_air_is_colder_in_the_water_vapor_bands():
    dry, moist = (temperatures(atmosphere(1, **(TROPICS | {"free_humidity": rh})))[0] for rh in (0.15, 0.6))
    for band in (6.24, 6.94, 7.35):
        assert dry[BAND[band]] - moist[BAND[band]] > 4


def test_high_cloud_hides_low_cloud_and_thin_cloud_does_not():
    air = atmosphere(2, **TROPICS)
    low = layer(2, 0.8, 1.5, np.array([0.0, 20.0]))
    under_thick = temperatures(air, [layer(2, 10.0, 13.0, 60.0), low])
    np.testing.assert_allclose(under_thick[0], under_thick[1], atol=0.01)
    under_thin = temperatures(air, [layer(2, 11.0, 12.0, 0.3), low])
    assert under_thin[0, BAND[11.24]] - under_thin[1, BAND[11.24]] > 2
