"""Reflectivity re-derived from the ice water content that was retrieved from it."""

from __future__ import annotations

import numpy as np

from ..datasets.schema import NO_ECHO_DBZ
from ..errors import check
from .record import FAINTEST_ECHO_DBZ

# log10(IWC / g m-3) = zt Z T + z Z + t T + c, Z in dBZ, T in degrees C: Hogan et al. 2006, J. Appl. Meteor. Climatol.
# 45, 301-317, table 2; the 94 GHz row is also written in the comment of Cloudnet's files.
_RELATION = {
    35: (0.000242, 0.0699, -0.0186, -1.63),
    94: (0.00058, 0.0923, -0.00706, -0.992),
}
_FREEZING_K = 273.15


def relation_for(frequency_ghz: float) -> tuple[float, float, float, float]:
    """The coefficients (zt, z, t, c) of the relation for a radar.

    Raises:
        InputError: If the frequency is that of no cloud radar with a published relation.
    """
    known = {f: row for f, row in _RELATION.items() if abs(frequency_ghz - f) <= 2}
    check(bool(known), "`frequency_ghz` is about 35 or 94 (Hogan et al. 2006).", frequency_ghz=frequency_ghz)
    return next(iter(known.values()))


def reflectivity_from_iwc(iwc: np.ndarray, temperature_k: np.ndarray, frequency_ghz: float = 94.0) -> np.ndarray:
    """Inverts the relation of Hogan et al. 2006 for the radar reflectivity factor.

    `Z = (log10(IWC) - t T - c) / (zt T + z)` with IWC in g m-3 and T in degrees C. Z is in the relation's convention,
    in which all radars measure the same in Rayleigh-scattering ice: 1.43 dB below what a 94 GHz radar calibrated on
    liquid water reports (|K|^2 / 0.93 = 0.7194). The relation holds for ice, at and below 0 C; T is held at 0 C
    above.

    Args:
        iwc: Ice water content in kg m-3, 0 where there is no echo, NaN where missing.
        temperature_k: Air temperature in K, of the same shape; NaN makes an echo's reflectivity missing.
        frequency_ghz: About 35 or 94.

    Returns:
        Reflectivity in dBZ, float32: -60 where `iwc` is 0, NaN where missing, at least -59.9 for any echo.
    """
    zt, z, t, c = relation_for(frequency_ghz)
    celsius = np.minimum(np.asarray(temperature_k, np.float64) - _FREEZING_K, 0.0)
    content = np.where(np.asarray(iwc, np.float64) > 0, 1e3 * iwc, np.nan)
    dbz = (np.log10(content) - t * celsius - c) / (zt * celsius + z)
    return np.where(iwc == 0, NO_ECHO_DBZ, np.maximum(dbz, FAINTEST_ECHO_DBZ)).astype(np.float32)
