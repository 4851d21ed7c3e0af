import inspect

import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import MODELS, get_builder

SHARED = ["input_shape", "num_classes", "levels", "filters", "dropout", "mc_dropout", "l2"]


@pytest.mark.parametrize("name", list(MODELS))
def test_shared_arguments_come_first_in_the_same_order(name):
    parameters = inspect.signature(get_builder(name)).parameters
    assert list(parameters)[: len(SHARED)] == SHARED
    assert list(parameters)[-1] == "name"
    assert parameters["name"].default == name
    assert all(p.default is not p.empty for p in parameters.values())
    assert all(parameters[p].kind is inspect.Parameter.KEYWORD_ONLY for p in list(parameters)[2:])


def test_unknown_model():
    names = "'deeplabv3plus', 'segnet', 'sgmagnet', 'unet', 'unet3plus', 'unet_plusplus'"
    with pytest.raises(InputError, match=f"`model` is one of {names}"):
        get_builder("resnet")
