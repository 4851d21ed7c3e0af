"""Published training set-ups by name, for `cloudkeras train --preset NAME`; options that are given override them.

Each is a set of `RunConfig` fields, all but `data`. What cannot or should not be kept of the publication is said in
`NOTES`.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
import textwrap
from typing import Any

from ..errors import check, check_choice

logger = logging.getLogger("cloudkeras")

_KING2024: dict[str, Any] = {
    "task": "blind_zone",
    "task_options": {
        "context": False,
        "blind_rows": 16,
        "ramp_rows": [1, 9],
        "evaluation_ramp_rows": 8,
    },
    "model": "unet3plus",
    "model_options": {
        "filters": [32, 64, 128, 256, 512],
        "skip_channels": 32,
        "upsampling": "bilinear",
        "deep_supervision": True,
        "mc_dropout": True,
    },
    "loss": "masked_mae",
    "optimizer": "adam",
    "learning_rate": 5e-5,
    "decay_epochs": [450, 475],
    "decay_factor": 0.1,
    "epochs": 501,
    "batch_size": 16,
    "l2": 1e-5,
    "dropout": 0.2,
    "patience": 20,
}

_MELTWATERBENCH: dict[str, Any] = {
    "task": "meltwater",
    "task_options": {"crop": [512, 512], "crops_per_day": 1, "evaluation_window": [512, 512], "margin": 16},
    "loss": "masked_mae",
    "optimizer": "adam",
    "clipnorm": 1.0,
    "l2": 0.0,
    "dropout": 0.0,
    "patience": None,
}
# (1 + 2 + 4 + 8 + 16) * 35 = 1085: the rate ends at its least.
_COSINE: dict[str, Any] = {"schedule": "cosine_restarts", "restart_epochs": 35, "restart_growth": 2, "epochs": 1085}

PRESETS: dict[str, dict[str, Any]] = {
    "king2024": _KING2024,
    "king2024_era5": {
        **_KING2024,
        "task_options": {**_KING2024["task_options"], "context": True, "keep_context": True},
    },
    "geiss2021": {
        "task": "blind_zone",
        "task_options": {
            "context": False,
            "blind_rows": 16,
            "train_blind_rows": [3, 25],
            "ramp_rows": [1, 16],
            "evaluation_ramp_rows": 8,
        },
        "model": "unet_plusplus",
        "model_options": {
            "filters": [8, 16, 32, 64, 128, 256, 512],
            "connections": "dense",
            "convolutions": 1,
            "batch_norm": False,
            "activation": "leaky_relu",
            "final_activation": "tanh",
            "upsampling": "nearest",
        },
        "loss": "masked_mae",
        "optimizer": "adam",
        "learning_rate": 5e-4,
        "decay_epochs": [1600, 1900],
        "decay_factor": 0.1,
        "epochs": 2000,
        "batch_size": 8,
        "l2": 0.0,
        "dropout": 0.0,
        "patience": None,
    },
    "meltwaterbench": {
        **_MELTWATERBENCH,
        "model": "unet",
        "model_options": {"filters": [64, 128, 256, 512, 1024], "upsampling": "transpose"},
        "learning_rate": 1e-4,
        "schedule": "plateau",
        "plateau_patience": 101,
        "plateau_min_delta": 5e-6,
        "decay_factor": 0.1,
        "epochs": 500,
        "batch_size": 8,
    },
    "meltwaterbench_encoder": {
        **_MELTWATERBENCH,
        "model": "unet",
        "model_options": {
            "filters": [16, 32, 64, 128, 256],
            "upsampling": "nearest",
            "encoder": "xception",
            "encoder_weights": "imagenet",
        },
        "learning_rate": 1e-4,
        **_COSINE,
        "batch_size": 8,
    },
    "meltwaterbench_deeplabv3plus": {
        **_MELTWATERBENCH,
        "task_options": {"crop": [304, 304], "crops_per_day": 1, "evaluation_window": [304, 304], "margin": 32},
        "model": "deeplabv3plus",
        "model_options": {
            "filters": [48, 256],
            "encoder": "xception",
            "encoder_weights": "imagenet",
            "output_stride": 8,
            "rates": [6, 12, 18],
        },
        "learning_rate": 1e-3,
        **_COSINE,
        "batch_size": 16,
    },
}

_KING2024_NOTE = (
    "The best epoch, and early stopping, go by the validation MAE in dBZ, which holds no L2 penalty (published: the "
    "validation loss, which does); outputs of deep supervision weigh 1, 1/2, 1/4 ... (published: 1 each); the loss "
    "covers the ramp as well as the blind zone."
)
_MELTWATERBENCH_NOTE = (
    "MeltwaterBench, arXiv 2512.12142, and the configurations in its public code: Adam, L1 loss, one random crop of "
    "each day an epoch, gradients clipped to the norm 1. The best epoch is that of the smallest validation MAE on all "
    "tiles (published: the checkpoint of epoch"
)
_XCEPTION_NOTE = (
    "The encoder is Keras's Xception with ImageNet weights (published: Xception-71, which Keras does not have); "
    "--set model.encoder_weights=null starts at random."
)
NOTES: dict[str, str] = {
    "king2024": f"UNet 3+ on reflectivity alone (3+_1). King et al. 2024, AIES-D-23-0063. {_KING2024_NOTE}",
    "king2024_era5": "UNet 3+ on reflectivity, temperature, humidity and wind (3+_5). King et al. 2024, "
    "AIES-D-23-0063. The reanalysis stays visible inside the blind zone, where it is as good as above (published: "
    "hidden there, --set task.keep_context=false), and reflectivity alone is predicted (published: all five "
    f"channels). {_KING2024_NOTE}",
    "geiss2021": "UNet++ with dense connections. Geiss & Hardin 2021, AMT 14, 7729, and its public code (scenario "
    "downfill): tops of the blind zone are drawn between 0.2 and 2 km (3 to 25 rows of 78.1 m), ramps between 1 and "
    "16 rows. Published are 2000 epochs of 250 batches, that is 500,000 steps; an epoch here is one pass through the "
    "data. Reflectivity alone is predicted (published: Doppler velocity and spectrum width as well), and the best "
    "epoch is kept, not the last.",
    "meltwaterbench": f"The UNet of 31.0 million parameters. {_MELTWATERBENCH_NOTE} 451). The learning rate falls "
    "after more than 100 epochs without an improvement by 1e-4 of the best, taken as 5e-6 of a MAE near 0.05.",
    "meltwaterbench_encoder": f"UNet on an encoder, the best of the paper. {_MELTWATERBENCH_NOTE} 1025; the 1085 "
    "epochs are those of its sweep, the file of the run itself was left at 3). The decoder has batch normalization, "
    f"and a convolution after each upsampling (published: neither). {_XCEPTION_NOTE}",
    "meltwaterbench_deeplabv3plus": f"DeepLabv3+ at output stride 8. {_MELTWATERBENCH_NOTE} 991). The decoder has two "
    "3 x 3 convolutions where the scales are joined, as in Chen et al. 2018 (published: one there and one before), and "
    f"no dropout of 0.5 in the pyramid. {_XCEPTION_NOTE}",
}


def preset(name: str, *, task: str | None = None, model: str | None = None) -> dict[str, Any]:
    """The fields of a preset, a copy.

    Args:
        name: One of `PRESETS`.
        task: The task that the user has named, if any.
        model: The builder that the user has named, if any. Where it is not that of the preset, of its model options
            those remain that the builder has, so that another net is trained in the same way.

    Raises:
        InputError: If there is no such preset or model, or the preset is for another task.
    """
    check_choice(name, sorted(PRESETS), "preset")
    fields = copy.deepcopy(PRESETS[name])
    check(task in (None, fields["task"]), f"The preset {name!r} is for the task {fields['task']!r}.", task=task)
    if model is not None and model != fields["model"]:
        fields["model_options"] = _options_of(name, fields["model_options"], model)
        fields["model"] = model
    return fields


def _options_of(name: str, options: dict[str, Any], model: str) -> dict[str, Any]:
    from ..models import get_builder

    known = inspect.signature(get_builder(model)).parameters
    if dropped := [option for option in options if option not in known]:
        logger.info("preset %s: the model %s has no %s", name, model, ", ".join(dropped))
    return {option: value for option, value in options.items() if option in known}


def describe_presets() -> str:
    """What each preset holds, for the command line."""
    parts = []
    for name, fields in PRESETS.items():
        note = textwrap.fill(NOTES[name], 112, initial_indent="  ", subsequent_indent="  ")
        lines = [
            textwrap.fill(_plain(value), 112, initial_indent=f"  {field:14} ", subsequent_indent=" " * 17)
            for field, value in fields.items()
        ]
        parts.append("\n".join([name, note, "", *lines]))
    return "\n\n".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k}={json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
    return json.dumps(value)
