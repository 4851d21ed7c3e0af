import json
import os
import subprocess
import sys

import keras
import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.cli import main
from cloudkeras.tasks.cloud_phase import NUM_LEVELS
from cloudkeras.training import RunConfig, load_run
from tests.inference.scenes import PHASE_STATISTICS, RADAR_STATISTICS, write_phase_scene, write_radar_scene


@pytest.fixture(scope="module")
def phase_run(tmp_path_factory):
    """A run folder of cloud_phase whose network looks one pixel far."""
    inputs = keras.Input((32, 32, 16))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="tanh")(inputs)
    x = keras.layers.Reshape((32, 32, NUM_LEVELS, 4))(keras.layers.Conv2D(NUM_LEVELS * 4, 1)(x))
    model = keras.Model(inputs, keras.layers.Permute((3, 1, 2, 4), name="final")(x))
    return write_run(tmp_path_factory.mktemp("runs") / "phase", model, "cloud_phase", {}, PHASE_STATISTICS)


@pytest.fixture(scope="module")
def radar_run(tmp_path_factory):
    inputs = keras.Input((24, 32, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 5, padding="same", name="final")(inputs))
    return write_run(
        tmp_path_factory.mktemp("runs") / "radar", model, "blind_zone", {"blind_rows": 6}, RADAR_STATISTICS
    )


def write_run(folder, model, task, options, statistics):
    folder.mkdir()
    model.save(folder / "model.keras")
    config = RunConfig(data="nowhere", task=task, task_options=options, model="unet").resolved()
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    (folder / "statistics.json").write_text(json.dumps(statistics))
    return folder


def test_a_scene_is_predicted_and_drawn(tmp_path, phase_run, capsys):
    scene = write_phase_scene(tmp_path / "scene.nc", 50, 70)
    out, figure = tmp_path / "new" / "phase.nc", tmp_path / "new" / "phase.png"
    assert main(["predict", str(scene), "--run", str(phase_run), "--out", str(out), "--figure", str(figure)]) == 0
    captured = capsys.readouterr()
    assert str(out) in captured.out and str(figure) in captured.out and "6 of 6 tiles" in captured.err
    assert figure.read_bytes().startswith(b"\x89PNG")
    with xarray.open_dataset(out) as dataset:
        assert dataset.phase.dims == ("level", "y", "x") and dataset.sizes["y"] == 50
        assert f"run {load_run(phase_run).name}" in dataset.attrs["history"]
    assert sorted(p.name for p in out.parent.iterdir()) == ["phase.nc", "phase.png"]


def test_tiles_give_what_the_network_gives_on_the_whole_scene(tmp_path, phase_run):
    """A network of the same weights without a fixed size sees the scene at once; tiles with a margin equal it."""
    run = load_run(phase_run)
    scene = write_phase_scene(tmp_path / "scene.nc", 57, 83)
    arguments = ["--run", str(phase_run), "--out", str(tmp_path / "out.nc"), "--overlap", "8", "--margin", "1"]
    assert main(["predict", str(scene), *arguments]) == 0
    inputs = keras.Input((57, 83, 16))
    first, second = (layer for layer in run.model.layers if isinstance(layer, keras.layers.Conv2D))
    features = keras.layers.Conv2D(6, 3, padding="same", activation="tanh")
    logits = keras.layers.Conv2D(NUM_LEVELS * 4, 1)
    x = keras.layers.Reshape((57, 83, NUM_LEVELS, 4))(logits(features(inputs)))
    whole = keras.Model(inputs, keras.layers.Permute((3, 1, 2, 4))(x))
    features.set_weights(first.get_weights())
    logits.set_weights(second.get_weights())
    with netCDF4.Dataset(scene) as dataset:
        fields = {n: np.ma.filled(dataset[n][:].astype(np.float32), np.nan)[None] for n in run.task.physical_inputs()}
    x = run.task.network_inputs(fields, run.statistics)
    expected = run.task.decode(np.asarray(whole.predict_on_batch(x)), x)[0]
    with netCDF4.Dataset(tmp_path / "out.nc") as dataset:
        np.testing.assert_allclose(np.asarray(dataset["phase_probability"][:]), expected, atol=0.0021)


def test_a_curtain_is_filled(tmp_path, radar_run):
    scene = write_radar_scene(tmp_path / "scene.nc", 24, 90)
    out, figure = tmp_path / "out.nc", tmp_path / "out.pdf"
    assert main(["predict", str(scene), "--run", str(radar_run), "--out", str(out), "--figure", str(figure)]) == 0
    with netCDF4.Dataset(scene) as before, netCDF4.Dataset(out) as after:
        for dataset in (before, after):
            dataset.set_auto_maskandscale(False)
        assert before["reflectivity"][6:].tobytes() == after["reflectivity"][6:].tobytes()
        assert before["reflectivity"][:6].tobytes() != after["reflectivity"][:6].tobytes()
    assert figure.exists()


def spoil_units(dataset):
    dataset["brightness_temperature"].units = "degC"


@pytest.mark.parametrize(
    ("prepare", "extra", "message"),
    [
        (lambda p: write_phase_scene(p, 40, 40, change=spoil_units), [], "expected units 'K'; found units 'degC'"),
        (lambda p: p.write_bytes(b"CDF"), [], "scene.nc: expected a scene as a NetCDF-4 file"),
        (lambda p: write_radar_scene(p, 24, 40), [], "variable 'reflectance'"),
        (lambda p: None, [], "There is no scene file"),
        (lambda p: write_phase_scene(p, 40, 40), ["--overlap", "40"], "`overlap` is at least 0"),
        (lambda p: write_phase_scene(p, 40, 40), ["--members", "2"], "always says the same"),
        (lambda p: write_phase_scene(p, 40, 40), ["--figure", "figure.gif"], "`--figure` ends in .png, .pdf or .svg"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, phase_run, capsys, prepare, extra, message):
    scene = tmp_path / "scene.nc"
    prepare(scene)
    before = sorted(tmp_path.iterdir())
    code = main(["predict", str(scene), "--run", str(phase_run), "--out", str(tmp_path / "out.nc"), *extra])
    error = capsys.readouterr().err
    assert code == 2 and message in error and "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    scene = write_phase_scene(tmp_path / "scene.nc", 40, 40)
    assert main(["predict", str(scene), "--run", str(tmp_path), "--out", str(tmp_path / "out.nc")]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--out", str(tmp_path / "export")]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["scene.nc"]


@pytest.mark.tensorflow
def test_a_run_is_exported(tmp_path, phase_run, capsys):
    scores = tmp_path / "scores.json"
    scores.write_text('{"macro_f1": 0.5}')
    out = tmp_path / "export"
    assert main(["export", str(phase_run), "--out", str(out), "--scores", str(scores)]) == 0
    assert str(out / "saved_model") in capsys.readouterr().out
    assert json.loads((out / "card.json").read_text())["scores"] == {"macro_f1": 0.5}
    (out / "card.json").unlink()
    assert main(["export", str(phase_run), "--out", str(out)]) == 2
    assert main(["export", str(phase_run), "--out", str(out), "--force"]) == 0
    scores.write_text("{")
    assert main(["export", str(phase_run), "--out", str(out), "--scores", str(scores)]) == 2
    assert "expected scores as JSON" in capsys.readouterr().err and (out / "card.json").exists()


def test_prediction_works_on_jax_and_export_says_what_it_needs(tmp_path, phase_run):
    pytest.importorskip("jax")
    scene = write_phase_scene(tmp_path / "scene.nc", 40, 40)
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = None  # as where it is not installed\n"
        "from cloudkeras.cli import main\n"
        "scene, run, out, export = sys.argv[1:]\n"
        "assert main(['predict', scene, '--run', run, '--out', out]) == 0\n"
        "sys.exit(main(['export', run, '--out', export]))\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    paths = [str(p) for p in (scene, phase_run, tmp_path / "out.nc", tmp_path / "export")]
    result = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, env=environment)
    assert result.returncode == 2 and "KERAS_BACKEND=tensorflow" in result.stderr, result.stderr
    assert sorted(p.name for p in (tmp_path / "export").iterdir()) == ["card.json", "card.md", "model.keras"]
    arguments = ["--run", str(phase_run), "--out", str(tmp_path / "here.nc")]
    assert main(["predict", str(scene), *arguments]) == 0
    with netCDF4.Dataset(tmp_path / "out.nc") as there, netCDF4.Dataset(tmp_path / "here.nc") as here:
        np.testing.assert_allclose(
            np.asarray(there["phase_probability"][:]), np.asarray(here["phase_probability"][:]), atol=0.0041
        )
