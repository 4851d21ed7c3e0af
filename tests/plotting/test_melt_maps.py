import datetime

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from cloudkeras.errors import InputError
from cloudkeras.inference.maps_extent import ExtentDay
from cloudkeras.plotting import melt_maps
from cloudkeras.plotting.melt_maps import SeasonFrames, plot_season_extent, save_season_animation, season_frames
from cloudkeras.plotting.style import MISSING_COLOR, continuous_colormap

DAYS = [datetime.date(2019, 6, n) for n in (1, 2, 3)]
NAN = float("nan")


@pytest.fixture(scope="module")
def drawer():
    land = np.ones((24, 20), bool)
    land[:, 15:] = False
    return SeasonFrames(land, method="unet", pixel_km=0.1, simulated=True)


def frames():
    maps = {day: np.full((24, 20), level, np.float32) for day, level in zip(DAYS, (0.0, 0.5, 1.0), strict=True)}
    return season_frames(DAYS, maps.__getitem__, lambda day: maps[day] if day != DAYS[1] else None)


def color_at(image, figure_axes, x, y):
    """Color of a GIF's pixel at the data coordinates of an axes."""
    to_pixels = figure_axes.transData.transform((x, y))
    return np.asarray(image.convert("RGB"))[round(image.size[1] - to_pixels[1]), round(to_pixels[0])] / 255


def test_an_animation_has_a_frame_a_day_with_its_label_and_colors(tmp_path, drawer):
    path = save_season_animation(tmp_path / "new" / "season.gif", drawer, frames(), frames_per_second=5)
    colors = continuous_colormap(melt_maps.MAP_COLORS)
    with Image.open(path) as image:
        assert image.n_frames == 3 and image.info["duration"] == 200 and image.info["loop"] == 0
        assert np.asarray(image.convert("RGB"))[0, 0].tolist() == [255, 255, 255]
        for number, level in enumerate((0.0, 0.5, 1.0)):
            image.seek(number)
            np.testing.assert_allclose(color_at(image, drawer.axes[1], 0.5, 1.0), colors(level)[:3], atol=0.03)
            left = to_rgb(MISSING_COLOR) if number == 1 else colors(level)[:3]
            np.testing.assert_allclose(color_at(image, drawer.axes[0], 0.5, 0.5), left, atol=0.03)
            np.testing.assert_allclose(
                color_at(image, drawer.axes[1], 1.8, 1.0), to_rgb(melt_maps.OCEAN_COLOR), atol=0.03
            )
    assert drawer.heading.get_text() == "Meltwater (simulated), 3 June 2019"
    assert [p.name for p in path.parent.iterdir()] == ["season.gif"]


def test_an_animation_that_fails_leaves_nothing(tmp_path, drawer):
    def broken():
        yield next(frames())
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        save_season_animation(tmp_path / "season.gif", drawer, broken())
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="at least one frame"):
        save_season_animation(tmp_path / "season.gif", drawer, iter(()))


def test_kinds_of_animations(tmp_path, drawer, monkeypatch):
    monkeypatch.setattr(melt_maps.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="needs the program ffmpeg"):
        save_season_animation(tmp_path / "season.mp4", drawer, frames())
    with pytest.raises(InputError, match="a gif or an mp4"):
        save_season_animation(tmp_path / "season.avi", drawer, frames())


def test_extent_shows_the_map_as_a_line_and_sar_where_it_saw():
    rows = [
        ExtentDay(datetime.date(2019, 6, 1), 10, 4.0, 5, 2.0, 3.0, True),
        ExtentDay(datetime.date(2019, 6, 2), 10, 5.0, 0, NAN, NAN, False),
        ExtentDay(datetime.date(2019, 6, 9), 10, 6.0, 5, 2.5, 1.0, False),
        ExtentDay(datetime.date(2020, 6, 1), 10, 7.0, 0, NAN, NAN, False),
    ]
    figure = plot_season_extent(rows, method="unet", simulated=True)
    first, second = figure.axes
    line, *points = first.lines
    np.testing.assert_array_equal(line.get_ydata(), [4, 5, NAN, 6])  # no line over the days without a map
    assert [list(p.get_ydata()) for p in points] == [[3], [2], [1], [2.5]]
    assert [p.get_markerfacecolor() for p in points[:2]] == ["none", "none"]
    assert list(second.lines[0].get_ydata()) == [7] and "2020" in second.get_ylabel()
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"whole map", "SAR, training days", "map where SAR saw, other days"} <= labels
    assert figure.get_suptitle() == "Melt extent, unet (simulated)"
    with pytest.raises(InputError, match="at least one day"):
        plot_season_extent([], method="unet")
