from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.inference import inpaint
from cloudkeras.plotting import plot_filled
from cloudkeras.plotting.filled import stretches
from tests.inference.inpainting import TOP_M, Run, kazr_file, lowest_visible, smooth_echo
from tests.inference.scenes import write_radar_scene
from tests.test_plotting import texts


def titles(figure):
    return [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]


def test_before_filled_and_spread(tmp_path):
    path = kazr_file(tmp_path / "in.nc", 30.0 * np.concatenate([np.arange(40), np.arange(60, 100)]))
    figure = plot_filled(inpaint(path, Run(lowest_visible, noise=0.2), tmp_path / "out.nc", members=5))
    assert titles(figure) == [
        "as observed (grey: missing)",
        "filled below 469 m (grey: missing)",
        "spread of the members",
    ]
    assert "hours since 2019-05-29 00:00 UTC" in texts(figure) and "dBZ" in texts(figure)
    for axis in figure.axes[:3]:
        assert TOP_M / 1000 in [line.get_ydata()[0] for line in axis.lines]
        assert axis.get_xlim() == pytest.approx((-15 / 3600, (99 * 30 + 15) / 3600), abs=1e-6)
    # Each of the two stretches is missing values and echo in the curtains, one mesh in the spread.
    assert [len([c for c in axis.collections]) for axis in figure.axes[:3]] == [4, 4, 2]
    shown = np.ma.filled(figure.axes[2].collections[0].get_array(), np.nan)
    assert np.isfinite(shown).any(axis=1).sum() == 16  # gates of 30 m below 469 m


def test_what_was_measured_stays_and_what_was_not_is_grey(tmp_path):
    dbz = smooth_echo(100, 60)
    dbz[:, 3] = 19.0  # in the blind zone
    path = kazr_file(tmp_path / "in.nc", dbz=dbz)
    figure = plot_filled(inpaint(path, Run(lowest_visible), tmp_path / "out.nc"))
    assert len(titles(figure)) == 2  # no spread
    before, after = (np.ma.filled(axis.collections[1].get_array(), np.nan) for axis in figure.axes[:2])
    np.testing.assert_allclose(before, dbz.T, atol=1e-4)
    np.testing.assert_allclose(after[16:], dbz.T[16:], atol=1e-4)
    assert (after[3] < 19).all()


def test_a_scene_shows_what_the_network_sees(tmp_path):
    path = write_radar_scene(tmp_path / "in.nc", 24, 60, change=lambda file: file.setncattr("simulated", "true"))
    figure = plot_filled(inpaint(path, Run(lowest_visible), tmp_path / "out.nc"))
    assert titles(figure)[0].startswith("what the network sees") and "(simulated)" in texts(figure)
    before = np.ma.filled(figure.axes[0].collections[1].get_array(), np.nan)
    assert np.isnan(before[:6]).all() and np.isfinite(before[6:]).any()


def test_stretches_end_at_gaps():
    hours = np.array([0.0, 1, 2, 3, 9, 10, 20])
    assert stretches(hours) == [slice(0, 4), slice(4, 6)]
