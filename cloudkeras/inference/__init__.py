"""Prediction of scenes of any size."""

from .scene import predict_scene
from .tiling import AxisTiles, through_tiles

__all__ = ["AxisTiles", "predict_scene", "through_tiles"]
