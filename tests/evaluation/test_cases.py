from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import DataError, InputError
from cloudkeras.evaluation import Cases, evaluate, predict_cases
from cloudkeras.evaluation.cases import typical_samples
from cloudkeras.tasks import get_task
from tests.training.tiny import BLIND_ROWS, write_radar_shards

from .made import made_radar_scores, made_scores


class Constant:
    """A method that puts one network value everywhere, with members around it."""

    def __init__(self, name, value):
        self.name, self.value = name, value

    def __call__(self, x):
        return {"final": np.full((*x.shape[:3], 1), self.value, np.float32)}


class Spread(Constant):
    def sample(self, x, members, *, seed=0):
        steps = np.linspace(-0.1, 0.1, members)[:, None, None, None, None]
        return self(x)["final"] + steps.astype(np.float32)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = write_radar_shards(tmp_path_factory.mktemp("radar") / "data", {"train": 2, "test": 5})
    task, dataset = get_task("blind_zone", blind_rows=BLIND_ROWS), ShardDataset.open(folder)
    methods = [Spread("high", 0.5), Constant("low", 0.2)]
    scores = evaluate(task, dataset, methods, bootstrap=0)
    found = predict_cases(scores, task, dataset, methods, shares=(0, 1), members=3)
    return dataset, scores, found


def test_cases_are_the_easiest_and_the_hardest_window(cases):
    dataset, scores, found = cases
    best = scores.methods[0]
    mae = scores.metrics.compute(scores.statistics[best])["mae"]
    np.testing.assert_array_equal(found.samples, [mae.argmin(), mae.argmax()])
    assert found.titles[0].startswith("harder than 0 of the 4 other windows\nMAE of " + best)
    assert found.titles[1].startswith("harder than 4 of the 4") and found.simulated
    truth = dataset.read("test", found.samples, ["reflectivity"])["reflectivity"]
    np.testing.assert_array_equal(found.observed, truth)
    np.testing.assert_array_equal(found.time_start, dataset.samples("test").time_start[found.samples])


def test_predictions_stand_where_the_radar_is_blind(cases):
    found = cases[2]
    assert found.hidden[:, :BLIND_ROWS].all() and not found.hidden[:, BLIND_ROWS:].any()
    high = found.predictions["high"]
    np.testing.assert_array_equal(high[~found.hidden], found.observed[~found.hidden])
    np.testing.assert_allclose(high[found.hidden], 0.0, atol=1e-4)  # 0.5 of the network is 0 dBZ
    # Members at 0.4, 0.5 and 0.6: -6, 0 and 6 dBZ
    assert set(found.spread) == {"high"}
    np.testing.assert_allclose(found.spread["high"][found.hidden], np.std([-6, 0, 6]), rtol=1e-4)
    assert np.isnan(found.spread["high"][~found.hidden]).all()


def test_saved_cases_are_read_again(cases, tmp_path):
    found = cases[2]
    found.save(tmp_path / "cases.npz")
    again = Cases.load(tmp_path)
    assert again.titles == found.titles and again.simulated
    for name in ("samples", "time_start", "time_end", "height_m", "observed", "hidden"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    for kind in ("predictions", "spread"):
        assert list(getattr(again, kind)) == list(getattr(found, kind))
        for name, values in getattr(found, kind).items():
            np.testing.assert_array_equal(getattr(again, kind)[name], values)


def test_windows_without_a_score_are_no_cases():
    scores = made_radar_scores(samples=4)
    for counts in scores.statistics.values():
        counts["rows"][2] = 0
    chosen = typical_samples(scores, (0, 0.5, 1))
    assert len(chosen) == 3 and 2 not in chosen.values()
    assert len(typical_samples(scores, (1, 1))) == 1


def test_what_cannot_be_chosen_is_named(cases, tmp_path):
    dataset, scores, _ = cases
    with pytest.raises(InputError, match="`shares` lie between 0 and 1"):
        typical_samples(scores, (50,))
    with pytest.raises(InputError, match=r"task 'blind_zone'.*cloud_phase"):
        predict_cases(made_scores(), get_task("cloud_phase"), dataset, [])
    with pytest.raises(DataError, match=r"expected cases; found no file\. `cloudkeras evaluate --figures`"):
        Cases.load(tmp_path)
    (tmp_path / "cases.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match="expected cases of format 1"):
        Cases.load(tmp_path)
