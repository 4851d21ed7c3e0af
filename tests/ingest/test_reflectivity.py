import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.ingest.reflectivity import reflectivity_from_iwc


@pytest.mark.parametrize(
    "frequency,relation", [(94.0, (0.00058, 0.0923, -0.00706, -0.992)), (35.5, (0.000242, 0.0699, -0.0186, -1.63))]
)
def test_inverts_the_published_relation(frequency, relation):
    zt, z, t, c = relation
    dbz, celsius = np.meshgrid([-40.0, -10.0, 0.0, 15.0], [-50.0, -20.0, -1.0])
    iwc = 1e-3 * 10 ** (zt * dbz * celsius + z * dbz + t * celsius + c)
    np.testing.assert_allclose(reflectivity_from_iwc(iwc, celsius + 273.15, frequency), dbz, atol=1e-4)


def test_a_case_worked_by_hand():
    # 1e-5 kg m-3 = 0.01 g m-3 at -20 C: (-2 - 0.1412 + 0.992) / (-0.0116 + 0.0923) = -14.241
    assert reflectivity_from_iwc(np.array([1e-5]), np.array([253.15]))[0] == pytest.approx(-14.241, abs=1e-3)


def test_no_echo_missing_and_faint_echo_stay_apart():
    iwc = np.array([0.0, np.nan, 1e-30, 1e-5, 1e-5])
    temperature = np.array([250.0, 250.0, 250.0, np.nan, 290.0])
    dbz = reflectivity_from_iwc(iwc, temperature)
    assert dbz[0] == -60 and np.isnan(dbz[[1, 3]]).all() and dbz.dtype == np.float32
    assert dbz[2] == pytest.approx(-59.9)  # an echo, however faint, is no "no echo"
    assert dbz[4] == reflectivity_from_iwc(iwc[4:], np.array([273.15]))[0]  # the relation is for ice


def test_unknown_frequency():
    with pytest.raises(InputError, match=r"about 35 or 94.*frequency_ghz=10"):
        reflectivity_from_iwc(np.ones(1), np.full(1, 250.0), 10)
