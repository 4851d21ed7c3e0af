"""Figures of meltwater."""

import datetime

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.plotting import plot_melt_day, plot_melt_extent


def test_a_day_has_a_panel_for_each_image_and_says_that_it_is_simulated():
    land = np.ones((12, 20), bool)
    land[:, 15:] = False
    melt = np.linspace(0, 1, 240).reshape(12, 20)
    melt[:3] = np.nan
    panels = {"melt_fraction": melt, "brightness_temperature": 200 + melt, "surface_altitude": 1e3 * melt, "unet": melt}
    figure = plot_melt_day(panels, land=land, titles={"unet": "UNet"}, title="A day", simulated=True)
    maps = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title(loc="left") for axis in maps] == [
        "melt fraction",
        "brightness temperature",
        "surface altitude",
        "UNet",
    ]
    assert figure.get_suptitle() == "A day (simulated)"
    drawn = maps[0].images[0].get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(drawn))[:3].all() and np.isnan(np.ma.filled(drawn, np.nan)[5, 17])
    assert maps[0].images[0].get_extent() == [0.0, 2.0, pytest.approx(1.2), 0.0]


def test_extent_has_a_panel_a_year():
    days = [datetime.date(2019, 7, 1), datetime.date(2019, 7, 9), datetime.date(2020, 7, 1)]
    figure = plot_melt_extent({"SAR": (days, [1.0, np.nan, 3.0]), "unet": (days[:2], [1.5, 2.0])}, simulated=True)
    assert len(figure.axes) == 2
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1.0, np.nan])
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [3.0])


def test_arguments_are_checked():
    with pytest.raises(InputError, match="at least one image"):
        plot_melt_day({})
    with pytest.raises(InputError, match="one shape"):
        plot_melt_day({"sar_mean": np.zeros((3, 4)), "melt_fraction": np.zeros((4, 4))})
    with pytest.raises(InputError, match="Every day has a value"):
        plot_melt_extent({"SAR": ([datetime.date(2019, 7, 1)], [])})
