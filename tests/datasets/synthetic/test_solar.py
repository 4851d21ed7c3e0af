import numpy as np
import pytest

from cloudkeras.datasets.synthetic.optics import CloudOptics, multilinear
from cloudkeras.datasets.synthetic.scenes import cloud_optics
from cloudkeras.datasets.synthetic.solar import BANDS_UM, CloudStack, daylight, reflectance, stack_clouds
from cloudkeras.datasets.synthetic.surface import glint_reflectance
from cloudkeras.errors import DataError

BAND = {wavelength: i for i, wavelength in enumerate(BANDS_UM)}


def stack(pixels, *, liquid=0.0, ice=0.0, lower=0.0, liquid_radius=11.0, ice_radius=32.0, top_hpa=500.0):
    spread = lambda v: np.broadcast_to(np.asarray(v, np.float32), (pixels,)).copy()  # noqa: E731
    return CloudStack(
        spread(liquid),
        spread(liquid_radius),
        spread(ice),
        spread(ice_radius),
        spread(lower),
        spread(liquid_radius),
        spread(top_hpa),
    )


def reflect(clouds, *, albedo=0.05, sun=0.8, view=0.9, azimuth=90.0, glint=0.0):
    pixels = len(clouds.ice)
    spread = lambda v: np.broadcast_to(np.asarray(v, np.float32), (pixels,)).copy()  # noqa: E731
    return reflectance(
        clouds,
        cloud_optics(),
        spread(sun),
        spread(view),
        spread(azimuth),
        np.broadcast_to(np.float32(albedo), (pixels, 7)).copy(),
        spread(glint),
    )


def test_multilinear_is_exact_for_a_multilinear_function():
    a, b, c = np.meshgrid(np.arange(4), np.arange(3), np.arange(5), indexing="ij")
    table = np.stack([1 + a + 2 * b - c + a * b * c, a * 1.0], axis=-1).astype(np.float32)
    rng = np.random.default_rng(0)
    p, q, r = rng.uniform(0, 3, 50), rng.uniform(0, 2, 50), rng.uniform(0, 4, 50)
    found = multilinear(table, (p, q, r))
    np.testing.assert_allclose(found[:, 0], 1 + p + 2 * q - r + p * q * r, rtol=1e-4)
    np.testing.assert_allclose(found[:, 1], p, rtol=1e-4, atol=1e-5)


def test_without_cloud_the_ground_shines_through_the_air():
    clear = reflect(stack(1), albedo=0.3)[0]
    assert clear[BAND[3.89]] == pytest.approx(0.3, abs=1e-6)  # no air at all in this band: gases are treated elsewhere
    assert clear[BAND[1.61]] == pytest.approx(0.3 * np.exp(-0.012 * (1 / 0.8 + 1 / 0.9)), rel=1e-4)
    black = reflect(stack(1), albedo=0.0)[0]
    # Rayleigh single scattering at 0.47 um: phase function 3/4 (1 + cos^2) with the scattering angle's cosine -0.72
    optical_depth, cosine = 0.185, -0.8 * 0.9
    single = optical_depth * 0.75 * (1 + cosine**2) / (4 * 0.8 * 0.9)
    assert single < black[BAND[0.47]] < 1.4 * single
    assert black[BAND[0.47]] > black[BAND[0.64]] > black[BAND[0.86]] > 0


@pytest.mark.parametrize("kind", ["liquid", "ice"])
def test_reflectance_grows_with_optical_depth_and_stays_in_range(kind):
    depths = np.array([0.0, 0.1, 0.5, 1, 3, 8, 20, 50, 120])
    found = reflect(stack(9, **{kind: depths}))
    assert np.all(np.diff(found[:, BAND[0.64]]) > 0)
    assert 0.85 < found[-1, BAND[0.64]] < 1.2
    assert np.all((found >= 0) & (found < 1.3))


def test_tiny_optical_depth_gives_the_clear_value():
    np.testing.assert_allclose(reflect(stack(1, ice=2e-4, top_hpa=1013.25)), reflect(stack(1)), atol=1e-3)


def test_ice_is_darker_than_liquid_in_the_near_infrared_at_equal_visible_brightness():
    depths = np.geomspace(0.5, 120, 60)
    liquid, ice = reflect(stack(60, liquid=depths)), reflect(stack(60, ice=depths))
    for visible in (0.5, 0.65, 0.8):
        for band in (1.61, 2.26, 3.89):
            droplets = np.interp(visible, liquid[:, BAND[0.64]], liquid[:, BAND[band]])
            crystals = np.interp(visible, ice[:, BAND[0.64]], ice[:, BAND[band]])
            assert crystals < 0.95 * droplets, (visible, band)
    assert ice[-1, BAND[3.89]] < 0.3 * liquid[-1, BAND[3.89]]


def test_larger_particles_absorb_more():
    for kind in ("liquid", "ice"):
        radii = (
            {"liquid_radius": np.array([6.0, 10.0, 16.0])}
            if kind == "liquid"
            else {"ice_radius": np.array([20.0, 35.0, 55.0])}
        )
        found = reflect(stack(3, **{kind: 30.0}, **radii))
        for band in (1.61, 2.26, 3.89):
            assert np.all(np.diff(found[:, BAND[band]]) < 0)
        assert np.ptp(found[:, BAND[0.64]]) < 0.06


def test_ice_hides_the_liquid_below_but_not_the_other_way_round():
    ice_above = reflect(stack(1, ice=30.0, lower=30.0))[0, BAND[1.61]]
    ice_alone = reflect(stack(1, ice=30.0))[0, BAND[1.61]]
    liquid_above = reflect(stack(1, liquid=30.0, ice=30.0))[0, BAND[1.61]]
    assert ice_above == pytest.approx(ice_alone, abs=0.05)
    assert liquid_above > ice_above + 0.1


def test_snow_is_bright_in_the_visible_and_dark_at_1_6_um():
    from cloudkeras.datasets.synthetic.surface import ALBEDO

    assert ALBEDO["snow"][2] > 0.8 > 0.2 > ALBEDO["snow"][4]


def test_energy_is_not_made_by_layers_over_a_bright_ground():
    found = reflect(stack(3, liquid=np.array([1.0, 10.0, 100.0])), albedo=0.9)
    assert np.all(found[:, BAND[0.64]] < 1.1)


def test_glint_is_at_the_mirror_direction():
    mirror = glint_reflectance(np.float32(0.8), np.float32(0.8), np.float32(180.0), 5.0)
    aside = glint_reflectance(np.float32(0.8), np.float32(0.8), np.float32(90.0), 5.0)
    back = glint_reflectance(np.float32(0.8), np.float32(0.8), np.float32(0.0), 5.0)
    assert mirror > 10 * aside
    assert mirror > 10 * back
    # Cox and Munk by hand: no tilt, incidence 36.87 degrees, variance 0.0286, Fresnel 0.0238 for n = 1.34
    assert mirror == pytest.approx(np.pi * 0.0238 / (np.pi * 0.0286) / (4 * 0.8 * 0.8), rel=0.03)


def test_daylight_ends_at_the_horizon():
    np.testing.assert_allclose(daylight(np.array([20.0, 84.0, 87.0, 90.0, 130.0])), [1, 1, 0.5, 0, 0])


def test_stack_sorts_droplets_around_the_ice():
    from cloudkeras.datasets.synthetic.clouds import CloudColumns

    liquid, ice = np.zeros((38, 1), np.float32), np.zeros((38, 1), np.float32)
    liquid[2], liquid[12], ice[8:12] = 5.0, 1.0, 0.5
    edges = np.linspace(1000, 50, 39)[:, None]
    shape = (38, 1)
    found = stack_clouds(
        CloudColumns(liquid, ice, np.full(shape, 10.0), np.full(shape, 30.0), np.zeros(shape), np.zeros(shape)), edges
    )
    assert (found.upper_liquid[0], found.ice[0], found.lower_liquid[0]) == (1.0, 2.0, 5.0)
    assert found.top_hpa[0] == edges[13, 0]  # level 12 holds the first optical depth of 0.5 from above


def test_a_missing_table_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="make_optics_table"):
        CloudOptics(tmp_path / "optics_table.nc")
