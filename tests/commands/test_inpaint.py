from __future__ import annotations

import json

import keras
import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.cli import main
from cloudkeras.layers import MonteCarloDropout
from cloudkeras.uncertainty import Calibration
from cloudkeras.uncertainty.calibration import fit_law
from cloudkeras.uncertainty.pixels import Features, Pixels
from tests.inference.inpainting import BLIND_ROWS, COLUMNS, ROWS, TOP_M, kazr_file, raw
from tests.inference.scenes import RADAR_STATISTICS
from tests.test_predict_command import write_run

NAME = "reflectivity_copol"
BLIND = 30.0 * (np.arange(60) + 0.5) < TOP_M


def run_folder(folder, *, rows=ROWS, columns=COLUMNS, dropout=0.0, seed=1, **options):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((rows, columns, 2))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name=f"first_{folder.name}")(inputs)
    x = MonteCarloDropout(dropout, always_on=dropout > 0, name="drop")(x)
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1, name="final")(x))
    return write_run(folder, model, "blind_zone", {"blind_rows": BLIND_ROWS, **options}, RADAR_STATISTICS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return run_folder(folder / "a", dropout=0.3), run_folder(folder / "b", seed=2), run_folder(folder / "c", seed=3)


def inpaint(*arguments):
    return main(["inpaint", *map(str, arguments)])


def test_a_file_is_filled_drawn_and_reported(tmp_path, runs, capsys):
    path = kazr_file(tmp_path / "in.nc")
    out, figure = tmp_path / "new" / "out.nc", tmp_path / "new" / "out.png"
    assert inpaint(path, "--model", runs[0], "--out", out, "--figure", figure, "--members", 8) == 0
    captured = capsys.readouterr()
    assert str(out) in captured.out and str(figure) in captured.out and "6 of 6 windows" in captured.err
    assert "kazr: 1,600 of 1,600 gates below 469 m filled in 1 segment" in captured.out
    assert "8 members, not recalibrated" in captured.out and figure.read_bytes().startswith(b"\x89PNG")
    with xarray.open_dataset(out) as file:
        assert json.loads(file.attrs["model_card"])["task"] == "blind_zone" and file.attrs["seed"] == 0
        assert float(file[f"{NAME}_spread"].isel(range=BLIND).min()) > 0
    assert sorted(p.name for p in out.parent.iterdir()) == ["out.nc", "out.png"]


def test_the_seed_decides_with_a_network_too(tmp_path, runs):
    path = kazr_file(tmp_path / "in.nc", 30.0 * np.arange(32))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert inpaint(path, "--model", runs[0], "--out", tmp_path / name, "--members", 4, "--seed", seed) == 0
    a, b, c = (raw(tmp_path / name, NAME, f"{NAME}_spread") for name in "abc")
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not any(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


def test_a_model_of_one_value_and_several_of_them(tmp_path, runs, capsys):
    path = kazr_file(tmp_path / "in.nc", 30.0 * np.arange(32))
    assert inpaint(path, "--model", runs[1], "--out", tmp_path / "one.nc") == 0
    assert "no uncertainty: the model gives one value" in capsys.readouterr().out
    assert inpaint(path, "--model", *runs[1:], "--out", tmp_path / "two.nc", "--statistic", "mean") == 0
    assert "2 members" in capsys.readouterr().out
    with netCDF4.Dataset(tmp_path / "one.nc") as one, netCDF4.Dataset(tmp_path / "two.nc") as two:
        assert f"{NAME}_spread" not in one.variables and f"{NAME}_spread" in two.variables
        assert len(json.loads(two.model_card)) == 2


def honest_calibration():
    """Fitted to pixels that always show an echo, within 3 dB of what the one member says."""
    rng = np.random.default_rng(0)
    center = rng.uniform(-60, 10, 4000)
    features = Features(np.ones(4000), center, np.zeros(4000), np.zeros((0, 4000)))
    truth = np.clip(center + rng.uniform(-3, 3, 4000), -59.9, 30)
    pixels = Pixels(truth, features, np.repeat(np.arange(8), 500), np.ones(4000))
    law, threshold, _ = fit_law(pixels, -60.0, 30.0, -60.0)
    return Calibration(law, threshold, (), "blind_zone", 1, {"split": "validation"})


def test_the_calibration_of_the_run_is_used_unless_asked_otherwise(tmp_path, runs, capsys):
    run, out = run_folder(tmp_path / "run"), tmp_path / "out.nc"
    path = kazr_file(tmp_path / "in.nc", 30.0 * np.arange(32))
    honest_calibration().save(run)
    assert inpaint(path, "--model", run, "--out", out) == 0
    assert "uncertainty from the calibration" in capsys.readouterr().out
    with xarray.open_dataset(out) as file:
        quantiles = file[f"{NAME}_quantile"].isel(range=BLIND)
        assert file.attrs["calibration"].startswith("fitted on validation")
        np.testing.assert_allclose(quantiles.sel(quantile=0.5), file[NAME].isel(range=BLIND), atol=0.6)
        assert float((quantiles[4] - quantiles[0]).min()) > 1
    assert inpaint(path, "--model", run, "--out", out, "--no-calibration") == 0
    with netCDF4.Dataset(out) as file:
        assert file.calibration == "none" and f"{NAME}_quantile" not in file.variables
    assert inpaint(path, "--model", run, "--out", out, "--no-calibration", "--calibration", run) == 2
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--blind-zone-top", "900"], "blind zones up to 469 m (6 rows of 78.1 m). Received a top of 900 m"),
        (["--product", "geoprof"], "expected an HDF4 file"),
        (["--members", "0"], "`members` is at least 1"),
        (["--figure", "out.gif"], "`--figure` ends in .png, .pdf or .svg"),
        (["--calibration", "none.json"], "expected a calibration; found no file"),
        (["--overlap", "40"], "smaller than the tile"),
        (["--step", "-3"], "`step_s` is above 0"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, runs, capsys, arguments, message):
    path = kazr_file(tmp_path / "in.nc")
    assert inpaint(path, "--model", runs[1], "--out", tmp_path / "out.nc", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["in.nc"]


def test_wrong_models_are_named(tmp_path, runs, capsys):
    path = kazr_file(tmp_path / "in.nc")
    assert inpaint(path, "--model", tmp_path, "--out", tmp_path / "out.nc") == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert inpaint(path, "--model", runs[0], runs[0], "--out", tmp_path / "out.nc") == 2
    assert "runs of an ensemble are different ones" in capsys.readouterr().err
    config = json.loads((runs[1] / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "statistics.json").write_text("{}")
    (other / "config.json").write_text(json.dumps({**config, "task": "cloud_phase", "task_options": {}}))
    assert inpaint(path, "--model", other, "--out", tmp_path / "out.nc") == 2
    assert "'other' is for 'cloud_phase'" in capsys.readouterr().err


@pytest.mark.realdata
def test_the_real_days(tmp_path, realdata, capsys):
    """A day of Cloudnet, whole and from ice water content, and an hour of KAZR, by a net that learned nothing."""
    run = run_folder(tmp_path / "run", rows=128, columns=128, blind_rows=16)
    arctic = realdata / "cloudnet_arctic"
    day = arctic / "20210104_ny-alesund_iwc-Z-T-method.nc"
    model = arctic / "20210104_ny-alesund_icon-iglo-12-23.nc"
    out, figure = tmp_path / "day.nc", tmp_path / "day.png"
    assert inpaint(day, "--model", run, "--context", model, "--out", out, "--figure", figure) == 0
    assert "160,284 of 160,284 gates below 1250 m filled in 2 segments" in capsys.readouterr().out
    assert raw(out, "time").tobytes() == raw(day, "time").tobytes()
    with xarray.open_dataset(out) as file, xarray.open_dataset(day) as before:
        assert file.reflectivity.shape == before.iwc.shape == (2812, 595)
        above = before.height.values - 11 > 1249.6
        assert ((file.reflectivity > -60).values == (before.iwc > 0).values)[:, above].all()
    hour = realdata / "arm" / "sgpkazrgeC1.a1.20190529.000002.cdf"
    assert inpaint(hour, "--model", run, "--out", tmp_path / "hour.nc") == 0
    assert "2,379 of 2,379 gates" in capsys.readouterr().out
    before, after = raw(hour, NAME), raw(tmp_path / "hour.nc", NAME)
    above = raw(hour, "range") > 1249.6
    assert before[:, above].tobytes() == after[:, above].tobytes() and (before != after)[:, ~above].all()
