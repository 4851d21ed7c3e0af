"""`cloudkeras explain` for maps: saliency, integrated gradients, Grad-CAM and feature maps of samples."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check
from ..plotting.explanations import plot_channel_maps, plot_feature_maps, plot_grad_cam

if TYPE_CHECKING:
    from ..explain.objectives import Objective
    from ..explain.samples import Axis, Sample, SampleReader


@dataclasses.dataclass
class _Case:
    """What is explained, and the report that grows with the results."""

    arguments: argparse.Namespace
    run: Any
    reader: SampleReader
    samples: list[Sample]
    x: np.ndarray
    report: dict[str, Any]
    objective: Any = None
    regions: list[Any] = dataclasses.field(default_factory=list)

    @property
    def channels(self) -> tuple[str, ...]:
        return self.run.task.channel_names()

    @property
    def dims(self) -> tuple[str, str]:
        return self.run.task.row_dim, self.run.task.column_dim

    def figure_options(self, sample: Sample) -> dict[str, Any]:
        """What all figures of a sample's maps share."""
        return {
            "rows": sample.rows.values,
            "columns": sample.columns.values,
            "row_label": sample.rows.label,
            "column_label": sample.columns.label,
            "downward": self.run.task.row_dim != "height",
            "simulated": self.report["simulated"],
        }


@dataclasses.dataclass
class _Made:
    """Variables of the file, what draws sample `i`, and axes that are not those of the input."""

    variables: dict[str, Any]
    figure: Callable[[int], Any]
    axes: dict[str, Axis] = dataclasses.field(default_factory=dict)


def explain_samples(arguments: argparse.Namespace) -> None:
    """Writes maps as NetCDF, numbers as JSON, and a figure of each sample."""
    from ..datasets import ShardDataset
    from ..explain.samples import SampleReader
    from ..training import load_run

    run, dataset = load_run(arguments.run), ShardDataset.open(arguments.data)
    reader = SampleReader(run.task, run.statistics, dataset, arguments.split)
    samples = [reader.read(number) for number in arguments.sample]
    report: dict[str, Any] = {
        "method": arguments.method,
        "run": str(run.path),
        "data": str(dataset.path),
        "split": arguments.split,
        "samples": list(arguments.sample),
        "simulated": dataset.simulated,
        "task": run.task.name,
        "task_options": run.task.options(),
    }
    case = _Case(arguments, run, reader, samples, np.concatenate([sample.x for sample in samples]), report)
    if arguments.method != "feature-maps":
        _set_objective(case)
    makers = {
        "saliency": _saliency,
        "integrated-gradients": _integrated_gradients,
        "grad-cam": _grad_cam,
        "feature-maps": _feature_maps,
    }
    _save(case, makers[arguments.method](case))


def _set_objective(case: _Case) -> None:
    """The objective, with its own region for each sample, and the regions as images for the figures."""
    from ..explain import make_objective
    from ..explain.models import output_shape

    arguments = case.arguments
    shape = output_shape(case.run.model, case.x)
    rows, columns = arguments.rows or slice(None), arguments.columns or slice(None)
    only: np.ndarray = np.zeros((case.x.shape[1], case.x.shape[2]), np.float32)
    only[rows, columns] = 1
    check(
        bool(only.any()),
        f"`--rows` and `--columns` choose some of {only.shape[0]} rows and {only.shape[1]} columns.",
        rows=_text(arguments.rows),
        columns=_text(arguments.columns),
    )
    found = [case.reader.region(sample, arguments.region) for sample in case.samples]
    regions = [only[None] if region is None else region * only for region in found]
    name = {"judged": "where it is judged", "all": ""}.get(arguments.region, arguments.region)
    parts = [f"{dim} {_text(getattr(arguments, dim))}" for dim in ("rows", "columns") if getattr(arguments, dim)]
    objective: Objective = make_objective(
        shape,
        task=case.run.task,
        region=np.concatenate(regions),
        level=arguments.level,
        channel=arguments.channel,
        space=arguments.space,
        region_name=", ".join(part for part in (name, *parts) if part),
    )
    case.objective = objective
    case.regions = [w.reshape(-1, *only.shape, w.shape[-1]).sum(axis=(0, 3)) for w in objective.weights]
    case.report |= {"objective": objective.name, "space": objective.space, "objective_unit": objective.unit}


def _text(chosen: slice | None) -> str | None:
    if chosen is None:
        return None
    return f"{chosen.start}:{'' if chosen.stop is None else chosen.stop}"


def _report_channels(case: _Case, maps: np.ndarray) -> None:
    """Each channel's share of the absolute values: by sample, and by row as the mean over samples."""
    sizes = np.abs(maps).astype(np.float64)
    total = np.maximum(sizes.sum(axis=(1, 2, 3)), np.finfo(np.float64).tiny)
    shares = sizes.sum(axis=(1, 2)) / total[:, None]
    rows = (sizes.sum(axis=2) / total[:, None, None]).mean(axis=0)
    case.report["channels"] = {
        name: {"share": shares[:, k].tolist(), "share_by_row": rows[:, k].tolist()}
        for k, name in enumerate(case.channels)
    }


def _channel_figure(case: _Case, maps: np.ndarray, what: str, label: str) -> Callable[[int], Any]:
    def figure(i: int) -> Any:
        sample = case.samples[i]
        return plot_channel_maps(
            maps[i],
            case.channels,
            title=f"{what} of the {case.objective.name}\n{sample.title}",
            label=label,
            region=case.regions[i],
            **case.figure_options(sample),
        )

    return figure


def _saliency(case: _Case) -> _Made:
    from ..explain import input_gradient
    from ..explain.maps import MapVariable

    objective = case.objective
    values, gradient = input_gradient(case.run.model, case.x, objective, batch_size=case.arguments.batch_size)
    case.report["values"] = [float(v) for v in values]
    _report_channels(case, gradient)
    text = f"gradient of the {objective.name} by the network input"
    dims = ("sample", *case.dims, "channel")
    variables = {
        "gradient": MapVariable(dims, gradient, {"long_name": text, "units": objective.unit}),
        "saliency": MapVariable(dims, np.abs(gradient), {"long_name": f"absolute {text}", "units": objective.unit}),
    }
    unit = "" if objective.unit == "1" else f"{objective.unit} "
    label = f"|gradient| ({unit}per unit of normalised input)"
    return _Made(variables, _channel_figure(case, np.abs(gradient), "Saliency", label))


def _integrated_gradients(case: _Case) -> _Made:
    from ..explain import baseline_input, integrated_gradients
    from ..explain.maps import MapVariable

    arguments, objective, task = case.arguments, case.objective, case.run.task
    mean = case.reader.mean_input() if arguments.baseline == "mean" else None
    baseline = baseline_input(task, case.x, arguments.baseline, mean=mean)
    found = integrated_gradients(
        case.run.model, case.x, objective, baseline, steps=arguments.steps, batch_size=arguments.batch_size
    )
    gap = found.completeness_gap
    case.report |= {
        "baseline": arguments.baseline or "default of the task",
        "steps": arguments.steps,
        "values": found.value.tolist(),
        "baseline_values": found.baseline_value.tolist(),
        "completeness_gap": gap.tolist(),
    }
    _report_channels(case, found.attributions)
    for k, name in enumerate(case.channels):
        sums = found.attributions[..., k].sum(axis=(1, 2), dtype=np.float64)
        case.report["channels"][name]["sum"] = sums.tolist()
    difference = np.maximum(np.abs(found.value - found.baseline_value), 1e-6)
    missed = 100 * float(np.max(np.abs(gap) / difference))
    print(f"complete to {missed:.2g} %: attributions sum to f(input) - f(baseline) up to that")
    if missed > 5:
        print(f"         more than 5 %: take more than {arguments.steps} --steps")
    unit = "" if objective.unit == "1" else f" ({objective.unit})"
    figure = _channel_figure(case, found.attributions, "Integrated gradients", f"contribution{unit}")
    attributes = {"long_name": f"contribution to the {objective.name}", "units": objective.unit}
    return _Made(
        {"attribution": MapVariable(("sample", *case.dims, "channel"), found.attributions, attributes)}, figure
    )


def _grad_cam(case: _Case) -> _Made:
    from ..explain import grad_cam
    from ..explain.maps import MapVariable

    layer, objective = case.arguments.layer, case.objective
    weights, size = case.arguments.weights, case.arguments.batch_size
    cam = grad_cam(case.run.model, case.x, objective, layer, weights=weights, batch_size=size)
    what = f"{'Grad-CAM' if weights == 'mean' else 'HiResCAM'} at {layer}"
    case.report |= {
        "layer": layer,
        "weights": weights,
        "largest": cam.reshape(len(cam), -1).max(axis=1).astype(float).tolist(),
    }
    shown = _shown_channel(case.channels)

    def figure(i: int) -> Any:
        sample = case.samples[i]
        return plot_grad_cam(
            cam[i],
            case.x[i, ..., shown],
            label=what.split()[0],
            image_label=f"input: {case.channels[shown]}",
            region=case.regions[i],
            title=f"{what}\nof the {objective.name}\n{sample.title}",
            **case.figure_options(sample),
        )

    levels = ("layer_level",) if cam.ndim == 4 else ()
    attributes = {"long_name": f"{what} of the {objective.name}", "units": objective.unit}
    return _Made({"grad_cam": MapVariable(("sample", *levels, *case.dims), cam, attributes)}, figure)


def _shown_channel(channels: Sequence[str]) -> int:
    """The channel drawn beside a Grad-CAM: the infrared window of an imager, else the first."""
    return next((i for i, name in enumerate(channels) if name.endswith("10.41um")), 0)


def _feature_maps(case: _Case) -> _Made:
    from ..explain import feature_maps
    from ..explain.maps import MapVariable

    layer = case.arguments.layer
    maps = feature_maps(case.run.model, case.x, layer, batch_size=case.arguments.batch_size)
    axes = tuple(range(1, maps.ndim - 1))
    case.report |= {"layer": layer, "shape": list(maps.shape[1:])}
    case.report |= {"mean": maps.mean(axis=axes).tolist(), "std": maps.std(axis=axes).tolist()}
    rows, columns = maps.shape[-3:-1]

    def figure(i: int) -> Any:
        sample = case.samples[i]
        options = case.figure_options(sample)
        options |= {
            "rows": layer_axis(sample.rows, rows).values,
            "columns": layer_axis(sample.columns, columns).values,
        }
        title = f"Feature maps of {layer}\n{sample.title}"
        return plot_feature_maps(maps[i], limit=case.arguments.limit, title=title, **options)

    levels = ("layer_level",) if maps.ndim == 5 else ()
    dims = ("sample", *levels, *(f"layer_{dim}" for dim in case.dims), "feature")
    text = {"long_name": f"output of the layer {layer}", "units": "1"}
    first = case.samples[0]
    coarse = [layer_axis(first.rows, rows), layer_axis(first.columns, columns)]
    return _Made({"feature_map": MapVariable(dims, maps, text)}, figure, {axis.name: axis for axis in coarse})


def layer_axis(axis: Axis, size: int) -> Axis:
    """The axis of a layer with fewer, or more, cells over the same extent."""
    count = len(axis.values)
    places = (np.arange(size) + 0.5) / size * count - 0.5
    step = float(np.diff(axis.values).mean()) if count > 1 else 1.0
    beyond = np.minimum(places, 0) + np.maximum(places - (count - 1), 0)
    values = np.interp(places, np.arange(count), axis.values) + beyond * step
    return dataclasses.replace(axis, name=f"layer_{axis.name}", values=values)


def _save(case: _Case, made: _Made) -> None:
    from ..datasets.shards import new_file
    from ..explain.maps import MapVariable, write_maps
    from ..plotting import save_figure

    out, method = case.arguments.out, case.arguments.method
    seen = MapVariable(
        ("sample", *case.dims, "channel"), case.x, {"long_name": "normalised network input", "units": "1"}
    )
    attributes = {
        "title": f"{method} of {case.run.name}",
        "objective": case.report.get("objective", "none"),
        "source": f"run {case.run.path}, {case.arguments.split} split of {case.arguments.data}",
        "cloudkeras_task": case.run.task.name,
        "simulated": "true" if case.report["simulated"] else "false",
    }
    path = write_maps(
        out / f"{method}.nc",
        case.samples,
        {**made.variables, "network_input": seen},
        labels={"channel": case.channels},
        axes=made.axes,
        attributes=attributes,
    )
    print(f"maps     {path}")
    path = out / f"{method}.json"
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(case.report, indent=1) + "\n", encoding="utf-8")
    print(f"numbers  {path}")
    for i, sample in enumerate(case.samples):
        path = out / f"{method}-{case.arguments.split}-{sample.number}.png"
        print(f"figure   {save_figure(made.figure(i), path)}")
