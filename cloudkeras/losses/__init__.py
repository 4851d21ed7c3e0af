"""Masked losses for classes and for values: what has no label (class -1, NaN) neither counts nor has a gradient.

Every loss returns one value a sample, scaled so that the mean over the samples, which is Keras's default reduction,
is the mean over the labelled voxels of the batch (or, with `per_image`, the mean of the images' means). A
`sample_weight` of one number a sample multiplies that sample's share, as in Keras's own losses; in the losses that are
a ratio over the batch (Dice, Jaccard) it weights the voxels of the sample inside the ratio. A batch without any label
gives 0 and zero gradients. Under `tf.distribute` "batch" is the batch of one replica. All arithmetic is float32,
whatever the precision policy of the model.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

from ..errors import InputError, check_choice
from .class_weighting import class_weights
from .classification import DiceCompound, Focal, SoftDice, SoftJaccard, SparseCrossentropy
from .regression import MaskedBCE, MaskedMAE, MaskedMSE, MaskedSSIM, UNet3PlusHybrid

__all__ = [
    "LOSSES",
    "DiceCompound",
    "Focal",
    "MaskedBCE",
    "MaskedMAE",
    "MaskedMSE",
    "MaskedSSIM",
    "SoftDice",
    "SoftJaccard",
    "SparseCrossentropy",
    "UNet3PlusHybrid",
    "class_weights",
    "get_loss",
]

LOSSES: dict[str, type[keras.losses.Loss]] = {
    "sparse_crossentropy": SparseCrossentropy,
    "focal": Focal,
    "soft_dice": SoftDice,
    "soft_jaccard": SoftJaccard,
    "dice_compound": DiceCompound,
    "masked_mae": MaskedMAE,
    "masked_mse": MaskedMSE,
    "masked_bce": MaskedBCE,
    "masked_ssim": MaskedSSIM,
    "unet3plus_hybrid": UNet3PlusHybrid,
}


def get_loss(name: str, **options: Any) -> keras.losses.Loss:
    """The loss of that name.

    Args:
        name: One of `LOSSES`.
        **options: The loss's own arguments; see its class.

    Raises:
        InputError: If there is no such loss or argument.
    """
    check_choice(name, sorted(LOSSES), "loss")
    known = list(inspect.signature(LOSSES[name]).parameters)
    if unknown := sorted(set(options) - set(known)):
        raise InputError(f"Loss '{name}' has the options {', '.join(known)}. Received {', '.join(unknown)}.")
    return LOSSES[name](**options)
