import json
import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.export import card_markdown, export_run, model_card
from cloudkeras.layers.monte_carlo_dropout import MonteCarloDropout
from cloudkeras.tasks import get_task
from cloudkeras.tasks.blind_zone import RANGES
from cloudkeras.tasks.cloud_phase import NUM_LEVELS

on_tensorflow = pytest.mark.tensorflow

PHASE_STATISTICS = {
    "reflectance": {"mean": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "std": [0.2] * 6},
    "brightness_temperature": {"mean": list(np.linspace(230, 285, 10)), "std": [20.0] * 10},
    "phase": {"class_counts": [[4, 3, 2, 1]] * NUM_LEVELS},
}


def phase_model(rows, columns, channels, dropout=0.0):
    """A small volume network that sees its neighbors; its final output is one of two, as with deep supervision."""
    inputs = keras.Input((rows, columns, channels))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    if dropout:
        x = MonteCarloDropout(dropout, always_on=True, seed=1)(x)
    x = keras.layers.Conv2D(NUM_LEVELS * 4, 1)(x)
    x = keras.layers.Reshape((rows, columns, NUM_LEVELS, 4))(x)
    final = keras.layers.Permute((3, 1, 2, 4), name="final")(x)
    return keras.Model(inputs, {"final": final, "aux_1": keras.layers.ReLU(name="aux_1")(final)})


def radar_model(channels):
    """A fully convolutional network of dynamic width."""
    inputs = keras.Input((24, None, channels))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same", name="final")(x))


def make_run(task, model, statistics, path=None, config=None):
    return SimpleNamespace(
        task=task, model=model, statistics=statistics, path=path, config=config or {"model": "tiny"}, name="tiny run"
    )


def phase_run(path=None, **options):
    task = get_task("cloud_phase", **options)
    return make_run(task, phase_model(16, 12, len(task.channel_names())), PHASE_STATISTICS, path)


def radar_run():
    task = get_task("blind_zone", context=True, blind_rows=6)
    return make_run(task, radar_model(len(task.channel_names())), {"reflectivity": {"mean": [0.0], "std": [1.0]}})


def phase_fields(angles=False):
    rng = np.random.default_rng(0)
    fields = {
        "reflectance": rng.uniform(0, 1, (3, 16, 12, 6)).astype(np.float32),
        "brightness_temperature": rng.uniform(190, 310, (3, 16, 12, 10)).astype(np.float32),
    }
    fields["reflectance"][1] = np.nan  # night
    fields["brightness_temperature"][0, 2:5, 3, 1] = np.nan
    if angles:
        fields["solar_zenith_angle"] = rng.uniform(0, 90, (3, 16, 12)).astype(np.float32)
        fields["sensor_zenith_angle"] = np.full((3, 16, 12), np.nan, np.float32)
    return fields


def radar_fields():
    rng = np.random.default_rng(1)
    fields = {
        name: rng.uniform(*RANGES[name], (2, 24, 40)).astype(np.float32)
        for name in ("reflectivity", "temperature", "specific_humidity", "eastward_wind", "northward_wind")
    }
    fields["reflectivity"][rng.random((2, 24, 40)) < 0.2] = -60
    fields["reflectivity"][:, 20:22, 3:9] = np.nan
    fields["temperature"][:, :3] = np.nan
    return get_task("blind_zone", context=True, blind_rows=6).prepare(fields)


def in_process(run, fields):
    """The pipeline as evaluation goes it: NumPy in front of the network and behind it."""
    x = run.task.network_inputs(fields, run.statistics)
    outputs = run.model.predict_on_batch(x)
    outputs = outputs["final"] if isinstance(outputs, dict) else outputs
    return run.task.decode(np.asarray(outputs), x)


WITHOUT_KERAS = """
    import json, sys

    class Without:
        def __init__(self, finder):
            self.finder = finder
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("keras", "cloudkeras"):
                return None
            return self.finder.find_spec(name, path, target)
        def __getattr__(self, name):
            return getattr(self.finder, name)

    sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
    import numpy as np
    import tensorflow as tf
    for package in ("keras", "cloudkeras"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            continue
        raise SystemExit(package + " can be imported, so this shows nothing")
    folder = sys.argv[1]
    for name in sys.argv[2:]:
        loaded = tf.saved_model.load(f"{folder}/{name}/saved_model")
        fields = dict(np.load(f"{folder}/{name}.npz"))
        served = loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in fields.items()})
        again = loaded.serve({k: tf.constant(v) for k, v in fields.items()})
        np.savez(f"{folder}/{name}-served.npz", **{k: v.numpy() for k, v in served.items()})
        np.savez(f"{folder}/{name}-again.npz", **{k: v.numpy() for k, v in again.items()})
    assert not [m for m in sys.modules if m.split(".")[0] in ("keras", "cloudkeras")]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What the exports give in a process that has TensorFlow but neither Keras nor cloudkeras."""
    folder = tmp_path_factory.mktemp("exports")
    random = phase_run()
    random.model = phase_model(16, 12, 16, dropout=0.5)
    runs = {
        "phase": (phase_run(), phase_fields()),
        "angles": (phase_run(angles=True), phase_fields(angles=True)),
        "radar": (radar_run(), radar_fields()),
        "random": (random, phase_fields()),
    }
    for name, (run, fields) in runs.items():
        export_run(run, folder / name)
        np.savez(folder / f"{name}.npz", **fields)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_KERAS), str(folder), *runs],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    load = {kind: {name: dict(np.load(folder / f"{name}-{kind}.npz")) for name in runs} for kind in ("served", "again")}
    return runs, load["served"], load["again"]


@on_tensorflow
@pytest.mark.parametrize("name", ["phase", "angles", "radar"])
def test_the_saved_model_gives_the_same_numbers_without_keras(served, name):
    runs, outputs, again = served
    run, fields = runs[name]
    expected = in_process(run, fields)
    assert list(outputs[name]) == [run.task.output_name()]
    got = outputs[name][run.task.output_name()]
    assert got.shape == expected.shape and np.isfinite(got).all()
    scale = 1 if run.task.kind == "classification" else 90  # 1e-5 of the range of reflectivity
    np.testing.assert_allclose(got, expected, atol=1e-5 * scale)
    np.testing.assert_array_equal(got, again[name][run.task.output_name()])
    assert got.std() > 1e-3  # it says something


@on_tensorflow
def test_monte_carlo_dropout_goes_on_in_the_saved_model(served):
    _, outputs, again = served
    first, second = outputs["random"]["phase_probability"], again["random"]["phase_probability"]
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(first.sum(-1), 1, atol=1e-5)


@on_tensorflow
def test_the_signature_is_named_and_has_a_dynamic_batch(tmp_path):
    import tensorflow as tf

    out = export_run(radar_run(), tmp_path / "export")
    signature = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"]
    inputs = {name: tuple(spec.shape) for name, spec in signature.structured_input_signature[1].items()}
    names = ("reflectivity", "temperature", "specific_humidity", "eastward_wind", "northward_wind", "blind_zone_mask")
    assert inputs == {name: (None, 24, None) for name in names}
    assert list(signature.structured_outputs) == ["reflectivity"]


@on_tensorflow
def test_the_keras_file_and_the_card_are_beside_it(tmp_path):
    run = phase_run()
    out = export_run(run, tmp_path / "export", scores={"macro_f1": 0.5})
    assert sorted(p.name for p in out.iterdir()) == ["card.json", "card.md", "model.keras", "saved_model"]
    x = np.random.default_rng(2).normal(size=(2, 16, 12, 16)).astype(np.float32)
    loaded = keras.saving.load_model(out / "model.keras")
    np.testing.assert_allclose(
        np.asarray(loaded.predict_on_batch(x)["final"]), np.asarray(run.model.predict_on_batch(x)["final"]), atol=1e-6
    )
    card = json.loads((out / "card.json").read_text())
    assert card["task"] == "cloud_phase" and card["task_options"] == {"labels": "track", "angles": False}
    assert card["inputs"]["brightness_temperature"]["units"] == "K"
    assert card["inputs"]["reflectance"]["shape"] == [None, 16, 12, 6]
    assert card["outputs"]["phase_probability"]["classes"] == ["clear", "ice", "mixed", "liquid"]
    assert card["outputs"]["phase_probability"]["level_height_km"][:2] == [0.25, 0.75]
    assert card["statistics"] == {k: v for k, v in PHASE_STATISTICS.items() if k != "phase"}
    assert card["model"]["parameters"] == run.model.count_params() and card["scores"] == {"macro_f1": 0.5}
    assert len(card["channels"]) == 16 and card["versions"]["keras"] == keras.__version__


@on_tensorflow
def test_the_example_of_the_card_runs(tmp_path):
    out = export_run(phase_run(), tmp_path / "export")
    card = json.loads((out / "card.json").read_text())
    code = card["example"].replace('"saved_model"', repr(str(out / "saved_model")))
    space = phase_fields()
    exec(code, space)
    assert space["result"].shape == (3, NUM_LEVELS, 16, 12, 4)
    assert card["example"] in (out / "card.md").read_text()


def write_run_folder(folder):
    folder.mkdir()
    run = phase_run(path=folder)
    run.model.save(folder / "model.keras")
    (folder / "scores.json").write_text('{"iou": 0.25}')
    (folder / "environment.json").write_text('{"sessions": [{"simulated": true}]}')
    return run


def test_the_card_takes_scores_and_data_from_the_run_folder(tmp_path):
    run = write_run_folder(tmp_path / "run")
    run.config = {"model": "tiny", "data": "/far/away/scenes"}
    card = model_card(run)
    assert card["scores"] == {"iou": 0.25} and card["data"]["name"] == "scenes" and card["data"]["simulated"] is True
    text = card_markdown(card)
    assert "(simulated data)" in text and "| reflectance | 2 | 0.2 | 0.2 |" in text and '"iou": 0.25' in text


def test_the_card_shows_a_report_of_an_evaluation_as_a_table():
    report = {
        "ranking": ["tiny run", "all_clear"],
        "samples": 9,
        "simulated": True,
        "profiles": {"f1": [0.1] * 38},
        "differences": {},
        "scores": {
            "tiny run": {"f1_macro": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "all_clear": {"f1_macro": {"value": 0.25, "low": None, "high": None}},
        },
    }
    for scores in (report, SimpleNamespace(to_json=lambda: json.dumps(report))):
        card = model_card(phase_run(), scores=scores)
        assert set(card["scores"]) == {"ranking", "samples", "simulated", "scores"}
        text = card_markdown(card)
        assert "| tiny run | 0.5 [0.4, 0.6] |\n| all_clear | 0.25 |\n\nOn 9 simulated samples" in text


def test_on_another_backend_the_keras_file_is_written_and_the_remedy_named(tmp_path, monkeypatch):
    run = write_run_folder(tmp_path / "run")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match=r"KERAS_BACKEND=tensorflow.*model\.keras and the card are in"):
        export_run(run, tmp_path / "export")
    assert sorted(p.name for p in (tmp_path / "export").iterdir()) == ["card.json", "card.md", "model.keras"]
    assert (tmp_path / "export" / "model.keras").read_bytes() == (tmp_path / "run" / "model.keras").read_bytes()


@on_tensorflow
def test_an_export_is_replaced_and_anything_else_is_not(tmp_path):
    run, out = phase_run(), tmp_path / "export"
    export_run(run, out)
    (out / "old").write_text("")
    export_run(run, out)
    assert not (out / "old").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds other files than an export.*--force"):
        export_run(run, other)
    assert (other / "chapter.tex").exists()
    export_run(run, other, force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["export", "thesis"] and not (other / "chapter.tex").exists()


def test_the_run_folder_is_no_target(tmp_path):
    run = write_run_folder(tmp_path / "run")
    for out in (tmp_path / "run", tmp_path):
        with pytest.raises(InputError, match="a folder of its own"):
            export_run(run, out, force=True)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="not a file"):
        export_run(run, file)


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    run = phase_run()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(type(run.model), "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export_run(run, tmp_path / "export")
    assert not list(tmp_path.iterdir())
