"""What every builder must fulfil. To test a new architecture, subclass `ModelContract` with its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

from cloudkeras.errors import InputError

BATCH = 2


def as_dict(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs by name as NumPy, whether the model has one or several."""
    outputs = outputs if isinstance(outputs, dict) else {"final": outputs}
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def loss_of(name: str) -> keras.losses.Loss:
    if name == "presence":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


class ModelContract:
    """The contract; `builder(**arguments)` is small, `parameters` is counted by hand where it is stated."""

    builder: ClassVar[Callable[..., keras.Model]]
    arguments: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]
    outputs: ClassVar[tuple[str, ...]] = ("final",)
    factor: ClassVar[int] = 2

    def build(self, rows: int | None = 16, columns: int | None = 16, **changes: Any) -> keras.Model:
        keras.utils.set_random_seed(1)
        return type(self).builder((rows, columns, 3), 3, **{**self.arguments, **changes})

    def expected_shapes(self, rows: int, columns: int) -> dict[str, tuple]:
        levels = (self.arguments["levels"],) if self.arguments.get("levels") else ()
        image = (BATCH, *levels, rows, columns, 3)
        return {name: (BATCH, 3) if name == "presence" else image for name in self.outputs}

    def inputs(self, rows: int = 16, columns: int = 16) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(BATCH, rows, columns, 3)).astype("float32")

    def targets(self, rows: int = 16, columns: int = 16) -> Any:
        rng = np.random.default_rng(1)
        shapes = self.expected_shapes(rows, columns)
        image = rng.integers(-1, 3, shapes["final"][:-1]).astype("int8")
        presence = rng.integers(0, 2, (BATCH, 3)).astype("float32")
        targets = {name: presence if name == "presence" else image for name in self.outputs}
        return targets if len(targets) > 1 else image

    def test_runs_without_argument(self):
        builder = type(self).builder
        assert builder().count_params() > 1e6

    @pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 32)])
    def test_static_shapes(self, rows, columns):
        outputs = as_dict(self.build(rows, columns)(self.inputs(rows, columns)))
        assert {name: value.shape for name, value in outputs.items()} == self.expected_shapes(rows, columns)
        assert all(np.isfinite(value).all() for value in outputs.values())

    def test_dynamic_sizes_give_the_same_numbers(self):
        static, dynamic = self.build(16, 32), self.build(None, None)
        dynamic.set_weights(static.get_weights())
        x = self.inputs(16, 32)
        for name, value in as_dict(dynamic.predict(x, verbose=0)).items():
            np.testing.assert_allclose(value, as_dict(static(x))[name], atol=1e-4)
        other = as_dict(dynamic(self.inputs(32, 16)))
        assert {name: value.shape for name, value in other.items()} == self.expected_shapes(32, 16)

    @pytest.mark.tensorflow
    def test_gradient_reaches_every_weight(self):
        import tensorflow as tf

        model, x = self.build(), self.inputs()
        with tf.GradientTape() as tape:
            # Inference form: in training form batch normalization takes away what the bias before it adds.
            outputs = as_dict_of_tensors(model(x, training=False))
            loss = sum(tf.reduce_sum(tf.square(value - 1.0)) for value in outputs.values())
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            assert gradient is not None, variable.path
            gradient = keras.ops.convert_to_numpy(gradient)
            assert np.isfinite(gradient).all(), variable.path
            assert np.any(gradient != 0), variable.path

    def test_fit_step(self):
        model, x, y = self.build(dropout=0.1, l2=1e-4), self.inputs(), self.targets()
        before = model.get_weights()
        losses = {name: loss_of(name) for name in self.outputs}
        model.compile("adam", losses if len(losses) > 1 else losses["final"], run_eagerly=True)
        history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
        changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
        assert all(changed)

    @pytest.mark.tensorflow
    def test_saved_forms_give_the_same_outputs(self, tmp_path):
        import tensorflow as tf

        model, x = self.build(None, None), self.inputs(16, 32)
        expected = as_dict(model(x))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        model.export(tmp_path / "saved_model", format="tf_saved_model", verbose=False)
        served = tf.saved_model.load(str(tmp_path / "saved_model"))
        for outputs in (loaded(x), served.serve(x)):
            assert set(as_dict(outputs)) == set(self.outputs)
            for name, value in as_dict(outputs).items():
                np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"], indirect=True)
    def test_mixed_precision_ends_in_float32(self, precision):
        model = self.build()
        for value in as_dict(model(self.inputs())).values():
            assert value.dtype == np.float32
            assert np.isfinite(value).all()
        assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
        compute = {layer.compute_dtype for layer in model.layers if layer.trainable_variables}
        assert compute == {precision.removeprefix("mixed_")}

    def test_layer_names(self):
        model = self.build(name="mine", dropout=0.1)
        names = [layer.name for layer in model.layers]
        assert len(set(names)) == len(names)
        assert [name for name in names if not name.startswith("mine_") and name not in self.outputs] == []
        assert sorted(model.output_names) == sorted(self.outputs)
        assert model.name == "mine"

    def test_parameter_count(self):
        assert self.build().count_params() == self.parameters

    def test_l2_adds_a_penalty_for_every_kernel(self):
        assert len(self.build(l2=1e-3).losses) == sum(
            variable.name in ("kernel", "shared", "mixers") for variable in self.build().trainable_variables
        )
        assert self.build().losses == []

    def test_monte_carlo_dropout(self):
        x = self.inputs()
        sampling = self.build(dropout=0.5, mc_dropout=True)
        first, second = as_dict(sampling(x))["final"], as_dict(sampling(x))["final"]
        assert np.abs(first - second).max() > 1e-3
        plain = self.build(dropout=0.5)
        np.testing.assert_array_equal(as_dict(plain(x))["final"], as_dict(plain(x))["final"])

    def test_monte_carlo_dropout_leaves_batch_normalization_alone(self):
        """At a rate that drops nothing, sampling is plain inference; batch statistics would give other numbers."""
        x = self.inputs()
        sampling, plain = self.build(dropout=1e-9, mc_dropout=True), self.build()
        plain.set_weights(sampling.get_weights())
        np.testing.assert_allclose(as_dict(sampling(x))["final"], as_dict(plain(x))["final"], atol=1e-5)
        assert np.abs(as_dict(plain(x, training=True))["final"] - as_dict(plain(x))["final"]).max() > 1e-2

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"filters": (4,)}, r"`filters` needs at least 2 .*Received filters=\(4,\)"),
            ({"filters": (4, 0)}, "`filters` needs at least 2"),
            ({"num_classes": 0}, "`num_classes` is a whole number of at least 1. Received num_classes=0"),
            ({"dropout": 1.5}, r"`dropout` is a share in \[0, 1\). Received dropout=1.5"),
            ({"l2": -1.0}, "`l2` is a finite penalty"),
            ({"levels": 0}, "`levels` is .* Received levels=0"),
            ({"input_shape": (16, 16)}, r"`input_shape` is \(rows, columns, channels\)"),
            ({"input_shape": (None, None, None)}, r"`input_shape` is \(rows, columns, channels\)"),
        ],
    )
    def test_wrong_arguments(self, changes, message):
        arguments = {"input_shape": (16, 16, 3), "num_classes": 3, **self.arguments, **changes}
        with pytest.raises(InputError, match=message):
            type(self).builder(**arguments)

    def test_size_that_does_not_divide(self):
        size = 3 * self.factor + 1
        near = self.factor * round(size / self.factor)
        with pytest.raises(InputError, match=rf"must divide by {self.factor} .*nearest valid size is \({near}, None\)"):
            self.build(size, None)


def as_dict_of_tensors(outputs: Any) -> dict[str, Any]:
    return outputs if isinstance(outputs, dict) else {"final": outputs}
