import numpy as np
import pytest

from cloudkeras.baselines import baselines_for
from cloudkeras.commands.evaluate import fitted_baselines
from cloudkeras.datasets import Batches, DatasetWriter, ShardDataset
from cloudkeras.datasets.windows import tile_grid
from cloudkeras.errors import InputError
from cloudkeras.evaluation import evaluate, sample_groups
from cloudkeras.evaluation.stitching import whole_samples
from cloudkeras.metrics import MeltMetrics
from cloudkeras.tasks import Meltwater

from ..datasets.making import make_melt_dataset, melt_fields, melt_static, table

SHAPE = (90, 96)
TASK = Meltwater(crop=(48, 48), evaluation_window=(48, 48), margin=8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return ShardDataset.open(make_melt_dataset(tmp_path_factory.mktemp("stitched") / "melt", shape=SHAPE))


class Local:
    """Looks at the pixel alone; knows the channels of the task."""

    name = "local"

    def __call__(self, x):
        return TASK.encode(np.clip(0.5 + 0.1 * x[..., 0], 0, 1), x)


def test_tiles_put_together_are_the_image():
    rng = np.random.default_rng(0)
    images = rng.random((3, 61, 50)).astype(np.float32)
    grid = tile_grid(TASK.windows(), (61, 50))
    tiles = [(s, t, images[s, y : y + 48, x : x + 48]) for s in range(3) for t, (y, x) in enumerate(grid.starts)]
    batches = []
    for first in range(0, len(tiles), 5):
        samples, numbers, windows = zip(*tiles[first : first + 5], strict=True)
        batches.append((np.array(samples), np.array(numbers), {"a": np.stack(windows), "b": -np.stack(windows)}))
    found = list(whole_samples(batches, grid, (61, 50)))
    assert [number for number, _ in found] == [0, 1, 2]
    for number, whole in found:
        np.testing.assert_array_equal(whole["a"], images[number])
        np.testing.assert_array_equal(whole["b"], -images[number])


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_day_is_judged_whole_whatever_the_batch(dataset, batch_size):
    scores = evaluate(TASK, dataset, [Local()], batch_size=batch_size, bootstrap=0)
    whole = dataset.read("test", np.arange(3), TASK.read_names())
    truth = TASK.truth(TASK.prepare(dict(whole)))
    x = TASK.network_inputs(whole, dataset.statistics)
    prediction = TASK.decode(Local()(x), x)
    metrics = MeltMetrics()
    expected = metrics.statistics(truth, prediction, dataset.coordinates(("y", "x")))
    for name, values in expected.items():
        np.testing.assert_allclose(scores.statistics["local"][name], values, rtol=1e-5)
    assert scores.num_samples == 3
    assert scores.values["local"]["pixels"] == np.isfinite(whole["melt_fraction"]).sum()
    assert np.isfinite(scores.values["local"]["ssim_mean"]) and scores.values["local"]["extent_truth_km2"] > 0


def test_all_baselines_are_scored_by_their_own_inputs(dataset):
    methods = fitted_baselines(dataset, TASK, dataset.statistics, 4)
    scores = evaluate(TASK, dataset, methods, bootstrap=50)
    assert set(scores.methods) == {m.name for m in baselines_for(TASK)} and scores.num_groups == 3
    whole = dataset.read("test", np.arange(3), ["melt_fraction", "sar_previous"])
    valid = np.isfinite(whole["melt_fraction"])
    previous = np.nan_to_num(whole["sar_previous"], nan=0.0)
    error = np.abs(previous - whole["melt_fraction"])[valid].mean()
    assert scores.values["persistence"]["mae_weighted"] == pytest.approx(error, rel=1e-4)
    assert scores.values["zero_melt"]["mae_weighted"] == pytest.approx(whole["melt_fraction"][valid].mean(), rel=1e-4)
    assert scores.values["zero_melt"]["recall_pooled"] == 0
    assert np.isfinite(scores.score("persistence", "mae_weighted").low)
    text = scores.to_markdown()
    assert "SIMULATED data" in text and "mean over the days, weighted by labelled pixels" in text
    assert "blocks of 7 days" in text


def test_a_limit_counts_days(dataset):
    scores = evaluate(TASK, dataset, [Local()], bootstrap=0, limit=2)
    assert scores.num_samples == 2 and scores.values["local"]["days"] == 2


def test_a_baseline_whose_variable_is_missing_is_left_out(tmp_path):
    names = ("melt_fraction", "sar_mean", "liquid_water_smooth", "brightness_temperature_smooth", "liquid_water")
    fields = {name: values for name, values in melt_fields(3, shape=SHAPE).items() if name in names}
    options = {"provenance": {}, "simulated": True, "gap_seconds": 0, "static": melt_static(SHAPE)}
    with DatasetWriter(tmp_path / "melt", TASK, **options) as writer:
        writer.add("train", fields, table(3))
    dataset = ShardDataset.open(tmp_path / "melt")
    found = [method.name for method in fitted_baselines(dataset, TASK, dataset.statistics, 4)]
    assert found == ["zero_melt", "time_interpolate_sar", "interpolate_mar", "linear_dem"]


def test_blocks_of_days_reach_across_granules():
    days = table(4, step_seconds=3 * 86400.0)
    assert len(set(sample_groups(days, 7 * 86400.0))) == 4  # granules keep apart
    assert len(set(sample_groups(days, 7 * 86400.0, one_site=True))) in (2, 3)


def test_a_prediction_of_another_size_is_named(dataset):
    class Small:
        name = "small"

        def __call__(self, x):
            return x[:, ::2, ::2, :1]

    with pytest.raises(InputError, match=r"'small' does not fit the data.*\(8, 24, 24\)"):
        evaluate(TASK, dataset, [Small()], bootstrap=0)


def test_a_net_trains_from_crops_and_is_scored_on_days(dataset, tmp_path):
    from cloudkeras.training import RunConfig, train

    config = RunConfig(
        data=str(dataset.path),
        task="meltwater",
        task_options={"crop": [16, 16], "evaluation_window": [16, 16], "margin": 2, "crops_per_day": 2},
        model="unet",
        model_options={"filters": [4, 8]},
        epochs=2,
        batch_size=4,
        limit_validation_batches=2,
    )
    run = train(config, tmp_path / "run")
    assert run.config.loss == "masked_mae" and 0 <= run.progress.best_value <= 1
    scores = evaluate(run.task, dataset, [run], bootstrap=0, batch_size=32, limit=1)
    assert 0 < scores.values["run"]["mae_weighted"] < 1
    batch = Batches(dataset, run.task, "validation", 4)[0]
    mae = np.nanmean(np.abs(run.task.decode(run(batch[0]), batch[0]) - batch[1][..., 0]))
    from cloudkeras.metrics import training_metrics

    metric = training_metrics(run.task)[0]
    metric.update_state(batch[1], run(batch[0]))
    assert float(metric.result()) == pytest.approx(mae, rel=1e-4)
