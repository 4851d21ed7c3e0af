"""The simulated benchmark: physics, views, and the folder of rasters."""

import datetime
import json
from itertools import pairwise

import numpy as np
import pytest

from cloudkeras.datasets.synthetic import simulate
from cloudkeras.datasets.synthetic.melt_physics import STORE_MM, MeltRules, next_water, wet_fraction
from cloudkeras.datasets.synthetic.melt_rasters import simulate_benchmark
from cloudkeras.datasets.synthetic.melt_surface import make_surface
from cloudkeras.datasets.synthetic.melt_terrain import generate_terrain
from cloudkeras.datasets.synthetic.melt_views import (
    FALSE,
    MISSED,
    Cells,
    Pass,
    PassiveMicrowave,
    RegionalModel,
    SyntheticApertureRadar,
    plan_passes,
)
from cloudkeras.datasets.synthetic.melt_weather import DayWeather, spread, year_weather
from cloudkeras.errors import InputError
from cloudkeras.ingest.meltwater_layout import MeltwaterLayout, find_layout

rasterio = pytest.importorskip("rasterio")


def weather(sea_level_c, day=datetime.date(2019, 7, 1), sun=1.0):
    nothing = np.zeros((4, 4))
    return DayWeather(day, sea_level_c, 6.5, sun, nothing, 0.0, nothing)


@pytest.fixture(scope="module")
def terrain():
    return generate_terrain((96, 112), seed=2)


@pytest.fixture(scope="module")
def rules(terrain):
    return MeltRules.of(terrain.altitude, make_surface(terrain))


# ---- weather and physics ----


def test_weather_has_season_and_memory_and_is_repeatable():
    years = [list(year_weather(5, year, (64, 64))) for year in range(2000, 2012)]
    assert [w.day for w in years[0]] == [datetime.date(2000, 1, 1) + datetime.timedelta(n) for n in range(274)]
    level = np.array([[w.sea_level_c for w in days[:273]] for days in years])
    assert level[:, :31].mean() < -5 and 3 < level[:, 181:212].mean() < 8
    rest = level - level.mean(axis=0)
    lagged = np.corrcoef(rest[:, 1:].ravel(), rest[:, :-1].ravel())[0, 1]
    assert 0.7 < lagged < 0.95
    again = next(iter(year_weather(5, 2000, (64, 64))))
    assert again.sea_level_c == years[0][0].sea_level_c
    np.testing.assert_array_equal(again.map_k, years[0][0].map_k)


def test_air_is_colder_higher_up():
    air = weather(5.0).air_c(np.array([[0.0, 1000.0], [2000.0, 0.0]], np.float32))
    np.testing.assert_allclose(air, [[5.0, -1.5], [-8.0, 5.0]], atol=1e-5)


def test_spread_is_linear():
    coarse = np.arange(4.0)[:, None] * 10 + np.arange(5.0)
    fine = spread(coarse, (7, 9))
    np.testing.assert_allclose(fine, np.linspace(0, 30, 7)[:, None] + np.linspace(0, 4, 9), atol=1e-5)


def test_water_grows_with_warmth_drains_and_refreezes(rules):
    dry = np.zeros(rules.altitude.shape, np.float32)
    warm, hot = next_water(dry, rules, weather(4.0)), next_water(dry, rules, weather(8.0))
    assert (hot >= warm).all() and warm[rules.altitude < 200].min() > 5
    assert next_water(dry, rules, weather(-15.0)).max() == 0
    assert warm[rules.altitude > 600].mean() < 0.4 * warm[rules.altitude < 200].mean()
    full = np.full_like(dry, STORE_MM)
    mild = next_water(full, rules, weather(-1.0, sun=0.0))
    cold = next_water(full, rules, weather(-12.0, sun=0.0))
    assert (cold <= mild).all() and (mild < STORE_MM).all()


def test_wet_fraction_by_hand():
    """At HALF_WET_MM half of a middling pixel is wet, whatever the spread; where water gathers it takes less of it."""
    half = wet_fraction(np.array([11.0], np.float32), np.array([0.0], np.float32))
    np.testing.assert_allclose(half, 0.5, atol=1e-6)
    gathered = wet_fraction(np.array([11.0 * np.exp(-1.0)], np.float32), np.array([-1.0], np.float32))
    np.testing.assert_allclose(gathered, 0.5, atol=1e-6)
    # f = 1 / (1 + (half / water) ** (1 / spread)) with twice the water: 1 / (1 + 2 ** (-1 / 0.6))
    twice = wet_fraction(np.array([22.0], np.float32), np.array([0.0], np.float32))
    np.testing.assert_allclose(twice, 1 / (1 + 2 ** (-1 / 0.6)), atol=1e-6)
    assert wet_fraction(np.zeros(1, np.float32), np.zeros(1, np.float32))[0] < 1e-4


# ---- views ----


def test_cells_average_and_repeat():
    cells = Cells.over((5, 7), 250.0, 100.0)  # edges at 0, 2 (2.5 to even), 5 and 0, 2, 5
    values = np.arange(35.0).reshape(5, 7)
    mean = cells.mean(values)
    assert mean.shape == (2, 3)
    np.testing.assert_allclose(mean[0], [values[:2, :2].mean(), values[:2, 2:5].mean(), values[:2, 5:].mean()])
    back = cells.pixels(mean)
    assert back.shape == (5, 7) and (back[2:, 5:] == np.float32(mean[1, 2])).all()


def test_wet_ground_is_warm_in_the_microwave(terrain):
    view = PassiveMicrowave(terrain, np.zeros(terrain.shape, np.float32))
    rng = np.random.default_rng(0)
    dry = view.cells(np.zeros(terrain.shape, np.float32), weather(2.0), rng)
    wet = view.cells(np.full(terrain.shape, 30.0, np.float32), weather(2.0), rng)
    assert (wet - dry)[0, 0] > 20
    assert dry.min() > 150 and wet.max() < 273.15


def test_threshold_tells_wet_from_winter(terrain):
    """Published rule: melt where Tb > 0.48 winter mean + 128."""
    view = PassiveMicrowave(terrain, np.zeros(terrain.shape, np.float32))
    rng = np.random.default_rng(0)
    none = np.zeros(terrain.shape, np.float32)
    winter = np.mean([view.cells(none, weather(-9.0, sun=0.1), rng) for _ in range(10)], axis=0)
    inland = winter[:, :2]
    wet = view.cells(none + 20, weather(3.0), rng)[:, :2]
    assert (wet > 0.48 * inland + 128).all() and (inland < 0.48 * inland + 128).all()


def test_the_model_knows_melt_but_no_detail(terrain, rules):
    model, water = RegionalModel(terrain), np.zeros(terrain.shape, np.float32)
    for day in year_weather(1, 2019, terrain.shape):
        if day.day > datetime.date(2019, 7, 15):
            break
        model.step(day)
        water = next_water(water, rules, day)
    seen = model.pixels()
    assert 0.002 < seen.max() < 0.036
    assert np.unique(seen[:60, :60]).size == 1  # a cell of 6 km
    assert (seen[~terrain.land] >= 0).all()


def test_passes_keep_their_gaps():
    for year in (2017, 2019, 2022):
        for seed in range(4):
            days = [image.day for image in plan_passes(seed, year)]
            gaps = {(b - a).days for a, b in pairwise(days)}
            assert gaps and min(gaps) >= 2 and max(gaps) <= 12
            assert days[0] >= datetime.date(year, 4, 1) and days[-1] <= datetime.date(year, 9, 30)
    assert len(plan_passes(0, 2019)) > 1.4 * len(plan_passes(0, 2022))
    assert len(plan_passes(0, 2019)) > len(plan_passes(0, 2017))
    assert plan_passes(3, 2019) == plan_passes(3, 2019)


def test_sar_sees_land_only_and_is_right_on_average(terrain):
    radar = SyntheticApertureRadar(terrain)
    day = datetime.date(2019, 7, 1)
    none, all_wet = np.zeros(terrain.shape, np.float32), np.ones(terrain.shape, np.float32)
    for track in range(3):
        image = radar.see(none, Pass(day, track, False), np.random.default_rng(0))
        assert np.isnan(image[~terrain.land]).all()
        assert np.isfinite(image[terrain.land]).mean() > (0.9 if track == 0 else 0.5)
        assert np.nanmean(image) < 4 * FALSE
    wet = radar.see(all_wet, Pass(day, 0, False), np.random.default_rng(0))
    assert np.nanmean(wet) == pytest.approx(1 - MISSED, abs=0.02)
    holed = radar.see(none, Pass(day, 0, True), np.random.default_rng(0))
    assert np.isfinite(holed).sum() < 0.95 * np.isfinite(wet).sum()


# ---- the folder ----


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    out = tmp_path_factory.mktemp("melt") / "rasters"
    done = []
    simulate("meltwater", out, years=(2019,), size=(32, 48), seed=4, truth=True, progress=lambda *p: done.append(p))
    assert done[-1] == (273, 273) and len(done) == 273
    return out


def test_layout_and_names(benchmark):
    layout = find_layout(benchmark)
    assert layout == MeltwaterLayout.at(benchmark)
    assert len(layout.days("mar")) == 183 and len(layout.days("pmw")) == 183 + 59
    assert layout.days("sar") == [image.day for image in plan_passes(4, 2019)]
    told = json.loads((benchmark / "simulation.json").read_text())
    assert told["simulated"] is True and told["complete"] is True and told["years"] == [2019]
    assert "Simulated, not observed" in (benchmark / "README.md").read_text()
    for file in benchmark.rglob("*.tif"):
        with rasterio.open(file) as raster:
            assert raster.tags()["simulated"] == "true"
            assert raster.shape == (32, 48) and raster.crs.to_epsg() == 3413 and raster.res == (100.0, 100.0)


def test_winter_mean_is_the_mean_of_its_days(benchmark):
    layout = find_layout(benchmark)
    winter = [day for day in layout.days("pmw") if day.month <= 2]
    mean = np.mean([rasterio.open(layout.file("pmw", day)).read(1) for day in winter], axis=0)
    with rasterio.open(layout.winter / "2019_jan_feb.tif") as raster:
        np.testing.assert_allclose(raster.read(1), mean, atol=1e-3)


def test_sar_agrees_with_the_truth_on_average(benchmark):
    layout = find_layout(benchmark)
    seen, true = [], []
    for day in layout.days("sar"):
        with rasterio.open(layout.file("sar", day)) as raster:
            image = raster.read(1)
        with rasterio.open(benchmark / "simulated_truth" / f"{day:%Y_%m_%d}.tif") as raster:
            truth = raster.read(1)
        valid = np.isfinite(image)
        seen.append(image[valid].mean())
        true.append(truth[valid].mean())
    assert np.corrcoef(seen, true)[0, 1] > 0.98
    assert max(true) > 0.3 and min(true) < 0.05


def test_given_again_it_completes_and_changes_nothing(benchmark, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(benchmark, copy)
    layout = find_layout(copy)
    lost = [layout.file("sar", layout.days("sar")[3]), layout.file("pmw", datetime.date(2019, 8, 1))]
    kept = layout.file("mar", datetime.date(2019, 8, 1))
    before = kept.stat().st_mtime_ns
    for file in lost:
        file.unlink()
    simulate_benchmark(copy, years=(2019,), size=(32, 48), seed=4)
    for file in lost:
        assert file.read_bytes() == (benchmark / file.relative_to(copy)).read_bytes()
    assert kept.stat().st_mtime_ns == before
    assert not list(copy.rglob("*.partial"))
    with pytest.raises(InputError, match="holds another simulation"):
        simulate_benchmark(copy, years=(2019,), size=(32, 48), seed=5)


def test_options_are_checked(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for options, message in [
        ({"years": ()}, "at least one year"),
        ({"years": (1066,)}, "between 1979 and 2100"),
        ({"seed": -1}, "not negative"),
        ({"jobs": 0}, "`jobs` is positive"),
        ({"size": 8}, "at least 16"),
        ({"surface_mass_balance": "x.nc"}, "goes with `terrain`"),
        ({"years": (2019,), "size": 16}, "holds other files"),
    ]:
        with pytest.raises(InputError, match=message):
            simulate_benchmark(tmp_path / "full", **options)
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
