"""One call for every radar file: the product is recognized, the reader returns a `RadarRecord`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, check_choice
from .cloudnet_categorize import is_cloudnet_categorize, read_cloudnet_categorize
from .cloudnet_iwc import is_cloudnet_iwc, read_cloudnet_iwc
from .columns import ModelColumns, read_model_columns
from .geoprof import CLOUD_MASK_THRESHOLD, is_hdf4, read_geoprof
from .kazr import SNR_THRESHOLD_DB, is_kazr, read_kazr
from .netcdf import open_granule
from .record import RadarRecord

PRODUCTS = ("cloudnet-iwc", "cloudnet-categorize", "kazr", "geoprof")

_RECOGNIZE = {
    "cloudnet-categorize": is_cloudnet_categorize,
    "cloudnet-iwc": is_cloudnet_iwc,
    "kazr": is_kazr,
}


def read_radar(
    path: str | Path,
    *,
    product: str = "auto",
    frequency_ghz: float | None = None,
    model: ModelColumns | Sequence[str | Path] | None = None,
    snr_threshold_db: float | None = SNR_THRESHOLD_DB,
    cloud_mask_threshold: int = CLOUD_MASK_THRESHOLD,
    keep_attenuated: bool = True,
) -> RadarRecord:
    """Reads the record of a radar. What becomes echo, no echo and missing is in the docstring of each reader's module.

    Args:
        path: A file of one of the products.
        product: One of `PRODUCTS`, or "auto" to recognize it by what is in the file.
        frequency_ghz: Of the radar, for files that do not say.
        model: Model columns, or their files; "cloudnet-iwc" needs them.
        snr_threshold_db: "kazr": signal-to-noise ratio from which a gate holds an echo; None if noise is masked.
        cloud_mask_threshold: "geoprof": least `CPR_Cloud_mask` that counts as an echo.
        keep_attenuated: "cloudnet-categorize": whether echo attenuated by liquid water, not corrected, is kept.

    Raises:
        DataError: If the file is of no known product, or not as its product should be.
        InputError: If an option is wrong, model columns are missing, or a package is.
    """
    check_choice(product, ("auto", *PRODUCTS), "product")
    if Path(path).is_file() and (product == "geoprof" or (product == "auto" and is_hdf4(path))):
        return read_geoprof(path, cloud_mask_threshold)
    with open_granule(path) as dataset:
        if product == "auto":
            product = next((name for name, recognize in _RECOGNIZE.items() if recognize(dataset)), "")
        elif not _RECOGNIZE[product](dataset):
            raise _wrong_product(path, product, dataset.variables)
        if product == "kazr":
            return read_kazr(dataset, frequency_ghz, snr_threshold_db)
        if product == "cloudnet-categorize":
            return read_cloudnet_categorize(dataset, frequency_ghz, keep_attenuated)
        if product == "cloudnet-iwc":
            columns = model if model is None or isinstance(model, ModelColumns) else read_model_columns(model)
            return read_cloudnet_iwc(dataset, columns, frequency_ghz)
        raise _wrong_product(path, f"one of {', '.join(PRODUCTS)}", dataset.variables)


def _wrong_product(path: str | Path, expected: str, variables) -> DataError:
    names = sorted(variables)
    found = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return DataError(path, expected=f"a radar file ({expected})", found=f"the variables {found or 'none'}")
