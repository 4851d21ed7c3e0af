"""Show what is in a shard or a folder of shards, or say what is wrong with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="inspect|validate")
    for name, text in (
        ("inspect", "show samples, variables, units, ranges, class shares and splits"),
        ("validate", "read everything, list every problem; exit code 2 if there is one"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("path", type=Path, help="a shard (NetCDF) or a folder of shards")


def run(arguments: argparse.Namespace) -> int:
    """Prints the summary, or the verdict.

    Raises:
        InputError: If `validate` found problems, after listing them on standard error, one a line.
    """
    from ..datasets import describe, find_problems

    if arguments.action == "inspect":
        print(describe(arguments.path))
        return 0
    problems = find_problems(arguments.path)
    for problem in problems:
        print(f"cloudkeras: {problem}", file=sys.stderr)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise InputError(f"{arguments.path} has {count}.")
    print(f"{arguments.path} is valid.")
    return 0
