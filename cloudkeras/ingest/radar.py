"""One call for every radar file: the product is recognized, the reader returns a `RadarRecord`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import DataError, check_choice
from .cloudnet_categorize import is_cloudnet_categorize, read_cloudnet_categorize
from .cloudnet_iwc import is_cloudnet_iwc, read_cloudnet_iwc
from .columns import ModelColumns, ModelFiles
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
    model: ModelColumns | ModelFiles | Sequence[str | Path] | None = None,
    snr_threshold_db: float | None = SNR_THRESHOLD_DB,
    cloud_mask_threshold: int = CLOUD_MASK_THRESHOLD,
    keep_attenuated: bool = True,
) -> RadarRecord:
    """Reads the record of a radar. What becomes echo, no echo and missing is in the docstring of each reader's module.

    Args:
        path: A file of one of the products.
        product: One of `PRODUCTS`, "cloudnet" for either product of Cloudnet, or "auto" for any: what is in the file
            tells which.
        frequency_ghz: Of the radar, for files that do not say.
        model: Model columns, or their files; "cloudnet-iwc" needs them.
        snr_threshold_db: "kazr": signal-to-noise ratio from which a gate holds an echo; None if noise is masked.
        cloud_mask_threshold: "geoprof": least `CPR_Cloud_mask` that counts as an echo.
        keep_attenuated: "cloudnet-categorize": whether echo attenuated by liquid water, not corrected, is kept.

    Raises:
        DataError: If the file is of no known product, or not as its product should be.
        InputError: If an option is wrong, model columns are missing, or a package is.
    """
    check_choice(product, ("auto", "cloudnet", *PRODUCTS), "product")
    if Path(path).is_file() and (product == "geoprof" or (product == "auto" and is_hdf4(path))):
        return read_geoprof(path, cloud_mask_threshold)
    with open_granule(path) as dataset:
        expected = [name for name in _RECOGNIZE if product in ("auto", name) or name.startswith(f"{product}-")]
        found = next((name for name in expected if _RECOGNIZE[name](dataset)), None)
        if found == "kazr":
            return read_kazr(dataset, frequency_ghz, snr_threshold_db)
        if found == "cloudnet-categorize":
            return read_cloudnet_categorize(dataset, frequency_ghz, keep_attenuated)
        if found == "cloudnet-iwc":
            if model is not None and not isinstance(model, (ModelColumns, ModelFiles)):
                model = ModelFiles(model, names=("temperature",))
            return read_cloudnet_iwc(dataset, model, frequency_ghz)
        raise _wrong_product(path, expected if product != "auto" else PRODUCTS, dataset.variables)


def _wrong_product(path: str | Path, products: Sequence[str], variables: Iterable[str]) -> DataError:
    names = sorted(variables)
    found = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return DataError(path, expected=f"a radar file ({' or '.join(products)})", found=f"the variables {found or 'none'}")
