"""Maps of single days and of errors, from tiles, against the whole days."""

from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import DataError, InputError
from cloudkeras.evaluation import DayMaps, ErrorMaps, evaluate, maps_of_days, predict_days
from cloudkeras.plotting.melt_errors import plot_day_maps, plot_error_maps, plot_extent_scores
from cloudkeras.tasks import Meltwater, get_task

from ..datasets.making import make_melt_dataset

TASK = Meltwater(inputs=("sar_mean",), crop=(16, 16), evaluation_window=(24, 24), margin=4, normalization="none")


class AsSeen:
    """Predicts the earlier and later SAR, shifted."""

    def __init__(self, name: str, shift: float):
        self.name, self.shift = name, shift

    def __call__(self, x):
        return TASK.encode(np.clip(np.asarray(x)[..., 0] + self.shift, 0, 1), x)


METHODS = [AsSeen("earlier", 0.0), AsSeen("wetter", 0.25)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> ShardDataset:
    return ShardDataset.open(make_melt_dataset(tmp_path_factory.mktemp("maps") / "melt"))


@pytest.fixture(scope="module")
def judged(dataset):
    errors = ErrorMaps()
    return evaluate(TASK, dataset, METHODS, bootstrap=0, watch=errors), errors


def whole_days(dataset):
    fields = dataset.read("test", np.arange(dataset.num_samples("test")), ("melt_fraction", "sar_mean", "land"))
    truth = np.where(fields["land"] > 0, fields["melt_fraction"], np.nan)
    return truth, np.nan_to_num(fields["sar_mean"])


def test_errors_of_each_pixel_over_the_days(dataset, judged):
    truth, mean = whole_days(dataset)
    error = np.clip(mean + 0.25, 0, 1) - truth
    seen = np.isfinite(truth).sum(axis=0)
    errors = judged[1]
    assert errors.methods == ("earlier", "wetter")
    np.testing.assert_array_equal(errors.days, seen)
    for found, values in ((errors.mean("wetter"), error), (errors.mean_absolute("wetter"), np.abs(error))):
        np.testing.assert_allclose(found[seen > 0], np.nansum(values, axis=0)[seen > 0] / seen[seen > 0], atol=1e-5)
        assert np.isnan(found[seen == 0]).all()


def test_days_by_difficulty_are_whole_and_can_be_read_again(dataset, judged, tmp_path):
    days = predict_days(judged[0], TASK, dataset, METHODS, shares=(1.0, 0.0))
    truth, mean = whole_days(dataset)
    best = np.argsort(np.nanmean(np.abs(mean - truth), axis=(1, 2)))
    assert list(days.samples) == [best[-1], best[0]] and "other days" in days.titles[0]
    np.testing.assert_allclose(days.truth, truth[days.samples], atol=1e-6)
    np.testing.assert_allclose(days.predictions["earlier"], mean[days.samples], atol=1e-5)
    read = DayMaps.load(days.save(tmp_path / "cases.npz").parent)
    assert (read.titles, read.pixel_km, read.simulated) == (days.titles, days.pixel_km, days.simulated)
    np.testing.assert_array_equal(read.predictions["wetter"], days.predictions["wetter"])
    with pytest.raises(DataError, match="maps of days; found no file"):
        DayMaps.load(tmp_path / "nothing.npz")


def test_figures_hold_what_was_judged(dataset, judged):
    scores, errors = judged
    days = maps_of_days(TASK, dataset, METHODS, [1])
    figure = plot_day_maps(days)
    drawn = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in drawn[:3]] == ["SAR (truth)", "earlier", "wetter"]
    difference = np.ma.filled(drawn[4].images[0].get_array(), np.nan)
    np.testing.assert_allclose(difference, days.predictions["wetter"][0] - days.truth[0], equal_nan=True)
    altitude = dataset.static("surface_altitude")
    figure = plot_error_maps(errors, land=days.land, altitude=altitude, simulated=True)
    assert "(simulated)" in figure.get_suptitle() and len([axis for axis in figure.axes if axis.images]) == 4
    figure = plot_extent_scores(scores, methods=["wetter"])
    truth, found = scores.metrics.extents(scores.statistics["wetter"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), found)
    np.testing.assert_allclose(np.mean(np.abs(found - truth)), scores.values["wetter"]["extent_mae_km2"])


def test_wrong_requests_are_named(dataset, judged):
    with pytest.raises(InputError, match="at least one method and one day"):
        maps_of_days(TASK, dataset, METHODS, [])
    with pytest.raises(InputError, match="`methods` are of earlier, wetter"):
        plot_day_maps(maps_of_days(TASK, dataset, METHODS, [0]), methods=["unet"])
    with pytest.raises(InputError, match="Nothing was judged"):
        plot_error_maps(ErrorMaps(), land=np.ones((2, 2)))
    with pytest.raises(InputError, match="a task cuts windows"):
        maps_of_days(get_task("blind_zone"), dataset, METHODS, [0])
