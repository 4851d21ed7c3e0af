"""What a user can get wrong, said once: the rule, the value received, the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """An argument, an option or a file that the user can mend; the command line shows it without a traceback."""


class DataError(InputError):
    """A file that is not what it should be.

    Args:
        file: The file.
        expected: What the rule asks for.
        found: What the file holds.
        variable: The variable concerned, if one is.
        remedy: What the user can do, if it is known.
    """

    def __init__(
        self, file: str | Path, *, expected: str, found: str, variable: str | None = None, remedy: str | None = None
    ):
        self.file, self.variable, self.expected, self.found, self.remedy = str(file), variable, expected, found, remedy
        where = f"{file}: variable '{variable}'" if variable else f"{file}"
        super().__init__(f"{where}: expected {expected}; found {found}." + (f" {remedy}" if remedy else ""))

    def __reduce__(self):
        return (_rebuild_data_error, (self.file, self.expected, self.found, self.variable, self.remedy))


def _rebuild_data_error(file, expected, found, variable, remedy):
    return DataError(file, expected=expected, found=found, variable=variable, remedy=remedy)


def check(rule_holds: bool, rule: str, **received: Any) -> None:
    """Raises `InputError` with the rule and the values received unless `rule_holds`.

    Args:
        rule_holds: The outcome of the test.
        rule: The rule as a sentence with its remedy, e.g. "`filters` needs at least 2 entries."
        **received: The values to show, by argument name.

    Raises:
        InputError: If `rule_holds` is false.
    """
    if not rule_holds:
        values = ", ".join(f"{name}={value!r}" for name, value in received.items())
        raise InputError(f"{rule} Received {values}." if values else rule)


def check_choice(value: str, choices: Sequence[str], name: str) -> str:
    """Returns `value` if it is one of `choices`.

    Raises:
        InputError: If it is not; the message lists the choices.
    """
    check(value in choices, f"`{name}` is one of {', '.join(map(repr, choices))}.", **{name: value})
    return value


def check_divisible(height: int | None, width: int | None, factor: int, reason: str) -> None:
    """Raises unless the known ones of height and width divide by `factor`, naming the nearest valid size.

    Args:
        height: Rows, or None where dynamic.
        width: Columns, or None where dynamic.
        factor: What both must divide by.
        reason: Where the factor comes from, e.g. "2**(len(filters) - 1)".

    Raises:
        InputError: If one of them does not divide.
    """
    if all(size is None or (size > 0 and size % factor == 0) for size in (height, width)):
        return
    nearest = tuple(None if size is None else max(factor, factor * round(size / factor)) for size in (height, width))
    raise InputError(
        f"Height and width must divide by {factor} ({reason}). Received ({height}, {width}); "
        f"the nearest valid size is {nearest}."
    )
