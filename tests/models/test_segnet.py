import pytest

from cloudkeras.errors import InputError
from cloudkeras.layers import MaxUnpool
from cloudkeras.models import build_segnet

from .contract import ModelContract


class TestSegNet(ModelContract):
    builder = staticmethod(build_segnet)
    arguments = {"filters": (4, 8)}  # noqa: RUF012
    factor = 4
    # encoder 0: 128 + 164; encoder 1: 328 + 616; decoder 1: 8 -> 8 -> 4: 616 + 308; decoder 0: 164 + 164; head: 15.
    parameters = 292 + 944 + 924 + 328 + 15


def test_indices_reach_the_decoder():
    model = build_segnet((16, 16, 3), 2, filters=(4, 8))
    unpools = [layer for layer in model.layers if isinstance(layer, MaxUnpool)]
    sources = [layer.input[1]._keras_history.operation.name for layer in unpools]
    assert sources == ["segnet_encoder1_pool", "segnet_encoder0_pool"]


def test_convolutions_are_counted():
    with pytest.raises(InputError, match=r"`convolutions` is a whole number of at least 1\. Received convolutions=0"):
        build_segnet(convolutions=0)
