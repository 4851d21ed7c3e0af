import inspect
import json

import netCDF4
import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.datasets import ShardDataset
from cloudkeras.datasets.splits import check_no_leak
from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import ingest_radar, radar_curtain, read_model_columns, read_radar
from cloudkeras.ingest.cloudnet_iwc import read_ice
from cloudkeras.ingest.netcdf import open_granule
from cloudkeras.ingest.reflectivity import reflectivity_from_iwc

from .conftest import write_iwc, write_model
from .granules import write_geoprof, write_kazr

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


@pytest.mark.parametrize("product", ["cloudnet", "kazr", "geoprof"])
def test_the_command_has_the_defaults_of_the_function(product, monkeypatch, capsys):
    """What the command passes on, where nothing is given, is what the function does by itself."""
    passed = {}

    def record(*files, **options):
        passed.update(options)
        raise InputError("stop")

    monkeypatch.setattr("cloudkeras.ingest.ingest_radar", record)
    assert main(["ingest", product, "--radar", "a", "--out", "c"]) == 2
    parameters = inspect.signature(ingest_radar).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
    ours = {"product": product} | ({} if product == "kazr" else {"snr_threshold_db": None})  # the others have none
    assert passed == defaults | ours
    assert "stop" in capsys.readouterr().err


def kazr_day(path, day, *, hours=24.0, seed=0, **options):
    """A day of profiles 60 s apart and gates every 80 m, random echo, with signal-to-noise ratio."""
    time = 60.0 * np.arange(int(60 * hours))
    height = 100.0 + 80.0 * np.arange(20)
    rng = np.random.default_rng(seed)
    snr = np.where(rng.random((len(time), 20)) < 0.5, 5.0, -24.0)
    dbz = rng.uniform(-30, 10, (len(time), 20)).round(2)
    return write_kazr(path, time, height, dbz, snr, day=day, **options)


TINY = {"rows": 20, "columns": 30, "stride": 30, "evaluation_stride": 30, "split": "site-month"}


@pytest.fixture(scope="module")
def two_sites(tmp_path_factory):
    """Two days at the end of January, two in February, at one site; three days at another."""
    folder = tmp_path_factory.mktemp("kazr")
    days = [("2019-01-30", "a"), ("2019-01-31", "a"), ("2019-02-01", "a"), ("2019-02-02", "a"),
            ("2019-02-01", "b"), ("2019-02-02", "b"), ("2019-02-03", "b")]  # fmt: skip
    files = []
    for i, (day, site) in enumerate(days):
        place = (71.32, -156.61, 8.0) if site == "a" else (70.50, -149.89, 2.0)
        (folder / site).mkdir(exist_ok=True)
        files.append(kazr_day(folder / site / f"kazr.{day}.nc", day, seed=i, place=place))
    return files


def test_site_months_hold_out_their_end_and_do_not_leak(two_sites, tmp_path):
    out = ingest_radar(two_sites, None, tmp_path / "out", product="kazr", **TINY)
    dataset = ShardDataset.open(out)
    manifest = dataset.manifest
    assert manifest.gap_seconds == 1800 and manifest.provenance["source"].startswith("ARM Ka-band zenith radar")
    blocks = manifest.provenance["held_out_site_months"]
    months = [(round(b["site"][0], 2), b["month"]) for b in blocks if b["split"] == "test"]
    assert months == [(71.32, "2019-01"), (71.32, "2019-02"), (70.5, "2019-02")]
    # two days of 1440 columns: the last 288 minutes, from 19:12; before that a gap of 30 minutes and as much again
    first, second = (next(b for b in blocks if b["split"] == s) for s in ("test", "validation"))
    assert (first["start"], first["end"]) == ("2019-01-31T19:12:00Z", "2019-01-31T23:59:00Z")
    assert (second["start"], second["end"]) == ("2019-01-31T13:54:00Z", "2019-01-31T18:41:00Z")
    tables = {split: dataset.samples(split) for split in ("train", "validation", "test")}
    check_no_leak(tables, (20, 30), 1800.0)
    train = tables["train"]
    at_a = np.abs(train.latitude - 71.32) < 0.01
    february = float(np.datetime64("2019-02-01", "s").astype(float))
    assert (
        train.time_start[at_a & (train.time_start >= february)].min() >= february - 60 + 1800
    )  # the gap after January
    per_file = [entry["windows"] for entry in manifest.provenance["radar_files"]]
    assert {k: sum(w[k] for w in per_file) for k in tables} == {k: len(t) for k, t in tables.items()}
    assert {len(entry["sha256"]) for entry in manifest.provenance["radar_files"]} == {64}


def test_a_bad_file_is_named_and_does_not_stop_the_others(two_sites, tmp_path, capsys):
    short = kazr_day(tmp_path / "short.nc", "2019-02-05", hours=0.3)
    broken = tmp_path / "broken.nc"
    broken.write_bytes(two_sites[0].read_bytes()[:4000])
    empty = kazr_day(tmp_path / "empty.nc", "2019-02-06")
    edit(empty, "reflectivity_copol", values=np.ma.masked_all((1440, 20)))
    files = [*two_sites[:4], short, broken, empty]
    dataset = ShardDataset.open(ingest_radar(files, None, tmp_path / "out", **TINY))
    refused = {entry["file"]: entry["reason"] for entry in dataset.manifest.provenance["refused_files"]}
    assert "at least one window of 30 columns of 60 s; found 18 columns" in refused["short.nc"]
    assert "expected a NetCDF file; found 4000 bytes" in refused["broken.nc"]
    assert "expected two profiles or more with values" in refused["empty.nc"] and len(refused) == 3
    assert len(dataset.manifest.provenance["radar_files"]) == 4
    with pytest.raises(DataError, match=r"short.nc: variable 'time'"):
        ingest_radar(files, None, tmp_path / "strict", strict=True, **TINY)
    with pytest.raises(
        DataError, match=r"at least one file that can be used; found 2 that cannot: .*18 columns.*; .*4000"
    ):
        ingest_radar([short, broken], None, tmp_path / "none", **TINY)
    with pytest.raises(InputError, match="Each radar file is given once"):
        ingest_radar([short, short], None, tmp_path / "twice", **TINY)
    options = ["--rows", "20", "--columns", "30", "--stride", "30", "--evaluation-stride", "30"]
    options += ["--split", "site-month", "--out", str(tmp_path / "command")]
    assert main(["ingest", "kazr", "--radar", *map(str, files), *options]) == 0
    printed = capsys.readouterr().out
    assert "from 4 files" in printed and "3 of 7 files not used:\n" in printed
    assert all(f"  {reason}\n" in printed for reason in refused.values())
    assert main(["ingest", "cloudnet", "--radar", *map(str, files), *options, "--overwrite", "--strict"]) == 2
    assert "radar file (cloudnet-categorize or cloudnet-iwc)" in capsys.readouterr().err


def test_curtains_that_do_not_fit_into_memory_are_read_again(two_sites, tmp_path, monkeypatch):
    kept = ShardDataset.open(ingest_radar(two_sites[:4], None, tmp_path / "kept", **TINY))
    monkeypatch.setattr("cloudkeras.ingest.radar_shards._KEPT_BYTES", 0)
    again = ShardDataset.open(ingest_radar(two_sites[:4], None, tmp_path / "again", **TINY))
    for split in ("train", "test"):
        n = kept.num_samples(split)
        assert n == again.num_samples(split)
        np.testing.assert_array_equal(
            *(d.read(split, np.arange(n), ["reflectivity"])["reflectivity"] for d in (kept, again))
        )


def test_cold_season(two_sites, tmp_path):
    """January stays below 2 C, February does not: its radar files are left out, with the reason."""
    hours = np.arange(24 * 29, 24 * 34)
    warm = write_model(tmp_path / "warm.nc", hours, hours, [2, 9000], surface_k=274.0, per_hour=0.0, day="2019-01-01")
    january = ingest_radar(two_sites[:2], warm, tmp_path / "january", cold_season=True, **TINY)
    assert ShardDataset.open(january).manifest.provenance["cold_season"] is True
    with netCDF4.Dataset(warm, "a") as file:
        file["temperature"][-1] = 276.0  # one hour of February
    mixed = ShardDataset.open(ingest_radar(two_sites[:4], warm, tmp_path / "mixed", cold_season=True, **TINY))
    reasons = [entry["reason"] for entry in mixed.manifest.provenance["refused_files"]]
    assert len(reasons) == 2 and all("a month whose near-surface temperature never exceeds 2 C" in r for r in reasons)
    with pytest.raises(InputError, match="`cold_season` needs model files"):
        ingest_radar(two_sites[:2], None, tmp_path / "none", cold_season=True, **TINY)


def test_geoprof_command(tmp_path, capsys):
    pytest.importorskip("pyhdf", reason="the extra `ingest` is not installed")
    rays, bins = 1200, 125
    rng = np.random.default_rng(0)
    track = np.linspace(60, 70, rays)
    height = np.broadcast_to(120 + 240 * np.arange(bins - 5, -5, -1), (rays, bins))
    mask = rng.choice([0, 40], (rays, bins))
    mask[:, -9:-4] = 5  # clutter below 1.2 km
    path = write_geoprof(tmp_path / "g.hdf", 0.16 * np.arange(rays), height, rng.uniform(-25, 15, (rays, bins)), mask,
                         latitude=track, longitude=np.full(rays, 20.0), surface=np.full(rays, -9999))  # fmt: skip
    options = ["--rows", "40", "--row-depth", "240", "--columns", "32", "--evaluation-stride", "32"]
    out = tmp_path / "out"
    assert main(["ingest", "geoprof", "--radar", str(path), "--out", str(out), "--split", "site-month", *options]) == 0
    assert "CloudSat 2B-GEOPROF" in capsys.readouterr().out
    dataset = ShardDataset.open(out)
    samples = dataset.samples("test")
    np.testing.assert_allclose(samples.latitude, track[samples.x_start + 16], atol=1e-3)  # along the track
    windows = dataset.read("test", np.arange(len(samples)), ["reflectivity"])["reflectivity"]
    assert np.isnan(windows[:, :5]).all() and np.isfinite(windows[:, 5:]).all()
    with pytest.raises(DataError, match="a radar that stands still, for model columns; found a track"):
        ingest_radar(path, [tmp_path / "m.nc"], tmp_path / "no")


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
