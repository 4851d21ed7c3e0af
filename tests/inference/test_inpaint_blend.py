from __future__ import annotations

import numpy as np

from cloudkeras.inference.inpaint_blend import Blend, at_neighbors

ATOM = -60.0


def says(point, probability, quantiles, spread=1.0):
    one = np.ones((1, 1), np.float32)
    return {
        "point": point * one,
        "probability": probability * one,
        "spread": spread * one,
        "quantiles": np.array(quantiles, np.float32)[:, None, None],
    }


def blended(threshold, *parts):
    blend = Blend((1, 1), ATOM, threshold)
    for weight, statistics in parts:
        blend.add(slice(0, 1), np.array([weight], np.float32), statistics)
    return {name: values.ravel().tolist() for name, values in blend.result().items()}


def test_echo_and_no_echo_make_no_faint_echo():
    sees, misses = says(-10, 0.9, [-60, -10, -5], 4), says(-60, 0.2, [-60, -60, -20], 2)
    mostly = blended(0.5, (0.75, sees), (0.25, misses))
    # Probability 0.75 * 0.9 + 0.25 * 0.2 = 0.725; the upper level of both: 0.75 * -5 + 0.25 * -20 = -8.75.
    assert np.allclose(mostly["probability"], 0.725) and np.allclose(mostly["spread"], 3.5)
    assert mostly["point"] == [-10.0] and np.allclose(mostly["quantiles"], [-60, -10, -8.75])
    barely = blended(0.5, (0.25, sees), (0.75, misses))
    assert barely["point"] == [ATOM] and np.allclose(barely["quantiles"], [-60, -60, -16.25])


def test_the_threshold_is_that_of_the_calibration_and_means_are_averaged():
    sees, misses = says(-10, 0.4, [-60, -60, -5]), says(-60, 0.2, [-60, -60, -60])
    assert blended(0.3, (0.5, sees), (0.5, misses))["point"] == [-10.0]
    assert blended(0.31, (0.5, sees), (0.5, misses))["point"] == [ATOM]
    assert blended(None, (0.5, sees), (0.5, misses))["point"] == [-35.0]


def test_windows_that_agree_blend_to_what_they_say():
    same = says(-10.3, 0.62, [-60, -12.1, -3.7])
    for threshold in (0.5, None):
        found = blended(threshold, (0.3, same), (0.7, same))
        for name, values in same.items():
            np.testing.assert_allclose(found[name], values.ravel(), rtol=1e-6)


def test_quantiles_stay_in_order():
    # The lower level shows an echo in the first window alone, the upper level in both.
    first, second = says(-8, 0.9, [-10, -8]), says(-50, 0.6, [-60, -50])
    found = blended(0.5, (0.5, first), (0.5, second))["quantiles"]
    assert found == [-10.0, -10.0]


def test_between_points_of_the_grid():
    grid = np.array([[0.0, 10.0, 20.0], [4.0, 14.0, -60.0]], np.float32)
    statistics = {"point": grid, "probability": (grid > ATOM).astype(np.float32), "quantiles": grid[None]}
    at = np.array([[0.0, 0.5, 1.0, 0.5, -3.0]])
    column = np.array([[0.0, 0.5, 1.25, 1.75, 9.0]])
    found = at_neighbors(statistics, at, column, ATOM, 0.5)
    # (0.5, 0.5): (0 + 10 + 4 + 14) / 4; (1, 1.25): 14 alone shows an echo, probability 0.75; (0.5, 1.75): of the
    # weights 0.125, 0.375, 0.125, 0.375 the last shows none: (1.25 + 7.5 + 1.75) / 0.625; beyond the edge the corner.
    np.testing.assert_allclose(found["point"], [[0, 7, 14, 16.8, 20]], rtol=1e-6)
    np.testing.assert_allclose(found["probability"], [[1, 1, 0.75, 0.625, 1]], rtol=1e-6)
    np.testing.assert_allclose(found["quantiles"][0], found["point"])
    nearest = at_neighbors(statistics, np.rint(at), np.rint(column), ATOM, 0.5)
    assert nearest["point"].tolist() == [[0, 0, 14, 20, 20]]
