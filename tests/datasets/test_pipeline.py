import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloudkeras.datasets import Batches, ShardDataset
from cloudkeras.datasets.pipeline import BLOCK, GROUP_BLOCKS, epoch_order
from cloudkeras.errors import DataError, InputError
from cloudkeras.tasks import BlindZone, CloudPhase

from .making import cloud_fields, make_cloud_dataset, make_radar_dataset

TASK = CloudPhase()
COUNT = 150  # more than one group of blocks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "cloud"
    return ShardDataset.open(make_cloud_dataset(folder, {"train": COUNT, "test": 6}, samples_per_shard=32))


@pytest.fixture(scope="module")
def radar(tmp_path_factory):
    return ShardDataset.open(make_radar_dataset(tmp_path_factory.mktemp("pipeline") / "radar"))


def drawn(batches: Batches) -> np.ndarray:
    return np.concatenate([batches.indices(i) for i in range(len(batches))])


def same(one, other) -> None:
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


# ---- order ---------------------------------------------------------------------------------------------------------


def test_order_is_a_permutation_that_is_a_function_of_seed_and_epoch():
    orders = {(seed, epoch): epoch_order(COUNT, seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    for key, order in orders.items():
        np.testing.assert_array_equal(np.sort(order), np.arange(COUNT))
        np.testing.assert_array_equal(order, epoch_order(COUNT, *key))
    assert len({tuple(order) for order in orders.values()}) == 4


def test_order_reads_whole_blocks():
    group = np.sort(epoch_order(1000, 0, 0)[: BLOCK * GROUP_BLOCKS])
    assert set(group // BLOCK) == set(group[::BLOCK] // BLOCK) and len(set(group // BLOCK)) == GROUP_BLOCKS


def test_a_small_split_is_shuffled_as_a_whole():
    firsts = {int(epoch_order(BLOCK * GROUP_BLOCKS, 0, epoch)[0]) for epoch in range(400)}
    assert len(firsts) > 55  # of 64 places


def test_without_shuffle_samples_come_as_they_lie(dataset):
    batches = Batches(dataset, TASK, "train", 16)
    np.testing.assert_array_equal(drawn(batches), np.arange(COUNT))
    assert len(batches) == 10 and len(batches.indices(9)) == 6 and batches.num_samples == COUNT


def test_every_sample_comes_once_an_epoch_and_epochs_differ(dataset):
    batches = Batches(dataset, TASK, "train", 16, shuffle=True, seed=3)
    first = drawn(batches)
    batches.set_epoch(1)
    second = drawn(batches)
    np.testing.assert_array_equal(np.sort(first), np.arange(COUNT))
    np.testing.assert_array_equal(np.sort(second), np.arange(COUNT))
    assert (first != second).mean() > 0.9
    batches.set_epoch(0)
    np.testing.assert_array_equal(drawn(batches), first)
    assert (drawn(Batches(dataset, TASK, "train", 16, shuffle=True, seed=4)) != first).mean() > 0.9


def test_limit_spreads_over_the_split(dataset):
    batches = Batches(dataset, TASK, "train", 4, limit=5)
    assert drawn(batches).tolist() == [0, 30, 60, 90, 120]
    assert batches.num_samples == 5
    assert Batches(dataset, TASK, "train", 4, limit=10_000).num_samples == COUNT


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [4, 16])
@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_without_overlap_and_without_loss(dataset, count, batch_size, shuffle):
    options = {"shuffle": shuffle, "process_count": count, "seed": 1}
    parts = [Batches(dataset, TASK, "train", batch_size, process_index=i, **options) for i in range(count)]
    assert len({len(part) for part in parts}) == 1
    sizes = [len(part.indices(i)) for part in parts for i in range(len(part))]
    assert min(sizes) >= 1 and max(sizes) <= batch_size
    assert sum(part.num_samples for part in parts) == COUNT
    np.testing.assert_array_equal(np.sort(np.concatenate([drawn(part) for part in parts])), np.arange(COUNT))


def test_a_process_short_of_a_last_batch_splits_the_one_before(dataset):
    parts = [Batches(dataset, TASK, "train", 4, process_index=i, process_count=2, limit=9) for i in (0, 1)]
    assert [[len(part.indices(i)) for i in range(len(part))] for part in parts] == [[3, 1], [4, 1]]


def test_drop_remainder_gives_full_batches_to_all(dataset):
    options = {"shuffle": True, "process_count": 4, "drop_remainder": True}
    parts = [Batches(dataset, TASK, "train", 16, process_index=i, **options) for i in range(4)]
    assert [len(part) for part in parts] == [2] * 4  # 150 // 64
    assert {len(part.indices(i)) for part in parts for i in range(2)} == {16}
    together = np.concatenate([drawn(part) for part in parts])
    assert len(set(together.tolist())) == 128
    left_out = set(range(COUNT)) - set(together.tolist())
    for part in parts:
        part.set_epoch(1)
    assert left_out != set(range(COUNT)) - {int(i) for part in parts for i in drawn(part)}


def test_bad_shares(dataset):
    with pytest.raises(InputError, match=r"Every process needs a sample for each batch"):
        Batches(dataset, TASK, "test", 1, process_count=4)
    with pytest.raises(InputError, match="With `drop_remainder` a split fills at least one batch"):
        Batches(dataset, TASK, "test", 4, process_count=2, drop_remainder=True)


# ---- content -------------------------------------------------------------------------------------------------------


def test_content_is_that_of_the_task(dataset):
    batches = Batches(dataset, TASK, "train", 16, shuffle=True)
    fields = TASK.prepare(dataset.read("train", batches.indices(4), TASK.read_names()))
    inputs, target = batches[4]
    assert inputs.shape == (16, *batches.input_shape) and batches.input_shape == (8, 12, 16)
    assert inputs.dtype == np.float32 and np.isfinite(inputs).all()
    same((inputs, target), (TASK.network_inputs(fields, dataset.statistics), TASK.target(fields)))
    np.testing.assert_array_equal(batches.fields(4)["target"], target)
    np.testing.assert_array_equal(batches.fields(4)["reflectance"], fields["reflectance"])
    same(batches[-1], batches[len(batches) - 1])
    with pytest.raises(IndexError, match=r"There are 10 batches. Received index 10"):
        batches[10]


def test_labels_land_where_the_track_is(dataset):
    fields = Batches(dataset, TASK, "train", 4).fields(0)
    stored = cloud_fields(COUNT)
    for sample in range(4):
        for row, column, phase in zip(
            stored["profile_y"][sample], stored["profile_x"][sample], stored["phase"][sample], strict=True
        ):
            np.testing.assert_array_equal(fields["target"][sample, :, row, column], phase)
    assert (fields["target"] >= 0).sum() == (stored["phase"][:4] >= 0).sum()


def test_random_access_equals_access_in_order(dataset):
    options = {"shuffle": True, "augment": True, "seed": 5}
    in_order = list(Batches(dataset, TASK, "train", 24, **options))
    at_random = Batches(dataset, TASK, "train", 24, **options)
    for i in np.random.default_rng(0).permutation(np.repeat(np.arange(len(in_order)), 2)):
        same(at_random[int(i)], in_order[i])


def test_groups_are_read_once_when_batches_come_in_order(dataset, monkeypatch):
    reads = []
    read = ShardDataset.read
    monkeypatch.setattr(ShardDataset, "read", lambda self, s, i, n: reads.append(np.asarray(i)) or read(self, s, i, n))
    for _ in Batches(dataset, TASK, "train", 8, shuffle=True):
        pass
    assert [len(indices) for indices in reads] == [64, 64, 22]
    assert all((np.diff(indices) > 0).all() for indices in reads)


def test_augmentation_is_a_function_of_seed_epoch_and_batch(dataset):
    make = lambda seed=0, **options: Batches(dataset, TASK, "train", 16, augment=True, seed=seed, **options)  # noqa: E731
    one, other = make(), make()
    same(one[3], other[3])
    plain = Batches(dataset, TASK, "train", 16)
    assert not np.array_equal(one[3][0], plain[3][0])
    np.testing.assert_array_equal(np.sort(one[3][0], axis=None), np.sort(plain[3][0], axis=None))  # flips only
    before = one[3]
    one.set_epoch(1)
    assert not np.array_equal(one[3][0], before[0])
    assert not np.array_equal(make(seed=1)[3][0], before[0])
    rng = np.random.default_rng([0, 0, 3])
    fields = TASK.prepare(dataset.read("train", other.indices(3), TASK.read_names()), rng)
    same(before, (TASK.network_inputs(fields, dataset.statistics), TASK.target(fields)))


def test_an_iterator_keeps_its_epoch(dataset):
    batches = Batches(dataset, TASK, "train", 64, shuffle=True)
    expected = [batches[i] for i in range(len(batches))]
    iterator = iter(batches)
    same(next(iterator), expected[0])
    batches.set_epoch(1)
    same(next(iterator), expected[1])


def test_statistics_of_a_trained_model_may_be_given(dataset):
    other = {name: {"mean": [0.0] * 10, "std": [1.0] * 10} for name in ("reflectance", "brightness_temperature")}
    other["reflectance"] = {"mean": [0.0] * 6, "std": [1.0] * 6}
    batches = Batches(dataset, TASK, "train", 4, statistics=other)
    np.testing.assert_array_equal(batches[0][0][..., 6:], batches.fields(0)["brightness_temperature"])


def test_targets_for_several_outputs(dataset, radar):
    inputs, targets = Batches(dataset, TASK, "train", 4, output_names=("final", "aux_1", "presence"))[0]
    assert list(targets) == ["final", "aux_1", "presence"]
    np.testing.assert_array_equal(targets["final"], targets["aux_1"])
    assert targets["presence"].shape == (4, 4)
    task = BlindZone(blind_rows=6)
    inputs, target = Batches(radar, task, "train", 3)[1]
    assert inputs.shape == (3, 24, 16, 2) and target.shape == (3, 24, 16, 1)
    assert np.isfinite(target).any() and np.isnan(target).any() and np.isfinite(inputs).all()


def test_pickled_it_gives_the_same(dataset):
    batches = Batches(dataset, TASK, "train", 16, shuffle=True, augment=True)
    batches.set_epoch(2)
    expected = batches[1]
    same(pickle.loads(pickle.dumps(batches))[1], expected)


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` is at least 1. Received batch_size=0"),
        ({"batch_size": 2.5}, "`batch_size` is at least 1"),
        ({"split": "validation"}, "'validation' of .* is empty; it has samples in: train, test. Use one of those"),
        ({"split": "holdout"}, "`split` is one of 'train', 'validation', 'test'"),
        ({"seed": -1}, "`seed` is a whole number, at least 0"),
        ({"process_index": 2, "process_count": 2}, "`process_index` counts from 0"),
        ({"limit": 0}, "`limit` is None or at least 1"),
        ({"task": BlindZone()}, "are for task 'cloud_phase'. Received task 'blind_zone'"),
        ({"task": CloudPhase(labels="dense")}, "'phase_dense': expected the variable, which task 'cloud_phase' needs"),
    ],
)
def test_bad_options(dataset, options, message):
    with pytest.raises(InputError, match=message):
        Batches(**{"dataset": dataset, "task": TASK, "split": "train", "batch_size": 4, **options})


def test_a_bad_epoch(dataset):
    with pytest.raises(InputError, match="`epoch` is a whole number"):
        Batches(dataset, TASK, "train", 4).set_epoch(-1)


def test_a_split_without_a_label(tmp_path):
    folder = make_cloud_dataset(tmp_path)
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["labels"]["test"]["phase"] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(
        DataError, match="'phase': expected at least 1 label in split 'test'; found 6 samples without any"
    ):
        Batches(ShardDataset.open(folder), TASK, "test", 4)


# ---- the twins -----------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.parametrize("output_names", [("final",), ("final", "presence")])
def test_tf_data_and_pydataset_give_the_same_batches(dataset, output_names):
    import tensorflow as tf

    batches = Batches(dataset, TASK, "train", 32, shuffle=True, augment=True, output_names=output_names)
    stream, sequence = batches.as_tf_dataset(), batches.as_pydataset()
    assert stream.element_spec[0].shape == (None, 8, 12, 16)
    assert int(stream.cardinality()) == len(sequence) == len(batches) == 5
    for epoch in (0, 2):
        batches.set_epoch(epoch)
        expected = [batches[i] for i in range(len(batches))]
        for i, found in enumerate(stream):
            tf.nest.map_structure(np.testing.assert_array_equal, tf.nest.map_structure(np.asarray, found), expected[i])
            tf.nest.map_structure(np.testing.assert_array_equal, sequence[i], expected[i])
        assert i == len(batches) - 1


@pytest.mark.tensorflow
def test_for_fit_chooses_by_backend(dataset, monkeypatch):
    import keras
    import tensorflow as tf

    batches = Batches(dataset, TASK, "train", 32)
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    assert isinstance(batches.for_fit(), tf.data.Dataset)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert isinstance(batches.for_fit(), keras.utils.PyDataset)


PROGRAM = """
import sys, keras
from cloudkeras.datasets import Batches, ShardDataset
from cloudkeras.tasks import CloudPhase

batches = Batches(ShardDataset.open(sys.argv[1]), CloudPhase(), "train", 32, shuffle=True, augment=True)
seen = []
make = batches._batch
batches._batch = lambda i, epoch: seen.append((epoch, i)) or make(i, epoch)
inputs = keras.Input((8, 12, 16))
outputs = keras.layers.Reshape((8, 12, 38, 4))(keras.layers.Conv2D(152, 1)(inputs))
model = keras.Model(inputs, keras.ops.transpose(outputs, (0, 3, 1, 2, 4)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
model.fit(batches.for_fit(), epochs=3, initial_epoch=1, callbacks=[batches.epoch_callback()], shuffle=False, verbose=0)
print(seen)
"""


@pytest.mark.parametrize("backend", [pytest.param("tensorflow", marks=pytest.mark.tensorflow), "jax"])
def test_fit_trains_on_each_batch_of_each_epoch_once(dataset, backend, tmp_path):
    program = tmp_path / "fit.py"
    program.write_text(PROGRAM)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, str(program), str(dataset.path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seen = [tuple(entry) for entry in json.loads(done.stdout.splitlines()[-1].replace("(", "[").replace(")", "]"))]
    for epoch in (1, 2):
        assert sorted(entry for entry in seen if entry[0] == epoch) == [(epoch, i) for i in range(5)]
