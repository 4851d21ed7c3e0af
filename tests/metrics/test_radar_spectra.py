from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from cloudkeras.metrics.radar_spectra import (
    POWER_FLOOR,
    mean_power,
    spectrum_scores,
    temporal_frequencies,
    temporal_power,
    vertical_frequencies,
    vertical_power,
)

from .radar_curtains import blind_zones


def test_temporal_power_is_that_of_welch():
    true, _, labelled = blind_zones(shape=(2, 5, 160))
    power, segments = temporal_power(true, labelled)
    frequencies, expected = signal.welch(true, window="hann", nperseg=64, noverlap=32, detrend="constant", axis=-1)
    np.testing.assert_allclose(mean_power(power, segments), expected.mean(axis=1)[:, 1:], rtol=1e-9)
    np.testing.assert_allclose(temporal_frequencies(power.shape[-1]), frequencies[1:])
    np.testing.assert_array_equal(segments, 5 * 4)


def test_vertical_power_is_that_of_a_periodogram_of_each_profile():
    true, _, labelled = blind_zones(shape=(2, 16, 30))
    power, profiles = vertical_power(true, labelled)
    frequencies, expected = signal.periodogram(true, window="hann", detrend="constant", axis=1)
    np.testing.assert_allclose(mean_power(power, profiles), expected.mean(axis=2)[:, 1:], rtol=1e-9)
    np.testing.assert_allclose(vertical_frequencies(16), frequencies[1:])
    np.testing.assert_array_equal(profiles, 30)


def test_a_wave_has_its_power_at_its_frequency():
    # 4 dB amplitude, 8 profiles a period: variance 8 dB^2, all of it around 1 / 8 cycles per profile.
    wave = np.broadcast_to(4 * np.sin(2 * np.pi * np.arange(128) / 8), (1, 3, 128))
    power, segments = temporal_power(wave, np.ones(wave.shape, bool))
    spectrum = mean_power(power, segments)[0]
    frequencies = temporal_frequencies(len(spectrum))
    assert frequencies[spectrum.argmax()] == pytest.approx(1 / 8)
    assert (spectrum * np.diff(frequencies)[0]).sum() == pytest.approx(8, rel=0.01)


def test_a_gap_costs_what_it_lies_in_and_nothing_else():
    true, _, labelled = blind_zones(shape=(1, 6, 128))
    labelled[0, 2, 10] = False  # in the first of the segments 0-63, 32-95, 64-127 of row 2; in profile 10
    other = true.copy()
    other[0, 2, 10] = 1000.0
    for function, count in ((temporal_power, 6 * 3 - 1), (vertical_power, 127)):
        first, again = function(true, labelled), function(other, labelled)
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1][0] == count


def test_hand_worked_score():
    # Predicted to true power 10, 1 and 0.1: |log10| has the mean 2 / 3, log10 the mean 0.
    scores = spectrum_scores("vertical", np.array([2.0, 4, 20]), np.array([20.0, 4, 2]), np.array(2))
    assert float(scores["psd_vertical"]) == pytest.approx(2 / 3)
    assert float(scores["psd_vertical_bias"]) == pytest.approx(0)
    smooth = spectrum_scores("temporal", np.array([3.0, 3]), np.array([0.3, 0.03]), np.array(3))
    assert float(smooth["psd_temporal_bias"]) == pytest.approx(-1.5) == -float(smooth["psd_temporal"])


def test_no_variation_is_a_bad_score_and_no_data_is_none():
    true, _, labelled = blind_zones()
    power, profiles = (values.sum(axis=0) for values in vertical_power(true, labelled))
    flat = vertical_power(np.full_like(true, -60.0), labelled)[0].sum(axis=0)
    expected = np.log10(power / profiles / POWER_FLOOR).mean()
    assert float(spectrum_scores("vertical", power, flat, profiles)["psd_vertical"]) == pytest.approx(expected)
    assert float(spectrum_scores("vertical", flat, flat, profiles)["psd_vertical"]) == 0
    nothing = vertical_power(true, np.zeros_like(labelled))
    assert nothing[1].sum() == 0
    assert np.isnan(spectrum_scores("vertical", *(nothing[0][0],) * 2, nothing[1][0])["psd_vertical"])


@pytest.mark.parametrize("shape", [(2, 1, 1), (2, 1, 2), (2, 2, 15), (2, 3, 65)])
def test_small_windows(shape):
    true, predicted, labelled = blind_zones(shape=shape)
    for name, function in (("vertical", vertical_power), ("temporal", temporal_power)):
        (power, count), (other, _) = function(true, labelled), function(predicted, labelled)
        scores = spectrum_scores(name, power, other, count)
        assert scores[f"psd_{name}"].shape == (2,)
        assert np.isnan(scores[f"psd_{name}"]).all() == (power.shape[-1] == 0)
