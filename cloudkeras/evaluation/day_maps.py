"""Maps of an evaluation of whole days: single days with every method's result, and where the errors are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.dataset import ShardDataset
from ..datasets.pipeline import Batches
from ..errors import check
from ..tasks import Task
from .arrays import load_arrays, save_arrays
from .cases import DIFFICULTIES, typical_samples
from .scores import Scores
from .scoring import MethodInputs
from .stitching import whole_samples

FORMAT = 1
_ARRAYS = ("samples", "time_start", "truth", "land")


@dataclass(frozen=True)
class DayMaps:
    """Days, what was observed on them and what each method says.

    Attributes:
        titles: What each day is.
        samples: Its number in the split.
        time_start: Its beginning, s since 1970, (day,).
        truth: (day, y, x), NaN where nothing was observed.
        land: (y, x) bool; all true where the shards have no mask.
        predictions: By method, (day, y, x).
        pixel_km: Size of a pixel; 1 where the shards have no coordinates.
        simulated: Whether the data are simulated.
    """

    titles: tuple[str, ...]
    samples: np.ndarray
    time_start: np.ndarray
    truth: np.ndarray
    land: np.ndarray
    predictions: dict[str, np.ndarray]
    pixel_km: float = 1.0
    simulated: bool = False

    def save(self, path: str | Path) -> Path:
        """Writes an `.npz` file, under its name when it is complete."""
        header = {"format": FORMAT, "titles": self.titles, "simulated": self.simulated, "pixel_km": self.pixel_km}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_arrays(path, header, arrays, {"predictions": self.predictions})

    @classmethod
    def load(cls, path: str | Path) -> DayMaps:
        """Reads what `save` wrote, from the file or its folder.

        Raises:
            DataError: If the file is missing or is not one.
        """
        header, arrays = load_arrays(path, "maps of days", FORMAT, _ARRAYS, ("predictions",))
        titles, size = tuple(header["titles"]), float(header["pixel_km"])
        return cls(titles=titles, pixel_km=size, simulated=header["simulated"], **arrays)


def predict_days(
    scores: Scores,
    task: Task,
    dataset: ShardDataset,
    methods: Sequence[Any],
    *,
    shares: Sequence[float] = DIFFICULTIES,
    members: int = 0,
) -> DayMaps:
    """Days at quantiles of difficulty, with the result of every method.

    Args:
        scores: What `evaluate` gave for the same task, data and methods.
        task: The task by which was judged, one that cuts windows out of samples.
        dataset: The shards.
        methods: The methods.
        shares: Quantiles of the primary score of the best method.
        members: Not used: a map has no spread.

    Raises:
        InputError: If the task cuts no windows.
    """
    options = scores.provenance["options"]
    split, limit = options["split"], options["limit"]
    total = dataset.num_samples(split)
    kept = total if limit is None else min(limit, total)
    chosen = typical_samples(scores, shares)
    wanted = np.array([index * total // kept for index in chosen.values()])
    return maps_of_days(task, dataset, methods, wanted, split=split, titles=tuple(chosen))


def maps_of_days(
    task: Task,
    dataset: ShardDataset,
    methods: Sequence[Any],
    samples: Sequence[int] | np.ndarray,
    *,
    split: str = "test",
    titles: Sequence[str] = (),
) -> DayMaps:
    """What each method says of some days, beside what was observed.

    Args:
        task: The task by which is judged, one that cuts windows out of samples.
        dataset: The shards.
        methods: Runs and fitted baselines.
        samples: Numbers of the days in the split.
        split: The split.
        titles: What each day is; empty for nothing.

    Raises:
        InputError: If the task cuts no windows, or there are no methods or days.
    """
    check(task.windows() is not None, "Maps of days are made where a task cuts windows.", task=task.name)
    check(len(methods) > 0 and len(samples) > 0, "There is at least one method and one day.", samples=list(samples))
    order = np.argsort(np.asarray(samples), kind="stable")
    numbers = np.asarray(samples)[order]
    images = dict(_whole_days(MethodInputs(task, dataset, split, methods), methods, numbers))
    land, grid = dataset.static("land"), dataset.coordinates((task.column_dim,))
    x = grid.get(task.column_dim, np.arange(2) * 1000.0)
    return DayMaps(
        titles=tuple(titles) or ("",) * len(numbers),
        samples=np.asarray(samples),
        time_start=dataset.samples(split).take(np.asarray(samples)).time_start,
        truth=np.stack([images[int(n)][""] for n in samples]),
        land=np.ones(dataset.manifest.patch_shape, bool) if land is None else np.asarray(land) > 0,
        predictions={method.name: np.stack([images[int(n)][method.name] for n in samples]) for method in methods},
        pixel_km=float(abs(x[1] - x[0])) / 1000,
        simulated=dataset.simulated,
    )


def _whole_days(
    inputs: MethodInputs, methods: Sequence[Any], numbers: np.ndarray
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    batches = Batches(inputs.dataset, inputs.task, inputs.split, 4, samples=numbers)
    assert batches.tiles is not None

    def tiles() -> Iterator[Any]:
        for i in range(len(batches)):
            fields, made = inputs.fields(batches, i), {}  # type: ignore[var-annotated]
            windows = {"": inputs.task.truth(fields)}
            for method in methods:
                x = inputs.make(method, fields, made)
                outputs = method(x)
                outputs = outputs["final"] if isinstance(outputs, Mapping) else outputs
                windows[method.name] = np.asarray(inputs.task_of(method).decode(np.asarray(outputs), x), np.float32)
            yield batches.indices(i), batches.tile_numbers(i), windows

    return whole_samples(tiles(), batches.tiles, inputs.dataset.manifest.patch_shape)


class ErrorMaps:
    """Error of each pixel over the days that were judged; give it to `evaluate` as `watch`.

    Attributes:
        days: How often each pixel was observed, (y, x).
    """

    def __init__(self) -> None:
        self.days: np.ndarray | None = None
        self._signed: dict[str, np.ndarray] = {}
        self._absolute: dict[str, np.ndarray] = {}

    def __call__(self, number: int, images: Mapping[str, np.ndarray]) -> None:
        """Adds a day: the truth under "", the others by method, (y, x) each."""
        truth = images[""]
        seen = np.isfinite(truth)
        if self.days is None:
            self.days = np.zeros(truth.shape, np.int32)
        self.days += seen
        for name, image in images.items():
            if name and image.shape == truth.shape:
                error = np.where(seen, image - truth, 0).astype(np.float32)
                for sums, values in ((self._signed, error), (self._absolute, np.abs(error))):
                    sums[name] = values if name not in sums else sums[name] + values

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self._signed)

    def mean(self, method: str) -> np.ndarray:
        """Mean of prediction - truth, (y, x); NaN where nothing was observed."""
        return self._over_days(self._signed[method])

    def mean_absolute(self, method: str) -> np.ndarray:
        """Mean of its absolute value, (y, x); NaN where nothing was observed."""
        return self._over_days(self._absolute[method])

    def _over_days(self, total: np.ndarray) -> np.ndarray:
        assert self.days is not None
        return np.where(self.days > 0, total / np.maximum(self.days, 1), np.float32(np.nan))
