import json

import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.datasets.synthetic import radar
from cloudkeras.datasets.synthetic.radar import plan_records, simulate_curtain, simulate_dataset
from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task


@pytest.fixture(scope="module")
def weather():
    """Forty records of 128 x 128: (reflectivity, curtains)."""
    curtains = [simulate_curtain([5, i], (128, 128)) for i in range(40)]
    return np.stack([c.fields["reflectivity"] for c in curtains]), curtains


def test_same_seed_same_curtain():
    one, again, other = (simulate_curtain(s, (64, 96)) for s in (3, 3, 4))
    for name, values in one.fields.items():
        assert values.shape == (64, 96) and values.dtype == np.float32 and np.isfinite(values).all()
        np.testing.assert_array_equal(values, again.fields[name])
        assert not np.array_equal(values, other.fields[name])
    np.testing.assert_allclose(one.height, (np.arange(64) + 0.5) * 78.1)
    np.testing.assert_allclose(one.time, 30.0 * np.arange(96))


def test_values_are_physical(weather):
    dbz, curtains = weather
    variables = {v.name: v.valid_range for v in get_task("blind_zone").variables()}
    for name, (low, high) in variables.items():
        values = np.stack([c.fields[name] for c in curtains])
        assert low <= values.min() and values.max() <= high
    echo = dbz[dbz > -60]
    assert -45 < np.percentile(echo, 1) < -20 and 0 < np.percentile(echo, 99) < 20
    temperature = np.stack([c.fields["temperature"] for c in curtains])
    assert (temperature[:, 0] - temperature[:, 100]).min() > 15  # it is colder aloft
    humidity = np.stack([c.fields["specific_humidity"] for c in curtains])
    assert (humidity > 0).all() and humidity[:, 100].mean() < 0.1 * humidity[:, 0].mean()


def test_no_trivial_answer_is_right(weather):
    dbz, _ = weather
    low, above = dbz[:, :16] > -60, dbz[:, 16:17] > -60
    assert 0.35 < low.mean() < 0.75
    assert 0.4 < (low.mean(axis=(1, 2)) >= 0.05).mean() < 0.95  # the event "cloud"
    surface, top = dbz[:, 0] >= -20, dbz[:, 16] >= -20
    assert 0.01 < (surface & ~top).mean() < 0.3  # shallow snowfall
    assert 0.01 < (top & ~surface).mean() < 0.3  # virga
    above = np.broadcast_to(above, low.shape)
    assert low[above].mean() > 0.7 and 0.05 < low[~above].mean() < 0.5  # what is above tells much, and not all


def test_echo_goes_with_humidity(weather):
    dbz, curtains = weather
    wet, dry = [], []
    for values, curtain in zip(dbz, curtains, strict=True):
        t, q = (curtain.fields[n].astype(float) for n in ("temperature", "specific_humidity"))
        vapor = q * 1013 * np.exp(-curtain.height[:, None] / 7600) / 0.622
        relative = (vapor / radar._ice_saturation_hpa(t))[:50]
        wet.append(relative[values[:50] > -60])
        dry.append(relative[values[:50] <= -60])
    assert np.concatenate(wet).mean() > 0.1 + np.concatenate(dry).mean()


def test_fall_streaks_follow_sheared_wind():
    height, time = (np.arange(40) + 0.5) * 100.0, np.arange(10) * 30.0
    wind = (5 + height / 400)[:, None] * np.ones(10)  # 15 m/s at the top, 5 m/s at the ground
    air = radar._Air(height, time, None, None, None, wind, 0 * wind)
    shift = radar._streak_shift(air, 4000.0, 1.0)
    # integral of (U - u) / (v U) dz with U = u(3950 m): 0.5 (3950)^2 / 400 / 14.875 s at the ground
    assert shift[0] == pytest.approx(0.5 * 3950**2 / 400 / 14.875, rel=0.03)
    assert (np.diff(shift) <= 0).all() and shift[-1] == 0
    calm = radar._Air(height, time, None, None, None, 0 * wind + 10, 0 * wind)
    np.testing.assert_allclose(radar._streak_shift(calm, 4000.0, 1.0), 0, atol=1e-9)


def test_ice_grows_in_cloud_and_sublimates_below():
    height, columns = (np.arange(40) + 0.5) * 100.0, 50
    humidity = np.where(height[:, None] > 2000, 1.05, 0.6) * np.ones(columns)

    def fall(humidity):
        top, source = np.full(columns, 3500.0), np.full(columns, -20.0)
        return radar._fall(radar._KINDS["frontal"], 10.0, height, top, source, humidity, np.zeros(40))[:, 25]

    power = fall(humidity)
    dbz = 10 * np.log10(np.maximum(power, 1e-9))
    assert (power[35:] == 0).all()
    np.testing.assert_allclose(dbz[34:25:-1], -19 + np.arange(9), atol=1e-6)  # 1 dB in each row of 100 m
    assert dbz[20] == pytest.approx(-5.57, abs=0.01)  # and less from -11 dBZ on: (14 - Z) / 25 of it
    np.testing.assert_allclose(dbz[19] - dbz[20], -1.8, atol=0.1)  # 45 dB/km at a deficit of 0.4
    assert (dbz[:3] < -42).all() and (fall(humidity + 0.35)[:3] > 10**-1.5).all()  # virga, and snow in moist air


def test_noise_has_unit_variance():
    rng = np.random.default_rng(0)
    values = np.concatenate([radar._noise(rng, (60, 80), (4, 6)).ravel() for _ in range(60)])
    assert abs(values.mean()) < 0.1 and 0.8 < values.std() < 1.1


def test_records_serve_one_split_each():
    records = plan_records(50, (0.7, 0.15, 0.15))
    assert [r.number for r in records] == list(range(len(records))) and max(r.windows for r in records) == 2
    counts = {s: sum(r.windows for r in records if r.split == s) for s in ("train", "validation", "test")}
    assert counts == {"train": 34, "validation": 8, "test": 8}
    assert {r.split for r in plan_records(5, (1.0, 0.0, 0.0))} == {"train"}


def test_dataset_is_whole_named_simulated_and_the_same_in_parallel(tmp_path):
    told = []
    options = {"samples": 14, "size": (32, 16), "seed": 2}
    one = simulate_dataset(tmp_path / "one", **options, progress=lambda done, total: told.append((done, total)))
    dataset = ShardDataset.open(one)
    assert dataset.simulated and told[-1] == (14, 14) and [d for d, _ in told] == sorted(d for d, _ in told)
    assert [dataset.num_samples(s) for s in ("train", "validation", "test")] == [10, 2, 2]
    assert all("simulated" in g for s in ("train", "test") for g in dataset.samples(s).granule)
    manifest = json.loads((one / "manifest.json").read_text())
    assert "not an observation" in manifest["provenance"]["source"]
    other = ShardDataset.open(simulate_dataset(tmp_path / "two", **options, jobs=2))
    for split in ("train", "test"):
        names = ["reflectivity", "specific_humidity"]
        indices = np.arange(dataset.num_samples(split))
        a, b = dataset.read(split, indices, names), other.read(split, indices, names)
        for name in names:
            np.testing.assert_array_equal(a[name], b[name])
    # windows of one record are its consecutive columns
    samples = dataset.samples("train")
    first = simulate_curtain([2, 0], (32, 16 * int((samples.granule == samples.granule[0]).sum())))
    np.testing.assert_allclose(
        dataset.read("train", np.array([1]), ["temperature"])["temperature"][0],
        first.fields["temperature"][:, 16:32],
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "options,message",
    [
        ({"samples": 2}, "at least 3"),
        ({"jobs": 0}, "`jobs` is positive"),
        ({"seed": -1}, "`seed` is not negative"),
        ({"size": 1}, "`size` is at least 2"),
        ({"fractions": (0.5, 0.1, 0.1)}, "add to 1"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        simulate_dataset(tmp_path / "out", **{"samples": 6, "size": 32, **options})
    assert not (tmp_path / "out").exists()


def test_wrong_shape():
    with pytest.raises(InputError, match="each at least 2"):
        simulate_curtain(0, (1, 20))
