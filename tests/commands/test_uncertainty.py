"""`cloudkeras uncertainty` and `cloudkeras evaluate --point` on runs so small that they take seconds."""

from __future__ import annotations

import json

import pytest

from cloudkeras.cli import main
from cloudkeras.evaluation import Scores
from cloudkeras.training import load_run, train
from cloudkeras.uncertainty import Calibration, calibration_of
from tests.training.tiny import tiny_config, write_radar_shards

# Keras hands its variables to NumPy 2 the old way when it saves a model (keras/src/saving/saving_lib.py).
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture(scope="module")
def radar(tmp_path_factory):
    return write_radar_shards(tmp_path_factory.mktemp("radar") / "data", {"train": 4, "validation": 6, "test": 4})


@pytest.fixture(scope="module")
def runs(radar, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = {"filters": [4, 8], "mc_dropout": True}
    train(tiny_config(radar, epochs=1, model_options=options), folder / "dropout")
    train(tiny_config(radar, epochs=1, dropout=0.0, seed=1), folder / "plain")
    return folder


def test_calibrates_scores_and_draws(radar, runs, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["uncertainty", runs / "dropout", runs / "plain", "--data", radar, "--out", out, "--members", 20]
    assert main([str(a) for a in (*arguments, "--ensemble", "--bootstrap", 20)]) == 0
    printed = capsys.readouterr().out
    assert "kept in" in printed and "coverage_90" in printed and "SIMULATED" in printed
    scores = Scores.load(out)
    assert scores.kind == "members"
    learned = {name for name in scores.methods if name not in scores.baselines}
    names = ("dropout", "plain", "deep_ensemble")
    assert learned == {*names, *(f"{name}, calibrated" for name in names)}
    assert scores.values["plain"]["spread"] == 0 < scores.values["dropout"]["spread"]
    for name in names:
        calibrated = scores.values[f"{name}, calibrated"]
        assert calibrated["coverage_90"] > max(0.75, scores.values[name]["coverage_90"])
        assert calibrated["crps"] < scores.values[name]["crps"]
    assert "repeat, dressed" in scores.baselines and "all_clear" in scores.baselines
    assert ("all_echo, dressed" in scores.methods) != ("all_clear, dressed" in scores.methods)
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures >= {"risk_coverage.png", "rank_histogram.png", "spread_error.png", "interval_coverage.png"}
    assert json.loads((runs / "dropout" / "calibration.json").read_text())["members"] == 20
    assert isinstance(calibration_of(load_run(runs / "plain")), Calibration)
    assert (out / "deep_ensemble" / "calibration.json").is_file()
    evaluate_by_members(radar, runs, tmp_path)


def evaluate_by_members(radar, runs, tmp_path):
    """The point scores of one pass, of the median, and of the recalibrated median stand on the same pixels."""
    found = {}
    for name, options in {
        "pass": [],
        "median": ["--point", "median", "--no-calibrated"],
        "calibrated": ["--point", "median", "--members", "10"],
    }.items():
        arguments = ["evaluate", str(runs / "dropout"), "--data", str(radar), "--out", str(tmp_path / name)]
        assert main([*arguments, "--bootstrap", "0", *options]) == 0
        found[name] = Scores.load(tmp_path / name).values
    assert len({values["dropout"]["pixels"] for values in found.values()}) == 1
    assert found["calibrated"]["dropout"]["mae"] < found["median"]["dropout"]["mae"]
    assert found["pass"]["repeat"]["mae"] == found["calibrated"]["repeat"]["mae"]


def test_a_calibration_that_is_there_is_used_and_another_folder_can_hold_it(radar, runs, tmp_path, capsys):
    arguments = ["uncertainty", str(runs / "plain"), "--data", str(radar), "--no-baselines", "--figures", "none"]
    arguments += ["--bootstrap", "0", "--members", "19"]
    other = tmp_path / "calibrations"
    before = (
        (runs / "plain" / "calibration.json").read_bytes() if (runs / "plain" / "calibration.json").exists() else b""
    )
    assert main([*arguments, "--out", str(tmp_path / "a"), "--calibration-out", str(other)]) == 0
    assert (other / "plain" / "calibration.json").is_file()
    if before:
        assert (runs / "plain" / "calibration.json").read_bytes() == before
    (other / "plain" / "calibration.json").replace(runs / "plain" / "calibration.json")
    assert main([*arguments, "--out", str(tmp_path / "b"), "--no-calibrate"]) == 0
    first, second = (Scores.load(tmp_path / name).values["plain, calibrated"]["crps"] for name in "ab")
    assert first == second
    assert not (tmp_path / "a" / "figures").exists()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--members", "0"], "`--members` is at least 1"), (["--split", "all"], "`split` is one of")],
)
def test_mistakes_are_one_line(radar, runs, tmp_path, capsys, options, message):
    arguments = ["uncertainty", str(runs / "plain"), "--data", str(radar), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--no-calibrate", "--no-baselines", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
