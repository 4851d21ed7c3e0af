import numpy as np
import pytest

from cloudkeras.datasets.synthetic import simulate_scene
from cloudkeras.datasets.synthetic.atmosphere import LEVEL_CENTERS_KM
from cloudkeras.datasets.synthetic.geometry import PERIOD_END, PERIOD_START
from cloudkeras.datasets.synthetic.regimes import REGIMES, Site
from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task

NOON = 1541041200.0  # 2018-11-01 03:00 UTC, noon at 135 E
MIDNIGHT = NOON + 43200


@pytest.fixture(scope="module")
def scenes():
    return [simulate_scene(0, 32, index=i) for i in range(200)]


def test_same_seed_same_scene():
    first, second = (simulate_scene(5, (24, 40), index=3) for _ in range(2))
    assert set(first.fields()) == set(second.fields())
    for name, values in first.fields().items():
        np.testing.assert_array_equal(values, second.fields()[name])
    assert (first.geometry.time, first.granule) == (second.geometry.time, "simulated-5-00003")


def test_other_seed_or_index_other_scene():
    base = simulate_scene(5, 24, index=3)
    for other in (simulate_scene(6, 24, index=3), simulate_scene(5, 24, index=4)):
        assert not np.array_equal(base.brightness_temperature, other.brightness_temperature)


def test_fields_are_those_of_the_task(scenes):
    for variable in get_task("cloud_phase").variables():
        values = scenes[0].fields()[variable.name]
        assert values.ndim == len(variable.dims) - 1
        for scene in scenes[:40]:
            found = scene.fields()[variable.name]
            assert np.isfinite(found).all()
            low, high = (-1, 3) if variable.flag_meanings else variable.valid_range
            assert low <= found.min() <= found.max() <= high, variable.name


def test_imbalance_is_that_of_the_real_labels(scenes):
    clear = np.mean([(s.phase == 0).mean() for s in scenes])
    assert 0.87 <= clear <= 0.91
    shares = np.array([[(s.phase == k).mean() for k in (1, 2, 3)] for s in scenes]).mean(axis=0)
    assert np.all(shares > 0.004)
    assert shares[0] > shares[2] > shares[1]


def test_all_regimes_and_multilayer_columns_occur(scenes):
    names = {name for s in scenes for name in s.regimes}
    expected = {"stratocumulus", "trade_cumulus", "cold_cumulus", "anvil", "frontal", "altocumulus", "cirrus"}
    assert expected <= names
    cloudy = np.concatenate([np.pad(s.phase > 0, ((1, 0), (0, 0), (0, 0))).reshape(39, -1).T for s in scenes])
    layers = (cloudy[:, 1:] & ~cloudy[:, :-1]).sum(axis=1)
    assert 0.2 < np.mean(layers == 0) < 0.5
    assert 0.08 < np.mean(layers >= 2) < 0.4


def test_phase_respects_temperature(monkeypatch):
    from cloudkeras.datasets.synthetic import scenes as module

    seen = []
    original = module.cloud_columns

    def spy(layers, temperature_k):
        clouds = original(layers, temperature_k)
        seen.append((temperature_k, clouds.phase()))
        return clouds

    monkeypatch.setattr(module, "cloud_columns", spy)
    for i in range(25):
        simulate_scene(1, 32, index=i)
    temperature = np.concatenate([t.ravel() for t, _ in seen])
    phase = np.concatenate([p.ravel() for _, p in seen])
    assert not (phase[temperature < 273.15 - 38] >= 2).any()  # neither mixed nor liquid
    assert not np.isin(phase[temperature > 273.15], (1, 2)).any()  # neither ice nor mixed
    between = phase[(temperature > 240) & (temperature < 270)]
    assert all((between == k).mean() > 0.002 for k in (1, 2, 3))


def test_no_reflectance_at_night_and_plenty_by_day():
    night, day = (simulate_scene(2, 48, index=4, time=t) for t in (MIDNIGHT, NOON))
    assert night.geometry.solar_zenith.min() > 95
    assert np.all(night.reflectance == 0)
    assert day.geometry.solar_zenith.max() < 80
    assert day.reflectance.max() > 0.2
    assert (night.phase == day.phase).mean() > 0.99  # the hour lights the clouds, it does not make them
    # emission does not know the hour, but for the skin of the ground; sunlight warms 3.9 um
    assert day.brightness_temperature[..., 0].mean() > night.brightness_temperature[..., 0].mean()


def test_day_twilight_and_night_occur(scenes):
    zenith = np.array([s.geometry.solar_zenith.mean() for s in scenes])
    assert (zenith < 75).mean() > 0.25
    assert ((zenith > 75) & (zenith < 95)).any()
    assert (zenith > 95).mean() > 0.25


def test_place_and_time_are_those_of_the_study(scenes):
    for scene in scenes:
        assert -60 <= scene.geometry.latitude.min() <= scene.geometry.latitude.max() <= 60
        assert 99.9 <= scene.geometry.longitude.min() <= scene.geometry.longitude.max() <= 160.1
        assert PERIOD_START <= scene.geometry.time < PERIOD_END


def test_cold_tops_belong_to_high_clouds(scenes):
    """Columns whose highest cloud is ice above 8 km in thick layers are colder at 11 um than clear columns nearby."""
    colder = []
    for scene in scenes:
        thick = (scene.phase[16:] > 0).sum(axis=0) >= 6
        clear = (scene.phase > 0).sum(axis=0) == 0
        if thick.sum() > 20 and clear.sum() > 20:
            window = scene.brightness_temperature[..., 7]
            colder.append(window[clear].mean() - window[thick].mean())
    assert len(colder) > 5
    assert np.mean(np.array(colder) > 10) > 0.8


def test_labels_lie_on_the_dense_truth(scenes):
    scene = scenes[1]
    profiles, n = scene.profiles(), int((scene.track.y >= 0).sum())
    assert profiles.shape == (32, 38)
    for k in range(n):
        np.testing.assert_array_equal(profiles[k], scene.phase[:, scene.track.y[k], scene.track.x[k]])
    assert np.all(profiles[n:] == -1)


@pytest.mark.parametrize("name", list(REGIMES))
def test_each_regime_draws_layers_with_base_below_top(name):
    from cloudkeras.datasets.synthetic.atmosphere import draw_atmosphere

    rng = np.random.default_rng(8)
    latitude = np.full((48, 40), 3.0 if name == "deep_convection" else 40.0)
    land = np.zeros((48, 40), np.float32)
    site = Site((48, 40), draw_atmosphere(rng, latitude, -15.0, land), float(latitude[0, 0]), land)
    cloudy = 0
    for _ in range(6):
        for layer in REGIMES[name](rng, site):
            here = layer.optical_depth > 0
            cloudy += here.sum()
            assert layer.optical_depth.shape == (48, 40)
            assert np.all(layer.optical_depth >= 0)
            assert np.all(layer.base_km[here] <= layer.top_km[here] + 1e-3)
            assert np.all((layer.base_km[here] >= 0) & (layer.top_km[here] < LEVEL_CENTERS_KM[-1]))
    assert cloudy > 100


@pytest.mark.parametrize("size", [8, (64, 3000), (64,), -1])
def test_impossible_sizes(size):
    with pytest.raises(InputError, match="`size` is rows and columns between 16 and 2000"):
        simulate_scene(0, size)


def test_negative_seed():
    with pytest.raises(InputError, match="not negative"):
        simulate_scene(-1, 32)
