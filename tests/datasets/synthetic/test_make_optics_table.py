"""The shipped table agrees with what its script computes now, at a few points."""

import numpy as np
import pytest

pytest.importorskip("miepython", reason="the table is made with the extra `optics`")
pytest.importorskip("PythonicDISORT", reason="the table is made with the extra `optics`")

import netCDF4

from cloudkeras.datasets.synthetic import make_optics_table as maker
from cloudkeras.datasets.synthetic.optics import TABLE

pytestmark = pytest.mark.filterwarnings("ignore:Some delta-scaled phase function Legendre coefficients:UserWarning")


def shipped(name):
    with netCDF4.Dataset(TABLE) as file:
        return np.asarray(file[name][...])


def test_mie_of_a_known_sphere():
    import miepython

    # Wiscombe 1979 (MIEV0 test cases): m = 1.33 - 1e-5 i, x = 100
    extinction, scattering, _, asymmetry = miepython.efficiencies_mx(1.33 - 1e-5j, 100.0)
    assert (extinction, scattering, asymmetry) == pytest.approx((2.101321, 2.096594, 0.868959), rel=1e-5)


def test_refractive_indices_at_the_knots():
    assert maker.refractive_index("liquid", 13.5) == pytest.approx(1.177 - 0.343j)
    assert maker.refractive_index("ice", 2.26) == pytest.approx(1.2573 - 2.078e-4j)


def test_absorption_sets_the_phases_apart():
    for wavelength, more in ((1.61, "ice"), (2.26, "liquid"), (3.89, "ice"), (11.24, "ice")):
        other = {"ice": "liquid", "liquid": "ice"}[more]
        assert maker.refractive_index(more, wavelength).imag < maker.refractive_index(other, wavelength).imag


@pytest.mark.parametrize(("row", "phase"), list(enumerate(maker.PHASES)))
def test_shipped_emission_is_what_the_script_computes(row, phase):
    band = maker.INFRARED_UM.index(11.24)
    absorption, opaque = maker.infrared_table((phase, maker.RADII_UM[phase][0], 11.24))
    np.testing.assert_allclose(shipped("infrared_absorption")[row, 0, :, band], absorption, rtol=1e-3)
    np.testing.assert_allclose(shipped("opaque_reflectance")[row, 0, :, band], opaque, atol=1e-4)


def test_shipped_reflectance_is_what_the_script_computes():
    radius = maker.RADII_UM["ice"][2]
    reference = maker.extinction_efficiency("ice", maker.REFERENCE_UM, radius)
    extinction, albedo, moments = maker.single_scattering("ice", 1.61, radius)
    layer = maker.layer_reflection(maker.OPTICAL_DEPTHS[5] * extinction / reference, albedo, moments)
    np.testing.assert_allclose(
        shipped("cloud_reflectance")[1, 2, 5, ..., 2], np.clip(layer["reflectance"], 0, 6.5), atol=2e-4
    )
    np.testing.assert_allclose(shipped("cloud_transmittance")[1, 2, 5, :, 2], layer["transmittance"], rtol=1e-4)


def test_layers_without_absorption_conserve_energy():
    moments = 0.8 ** np.arange(maker.MOMENTS + 1)
    layer = maker.layer_reflection(5.0, 1.0, moments)
    assert layer["diffuse_albedo"] + layer["diffuse_transmittance"] == pytest.approx(1.0, abs=1e-3)
