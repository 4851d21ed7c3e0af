import numpy as np
import pytest

from cloudkeras.datasets.synthetic.random_fields import PIXEL_KM, cell_spectrum, gaussian_field, red_spectrum


@pytest.mark.parametrize("spectrum", [red_spectrum(60.0), cell_spectrum(25.0)])
@pytest.mark.parametrize("shape", [(48, 64), (65, 33)])
def test_variance_is_one_over_the_ensemble(spectrum, shape):
    fields = np.stack([gaussian_field(np.random.default_rng(i), shape, spectrum) for i in range(150)])
    assert fields.shape[1:] == shape
    assert fields.dtype == np.float32
    assert abs(fields.mean()) < 0.05
    assert fields.var() == pytest.approx(1.0, abs=0.08)


def test_neighbors_are_correlated_and_opposite_edges_are_not():
    fields = np.stack([gaussian_field(np.random.default_rng(i), (64, 64), red_spectrum(40.0)) for i in range(200)])
    assert np.mean(fields[:, :, :-1] * fields[:, :, 1:]) > 0.75
    assert abs(np.mean(fields[:, :, 0] * fields[:, :, -1])) < 0.15


def test_cells_repeat_at_their_wavelength():
    cell_km = 32.0
    fields = np.stack([gaussian_field(np.random.default_rng(i), (128, 128), cell_spectrum(cell_km)) for i in range(40)])
    power = (np.abs(np.fft.rfft(fields, axis=2)) ** 2).mean(axis=(0, 1))
    wavelength_km = 128 * PIXEL_KM / np.argmax(power[1:] * np.arange(1, len(power)))  # power in a logarithmic interval
    assert 20 < wavelength_km < 48


def test_streaks_are_longer_along_their_angle():
    fields = np.stack(
        [
            gaussian_field(np.random.default_rng(i), (64, 64), red_spectrum(40.0), stretch=5.0, angle=0.0)
            for i in range(60)
        ]
    )
    along = np.mean(fields[:, :, :-8] * fields[:, :, 8:])
    across = np.mean(fields[:, :-8] * fields[:, 8:])
    assert along > across + 0.2
