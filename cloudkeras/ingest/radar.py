"""One call for every radar file: the product is recognized, the reader returns a `RadarRecord`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, check_choice
from .cloudnet_iwc import is_cloudnet_iwc, read_cloudnet_iwc
from .columns import ModelColumns, read_model_columns
from .netcdf import open_granule
from .record import RadarRecord

PRODUCTS = ("cloudnet-iwc",)


def read_radar(
    path: str | Path,
    *,
    product: str = "auto",
    frequency_ghz: float | None = None,
    model: ModelColumns | Sequence[str | Path] | None = None,
) -> RadarRecord:
    """Reads the record of a radar.

    Args:
        path: A file of one of the products.
        product: One of `PRODUCTS`, or "auto" to recognize it by what is in the file.
        frequency_ghz: Of the radar, for files that do not say.
        model: Model columns, or their files; "cloudnet-iwc" needs them.

    Raises:
        DataError: If the file is of no known product, or not as its product should be.
        InputError: If an option is wrong or model columns are missing.
    """
    check_choice(product, ("auto", *PRODUCTS), "product")
    columns = model if model is None or isinstance(model, ModelColumns) else read_model_columns(model)
    with open_granule(path) as dataset:
        if not is_cloudnet_iwc(dataset):
            raise DataError(
                path,
                expected=f"a radar file ({', '.join(PRODUCTS)})",
                found=f"the variables {', '.join(sorted(dataset.variables)) or 'none'}",
            )
        return read_cloudnet_iwc(dataset, columns, frequency_ghz)
