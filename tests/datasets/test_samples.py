import numpy as np
import pytest

from cloudkeras.datasets import SampleTable
from cloudkeras.errors import InputError

from .making import table


def test_scalars_are_repeated():
    samples = table(3)
    assert len(samples) == 3
    assert samples.y_start.tolist() == [0, 0, 0] and samples.y_start.dtype == np.int32
    assert samples.granule.tolist() == ["granule-0000", "granule-0001", "granule-0002"]


def test_take_and_concatenate():
    samples = table(5)
    parts = [samples.take([4, 1]), samples.take(samples.time_start < samples.time_start[1]), samples.take([])]
    joined = SampleTable.concatenate(parts)
    assert joined.granule.tolist() == ["granule-0004", "granule-0001", "granule-0000"]
    assert len(SampleTable.concatenate([])) == 0


def test_granules_given_as_objects_become_text():
    samples = table(2, granule=np.array(["a", "bc"], dtype=object))
    assert samples.granule.dtype.kind == "U" and samples.granule.tolist() == ["a", "bc"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_end": 0.0}, "`time_end` is not before `time_start`"),
        ({"latitude": 91.0}, "`latitude` lies within -90 and 90"),
        ({"longitude": -200.0}, "`longitude` lies within -180 and 360"),
        ({"time_start": np.nan}, "`time_start` of every sample is finite"),
        ({"latitude": [1.0, 2.0]}, "equally long"),
    ],
)
def test_impossible_entries_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        table(3, **changes)
