"""Readers of granules: from a product's files to shards of a task."""

from .columns import ModelColumns, ModelFiles, read_model_columns
from .curtain import Curtain, radar_curtain
from .radar import read_radar
from .radar_shards import ingest_radar
from .record import RadarRecord

__all__ = [
    "Curtain",
    "ModelColumns",
    "ModelFiles",
    "RadarRecord",
    "ingest_radar",
    "radar_curtain",
    "read_model_columns",
    "read_radar",
]
