from __future__ import annotations

import numpy as np

from cloudkeras.datasets import DatasetWriter, ShardDataset
from cloudkeras.ingest.radar_shards import height_coordinate
from cloudkeras.tasks import get_task
from cloudkeras.training.environment import describe_grid

from .tiny import COLUMNS, ROWS, sample_table, write_radar_shards


def test_the_spacing_of_the_images_is_that_of_the_shards(tmp_path):
    coordinates = {"height": height_coordinate(78.1 * (np.arange(ROWS) + 0.5))}
    task = get_task("blind_zone", blind_rows=4)
    with DatasetWriter(
        tmp_path / "a", task, provenance={}, simulated=True, gap_seconds=0.0, coordinates=coordinates
    ) as writer:
        for day, split in enumerate(("train", "validation", "test")):
            writer.add(split, {"reflectivity": np.zeros((2, ROWS, COLUMNS))}, sample_table(split, day, 2))
    # Windows of 16 columns that begin 300 s before they end.
    assert describe_grid(ShardDataset.open(tmp_path / "a")) == {"row_depth_m": 78.1, "column_s": 20.0}


def test_shards_without_heights_say_nothing(tmp_path):
    assert describe_grid(ShardDataset.open(write_radar_shards(tmp_path / "a"))) == {}
