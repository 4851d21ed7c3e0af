"""The sweep from the command line: its results, an interruption by force, failed trials, and mistakes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task
from cloudkeras.training import RunConfig, TrainingDivergedError, load_run
from tuning import finish, sweep, trials

from ..training.tiny import write_radar_shards

# KerasTuner 1.4.8 asks threading for names in a way that Python has deprecated: oracle.py, line 102.
pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\) is deprecated:DeprecationWarning")

QUICK = ("--task", "blind_zone", "--model", "unet", "--epochs", "1", "--retrain-epochs", "2", "--bootstrap", "20")
FIXED = ("--set", "task.blind_rows=4", "--set", "model.filters=[4,8]")


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return write_radar_shards(tmp_path_factory.mktemp("radar") / "shards")


def arguments(shards: Path, out: Path, trials: int, *more: str) -> list[str]:
    return [*QUICK, *FIXED, "--data", str(shards), "--max-trials", str(trials), "--out", str(out), *more]


@pytest.fixture
def only_search(monkeypatch):
    """Leaves out scores and export, which other tests look at."""
    monkeypatch.setattr(finish, "score", lambda *arguments: None)
    monkeypatch.setattr(finish, "export", lambda *arguments: None)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, shards) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "whole"
    assert sweep.main(arguments(shards, out, 3)) == 0
    return out


def test_it_ends_with_table_figure_best_model_scores_and_export(finished):
    rows = table(finished)
    scores = [float(row["val_mae"]) for row in rows]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert scores == sorted(scores)
    assert "filters" not in rows[0]
    assert (finished / "trials.png").stat().st_size > 20_000
    best = load_run(finished / "best")
    assert best.config.learning_rate == float(rows[0]["learning_rate"])
    assert best.config.loss == rows[0]["loss"]
    assert best.progress.epoch == 2
    methods = json.loads((finished / "scores" / "scores.json").read_text())
    assert "unet" in json.dumps(methods)
    assert "all_echo" in (finished / "scores" / "scores.md").read_text()
    assert (finished / "export" / "card.json").exists()
    assert (finished / "report.md").read_text().count("| 1 |") >= 1


def test_a_finished_sweep_goes_on_when_more_trials_are_asked_for(finished, shards, capsys, only_search):
    before = {row["trial"]: row["val_mae"] for row in table(finished)}
    assert sweep.main(arguments(shards, finished, 4, "--initial-points", "3", "--resume")) == 2
    assert "initial_points: None there, 3 now" in capsys.readouterr().err
    assert sweep.main(arguments(shards, finished, 4, "--resume")) == 0
    after = {row["trial"]: row["val_mae"] for row in table(finished)}
    assert len(after) == 4
    assert before.items() <= after.items()


KILLER = """
    import os, signal, sys
    import cloudkeras.training.monitoring as monitoring
    from tuning import sweep

    class Kill(monitoring.FiniteCheck):
        def on_train_batch_end(self, batch, logs=None):
            if "trial_1" in os.environ.get("TRIAL", ""): os.kill(os.getpid(), signal.SIGKILL)

    import cloudkeras.training.recipe as recipe
    import tuning.trials as trials
    recipe.FiniteCheck = Kill
    train = trials.train
    def named(config, out):
        os.environ["TRIAL"] = str(out)
        return train(config, out)
    trials.train = named
    sweep.main(sys.argv[1:])
"""


def test_a_killed_sweep_goes_on_and_finds_the_same(finished, shards, tmp_path, only_search):
    out = tmp_path / "cut"
    command = [sys.executable, "-c", textwrap.dedent(KILLER), *arguments(shards, out, 3)]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (out / "trials" / "trial_0" / "result.json").exists()
    assert not (out / "trials" / "trial_1" / "result.json").exists()
    assert sweep.main(arguments(shards, out, 3)) == 2  # without --resume
    assert sweep.main(arguments(shards, out, 3, "--resume")) == 0
    whole = {r["trial"]: r for r in table(finished) if r["trial"] != "3"}
    for row in table(out):
        same = {k: v for k, v in whole[row["trial"]].items() if k not in ("rank", "val_mae")}
        assert {k: v for k, v in row.items() if k not in ("rank", "val_mae")} == same
        assert float(row["val_mae"]) == pytest.approx(float(whole[row["trial"]]["val_mae"]), rel=1e-5)


def test_failed_trials_are_marked_and_the_search_goes_on(shards, tmp_path, monkeypatch, only_search):
    train, calls = trials.train, []

    def failing(config, out):
        if "trials" in str(out):
            calls.append(out)
        if len(calls) == 1 and "trials" in str(out):
            raise TrainingDivergedError("`loss` is nan")
        if len(calls) == 2 and "trials" in str(out):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 40 GiB")
        return train(config, out)

    monkeypatch.setattr(trials, "train", failing)
    out = tmp_path / "sweep"
    assert sweep.main(arguments(shards, out, 3)) == 0
    rows = table(out)
    assert [row["failed"] for row in rows] == ["", "diverged", "out of memory"]
    assert rows[1]["val_mae"] == "nan"
    assert json.loads((out / "trials" / "trial_0" / "result.json").read_text())["failed"] == "diverged: `loss` is nan"


def test_when_the_best_diverges_in_its_longer_training_the_next_best_is_taken(monkeypatch, tmp_path):
    rows = [trials.Row(r, str(r), 0.0, "", 1, {"learning_rate": rate}) for r, rate in ((1, 0.5), (2, 0.1), (3, 0.01))]
    tried = []

    def fake_train(config, out):
        tried.append(config.learning_rate)
        if config.learning_rate > 0.05:
            raise TrainingDivergedError("`loss` is nan")
        return "run"

    monkeypatch.setattr(finish, "train", fake_train)
    base = RunConfig("d", task="blind_zone").resolved()
    assert finish.retrain_best(rows, base, tmp_path / "best", print) == "run"
    assert tried == [0.5, 0.1, 0.01]
    with pytest.raises(TrainingDivergedError, match="nan"):
        finish.retrain_best(rows[:2], base, tmp_path / "best", print)


def test_when_all_trials_fail_it_says_so(shards, tmp_path, monkeypatch, capsys):
    def failing(config, out):
        raise MemoryError

    monkeypatch.setattr(trials, "train", failing)
    assert sweep.main(arguments(shards, tmp_path / "sweep", 2)) == 2
    assert "No trial came out" in capsys.readouterr().err


def test_any_other_error_ends_the_sweep_with_its_own_message(shards, tmp_path, monkeypatch):
    def failing(config, out):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(trials, "train", failing)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        sweep.main(arguments(shards, tmp_path / "sweep", 2))


def test_a_trial_that_ends_its_process_three_times_is_given_up(tmp_path):
    assert [trials._count_start(tmp_path, 0) for _ in range(4)] == [False, False, False, True]
    assert trials._count_start(tmp_path, 1) is False  # it has got further


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("RESOURCE_EXHAUSTED: failed to allocate"), True),
        (type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("a room is out"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert trials.is_out_of_memory(error) is expected
    outer = RuntimeError("while training")
    outer.__cause__ = error
    assert trials.is_out_of_memory(outer) is expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--model", "resnet"), "`model` is one of"),
        (("--set", "task.colour=1"), "has the options"),
        (("--data", "nowhere"), "nowhere"),
        (("--task", "cloud_phase", "--set", "task.labels=dense"), "blind_zone"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(shards, tmp_path, capsys, more, message):
    words = [*QUICK, "--data", str(shards), "--max-trials", "1", "--out", str(tmp_path / "s"), *more]
    assert sweep.main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "s" / "sweep.json").exists()


def test_without_data_it_simulates_once(tmp_path, monkeypatch):
    import cloudkeras.datasets.synthetic as synthetic

    made = []

    def simulate(out, *, samples, size, seed, jobs):
        made.append((samples, size, seed))
        write_radar_shards(Path(out))

    monkeypatch.setattr(synthetic, "simulate_for_test", simulate, raising=False)
    monkeypatch.setitem(synthetic.SIMULATORS, "blind_zone", "cloudkeras.datasets.synthetic:simulate_for_test")
    parsed = sweep._parser().parse_args(["--task", "blind_zone", "--samples", "20", "--size", "16", "--seed", "4"])
    for _ in range(2):
        assert (sweep.simulated_data(parsed, tmp_path) / "manifest.json").exists()
    assert made == [(20, 16, 4)]
    assert not (tmp_path / ".partial-data").exists()


def base_of(*words):
    arguments = sweep._parser().parse_args(["--preset", "king2024", *words])
    arguments.task = "blind_zone"
    return sweep._base_configuration(arguments, arguments.model or "unet3plus", Path("d"))


def test_a_preset_gives_the_runs_what_is_not_searched():
    base = base_of("--epochs", "20")
    assert base.model_options == {"skip_channels": 32, "deep_supervision": True, "mc_dropout": True}
    assert (base.epochs, base.patience, base.decay_at) == (20, 4, (18, 19))
    assert (base.task_options["ramp_rows"], base.loss, base.monitor) == ([1, 9], "masked_mae", "val_mae")
    fixed = base_of("--set", "model.filters=[4,8]", "--set", "task.blind_rows=4", "--model", "unet")
    assert fixed.model_options == {"mc_dropout": True, "filters": [4, 8]} and fixed.task_options["blind_rows"] == 4


def test_a_sweep_of_the_published_space(shards, tmp_path, only_search):
    out = tmp_path / "sweep"
    words = ["--preset", "king2024", "--data", str(shards), "--out", str(out), "--max-trials", "1", "--epochs", "1"]
    words += ["--retrain-epochs", "1", "--bootstrap", "20", *FIXED, "--model", "unet"]
    assert sweep.main(words) == 0
    (row,) = table(out)
    published = {"learning_rate": "5e-05", "l2": "1e-05", "dropout": "0.2", "optimizer": "adam", "batch_size": "4"}
    assert {name: row[name] for name in published} == published
    assert row["upsampling"] == "bilinear" and "depth" not in row
    best = load_run(out / "best").config
    assert best.model == "unet" and best.model_options["mc_dropout"] is True
    assert json.loads((out / "sweep.json").read_text())["settings"]["space"] == "king2024"
    assert sweep.main([*words, "--space", "full"]) == 2


def test_a_season_of_simulated_meltwater_is_made_once(tmp_path, capsys):
    pytest.importorskip("rasterio")
    arguments = sweep._parser().parse_args(["--task", "meltwater", "--size", "32"])
    folder = sweep.simulated_data(arguments, tmp_path)
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert sweep.simulated_data(arguments, tmp_path) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    dataset = ShardDataset.open(folder)
    assert dataset.simulated and dataset.num_samples("train") > 40 and not (tmp_path / ".partial-data").exists()
    # Crops of 24 and tiles of 256, cut to 32: what a model takes divides by 8.
    assert sweep.image_sizes(dataset, get_task("meltwater", crop=[24, 24])) == (8, 8)
    assert sweep.image_sizes(dataset, get_task("meltwater")) == (32, 32)
    arguments.samples = 4
    with pytest.raises(InputError, match="`--samples` does not go with `--task meltwater`"):
        sweep.simulated_data(arguments, tmp_path / "other")
