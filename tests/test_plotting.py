import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest
from matplotlib.image import imread

from cloudkeras.errors import DataError, InputError
from cloudkeras.inference import predict_scene
from cloudkeras.plotting import (
    CLASS_COLORS,
    class_colormap,
    plot_history,
    plot_phase_curtain,
    plot_phase_plan,
    plot_radar_curtain,
    plot_scene,
    plot_scores,
    save_figure,
)
from cloudkeras.plotting.phase import cell_edges, temperature_range, true_color
from cloudkeras.plotting.scene import most_varied_row, top_class
from cloudkeras.tasks.cloud_phase import NUM_LEVELS, PHASE_DENSE
from tests.inference.scenes import phase_run, radar_run, write_phase_scene, write_radar_scene

RNG = np.random.default_rng(0)


def texts(figure):
    """All words of a figure."""
    found = [figure.get_suptitle()]
    for axis in figure.axes:
        found += [axis.get_title(loc=where) for where in ("left", "center", "right")]
        found += [axis.get_xlabel(), axis.get_ylabel()] + [t.get_text() for t in axis.get_yticklabels()]
        found += [t.get_text() for t in axis.texts]
    found += [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return " | ".join(found)


def colors_of(figure, tmp_path):
    """Every color that covers at least a thousandth of the figure, as it is drawn."""
    pixels = imread(save_figure(figure, tmp_path / "figure.png"))[..., :3]
    codes = (pixels * 255).round().astype(int) @ [65536, 256, 1]
    found, counts = np.unique(codes, return_counts=True)
    return {(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in found[counts > codes.size / 1000]}


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, cloudkeras, cloudkeras.commands.predict; assert 'matplotlib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_phases_have_their_colors_and_missing_is_none_of_them():
    colormap, norm = class_colormap(("clear", "ice", "mixed", "liquid"))
    for k, color in enumerate(CLASS_COLORS.values()):
        assert tuple(round(255 * c) for c in colormap(norm(k))[:3]) == rgb(color)
    assert tuple(round(255 * c) for c in colormap(np.ma.masked)[:3]) not in {rgb(c) for c in CLASS_COLORS.values()}


def luminance(color):
    """Relative luminance of sRGB (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb(color)) / 255]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_phases_differ_in_lightness_too():
    values = sorted(luminance(c) for c in CLASS_COLORS.values())
    assert min(np.diff(values)) > 0.1


def test_a_phase_curtain_shows_every_class_as_it_is(tmp_path):
    truth = np.repeat(np.array([0, 1, 2, 3, -1]), 10)[None].repeat(NUM_LEVELS, axis=0)
    figure = plot_phase_curtain(
        {"truth": truth, "SGMAGNet": np.zeros_like(truth)},
        distance_km=2.0 * np.arange(50),
        cloud_probability=RNG.random(truth.shape),
        simulated=True,
    )
    words = texts(figure)
    for word in ("truth", "SGMAGNet", "height (km)", "(km)", "ice", "no data", "(simulated)", "probability"):
        assert word in words
    assert {rgb(c) for c in CLASS_COLORS.values()} <= colors_of(figure, tmp_path)
    assert figure.axes[0].get_ylim() == (0, 19)


def test_a_plan_view_shows_the_imager_next_to_the_phases(tmp_path):
    phase = RNG.integers(0, 4, (20, 30))
    options = {"reflectance": RNG.random((20, 30, 6)), "brightness_temperature": RNG.uniform(200, 300, (20, 30, 10))}
    figure = plot_phase_plan({"true": phase, "5 km": phase}, **options, extent_km=(40, 60), curtain_row=3)
    words = texts(figure)
    for word in ("true color", "10.4 um brightness temperature (K)", "5 km", "x (km)", "y (km)", "liquid"):
        assert word in words
    assert "(simulated)" not in words and "no data" not in words
    assert rgb(CLASS_COLORS["mixed"]) in colors_of(figure, tmp_path)
    night = plot_phase_plan({"true": phase}, reflectance=np.zeros((20, 30, 6)))
    assert "true color" not in texts(night)


def test_a_radar_curtain_has_its_line_its_unit_and_white_for_no_echo(tmp_path):
    values = RNG.uniform(-30, 10, (32, 40))
    values[:, 20:] = -60
    figure = plot_radar_curtain(
        {"truth": values}, height_km=0.1 * (np.arange(32) + 0.5), blind_zone_km=0.8, hours=12 + np.arange(40) / 60
    )
    words = texts(figure)
    for word in ("truth", "height (km)", "time (h UTC)", "dBZ", "blind zone"):
        assert word in words
    assert any(np.allclose(line.get_ydata(), 0.8) for line in figure.axes[0].lines)
    path = save_figure(figure, tmp_path / "figure.png")
    pixels = imread(path)[..., :3]
    axis = figure.axes[0].get_position()
    right = pixels[int((1 - axis.y1 + 0.05) * len(pixels)), int((axis.x0 + 0.75 * axis.width) * pixels.shape[1])]
    np.testing.assert_allclose(right, 1)


SCORES = {
    "SGMAGNet": {"macro F1": (0.7, 0.65, 0.75), "macro IoU": (0.5, 0.4, 0.6), "extra": 1.0},
    "all clear": {"macro F1": (0.24, float("nan"), float("nan")), "macro IoU": 0.2},
}


def test_scores_are_points_with_intervals():
    figure = plot_scores(SCORES)
    assert [axis.get_title() for axis in figure.axes] == ["macro F1", "macro IoU"]
    lines = figure.axes[0].lines
    intervals = [line.get_xdata() for line in lines if len(line.get_xdata()) == 2]
    points = [float(line.get_xdata()[0]) for line in lines if len(line.get_xdata()) == 1]
    assert points == [0.7, 0.24] and [list(i) for i in intervals] == [[0.65, 0.75]]
    assert "SGMAGNet" in texts(figure) and "all clear" in texts(figure)
    assert [a.get_title() for a in plot_scores(SCORES, metrics=["macro IoU"]).axes] == ["macro IoU"]
    with pytest.raises(InputError, match=r"Metrics that all methods have: macro F1, macro IoU.*extra"):
        plot_scores(SCORES, metrics=["extra"])


REPORT = {  # as `cloudkeras evaluate` writes it
    "task": "blind_zone",
    "simulated": True,
    "samples": 12,
    "ranking": ["UNet 3+", "repeat"],
    "baselines": ["repeat"],
    "scores": {
        "UNet 3+": {"mae": {"value": 4.0, "low": 3.0, "high": 5.0}, "dice": {"value": 0.9, "low": None, "high": None}},
        "repeat": {"mae": {"value": 17.8, "low": 16.0, "high": 19.0}, "dice": {"value": 0.8, "low": 0.7, "high": 0.9}},
    },
}


def test_a_report_of_an_evaluation_is_drawn_with_units_and_hollow_baselines(tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps(REPORT))
    for source in (REPORT, tmp_path, tmp_path / "scores.json", SimpleNamespace(to_dict=lambda: REPORT)):
        figure = plot_scores(source)
        assert [a.get_title() for a in figure.axes] == ["mae (dB), lower is better", "dice, higher is better"]
        assert "blind_zone: 12 samples" in texts(figure) and "(simulated)" in texts(figure)
        points = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
        assert [point.get_markerfacecolor() == "white" for point in points] == [False, True]
    for content, found in (("{", "expected scores as JSON"), ("[1]", "as `cloudkeras evaluate` writes them")):
        (tmp_path / "scores.json").write_text(content)
        with pytest.raises(DataError, match=found):
            plot_scores(tmp_path)


def write_history(path, rows=5):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "val_loss", "learning_rate", "seconds"])
        for epoch in range(rows):
            writer.writerow([epoch + 1, 1 / (epoch + 1), "" if epoch == 2 else 2 / (epoch + 1), 1e-3, 3.0])
    return path


def test_a_history_shows_training_and_validation_together(tmp_path):
    write_history(tmp_path / "history.csv")
    figure = plot_history(tmp_path, simulated=True)
    assert [axis.get_title() for axis in figure.axes] == ["loss", "learning rate"]
    training, validation = figure.axes[0].lines
    np.testing.assert_allclose(training.get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    np.testing.assert_allclose(validation.get_ydata(), [2, 1, np.nan, 0.5, 0.4])
    assert tmp_path.name in texts(figure) and "(simulated)" in texts(figure)
    assert [axis.get_title() for axis in plot_history(tmp_path, names=["learning_rate"]).axes] == ["learning rate"]
    with pytest.raises(InputError, match="`names` are of loss, learning_rate"):
        plot_history(tmp_path, names=["accuracy"])
    with pytest.raises(DataError, match="expected a column 'epoch' and at least one row; found 0 rows"):
        plot_history(write_history(tmp_path / "empty.csv", rows=0))


def add_truth(dataset):
    dataset.createDimension("level", NUM_LEVELS)
    truth = dataset.createVariable("phase_dense", "i1", PHASE_DENSE.dims[1:], fill_value=-1)
    truth[:] = RNG.integers(0, 4, truth.shape)
    truth[:, :3] = -1


def test_a_predicted_scene_is_drawn_next_to_what_it_came_from(tmp_path):
    scene = write_phase_scene(tmp_path / "scene.nc", 40, 50, change=add_truth)
    out = predict_scene(phase_run(), scene, tmp_path / "out.nc")
    words = texts(plot_scene(out, scene=scene))
    for word in ("true color", "true cloud-top phase", "predicted cloud-top height (km)", "(simulated)", "no data"):
        assert word in words
    alone = texts(plot_scene(out))
    assert "true" not in alone and "predicted phase along the dashed line" in alone


def test_a_predicted_curtain_is_drawn_with_the_truth_where_there_is_one(tmp_path):
    scene = write_radar_scene(tmp_path / "scene.nc", 24, 50)
    out = predict_scene(radar_run(), scene, tmp_path / "out.nc")
    figure = plot_scene(out, scene=scene)
    words = texts(figure)
    assert "truth" in words and "blind zone filled" in words and "what the radar sees" in words
    top = [line.get_ydata()[0] for line in figure.axes[0].lines if len(set(line.get_ydata())) == 1]
    assert top == pytest.approx([6 * 0.0781], rel=1e-3)  # six rows of 78.1 m
    assert "truth" not in texts(plot_scene(out))


def test_a_file_that_is_no_predicted_scene_is_named(tmp_path):
    with netCDF4.Dataset(tmp_path / "other.nc", "w") as dataset:
        dataset.createDimension("n", 2)
        dataset.createVariable("temperature", "f4", ("n",))
    with pytest.raises(DataError, match=r"expected a scene written by `cloudkeras predict`; found temperature"):
        plot_scene(tmp_path / "other.nc")


def test_a_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    figure = plot_scores(SCORES)
    with pytest.raises(InputError, match=r"ends in \.png, \.pdf, \.svg"):
        save_figure(figure, tmp_path / "figure.jpeg")

    def fail(path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())


def test_small_formulas():
    np.testing.assert_allclose(cell_edges(np.array([1.0, 2.0, 4.0])), [0.5, 1.5, 3.0, 5.0])
    np.testing.assert_allclose(cell_edges(np.array([3.0])), [2.5, 3.5])
    assert temperature_range(np.full((3, 3), 290.0)) == (260.0, 290.0)
    assert temperature_range(np.full((3, 3), np.nan)) == (200.0, 300.0)
    image = true_color(np.stack([np.full((2, 2), v) for v in (0.1, 0.2, 0.3, 0.4, 0.5, np.nan)], axis=-1))
    assert (np.diff(image[0, 0]) < 0).all()  # red 0.64 um is the brightest here, blue 0.47 um the darkest
    # Columns: ice over liquid; clear; no label at all; clear above an unlabelled level.
    classes = np.array([[3, 0, -1, -1], [1, 0, -1, 0], [0, 0, np.nan, 0]], float)
    np.testing.assert_array_equal(top_class(classes), [1, 0, -1, 0])
    assert most_varied_row(np.array([[1, 1, 1, 1], [0, 1, 2, 3], [1, 1, 2, 2]]), 4) == 1
    assert most_varied_row(np.ones((9, 4)), 4) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_phase_curtain({}), "at least one panel"),
        (lambda: plot_phase_curtain({"a": np.zeros((3, 4)), "b": np.zeros((3, 5))}), "All curtains have one shape"),
        (lambda: plot_phase_plan({}), "at least one panel"),
        (lambda: plot_radar_curtain({"a": np.zeros((3, 4))}, height_km=[1, 2], blind_zone_km=1), "one value a row"),
        (lambda: plot_scores({}), "at least one method"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
