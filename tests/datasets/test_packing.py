import numpy as np
import pytest

from cloudkeras.datasets.packing import pack, unpack
from cloudkeras.datasets.schema import Packing, Variable
from cloudkeras.errors import InputError
from cloudkeras.tasks.blind_zone import REFLECTIVITY
from cloudkeras.tasks.cloud_phase import BRIGHTNESS_TEMPERATURE, PHASE, PROFILE_Y, REFLECTANCE

HUMIDITY = Variable("q", ("sample",), "1", (0.0, 0.05), Packing("f4", fill=9e36), "humidity")


def test_rounds_to_the_nearest_step():
    # step 0.01 K, offset 273.15 K: 273.166 is 1.6 steps, 273.154 is 0.4, 130.0 is -14315
    packed = pack(BRIGHTNESS_TEMPERATURE, np.array([273.166, 273.154, 130.0, np.nan]))
    assert packed.dtype == np.int16
    assert packed.tolist() == [2, 0, -14315, -32768]


@pytest.mark.parametrize("variable", [REFLECTANCE, BRIGHTNESS_TEMPERATURE, REFLECTIVITY])
def test_whole_range_survives_to_half_a_step(variable):
    values = np.linspace(*variable.valid_range, 5001, dtype=np.float32)
    values[7] = np.nan
    back = unpack(pack(variable, values), variable.packing)
    assert back.dtype == np.float32
    assert np.isnan(back[7]) and np.isnan(back).sum() == 1
    assert np.nanmax(np.abs(back - values)) <= 0.5001 * variable.packing.scale_factor + 2e-5


def test_no_echo_is_exact():
    assert unpack(pack(REFLECTIVITY, np.array([-60.0])), REFLECTIVITY.packing)[0] == np.float32(-60)


def test_classes_stay_integers_and_missing_stays_minus_one():
    packed = pack(PHASE, np.array([-1, 0, 3]))
    assert packed.dtype == np.int8 and packed.tolist() == [-1, 0, 3]
    assert unpack(packed, PHASE.packing).tolist() == [-1, 0, 3]


def test_classes_given_as_floats_with_nan_are_taken():
    assert pack(PHASE, np.array([np.nan, 2.0])).tolist() == [-1, 2]


def test_floats_keep_their_value_and_missing_is_the_fill_value():
    packed = pack(HUMIDITY, np.array([0.01, np.nan], np.float32))
    assert packed[0] == np.float32(0.01) and packed[1] == np.float32(9e36)
    assert np.isnan(unpack(packed, HUMIDITY.packing)[1])


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (REFLECTANCE, 50.0, r"'reflectance' lies within -0.05 and 2 \(unit '1'\). Received 50.0 at \(1,\) of \(2,\)"),
        (BRIGHTNESS_TEMPERATURE, -20.0, r"'brightness_temperature' lies within 130 and 450 \(unit 'K'\)"),
        (REFLECTANCE, np.inf, "Received inf"),
        (HUMIDITY, 5.0, "'q' lies within 0 and 0.05"),
        (PHASE, 4, "'phase' lies within 0 and 3"),
        (PHASE, 1.5, "'phase' holds whole numbers"),
        (PROFILE_Y, np.nan, r"'profile_y' may not be missing .* Received NaN at \(1,\)"),
        (PROFILE_Y, -2, "'profile_y' lies within -1"),
    ],
)
def test_a_bad_value_is_refused_not_clipped(variable, value, message):
    good = variable.valid_range[1]
    with pytest.raises(InputError, match=message):
        pack(variable, np.array([good, value]))


def test_text_is_refused():
    with pytest.raises(InputError, match="'reflectance' is numeric"):
        pack(REFLECTANCE, np.array(["bright"]))
