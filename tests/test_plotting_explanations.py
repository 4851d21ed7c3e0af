import numpy as np
import pytest
from matplotlib.colors import LinearSegmentedColormap

from cloudkeras.errors import InputError
from cloudkeras.evaluation import Interval
from cloudkeras.explain.importance import Importance
from cloudkeras.plotting import (
    plot_channel_maps,
    plot_feature_maps,
    plot_grad_cam,
    plot_importance,
    plot_shapley,
    save_figure,
)

RNG = np.random.default_rng(0)


def panels(figure):
    """Axes that are not color bars."""
    return [axis for axis in figure.axes if axis.get_title() or axis.get_ylabel() == "height (km)"]


@pytest.mark.parametrize("channels,across", [(2, 2), (6, 3), (16, 4)])
def test_a_panel_a_channel_with_its_share_and_outer_labels_only(channels, across):
    maps = np.zeros((8, 10, channels))
    maps[..., 0], maps[..., 1] = 3, 1
    names = [f"brightness_temperature_{k}" for k in range(channels)]
    figure = plot_channel_maps(maps, names, row_label="height (km)", column_label="time (h UTC)", simulated=True)
    titles = [axis.get_title() for axis in panels(figure)]
    assert titles[:2] == ["BT 0\n75.0 %", "BT 1\n25.0 %"] and len(titles) == channels
    assert sum(axis.get_ylabel() == "height (km)" for axis in figure.axes) == -(-channels // across)
    assert sum(axis.get_xlabel() == "time (h UTC)" for axis in figure.axes) == across
    assert figure.get_suptitle() == "Saliency (simulated)"


def test_signs_choose_the_colors_and_the_scale_is_shared():
    maps = RNG.normal(size=(6, 7, 3))
    figure = plot_channel_maps(maps, "abc")
    limits = {axis.collections[0].get_clim() for axis in panels(figure)}
    high = np.percentile(np.abs(maps), 99.5)
    assert limits == {(-high, high)}
    assert isinstance(panels(figure)[0].collections[0].cmap, LinearSegmentedColormap)
    assert panels(plot_channel_maps(np.abs(maps), "abc"))[0].collections[0].get_clim()[0] == 0


def test_the_region_is_outlined_between_inside_and_outside():
    region = np.zeros((6, 7))
    region[:2, 3:] = 1
    axis = panels(plot_channel_maps(np.ones((6, 7, 1)), ["a"], region=region, rows=np.arange(6) + 0.5))[0]
    segments = np.concatenate([collection.get_segments() for collection in axis.collections[1:]])
    assert len(segments) == 4 + 2
    assert set(map(tuple, segments[:4, 0])) == {(x, 2.0) for x in (2.5, 3.5, 4.5, 5.5)}
    assert (segments[4:, :, 0] == 2.5).all()


def test_images_hang_from_the_top_and_coordinates_that_fall_lie_right_by_themselves():
    top = panels(plot_channel_maps(np.ones((6, 7, 1)), ["a"], downward=True))[0]
    assert top.yaxis_inverted()
    north = panels(plot_channel_maps(np.ones((6, 7, 1)), ["a"], downward=True, rows=np.arange(6)[::-1]))[0]
    assert not north.yaxis_inverted()


def test_grad_cam_of_image_and_volume(tmp_path):
    image = RNG.normal(size=(8, 9))
    assert len(panels(plot_grad_cam(RNG.random((8, 9)), image, image_label="input"))) == 2
    cam = RNG.random((5, 8, 9))
    figure = plot_grad_cam(cam, image, image_label="input", region=image > 0)
    plan, curtain = (axis.collections[0].get_array() for axis in panels(figure)[1:])
    np.testing.assert_allclose(plan, cam.mean(axis=0))
    np.testing.assert_allclose(curtain, cam.mean(axis=1))
    assert save_figure(figure, tmp_path / "cam.png").stat().st_size > 0
    with pytest.raises(InputError, match="`cam` and `image` have the same rows and columns"):
        plot_grad_cam(cam, image[1:], image_label="input")


def test_feature_maps_show_those_that_vary_most():
    maps = np.zeros((6, 6, 5))
    maps[..., 3], maps[..., 1] = RNG.normal(size=(6, 6)), 0.1 * RNG.normal(size=(6, 6))
    titles = [axis.get_title() for axis in panels(plot_feature_maps(maps, limit=2))]
    assert [title.split("\n")[0] for title in titles] == ["feature 1", "feature 3"]
    volume = panels(plot_feature_maps(np.stack([maps, 3 * maps])))
    np.testing.assert_allclose(volume[3].collections[0].get_array(), 2 * maps[..., 3])
    with pytest.raises(InputError, match="`limit` is at least 1"):
        plot_feature_maps(maps, limit=0)


def importance(**changes):
    values = {"t": Interval(0.5, 0.2, 0.9), "q": Interval(1.5, np.nan, np.nan)}
    scores = {"none": Interval(7, 6, 8), "t": Interval(6.5, 6, 7), "q": Interval(5.5, 5, 6), "t+q": Interval(5, 4, 6)}
    fields = {"method": "shapley", "score": "mae", "units": "dB", "higher_is_better": False, "simulated": True}
    return Importance(
        **{**fields, "values": values, "scores": scores, "by_seed": {"t": [0.4, 0.6], "q": [1.5]}, **changes}
    )


def test_importance_is_sorted_and_says_its_unit():
    figure = plot_importance(importance(method="permutation"))
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["q", "t"]
    assert [bar.get_width() for bar in axis.patches] == [1.5, 0.5]
    assert axis.get_xlabel() == "decrease of mae (dB) thanks to the channel"
    assert figure.get_suptitle() == "Channel importance by permutation (simulated)"


def test_shapley_shows_each_subset():
    left, right = plot_shapley(importance().to_dict()).axes
    assert [label.get_text() for label in right.get_yticklabels()] == ["none", "t", "q", "t+q"]
    assert right.get_xlabel() == "mae (dB), lower is better" and len(left.patches) == 2
