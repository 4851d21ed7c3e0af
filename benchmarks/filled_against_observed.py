"""What `cloudkeras inpaint` filled in against what the radar saw there: for records from another place or instrument.

    python benchmarks/filled_against_observed.py RADAR_FILE FILLED_FILE [--context FILE ...] [--frequency GHZ]

Gates of the blind zone where the radar observed something (echo, or no echo) and that were filled; no echo counts as
-60 dBZ. One record is no statistic: the numbers say what the model does there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import netCDF4
import numpy as np

from cloudkeras.ingest import read_radar

NO_ECHO_DBZ = -60.0


def compare(observed: np.ndarray, filled: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Scores over gates where both arrays are finite.

    Args:
        observed: (gate, profile), dBZ; -60 without echo, NaN missing.
        filled: The same shape; NaN where nothing was filled.
        low: 5 % quantile of the filled value.
        high: 95 % quantile.
    """
    judged = np.isfinite(observed) & np.isfinite(filled)
    truth, value, low, high = (values[judged] for values in (observed, filled, low, high))
    echo, says = truth > NO_ECHO_DBZ, value > NO_ECHO_DBZ
    return {
        "gates": int(judged.sum()),
        "observed echo (%)": 100 * float(echo.mean()),
        "filled with echo (%)": 100 * float(says.mean()),
        "echo filled where none was observed (%)": 100 * float(says[~echo].mean()),
        "no echo filled where one was observed (%)": 100 * float((~says)[echo].mean()),
        "MAE (dB)": float(np.abs(value - truth).mean()),
        "MAE where an echo was observed (dB)": float(np.abs(value - truth)[echo].mean()),
        "bias where both show echo (dB)": float((value - truth)[echo & says].mean()),
        "90 % interval covers (%)": 100 * float(((low <= truth + 1e-3) & (truth <= high + 1e-3)).mean()),
    }


def read_filled(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Filled values and their 5 % and 95 % quantiles, (gate, profile), NaN where nothing was filled."""
    with netCDF4.Dataset(path) as file:
        name = next(n.removesuffix("_quantile") for n in file.variables if n.endswith("_quantile"))
        flags = dict(zip(file["filled"].flag_meanings.split(), np.atleast_1d(file["filled"].flag_values), strict=True))
        flag = np.asarray(file["filled"][:])
        value = np.ma.filled(file[name][:].astype(np.float64), np.nan)
        quantile = np.ma.filled(file[f"{name}_quantile"][:].astype(np.float64), np.nan)
    value = np.where(flag == flags["filled_without_echo"], NO_ECHO_DBZ, value)
    value[(flag != flags["filled"]) & (flag != flags["filled_without_echo"])] = np.nan
    return value.T, quantile[0].T, quantile[-1].T


def main(argv: list[str] | None = None) -> int:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("radar", type=Path)
    parser.add_argument("filled", type=Path)
    parser.add_argument("--context", nargs="+", type=Path)
    parser.add_argument("--frequency", type=float)
    arguments = parser.parse_args(argv)
    record = read_radar(arguments.radar, model=arguments.context, frequency_ghz=arguments.frequency)
    for name, value in compare(record.reflectivity, *read_filled(arguments.filled)).items():
        print(f"{name:45} {value:8.1f}" if isinstance(value, float) else f"{name:45} {value:8,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
