"""Figures of distributions: what they show, from members made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.evaluation import Scores
from cloudkeras.metrics import metrics_for
from cloudkeras.plotting.uncertainty import (
    plot_interval_coverage,
    plot_reliability,
    plot_risk_coverage,
    plot_spread_error,
    uncertainty_figures,
)
from cloudkeras.tasks import get_task


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    task = get_task("blind_zone", blind_rows=4)
    center, width = rng.uniform(-30, 0, (6, 4, 50)), rng.uniform(1, 8, (6, 4, 50))
    truth = center + width * rng.normal(size=center.shape)
    members = {
        "good": center + width * rng.normal(size=(30, *center.shape)),
        "narrow": center + 0.2 * width * rng.normal(size=(30, *center.shape)),
        "single": center[None],
    }
    metrics = metrics_for(task, "members")
    statistics = {name: metrics.statistics(truth, drawn) for name, drawn in members.items()}
    return Scores(
        task="blind_zone",
        task_options=task.options(),
        statistics=statistics,
        groups=np.array([f"block {i}" for i in range(6)]),
        simulated=True,
        baselines=("single",),
        bootstrap=30,
        kind="members",
    )


def lines(axis):
    return {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}


def test_coverage_of_a_good_method_lies_on_the_diagonal(scores):
    found = lines(plot_interval_coverage(scores).axes[0])
    assert set(found) == {"good", "narrow"}
    good, narrow = found["good"], found["narrow"]
    np.testing.assert_allclose(good.get_ydata(), good.get_xdata(), atol=5)
    assert narrow.get_ydata()[-2] < 50  # of the 90 % interval


def test_risk_falls_with_a_spread_that_ranks_and_is_flat_without(scores):
    found = lines(plot_risk_coverage(scores).axes[0])
    assert found["good"].get_ydata()[0] < 0.5 * found["good"].get_ydata()[-1]
    assert np.ptp(found["single"].get_ydata()) == 0 and found["single"].get_xdata()[0] == 0
    assert found["single"].get_ydata()[0] == pytest.approx(scores.values["single"]["mae"])


def test_spread_and_error_agree_for_a_good_method(scores):
    found = lines(plot_spread_error(scores).axes[0])
    good = found["good"]
    np.testing.assert_allclose(good.get_ydata(), good.get_xdata(), rtol=0.35)
    assert (found["narrow"].get_ydata() > 2 * found["narrow"].get_xdata()).all()


def test_reliability_names_the_event_and_its_threshold(scores):
    figure = plot_reliability(scores, event=1, methods=["good"])
    assert "precipitation (above -20 dBZ)" in figure.axes[0].get_ylabel()
    line = lines(figure.axes[0])["good"]
    np.testing.assert_allclose(line.get_ydata(), line.get_xdata(), atol=0.2)


def test_all_figures_say_simulated_and_are_drawn(scores, tmp_path):
    from cloudkeras.plotting import save_figure

    figures = uncertainty_figures(scores)
    assert set(figures) == {
        *("risk_coverage", "spread_error", "rank_histogram", "interval_coverage"),
        *("reliability_echo", "reliability_precipitation"),
    }
    for name, figure in figures.items():
        assert "(simulated)" in figure.get_suptitle()
        save_figure(figure, tmp_path / f"{name}.png", dpi=40)


def test_mistakes(scores):
    with pytest.raises(InputError, match="`methods` are among"):
        plot_risk_coverage(scores, methods=["unet"])
    with pytest.raises(InputError, match="needs a method with members"):
        plot_spread_error(scores, methods=["single"])
