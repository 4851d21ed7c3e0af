import builtins

import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.ingest import radar_curtain, read_radar

from .granules import write_geoprof

pytest.importorskip("pyhdf", reason="the extra `ingest` is not installed")

RAYS, BINS, STEP = 9, 125, 240
TIME = 0.16 * np.arange(RAYS)


def granule(path, **change):
    """Nine rays over the sea, then over land of 500 m; the lowest bin stands half a bin above the sea."""
    height = np.broadcast_to(120 + STEP * np.arange(BINS - 5, -5, -1)[None], (RAYS, BINS)).copy()
    dbz, mask = np.full((RAYS, BINS), np.nan), np.zeros((RAYS, BINS), int)
    surface = np.where(np.arange(RAYS) < 5, -9999, 500)
    data = {"profile_time": TIME, "height": height, "dbz": dbz, "mask": mask, "surface": surface,
            "latitude": np.linspace(60, 60.08, RAYS), "longitude": np.linspace(179.99, 180.01, RAYS) % 360}  # fmt: skip
    data["longitude"] = np.where(data["longitude"] > 180, data["longitude"] - 360, data["longitude"])
    data |= {k: v for k, v in change.items() if not callable(v)}
    for edit in (v for v in change.values() if callable(v)):
        edit(data)
    return write_geoprof(path, **data)


def at(data, ray, metres):
    """The bin nearest to a height above the sea."""
    return ray, int(np.abs(data["height"][ray] - metres).argmin())


def test_mask_decides(tmp_path):
    def edit(data):
        for i, (value, dbz) in enumerate(
            [(40, -12.34), (20, -28.0), (10, -30.0), (5, 30.0), (1, 5.0), (-9, np.nan), (0, np.nan), (30, np.nan)]
        ):
            ray, k = at(data, 0, 120 + STEP * i)
            data["mask"][ray, k], data["dbz"][ray, k] = value, dbz

    path = granule(tmp_path / "g.hdf", edit=edit)
    record = read_radar(path)
    expected = [-12.34, -28, -60, np.nan, np.nan, np.nan, -60, np.nan, -60]
    np.testing.assert_allclose(record.reflectivity[:9, 0], expected, atol=1e-4)
    np.testing.assert_allclose(record.height[:3], [120, 360, 600])
    sure = read_radar(path, cloud_mask_threshold=30).reflectivity[:3, 0]
    weak = read_radar(path, cloud_mask_threshold=6).reflectivity[:3, 0]
    np.testing.assert_allclose([sure[1], weak[2]], [-60, -30], atol=1e-4)
    assert record.product == "geoprof" and record.frequency_ghz == pytest.approx(94.05)


def test_heights_are_above_the_ground_of_each_ray(tmp_path):
    def edit(data):
        for ray in range(RAYS):
            data["height"][ray] += 7 * ray  # bins follow the geoid, which the rays see a little differently
            data["dbz"][ray], data["mask"][ray] = data["height"][ray] / 1000, 40

    record = read_radar(granule(tmp_path / "g.hdf", edit=edit))
    ground = np.where(np.arange(RAYS) < 5, 0, 500)
    inside = np.isfinite(record.reflectivity)
    difference = 1000 * record.reflectivity - record.height[:, None] - ground
    assert np.abs(difference[inside]).max() <= STEP / 2 + 5.1 and inside[:100].all()  # 0.01 dBZ is 10 m here
    np.testing.assert_allclose(record.altitude, ground)


def test_time_and_place(tmp_path):
    record = read_radar(granule(tmp_path / "g.hdf"))
    start = np.datetime64("2012-01-01T01:00:00").astype("datetime64[s]").astype(float)
    np.testing.assert_allclose(record.time - start, TIME, atol=1e-4)
    curtain = radar_curtain(record, rows=24)
    assert curtain.latitude.shape == (RAYS,) and curtain.step_s == pytest.approx(0.16) and curtain.observed.all()
    assert record.site == pytest.approx((60.04, 180.0), abs=0.01)
    before = read_radar(granule(tmp_path / "h.hdf", tai=599_529_599.0 + 7, utc=86399.5))  # across midnight
    assert before.time[0] - start == pytest.approx(-3600.5, abs=1e-3)


def test_bad_rays_are_missing_and_gates_coarser_than_rows_leave_no_hole(tmp_path):
    quality = np.zeros(RAYS, int)
    quality[4] = 8
    record = read_radar(granule(tmp_path / "g.hdf", quality=quality))
    assert np.isnan(record.reflectivity[:, 4]).all() and np.isfinite(record.reflectivity[:50, 3]).all()
    assert np.isfinite(
        radar_curtain(record).fields["reflectivity"]
    ).all()  # 240 m into rows of 78 m; one ray is bridged


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match=r"g.hdf: variable 'CPR_Cloud_mask': expected a granule of 2B-GEOPROF"):
        read_radar(granule(tmp_path / "g.hdf", leave_out=("CPR_Cloud_mask",)))
    with pytest.raises(DataError, match=r"variable 'DEM_elevation'.*found the fields Data_quality, Latitude"):
        read_radar(granule(tmp_path / "g.hdf", leave_out=("DEM_elevation",)))
    path = granule(tmp_path / "g.hdf")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"g.hdf: expected an? .*HDF4 file"):
        read_radar(path)
    (tmp_path / "t.hdf").write_text("text")
    with pytest.raises(DataError, match=r"t.hdf: expected an HDF4 file"):
        read_radar(tmp_path / "t.hdf", product="geoprof")
    with pytest.raises(DataError, match="'Height': expected heights that fall"):
        read_radar(granule(tmp_path / "u.hdf", edit=lambda data: data.update(height=data["height"][:, ::-1])))
    with pytest.raises(InputError, match=r"`cloud_mask_threshold` lies within 6.*=50"):
        read_radar(granule(tmp_path / "v.hdf"), cloud_mask_threshold=50)


def test_without_pyhdf(tmp_path, monkeypatch):
    path, real = granule(tmp_path / "g.hdf"), builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("pyhdf"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"HDF4 files need pyhdf. Install it: pip install 'cloudkeras\[ingest\]'"):
        read_radar(path)
