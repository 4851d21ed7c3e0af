from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.losses import class_weights


def test_inverse_sqrt_is_the_root_of_the_frequency_ratio_with_mean_one():
    # Shares 0.64, 0.16, 0.16, 0.04: roots of the inverses 1.25, 2.5, 2.5, 5, mean 2.8125.
    weights = class_weights([64, 16, 16, 4], "inverse_sqrt")
    assert weights == pytest.approx(np.array([1.25, 2.5, 2.5, 5]) / 2.8125)


def test_median_frequency():
    # Median share 0.16: weights 0.25, 1, 1, 4.
    assert class_weights([64, 16, 16, 4], "median_frequency") == pytest.approx(np.array([0.25, 1, 1, 4]) / 1.5625)


def test_effective_lies_between_none_and_the_inverse_frequency():
    # n = 30, 10; b = 1 - 1/20: (1 - b^30) / (1 - b^10) = 0.78536 / 0.40126 = 1.9572 < 3.
    weights = class_weights([30, 10], "effective")
    assert weights[1] / weights[0] == pytest.approx(1.95723, rel=1e-4)
    huge = class_weights([30_000_000, 10_000_000], "effective")  # does not saturate with the number of voxels
    assert 1.5 < huge[1] / huge[0] < 3


def test_none_is_one_each_and_levels_are_summed():
    assert class_weights([[1, 2], [3, 4]], "none") == (1.0, 1.0)
    assert class_weights([[1, 2], [3, 4]]) == class_weights([4, 6])


def test_ratio_is_bounded_and_absent_classes_get_the_largest_weight():
    weights = class_weights([10**9, 10, 1, 0], "median_frequency", max_ratio=20)
    assert weights[1:] == pytest.approx([20 * weights[0]] * 3)


def test_plain_numbers_come_out():
    assert all(type(weight) is float for weight in class_weights(np.array([3, 4])))


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="`class_weights` is one of 'none'"):
        class_weights([1, 2], "balanced")
    with pytest.raises(InputError, match="at least one voxel"):
        class_weights([0, 0])
    with pytest.raises(InputError, match="`max_ratio` is at least 1"):
        class_weights([1, 2], max_ratio=0.5)
