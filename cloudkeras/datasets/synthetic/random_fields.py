"""Correlated Gaussian random fields on the image grid, made by filtering white noise with a power spectrum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft

PIXEL_KM = 2.0  # size of an AHI infrared pixel at the sub-satellite point

Spectrum = Callable[[np.ndarray], np.ndarray]
"""Two-dimensional power density as a function of the wavenumber in cycles per km."""


def red_spectrum(outer_km: float, slope: float = 8.0 / 3.0) -> Spectrum:
    """Power law `k**-slope` that levels off for scales larger than `outer_km`.

    The default slope of a plane spectrum belongs to -5/3 along a line, as found for cloud water and cloud
    reflectance between a few and some hundred km (Davis et al. 1996, J. Atmos. Sci. 53, 1538).
    """
    return lambda k: (1.0 + (k * outer_km) ** 2) ** (-slope / 2.0)


def cell_spectrum(cell_km: float, width: float = 0.3, red_share: float = 0.3) -> Spectrum:
    """A ring of power at the wavelength `cell_km` (mesoscale cells), on a red background.

    Args:
        cell_km: Distance between cells.
        width: Standard deviation of the ring in the natural logarithm of the wavenumber.
        red_share: Height of the red background relative to the ring at its peak.
    """
    red = red_spectrum(4.0 * cell_km)
    peak = red(np.asarray(1.0 / cell_km))

    def spectrum(k: np.ndarray) -> np.ndarray:
        ring = np.exp(-0.5 * (np.log(np.maximum(k, 1e-9) * cell_km) / width) ** 2)
        return ring + red_share * red(k) / peak

    return spectrum


def gaussian_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    spectrum: Spectrum,
    *,
    stretch: float = 1.0,
    angle: float = 0.0,
    margin_km: float = 120.0,
) -> np.ndarray:
    """A field of mean 0 and variance 1 over the ensemble (one field's own mean and variance vary around these).

    Args:
        rng: Source of randomness.
        shape: (rows, columns).
        spectrum: Power density.
        stretch: Ratio of the correlation lengths along and across `angle`; above 1 makes streaks.
        angle: Direction of the streaks in radians from the x axis.
        margin_km: Extra border that is cut away, so that opposite edges are not neighbors of the periodic field.

    Returns:
        (rows, columns), float32.
    """
    rows, columns = (
        fft.next_fast_len(int(size + min(margin_km / PIXEL_KM, 0.5 * size + 16)), real=True) for size in shape
    )
    ky = fft.fftfreq(rows, PIXEL_KM)[:, None]
    kx = fft.rfftfreq(columns, PIXEL_KM)[None, :]
    along = (kx * np.cos(angle) + ky * np.sin(angle)) * np.sqrt(stretch)
    across = (ky * np.cos(angle) - kx * np.sin(angle)) / np.sqrt(stretch)
    power = spectrum(np.hypot(along, across))
    power[0, 0] = 0.0
    # every column but the first (and the last of an even size) stands for two conjugate wavenumbers
    weight = np.full(power.shape[1], 2.0)
    weight[0] = 1.0
    if columns % 2 == 0:
        weight[-1] = 1.0
    amplitude = np.sqrt(power * (rows * columns / (power * weight).sum())).astype(np.float32)
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    return fft.irfft2(fft.rfft2(white) * amplitude, s=(rows, columns))[: shape[0], : shape[1]]
