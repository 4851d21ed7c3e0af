from __future__ import annotations

import hashlib

import numpy as np
import pytest

from cloudkeras.baselines import baselines_for
from cloudkeras.datasets import Batches, DatasetWriter, ShardDataset
from cloudkeras.errors import DataError, InputError
from cloudkeras.evaluation import evaluate
from cloudkeras.ingest import ingest_radar
from cloudkeras.tasks import get_task
from tests.datasets.making import cloud_fields, make_cloud_dataset, table


class Fake:
    """A method with a name and whatever attributes a test gives it."""

    def __init__(self, name, call, **attributes):
        self.name, self._call = name, call
        self.__dict__.update(attributes)

    def __call__(self, x):
        return self._call(x)


def logits_of(x, num_classes=4):
    """Something that depends on every sample's image."""
    picture = np.stack([x[..., k] for k in range(num_classes)], axis=-1)
    return np.repeat(picture[:, None], 38, axis=1)


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    return ShardDataset.open(make_cloud_dataset(tmp_path_factory.mktemp("clouds") / "data"))


@pytest.fixture(scope="module")
def radar(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radar") / "data"
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, get_task("blind_zone"), provenance={}, simulated=False, gap_seconds=0.0) as writer:
        for split, count, first in (("train", 6, 0), ("test", 9, 20)):
            reflectivity = rng.uniform(-40, 20, (count, 24, 16)).astype(np.float32)
            reflectivity[rng.random(reflectivity.shape) < 0.3] = -60
            reflectivity[rng.random(reflectivity.shape) < 0.05] = np.nan
            writer.add(
                split,
                {"reflectivity": reflectivity},
                table(count, first, granule="day", x_start=16 * (first + np.arange(count))),
            )
    return ShardDataset.open(folder)


def test_values_are_those_of_all_samples_at_once_whatever_the_batch(clouds):
    task = get_task("cloud_phase")
    method = Fake("method", logits_of)
    x, y = Batches(clouds, task, "test", 6)[0]
    predicted, where = logits_of(x).argmax(-1), y >= 0
    for batch_size in (1, 4, 6):
        scores = evaluate(task, clouds, [method], batch_size=batch_size, bootstrap=0)
        assert scores.values["method"]["accuracy"] == pytest.approx((predicted == y)[where].mean())
        assert scores.values["method"]["voxels"] == where.sum()
    assert scores.num_groups == 6 and scores.simulated


def test_all_methods_see_the_same_pixels_and_a_perfect_one_scores_one(clouds):
    task = get_task("cloud_phase")
    truth = iter([Batches(clouds, task, "test", 4)[i][1] for i in range(2)])
    perfect = Fake("perfect", lambda x: np.eye(4)[np.maximum(next(truth), 0)])
    training = Batches(clouds, task, "train", 4)
    baselines = [method.fit(training, clouds.statistics) for method in baselines_for(task)]
    scores = evaluate(task, clouds, [perfect, *baselines], batch_size=4, bootstrap=50)
    assert scores.methods[0] == "perfect" and scores.values["perfect"]["f1_macro"] == 1
    assert len({scores.values[m]["voxels"] for m in scores.methods}) == 1
    assert set(scores.baselines) >= {"all_clear", "climatology", "threshold"}


def test_a_method_gets_inputs_by_its_own_statistics_and_options(clouds):
    seen = {}
    other = {k: {**v, "mean": [m + 1 for m in v["mean"]]} for k, v in clouds.statistics.items() if "mean" in v}
    angles = get_task("cloud_phase", angles=True)

    def recorded(name):
        return lambda x: logits_of(seen.setdefault(name, x))

    methods = [
        Fake("plain", recorded("plain")),
        Fake("shifted", recorded("shifted"), statistics=other),
        Fake("angles", recorded("angles"), task=angles),
    ]
    evaluate(get_task("cloud_phase"), clouds, methods, batch_size=8, bootstrap=0)
    for name, task, statistics in (
        ("plain", get_task("cloud_phase"), None),
        ("shifted", get_task("cloud_phase"), other),
        ("angles", angles, None),
    ):
        expected = Batches(clouds, task, "test", 8, statistics=statistics)[0][0]
        np.testing.assert_allclose(seen[name], expected, atol=1e-6, err_msg=name)


def test_outputs_may_be_a_dict_and_progress_and_limit_are_kept(clouds):
    calls = []
    method = Fake("method", lambda x: {"final": logits_of(x), "aux_1": None})
    scores = evaluate(
        get_task("cloud_phase"),
        clouds,
        [method],
        batch_size=2,
        bootstrap=0,
        limit=3,
        progress=lambda *done: calls.append(done),
    )
    assert scores.num_samples == 3 and calls == [(2, 3), (3, 3)]


def test_provenance_names_what_was_scored(clouds):
    scores = evaluate(get_task("cloud_phase"), clouds, [Fake("m", logits_of)], bootstrap=0)
    found = scores.provenance
    assert found["data"] == str(clouds.path) and found["split"] == "test" and found["labels"] == "track"
    assert found["manifest_sha256"] == hashlib.sha256((clouds.path / "manifest.json").read_bytes()).hexdigest()
    assert found["options"]["group_by"] == "granule" and found["methods"] == {"m": "baseline"}


def test_dense_labels_are_judged_everywhere(tmp_path):
    fields = cloud_fields(5)
    fields["phase_dense"] = np.random.default_rng(0).integers(0, 4, (5, 38, 8, 12)).astype(np.int8)
    with DatasetWriter(tmp_path, get_task("cloud_phase"), provenance={}, simulated=True, gap_seconds=0.0) as writer:
        writer.add("train", {k: v[:2] for k, v in fields.items()}, table(2))
        writer.add("test", {k: v[2:] for k, v in fields.items()}, table(3, 10))
    dense = get_task("cloud_phase", labels="dense")
    # trained on the track, judged everywhere
    method = Fake("m", logits_of, task=get_task("cloud_phase", labels="track"))
    scores = evaluate(dense, ShardDataset.open(tmp_path), [method], bootstrap=0)
    assert scores.values["m"]["voxels"] == 3 * 38 * 8 * 12 and "Labels: dense." in scores.to_markdown()


def test_radar_scores_are_in_dbz_and_baselines_as_computed_by_hand(radar):
    task = get_task("blind_zone")
    training = Batches(radar, task, "train", 4)
    baselines = [method.fit(training, radar.statistics) for method in baselines_for(task)]
    scores = evaluate(task, radar, baselines, batch_size=4, bootstrap=30)
    observed = radar.read("test", np.arange(9), ["reflectivity"])["reflectivity"]
    truth, visible = observed[:, :16], np.nan_to_num(observed[:, 16:17], nan=-60)
    error = (visible - truth)[np.isfinite(truth)]
    assert scores.values["repeat"]["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-3)
    assert scores.values["repeat"]["bias"] == pytest.approx(error.mean(), rel=1e-2, abs=1e-3)
    assert scores.values["all_clear"]["dice"] == 0 and scores.values["all_echo"]["pod_cloud"] == 1
    assert scores.provenance["options"]["group_by"] == 3600 and scores.num_groups == 3
    assert "observed data" in scores.to_markdown()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_refused_with_its_sample(clouds, wrong):
    def call(x):
        outputs = logits_of(x)
        outputs[-1, 3, 2, 1] = wrong
        return outputs

    with pytest.raises(InputError, match=r"'broken' gives values that are not finite, first for sample 3 of the split"):
        evaluate(get_task("cloud_phase"), clouds, [Fake("broken", call)], batch_size=4)


def test_what_does_not_fit_is_named(clouds, radar):
    task = get_task("cloud_phase")
    with pytest.raises(InputError, match=r"'three' does not fit the data: .* 4 classes"):
        evaluate(task, clouds, [Fake("three", lambda x: logits_of(x, 3))])
    with pytest.raises(InputError, match="'radar' is for the task 'blind_zone'"):
        evaluate(task, clouds, [Fake("radar", logits_of, task=get_task("blind_zone"))])
    with pytest.raises(InputError, match="made with another `blind_rows` than is judged"):
        evaluate(get_task("blind_zone"), radar, [Fake("m", logits_of, task=get_task("blind_zone", blind_rows=8))])
    with pytest.raises(InputError, match="different names"):
        evaluate(task, clouds, [Fake("a", logits_of), Fake("a", logits_of)])
    with pytest.raises(InputError, match="at least one method"):
        evaluate(task, clouds, [])
    with pytest.raises(InputError, match="`reference` is the name of a method"):
        evaluate(task, clouds, [Fake("a", logits_of)], reference="b")
    with pytest.raises(InputError, match="are for task 'blind_zone'"):
        evaluate(task, radar, [Fake("a", logits_of)])
    with pytest.raises(InputError, match="`split` is one of"):
        evaluate(task, clouds, [Fake("a", logits_of)], split="testing")
    with pytest.raises(DataError, match=r"'eastward_wind': expected the variable, which a method needs as input"):
        context = Fake("context", logits_of, task=get_task("blind_zone", context=True))
        evaluate(get_task("blind_zone"), radar, [context])


@pytest.mark.realdata
def test_trivial_methods_on_a_real_day_score_what_is_known_of_it(realdata, tmp_path):
    # Ny-Alesund, 12 to 18 h: "echo everywhere" has a Dice of 0.926, repeat one of 0.80 and an MAE of 17.8 dB, found
    # with other windows over the same hours.
    day = realdata / "cloudnet_arctic"
    folder = ingest_radar(
        day / "20210104_ny-alesund_iwc-Z-T-method.nc", sorted(day.glob("*icon*.nc")), tmp_path / "data"
    )
    dataset, task = ShardDataset.open(folder), get_task("blind_zone")
    training = Batches(dataset, task, "train", 16, limit=32)
    baselines = [method.fit(training, dataset.statistics) for method in baselines_for(task)]
    scores = evaluate(task, dataset, baselines, bootstrap=100)
    assert scores.values["all_echo"]["dice"] == pytest.approx(0.926, abs=0.01)
    assert scores.values["repeat"]["dice"] == pytest.approx(0.80, abs=0.03)
    assert scores.values["repeat"]["mae"] == pytest.approx(17.8, abs=1.0)
    assert scores.values["all_clear"]["mae"] > scores.values["repeat"]["mae"]
    # Repeating a row varies in time as the radar does and not at all with height.
    repeat = scores.values["repeat"]
    assert (
        repeat["psd_temporal"] < 0.4
        and repeat["psd_vertical"] > 5
        and repeat["emd"] < scores.values["all_clear"]["emd"]
    )
    assert scores.provenance["profile"]["units"] == "m" and scores.provenance["window"]["columns"] == 128
    assert not scores.simulated and scores.num_groups >= 5


def test_members_are_scored_and_one_member_is_its_absolute_error(radar):
    rng = np.random.default_rng(0)

    def members(x):
        return rng.uniform(-40, 20, (5, *x.shape[:3]))

    methods = [Fake("spread", lambda x: x[..., :1], members=members), Fake("single", lambda x: x[..., :1])]
    task = get_task("blind_zone")
    scores = evaluate(task, radar, methods, batch_size=4, bootstrap=20, group_by="sample", kind="members")
    point = evaluate(task, radar, methods[1:], batch_size=4, bootstrap=0)
    single = scores.values["single"]
    assert single["crps"] == pytest.approx(single["mae"]) == pytest.approx(point.values["single"]["mae"])
    assert scores.values["spread"]["pixels"] == point.values["single"]["pixels"]
    assert scores.values["spread"]["width_90"] > 0 and "Counted" in scores.to_markdown()
    bad = Fake("bad", lambda x: x[..., :1], members=lambda x: np.full((2, *x.shape[:3]), np.nan))
    with pytest.raises(InputError, match="'bad' gives values that are not finite"):
        evaluate(task, radar, [bad], kind="members")


def test_scores_of_members_are_saved_with_their_kind(radar, tmp_path):
    methods = [Fake("single", lambda x: x[..., :1])]
    scores = evaluate(get_task("blind_zone"), radar, methods, bootstrap=0, kind="members")
    scores.save(tmp_path)
    loaded = type(scores).load(tmp_path)
    assert loaded.kind == "members" and loaded.values["single"]["crps"] == scores.values["single"]["crps"]
