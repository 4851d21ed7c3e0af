"""Training works on a machine that has no TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import sys

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow" or name.startswith("tensorflow."):
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

sys.meta_path.insert(0, NoTensorFlow())
import numpy as np
from pathlib import Path
from cloudkeras import Batches, ShardDataset, evaluate, get_task
from cloudkeras.datasets.synthetic import simulate
from cloudkeras.training import RunConfig, load_run, train

out = Path(sys.argv[1])
data = simulate("blind_zone", out / "data", samples=8, size=32, seed=3)
config = RunConfig(
    task="blind_zone", data=str(data), model="unet", model_options={"filters": [4, 8]}, epochs=1, batch_size=4
)
run = train(config, out / "run")
outputs = load_run(out / "run")(np.zeros((2, 32, 32, 2), np.float32))
assert outputs.shape == (2, 32, 32, 1) and np.isfinite(outputs).all()
scores = evaluate(get_task("blind_zone"), ShardDataset.open(data), [run], bootstrap=10)
assert run.name in scores.to_markdown()
assert "tensorflow" not in sys.modules
"""


def test_simulate_train_and_evaluate_on_jax_without_tensorflow(tmp_path):
    # Compiling without XLA's optimization is far quicker, and speed is not what is tested.
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
