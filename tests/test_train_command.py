"""`cloudkeras train`: options become a configuration; mistakes are one line and exit code 2."""

from __future__ import annotations

import argparse
import json

import pytest

from cloudkeras.cli import main
from cloudkeras.commands import train as command
from cloudkeras.errors import InputError

from .training.tiny import tiny_config, write_radar_shards


def parse(*words):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.config_from(parser.parse_args(["--out", "run", *words]))


def test_options_become_a_configuration():
    config = parse(
        *("--data", "d", "--task", "blind_zone", "--model", "unet", "--epochs", "501", "--learning-rate", "5e-5"),
        *("--decay-epochs", "450", "475", "--no-augment", "--patience", "none", "--limit-train-batches", "3"),
        *("--set", "model.filters=[16,32]", "--set", "task.blind_rows=8", "--set", "model.upsampling=nearest"),
    )
    assert (config.task, config.model, config.epochs, config.learning_rate) == ("blind_zone", "unet", 501, 5e-5)
    assert config.decay_at == (450, 475)
    assert (config.augment, config.patience, config.limit_train_batches) == (False, None, 3)
    assert config.model_options == {"filters": [16, 32], "upsampling": "nearest"}
    assert config.task_options == {"blind_rows": 8}


def test_options_override_the_file(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"data": "d", "epochs": 7, "seed": 3, "model_options": {"filters": [4], "l2": 0}}))
    config = parse("--config", str(path), "--epochs", "9", "--set", "model.filters=[8]")
    assert (config.data, config.epochs, config.seed) == ("d", 9, 3)
    assert config.model_options == {"filters": [8], "l2": 0}


@pytest.mark.parametrize("item", ["filters=[1]", "model.filters", "optimizer.beta=1", "model.=3"])
def test_a_setting_of_another_form_is_refused(item):
    with pytest.raises(InputError, match=r"takes task\.NAME=VALUE, model\.NAME=VALUE or loss\.NAME=VALUE"):
        parse("--data", "d", "--set", item)


def test_the_command_trains_and_says_where_everything_is(tmp_path, capsys):
    shards = write_radar_shards(tmp_path / "shards")
    path = tmp_path / "c.json"
    path.write_text(json.dumps(tiny_config(shards, epochs=1).to_dict()))
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr()
    assert str(tmp_path / "run" / "model.keras") in shown.out
    assert "cloudkeras evaluate" in shown.out
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "run"), "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert "another configuration (seed: 0 there, 1 now)" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--epochs", "3"], "needs `data`"),
        (["--data", "d", "--epochs", "0"], "`epochs` is at least 1"),
        (["--config", "absent.json"], "absent.json"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", "run", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("cloudkeras: ")
    assert not (tmp_path / "run").exists()
