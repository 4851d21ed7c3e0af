"""Power spectral density of the blind zone in the vertical and in time.

Reflectivity in dBZ with "no echo" at -60 dBZ, so the edges of an echo are part of the spectrum. `scipy.signal`
periodograms, one-sided, Hann window, mean removed, scaled to a density: dB^2 per cycle per row, or per profile.

- Vertical: each profile over all rows of the blind zone. A profile with a row without label is left out.
- Temporal: each row of the blind zone in segments of 64 profiles (of an even number if a window is shorter) that
  overlap by half (Welch 1967). A segment with a profile without label is left out, so a gap costs the segments it lies
  in and nothing is interpolated. Where all is labelled this is `scipy.signal.welch`.

The power of each frequency above 0 is averaged over all profiles, or rows and segments, of the data set first; the
score is the mean over the frequencies of |log10(predicted power / true power)|: 0 is perfect, 0.3 a factor of two, too
smooth and too rough count alike. Its signed form tells which: below 0 is too smooth. Power below that of rounding to
0.01 dB, the resolution of stored data, counts as that, so a prediction without any variation has a score, a bad one.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

SEGMENT_PROFILES = 64
POWER_FLOOR = 2 * 0.01**2 / 12  # variance of rounding to 0.01 dB, spread over 0 to 0.5 cycles


def vertical_frequencies(rows: int) -> np.ndarray:
    """Frequencies of the vertical spectrum in cycles per row, (rows // 2,)."""
    return np.fft.rfftfreq(rows)[1:]


def temporal_frequencies(count: int) -> np.ndarray:
    """The `count` frequencies of a temporal spectrum in cycles per profile; the last is 0.5, as segments are even."""
    return np.arange(1, count + 1) / (2 * count)


def _power(values: np.ndarray) -> np.ndarray:
    """One-sided periodogram along the last axis without frequency 0."""
    return signal.periodogram(values, window="hann", detrend="constant", scaling="density", axis=-1)[1][..., 1:]


def vertical_power(values: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertical power of each sample, summed over its complete profiles.

    Args:
        values: (sample, row, profile), dBZ, finite.
        labelled: Same shape, bool.

    Returns:
        Power (sample, row // 2) and the number of profiles (sample,).
    """
    complete = np.asarray(labelled.all(axis=1))
    power = _power(values.swapaxes(1, 2)) * complete[..., None]
    return power.sum(axis=1), complete.sum(axis=1).astype(np.float64)


def temporal_power(values: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Temporal power of each sample, summed over its complete segments of all rows.

    Args:
        values: (sample, row, profile), dBZ, finite.
        labelled: Same shape, bool.

    Returns:
        Power (sample, segment length // 2) and the number of segments (sample,).
    """
    profiles = values.shape[2]
    length = max(1, min(SEGMENT_PROFILES, profiles - profiles % 2))
    step = max(1, length // 2)

    def cut(array: np.ndarray) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(array, length, axis=2)[:, :, ::step]

    complete = np.asarray(cut(labelled).all(axis=-1))
    power = _power(cut(values)) * complete[..., None]
    return power.sum(axis=(1, 2)), complete.sum(axis=(1, 2)).astype(np.float64)


def mean_power(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean power (..., frequency) from its sum and the number (...) of what was summed; NaN where that is 0."""
    count = np.asarray(count, np.float64)[..., None]
    return np.where(count > 0, np.asarray(total, np.float64) / np.where(count > 0, count, 1), np.nan)


def spectrum_scores(name: str, true: np.ndarray, predicted: np.ndarray, count: np.ndarray) -> dict[str, np.ndarray]:
    """`psd_<name>` and `psd_<name>_bias`: mean of |log10| and of log10 of predicted to true power, arrays (...).

    NaN where nothing was summed or there is no frequency above 0.
    """
    if np.shape(true)[-1] == 0:
        nothing = np.full(np.shape(true)[:-1], np.nan)
        return {f"psd_{name}": nothing, f"psd_{name}_bias": nothing}
    logarithms = [np.log10(np.maximum(mean_power(power, count), POWER_FLOOR)) for power in (true, predicted)]
    difference = logarithms[1] - logarithms[0]
    return {f"psd_{name}": np.abs(difference).mean(axis=-1), f"psd_{name}_bias": difference.mean(axis=-1)}
