from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.evaluation import Cases
from cloudkeras.plotting import (
    evaluation_figures,
    plot_lowest_echo,
    plot_performance_diagram,
    plot_power_spectra,
    plot_radar_cases,
    plot_reflectivity_height,
    plot_reflectivity_histograms,
    plot_scores_by_height,
    save_evaluation_figures,
)
from tests.evaluation.made import made_radar_scores, made_scores
from tests.test_plotting import texts


@pytest.fixture(scope="module")
def scores():
    return made_radar_scores(simulated=True)


def line(axis, label):
    return next(one for one in axis.lines if one.get_label() == label)


def test_performance_points_stand_at_success_ratio_and_detection(scores):
    figure = plot_performance_diagram(scores)
    assert "(simulated)" in texts(figure) and len(figure.axes) == 3
    for axis, event in zip(figure.axes, ("cloud", "shallow_snow", "virga"), strict=True):
        assert axis.get_title().startswith(event.replace("_", " "))
        pod, far = (scores.score("noisy", f"{kind}_{event}") for kind in ("pod", "far"))
        points = [tuple(float(v[0]) for v in one.get_data()) for one in axis.lines if len(one.get_xdata()) == 1]
        assert (1 - far.value, pod.value) in points
        spans = [[float(v) for v in one.get_xdata()] for one in axis.lines if len(one.get_xdata()) == 2]
        assert [1 - far.high, 1 - far.low] in spans
        heights = [[float(v) for v in one.get_ydata()] for one in axis.lines if len(one.get_xdata()) == 2]
        assert [pod.low, pod.high] in heights
    assert "never forecast: all_clear" in figure.axes[0].get_xlabel()
    one = plot_performance_diagram(scores, events=["virga"], methods=["good"])
    assert len(one.axes) == 1 and [t.get_text() for t in one.legends[0].get_texts()] == ["good"]


def test_contours_of_the_performance_diagram_are_those_of_the_formula(scores):
    # At success ratio 0.5 and detection 0.5 CSI is 1 / (2 + 2 - 1) = 1/3 and the bias 1.
    axis = plot_performance_diagram(scores, events=["cloud"]).axes[0]
    contours = next(c for c in axis.collections if hasattr(c, "levels"))
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        x, y = path.vertices[10:-10].T
        inside = (x > 0.02) & (y > 0.02)
        np.testing.assert_allclose(1 / (1 / x + 1 / y - 1)[inside], level, atol=2e-3)


def test_spectra_have_physical_frequencies_and_the_interval_of_the_truth(scores):
    figure = plot_power_spectra(scores)
    left, right = figure.axes
    total = scores.total("good")
    # 8 rows of 80 m: 1/640 to 4/640 cycles per m; segments of 64 profiles of 30 s
    np.testing.assert_allclose(line(left, "truth").get_xdata(), np.arange(1, 5) / 0.64)
    np.testing.assert_allclose(line(right, "good").get_xdata(), np.arange(1, 33) / 32)
    expected = total["true_vertical_power"] / total["vertical_profiles"] * 0.08
    np.testing.assert_allclose(line(left, "truth").get_ydata(), expected)
    expected = total["predicted_temporal_power"] / total["temporal_segments"] * 0.5
    np.testing.assert_allclose(line(right, "good").get_ydata(), expected)
    assert len(left.collections) == 1  # the band
    assert "no variation: all_clear" in texts(figure) and "95 % interval" in texts(figure)
    assert "cycles per minute" in texts(figure) and "cycles per km" in texts(figure)
    plain = dataclasses.replace(scores, bootstrap=0, provenance={})
    figure = plot_power_spectra(plain, methods=["good"])
    assert not figure.axes[0].collections and "cycles per profile" in texts(figure)
    np.testing.assert_allclose(line(figure.axes[0], "truth").get_xdata()[-1], 0.5 / 0.0781)


def test_histograms_show_the_share_without_echo_and_the_echo(scores):
    left, right = plot_reflectivity_histograms(scores, bin_db=3).axes
    true = scores.total("good")["true_histogram"].sum(axis=0)
    widths = [patch.get_width() for patch in left.patches]
    assert widths[0] == pytest.approx(100 * true[0] / true.sum()) and widths[-1] == pytest.approx(100)
    assert [t.get_text() for t in left.get_yticklabels()] == ["truth", "good", "noisy", "all_clear"]
    steps = next(p for p in right.patches if p.get_label() == "truth").get_data()
    np.testing.assert_allclose(np.diff(steps.edges), 3)
    assert (steps.values * np.diff(steps.edges)).sum() == pytest.approx(100 * (1 - true[0] / true.sum()))


def test_reflectivity_by_height_has_one_panel_a_method(scores):
    figure = plot_reflectivity_height(scores, methods=["noisy", "all_clear"])
    panels = figure.axes[:3]
    assert [axis.get_title().split(":")[0] for axis in panels] == ["truth", "noisy", "all_clear *"]
    assert panels[2].get_title().endswith("0.0 % echo") and "% per dB" in texts(figure)
    shown = np.ma.filled(panels[1].collections[0].get_array(), 0)
    assert shown.shape == (8, 45)
    np.testing.assert_allclose((shown * 2).sum(axis=1), 100)  # every height has its echo in bins of 2 dB


def test_scores_by_height_are_the_profiles(scores):
    figure = plot_scores_by_height(scores, metrics=["mae", "echo_fraction"])
    mae, echo = figure.axes
    np.testing.assert_allclose(line(mae, "good").get_xdata(), scores.profiles["good"]["mae"])
    np.testing.assert_allclose(line(mae, "good").get_ydata(), 0.04 + 0.08 * np.arange(8))
    np.testing.assert_allclose(line(echo, "truth").get_xdata(), scores.profiles["good"]["echo_fraction_truth"])
    assert mae.get_title() == "mae (dB)" and "truth" in texts(figure)


def test_lowest_echo_is_predicted_over_true(scores):
    figure = plot_lowest_echo(scores, methods=["noisy"])
    axis = figure.axes[0]
    counts = scores.total("noisy")["lowest_echo"]
    inside, true_none, predicted_none, both = (np.ma.filled(c.get_array(), 0) for c in axis.collections)
    np.testing.assert_array_equal(inside, counts[:-1, :-1].T)
    np.testing.assert_array_equal(true_none[:, 0], counts[-1, :-1])
    np.testing.assert_array_equal(predicted_none[0], counts[:-1, -1])
    assert both.item() == counts[-1, -1]
    assert f"MAE {0.08 * scores.values['noisy']['lowest_echo_mae']:.2f} km" in axis.get_title()


def made_cases(count=2, spread=True):
    rng = np.random.default_rng(0)
    observed = np.where(rng.random((count, 20, 30)) < 0.3, -60, rng.uniform(-40, 10, (count, 20, 30)))
    hidden = np.broadcast_to(np.arange(20)[:, None] < 5, observed.shape)
    return Cases(
        titles=tuple(f"case {i}" for i in range(count)),
        samples=np.arange(count),
        time_start=1.6e9 + 7200.0 * np.arange(count),
        time_end=1.6e9 + 7200.0 * np.arange(count) + 870,
        height_m=100.0 * np.arange(20) + 50,
        observed=observed,
        hidden=hidden,
        predictions={"net": observed + 1, "repeat": observed},
        spread={"net": np.where(hidden, 3.0, np.nan)} if spread else {},
        simulated=True,
    )


def test_cases_show_truth_seen_methods_and_spread():
    figure = plot_radar_cases(made_cases())
    panels = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert len(panels) == 2 * 5
    words = texts(figure)
    for word in ("truth", "seen", "net", "repeat", "spread of net", "case 1", "2020-09-13 12:26 UTC", "(simulated)"):
        assert word in words
    for axis in panels:
        assert any(np.allclose(one.get_ydata(), 0.5) for one in axis.lines)  # 5 rows of 100 m
    assert panels[0].get_ylim() == pytest.approx((0, 1.95))
    start, end = panels[0].get_xlim()
    assert start < 12 + 26 / 60 + 40 / 3600 < end
    assert "spread" not in texts(plot_radar_cases(made_cases(spread=False)))
    assert "spread" not in texts(plot_radar_cases(made_cases(), methods=["repeat"], spread_of=""))


def test_cases_without_heights_are_drawn_by_row():
    cases = dataclasses.replace(made_cases(1), height_m=np.full(20, np.nan))
    axis = plot_radar_cases(cases).axes[0]
    assert any(np.allclose(one.get_ydata(), 5 * 0.0781) for one in axis.lines)


def test_figures_of_a_task(scores, tmp_path):
    names = ["scores", "performance_diagram", "power_spectra", "reflectivity_histograms", "reflectivity_height"]
    found = [name for name, _ in evaluation_figures(scores, made_cases(1))]
    assert found == [*names, "scores_by_height", "lowest_echo", "cases"]
    assert save_evaluation_figures(made_scores(), tmp_path, kind="svg") == [tmp_path / "scores.svg"]
    assert (tmp_path / "scores.svg").is_file()


@pytest.mark.filterwarnings("error")
def test_scores_of_nothing_are_drawn():
    empty = made_radar_scores(samples=2)
    for counts in empty.statistics.values():
        counts.update({name: np.zeros_like(values) for name, values in counts.items()})
    assert len(list(evaluation_figures(empty))) == 7


def test_wrong_arguments_are_named(scores):
    with pytest.raises(InputError, match="`events` are of cloud, shallow_snow, virga"):
        plot_performance_diagram(scores, events=["hail"])
    with pytest.raises(InputError, match="`events` are of none"):
        plot_performance_diagram(made_scores())
    with pytest.raises(InputError, match=r"scores of the task 'blind_zone'.*cloud_phase"):
        plot_power_spectra(made_scores())
    with pytest.raises(InputError, match="`methods` are 1 to 7 of good, noisy, all_clear"):
        plot_lowest_echo(scores, methods=["best"])
    with pytest.raises(InputError, match=r"`metrics` are of mae, rmse"):
        plot_scores_by_height(scores, metrics=["wind"])
    with pytest.raises(InputError, match="`spread_of` is a method with members"):
        plot_radar_cases(made_cases(), spread_of="repeat")
