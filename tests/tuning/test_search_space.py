"""The search spaces, and the runs that their points become."""

from __future__ import annotations

import itertools
import math

import pytest

from cloudkeras.errors import InputError
from cloudkeras.models import MODELS
from cloudkeras.tasks import get_task
from cloudkeras.training import RunConfig
from tuning.search_space import (
    PRESET_SPACES,
    Parameter,
    configuration,
    neighbours,
    preset_space,
    search_space,
    size_of,
    without,
)

PHASE, RADAR, MELT = get_task("cloud_phase"), get_task("blind_zone"), get_task("meltwater")


def names(space):
    return [p.name for p in space]


def values_of(space, name):
    return next(p.values for p in space if p.name == name)


def test_each_task_has_its_losses_and_all_that_was_asked_for():
    asked = {"learning_rate", "l2", "dropout", "filters", "depth", "batch_size", "decay_at", "loss"}
    phase = search_space(PHASE, "unet", (64, 64), 100, "small")
    radar = search_space(RADAR, "unet3plus", (128, 128), 100, "full")
    assert set(names(phase)) == asked | {"class_weights"}
    assert set(names(radar)) == asked | {"optimizer"}
    assert "masked_mae" in values_of(radar, "loss")
    assert "focal" in values_of(phase, "loss")


def test_the_first_point_of_a_parameter_is_one_of_its_values():
    for task in (PHASE, RADAR):
        for size in ("small", "full"):
            for p in search_space(task, task.default_model, (128, 128), 100, size):
                assert p.default is None or p.default in p.values


def test_batches_leave_two_steps_an_epoch_and_depths_divide_the_images():
    assert values_of(search_space(PHASE, "unet", (64, 64), 9, "full"), "batch_size") == (2, 4)
    assert values_of(search_space(PHASE, "unet", (64, 64), 1, "full"), "batch_size") == (1,)
    # 24 = 3 * 8: three halvings, so four scales of a UNet but three of a SegNet, which halves at its last scale too.
    assert values_of(search_space(PHASE, "unet", (24, 64), 9, "full"), "depth") == (3, 4)
    assert values_of(search_space(PHASE, "segnet", (24, 64), 9, "full"), "depth") == (3,)
    assert min(values_of(search_space(PHASE, "sgmagnet", (64, 64), 9, "small"), "depth")) == 3
    with pytest.raises(InputError, match="No depth of the search divides the images"):
        search_space(PHASE, "unet", (65, 65), 9, "small")


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"deeplabv3plus"}))
def test_every_shape_of_the_small_space_builds(model):
    for depth in values_of(search_space(PHASE, model, (16, 16), 100, "small"), "depth"):
        config = configuration(RunConfig("d", model=model), {"filters": 4, "depth": depth})
        built = MODELS[model]((16, 16, 16), 4, levels=38, filters=tuple(config.model_options["filters"]))
        assert len(config.model_options["filters"]) == depth
        assert built.count_params() > 0


def test_nets_of_the_melt_fraction():
    unet = search_space(MELT, "unet", (96, 64), 100, "full")
    assert values_of(unet, "loss") == ("masked_mae", "masked_mse", "masked_bce")
    assert set(values_of(unet, "schedule")) == {"step", "cosine_restarts", "plateau", "constant"}
    assert "decay_at" not in names(unet) and values_of(unet, "encoder")[0] == "own"
    # 32 is the largest power of 2 in 96 and 64: six scales of a UNet, five of a decoder on an encoder, at most five.
    assert values_of(unet, "depth") == (3, 4, 5)
    own = search_space(MELT, "unet", (96, 64), 100, "full", {"encoder": None})
    assert values_of(own, "depth") == (3, 4, 5, 6) and "encoder" not in names(own)
    assert values_of(search_space(MELT, "unet", (16, 16), 9, "full", {"encoder": "xception"}), "depth") == (3, 4)
    deeplab = search_space(MELT, "deeplabv3plus", (96, 64), 100, "small")
    assert "depth" not in names(deeplab) and "own" not in values_of(deeplab, "encoder")
    assert values_of(search_space(MELT, "deeplabv3plus", (24, 64), 100, "full"), "output_stride") == (8,)
    with pytest.raises(InputError, match=r"Rows and columns divide by 8"):
        search_space(MELT, "deeplabv3plus", (20, 64), 100, "full")


def test_points_of_encoders_and_schedules():
    base = RunConfig("d", task="meltwater", model="deeplabv3plus", epochs=35)
    point = {"filters": 256, "encoder": "mobilenetv2", "output_stride": 8, "schedule": "cosine_restarts"}
    config = configuration(base, point)
    assert config.model_options == {"filters": [48, 256], "encoder": "mobilenetv2", "output_stride": 8}  # as published
    assert (config.schedule, config.restart_epochs, config.restart_growth) == ("cosine_restarts", 5, 2)
    own = configuration(RunConfig("d", task="meltwater", model="unet", epochs=16), {"encoder": "own"})
    assert own.model_options == {"encoder": None}
    assert configuration(base, {"schedule": "step"}).decay_at == (24, 30)
    assert configuration(base, {"schedule": "plateau"}).plateau_patience == 4
    assert configuration(base, {"schedule": "constant"}).schedule == "constant"


def test_a_point_becomes_a_run():
    base = RunConfig("d", model="unet", model_options={"upsampling": "nearest"}, epochs=20)
    point = {"filters": 8, "depth": 3, "decay_at": 0.5, "learning_rate": 2e-3, "loss": "focal"}
    config = configuration(base, point)
    assert config.model_options == {"upsampling": "nearest", "filters": [8, 16, 32]}
    assert config.decay_at == (10, 15)
    assert (config.learning_rate, config.loss, config.epochs) == (2e-3, "focal", 20)
    with pytest.raises(InputError, match="no run has: momentum"):
        configuration(base, {"momentum": 0.9})


def test_what_is_fixed_is_not_searched():
    space = search_space(PHASE, "unet", (64, 64), 100, "small")
    assert names(without(space, {"depth": 3})) == [n for n in names(space) if n != "depth"]


def test_encoding_keeps_order_and_sets_names_equally_far_apart():
    rate = Parameter("rate", (1e-4, 1e-3, 1e-2))
    assert [rate.encode(v) for v in rate.values] == [[0.0], [0.5], [1.0]]
    loss = Parameter("loss", ("a", "b", "c"), ordered=False)
    distances = [math.dist(loss.encode(x), loss.encode(y)) for x, y in (("a", "b"), ("a", "c"), ("b", "c"))]
    assert distances == pytest.approx([1, 1, 1])
    assert Parameter("one", (5,)).encode(5) == [0.0]


def test_neighbours_differ_by_one_step():
    space = (Parameter("a", (1, 2, 3)), Parameter("b", ("x", "y", "z"), ordered=False))
    assert size_of(space) == 9
    found = list(neighbours(space, {"a": 1, "b": "z"}))
    assert found == [{"a": 2, "b": "z"}, {"a": 1, "b": "x"}, {"a": 1, "b": "y"}]


@pytest.mark.parametrize("values", [(), (1, 1)])
def test_a_parameter_needs_different_values(values):
    with pytest.raises(InputError, match="value"):
        Parameter("a", values)


def test_the_published_search_space():
    """King et al. 2024: depth 3 .. 6 (poolings), batch 2 .. 16, rate 5e-7 .. 5e-2, L2 1e-5 .. 1e-2."""
    space = preset_space("king2024", "unet3plus", (128, 128), 10_000)
    assert values_of(space, "depth") == (4, 5, 6, 7)
    assert values_of(space, "batch_size") == (2, 4, 8, 16)
    assert values_of(space, "filters") == (16, 32, 64)
    assert values_of(space, "dropout") == (0.01, 0.1, 0.2, 0.5)
    assert set(values_of(space, "optimizer")) == {"adam", "sgd", "rmsprop"}
    assert set(values_of(space, "upsampling")) == {"bilinear", "nearest"}
    for name, ends in (("learning_rate", (5e-7, 5e-2)), ("l2", (1e-5, 1e-2))):
        values = values_of(space, name)
        assert (values[0], values[-1]) == ends
        steps = [math.log10(b / a) for a, b in itertools.pairwise(values)]
        assert steps == pytest.approx([0.5] * len(steps), abs=0.01)
    assert all(p.default in p.values for s in PRESET_SPACES.values() for p in s)
    assert values_of(preset_space("king2024", "unet3plus", (48, 48), 12), "depth") == (4, 5)
    assert values_of(preset_space("king2024", "unet3plus", (48, 48), 12), "batch_size") == (2, 4)
    assert "upsampling" not in names(preset_space("king2024", "segnet", (128, 128), 100))
    with pytest.raises(InputError, match="`preset` is one of 'king2024', 'king2024_era5'"):
        preset_space("geiss2021", "unet3plus", (128, 128), 100)


def test_options_of_the_builder_may_be_searched():
    config = configuration(RunConfig("d", model="unet3plus", task="blind_zone"), {"upsampling": "nearest", "l2": 1e-4})
    assert config.model_options == {"upsampling": "nearest"} and config.l2 == 1e-4
