"""Meltwater from rasters to an exported model, each step as it is typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.datasets import Batches, ShardDataset
from cloudkeras.evaluation import DayMaps, Scores
from cloudkeras.tasks.meltwater import PUBLISHED
from cloudkeras.training import load_run

pytest.importorskip("rasterio")
# Keras hands its variables to NumPy 2 the old way when it saves a model (keras/src/saving/saving_lib.py).
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rasters of one season, shards of it, and a run of one epoch with every option of the task left as it is."""
    folder = tmp_path_factory.mktemp("melt")
    rasters, shards = folder / "rasters", folder / "shards"
    assert main(["simulate", "--task", "meltwater", "--out", str(rasters), "--size", "32", "--years", "2018"]) == 0
    assert main(["ingest", "meltwaterbench", str(rasters), "--out", str(shards)]) == 0
    net = ["--set", "model.filters=[4,8]", "--epochs", "1", "--limit-train-batches", "3"]
    assert main(["train", "--task", "meltwater", "--data", str(shards), "--out", str(folder / "run"), *net]) == 0
    return folder


def test_scores_and_figures(folder, capsys):
    out = folder / "run" / "scores"
    options = ["--data", str(folder / "shards"), "--out", str(out), "--bootstrap", "10", "--limit", "4", "--figures"]
    assert main(["evaluate", str(folder / "run"), *options]) == 0
    printed = capsys.readouterr().out
    assert "SIMULATED" in printed and "linear_dem *" in printed and "of 24 groups" not in printed
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert drawn == {"scores", "melt_extent", "cases", "error_maps"}
    assert list(DayMaps.load(out).predictions) == list(Scores.load(out).methods)


def test_the_exported_model_takes_physical_units(folder):
    import tensorflow as tf

    export, run = folder / "run" / "export", load_run(folder / "run")
    assert main(["export", str(folder / "run"), "--out", str(export)]) == 0
    card = json.loads((export / "card.json").read_text())
    assert card["fixed_scaling"] == {n: list(PUBLISHED[n]) for n in run.task.inputs if n != "sar_mean"}
    assert "| surface_altitude | 1175.09 | 993.852 |" in (export / "card.md").read_text()
    batches = Batches(ShardDataset.open(folder / "shards"), run.task, "test", 2)
    fields = batches.fields(0)
    given = {name: tf.constant(fields[name]) for name in run.task.physical_inputs()}
    served = tf.saved_model.load(str(export / "saved_model")).signatures["serving_default"](**given)
    x = batches[0][0]
    np.testing.assert_allclose(served["melt_fraction"], run.task.decode(np.asarray(run(x)), x), atol=1e-5)


def test_maps_of_some_days(folder, capsys):
    out, dates = folder / "maps", ["--dates", "2018-07-01:2018-07-03"]
    words = [str(folder / "rasters"), "--run", str(folder / "run"), "--out", str(out), *dates, "--extent"]
    assert main(["predict", *words]) == 0
    assert "3 days predicted" in capsys.readouterr().out
    assert len(list((out / "days").glob("*.tif"))) == 3 and (out / "melt_extent.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--task", "cloud_phase", "--data", "{shards}", "--out", "{new}"], "meltwater"),
        (["train", "--task", "meltwater", "--data", "{rasters}", "--out", "{new}"], "`cloudkeras ingest`"),
        (["ingest", "meltwaterbench", "{shards}", "--out", "{new}"], "raw"),
        (["ingest", "meltwaterbench", "{rasters}", "--out", "{shards}"], "already holds a dataset"),
        (["evaluate", "{run}", "--data", "{rasters}", "--out", "{new}"], "manifest"),
        (["predict", "{shards}", "--run", "{run}", "--out", "{new}"], "raw"),
        (["simulate", "--task", "meltwater", "--out", "{new}", "--samples", "4"], "`--samples` does not go"),
    ],
)
def test_the_wrong_folder_is_named_in_one_line(folder, tmp_path, capsys, words, message):
    names = {name: folder / name for name in ("shards", "rasters", "run")} | {"new": tmp_path / "new"}
    assert main([word.format(**names) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1] and "Traceback" not in error


def test_a_simulation_that_was_interrupted_is_not_ingested(tmp_path, capsys):
    (tmp_path / "simulation.json").write_text(json.dumps({"simulated": True, "complete": False}))
    assert main(["ingest", "meltwaterbench", str(tmp_path), "--out", str(tmp_path / "new")]) == 2
    assert "found one that was interrupted. Give the same `cloudkeras simulate` again" in capsys.readouterr().err
