import netCDF4
import numpy as np
import pytest

from cloudkeras.errors import DataError
from cloudkeras.ingest import read_radar

from .granules import write_categorize

HEIGHT = 111.0 + 30.0 * np.arange(6)


def bits(*numbers):
    return sum(1 << n for n in numbers)


def column(tmp_path, pixels, **options):
    """The record of pixels (Z, quality bits, category bits), from the lowest gate up."""
    dbz, quality, category = (np.tile(values, (2, 1)) for values in zip(*pixels, strict=True))
    path = write_categorize(tmp_path / "c.nc", [1.0, 1.01], HEIGHT[: len(pixels)], dbz, quality, category)
    return read_radar(path, **options).reflectivity[:, 0]


ICE = bits(1, 2)


@pytest.mark.parametrize(
    "pixels,expected",
    [
        ([(-10.0, bits(0), ICE), (np.nan, 0, 0), (np.nan, bits(1), bits(0))], [-10, -60, -60]),  # lidar alone: no echo
        ([(-10.0, bits(0, 2), 0), (-75.0, bits(0), ICE)], [np.nan, -59.9]),  # clutter; a faint echo
        ([(-40.0, bits(0), bits(5)), (-5.0, bits(0), bits(5, 1, 2))], [-60, -5]),  # insects alone; insects with ice
        ([(-3.0, bits(0, 4), ICE), (-4.0, bits(0, 4, 5), ICE)], [-3, -4]),  # above liquid: kept
        # rain below: attenuated and not corrected, also where the echo is gone; corrected from the third gate up
        (
            [(20.0, bits(0), bits(1)), (9.0, bits(0, 4), ICE), (np.nan, bits(4), 0), (5.0, bits(0, 4, 5), ICE)],
            [20, np.nan, np.nan, 5],
        ),
        ([(9.0, bits(0, 6), ICE), (8.0, bits(0, 6, 7), ICE), (np.nan, bits(8), 0)], [np.nan, 8, np.nan]),
        ([(9.0, bits(0, 4), bits(3)), (2.0, bits(0, 4, 9, 8), ICE)], [np.nan, 2]),  # melting ice
    ],
)
def test_bits(tmp_path, pixels, expected):
    np.testing.assert_allclose(column(tmp_path, pixels), expected)


def test_attenuated_by_liquid_may_be_left_out(tmp_path):
    pixels = [(-3.0, bits(0, 4), ICE), (np.nan, bits(4), 0), (-4.0, bits(0, 4, 5), ICE)]
    np.testing.assert_allclose(column(tmp_path, pixels, keep_attenuated=False), [np.nan, -60, -4])


@pytest.mark.parametrize("name", ["altitude", "latitude"])
def test_a_place_that_is_not_said_is_not_guessed(tmp_path, name):
    nothing = np.zeros((2, 6))
    path = write_categorize(tmp_path / "c.nc", [1.0, 1.5], HEIGHT, np.full((2, 6), -5.0), nothing, nothing)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable(name, "elsewhere")
    with pytest.raises(DataError, match=rf"{name}.*expected the {name} of the site"):
        read_radar(path)


def test_what_the_record_says(tmp_path):
    path = write_categorize(
        tmp_path / "c.nc", [1.0, 1.5], HEIGHT, np.full((2, 6), -5.0), np.zeros((2, 6)), np.zeros((2, 6))
    )
    record = read_radar(path)
    np.testing.assert_array_equal(record.time, 1609718400 + np.array([3600, 5400]))
    np.testing.assert_allclose(record.height, HEIGHT - 11)
    assert record.product == "cloudnet-categorize" and record.variable == "Z" and "1.made-up" in record.identifier
    assert (record.frequency_ghz, record.altitude) == (94.0, 11.0) and "Cloudnet categorize" in record.source
    assert read_radar(path, frequency_ghz=35.5).frequency_ghz == 35.5


def test_wrong_unit(tmp_path):
    with pytest.raises(DataError, match="'Z': expected units 'dBZ' or 'mm6 m-3'; found units 'm s-1'"):
        read_radar(
            write_categorize(tmp_path / "c.nc", [1, 2], HEIGHT, *(np.zeros((2, 6)) for _ in range(3)), units="m s-1")
        )
