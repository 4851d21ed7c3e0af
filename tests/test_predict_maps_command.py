import json

import keras
import numpy as np
import pytest
from PIL import Image

from cloudkeras.cli import main
from cloudkeras.inference.maps import mapped_days, raster_of
from cloudkeras.inference.maps_files import read_fraction
from cloudkeras.ingest.meltwater_days import BenchmarkDays
from cloudkeras.training import RunConfig
from tests.inference.rasters import DAYS, INPUTS, SAR_DAYS, write_rasters
from tests.inference.scenes import write_phase_scene

OPTIONS = {"inputs": list(INPUTS), "crop": [32, 32], "evaluation_window": [48, 48], "margin": 6}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory):
    """Rasters of six days, the fifth with a truncated PMW file."""
    root = write_rasters(tmp_path_factory.mktemp("rasters") / "benchmark")
    file = BenchmarkDays(root).layout.file("pmw", DAYS[4])
    file.write_bytes(file.read_bytes()[:300])
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a network of dynamic size that looks one pixel far, and the shards that it names."""
    folder = tmp_path_factory.mktemp("run")
    data = folder / "shards"
    data.mkdir()
    days = [day.isoformat() for day in SAR_DAYS]
    (data / "manifest.json").write_text(json.dumps({"provenance": {"train_days": days}}))
    inputs = keras.Input((None, None, len(INPUTS)))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same", name="final")(inputs))
    model.save(folder / "model.keras")
    config = RunConfig(data=str(data), task="meltwater", task_options=OPTIONS, model="unet").resolved()
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    (folder / "statistics.json").write_text("{}")
    return folder


def test_a_season_is_mapped_drawn_and_gone_on_with(rasters, run, tmp_path, capsys):
    out = tmp_path / "maps"
    command = ["predict", str(rasters), "--run", str(run), "--out", str(out)]
    assert main([*command, "--dates", "2019-07-01:2019-07-02"]) == 0
    assert "2 days predicted, 0 were complete" in capsys.readouterr().out
    assert main([*command, "--extent", "--animation"]) == 1  # a bad day
    said = capsys.readouterr()
    assert "3 days predicted, 2 were complete" in said.out and "not mapped, 2019-07-05" in said.out
    assert "predicting: " in said.err and "Traceback" not in said.err
    assert mapped_days(out) == [*DAYS[:4], DAYS[5]]
    names = ["days", "maps.json", "melt_2019.gif", "melt_extent.csv", "melt_extent.png", "melt_fraction_2019.nc"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert all(str(out / name) in said.out for name in names if name != "maps.json")
    assert len((out / "melt_extent.csv").read_text().splitlines()) == 6
    with Image.open(out / "melt_2019.gif") as image:
        assert image.n_frames == 5


def test_a_baseline_is_fitted_and_mapped(tmp_path, capsys):
    days = [DAYS[0].replace(month=month, day=day) for month in (6, 7) for day in range(1, 10)]
    root = write_rasters(tmp_path / "benchmark", days=days, sar_days=days)
    shards, out = tmp_path / "shards", tmp_path / "maps"
    assert main(["ingest", "meltwaterbench", str(root), "--out", str(shards), "--smoothing", "none"]) == 0
    command = ["predict", str(root), "--out", str(out), "--method", "linear_dem", "--data", str(shards), "--no-netcdf"]
    command += ["--set", "task.crop=[32,32]", "--set", "task.evaluation_window=[48,48]", "--set", "task.margin=6"]
    assert main([*command, "--dates", "2019-06-05", "2019-07-05"]) == 0
    june, july = (read_fraction(raster_of(out, days[i])) for i in (4, 13))
    assert np.isnan(june[:, 70:]).all() and np.isfinite(june[:, :70]).all()
    assert not list(out.glob("*.nc")) and not np.array_equal(june, july)
    assert "predicting: 2 of 2 tiles" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "RUN", "--method", "zero_melt"], "of a `--run` or of a `--method`"),
        ([], "of a `--run` or of a `--method`"),
        (["--method", "zero_melt"], "A `--method` needs `--data`"),
        (["--run", "RUN", "--figure", "map.png"], "`--figure` goes with one scene"),
        (["--run", "RUN", "--animation", "avi"], "a gif or an mp4"),
        (["--run", "RUN", "--dates", "2019-07"], "Days are like 2019-07-10"),
        (["--run", "RUN", "--dates", "2017-07-01"], "There is no day to map"),
        (["--run", "RUN", "--data", "nowhere"], "name the shards with `--data`"),
        (["--run", "RUN", "--set", "task.margin=3"], "`--set` goes with `--method`"),
        (["--run", "RUN", "--members", "3"], "always says the same"),
        (["--run", "RUN", "--batch-size", "0"], "`batch_size` is at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(rasters, run, tmp_path, capsys, arguments, message):
    words = [str(run) if word == "RUN" else word for word in arguments]
    assert main(["predict", str(rasters), "--out", str(tmp_path / "maps"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_options_of_maps_do_not_go_with_a_scene(run, tmp_path, capsys):
    scene = write_phase_scene(tmp_path / "scene.nc", 32, 32)
    command = ["predict", str(scene), "--out", str(tmp_path / "out.nc")]
    assert main([*command, "--run", str(run), "--extent"]) == 2
    assert "`--extent` goes with a folder of daily rasters" in capsys.readouterr().err
    assert main(command) == 2
    assert "A scene needs `--run`" in capsys.readouterr().err
    assert main(["predict", str(tmp_path), "--run", str(run), "--out", str(tmp_path / "maps")]) == 2
    assert "HH_PercentMelt" in capsys.readouterr().err
