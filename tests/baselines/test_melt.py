import numpy as np
import pytest

from cloudkeras.baselines import baselines_for
from cloudkeras.baselines.melt import (
    InterpolateMar,
    LinearDem,
    Persistence,
    ThresholdPmw,
    TimeInterpolateSar,
    ZeroMelt,
    blurred,
)
from cloudkeras.errors import InputError
from cloudkeras.tasks import Meltwater

TASK = Meltwater(crop=(16, 16), evaluation_window=(24, 24), margin=4)
DAY = 86400.0


def fields(count=4, shape=(24, 24), seed=0):
    """Fields of some windows as the shards hold them, with ocean on the left and gaps, days two months apart."""
    rng = np.random.default_rng(seed)
    size = (count, *shape)

    def gaps(values):
        return np.where(rng.random(size) < 0.1, np.nan, values).astype(np.float32)

    land = np.ones(size, np.int8)
    land[:, :, :3] = 0
    return {
        "melt_fraction": np.where(land > 0, gaps(rng.random(size)), np.nan),
        "brightness_temperature": gaps(rng.uniform(190, 260, size)),
        "winter_brightness_temperature": gaps(rng.uniform(170, 220, size)),
        "liquid_water": gaps(rng.uniform(0, 0.015, size)),
        "sar_mean": gaps(rng.random(size)),
        "sar_previous": gaps(rng.random(size)),
        "surface_altitude": rng.uniform(0, 2500, size).astype(np.float32),
        "land": land,
        "time_start": 1_580_515_200.0 + 60 * DAY * np.arange(count),  # from the first of February 2020
    }


def predicted(method, of=None):
    prepared = method.task.prepare(fields() if of is None else of)
    x = method.task.network_inputs(prepared, {})
    outputs = method(x)
    assert outputs.shape == (*x.shape[:3], 1) and outputs.dtype == np.float32 and np.isfinite(outputs).all()
    return method.task.decode(outputs, x)


def pairs(of, method, count=1):
    prepared = method.task.prepare(of)
    return [(method.task.network_inputs(prepared, {}), method.task.target(prepared))] * count


def test_every_baseline_is_made_for_the_task_that_judges():
    methods = baselines_for(TASK)
    names = ["zero_melt", "persistence", "time_interpolate_sar", "threshold_pmw", "interpolate_mar", "linear_dem"]
    assert [method.name for method in methods] == names
    for method in methods:
        assert not method.task.misfits(TASK) and method.task.windows() == TASK.windows()
        assert method.fit(pairs(fields(), method)) is method
        result = predicted(method)
        assert result.min() >= 0 and result.max() <= 1
        assert (result[:, :, :3] == 0).all()  # the ocean


def test_no_melt():
    assert (predicted(ZeroMelt(TASK)) == 0).all()


@pytest.mark.parametrize(("method", "name"), [(Persistence, "sar_previous"), (TimeInterpolateSar, "sar_mean")])
def test_earlier_and_mean_sar_are_given_back(method, name):
    given = fields()
    result = predicted(method(TASK), given)
    for index in np.ndindex(result.shape):
        value = given[name][index]
        expected = 0 if given["land"][index] == 0 or np.isnan(value) else value
        assert result[index] == pytest.approx(expected, abs=1e-6)


def test_threshold_agrees_with_a_loop():
    given = fields()
    result = predicted(ThresholdPmw(TASK), given)
    hot, winter = given["brightness_temperature"], given["winter_brightness_temperature"]
    for index in np.ndindex(result.shape):
        melts = given["land"][index] == 1 and hot[index] > 0.48 * winter[index] + 128  # NaN never exceeds
        assert result[index] == melts


def test_threshold_by_hand():
    given = {name: values[:1, :1, :6] for name, values in fields().items() if np.ndim(values) == 3}
    given["land"] = np.ones((1, 1, 6), np.int8)
    given["winter_brightness_temperature"] = np.array([[[200, 200, 200, np.nan, 100, 200]]], np.float32)
    given["brightness_temperature"] = np.array([[[223.9, 224.1, np.nan, 270, 177, 260]]], np.float32)
    np.testing.assert_array_equal(predicted(ThresholdPmw(TASK), given)[0, 0], [0, 1, 0, 0, 1, 1])


def naive_blur(image, kernel, sigma):
    """Gaussian means of a 2-D image by a loop; the image mirrored without repeating its edge."""
    half = kernel // 2
    offset = np.arange(-half, half + 1)
    weights = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * sigma**2))
    padded = np.pad(image.astype(np.float64), half, mode="reflect")
    result = np.empty(image.shape)
    for y, x in np.ndindex(image.shape):
        result[y, x] = (weights * padded[y : y + kernel, x : x + kernel]).sum() / weights.sum()
    return result


def test_mar_is_blurred_and_stretched_as_a_loop_does():
    method = InterpolateMar(TASK)
    assert (method.kernel, method.sigma, method.brightness, method.gamma) == (93, 33, 143.484, 29.176)
    method.kernel, method.sigma, method.brightness, method.gamma = 7, 2.5, 110.0, 3.0
    given = fields()
    result = predicted(method, given)
    for day in range(2):
        smooth = naive_blur(np.nan_to_num(given["liquid_water"][day], nan=0.0), 7, 2.5)
        expected = np.clip(110 * smooth, 0, 1) ** 3 * given["land"][day]
        np.testing.assert_allclose(result[day], expected, atol=2e-6)


def test_published_mar_by_hand():
    method = InterpolateMar(TASK)
    given = fields()
    given["liquid_water"][:] = np.array([0.0, 0.006, 0.0068, 0.01])[:, None, None]  # a Gaussian changes no constant
    result = predicted(method, given)[:, 12, 12]
    expected = [0, (143.484 * 0.006) ** 29.176, (143.484 * 0.0068) ** 29.176, 1]
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-6)


def test_fitting_finds_the_stretch_that_made_the_data():
    given = fields(6)
    given["liquid_water"] = np.nan_to_num(given["liquid_water"], nan=0.0)
    given["melt_fraction"] = (np.clip(90 * blurred(given["liquid_water"], 5, 2.0), 0, 1) ** 2).astype(np.float32)
    method = InterpolateMar(TASK)
    published = np.abs(predicted(method, given) - given["melt_fraction"])[given["land"] > 0].mean()
    method.fit(pairs(given, method))
    error = np.abs(predicted(method, given) - given["melt_fraction"])[given["land"] > 0].mean()
    assert error < 0.01 < published / 5
    assert method.sigma == 2 and method.kernel == 5
    assert method.brightness == pytest.approx(90, rel=0.01) and method.gamma == pytest.approx(2, rel=0.02)
    assert method.kernel <= 2 * TASK.margin + 1


def test_a_tile_of_the_blur_is_the_blur_of_the_whole_image_inside_the_margin():
    image = np.random.default_rng(0).random((1, 60, 60))
    whole, tile = blurred(image, 13, 3.0), blurred(image[:, 10:50, 5:45], 13, 3.0)
    np.testing.assert_allclose(tile[:, 6:-6, 6:-6], whole[:, 16:44, 11:39], rtol=1e-6)


def test_dem_agrees_with_a_loop_and_months_keep_apart():
    method = LinearDem(TASK)
    with pytest.raises(InputError, match="'linear_dem' must be fitted"):
        predicted(method)
    rng = np.random.default_rng(3)
    method.scale, method.offset = rng.normal(0, 3, 12), rng.normal(0, 3, 12)
    given = fields()
    result = predicted(method, given)
    for day, month in enumerate((2, 4, 5, 7)):  # every 60 days from February
        for y, x in np.ndindex(24, 24):
            h = (given["surface_altitude"][day, y, x] - 1175.094) / 993.852
            z = method.scale[month - 1] * h + method.offset[month - 1]
            expected = 0.5 * (np.tanh(4 + z) + np.tanh(4 - z)) * given["land"][day, y, x]
            assert result[day, y, x] == pytest.approx(expected, abs=2e-6)


def test_fitting_finds_the_melt_line_of_each_month():
    given = fields(4)
    lines = np.array([600.0, 900.0, 1300.0, 1800.0])  # of February, April, May and July
    melt = given["surface_altitude"] < lines[:, None, None]
    given["melt_fraction"] = np.where(np.isnan(given["melt_fraction"]), np.nan, melt).astype(np.float32)
    method = LinearDem(TASK)
    method.fit(pairs(given, method))
    result = predicted(method, given)
    wrong = np.abs(result - given["melt_fraction"])
    assert np.nanmean(wrong, axis=(1, 2)).max() < 0.08  # a shelf cannot be as steep as a step
    valid = np.isfinite(given["melt_fraction"][2]) & (given["land"][2] > 0)
    h, t = (given["surface_altitude"][2][valid] - 1175.094) / 993.852, given["melt_fraction"][2][valid]
    grid = [
        np.abs(0.5 * (np.tanh(4 + a * h + b) + np.tanh(4 - a * h - b)) - t).mean()
        for a in np.linspace(-10, 10, 41)
        for b in np.linspace(-15, 15, 41)
    ]
    assert np.nanmean(wrong[2][valid]) <= min(grid) + 1e-3
    assert len(set(method.scale[[1, 3, 4, 6]])) == 4
    np.testing.assert_array_equal(method.scale[[0, 8]], method.scale[[5, 11]])  # months without data share one


def test_without_labels_nothing_can_be_fitted():
    given = fields()
    given["melt_fraction"][:] = np.nan
    for method in (InterpolateMar(TASK), LinearDem(TASK)):
        with pytest.raises(InputError, match=f"'{method.name}' needs labelled pixels"):
            method.fit(pairs(given, method))


def test_wrong_channels_are_named():
    with pytest.raises(InputError, match=r"\(batch, y, x, 2\), the channels sar_mean, land"):
        TimeInterpolateSar(TASK)(np.zeros((1, 4, 4, 3)))
