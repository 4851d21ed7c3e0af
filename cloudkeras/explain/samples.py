"""One sample as an explanation needs it: network input, region of the labels, physical axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import netCDF4
import numpy as np

from ..datasets.dataset import ShardDataset
from ..datasets.pipeline import Batches
from ..datasets.shards import NETCDF_LOCK
from ..errors import check
from ..tasks import Fields, Task

REGIONS = ("judged", "all")


@dataclass(frozen=True, eq=False)
class Axis:
    """Rows or columns of an image.

    Attributes:
        name: Name of the dimension.
        values: Centres of the cells.
        units: Their unit, "1" where they only count pixels.
        label: For a figure's axis.
    """

    name: str
    values: np.ndarray
    units: str
    label: str


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample, or a window of one.

    Attributes:
        number: Its number in the split.
        x: Network input, (1, rows, columns, channels).
        fields: Prepared fields in physical units, batch of one.
        rows: Axis of the rows.
        columns: Axis of the columns.
        title: Granule and time.
        time: Start of the observation, seconds since 1970.
    """

    number: int
    x: np.ndarray
    fields: Fields
    rows: Axis
    columns: Axis
    title: str
    time: float


class SampleReader:
    """Samples of a split as a trained model sees them outside training.

    Args:
        task: The model's task.
        statistics: The statistics that the model normalises by.
        dataset: The shards.
        split: The split.
        limit: Use this many samples, spread evenly over the split; None for all.

    Raises:
        InputError: If task and shards do not fit, or the split is empty.
        DataError: If the shards lack a variable.
    """

    def __init__(
        self,
        task: Task,
        statistics: Mapping[str, Any],
        dataset: ShardDataset,
        split: str = "test",
        *,
        limit: int | None = None,
    ):
        self.task, self.statistics, self.dataset, self.split = task, statistics, dataset, split
        self.batches = Batches(dataset, task, split, 1, statistics=statistics, limit=limit)
        self._table = dataset.samples(split)

    def __len__(self) -> int:
        return len(self.batches)

    def inputs(self, number: int) -> np.ndarray:
        """The network input of a sample, (1, rows, columns, channels)."""
        return np.asarray(self.task.network_inputs(self.batches.fields(number), self.statistics), np.float32)

    def read(self, number: int) -> Sample:
        """A sample by its number.

        Raises:
            InputError: If there is no such sample; the message tells how many there are.
        """
        check(
            0 <= number < len(self),
            f"`sample` is one of 0..{len(self) - 1}, the samples of the split '{self.split}'.",
            sample=number,
        )
        fields = self.batches.fields(number)
        x = np.asarray(self.task.network_inputs(fields, self.statistics), np.float32)
        index, (row, column) = int(self.batches.indices(number)[0]), self.batches.starts(number)[0]
        begin, end = float(self._table.time_start[index]), float(self._table.time_end[index])
        when = datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%d %H:%M UTC")
        columns = self._axis(self.task.column_dim, int(column), x.shape[2])
        if self.task.column_dim == "profile" and end > begin:
            columns = _time_axis(begin, end, x.shape[2])
        return Sample(
            number=number,
            x=x,
            fields=fields,
            rows=self._axis(self.task.row_dim, int(row), x.shape[1]),
            columns=columns,
            title=f"sample {number} of {self.split}: {self._table.granule[index]}, {when}",
            time=begin,
        )

    def _axis(self, name: str, start: int, size: int) -> Axis:
        """The shard's coordinate where it has one; metres of 10 km and more in km; else pixels."""
        with NETCDF_LOCK, netCDF4.Dataset(self.dataset.files(self.split)[0]) as file:
            variable = file.variables.get(name)
            values, units = None, str(getattr(variable, "units", "1"))
            if variable is not None and variable.dimensions == (name,):
                values = np.asarray(variable[start : start + size], np.float64)
        if values is None or len(values) != size:
            return Axis(name, start + np.arange(size, dtype=np.float64), "1", f"{name} (pixel)")
        if units == "m":
            values, units = values / 1000, "km"
        return Axis(name, values, units, f"{name} ({units})")

    def region(self, sample: Sample, name: str = "judged") -> np.ndarray | None:
        """The part of the output that an objective is a mean of.

        Args:
            sample: The sample.
            name: "judged" for what has a label (the blind zone, the track, what SAR saw), "all", or the name of a
                field of the image's size: where it is 1 or more (`blind_zone_mask`, `land`).

        Returns:
            Weights with the batch in front, or None for "all".

        Raises:
            InputError: If there is no such field; the message lists those there are.
        """
        if name == "all":
            return None
        if name == "judged":
            truth = self.task.truth(sample.fields)
            labelled = truth >= 0 if self.task.kind == "classification" else np.isfinite(truth)
            return labelled.astype(np.float32)
        shape = sample.x.shape[:3]
        masks = [key for key, values in sample.fields.items() if np.shape(values) == shape and not np.any(values > 1)]
        check(name in masks, f"`region` is one of {', '.join([*REGIONS, *masks])}.", region=name)
        return (sample.fields[name] >= 1).astype(np.float32)

    def mean_input(self, limit: int = 64) -> np.ndarray:
        """Mean of each input channel over at most `limit` samples, spread evenly over the split, (channel,)."""
        numbers = np.unique(np.linspace(0, len(self) - 1, min(limit, len(self))).astype(int))
        return np.mean([self.inputs(int(n)).mean(axis=(0, 1, 2)) for n in numbers], axis=0)


def _time_axis(begin: float, end: float, size: int) -> Axis:
    """Hours of the day (UTC) at the middle of each profile."""
    hours = (begin % 86400 + (np.arange(size) + 0.5) / size * (end - begin)) / 3600
    return Axis("profile", hours, "h", "time (h UTC)")
