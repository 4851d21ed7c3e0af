"""A task that cuts windows: members are judged tile by tile, and calibrated, like images are."""

from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.evaluation import evaluate
from cloudkeras.metrics import metrics_for
from cloudkeras.tasks import Meltwater
from cloudkeras.uncertainty import EnsembleMethod, fit_calibration
from tests.datasets.making import make_melt_dataset

TASK = Meltwater(crop=(48, 48), evaluation_window=(48, 48), margin=8)


class Narrow:
    """Members around a function of the pixel, far too sure; their noise depends on the pixel alone."""

    name, task = "narrow", TASK

    def sample(self, x, members, *, seed=0):
        value = 0.3 * np.tanh(x[..., :1])
        noise = np.sin(1000 * x[..., :1] + np.arange(members).reshape(-1, 1, 1, 1, 1))
        return (value + 0.02 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = make_melt_dataset(tmp_path_factory.mktemp("melt") / "data", {"train": 2, "validation": 4, "test": 3})
    return ShardDataset.open(folder)


def test_tiles_count_every_pixel_once(dataset):
    method = EnsembleMethod(Narrow(), 5)
    scores = evaluate(TASK, dataset, [method], batch_size=2, kind="members", bootstrap=0)
    whole = dataset.read("test", np.arange(3), TASK.read_names())
    truth = TASK.truth(TASK.prepare(dict(whole)))
    members = method.members(TASK.network_inputs(whole, dataset.statistics))
    expected = metrics_for(TASK, "members").statistics(truth, members)
    for name, values in expected.items():
        np.testing.assert_allclose(scores.statistics["narrow"][name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    assert scores.num_samples == 3


def test_melt_is_calibrated(dataset):
    method = EnsembleMethod(Narrow(), 20)
    calibration = fit_calibration(method, dataset, pixels=4000)
    mended = EnsembleMethod(Narrow(), 20, statistic="median", calibration=calibration, name="mended")
    scores = evaluate(TASK, dataset, [method, mended], kind="members", bootstrap=0).values
    assert scores["narrow"]["coverage_90"] < 0.2
    assert scores["mended"]["coverage_90_shared"] == pytest.approx(0.9, abs=0.05)
    assert scores["mended"]["crps"] < 0.8 * scores["narrow"]["crps"]
    assert calibration.factors == () and calibration.report["stretches"] >= 4
    point = evaluate(TASK, dataset, [mended], bootstrap=0)
    values = point.values["mended"]
    assert np.isfinite(values[point.metrics.primary]) and values["pixels"] == scores["mended"]["pixels"]
