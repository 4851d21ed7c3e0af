"""`train`: the run folder, early stopping, resume after a kill, and what is refused."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.training import TrainingDivergedError, load_run, train

from .tiny import tiny_config, write_radar_shards


def weights(run) -> list[np.ndarray]:
    return run.model.get_weights()


def state_arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoints" / "state.npz") as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def test_the_run_folder_holds_everything(finished_run, radar_shards):
    folder = finished_run.path
    config = json.loads((folder / "config.json").read_text())
    assert config["loss"] == "masked_mae"
    assert Path(config["data"]) == radar_shards.resolve()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["epochs"] == 4
    assert summary["parameters"] == finished_run.model.count_params()
    session = json.loads((folder / "environment.json").read_text())["sessions"][0]
    assert session["backend"] == keras.backend.backend()
    assert session["simulated"] is True
    assert len(session["data_manifest_sha256"]) == 64
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    best = folder / "checkpoints" / finished_run.progress.best_file
    assert (folder / "model.keras").read_bytes() == best.read_bytes()
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == [best.name, "state.npz"]


def test_history_has_a_row_for_each_epoch_and_the_decayed_learning_rate(finished_run):
    with (finished_run.path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4])
    best = min(range(4), key=lambda i: float(rows[i]["val_mae"]))
    assert finished_run.progress.best_epoch == best + 1
    assert finished_run.progress.best_value == pytest.approx(float(rows[best]["val_mae"]))


def test_the_kept_model_has_the_score_of_the_best_epoch(finished_run, radar_shards):
    from cloudkeras.datasets import Batches, ShardDataset

    batches = Batches(ShardDataset.open(radar_shards), finished_run.task, "validation", 4)
    errors = []
    for x, y in batches:
        # Network values below -0.5 are "no echo", -60 dBZ; 90 dBZ are 1.5 units.
        error = np.abs(np.clip(finished_run(x), -0.5, 1) - np.clip(y, -0.5, 1)) * 60
        errors.append(error[np.isfinite(y)])
    assert np.concatenate(errors).mean() == pytest.approx(finished_run.progress.best_value, rel=1e-4)


def test_a_finished_run_is_not_repeated(finished_run, radar_shards):
    before = (finished_run.path / "environment.json").read_text()
    again = train(tiny_config(radar_shards), finished_run.path)
    assert (finished_run.path / "environment.json").read_text() == before
    assert again.progress == finished_run.progress


def test_another_configuration_in_the_folder_is_refused_with_the_keys(finished_run, radar_shards):
    with pytest.raises(
        InputError, match=r"another configuration \(learning_rate: 0.003 there, 0.1 now; seed: 0 there, 5"
    ):
        train(tiny_config(radar_shards, learning_rate=0.1, seed=5), finished_run.path)


def test_other_data_are_refused(finished_run, tmp_path):
    other = write_radar_shards(tmp_path / "other", {"train": 8, "validation": 4, "test": 4})
    with pytest.raises(InputError, match="run on other data"):
        train(tiny_config(other), finished_run.path)


def test_the_seed_decides_the_weights(finished_run, radar_shards, tmp_path):
    other = train(tiny_config(radar_shards, seed=1, epochs=1), tmp_path / "seed1")
    same = train(tiny_config(radar_shards, seed=1, epochs=1), tmp_path / "seed1-again")
    pairs = list(zip(weights(other), weights(same), strict=True))
    assert all(np.array_equal(a, b) for a, b in pairs)
    first = train(tiny_config(radar_shards, epochs=1), tmp_path / "seed0")
    assert not all(np.array_equal(a, b) for a, b in zip(weights(other), weights(first), strict=True))


KILLER = """
    import os, signal, sys, threading, time
    from pathlib import Path
    import numpy as np
    import cloudkeras.training.checkpoint as checkpoint
    import cloudkeras.training.monitoring as monitoring
    from cloudkeras.training import RunConfig, train

    where, out = sys.argv[2], sys.argv[3]
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
    saves = []

    if where == "in the state file":            # the third state is written by half
        whole = np.savez
        def half(file, **arrays):
            saves.append(1)
            if len(saves) == 3:
                file.write(b"PK half a file"); file.flush(); kill()
            whole(file, **arrays)
        checkpoint.np.savez = half
    elif where == "before model.keras":         # the state is there, what follows from it is not
        publish = monitoring.publish
        def late(folder, progress):
            kill() if progress.epoch == 2 else publish(folder, progress)
        monitoring.publish = late
    else:                                       # in the middle of the third epoch
        class Kill(monitoring.FiniteCheck):
            def on_train_batch_end(self, batch, logs=None):
                if self.epoch == 2 and batch == 1: kill()
        import cloudkeras.training.recipe as recipe
        recipe.FiniteCheck = Kill
    train(RunConfig.read(sys.argv[1]), out)
"""


@pytest.mark.parametrize("where", ["in an epoch", "in the state file", "before model.keras"])
def test_killed_and_started_again_gives_the_weights_of_an_uninterrupted_run(
    where, finished_run, radar_shards, tmp_path
):
    config, out = tmp_path / "config.json", tmp_path / "run"
    config.write_text(json.dumps(tiny_config(radar_shards).to_dict()))
    command = [sys.executable, "-c", textwrap.dedent(KILLER), str(config), where, str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (out / "summary.json").exists()
    assert load_run(out).progress.epoch == 2
    assert load_run(out).finished is False

    resumed = train(tiny_config(radar_shards), out)
    assert resumed.progress.epoch == 4
    whole, after = state_arrays(finished_run.path), state_arrays(out)
    assert whole.keys() == after.keys()
    for name in whole:
        np.testing.assert_allclose(after[name], whole[name], rtol=0, atol=1e-6, err_msg=name)
    for a, b in zip(weights(finished_run), weights(resumed), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-6)
    for row, expected in zip(resumed.progress.history, finished_run.progress.history, strict=True):
        assert {**row, "seconds": 0} == pytest.approx({**expected, "seconds": 0}, abs=1e-6)
    assert not list(out.rglob(".partial-*"))
    assert len(json.loads((out / "environment.json").read_text())["sessions"]) == 2


def test_early_stopping_fires_and_counts_across_a_resume(radar_shards, tmp_path):
    # A learning rate of almost nothing never betters its first epoch in the monitored *maximum* of the error.
    config = tiny_config(
        radar_shards, epochs=50, patience=3, learning_rate=1e-12, monitor="learning_rate", monitor_mode="max"
    )
    run = train(config, tmp_path / "run")
    assert (run.progress.best_epoch, run.progress.epoch) == (1, 4)
    assert json.loads((run.path / "summary.json").read_text())["stopped_early"] is True
    # Interrupted after the last epoch but before the summary: nothing is trained again.
    (run.path / "summary.json").unlink()
    assert train(config, run.path).progress.epoch == 4


def test_an_epoch_that_is_not_the_best_leaves_no_temporary_files(radar_shards, tmp_path):
    config = tiny_config(radar_shards, epochs=3, monitor="learning_rate", monitor_mode="max", decay_epochs=[1])
    run = train(config, tmp_path / "run")
    assert run.progress.best_epoch == 1
    assert not list(run.path.rglob(".partial-*"))


def test_a_training_that_diverges_says_so_and_keeps_no_state_of_it(radar_shards, tmp_path):
    config = tiny_config(radar_shards, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(TrainingDivergedError, match=r"diverged.*learning rate 1e\+30.*Try a lower `learning_rate`"):
        train(config, tmp_path / "run")
    with pytest.raises(InputError, match="no epoch is done yet"):
        _ = load_run(tmp_path / "run").model


def test_deep_supervision_trains_all_outputs(radar_shards, tmp_path):
    options = {"filters": [4, 8], "deep_supervision": True, "classification_guided": True}
    run = train(tiny_config(radar_shards, model="unet3plus", model_options=options, epochs=1), tmp_path / "run")
    row = run.progress.history[0]
    assert {"final_loss", "presence_loss", "aux_1_loss", "mae", "val_mae"} <= set(row)
    assert run(np.zeros((3, 16, 16, 2), np.float32)).shape == (3, 16, 16, 1)


def test_mixed_precision_keeps_a_float32_model(radar_shards, tmp_path):
    run = train(tiny_config(radar_shards, precision="mixed_bfloat16", epochs=1), tmp_path / "run")
    assert {layer.dtype_policy.name for layer in run.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet"}, "`model` is one of"),
        ({"model_options": {"filtres": [4, 8]}}, r"The model 'unet' has the options .*filters.*Received filtres\."),
        ({"loss_options": {"gamma": 1}}, "has the options .*Received gamma"),
        ({"model_options": {"filters": [4, 8], "levels": 5}}, r"needs? the output \(16, 16, 1\), .* gives \(5,"),
        ({"model": "sgmagnet", "model_options": {"filters": [4, 8, 16]}}, "does not fit the task 'blind_zone'"),
        ({"monitor": "val_f1"}, r"`monitor` is one of the logged values .*val_mae.*Received 'val_f1'"),
        ({"task": "cloud_phase", "task_options": {}}, r"task.*cloud_phase|cloud_phase.*task"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message, radar_shards, tmp_path):
    with pytest.raises(InputError, match=message):
        train(tiny_config(radar_shards, **changes), tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()


def test_two_processes_do_not_train_in_one_folder(radar_shards, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl,time; f=open({str(out / '.lock')!r},'w'); fcntl.flock(f,2); print(1,"
         "flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        holder.stdout.readline()
        with pytest.raises(InputError, match="another process is training in this folder"):
            train(tiny_config(radar_shards), out)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()


def test_progress_tells_loss_score_rate_and_time_left(radar_shards, tmp_path, caplog):
    with caplog.at_level("INFO", logger="cloudkeras"):
        train(tiny_config(radar_shards, epochs=2, limit_train_batches=1), tmp_path / "run")
    lines = [r.getMessage() for r in caplog.records]
    assert any("1 + 1 batches of 4 an epoch" in line for line in lines)
    epoch = next(line for line in lines if line.startswith("epoch 1/2"))
    for part in ("loss", "val_loss", "val_mae", "best", "lr 0.003", "s/epoch", "left"):
        assert part in epoch
    assert str(tmp_path / "run") in lines[-1]


def test_time_is_told_in_words():
    from cloudkeras.training.monitoring import format_duration

    assert [format_duration(s) for s in (5, 89, 600, 12000)] == ["5 s", "89 s", "10 min", "3 h 20 min"]


def test_training_starts_from_the_weights_of_another_run(finished_run, radar_shards, tmp_path):
    """With a learning rate of practically nothing, the weights stay those that it started from."""
    config = tiny_config(radar_shards, initial_weights=str(finished_run.path), learning_rate=1e-12, epochs=1)
    started = train(config, tmp_path / "fine")
    trainable = [v.numpy() for v in started.model.trainable_variables]
    for mine, theirs in zip(trainable, finished_run.model.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-8)


def test_initial_weights_of_another_architecture_or_none_at_all_are_refused(finished_run, radar_shards, tmp_path):
    config = tiny_config(radar_shards, initial_weights=str(finished_run.path), model_options={"filters": [2, 3]})
    with pytest.raises(InputError, match="expected the weights of the same architecture; found"):
        train(config, tmp_path / "other")
    with pytest.raises(InputError, match="`initial_weights` is a run folder with a model"):
        train(tiny_config(radar_shards, initial_weights=str(tmp_path / "none")), tmp_path / "none_there")


def test_fit_sees_the_batches_of_each_epoch_in_order_without_tensorflow_too(radar_shards):
    from cloudkeras.datasets import Batches, ShardDataset

    batches = Batches(
        ShardDataset.open(radar_shards), tiny_config(radar_shards).make_task(), "train", 4, shuffle=True, augment=True
    )
    expected = []
    for epoch in range(2, 5):
        batches.set_epoch(epoch)
        expected += [float(np.abs(x).sum()) for x, _ in batches]
    seen = []

    class Record(keras.layers.Layer):
        def call(self, x):
            with contextlib.suppress(Exception):  # Keras also calls it with symbols, which have no values
                seen.append(float(np.abs(keras.ops.convert_to_numpy(x)).sum()))
            return x[..., :1]

    inputs = keras.Input((16, 16, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(Record()(inputs)))
    model.compile(optimizer="sgd", loss=keras.losses.MeanSquaredError(), run_eagerly=True)
    batches.set_epoch(0)
    callbacks = [batches.epoch_callback()]
    model.fit(batches.as_pydataset(), initial_epoch=2, epochs=5, verbose=0, shuffle=False, callbacks=callbacks)
    np.testing.assert_allclose(seen[-9:], expected, rtol=1e-5)
