"""The builders on a second backend, in a process of its own, and the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys

import pytest

SCRIPT = """
import keras, numpy as np, sys
from cloudkeras.models import ENCODERS, MODELS
from tests.models.tiny_encoder import TINY
ENCODERS.update(TINY)
assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
rng = np.random.default_rng(0)
x = rng.normal(size=(2, 16, 16, 3)).astype("float32")
y = rng.integers(-1, 3, (2, 2, 16, 16)).astype("int32")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
for name, build in MODELS.items():
    small = {"volume_channels": 2, "scales": (1, 2)} if name == "sgmagnet" else {}
    small = {"encoder": "tiny"} if name == "deeplabv3plus" else small
    model = build((16, 16, 3), 3, levels=2, filters=(3, 4), dropout=0.2, mc_dropout=True, **small)
    model.compile("sgd", loss)
    assert np.isfinite(model.fit(x, y, batch_size=2, verbose=0).history["loss"]).all()
    first, second = model.predict(x, verbose=0), model.predict(x, verbose=0)
    assert first.shape == (2, 2, 16, 16, 3) and first.dtype == np.float32 and np.isfinite(first).all()
    assert not np.array_equal(first, second), "Monte Carlo dropout"
    model.save(f"{sys.argv[1]}/{name}.keras")
    again = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights()))
    print("done", name)
"""


def test_jax(tmp_path):
    pytest.importorskip("jax")
    # Unoptimized: most of the time would go into XLA's compilation otherwise.
    flags = "--xla_backend_optimization_level=0"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[1::2] == ["sgmagnet", "unet3plus", "unet", "unet_plusplus", "segnet", "deeplabv3plus"]


@pytest.mark.parametrize("name", ["sgmagnet", "unet3plus", "unet", "unet_plusplus", "segnet", "deeplabv3plus"])
def test_examples_in_the_docstrings(name):
    outcome = doctest.testmod(importlib.import_module(f"cloudkeras.models.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
