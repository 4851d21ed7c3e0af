"""Terrain and the pattern of water on it."""

import netCDF4
import numpy as np
import pytest

from cloudkeras.datasets.synthetic.melt_surface import flow_accumulation, make_surface
from cloudkeras.datasets.synthetic.melt_terrain import (
    Terrain,
    balance_of_altitude,
    generate_terrain,
    read_terrain,
)
from cloudkeras.errors import DataError, InputError


def write_terrain(path, altitude, x, y, mask=None, transposed=False, wkt=None):
    """A file with 1-D coordinates; `transposed` stores x first."""
    with netCDF4.Dataset(path, "w") as file:
        dims = ("x", "y") if transposed else ("y", "x")
        for name, values in (("x", x), ("y", y)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        for name, values in (("surface", altitude), ("mask", mask)):
            if values is not None:
                file.createVariable(name, "f4", dims)[...] = values.T if transposed else values
        if wkt:
            file.createVariable("mapping", "i4", ()).crs_wkt = wkt
    return path


def plane(x, y):
    """An inclined plane, which bilinear interpolation keeps exactly."""
    return 500 + 0.02 * (x[None, :] - x[0]) - 0.01 * (y[:, None] - y[0])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("south_first", [False, True])
def test_a_plane_is_resampled_exactly(tmp_path, transposed, south_first):
    x = 300_000 + 150.0 * np.arange(20)
    y = -2_560_000 - 150.0 * np.arange(18)
    altitude = plane(x, y)
    mask = np.where(np.arange(20) < 15, 2, 0) * np.ones((18, 1))
    order = slice(None, None, -1) if south_first else slice(None)
    file = write_terrain(tmp_path / "t.nc", altitude[order], x, y[order], mask[order], transposed)
    terrain = read_terrain([file])
    assert terrain.shape == (27, 30)  # 2700 m x 3000 m
    assert (terrain.left, terrain.top) == (299_925.0, -2_559_925.0)
    centers_x = terrain.left + 50 + 100 * np.arange(30)
    centers_y = terrain.top - 50 - 100 * np.arange(27)
    inner = (slice(1, -1), slice(1, -1))
    expected = plane(np.r_[x[0], centers_x], np.r_[y[0], centers_y])[1:, 1:]
    np.testing.assert_allclose(terrain.altitude[inner][:, :20], expected[inner][:, :20], atol=1e-3)
    assert terrain.land[:, :21].all() and not terrain.land[:, 23:].any()
    assert (terrain.altitude[~terrain.land] == 0).all()


def test_neighbouring_files_are_joined_over_a_narrow_seam(tmp_path):
    y = -2_560_000 - 100.0 * np.arange(20)
    west, east = 300_000 + 100.0 * np.arange(20), 300_000 + 100.0 * np.arange(24, 50)
    whole = np.r_[west, east]
    altitude = plane(whole, y)
    files = [
        write_terrain(tmp_path / "w.nc", altitude[:, :20], west, y),
        write_terrain(tmp_path / "e.nc", altitude[:, 20:], east, y),
    ]
    terrain = read_terrain(files)
    assert terrain.shape == (20, 50) and terrain.land.all()
    np.testing.assert_allclose(np.diff(terrain.altitude, axis=1), 2.0, atol=1e-2)


def test_what_no_file_knows_is_masked(tmp_path):
    y, x = -2_560_000 - 100.0 * np.arange(40), 300_000 + 100.0 * np.arange(20)
    first = write_terrain(tmp_path / "a.nc", plane(x, y), x, y)
    second = write_terrain(tmp_path / "b.nc", plane(x, y[:20]), x + 2000, y[:20])
    terrain = read_terrain([first, second])
    assert terrain.land[:20].all() and terrain.land[:, :20].all()
    assert not terrain.land[24:, 24:].any()


def test_mass_balance_outside_its_file_follows_altitude(tmp_path):
    y, x = -2_560_000 - 100.0 * np.arange(20), 300_000 + 100.0 * np.arange(40)
    altitude = np.broadcast_to(np.linspace(100, 2000, 20)[:, None], (20, 40))
    file = write_terrain(tmp_path / "t.nc", altitude, x, y)
    balance = tmp_path / "b.nc"
    with netCDF4.Dataset(balance, "w") as out:
        for name, values in (("x", x[:20]), ("y", y)):
            out.createDimension(name, len(values))
            out.createVariable(name, "f8", (name,))[:] = values
        out.createVariable("smb", "f4", ("y", "x"))[...] = altitude[:, :20] / 1000 - 1
    terrain = read_terrain([file], balance)
    np.testing.assert_allclose(terrain.balance[:, :20], altitude[:, :20] / 1000 - 1, atol=1e-5)
    np.testing.assert_allclose(terrain.balance[:, 20:], altitude[:, 20:] / 1000 - 1, atol=0.08)
    assert "surface mass balance of b.nc" in terrain.source


def test_wrong_terrain_files_say_what_they_lack(tmp_path):
    x, y = 100.0 * np.arange(20), -100.0 * np.arange(20)
    with pytest.raises(DataError, match="no such file"):
        read_terrain([tmp_path / "none.nc"])
    (tmp_path / "text.nc").write_text("nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_terrain([tmp_path / "text.nc"])
    with pytest.raises(DataError, match="expected the projection EPSG:3413"):
        read_terrain([write_terrain(tmp_path / "utm.nc", plane(x, y), x, y, wkt='PROJCS["WGS 84 / UTM zone 24N"]')])
    uneven = x.copy()
    uneven[-1] += 60
    with pytest.raises(DataError, match="regular grid"):
        read_terrain([write_terrain(tmp_path / "uneven.nc", plane(uneven, y), uneven, y)])
    with netCDF4.Dataset(tmp_path / "empty.nc", "w") as file:
        for name, values in (("x", x), ("y", y)):
            file.createDimension(name, 20)
            file.createVariable(name, "f8", (name,))[:] = values
    with pytest.raises(DataError, match="altitude as one of surf_elv"):
        read_terrain([tmp_path / "empty.nc"])


def test_generated_terrain_has_all_zones():
    terrain = generate_terrain((200, 160), seed=3)
    again, other = generate_terrain((200, 160), seed=3), generate_terrain((200, 160), seed=4)
    np.testing.assert_array_equal(terrain.altitude, again.altitude)
    assert np.abs(terrain.altitude - other.altitude).max() > 100
    assert 0.02 < 1 - terrain.land.mean() < 0.4  # sea
    assert 0.3 < terrain.ice.mean() < 0.95 and not (terrain.ice & ~terrain.land).any()
    assert terrain.altitude[:, :20].mean() > 2 * terrain.altitude[:, 100:130].mean()  # ice sheet in the west
    assert not terrain.land[:, -1].all()  # the sea reaches the east
    with pytest.raises(InputError, match="at least 16"):
        generate_terrain((15, 40))


def test_crop_takes_the_middle():
    terrain = generate_terrain((40, 60), seed=1)
    part = terrain.crop((20, 30))
    np.testing.assert_array_equal(part.altitude, terrain.altitude[10:30, 15:45])
    assert (part.left, part.top) == (terrain.left + 1500, terrain.top - 1000)
    assert terrain.crop((100, 30)).shape == (40, 30)


def test_balance_rises_with_altitude_through_zero():
    assert balance_of_altitude(np.array([300.0]))[0] < -2
    assert abs(balance_of_altitude(np.array([800.0]))[0]) < 0.1
    assert balance_of_altitude(np.array([1500.0]))[0] > 1


def test_flow_accumulation_by_hand():
    """A slope to the south with a groove: each row passes its water on; the groove collects its neighbours' too."""
    altitude = np.array([[9.0, 8.0, 9.0], [6.0, 4.0, 6.0], [3.0, 1.0, 3.0]])
    # Steepest of the corner (9): south 3, south-east (9 - 4) / sqrt 2 = 3.5 -> groove. (6): south 3, south-east
    # (6 - 1) / sqrt 2 = 3.5 -> groove. (3, 3): east 2 -> groove.
    expected = np.array([[1, 1, 1], [1, 4, 1], [1, 9, 1]])
    np.testing.assert_array_equal(flow_accumulation(altitude, np.ones((3, 3), bool)), expected)


def test_water_leaves_a_small_pit_and_is_conserved():
    altitude = np.linspace(50, 1, 30)[:, None] + np.zeros((1, 3))
    altitude[10, 1] -= 4.0  # a pit
    area = flow_accumulation(altitude, np.ones(altitude.shape, bool))
    assert area[-1].sum() == altitude.size
    nowhere = flow_accumulation(altitude, np.zeros(altitude.shape, bool))
    assert (nowhere == 1).all()


def test_water_gathers_in_valleys_and_lakes_lie_in_hollows():
    y, x = np.mgrid[0:80, 0:60].astype(np.float32)
    altitude = 1000 - 0.5 * y + 0.02 * (x - 30) ** 2 - 12 * np.exp(-((y - 40) ** 2 + (x - 30) ** 2) / 40)
    land = np.ones(altitude.shape, bool)
    surface = make_surface(Terrain(altitude.astype(np.float32), land, land, np.zeros_like(altitude), 0, 0, "made"))
    assert surface.wetness[10:70, 29:32].mean() > surface.wetness[10:70, 5:15].mean() + 0.5
    assert surface.lakes[40, 30] > 0.8 and surface.lakes[20, 10] < 0.2
    assert (surface.sunlit[5:20, 30] > 0).all()  # falls to the south
    assert (surface.bareness == surface.bareness[0, 0]).all()


@pytest.mark.realdata
def test_terrain_around_helheim(realdata):
    folder = realdata / "greenland"
    terrain = read_terrain([folder / "subdomain_data.h5", folder / "subdomain_bed.nc"], folder / "subdomain_data.h5")
    assert terrain.shape == (450, 505)
    assert 1600 < terrain.altitude.max() < 1700
    west = terrain.altitude[:, :298]
    assert terrain.land[:, :298].all() and west.mean() == pytest.approx(1174.5, abs=5)
    steps = np.abs(np.diff(terrain.altitude[200:380], axis=1))
    assert steps[:, 298:305].mean() < 2 * steps[:, 285:325].mean()  # no cliff where the files meet
    assert terrain.balance[:, :298].mean() == pytest.approx(0.804, abs=0.02)
