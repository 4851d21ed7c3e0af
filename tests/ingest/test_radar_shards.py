import argparse
import inspect
import json

import netCDF4
import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.commands.ingest import configure
from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import ingest_radar, radar_curtain, read_model_columns, read_radar
from cloudkeras.ingest.cloudnet_iwc import read_ice
from cloudkeras.ingest.netcdf import open_granule
from cloudkeras.ingest.reflectivity import reflectivity_from_iwc

from .conftest import write_iwc, write_model

SMALL = {"rows": 24, "columns": 12, "stride": 3, "evaluation_stride": 12}  # windows of 24 rows and one hour


def ingest(day, out, **options):
    return ingest_radar(day[0], day[1], out, **{**SMALL, **options})


def test_shards_hold_the_record(day, tmp_path):
    out = ingest(day, tmp_path / "out")
    dataset = ShardDataset.open(out)
    assert not dataset.simulated and dataset.task_name == "blind_zone"
    # train: 84 columns from 0 to 7 h hold 25 windows 3 apart, 60 from 19 to 24 h hold 17
    counts = {s: dataset.num_samples(s) for s in ("train", "validation", "test")}
    assert counts == {"train": 42, "validation": 2, "test": 6}
    with netCDF4.Dataset(day[0]) as file:
        iwc, gates = file["iwc"][:].filled(), file["height"][:].filled() - 11
    rows = (np.arange(24) + 0.5) * 78.1
    gate = np.abs(gates[None] - rows[:, None]).argmin(axis=1)
    fields = dataset.read("test", np.arange(6), ["reflectivity", "temperature", "eastward_wind"])
    samples = dataset.samples("test")
    times = 1609718400 + 3600 * day[2]
    for k in range(6):
        seconds = samples.time_start[k] + 300 * np.arange(12)
        profile = np.abs(times[:, None] - seconds).argmin(axis=0)
        celsius_free = 270 - 6.5e-3 * gates[gate][:, None] + (times[profile] - 1609718400) / 3600
        expected = reflectivity_from_iwc(iwc[profile][:, gate].T, celsius_free)
        np.testing.assert_allclose(fields["reflectivity"][k], expected, atol=0.006)  # half a step of the packing
        np.testing.assert_allclose(
            fields["temperature"][k], 270 - 6.5e-3 * rows[:, None] + (seconds - 1609718400) / 3600, rtol=1e-5
        )
        np.testing.assert_allclose(fields["eastward_wind"][k], np.repeat(rows[:, None], 12, 1) / 1000, rtol=1e-5)
    assert samples.latitude[0] == pytest.approx(78.93) and set(samples.granule) == {"20210104_site_iwc.nc"}


def test_no_window_crosses_the_gap_and_splits_keep_apart(day, tmp_path):
    dataset = ShardDataset.open(ingest(day, tmp_path / "out"))
    intervals = []
    for split in ("train", "validation", "test"):
        samples = dataset.samples(split)
        start, end = ((t - 1609718400) / 3600 for t in (samples.time_start, samples.time_end))
        assert not ((start < 10.0) & (end > 10.8)).any()
        np.testing.assert_allclose(end - start, 11 / 12)
        intervals += [(split, a, b) for a, b in zip(start, end, strict=True)]
    for split, a, b in intervals:
        assert all(max(c - b, a - d) >= 1 - 1e-6 for other, c, d in intervals if other != split)


def test_manifest_says_where_it_comes_from(day, tmp_path):
    out = ingest(day, tmp_path / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["provenance"]["source"] == "reflectivity re-derived from IWC"
    assert manifest["provenance"]["model_lead_hours"] == [12, 23] and manifest["gap_seconds"] == 3600
    with netCDF4.Dataset(out / "test-00000.nc") as file:
        assert file.source == "reflectivity re-derived from IWC" and file["height"].units == "m"


def test_two_days_and_overwriting(day, tmp_path):
    day[0].rename(tmp_path / "first.nc")
    second = write_iwc(
        tmp_path / "second.nc", day[2] + 24, np.arange(121.0, 2500, 40), np.full((len(day[2]), 60), 1e-6)
    )
    model = write_model(tmp_path / "model.nc", np.arange(49), np.arange(49), [10, 9000], surface_k=230)
    files = ([tmp_path / "first.nc", second], [model], tmp_path / "out")
    dataset = ShardDataset.open(ingest_radar(*files, **SMALL))
    assert set(dataset.samples("test").granule) == {"first.nc", "second.nc"} and dataset.num_samples("test") == 12
    with pytest.raises(InputError, match="already holds a dataset"):
        ingest_radar(*files, **SMALL)
    ingest_radar(*files, **SMALL, overwrite=True)


def test_masked_pixels_of_newer_files_are_read_by_their_status(tmp_path):
    iwc = np.full((2, 8), np.nan)
    iwc[:, 1] = 1e-6
    status = np.tile([0, 1, 2, 3, 4, 5, 6, 7], (2, 1))
    path = write_iwc(tmp_path / "a.nc", [0, 1], 100.0 + 10 * np.arange(8), iwc, status=status, frequency=None)
    with open_granule(path) as dataset:
        found = read_ice(dataset)[2][:, 0]
    np.testing.assert_allclose(found, [0, 1e-6, np.nan, np.nan, 0, np.nan, np.nan, np.nan])
    model = write_model(tmp_path / "model.nc", [0, 1], [0, 1], [10, 9000])
    dbz = read_radar(path, frequency_ghz=35, model=[model]).reflectivity[:, 0]
    assert np.array_equal(np.isnan(dbz), np.isnan(found)) and dbz[0] == dbz[4] == -60 and dbz[1] > -60
    with pytest.raises(DataError, match=r"'radar_frequency'.*--frequency 94"):
        read_radar(path, model=[model])


def test_rows_beyond_the_radar_are_missing(day):
    curtain = radar_curtain(read_radar(day[0], model=[day[1]]), rows=40)
    dbz = curtain.fields["reflectivity"][:, curtain.observed]
    above = curtain.height > 110 + 40 * 59 + 78.1
    assert above.any() and np.isnan(dbz[above]).all() and np.isfinite(dbz[~above]).all()
    assert np.isnan(curtain.fields["reflectivity"][:, ~curtain.observed]).all() and not curtain.observed.all()


def edit(path, name, **attributes):
    with netCDF4.Dataset(path, "a") as file:
        values = attributes.pop("values", None)
        if values is not None:
            file[name][...] = values
        for key, value in attributes.items():
            file[name].setncattr(key, value)


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda d: edit(d[0], "iwc", units="g m-3"), "variable 'iwc': expected units 'kg m-3'; found units 'g m-3'"),
        (lambda d: edit(d[0], "iwc", values=-1e-6), "variable 'iwc': expected 0 or more"),
        (lambda d: edit(d[0], "iwc", values=0.5), "at most 0.1 kg m-3; found 0.5.*Is it in g m-3"),
        (lambda d: edit(d[0], "height", units="km"), "variable 'height': expected units 'm'"),
        (lambda d: edit(d[0], "height", values=np.arange(60, 0, -1)), "variable 'height': expected increasing"),
        (lambda d: edit(d[0], "height", values=np.arange(60) * 10 + 9000), "gates within most of 0 to"),
        (
            lambda d: edit(d[0], "time", values=np.arange(len(d[2]))[::-1]),
            "variable 'time': expected times that increase",
        ),
        (
            lambda d: edit(d[1], "time", values=np.arange(25) + 1),
            "model.nc: variable 'time': expected model columns that cover",
        ),
        (lambda d: d[0].write_bytes(d[0].read_bytes()[:2000]), "iwc.nc: expected a NetCDF file"),
        (lambda d: d[1].unlink(), "model.nc: expected a NetCDF file; found no such file"),
    ],
)
def test_bad_granules(day, tmp_path, change, message, capsys):
    change(day)
    with pytest.raises(DataError, match=message):
        ingest(day, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    command = ["ingest", "cloudnet", "--iwc", str(day[0]), "--model", str(day[1]), "--out", str(tmp_path / "out")]
    assert main([*command, "--rows", "24", "--columns", "12"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cloudkeras: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "options,message",
    [
        ({"columns": 500}, "at least one window of 500 columns of 300 s; found 288 columns"),
        ({"test_hours": (12.0, 12.5)}, "for test, between 12 and 12.5 h; found none.*--test-hours"),
        ({"validation_hours": (9.5, 10.9)}, "for validation, between 9.5 and 10.9 h"),
        ({"validation_hours": (10.9, 11.9)}, "must lie 3600 s apart"),
        ({"stride": 0}, "`stride` count"),
        ({"frequency_ghz": 3.0}, "about 35 or 94"),
    ],
)
def test_bad_options(day, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        ingest(day, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_command(day, tmp_path, capsys):
    command = ["ingest", "cloudnet", "--iwc", str(day[0]), "--model", str(day[1]), "--out", str(tmp_path / "out")]
    assert main([*command, "--rows", "24", "--columns", "12", "--stride", "3", "--evaluation-stride", "12"]) == 0
    printed = capsys.readouterr().out
    assert "42 train, 2 validation, 6 test windows of 24 x 12" in printed and str(tmp_path / "out") in printed


def test_the_command_has_the_defaults_of_the_function():
    parser = argparse.ArgumentParser()
    configure(parser)
    given = vars(parser.parse_args(["cloudnet", "--iwc", "a", "--model", "b", "--out", "c"]))
    defaults = {
        k: p.default
        for k, p in inspect.signature(ingest_radar).parameters.items()
        if p.kind == p.KEYWORD_ONLY and k != "product"
    }
    names = {
        "step_s": "step",
        "row_depth_m": "row_depth",
        "max_gap_s": "max_gap",
        "gap_s": "gap",
        "frequency_ghz": "frequency",
    }
    assert {k: given[names.get(k, k)] for k in defaults} == defaults


@pytest.mark.realdata
def test_ny_alesund(realdata, tmp_path):
    folder = realdata / "cloudnet_arctic"
    iwc = folder / "20210104_ny-alesund_iwc-Z-T-method.nc"
    models = sorted(folder.glob("*icon-iglo*.nc"))
    curtain = radar_curtain(read_radar(iwc, model=models))
    dbz = curtain.fields["reflectivity"]
    np.testing.assert_allclose(np.percentile(dbz[dbz > -60], [1, 50, 99]), [-28.5, -3.6, 14.2], atol=0.3)
    assert dbz.shape == (128, 2878) and (~curtain.observed).sum() == 16  # the gap of 8.5 minutes at 10.31 h
    hour = curtain.time[~curtain.observed] % 86400 / 3600
    assert hour.min() > 10.31 and hour.max() < 10.46
    dataset = ShardDataset.open(ingest_radar(iwc, models, tmp_path / "out", stride=32))
    assert dataset.num_samples("test") == 6 and dataset.num_samples("train") > 30
    low = dataset.read("test", np.arange(6), ["reflectivity"])["reflectivity"][:, :16]
    share = (low > -60).mean()
    assert 2 * share / (1 + share) == pytest.approx(0.926, abs=0.005)  # Dice of "echo everywhere"


@pytest.mark.realdata
def test_lead_times_hardly_matter_for_reflectivity(realdata):
    folder = realdata / "cloudnet_arctic"
    file = folder / "20210104_ny-alesund_iwc-Z-T-method.nc"
    one, other = (
        radar_curtain(read_radar(file, model=[folder / f"20210104_ny-alesund_icon-iglo-{lead}.nc"]))
        for lead in ("12-23", "36-47")
    )
    difference = one.fields["reflectivity"] - other.fields["reflectivity"]
    assert 0 < np.nanmean(np.abs(difference)) < 0.13
    assert read_model_columns([folder / "20210104_ny-alesund_icon-iglo-12-23.nc"]).lead_hours.max() == 23


@pytest.mark.realdata
def test_mace_head_has_missing_rain(realdata):
    folder = realdata / "cloudnet_macehead"
    record = read_radar(
        folder / "20190517_mace-head_iwc-Z-T-method.nc",
        frequency_ghz=35.5,
        model=[folder / "20190517_mace-head_ecmwf.nc"],
    )
    assert record.longitude == pytest.approx(-9.9, abs=0.01) and record.source == "reflectivity re-derived from IWC"
    missing, clear = np.isnan(record.reflectivity).mean(), (record.reflectivity == -60).mean()
    assert missing == pytest.approx(0.100, abs=0.002) and clear == pytest.approx(0.637, abs=0.002)
