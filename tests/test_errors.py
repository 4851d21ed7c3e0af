"""The wording of errors: rule, value, remedy; file, variable, expected, found."""

from __future__ import annotations

import pickle

import pytest

from cloudkeras.errors import DataError, InputError, check, check_choice, check_divisible


def test_check_passes_silently_and_names_the_values_it_received():
    check(True, "never shown", value=1)
    with pytest.raises(InputError, match=r"`filters` needs at least 2 entries\. Received filters=\(32,\)\."):
        check(False, "`filters` needs at least 2 entries.", filters=(32,))


def test_check_choice_lists_the_choices():
    assert check_choice("a", ("a", "b"), "letter") == "a"
    with pytest.raises(InputError, match=r"`letter` is one of 'a', 'b'\. Received letter='c'"):
        check_choice("c", ("a", "b"), "letter")


@pytest.mark.parametrize(
    ("height", "width", "nearest"), [(100, 64, r"\(96, 64\)"), (33, None, r"\(32, None\)"), (3, 50, r"\(16, 48\)")]
)
def test_check_divisible_names_the_nearest_valid_size(height, width, nearest):
    with pytest.raises(InputError, match=f"nearest valid size is {nearest}"):
        check_divisible(height, width, 16, "2**4")


def test_check_divisible_accepts_dynamic_and_valid_sizes():
    check_divisible(None, None, 16, "2**4")
    check_divisible(32, 160, 16, "2**4")


def test_data_error_names_file_variable_expected_found_and_survives_a_process_boundary():
    error = DataError("a.nc", variable="phase", expected="unit 1", found="unit K", remedy="Convert it.")
    assert str(error) == "a.nc: variable 'phase': expected unit 1; found unit K. Convert it."
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.variable == "phase"
