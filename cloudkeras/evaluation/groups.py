"""Which samples are resampled together, because they are not independent of each other."""

from __future__ import annotations

import numpy as np

from ..datasets.samples import SampleTable
from ..errors import check
from ..tasks import Task


def default_grouping(task: Task, samples: SampleTable) -> str | float:
    """By granule for images; by time block for windows of one instrument that watches on, which may overlap.

    The block is what the task says (an hour for curtains), or the longest window if that is longer.
    """
    if task.kind == "classification":
        return "granule"
    return max(task.block_seconds, float((samples.time_end - samples.time_start).max(initial=0)))


def sample_groups(samples: SampleTable, group_by: str | float, *, one_site: bool = False) -> np.ndarray:
    """Name of the group of each sample, (sample,).

    Args:
        samples: Where and when the samples were cut.
        group_by: "granule", "sample", or the length of blocks of time in seconds. Blocks are counted from the start of
            1970 in UTC and a sample belongs to the block in which it starts; samples of different granules are never in
            one group, but for `one_site`.
        one_site: Whether all granules show one place, so that a block of time reaches across them.

    Raises:
        InputError: If `group_by` is none of these.
    """
    if group_by == "granule":
        return samples.granule.astype(np.str_)
    if group_by == "sample":
        return np.array([f"sample {i}" for i in range(len(samples))], np.str_)
    check(
        isinstance(group_by, (int, float)) and not isinstance(group_by, bool) and 0 < group_by < np.inf,
        '`group_by` is "granule", "sample", or a length in seconds above 0.',
        group_by=group_by,
    )
    block = np.floor(samples.time_start / float(group_by)).astype(np.int64)
    if one_site:
        return np.array([f"block {b}" for b in block], np.str_)
    return np.array([f"{g} block {b}" for g, b in zip(samples.granule, block, strict=True)], np.str_)
