"""Learning rates: by hand, against Keras's own callback, and in a run that is killed and started again."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cloudkeras.training import RunConfig, load_run, monitoring, recipe, train

from .test_recipe import KILLER, state_arrays
from .tiny import tiny_config


def test_constant():
    config = RunConfig("d", schedule="constant", learning_rate=0.3, decay_epochs=(1,))
    assert [config.learning_rate_at(e) for e in (0, 7, 49)] == [0.3, 0.3, 0.3]


def test_cosine_restarts_by_hand():
    """Periods of 2, 4, 8 epochs: restarts at 2, 6 and 14; half-way the mean of both rates, in the end the least."""
    config = RunConfig(
        "d",
        schedule="cosine_restarts",
        learning_rate=1.0,
        minimum_learning_rate=0.2,
        restart_epochs=2,
        restart_growth=2,
    )
    assert [config.learning_rate_at(e) for e in (0, 2, 6, 14)] == [1.0, 1.0, 1.0, 1.0]
    assert [config.learning_rate_at(e) for e in (1, 4, 10)] == pytest.approx([0.6, 0.6, 0.6])
    assert config.learning_rate_at(5.999) == pytest.approx(0.2, abs=1e-5)
    assert config.learning_rate_at(0.5) == pytest.approx(0.2 + 0.4 * (1 + np.cos(np.pi / 4)))


def test_restarts_of_one_length():
    config = RunConfig("d", schedule="cosine_restarts", learning_rate=1.0, restart_epochs=3, restart_growth=1)
    assert [config.learning_rate_at(e) for e in (3, 6, 30)] == [1.0, 1.0, 1.0]
    assert config.learning_rate_at(7) == pytest.approx(config.learning_rate_at(1))


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(("patience", "cooldown", "min_delta"), [(1, 0, 0.0), (2, 1, 0.05), (3, 2, 0.3)])
def test_plateau_counts_as_keras_does(patience, cooldown, min_delta, maximize):
    values = np.random.default_rng(patience).normal(size=40).cumsum() * 0.2
    config = RunConfig(
        "d",
        schedule="plateau",
        monitor="val_score",
        monitor_mode="max" if maximize else "min",
        learning_rate=1.0,
        decay_factor=0.5,
        minimum_learning_rate=0.01,
        plateau_patience=patience,
        plateau_cooldown=cooldown,
        plateau_min_delta=min_delta,
    )
    optimizer = keras.optimizers.SGD(1.0)
    callback = keras.callbacks.ReduceLROnPlateau(
        "val_score",
        factor=0.5,
        patience=patience,
        mode=config.monitor_mode,
        min_delta=min_delta,
        cooldown=cooldown,
        min_lr=0.01,
    )
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    history: list[dict[str, float]] = []
    seen = set()
    for epoch, value in enumerate(values):
        assert config.learning_rate_at(epoch, history) == pytest.approx(float(optimizer.learning_rate), rel=1e-6)
        history.append({"val_score": float(value)})
        callback.on_epoch_end(epoch, {"val_score": float(value)})
        seen.add(float(optimizer.learning_rate))
    assert len(seen) > 2  # it did fall


def test_plateau_looks_only_at_the_epochs_before():
    config = RunConfig("d", schedule="plateau", monitor="val_mae", learning_rate=1.0, plateau_patience=1)
    history = [{"val_mae": 1.0}, {"val_mae": 2.0}, {"val_mae": 3.0}]
    assert [config.learning_rate_at(e, history) for e in (0, 1, 2, 3)] == pytest.approx([1.0, 1.0, 0.1, 0.01])


SCHEDULED = {
    # The error never betters by 100 dBZ: the rate falls after every epoch but the first.
    "plateau": {"schedule": "plateau", "plateau_patience": 1, "plateau_min_delta": 100.0, "decay_factor": 0.5},
    "cosine": {"schedule": "cosine_restarts", "restart_epochs": 1, "restart_growth": 2, "minimum_learning_rate": 1e-5},
}
# Cosine: restarts at epochs 1 and 3; epoch 2 is the middle of the period of two.
RATES = {"plateau": [3e-3, 3e-3, 1.5e-3, 7.5e-4], "cosine": [3e-3, 3e-3, (3e-3 + 1e-5) / 2, 3e-3]}


def killed(config: RunConfig, out: Path) -> None:
    """Trains in a process of its own that is killed in the third epoch."""
    file = out.parent / "config.json"
    file.write_text(json.dumps(config.to_dict()))
    command = [sys.executable, "-c", textwrap.dedent(KILLER), str(file), "in an epoch", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def interrupted(config: RunConfig, out: Path) -> None:
    """Trains here until the keyboard interrupts the third epoch."""

    class Interrupt(monitoring.FiniteCheck):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 2 and batch == 1:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe, "FiniteCheck", Interrupt)
        train(config, out)


@pytest.mark.parametrize(("name", "stop"), [("cosine", killed), ("plateau", interrupted)])
def test_a_stopped_run_goes_on_with_the_same_rates_and_ends_with_the_same_weights(name, stop, radar_shards, tmp_path):
    config = tiny_config(radar_shards, clipnorm=0.5, **SCHEDULED[name])
    whole, out = train(config, tmp_path / "whole"), tmp_path / "run"
    stop(config, out)
    assert load_run(out).progress.epoch == 2
    train(config, out)
    expected, found = state_arrays(whole.path), state_arrays(out)
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-6, err_msg=key)
    for folder in (whole.path, out):
        with (folder / "history.csv").open() as lines:
            rates = [float(row["learning_rate"]) for row in csv.DictReader(lines)]
        assert rates == pytest.approx(RATES[name])
