"""Prediction of scenes of any size, and filling of radar files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .scene import predict_scene
from .tiling import AxisTiles, through_tiles
from .writing import write_scene_file

if TYPE_CHECKING:
    from .inpaint_file import Inpainted, inpaint

# Imported on first use: filling needs the readers and the uncertainty, which load Keras.
_LATER = ("Inpainted", "inpaint")

__all__ = ["AxisTiles", "Inpainted", "inpaint", "predict_scene", "through_tiles", "write_scene_file"]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(".inpaint_file", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
