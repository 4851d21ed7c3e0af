"""Why a model says what it says: gradients, activations, and what each input channel is worth.

Everything here sees the network with Monte Carlo dropout switched off (`deterministic`), in its own input space.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations import feature_maps, grad_cam
    from .attribution import baseline_input, integrated_gradients, saliency
    from .gradients import input_gradient
    from .models import deterministic, image_layers, output_shape
    from .objectives import Objective, make_objective
    from .permutation import permutation_importance
    from .retraining import retrain_subsets
    from .samples import SampleReader
    from .shapley import shapley_values

# Imported on first use: Shapley values need no backend.
_PUBLIC = {
    "Objective": "objectives",
    "SampleReader": "samples",
    "baseline_input": "attribution",
    "deterministic": "models",
    "feature_maps": "activations",
    "grad_cam": "activations",
    "image_layers": "models",
    "input_gradient": "gradients",
    "integrated_gradients": "attribution",
    "make_objective": "objectives",
    "output_shape": "models",
    "permutation_importance": "permutation",
    "retrain_subsets": "retraining",
    "saliency": "attribution",
    "shapley_values": "shapley",
}

__all__ = [
    "Objective",
    "SampleReader",
    "baseline_input",
    "deterministic",
    "feature_maps",
    "grad_cam",
    "image_layers",
    "input_gradient",
    "integrated_gradients",
    "make_objective",
    "output_shape",
    "permutation_importance",
    "retrain_subsets",
    "saliency",
    "shapley_values",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
