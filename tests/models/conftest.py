from __future__ import annotations

import keras
import pytest


@pytest.fixture
def precision(request):
    """Sets the global precision policy for one test."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)
