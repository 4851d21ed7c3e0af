from __future__ import annotations

import json
import logging

import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.errors import DataError, InputError
from cloudkeras.inference import inpaint
from cloudkeras.inference.inpaint_writing import FILLED, FILLED_CLEAR, MISSING, OBSERVED, SHORT
from cloudkeras.ingest import radar_curtain, read_radar
from tests.inference.inpainting import (
    BLIND_ROWS,
    DEPTH_M,
    ROWS,
    STEP_S,
    TOP_M,
    Run,
    kazr_file,
    lowest_visible,
    over_the_window,
    raw,
    smooth_echo,
)

NAME = "reflectivity_copol"
HEIGHT = 30.0 * (np.arange(60) + 0.5)
BLIND = HEIGHT < TOP_M


def filled(path, out, run=None, **options):
    return inpaint(path, run or Run(lowest_visible), out, **options)


def whole_record(path, run):
    """What the network says of the whole record at once, without windows: (row, column) dBZ in the blind zone."""
    curtain = radar_curtain(read_radar(path), rows=ROWS, row_depth_m=DEPTH_M)
    fields = run.task.prepare({name: values[None] for name, values in curtain.fields.items()})
    x = run.task.network_inputs(fields, run.statistics)
    return run.task.decode(run.network(x), x)[0, :BLIND_ROWS]


@pytest.mark.parametrize("profiles", [24, 32, 33, 150])
def test_windows_give_what_the_whole_record_gives(tmp_path, profiles):
    path = kazr_file(tmp_path / "in.nc", STEP_S * np.arange(profiles))
    run = Run(lowest_visible)
    filled(path, tmp_path / "out.nc", run, interpolation="nearest")
    row = np.rint(HEIGHT[BLIND] / DEPTH_M - 0.5).astype(int)
    expected = whole_record(path, run)[row].T
    np.testing.assert_allclose(raw(tmp_path / "out.nc", NAME)[:, BLIND], expected, atol=2e-4)


def test_every_stored_value_outside_the_blind_zone_is_kept(tmp_path):
    path = kazr_file(tmp_path / "in.nc")
    with netCDF4.Dataset(path, "a") as file:  # missing, infinite and odd values outside are nobody's business
        file[NAME][3, 40], file[NAME][4, 41] = -9999.0, np.float32(-0.0)
    result = filled(path, tmp_path / "out.nc")
    before, after = raw(path, NAME), raw(tmp_path / "out.nc", NAME)
    assert after.dtype == before.dtype and after[:, ~BLIND].tobytes() == before[:, ~BLIND].tobytes()
    assert (after[:, BLIND] != before[:, BLIND]).all()
    flag = raw(tmp_path / "out.nc", "filled")
    assert (flag[:, ~BLIND] == OBSERVED).all() and (flag[:, BLIND] == FILLED).all()
    assert result.gates["filled"] == flag.size * BLIND.mean() and result.gates["not_filled_missing"] == 0
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(tmp_path / "out.nc") as new:
        assert new[NAME].dimensions == old[NAME].dimensions and new[NAME].units == "dBZ"
        for name in ("time", "range", "lat", "lon", "alt", "base_time", "time_offset"):
            assert raw(path, name).tobytes() == raw(tmp_path / "out.nc", name).tobytes()
            dropped = {"_FillValue"} if name in ("time", "range") else set()  # a coordinate is never missing, says CF
            assert dict(old[name].__dict__).keys() - dropped <= dict(new[name].__dict__).keys()


def test_nothing_in_the_blind_zone_has_any_influence(tmp_path):
    echo = smooth_echo(100, 60)
    other = echo.copy()
    other[:, BLIND] = np.where(np.arange(100)[:, None] % 2, np.nan, 17.0)
    for name, dbz in (("a", echo), ("b", other)):
        filled(kazr_file(tmp_path / f"{name}.nc", dbz=dbz), tmp_path / f"{name}_out.nc", Run(over_the_window))
    first, second = raw(tmp_path / "a_out.nc", NAME, "filled"), raw(tmp_path / "b_out.nc", NAME, "filled")
    assert first[0].tobytes() == second[0].tobytes() and first[1].tobytes() == second[1].tobytes()


def test_gaps_are_not_crossed(tmp_path):
    time = STEP_S * np.concatenate([np.arange(40), np.arange(60, 110)])
    dbz = smooth_echo(90, 60)
    filled(kazr_file(tmp_path / "both.nc", time, dbz), tmp_path / "both_out.nc", Run(over_the_window))
    for part in (slice(0, 40), slice(40, 90)):
        filled(kazr_file(tmp_path / "one.nc", time[part], dbz[part]), tmp_path / "one_out.nc", Run(over_the_window))
        assert raw(tmp_path / "both_out.nc", NAME)[part].tobytes() == raw(tmp_path / "one_out.nc", NAME).tobytes()


def test_profiles_without_values_stay_missing(tmp_path):
    dbz = smooth_echo(100, 60)
    dbz[20] = np.nan  # bridged for its neighbors, but not filled
    dbz[50:60, 16:] = np.nan  # what is left of them lies in the blind zone
    path = kazr_file(tmp_path / "in.nc", dbz=dbz)
    result = filled(path, tmp_path / "out.nc")
    after, flag = raw(tmp_path / "out.nc", NAME, "filled")
    missing = np.isin(np.arange(100), [20, *range(50, 60)])
    assert (flag[:, BLIND] == np.where(missing, MISSING, FILLED)[:, None]).all()
    assert (after[missing][:, BLIND] == -9999).all() and (after[~missing][:, BLIND] > -60).all()
    assert result.segments == 2 and result.gates["not_filled_missing"] == 11 * BLIND.sum()


def test_a_short_segment_is_flagged_and_a_short_record_refused(tmp_path):
    time = STEP_S * np.concatenate([np.arange(3), np.arange(20, 60)])
    path = kazr_file(tmp_path / "in.nc", time)
    assert filled(path, tmp_path / "out.nc").gates["not_filled_short_segment"] == 3 * BLIND.sum()
    flag = raw(tmp_path / "out.nc", "filled")
    assert (flag[:3][:, BLIND] == SHORT).all() and (flag[3:][:, BLIND] == FILLED).all()
    path = kazr_file(tmp_path / "short.nc", STEP_S * np.arange(3))
    with pytest.raises(DataError, match=r"at least 4 columns of 30 s without a gap.*found 3 columns at most"):
        filled(path, tmp_path / "short_out.nc")
    assert not (tmp_path / "short_out.nc").exists()


def test_repeated_and_swapped_times_keep_their_place(tmp_path):
    time, dbz = STEP_S * np.arange(100), smooth_echo(100, 60)
    filled(kazr_file(tmp_path / "in.nc", time, dbz), tmp_path / "out.nc")
    order = np.array([*range(40), 40, 40, 42, 41, *range(43, 100)])
    path = kazr_file(tmp_path / "odd.nc", time[order], dbz[order])
    filled(path, tmp_path / "odd_out.nc")
    assert raw(tmp_path / "odd_out.nc", "time").tolist() == time[order].tolist()
    expected, found = raw(tmp_path / "out.nc", NAME)[order], raw(tmp_path / "odd_out.nc", NAME)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(("gate_m", "gates"), [(7.0, 300), (240.0, 9)])
def test_other_gates_get_the_nearest_row(tmp_path, gate_m, gates):
    path = kazr_file(tmp_path / "in.nc", gate_m=gate_m, gates=gates)
    rows = np.broadcast_to(np.arange(ROWS, dtype=np.float32)[:, None] / 40, (ROWS, 32))
    filled(
        path, tmp_path / "out.nc", Run(lambda x: np.repeat(rows[None, ..., None], len(x), 0)), interpolation="nearest"
    )
    height = gate_m * (np.arange(gates) + 0.5)
    row = np.rint(height[height < TOP_M] / DEPTH_M - 0.5).clip(0, BLIND_ROWS - 1)
    expected = (row / 40 + 0.5) * 60 - 60
    found = raw(tmp_path / "out.nc", NAME)[:, height < TOP_M]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-4)


def test_linear_interpolation_between_rows(tmp_path):
    path = kazr_file(tmp_path / "in.nc")
    rows = np.broadcast_to(np.arange(ROWS, dtype=np.float32)[:, None] / 40, (ROWS, 32))
    filled(path, tmp_path / "out.nc", Run(lambda x: np.repeat(rows[None, ..., None], len(x), 0)))
    row = (HEIGHT[BLIND] / DEPTH_M - 0.5).clip(0, BLIND_ROWS - 1)
    found = raw(tmp_path / "out.nc", NAME)[:, BLIND]
    np.testing.assert_allclose(found, np.broadcast_to((row / 40 + 0.5) * 60 - 60, found.shape), atol=1e-4)


def test_another_step_is_seen_at_the_step_of_the_training(tmp_path):
    path = kazr_file(tmp_path / "in.nc", 5.0 * np.arange(400))
    with netCDF4.Dataset(filled(path, tmp_path / "out.nc", step_s=30.0).path) as file:
        assert file.column_s == 30.0 and (file["filled"][:, BLIND] == FILLED).all()
    assert filled(path, tmp_path / "own.nc").segments == 1
    with netCDF4.Dataset(tmp_path / "own.nc") as file:
        assert file.column_s == 5.0
    run = Run(lowest_visible)
    run.path = tmp_path
    for trained, expected in ((30.0, 30.0), (5.2, 5.0)):  # the record's own where it is nearly the same
        grid = {"row_depth_m": 60.0, "column_s": trained}
        (tmp_path / "environment.json").write_text(json.dumps({"sessions": [{"grid": grid}]}))
        with netCDF4.Dataset(filled(path, tmp_path / "out.nc", run).path) as file:
            assert file.column_s == expected and file.row_depth_m == 60.0 and file.blind_zone_top_m == 360.0


def test_stretches_give_what_one_gives(tmp_path):
    path = kazr_file(tmp_path / "in.nc", STEP_S * np.arange(300) + 9 * np.sin(np.arange(300)))
    calls = []
    for name, columns in (("long", 1024), ("short", 40)):
        run = Run(over_the_window)
        filled(path, tmp_path / name, run, stretch_columns=columns, progress=lambda *call: calls.append(call))
    np.testing.assert_allclose(raw(tmp_path / "short", NAME), raw(tmp_path / "long", NAME), atol=1e-4)
    assert calls[0][0] == 0 and all(calls[i][0] == calls[i][1] for i in (-1,))


def noisy(tmp_path, name="out.nc", **options):
    path = kazr_file(tmp_path / "in.nc")
    return filled(path, tmp_path / name, Run(lowest_visible, noise=0.3), **options)


def test_members_give_uncertainty_where_it_is_filled(tmp_path):
    result = noisy(tmp_path, members=40)
    with xarray.open_dataset(result.path) as file:
        blind = file.where(file.filled > 0).isel(range=BLIND)
        spread, probability = blind[f"{NAME}_spread"], blind[f"{NAME}_echo_probability"]
        quantiles = blind[f"{NAME}_quantile"]
        assert quantiles.sizes["quantile"] == 5 and np.allclose(file["quantile"], [0.05, 0.25, 0.5, 0.75, 0.95])
        assert bool((quantiles.diff("quantile") >= 0).all()) and 0.5 < float(probability.min()) <= 1
        assert 10 < float(spread.mean()) < 25  # 0.3 of the network's space is 18 dB, cut off at -60 and 30
        assert bool(file[f"{NAME}_spread"].isel(range=~BLIND).isnull().all())
        np.testing.assert_allclose(quantiles.sel(quantile=0.5), blind[NAME], atol=1e-3)
        assert file[NAME].attrs["ancillary_variables"].split() == [
            "filled", f"{NAME}_spread", f"{NAME}_quantile", f"{NAME}_echo_probability"
        ]  # fmt: skip
        assert file.attrs["members"] == 40 and file.attrs["calibration"] == "none"


def test_the_seed_decides(tmp_path):
    first, again, other = (noisy(tmp_path, f"{k}.nc", members=5, seed=s).path for k, s in enumerate((3, 3, 4)))
    names = (NAME, f"{NAME}_spread", f"{NAME}_quantile")
    assert all(a.tobytes() == b.tobytes() for a, b in zip(raw(first, *names), raw(again, *names), strict=True))
    assert all(a.tobytes() != b.tobytes() for a, b in zip(raw(first, *names), raw(other, *names), strict=True))


def test_a_model_that_always_says_the_same_has_no_spread(tmp_path):
    result = filled(kazr_file(tmp_path / "in.nc"), tmp_path / "out.nc", members=50)
    with netCDF4.Dataset(result.path) as file:
        assert file.members == 1 and file[NAME].ancillary_variables == "filled"
        assert not any("spread" in name or "quantile" in name for name in file.variables)


def test_filled_without_echo_is_missing_and_told_apart(tmp_path):
    run = Run(lambda x: np.full((*x.shape[:3], 1), -1, np.float32))
    result = filled(kazr_file(tmp_path / "in.nc"), tmp_path / "out.nc", run)
    after, flag = raw(tmp_path / "out.nc", NAME, "filled")
    assert (after[:, BLIND] == -9999).all() and (flag[:, BLIND] == FILLED_CLEAR).all()
    assert result.gates["filled"] == 0 and result.gates["filled_without_echo"] == 100 * BLIND.sum()


def test_linear_units_stay_linear(tmp_path):
    dbz = smooth_echo(100, 60)
    filled(kazr_file(tmp_path / "dbz.nc", dbz=dbz), tmp_path / "dbz_out.nc")
    filled(kazr_file(tmp_path / "z.nc", dbz=10 ** (dbz / 10), units="mm6 m-3"), tmp_path / "z_out.nc")
    decibels, linear = raw(tmp_path / "dbz_out.nc", NAME), raw(tmp_path / "z_out.nc", NAME)
    np.testing.assert_allclose(10 * np.log10(linear[:, BLIND]), decibels[:, BLIND], atol=1e-3)


def test_times_and_coordinates_in_xarray(tmp_path):
    result = filled(kazr_file(tmp_path / "in.nc"), tmp_path / "out.nc")
    with xarray.open_dataset(result.path) as file:
        assert file.time.values[[0, -1]].tolist() == [
            np.datetime64("2019-05-29T00:00:00", "ns").astype(int),
            np.datetime64("2019-05-29T00:49:30", "ns").astype(int),
        ]
        assert file[NAME].dims == ("time", "range") and file.attrs["Conventions"] == "CF-1.11"
        assert file.attrs["blind_zone_top_m"] == pytest.approx(TOP_M) and "inpaint" in file.attrs["history"]
        assert file.filled.attrs["flag_meanings"].split()[FILLED_CLEAR] == "filled_without_echo"


def test_tops_within_what_the_model_serves(tmp_path, caplog):
    path = kazr_file(tmp_path / "in.nc")
    run = Run(over_the_window, train_blind_rows=[4, 10])
    for top, rows in ((350.0, 5), (780.0, 10)):
        result = filled(path, tmp_path / "out.nc", run, blind_zone_top_m=top)
        assert result.hidden_rows == rows and result.blind_zone_top_m == top
        assert (raw(tmp_path / "out.nc", "filled") > 0).all(axis=0).tolist() == (top > HEIGHT).tolist()
    with pytest.raises(
        InputError, match=r"blind zones up to 781 m.*Received a top of 900 m.*train_blind_rows=\[4,12\]"
    ):
        filled(path, tmp_path / "high.nc", run, blind_zone_top_m=900.0)
    caplog.set_level(logging.WARNING, "cloudkeras")
    low = filled(path, tmp_path / "low.nc", run, blind_zone_top_m=200.0)
    assert low.hidden_rows == 4 and low.blind_zone_top_m == 200.0 and "from 312 m" in caplog.text
    with pytest.raises(InputError, match=r"in metres above ground, at least .*78.1 m.*Received blind_zone_top_m=1.25"):
        filled(path, tmp_path / "low.nc", run, blind_zone_top_m=1.25)


def test_a_radar_that_begins_above_the_blind_zone_is_refused(tmp_path):
    path = kazr_file(tmp_path / "in.nc", gate_m=30.0)
    with netCDF4.Dataset(path, "a") as file:
        file["range"][:] = HEIGHT + 600
    with pytest.raises(DataError, match=r"gates below the top of the blind zone, 469 m.*found the lowest at 615 m"):
        filled(path, tmp_path / "out.nc")


def test_what_is_missing_is_said(tmp_path):
    path = kazr_file(tmp_path / "in.nc")
    with pytest.raises(InputError, match=r"trained with temperature, specific_humidity.*--context FILE"):
        filled(path, tmp_path / "out.nc", Run(lowest_visible, context=True))
    with pytest.raises(DataError, match="no such file"):
        filled(tmp_path / "none.nc", tmp_path / "out.nc")
    with pytest.raises(InputError, match="another file than the input"):
        filled(path, path)
    with pytest.raises(InputError, match="`step_s` is above 0"):
        filled(path, tmp_path / "out.nc", step_s=0.0)
    with pytest.raises(InputError, match="`row_depth_m` is above 0"):
        filled(path, tmp_path / "out.nc", row_depth_m=0.0)
    with pytest.raises(InputError, match="values that are not finite"):
        filled(path, tmp_path / "out.nc", Run(lambda x: np.full((*x.shape[:3], 1), np.nan, np.float32)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.nc"]
    empty = kazr_file(tmp_path / "empty.nc", dbz=np.full((100, 60), np.nan, np.float32))
    with pytest.raises(DataError, match="two profiles or more with values"):
        filled(empty, tmp_path / "out.nc")
