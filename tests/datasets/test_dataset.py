import pickle

import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import DataError, InputError
from cloudkeras.tasks import CloudPhase

from .making import make_cloud_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return ShardDataset.open(make_cloud_dataset(tmp_path_factory.mktemp("cloud") / "scenes"))


def test_what_the_manifest_says(dataset):
    assert (dataset.task_name, dataset.simulated, dataset.name) == ("cloud_phase", True, "scenes")
    assert dataset.task_options == {"labels": "track", "angles": False}
    assert [dataset.num_samples(split) for split in ("train", "validation", "test")] == [21, 4, 6]
    assert dataset.image_shape(CloudPhase()) == (8, 12)
    assert repr(dataset).endswith("task 'cloud_phase', samples: train 21, validation 4, test 6)")
    assert dataset.manifest.gap_seconds == 60


def test_any_order_across_shards_with_repeats(dataset):
    names = ["brightness_temperature", "phase", "profile_x"]
    everything = dataset.read("train", np.arange(21), names)
    order = [20, 3, 8, 7, 7, 0, 15, 16]
    for name, values in dataset.read("train", order, names).items():
        np.testing.assert_array_equal(values, everything[name][order])
        assert values.dtype == everything[name].dtype


def test_samples_follow_the_same_numbering(dataset):
    assert dataset.samples("train").granule[[0, 8, 20]].tolist() == ["granule-0000", "granule-0008", "granule-0020"]
    assert dataset.samples("test").granule[0] == "granule-0025"


def test_pickled_it_reads_the_same(dataset):
    dataset.read("test", [0], ["phase"])
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(
        again.read("test", [3], ["phase"])["phase"], dataset.read("test", [3], ["phase"])["phase"]
    )


@pytest.mark.parametrize("indices", [[21], [-1], []])
def test_indices_that_do_not_exist(dataset, indices):
    with pytest.raises(InputError, match=r"Split 'train' of .* has 21 samples"):
        dataset.read("train", indices, ["phase"])


def test_names_that_do_not_exist(dataset):
    with pytest.raises(InputError, match="`split` is one of"):
        dataset.num_samples("holdout")
    with pytest.raises(DataError, match="variable 'snow': expected the variable"):
        dataset.read("train", [0], ["snow"])
