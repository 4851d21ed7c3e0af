import dataclasses
import logging

import numpy as np
import pytest

from cloudkeras.datasets import DatasetWriter
from cloudkeras.errors import DataError, InputError
from cloudkeras.explain import retrain_subsets
from cloudkeras.explain.retraining import run_name, subset_name
from cloudkeras.tasks import get_task

from ..training.tiny import BLIND_ROWS, COLUMNS, ROWS, sample_table, tiny_config

PLAYERS = {"t": ("temperature",), "wind": ("eastward_wind", "northward_wind")}
CHANNELS = ("temperature", "eastward_wind", "northward_wind")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Curtains with noise for context."""
    folder = tmp_path_factory.mktemp("retraining") / "shards"
    rng, shape = np.random.default_rng(0), (4, ROWS, COLUMNS)
    task = get_task("blind_zone", blind_rows=BLIND_ROWS, context=CHANNELS)
    with DatasetWriter(folder, task, provenance={"source": "test"}, simulated=True, gap_seconds=0.0) as writer:
        for day, split in enumerate(("train", "validation", "test")):
            fields = {"reflectivity": rng.uniform(-30, 10, shape), "temperature": rng.uniform(200, 290, shape)}
            fields |= {name: rng.uniform(-9, 9, shape) for name in CHANNELS[1:]}
            table = sample_table(split, day, 4)
            writer.add(split, {name: values.astype(np.float32) for name, values in fields.items()}, table)
    return tiny_config(folder, epochs=1, dropout=0.0)


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("retrained") / "out"
    return out, *retrain_subsets(config, out, players=PLAYERS, bootstrap=40, group_by="sample")


def test_a_run_for_each_subset_with_its_channels(trained):
    out, _, scores = trained
    folders = sorted(path.name for path in (out / "runs").iterdir())
    assert folders == ["none-seed0", "t+wind-seed0", "t-seed0", "wind-seed0"] == sorted(scores.statistics)
    options = scores.task_options
    assert options["context"] == list(CHANNELS) and scores.num_samples == 4


def test_values_are_those_of_two_players_by_hand(trained):
    """For two: half of what it brings alone, half of what it brings to the other; the MAE is better if smaller."""
    _, found, scores = trained
    mae = {name.rpartition("-")[0]: values["mae"] for name, values in scores.values.items()}
    expected = ((mae["none"] - mae["t"]) + (mae["wind"] - mae["t+wind"])) / 2
    assert found.values["t"].value == pytest.approx(expected)
    assert sum(v.value for v in found.values.values()) == pytest.approx(mae["none"] - mae["t+wind"])
    assert found.scores["t"].value == pytest.approx(mae["t"]) and next(iter(found.scores)) == "none"
    assert found.values["t"].low <= found.values["t"].value <= found.values["t"].high
    assert found.by_seed["t"] == pytest.approx([expected]) and found.method == "shapley"


def test_the_same_call_trains_nothing_again(trained, config, caplog):
    out, first, _ = trained
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*/model.keras")}
    with caplog.at_level(logging.INFO, "cloudkeras"):
        again, _ = retrain_subsets(config, out, players=PLAYERS, bootstrap=40, group_by="sample")
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(before) == 4
    assert again.to_dict()["importance"] == first.to_dict()["importance"]
    assert "run 4 of 4: t+wind-seed0 is there" in caplog.text


def test_names():
    assert subset_name(frozenset({"v", "t"}), ("t", "q", "u", "v")) == "t+v"
    assert run_name(frozenset(), ("t",), 3) == "none-seed3"


@pytest.mark.parametrize(
    "changes,options,message",
    [
        ({"task": "cloud_phase", "task_options": {}}, {}, "For the task 'cloud_phase' name the option"),
        ({}, {"option": "blind_rows"}, "`option` is one of 'context'"),
        ({}, {"players": {"a": ("temperature",), "b": ("temperature",)}}, "each channel one player"),
        ({}, {"players": {"p": ("pressure",)}}, "`context` is true, false, or a list of different names"),
        ({}, {"seeds": (1, 1)}, "`seeds` are different numbers"),
        ({"initial_weights": "run"}, {}, "cannot start from `initial_weights`"),
    ],
)
def test_wrong_choices_are_refused_before_any_training(config, tmp_path, changes, options, message):
    with pytest.raises(InputError, match=message):
        retrain_subsets(dataclasses.replace(config, **changes), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_variable_that_the_shards_lack_is_found_before_any_training(config, tmp_path):
    with pytest.raises(DataError, match="specific_humidity"):
        retrain_subsets(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
