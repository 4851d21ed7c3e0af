from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.datasets import SampleTable
from cloudkeras.errors import InputError
from cloudkeras.evaluation.groups import default_grouping, sample_groups
from cloudkeras.tasks import get_task


def table(granules, starts, length=600.0):
    starts = np.asarray(starts, float)
    return SampleTable(granules, starts, starts + length, 0, 0, 0.0, 0.0)


def test_granules_samples_and_blocks_of_time():
    samples = table(["a", "a", "b", "b"], [0, 3599, 3599, 3600])
    assert sample_groups(samples, "granule").tolist() == ["a", "a", "b", "b"]
    assert len(set(sample_groups(samples, "sample"))) == 4
    blocks = sample_groups(samples, 3600.0)
    assert blocks[0] == blocks[1]  # same hour
    assert blocks[1] != blocks[2]  # other granule
    assert blocks[2] != blocks[3]  # other hour


def test_defaults_by_kind_of_task():
    assert default_grouping(get_task("cloud_phase"), table(["a"], [0])) == "granule"
    assert default_grouping(get_task("blind_zone"), table(["a"], [0])) == 3600
    assert default_grouping(get_task("blind_zone"), table(["a"], [0], length=3840)) == 3840


@pytest.mark.parametrize("wrong", ["orbit", 0, -5.0, float("inf"), True])
def test_wrong_grouping_is_named(wrong):
    with pytest.raises(InputError, match=r"`group_by` is \"granule\", \"sample\", or a length"):
        sample_groups(table(["a"], [0]), wrong)
