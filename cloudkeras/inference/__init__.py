"""Prediction of scenes of any size."""

from .scene import predict_scene
from .tiling import AxisTiles, through_tiles
from .writing import write_scene_file

__all__ = ["AxisTiles", "predict_scene", "through_tiles", "write_scene_file"]
