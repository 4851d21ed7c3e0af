"""`RunConfig`: JSON both ways, defaults of the task, the step decay, and what is refused."""

from __future__ import annotations

import json

import pytest

from cloudkeras.errors import InputError
from cloudkeras.training import RunConfig


def test_json_both_ways_gives_an_equal_configuration(tmp_path):
    config = RunConfig(
        "d", model_options={"filters": (4, 8)}, decay_epochs=(0.5, 7), patience=None, limit_train_batches=3
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    assert RunConfig.read(path) == config
    assert config.model_options == {"filters": [4, 8]}


def test_resolved_writes_the_task_defaults_and_keeps_what_was_given():
    phase = RunConfig("d", loss="focal").resolved()
    assert (phase.model, phase.loss, phase.class_weights, phase.monitor) == (
        "sgmagnet",
        "focal",
        "inverse_sqrt",
        "val_macro_f1",
    )
    radar = RunConfig("d", task="blind_zone").resolved()
    assert (radar.model, radar.loss, radar.monitor) == ("unet3plus", "masked_mae", "val_mae")
    assert radar.task_options["blind_rows"] == 16
    assert radar.resolved() == radar


def test_published_decay_at_450_and_475_of_501():
    config = RunConfig("d", epochs=501, decay_epochs=(450, 475), learning_rate=5e-5)
    rates = [config.learning_rate_at(e) for e in (0, 449, 450, 474, 475, 500)]
    assert rates == pytest.approx([5e-5, 5e-5, 5e-6, 5e-6, 5e-7, 5e-7])


def test_fractional_decay_counts_from_the_number_of_epochs():
    config = RunConfig("d", epochs=40, decay_epochs=(0.5, 0.75), decay_factor=0.5, learning_rate=1.0)
    assert config.decay_at == (20, 30)
    assert [config.learning_rate_at(e) for e in (19, 20, 29, 30)] == [1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize(
    ("monitor", "mode", "maximize"),
    [
        ("val_macro_f1", "auto", True),
        ("val_mae", "auto", False),
        ("val_loss", "auto", False),
        ("val_mae", "max", True),
        ("val_macro_f1", "min", False),
    ],
)
def test_direction_of_the_monitor(monitor, mode, maximize):
    assert RunConfig("d", monitor=monitor, monitor_mode=mode).maximize is maximize


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"`epochs` is at least 1.*epochs=0"),
        ({"epochs": 2.5}, "`epochs` is a whole number"),
        ({"epochs": True}, "`epochs` is a whole number"),
        ({"learning_rate": -1e-3}, "`learning_rate` is above 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` is a finite number"),
        ({"learning_rate": "fast"}, "`learning_rate` is a finite number"),
        ({"dropout": 1.0}, r"`dropout` is in \[0, 1\)"),
        ({"decay_epochs": (2.5,)}, "`decay_epochs` are whole epochs from 1, or fractions"),
        ({"decay_epochs": (-1,)}, "`decay_epochs` are whole epochs"),
        ({"optimizer": "adagrad"}, "`optimizer` is one of 'adam', 'sgd', 'rmsprop'"),
        ({"precision": "float16"}, "`precision` is one of"),
        ({"class_weights": "inverse"}, "`class_weights` is one of"),
        ({"model_options": [1]}, "`model_options` is an object"),
        ({"patience": 0}, "`patience` is at least 1, or null"),
        ({"seed": -1}, "`seed` is in"),
        ({"augment": 1}, "`augment` is true or false"),
        ({"schedule": "cosine"}, "`schedule` is one of 'step', 'cosine_restarts', 'plateau', 'constant'"),
        ({"restart_epochs": 0}, "`restart_epochs` is at least 1"),
        ({"restart_growth": 1.5}, "`restart_growth` is a whole number"),
        ({"plateau_patience": 0}, "`plateau_patience` is at least 1"),
        ({"plateau_min_delta": -0.1}, "`plateau_min_delta` is 0 or more"),
        ({"plateau_cooldown": -1}, "`plateau_cooldown` is 0 or more"),
        ({"minimum_learning_rate": 0.1}, r"`minimum_learning_rate` is from 0 to `learning_rate`.*learning_rate=0.001"),
        ({"schedule": "plateau", "decay_factor": 1.0}, "`decay_factor` is below 1 with the schedule 'plateau'"),
        ({"clipnorm": 0.0}, "`clipnorm` is above 0, or null"),
        ({"clipnorm": "1"}, "`clipnorm` is a finite number or null"),
    ],
)
def test_what_is_not_valid_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        RunConfig("d", **changes)


def test_unknown_keys_and_missing_data_are_named():
    with pytest.raises(InputError, match=r"Received also learning_rte\."):
        RunConfig.from_dict({"data": "d", "learning_rte": 1e-3})
    with pytest.raises(InputError, match="needs `data`"):
        RunConfig.from_dict({"epochs": 3})


@pytest.mark.parametrize(("text", "message"), [("[1]", "found list"), ("{", "expected a JSON object")])
def test_a_file_that_is_no_json_object(tmp_path, text, message):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"c\.json.*{message}"):
        RunConfig.read(path)


def test_differences_name_both_values_and_leave_out_where_the_data_lie():
    differences = RunConfig("a", epochs=3).differences(RunConfig("b", epochs=4, name="x"))
    assert differences == {"epochs": (3, 4)}
