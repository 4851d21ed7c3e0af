"""Keras layers, one to a file, registered under the package name "cloudkeras" so that saved models load again."""

from .height_embedding import HeightEmbedding
from .index_pooling import MaxPoolWithIndices, MaxUnpool
from .monte_carlo_dropout import MonteCarloDropout
from .phase_gate import PhaseGate
from .presence_gate import PresenceGate
from .repeat_downward import RepeatDownward
from .resize_conv import ResizeConv2D
from .upsample import Upsample
from .volume_head import UnfoldLevels, VolumeHead

__all__ = [
    "HeightEmbedding",
    "MaxPoolWithIndices",
    "MaxUnpool",
    "MonteCarloDropout",
    "PhaseGate",
    "PresenceGate",
    "RepeatDownward",
    "ResizeConv2D",
    "UnfoldLevels",
    "Upsample",
    "VolumeHead",
]
