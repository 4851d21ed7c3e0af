import numpy as np
import pytest

from benchmarks.marching_average import naive_marching_average
from cloudkeras.baselines.radar import (
    AllClear,
    AllEcho,
    Climatology,
    LinearExtrapolation,
    MarchingAverage,
    Repeat,
    radar_baselines,
)
from cloudkeras.errors import InputError
from cloudkeras.tasks import BlindZone


def images(samples=3, rows=24, columns=28, seed=0):
    rng = np.random.default_rng(seed)
    echo = rng.random((samples, rows, columns)) < 0.7
    return np.where(echo, rng.uniform(-0.5, 1, (samples, rows, columns)), -1).astype(np.float32)


def network_input(values, blind_rows=6):
    mask = np.zeros_like(values)
    mask[:, :blind_rows] = 1
    mask[:, blind_rows] = 0.5
    return np.stack([np.where(mask >= 1, -1, values), mask], axis=-1)


def masks():
    rng = np.random.default_rng(3)
    rows = np.zeros((24, 28), bool)
    rows[:10] = True
    island = np.zeros_like(rows)
    island[8:20, 3:25] = True
    scattered = rng.random(rows.shape) < 0.8
    columns = np.zeros_like(rows)
    columns[:, :9] = True
    slope = np.arange(24)[:, None] < 2 + np.arange(28)[None] // 3
    gap = np.zeros_like(rows)
    gap[3:5], gap[17:23] = True, True
    return {"gap": gap, "rows": rows, "island": island, "scattered": scattered, "columns": columns, "slope": slope}


@pytest.mark.parametrize("form", masks())
def test_marching_average_equals_the_loop(form):
    values, hidden = images(), masks()[form]
    filled = MarchingAverage().fill(np.where(hidden, np.nan, values), np.broadcast_to(hidden, values.shape))
    for k in range(len(values)):
        np.testing.assert_allclose(filled[k], naive_marching_average(values[k], hidden), atol=1e-5)


def test_marching_average_with_another_mask_in_each_sample():
    hidden = np.stack([masks()["rows"], masks()["scattered"], np.zeros((24, 28), bool)])
    values = images()
    filled = MarchingAverage().fill(values, hidden)
    for k in range(3):
        np.testing.assert_allclose(filled[k], naive_marching_average(values[k], hidden[k]), atol=1e-5)


def test_marching_average_by_hand():
    # Window 3, one column hidden at the bottom. Row 0 of 3 columns: reflected columns are 1, 0, 1 | 0, 1, 2 | 1, 2, 1.
    values = np.array([[[0, 0, 0], [1, 2, 6]]], np.float32)
    hidden = np.array([[[True] * 3, [False] * 3]])
    # The window's rows are -1, 0, 1, and row -1 reflects to row 1: row 1 counts twice, which leaves the mean as it is.
    expected = [(2 + 1 + 2) / 3, (1 + 2 + 6) / 3, (2 + 6 + 2) / 3]
    np.testing.assert_allclose(MarchingAverage(window=3).fill(values, hidden)[0, 0], expected, rtol=1e-6)


def test_marching_average_of_nothing_visible_and_of_nothing_hidden():
    values = images(1)
    assert (MarchingAverage().fill(values, np.ones(values.shape, bool)) == -1).all()
    np.testing.assert_array_equal(MarchingAverage().fill(values, np.zeros(values.shape, bool)), values)


def test_repeat_copies_the_lowest_visible_row():
    values = images()
    x = network_input(values)
    y = Repeat()(x)
    assert y.shape == (*values.shape, 1) and y.dtype == np.float32
    np.testing.assert_array_equal(y[:, :6, :, 0], np.repeat(values[:, 6:7], 6, axis=1))
    np.testing.assert_array_equal(y[:, 6:, :, 0], values[:, 6:])


def test_repeat_on_a_general_mask():
    values = np.arange(5, dtype=np.float32)[None, :, None]
    hidden = np.array([True, False, True, True, True])[None, :, None]
    np.testing.assert_array_equal(Repeat().fill(values, hidden)[0, :, 0], [1, 1, 1, 1, 1])
    hidden = np.array([True, False, True, False, True])[None, :, None]
    np.testing.assert_array_equal(Repeat().fill(values, hidden)[0, :, 0], [1, 1, 3, 3, 3])
    assert (Repeat().fill(values, np.ones_like(hidden)) == -1).all()


def test_linear_extrapolation_continues_a_line_exactly():
    """A profile that is a line in dB is found again; clipped to -60..30 dBZ, and no echo where it falls to -60."""
    rows, blind = 12, 5
    slopes, lowest = np.array([0.02, -0.04, 0.0, 0.1, -0.2]), np.array([0.1, 0.3, 0.5, -0.2, 0.9])
    height = np.arange(rows)[:, None] - blind
    values = (lowest + slopes * height).astype(np.float32)[None]
    hidden = np.broadcast_to(np.arange(rows)[:, None] < blind, values.shape)
    line = np.where(values > -0.5, np.minimum(values, 1.0), -1.0)
    filled = LinearExtrapolation(rows=4).fill(np.where(hidden, -1, values), hidden)
    np.testing.assert_allclose(filled[:, :blind], line[:, :blind], atol=1e-6)
    assert (filled[0, 0, 3], filled[0, 0, 4]) == (-1.0, 1.0)
    np.testing.assert_array_equal(filled[:, blind:], values[:, blind:])


def test_linear_extrapolation_is_numpys_least_squares():
    values = np.where(images(1) > -0.5, images(1), 0.1)
    hidden = np.broadcast_to(np.arange(24)[:, None] < 6, values.shape)
    filled = LinearExtrapolation(rows=5).fill(values, hidden)
    for column in range(values.shape[2]):
        line = np.polyval(np.polyfit(np.arange(6, 11), values[0, 6:11, column], 1), np.arange(6))
        np.testing.assert_allclose(filled[0, :6, column], np.where(line > -0.5, np.minimum(line, 1), -1), atol=1e-6)


def test_linear_extrapolation_repeats_where_there_is_no_line():
    # Lowest row first; 2 rows hidden. Columns: one echo, echo above a gap, no echo, a line of two below a gap.
    seen = [[0.3, -1, -1, 0.3], [-1, 0.4, -1, 0.2], [0.9, 0.6, -1, -1], [0.9, 0.8, -1, 0.9]]
    values = np.array([[[0.0] * 4] * 2 + seen], np.float32)
    hidden = np.broadcast_to(np.arange(6)[:, None] < 2, values.shape)
    expected = [[0.3, -1, -1, 0.5], [0.3, -1, -1, 0.4]]
    np.testing.assert_allclose(LinearExtrapolation().fill(values, hidden)[0, :2], expected, atol=1e-6)
    all_hidden = np.ones(values.shape, bool)
    assert (LinearExtrapolation().fill(values, all_hidden) == -1).all()
    gap = np.broadcast_to(np.arange(6)[:, None] == 3, values.shape)
    np.testing.assert_array_equal(LinearExtrapolation().fill(values, gap), Repeat().fill(values, gap))


def batches(targets):
    """One batch a target, with a blind zone of 2 rows and labels in the row above it too."""
    result = []
    for target in targets:
        x = network_input(np.zeros((1, *np.shape(target)), np.float32), blind_rows=2)
        result.append((x, np.asarray(target, np.float32)[None, ..., None]))
    return result


TARGETS = [
    [[0.25, 0.5, -1.0], [-1.0, -1.0, 0.75], [0.9, 0.9, 0.9]],
    [[0.25, np.nan, -1.0], [-1.0, -1.0, 0.7], [0.9, 0.9, np.nan]],
]


def test_all_echo_is_the_median_echo_of_the_blind_zone():
    method = AllEcho().fit(batches(TARGETS))
    assert method.value == pytest.approx(0.5, abs=1e-3)  # of 0.25 0.25 0.5 0.7 0.75
    x = network_input(images(), 2)
    y = method(x)
    np.testing.assert_allclose(y[:, :2], 0.5, atol=1e-3)
    np.testing.assert_array_equal(y[:, 2:, :, 0], x[:, 2:, :, 0])


def test_climatology_is_the_median_of_each_row():
    method = Climatology().fit(batches(TARGETS))
    np.testing.assert_allclose(method.values, [0.25, -1, -1], atol=1e-3)  # the third row is not blind
    y = method(network_input(images(2, 3, 5), 2))
    np.testing.assert_allclose(y[:, 0], 0.25, atol=1e-3)
    assert (y[:, 1] == -1).all()


def test_climatology_has_the_smallest_absolute_error_of_all_constants_in_dbz():
    task, rng = BlindZone(), np.random.default_rng(0)
    dbz = np.where(rng.random((4, 24, 30)) < 0.7, rng.normal(-5, 10, (4, 24, 30)), -60).astype(np.float32)
    fields = task.prepare({"reflectivity": dbz})
    x, truth = task.network_inputs(fields, {}), task.truth(fields)
    method = Climatology().fit([(x, {"final": task.target(fields), "aux_1": task.target(fields)})])
    blind = truth[:, :16]
    best = np.abs(task.decode(method(x), x)[:, :16] - blind).mean(axis=(0, 2))
    for constant in np.linspace(-60, 20, 161):
        assert (best <= np.abs(constant - blind).mean(axis=(0, 2)) + 0.07).all()  # a bin is 0.06 dB


def test_all_clear_and_names():
    x = network_input(images())
    y = AllClear().fit(None)(x)
    assert (y[:, :6] == -1).all() and (y[:, 6:, :, 0] == x[:, 6:, :, 0]).all()
    names = [method.name for method in radar_baselines()]
    assert names == ["all_echo", "all_clear", "climatology", "repeat", "linear_extrapolation", "marching_average"]


def test_context_channels_are_not_read():
    x = network_input(images())
    wide = np.concatenate([x[..., :1], np.full_like(x, 7.0), x[..., 1:]], axis=-1)
    for method in (Repeat(), LinearExtrapolation(), MarchingAverage(), AllClear()):
        np.testing.assert_array_equal(method(wide), method(x))


def test_errors():
    x = network_input(images())
    for method in (AllEcho(), Climatology()):
        with pytest.raises(InputError, match="must be fitted"):
            method(x)
        with pytest.raises(InputError, match="at least one batch"):
            method.fit([])
    with pytest.raises(InputError, match="needs an echo"):
        AllEcho().fit(batches([[[-1.0], [-1.0], [0.5]]]))
    with pytest.raises(InputError, match=r"fitted to 3 rows. Received 24 rows"):
        Climatology().fit(batches(TARGETS))(x)
    with pytest.raises(InputError, match=r"`rows` counts at least the 2 rows of a line\. Received rows=1"):
        LinearExtrapolation(rows=1)
    with pytest.raises(InputError, match=r"`window` is an odd number of pixels\. Received window=4"):
        MarchingAverage(window=4)


@pytest.mark.realdata
def test_figures_of_the_real_test_block(realdata):
    """On 12 to 18 h, echo everywhere has a Dice of 0.926, repeat 0.80 and a mean absolute error of 17.8 dB (about)."""
    from cloudkeras.ingest import radar_curtain, read_model_columns, read_radar

    folder = realdata / "cloudnet_arctic"
    model = read_model_columns([folder / "20210104_ny-alesund_icon-iglo-12-23.nc"])
    curtain = radar_curtain(read_radar(folder / "20210104_ny-alesund_iwc-Z-T-method.nc", model=model), model)
    hour = curtain.time % 86400 / 3600
    dbz = curtain.fields["reflectivity"][None][:, :, (hour >= 12) & (hour < 18)]
    task = BlindZone()
    fields = task.prepare({"reflectivity": dbz})
    x, truth = task.network_inputs(fields, {}), task.truth(fields)
    seen = np.isfinite(truth)
    echo = truth[seen] > -60

    def scores(method):
        found = task.decode(method(x), x)[seen]
        dice = 2 * (echo & (found > -60)).sum() / (echo.sum() + (found > -60).sum())
        return dice, np.abs(found - truth[seen]).mean()

    assert scores(AllEcho().fit([(x, task.target(fields))]))[0] == pytest.approx(0.926, abs=0.002)
    dice, error = scores(Repeat())
    assert dice == pytest.approx(0.80, abs=0.01) and error == pytest.approx(17.8, abs=0.4)
