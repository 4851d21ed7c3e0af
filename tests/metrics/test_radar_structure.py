from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.metrics.radar_structure import similarity_sums, structural_similarity

from .radar_curtains import NONE, blind_zones


def test_the_map_is_that_of_scikit_image():
    similarity = pytest.importorskip("skimage.metrics", reason="the extra `dev` brings it").structural_similarity
    true, predicted, labelled = blind_zones(shape=(2, 16, 40))
    ours = structural_similarity(true, predicted, labelled)
    for i in range(2):
        options = {"data_range": 90, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        _, theirs = similarity(true[i] + 60, predicted[i] + 60, full=True, **options)
        np.testing.assert_allclose(ours[i], theirs, atol=1e-10)
    assert 0.1 < ours.mean() < 0.9


def test_a_flat_image_by_hand():
    # Without variation only the means count: x = 30 and y = 45 dB above "no echo", C1 = 0.9^2.
    true, predicted = np.full((1, 4, 12), -30.0), np.full((1, 4, 12), -15.0)
    ours = structural_similarity(true, predicted, np.ones((1, 4, 12), bool))
    np.testing.assert_allclose(ours, (2 * 30 * 45 + 0.81) / (30**2 + 45**2 + 0.81), rtol=1e-12)


def test_pixels_without_label_have_no_influence_and_no_score():
    true, predicted, labelled = blind_zones()
    labelled[:, :, 20:24] = False
    labelled[1, 3] = False
    ours = structural_similarity(true, predicted, labelled)
    other = np.where(labelled, predicted, 25.0)
    np.testing.assert_allclose(structural_similarity(np.where(labelled, true, NONE), other, labelled), ours, atol=1e-12)
    assert (ours[~labelled] == 0).all()
    # A whole block without labels leaves its neighbours what they are where nothing is beyond them but reflection: a
    # flat image keeps its value up to the gap, which a window filled with zeros would not.
    flat = structural_similarity(np.full_like(true, -30.0), np.full_like(true, -15.0), labelled)
    np.testing.assert_allclose(flat[labelled], flat[0, 0, 0], rtol=1e-9)


def test_degenerate_images():
    true, _, labelled = blind_zones()
    np.testing.assert_allclose(structural_similarity(true, true, labelled), 1)
    clear = np.full_like(true, NONE)
    np.testing.assert_allclose(structural_similarity(clear, clear, labelled), 1)
    assert structural_similarity(true, clear, labelled).mean() < 0.5
    assert (structural_similarity(true, true, ~labelled) == 0).all()
    assert structural_similarity(true[:, :1, :1], true[:, :1, :1], labelled[:, :1, :1]).shape == (4, 1, 1)


def test_sums_by_row():
    true, predicted, labelled = blind_zones()
    labelled[2, :, 5] = False
    similarity = structural_similarity(true, predicted, labelled)
    sums = similarity_sums(true, predicted, labelled)
    np.testing.assert_allclose(sums[..., 0], similarity.sum(axis=2))
    np.testing.assert_allclose(sums[..., 1], np.where(labelled & (true > NONE), similarity, 0).sum(axis=2))
