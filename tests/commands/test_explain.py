"""`cloudkeras explain`: numbers, maps and figures where it says; mistakes are one line and exit code 2."""

import json

import netCDF4
import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.commands.explain_maps import layer_axis
from cloudkeras.explain.samples import Axis
from cloudkeras.training import train

from ..training.tiny import COLUMNS, ROWS, tiny_config, write_radar_shards


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Shards and a run."""
    folder = tmp_path_factory.mktemp("explain")
    data = write_radar_shards(folder / "data", {"train": 4, "validation": 4, "test": 4})
    run = train(tiny_config(data, epochs=1, model_options={"filters": [2, 4], "mc_dropout": True}), folder / "run")
    return str(data), str(run.path)


def explain(place, out, method, *words):
    data, run = place
    return main(["explain", method, run, "--data", data, "--out", str(out), *words])


def test_saliency(place, tmp_path, capsys):
    assert explain(place, tmp_path, "saliency", "--sample", "0", "2", "--rows", "1:3") == 0
    said = capsys.readouterr().out
    for name in ("saliency.nc", "saliency.json", "saliency-test-0.png", "saliency-test-2.png"):
        assert str(tmp_path / name) in said and (tmp_path / name).stat().st_size > 0
    report = json.loads((tmp_path / "saliency.json").read_text())
    assert report["objective"] == "mean output, where it is judged, rows 1:3" and len(report["values"]) == 2
    shares = np.array([report["channels"][name]["share"] for name in ("reflectivity", "blind_zone_mask")])
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    with netCDF4.Dataset(tmp_path / "saliency.nc") as file:
        assert file["gradient"].shape == (2, ROWS, COLUMNS, 2) and file.simulated == "true"
        np.testing.assert_array_equal(file["saliency"][:], np.abs(file["gradient"][:]))
        assert float(np.abs(file["gradient"][:]).max()) > 0


def test_integrated_gradients(place, tmp_path, capsys):
    words = ("--steps", "200", "--baseline", "mean", "--batch-size", "101", "--space", "decoded")
    assert explain(place, tmp_path, "integrated-gradients", *words) == 0
    assert "complete to" in capsys.readouterr().out
    report = json.loads((tmp_path / "integrated-gradients.json").read_text())
    total = sum(report["channels"][name]["sum"][0] for name in report["channels"])
    assert report["objective_unit"] == "dBZ" and report["channels"]["blind_zone_mask"]["sum"] == [0.0]
    difference = report["values"][0] - report["baseline_values"][0]
    assert total - difference == pytest.approx(report["completeness_gap"][0], abs=1e-3)


def test_layers_grad_cam_and_feature_maps(place, tmp_path, capsys):
    assert main(["explain", "layers", place[1]]) == 0
    listed = capsys.readouterr().out.splitlines()
    name, kind, *shape = listed[-1].split()
    assert kind and " ".join(shape).startswith("16 x 16")
    half = next(line.split()[0] for line in listed if "8 x 8" in line)
    assert explain(place, tmp_path, "grad-cam", "--layer", name, "--weights", "local") == 0
    assert explain(place, tmp_path, "feature-maps", "--layer", half, "--limit", "2") == 0
    with netCDF4.Dataset(tmp_path / "feature-maps.nc") as file:
        assert file["feature_map"].shape[:3] == (1, 8, 8) and file["layer_height"].shape == (8,)
    assert (tmp_path / "grad-cam-test-0.png").exists() and (tmp_path / "feature-maps-test-0.png").exists()
    assert json.loads((tmp_path / "grad-cam.json").read_text())["layer"] == name


def test_permutation(place, tmp_path, capsys):
    words = ("--repeats", "2", "--bootstrap", "20", "--group-by", "sample")
    assert explain(place, tmp_path, "permutation", *words) == 0
    assert "| blind_zone_mask | 0 | 0 to 0 |" in capsys.readouterr().out
    report = json.loads((tmp_path / "permutation.json").read_text())
    assert report["importance"]["reflectivity"]["value"] != 0 and (tmp_path / "permutation.png").exists()


@pytest.mark.parametrize(
    "method,words,message",
    [
        ("saliency", ("--sample", "9"), "`sample` is one of 0..3"),
        ("saliency", ("--region", "sea"), "`region` is one of judged, all, blind_zone_mask"),
        ("saliency", ("--rows", "40:50"), "choose some of 16 rows and 16 columns"),
        ("saliency", ("--rows", "10:12"), "`region` holds at least one pixel"),
        ("saliency", ("--class", "ice"), "`channel` is one of 0..0"),
        ("saliency", ("--level", "1"), "`level` is for volumes"),
        ("grad-cam", ("--layer", "no"), "`layer` is one of unet_"),
        ("permutation", ("--group", "a"), "NAME=CHANNEL,CHANNEL"),
        ("permutation", ("--group", "a=wind"), "has channels out of reflectivity, blind_zone_mask"),
        ("shapley", ("--player", "t=pressure"), "out of temperature"),
        ("shapley", (), "temperature"),
    ],
)
def test_mistakes_are_one_line(place, tmp_path, capsys, method, words, message):
    assert explain(place, tmp_path / "out", method, *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and said[-1].startswith("cloudkeras: ")


def test_a_layers_axis_covers_the_same_extent():
    axis = Axis("height", np.array([0.5, 1.5, 2.5, 3.5]), "km", "height (km)")
    np.testing.assert_allclose(layer_axis(axis, 2).values, [1, 3])
    np.testing.assert_allclose(layer_axis(axis, 8).values, np.arange(8) / 2 + 0.25)
    np.testing.assert_allclose(layer_axis(axis, 4).values, axis.values)
    assert layer_axis(axis, 2).name == "layer_height"
