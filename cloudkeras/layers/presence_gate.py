"""The soft gate of a classification-guided module: what the image does not hold is played down everywhere in it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import check_choice


@keras.saving.register_keras_serializable(package="cloudkeras")
class PresenceGate(keras.layers.Layer):
    """Weighs each class of an output by the probability `sigmoid(presence)` that the image holds it.

    Two forms:

    - "probability": the output is logits of a softmax; `log(sigmoid(presence))` is added, which multiplies the class
      probabilities by the gate and normalizes them again.
    - "value": the output itself is multiplied by the gate.

    Both are smooth, so that the gradient of the image loss reaches the presence logits. (A gate through `argmax`, as
    published, gives none.)

    Args:
        form: "probability" or "value".

    Input shape:  a list: output (batch, ..., num_classes), presence logits (batch, num_classes).
    Output shape: that of the output.

    Raises:
        InputError: If `form` is neither.
    Reference: Huang et al. 2020, UNet 3+, arXiv 2004.08790, section 2.3.
    """

    def __init__(self, form: str = "probability", **kwargs: Any):
        super().__init__(**kwargs)
        self.form = check_choice(form, ("probability", "value"), "form")
        self.built = True

    def call(self, inputs: Any) -> Any:
        outputs, presence = inputs
        for _ in range(len(outputs.shape) - 2):
            presence = ops.expand_dims(presence, 1)
        if self.form == "probability":
            return outputs + ops.log_sigmoid(presence)
        return outputs * ops.sigmoid(presence)

    def compute_output_shape(self, input_shape: list) -> tuple:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}
