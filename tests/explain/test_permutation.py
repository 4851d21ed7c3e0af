import dataclasses

import numpy as np
import pytest

from cloudkeras.datasets import Batches, ShardDataset
from cloudkeras.errors import InputError
from cloudkeras.explain import permutation_importance
from cloudkeras.explain.permutation import _exchange
from cloudkeras.metrics import metrics_for
from cloudkeras.tasks import get_task

from ..training.tiny import BLIND_ROWS, write_radar_shards

TASK = get_task("blind_zone", blind_rows=BLIND_ROWS, evaluation_ramp_rows=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("permutation") / "shards"
    return ShardDataset.open(write_radar_shards(folder, {"train": 2, "validation": 1, "test": 6}))


@dataclasses.dataclass
class Repeat:
    """The lowest visible row repeated down: looks at the reflectivity and at nothing else."""

    name: str = "repeat"
    task: object = TASK

    def __call__(self, x):
        return np.repeat(x[:, BLIND_ROWS : BLIND_ROWS + 1, :, :1], x.shape[1], axis=1)


def test_a_channel_that_is_ignored_is_worth_exactly_nothing_and_the_other_much(dataset):
    found = permutation_importance(Repeat(), dataset, repeats=3, batch_size=4, bootstrap=50, group_by="sample")
    assert found.values["blind_zone_mask"] == (0, 0, 0) and found.by_seed["blind_zone_mask"] == [0, 0, 0]
    assert found.values["reflectivity"].low > 0 and found.ranking == ["reflectivity", "blind_zone_mask"]
    assert found.score == "mae" and not found.higher_is_better and found.simulated
    assert found.scores["nothing"] == found.scores["blind_zone_mask"]
    assert found.provenance["samples"] == 6 and found.provenance["groups"] == 6


def test_the_importance_is_that_of_an_exchange_by_hand(dataset):
    found = permutation_importance(Repeat(), dataset, repeats=2, seed=4, batch_size=4, bootstrap=0)
    fields = Batches(dataset, TASK, "test", 6).fields(0)
    x, truth = TASK.network_inputs(fields, {}), TASK.truth(fields)
    metrics = metrics_for(TASK)

    def mae(seen):
        counted = metrics.statistics(truth, TASK.decode(Repeat()(seen), x), fields)
        return metrics.compute({name: values.sum(axis=0) for name, values in counted.items()})["mae"]

    expected = []
    for repeat in range(2):
        other = x[_exchange(6, np.random.default_rng([4, repeat]))]
        expected.append(mae(np.concatenate([other[..., :1], x[..., 1:]], axis=-1)) - mae(x))
    np.testing.assert_allclose(found.by_seed["reflectivity"], expected, rtol=1e-6)
    assert found.values["reflectivity"].value == pytest.approx(np.mean(expected))
    assert np.isnan(found.values["reflectivity"].low)


def test_an_exchange_leaves_no_sample_its_own():
    for count in (2, 3, 10):
        exchange = _exchange(count, np.random.default_rng(count))
        assert sorted(exchange) == list(range(count)) and (exchange != np.arange(count)).all()


def test_channels_in_groups_and_files(dataset, tmp_path):
    groups = {"both": ("reflectivity", "blind_zone_mask")}
    found = permutation_importance(Repeat(), dataset, groups=groups, repeats=1, bootstrap=20, limit=4)
    assert list(found.values) == ["both"] and found.provenance["samples"] == 4
    paths = found.save(tmp_path)
    assert '"both"' in paths["json"].read_text() and "NaN" not in paths["json"].read_text()
    text = paths["markdown"].read_text()
    assert "what the channel improves of mae (dB)" in text and "lower is better" in text and "simulated" in text


def test_wrong_choices(dataset):
    with pytest.raises(InputError, match="The group 'a' has channels out of reflectivity, blind_zone_mask"):
        permutation_importance(Repeat(), dataset, groups={"a": ["wind"]})
    with pytest.raises(InputError, match="`repeats` counts at least 1"):
        permutation_importance(Repeat(), dataset, repeats=0)
    with pytest.raises(InputError, match="needs at least two samples"):
        permutation_importance(Repeat(), dataset, split="validation")
