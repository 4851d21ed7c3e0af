"""Model builders, and `MODELS`, which finds them by name."""

from __future__ import annotations

from collections.abc import Callable

import keras

from ..errors import check_choice
from .blocks import deep_supervision_loss_weights
from .deeplabv3plus import build_deeplabv3plus
from .encoders import ENCODERS
from .segnet import build_segnet
from .sgmagnet import build_sgmagnet
from .unet import build_unet
from .unet3plus import build_unet3plus
from .unet_plusplus import build_unet_plusplus, prune_unet_plusplus

MODELS: dict[str, Callable[..., keras.Model]] = {
    "sgmagnet": build_sgmagnet,
    "unet3plus": build_unet3plus,
    "unet": build_unet,
    "unet_plusplus": build_unet_plusplus,
    "segnet": build_segnet,
    "deeplabv3plus": build_deeplabv3plus,
}

__all__ = [
    "ENCODERS",
    "MODELS",
    "build_deeplabv3plus",
    "build_segnet",
    "build_sgmagnet",
    "build_unet",
    "build_unet3plus",
    "build_unet_plusplus",
    "deep_supervision_loss_weights",
    "get_builder",
    "prune_unet_plusplus",
]


def get_builder(name: str) -> Callable[..., keras.Model]:
    """The builder of that name.

    Raises:
        InputError: If there is none; the message lists the names.
    """
    check_choice(name, sorted(MODELS), "model")
    return MODELS[name]
