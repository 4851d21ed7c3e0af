from __future__ import annotations

import json

import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.datasets import DatasetWriter
from cloudkeras.evaluation import Cases, Scores
from cloudkeras.plotting.evaluation import FIGURES, evaluation_figures
from cloudkeras.tasks import get_task
from cloudkeras.training import train
from tests.datasets.making import cloud_fields, make_cloud_dataset, table
from tests.training.tiny import tiny_config, write_radar_shards

# Keras hands its variables to NumPy 2 the old way when it saves a model (keras/src/saving/saving_lib.py).
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture(scope="module")
def radar(tmp_path_factory):
    return write_radar_shards(tmp_path_factory.mktemp("radar") / "data")


@pytest.fixture(scope="module")
def run_folder(radar, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(tiny_config(radar, epochs=1), folder)
    return folder


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    return make_cloud_dataset(tmp_path_factory.mktemp("clouds") / "data")


def test_runs_and_baselines_are_scored_side_by_side(radar, run_folder, tmp_path, capsys):
    out = tmp_path / "scores"
    arguments = [str(run_folder), "--data", str(radar), "--out", str(out), "--bootstrap", "20", "--group-by", "sample"]
    assert main(["evaluate", *arguments, "--reference", "repeat"]) == 0
    printed = capsys.readouterr().out
    assert "SIMULATED" in printed and "first" in printed and "repeat *" in printed and str(out / "scores.md") in printed
    assert sorted(path.name for path in out.iterdir()) == ["scores.json", "scores.md", "scores.npz"]
    content = json.loads((out / "scores.json").read_text())
    assert set(content["ranking"]) == {"first", *content["baselines"]} and content["reference"] == "repeat"
    assert content["provenance"]["methods"]["first"] == str(run_folder)
    assert Scores.load(out).num_groups == 4


def test_figures_are_drawn_beside_the_scores_and_can_be_drawn_again(radar, run_folder, tmp_path, capsys):
    out = tmp_path / "scores"
    options = ["--data", str(radar), "--out", str(out), "--bootstrap", "10", "--no-baselines", "--figures", "svg"]
    assert main(["evaluate", str(run_folder), *options]) == 0
    printed = capsys.readouterr().out
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert drawn == {*FIGURES[""], *FIGURES["blind_zone"], "cases"}
    assert all(str(out / "figures" / f"{name}.svg") in printed for name in drawn) and str(out / "cases.npz") in printed
    scores, cases = Scores.load(out), Cases.load(out)
    assert list(cases.predictions) == list(scores.methods) and cases.simulated
    assert dict(evaluation_figures(scores, cases)).keys() == drawn


def test_baselines_alone_on_track_labels(clouds, tmp_path, capsys):
    assert main(["evaluate", "--data", str(clouds), "--out", str(tmp_path), "--bootstrap", "0", "--limit", "3"]) == 0
    assert "Labels: track." in capsys.readouterr().out
    assert Scores.load(tmp_path).num_samples == 3


def test_auto_labels_are_dense_where_the_shards_hold_them(tmp_path, capsys):
    fields = cloud_fields(4)
    fields["phase_dense"] = np.random.default_rng(0).integers(0, 4, (4, 38, 8, 12)).astype(np.int8)
    with DatasetWriter(tmp_path / "d", get_task("cloud_phase"), provenance={}, simulated=True, gap_seconds=0) as writer:
        writer.add("train", {k: v[:2] for k, v in fields.items()}, table(2))
        writer.add("test", {k: v[2:] for k, v in fields.items()}, table(2, 10))
    for labels, voxels in (("auto", 2 * 38 * 8 * 12), ("track", None)):
        out = tmp_path / labels
        assert main(["evaluate", "--data", str(tmp_path / "d"), "--out", str(out), "--labels", labels]) == 0
        counted = Scores.load(out).values["all_clear"]["voxels"]
        assert counted == voxels if voxels else counted < 2 * 38 * 8 * 12
    printed = capsys.readouterr().out
    assert "Labels: dense." in printed and "Labels: track." in printed


def refused(arguments, capsys):
    """Standard error of a command that must end with exit code 2 in one line."""
    assert main(["evaluate", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cloudkeras: ") and "Traceback" not in error
    return error


def test_mistakes_are_one_line_and_leave_nothing_behind(clouds, radar, run_folder, tmp_path, capsys):
    out = tmp_path / "out"
    end = ["--out", out]
    assert "no manifest" in refused(["--data", tmp_path, *end], capsys)
    assert "is for task 'blind_zone', the shards" in refused([run_folder, "--data", clouds, *end], capsys)
    assert "expected a run folder" in refused([tmp_path, "--data", radar, *end], capsys)
    assert "A run is named once" in refused([run_folder, run_folder, "--data", radar, *end], capsys)
    assert "nothing to score" in refused(["--no-baselines", "--data", radar, *end], capsys)
    assert "no choice of `--labels`" in refused(["--labels", "dense", "--data", radar, *end], capsys)
    assert "'phase_dense': expected" in refused(["--labels", "dense", "--data", clouds, *end], capsys)
    assert "`split` is one of" in refused(["--split", "all", "--data", clouds, *end], capsys)
    assert "`group_by` is" in refused(["--group-by", "orbit", "--data", clouds, *end], capsys)
    assert "name of a method" in refused(["--reference", "unet", "--data", clouds, *end], capsys)
    assert not out.exists()


def test_baselines_need_a_training_split(tmp_path, capsys):
    folder = make_cloud_dataset(tmp_path / "d", {"train": 2, "test": 2})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["train"] = {"num_samples": 0, "files": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    error = refused(["--data", folder, "--out", tmp_path / "out"], capsys)
    assert "--baseline-data" in error and "--no-baselines" in error
