"""Published set-ups: complete, buildable, and what is given explicitly comes first."""

from __future__ import annotations

import argparse
import json

import pytest

from cloudkeras.cli import main
from cloudkeras.commands import train as command
from cloudkeras.errors import InputError
from cloudkeras.training import RunConfig
from cloudkeras.training.assembly import build_model
from cloudkeras.training.presets import NOTES, PRESETS, preset

from .tiny import write_radar_shards


def parse(*words):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.config_from(parser.parse_args(["--out", "run", "--data", "d", *words]))


def test_king2024_as_published():
    """Filters 32 * 2^i at depth 4, Adam 5e-5, L2 1e-5, dropout 0.2, batch 16, 501 epochs, x 0.1 at 450 and 475."""
    config = parse("--preset", "king2024").resolved()
    assert (config.model, config.loss, config.optimizer) == ("unet3plus", "masked_mae", "adam")
    assert config.model_options["filters"] == [32 * 2**i for i in range(5)]
    assert (config.learning_rate, config.l2, config.dropout, config.batch_size) == (5e-5, 1e-5, 0.2, 16)
    assert (config.epochs, config.patience, config.monitor) == (501, 20, "val_mae")
    rates = [config.learning_rate_at(e) for e in (449, 450, 475)]
    assert rates == pytest.approx([5e-5, 5e-6, 5e-7])
    task = config.make_task()
    assert (task.blind_rows, task.ramp_rows, task.channel_names()) == (16, (1, 9), ("reflectivity", "blind_zone_mask"))
    assert len(parse("--preset", "king2024_era5").make_task().channel_names()) == 6
    assert parse("--preset", "king2024_era5").make_task().keep_context


@pytest.mark.parametrize(("name", "parameters"), [("king2024", 6_764_165), ("geiss2021", 6_995_017)])
def test_the_nets_are_those_of_the_papers(name, parameters):
    """6,764,165: published. 6,995,017: the 6,998,875 for 4 channels in and 3 out, less 2 channels in and 2 out.

    A channel of the input is seen by node (0, 0) and, handed on at full resolution, by the nodes (0, 1) ... (0, 6),
    9 * 8 weights each; by the last convolution, 9 * 56; and, pooled, by (1, 0) ... (1, 5), 9 * 16 each. A channel of
    the output has 56 weights and a bias. So 2 * (7 * 72 + 504 + 6 * 144) + 2 * 57 = 3,858 less.
    """
    config = parse("--preset", name).resolved()
    task = config.make_task()
    model = build_model(config, task, (128, 128, len(task.channel_names())))
    assert model.count_params() == parameters
    draws = [getattr(layer, "always_on", False) for layer in model.layers]
    assert any(draws) == (name == "king2024")


def test_what_is_given_comes_first(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"epochs": 7, "batch_size": 2, "task_options": {"blind_rows": 10}}))
    config = parse(
        *("--preset", "king2024", "--config", str(path), "--epochs", "9", "--patience", "none"),
        *("--set", "model.filters=[4,8]", "--set", "task.ramp_rows=[0,0]"),
    )
    assert (config.epochs, config.batch_size, config.patience, config.learning_rate) == (9, 2, None, 5e-5)
    assert config.model_options == {**PRESETS["king2024"]["model_options"], "filters": [4, 8]}
    assert (config.task_options["blind_rows"], config.task_options["ramp_rows"]) == (10, [0, 0])
    assert PRESETS["king2024"]["model_options"]["filters"] == [32, 64, 128, 256, 512]


def test_another_model_is_trained_in_the_same_way():
    config = parse("--preset", "king2024", "--model", "unet")
    assert config.model == "unet" and config.learning_rate == 5e-5
    assert config.model_options == {
        "filters": [32, 64, 128, 256, 512],
        "upsampling": "bilinear",
        "mc_dropout": True,
    }


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meltwaterbench", 31_055_873),  # by hand in tests/models/test_unet.py
        # The encoder's share is Xception without its classifier, 20,861,480, and 3 x 3 x 1 x 32 for the fourth band.
        ("meltwaterbench_encoder", 20_861_768 + 8_753_441),
        ("meltwaterbench_deeplabv3plus", 20_861_768 + 3_196_513),
    ],
)
def test_meltwaterbench_nets_fit_its_crops(name, parameters):
    config = parse("--preset", name, *(["--set", "model.encoder_weights=null"] if "_" in name else [])).resolved()
    task = config.make_task()
    assert (config.clipnorm, config.optimizer, config.loss, config.monitor) == (1.0, "adam", "masked_mae", "val_mae")
    assert task.channel_names() == (
        "brightness_temperature_smooth",
        "liquid_water_smooth",
        "sar_mean",
        "surface_altitude",
    )
    model = build_model(config, task, (*task.crop, 4))
    assert model.count_params() == parameters


def test_cosine_of_meltwaterbench_ends_at_its_least():
    config = parse("--preset", "meltwaterbench_deeplabv3plus")
    assert [config.learning_rate_at(e) for e in (0, 35, 105, 245, 525)] == pytest.approx([1e-3] * 5)
    assert config.learning_rate_at(1084.99) < 1e-9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "king"], "`preset` is one of 'geiss2021', 'king2024', 'king2024_era5', .*Received preset='king'"),
        (["--preset", "king2024", "--task", "cloud_phase"], "is for the task 'blind_zone'"),
        (["--preset", "king2024", "--model", "resnet"], "`model` is one of"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(InputError, match=message):
        parse(*words)


def test_each_preset_says_what_it_holds(capsys):
    assert set(NOTES) == set(PRESETS)
    for name in PRESETS:
        config = RunConfig.from_dict({"data": "d", **preset(name)}).resolved()
        assert config.task == ("meltwater" if name.startswith("melt") else "blind_zone")
        assert config.task_options.get("blind_rows", 16) == 16
    with pytest.raises(SystemExit) as ended:
        main(["train", "--preset", "list"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PRESETS)
    assert "decay_epochs   [450, 475]" in shown
    assert max(map(len, shown.splitlines())) <= 112


def test_a_run_keeps_the_preset_written_out(tmp_path, capsys):
    shards = write_radar_shards(tmp_path / "shards")
    words = ["--preset", "geiss2021", "--data", str(shards), "--out", str(tmp_path / "run"), "--epochs", "1"]
    words += ["--set", "model.filters=[2,4]", "--set", "task.blind_rows=4", "--set", "task.train_blind_rows=[2,6]"]
    assert main(["train", *words]) == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["model_options"]["connections"] == "dense" and stored["learning_rate"] == 5e-4
    assert stored["task_options"]["train_blind_rows"] == [2, 6] and stored["monitor"] == "val_mae"
    assert main(["train", *words]) == 0  # the same command again finds it finished
    capsys.readouterr()
    scores = tmp_path / "scores"
    evaluate = ["evaluate", str(tmp_path / "run"), "--data", str(shards), "--out", str(scores), "--bootstrap", "0"]
    assert main([*evaluate, "--set", "task.blind_rows=3"]) == 0
    judged = json.loads((scores / "scores.json").read_text())
    assert judged["task_options"]["blind_rows"] == 3
    assert "run" in judged["ranking"]
    assert main([*evaluate, "--set", "task.blind_rows=7"]) == 2
    assert "`train_blind_rows` counts at least 1 row and covers `blind_rows`" in capsys.readouterr().err
