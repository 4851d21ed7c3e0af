import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.explain import make_objective
from cloudkeras.tasks import get_task


def value_of(objective, outputs, inputs=None):
    tensors = [keras.ops.convert_to_tensor(np.asarray(a, np.float32)) for a in (outputs, objective.weights)]
    inputs = None if inputs is None else keras.ops.convert_to_tensor(np.asarray(inputs, np.float32))
    return keras.ops.convert_to_numpy(objective(tensors[0], inputs, tensors[1]))


def test_one_class_at_a_level_over_a_region():
    rng = np.random.default_rng(0)
    outputs, mask = rng.normal(size=(2, 38, 4, 5, 4)), rng.random((4, 5)) < 0.5
    objective = make_objective(outputs.shape[1:], task=get_task("cloud_phase"), region=mask, level=12, channel="ice")
    np.testing.assert_allclose(value_of(objective, outputs), outputs[:, 12, mask, 1].mean(axis=1), rtol=1e-5)
    assert objective.name == "mean ice at level 12"
    everywhere = make_objective(outputs.shape[1:], task=get_task("cloud_phase"), channel="3")
    np.testing.assert_allclose(value_of(everywhere, outputs), outputs[..., 3].mean(axis=(1, 2, 3)), rtol=1e-4)


def test_regions_by_sample_and_by_level():
    rng = np.random.default_rng(0)
    outputs, mask = rng.normal(size=(2, 3, 4, 5, 1)), rng.random((2, 3, 4, 5)) < 0.5
    objective = make_objective(outputs.shape[1:], region=mask, region_name="labelled")
    expected = [outputs[i, ..., 0][mask[i]].mean() for i in range(2)]
    np.testing.assert_allclose(value_of(objective, outputs), expected, rtol=1e-5)
    assert objective.name == "mean output, labelled"


def test_decoded_values_are_in_physical_units():
    """0.25 in the network's space is -15 dBZ."""
    task = get_task("blind_zone", blind_rows=2)
    fields = task.prepare({"reflectivity": np.full((1, 12, 3), -60, np.float32)})
    x = task.network_inputs(fields, {})
    objective = make_objective((12, 3, 1), task=task, region=fields["blind_zone_mask"] >= 1, space="decoded")
    np.testing.assert_allclose(value_of(objective, np.full((1, 12, 3, 1), 0.25), x), [-15], rtol=1e-5)
    assert objective.unit == "dBZ"
    probability = make_objective((2, 3, 3, 4), task=get_task("cloud_phase"), channel="clear", space="decoded")
    np.testing.assert_allclose(value_of(probability, np.zeros((1, 2, 3, 3, 4))), [0.25], rtol=1e-5)


@pytest.mark.parametrize(
    "options,message",
    [
        ({"channel": "rain"}, "`channel` is one of clear, ice, mixed, liquid. Received channel='rain'"),
        ({}, "`channel` is one of clear, ice, mixed, liquid. Received channel=None"),
        ({"channel": 4}, "`channel` is one of clear, ice, mixed, liquid. Received channel=4"),
        ({"channel": "ice", "level": 38}, r"`level` is one of 0\.\.37. Received level=38"),
        ({"channel": "ice", "region": np.ones((4, 6))}, r"`region` has the shape \(4, 5\) or \(38, 4, 5\)"),
        ({"channel": "ice", "region": np.zeros((4, 5))}, "`region` holds at least one pixel of each sample"),
        ({"channel": "ice", "region": np.full((4, 5), np.nan)}, "`region` is finite and not negative"),
        ({"channel": "ice", "space": "dBZ"}, "`space` is one of 'network', 'decoded'"),
    ],
)
def test_wrong_objectives(options, message):
    with pytest.raises(InputError, match=message):
        make_objective((38, 4, 5, 4), task=get_task("cloud_phase"), **options)


def test_what_an_image_has_not():
    with pytest.raises(InputError, match="`level` is for volumes"):
        make_objective((4, 5, 1), level=0)
    with pytest.raises(InputError, match='The space "decoded" needs a `task`'):
        make_objective((4, 5, 1), space="decoded")
