import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.explain import deterministic, feature_maps, grad_cam, image_layers, make_objective
from cloudkeras.explain.activations import resized
from cloudkeras.models import build_sgmagnet, build_unet3plus

from .tiny_models import COLUMNS, ROWS, random_input, two_feature_model


def pooled(x):
    return x.reshape(len(x), ROWS // 2, 2, COLUMNS // 2, 2, x.shape[-1]).mean(axis=(2, 4))


def check_grad_cam():
    """Features (x0, x1) enter with 1 and -2: their mean gradients are 1/12 and -2/12."""
    x = random_input(3)
    objective = make_objective((ROWS, COLUMNS, 1))
    cam = grad_cam(two_feature_model(), x, objective, "features", resize=False, batch_size=2)
    small = pooled(x)
    expected = np.maximum(small[..., 0] - 2 * small[..., 1], 0) / (ROWS * COLUMNS / 4)
    np.testing.assert_allclose(cam, expected, rtol=1e-4, atol=1e-6)
    large = grad_cam(two_feature_model(), x, objective, "features")
    assert large.shape == (3, ROWS, COLUMNS)
    np.testing.assert_allclose(large, resized(cam, (ROWS, COLUMNS)), rtol=1e-4, atol=1e-6)


def test_grad_cam():
    check_grad_cam()


def test_grad_cam_of_a_region_weighs_by_the_mean_gradient():
    """One pixel of 12 in the region: the gradient is 1 there and 0 elsewhere, 1/12 in the mean."""
    x = random_input(2)
    mask = np.zeros((ROWS, COLUMNS))
    mask[:2, :2] = 1
    cam = grad_cam(two_feature_model(), x, make_objective((ROWS, COLUMNS, 1), region=mask), "features", resize=False)
    small = pooled(x)
    np.testing.assert_allclose(cam, np.maximum(small[..., 0] - 2 * small[..., 1], 0) / 12, rtol=1e-4, atol=1e-6)


def test_local_weights_are_zero_where_the_region_is_not_reached():
    x = random_input(2)
    mask = np.zeros((ROWS, COLUMNS))
    mask[:2, :2] = 1
    objective = make_objective((ROWS, COLUMNS, 1), region=mask)
    cam = grad_cam(two_feature_model(), x, objective, "features", weights="local", resize=False)
    small = pooled(x)
    np.testing.assert_allclose(cam[:, 0, 0], np.maximum(small[:, 0, 0, 0] - 2 * small[:, 0, 0, 1], 0), rtol=1e-4)
    assert (cam.reshape(2, -1)[:, 1:] == 0).all()
    with pytest.raises(InputError, match="`weights` is one of 'mean', 'local'"):
        grad_cam(two_feature_model(), x, objective, "features", weights="max")


def test_feature_maps_are_the_layers_output_without_dropout():
    x = random_input(3)
    np.testing.assert_allclose(
        feature_maps(two_feature_model(), x, "drop", batch_size=2), pooled(x)[..., :2], rtol=1e-5
    )


def test_resizing_keeps_a_constant_and_interpolates_by_half_pixels():
    np.testing.assert_allclose(resized(np.full((2, 3, 4), 7.0, np.float32), (6, 8)), 7)
    row = resized(np.array([[[0.0, 1.0]]], np.float32), (1, 4))
    np.testing.assert_allclose(row[0, 0], [0, 0.25, 0.75, 1])


def test_layers_are_listed_and_a_wrong_name_lists_them():
    model = two_feature_model()
    assert [layer.name for layer in image_layers(model)] == ["pool", "features", "drop", "mix", "large", "skip"]
    assert image_layers(model)[1].shape == (ROWS // 2, COLUMNS // 2, 2)
    with pytest.raises(
        InputError, match=r"`layer` is one of pool, features, drop, mix, large, skip\. Received layer='no'"
    ):
        feature_maps(model, random_input(1), "no")
    with pytest.raises(InputError, match="`layer` is one of pool, features"):
        grad_cam(model, random_input(1), make_objective((ROWS, COLUMNS, 1)), "final")


def test_a_layer_beside_the_way_to_the_final_output_is_refused():
    model = build_unet3plus((16, 16, 2), 1, filters=(4, 8), skip_channels=4, deep_supervision=True)
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 2)).astype(np.float32)
    with pytest.raises(InputError, match="The objective does not depend on the output of `layer`"):
        grad_cam(model, x, make_objective((16, 16, 1)), "aux_1")


def test_volumes():
    """The map of a volume layer keeps its levels."""
    model = build_sgmagnet((16, 16, 4), 3, levels=6, filters=(4, 8, 8))
    volume = next(layer for layer in reversed(image_layers(deterministic(model))) if len(layer.shape) == 4)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 4)).astype(np.float32)
    objective = make_objective((6, 16, 16, 3), channel=1, level=2)
    cam = grad_cam(model, x, objective, volume.name)
    assert cam.shape == (2, volume.shape[0], 16, 16) and np.isfinite(cam).all() and (cam >= 0).all()
    assert feature_maps(model, x, volume.name).shape == (2, *volume.shape)
