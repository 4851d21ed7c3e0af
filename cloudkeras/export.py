"""A run as `.keras` and as a SavedModel that takes physical units and returns named results, each with its card."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._version import __version__
from .errors import DataError, InputError, check
from .tasks import Task
from .tasks.cloud_phase import LEVEL_HEIGHT_KM

CARD_FORMAT = 1
_PACKAGES = ("keras", "tensorflow", "jax", "numpy")
_MASK = "weight of the prediction: 1 where the radar is blind, falling to 0 over a few rows above, 0 where it sees"


def export_run(
    run: Any,
    out_dir: str | Path,
    *,
    scores: Any = None,
    force: bool = False,
) -> Path:
    """Writes `model.keras`, `saved_model/`, `card.json` and `card.md` into a folder.

    The SavedModel needs TensorFlow alone, neither Keras nor cloudkeras. Its `serving_default` takes the task's inputs
    by name in physical units, NaN where missing (reflectance 0..1, brightness temperature in K, reflectivity in dBZ),
    normalizes them with the statistics of the run, and returns what the task predicts by name (class probabilities, or
    values in physical units).

    Args:
        run: A run, or the path of its folder.
        out_dir: The folder to write. It appears when it is complete; an earlier export there is replaced.
        scores: Scores for the card: what `cloudkeras.evaluate` returns, a mapping, or a JSON file; None takes
            `scores.json` of the run folder or its folder `scores` if there is one.
        force: Whether to replace a folder that is not an export.

    Returns:
        `out_dir`.

    Raises:
        InputError: If the run or the target is not what it should be; on another backend than TensorFlow, after
            `model.keras` and the card have been written, because a SavedModel cannot be.
    """
    import keras

    out = Path(out_dir)
    if isinstance(run, str | Path):
        from .training import load_run

        run = load_run(run)
    _check_target(out, run, force)
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    tensorflow = keras.backend.backend() == "tensorflow"
    try:
        partial.mkdir(parents=True)
        stored = None if run.path is None else Path(run.path) / "model.keras"
        if stored is not None and stored.exists():
            shutil.copy2(stored, partial / "model.keras")
        else:
            run.model.save(partial / "model.keras")
        if tensorflow:
            _write_saved_model(run, partial / "saved_model")
        card = model_card(run, scores=scores, saved_model=tensorflow)
        (partial / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (partial / "card.md").write_text(card_markdown(card), encoding="utf-8")
        _replace_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not tensorflow:
        raise InputError(
            f"A SavedModel is written by TensorFlow: set the environment variable KERAS_BACKEND=tensorflow and export "
            f"again. Received the backend '{keras.backend.backend()}'; model.keras and the card are in {out}."
        )
    return out


def _check_target(out: Path, run: Any, force: bool) -> None:
    """Raises unless `out` is free, an empty folder or an earlier export."""
    if run.path is not None:
        inside = Path(run.path).resolve().is_relative_to(out.resolve())
        check(not inside, "The target is a folder of its own, not one that holds the run.", out=str(out))
    check(not out.exists() or out.is_dir(), "The target is a folder, not a file.", out=str(out))
    if not out.exists() or force or not any(out.iterdir()):
        return
    try:
        ours = "cloudkeras_card" in json.loads((out / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        ours = False
    check(
        ours,
        "The target holds other files than an export; name another folder, or replace it with `force` (--force).",
        out=str(out),
    )


def _replace_folder(new: Path, out: Path) -> None:
    """Gives `new` the name `out`; what was there goes away once the new one is in place."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.replace(out, old)
    try:
        os.replace(new, out)
    except OSError:
        if old.exists():
            os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def serving_function(run: Any) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The whole way from physical inputs to the named result as one function of tensors."""
    from keras import ops

    task, model, name = run.task, run.model, run.task.output_name()
    statistics = {key: value for key, value in run.statistics.items() if key in task.physical_inputs()}

    def serve(inputs: Mapping[str, Any]) -> dict[str, Any]:
        fields = {key: ops.cast(value, "float32") for key, value in inputs.items()}
        x = task.network_inputs(fields, statistics, xp=ops)
        outputs = model(x, training=False)
        final = outputs["final"] if isinstance(outputs, Mapping) else outputs
        return {name: task.decode(ops.cast(final, "float32"), x, xp=ops)}

    return serve


def input_shapes(run: Any) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the named physical inputs without the batch; None is any size."""
    task = run.task
    sizes = dict(zip((task.row_dim, task.column_dim), run.model.input_shape[1:3], strict=True))
    shapes = {}
    for name, dims in task.physical_inputs().items():
        bands = len(run.statistics.get(name, {}).get("mean", ()))
        shapes[name] = tuple(sizes.get(dim, bands) for dim in dims)
    return shapes


def _write_saved_model(run: Any, path: Path) -> None:
    import keras
    import tensorflow as tf

    signature = {
        name: tf.TensorSpec((None, *shape), tf.float32, name=name) for name, shape in input_shapes(run).items()
    }
    archive = keras.export.ExportArchive()
    archive.track(run.model)
    archive.add_endpoint("serve", serving_function(run), input_signature=[signature])
    archive.write_out(str(path), verbose=False)


def model_card(run: Any, *, scores: Any = None, saved_model: bool = True) -> dict[str, Any]:
    """What a user must know of a run, as JSON values: what goes in, what comes out, from which data, how good.

    Args:
        run: The run.
        scores: See `export_run`.
        saved_model: Whether a SavedModel is beside the card, for the example of use.

    Raises:
        DataError: If the file of scores is not JSON.
    """
    from .training.environment import git_commit

    task = run.task
    names = set(task.physical_inputs())
    config = run.config.to_dict() if hasattr(run.config, "to_dict") else dict(run.config or {})
    environment = _last_session(run)
    card = {
        "cloudkeras_card": CARD_FORMAT,
        "name": run.name,
        "task": task.name,
        "task_options": task.options(),
        "inputs": _describe_inputs(run),
        "outputs": {task.output_name(): _describe_output(task)},
        "channels": list(task.channel_names()),
        "statistics": {key: value for key, value in run.statistics.items() if key in names},
        "fixed_scaling": task.fixed_scaling(),
        "model": {
            "name": config.get("model") or run.model.name,
            "options": config.get("model_options", {}),
            "parameters": int(run.model.count_params()),
            "input_shape": list(run.model.input_shape[1:]),
            "monte_carlo_dropout": draws_at_random(run.model),
        },
        "data": _describe_data(config, environment),
        "training": config,
        "scores": _find_scores(run, scores),
        "versions": {"cloudkeras": __version__, **_versions()},
        "git_commit": git_commit(),
        "trained_with": environment,
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    card["example"] = _example(card, saved_model)
    return json.loads(json.dumps(card, default=_plain_number))


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _last_session(run: Any) -> dict[str, Any] | None:
    """Versions, device, code and data of the run's latest training session, as `environment.json` has them."""
    environment = None if run.path is None else _read_json(Path(run.path) / "environment.json")
    sessions = (environment or {}).get("sessions")
    return sessions[-1] if sessions else environment


def _describe_inputs(run: Any) -> dict[str, Any]:
    known = {v.name: v for v in run.task.variables()}
    described = {}
    for name, shape in input_shapes(run).items():
        variable = known.get(name)
        described[name] = {
            "dims": ["batch", *run.task.physical_inputs()[name]],
            "shape": [None, *shape],
            "dtype": "float32",
            "units": variable.units if variable else "1",
            "valid_range": list(variable.valid_range) if variable else [0, 1],
            "long_name": variable.long_name if variable else _MASK,
            "missing": "NaN" if variable else None,
        }
    return described


def _describe_output(task: Task) -> dict[str, Any]:
    from .inference.products import output_dims

    described: dict[str, Any] = {"dims": ["batch", *output_dims(task)]}
    if task.kind == "regression":
        same = next((v for v in task.variables() if v.name == task.output_name()), None)
        return described | {"units": same.units if same else "1", "long_name": same.long_name if same else ""}
    described |= {"units": "1", "long_name": "probability of each class", "classes": list(task.classes)}
    if levels := task.builder_arguments().get("levels"):
        described["level_height_km"] = [(k + 0.5) * LEVEL_HEIGHT_KM for k in range(levels)]
    return described


def _describe_data(config: Mapping[str, Any], environment: Mapping[str, Any] | None) -> dict[str, Any]:
    """Name of the training data and whether it is simulated (None where that is not known any more)."""
    folder = str(config.get("data") or "")
    manifest = _read_json(Path(folder) / "manifest.json") if folder else None
    return {
        "name": Path(folder).name or None,
        "simulated": (environment or {}).get("simulated", (manifest or {}).get("simulated")),
        "manifest_sha256": (environment or {}).get("data_manifest_sha256"),
        "provenance": (manifest or {}).get("provenance"),
    }


def _find_scores(run: Any, scores: Any) -> Any:
    """The scores of a card: without the profiles and differences, which stay in `scores.json`."""
    found = _read_scores(run, scores)
    return {k: v for k, v in found.items() if k not in ("profiles", "differences")} if _is_report(found) else found


def _read_scores(run: Any, scores: Any) -> Any:
    if isinstance(scores, Mapping):
        return dict(scores)
    if hasattr(scores, "to_json"):
        return json.loads(scores.to_json())
    if scores is not None:
        try:
            return json.loads(Path(scores).read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise DataError(scores, expected="scores as JSON", found=str(error)) from error
    if run.path is None:
        return None
    candidates = (Path(run.path) / "scores.json", Path(run.path) / "scores" / "scores.json")
    return next((found for path in candidates if (found := _read_json(path)) is not None), None)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def draws_at_random(model: Any) -> bool:
    """Whether a layer of the model, or of a model inside it, drops out at inference too."""
    return any(
        (getattr(layer, "always_on", False) and getattr(layer, "rate", 0) > 0) or draws_at_random(layer)
        for layer in getattr(model, "layers", ())
    )


def _example(card: Mapping[str, Any], saved_model: bool) -> str:
    """Python that uses the export, from within its folder."""
    (output,) = card["outputs"]
    if not saved_model:
        return (
            "import cloudkeras.training\nimport keras\n\n"
            'model = keras.saving.load_model("model.keras")  # normalized channels in, logits or scaled values out'
        )
    lines = ["import tensorflow as tf", "", 'serve = tf.saved_model.load("saved_model").signatures["serving_default"]']
    lines.append("result = serve(")
    for name, spec in card["inputs"].items():
        dims = ", ".join(d if n is None else str(n) for d, n in zip(spec["dims"], spec["shape"], strict=True))
        lines.append(f"    {name}={name},  # float32 ({dims}), {_unit_words(spec['units'])}")
    lines.append(f')["{output}"]  # ({", ".join(card["outputs"][output]["dims"])})')
    return "\n".join(lines)


def _unit_words(units: str) -> str:
    return "0..1" if units == "1" else units


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    data, model = card["data"], card["model"]
    simulated = {True: "simulated", False: "observed", None: "origin not known"}[data["simulated"]]
    lines = [
        f"# {card['name']}: {card['task']} by {model['name']}",
        "",
        f"Trained on `{data['name']}` ({simulated} data), {model['parameters']:,} parameters, "
        f"cloudkeras {card['versions']['cloudkeras']}"
        + (f", commit {card['git_commit'][:12]}" if card["git_commit"] else "")
        + f", exported {card['created']}.",
        "",
        "## Inputs",
        "",
        "| name | dimensions | shape | unit | range | missing | what |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, spec in card["inputs"].items():
        shape = " x ".join("any" if n is None else str(n) for n in spec["shape"])
        low, high = spec["valid_range"]
        lines.append(
            f"| `{name}` | {', '.join(spec['dims'])} | {shape} | {spec['units']} | {low:g} to {high:g} "
            f"| {spec['missing'] or 'never'} | {spec['long_name']} |"
        )
    lines += ["", "## Outputs", ""]
    for name, spec in card["outputs"].items():
        lines.append(f"- `{name}` ({', '.join(spec['dims'])}), unit {spec['units']}: {spec['long_name']}")
        if "classes" in spec:
            lines.append("  - classes: " + ", ".join(f"{k} {c}" for k, c in enumerate(spec["classes"])))
        if heights := spec.get("level_height_km"):
            lines.append(f"  - level centers: {heights[0]:g} to {heights[-1]:g} km, {len(heights)} levels")
    if model["monte_carlo_dropout"]:
        lines += ["", "Dropout stays on (Monte Carlo dropout): call it several times for a mean and a spread."]
    lines += ["", "## Normalization", "", *_statistics_table(card)]
    lines += ["", "## Scores", "", *_score_lines(card["scores"])]
    lines += ["", "## Use", "", "```python", card["example"], "```", "", "Everything else is in `card.json`.", ""]
    return "\n".join(lines)


def _statistics_table(card: Mapping[str, Any]) -> list[str]:
    if (fixed := card["fixed_scaling"]) is not None:
        rows = ["| variable | subtracted | divided by |", "|---|---|---|"]
        rows += [f"| {name} | {shift:.6g} | {scale:.6g} |" for name, (shift, scale) in fixed.items()]
        said = "Fixed numbers, not of the data; applied inside the SavedModel. Other variables stay as they are."
        return [*rows, "", said] if fixed else ["None: the network takes physical units."]
    rows = ["| variable | band | mean | standard deviation |", "|---|---|---|---|"]
    for name, values in card["statistics"].items():
        for band, (mean, std) in enumerate(zip(values.get("mean", ()), values.get("std", ()), strict=True)):
            rows.append(f"| {name} | {band + 1} | {mean:.6g} | {std:.6g} |")
    rows += ["", "Of the training split alone; applied inside the SavedModel."]
    return rows


def _score_lines(scores: Any) -> list[str]:
    """A table of all methods where the scores are those of `cloudkeras evaluate`, else the scores as they are."""
    if not scores:
        return [
            "None on record: `cloudkeras evaluate RUN --out RUN/scores` makes them, and the next export shows them."
        ]
    if not _is_report(scores):
        return ["```json", json.dumps(scores, indent=1, default=_plain_number), "```"]
    methods = scores["ranking"]
    names = list(scores["scores"][methods[0]])[:8]
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for method in methods:
        cells = (_score_cell(scores["scores"][method].get(name)) for name in names)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    kind = "simulated" if scores.get("simulated") else "observed"
    return [*lines, "", f"On {scores.get('samples')} {kind} samples, the same pixels for all methods."]


def _is_report(scores: Any) -> bool:
    return isinstance(scores, Mapping) and {"scores", "ranking"} <= set(scores)


def _score_cell(score: Any) -> str:
    if not isinstance(score, Mapping) or score.get("value") is None:
        return "-"
    text = f"{score['value']:.4g}"
    return text if score.get("low") is None else f"{text} [{score['low']:.4g}, {score['high']:.4g}]"
