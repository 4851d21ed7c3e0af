"""The commands that README shows are commands that there are: every option exists, spelled out."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def _commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(("cloudkeras ", "python tuning/sweep.py"))]


def _parser(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    if words[0] == "python":
        from tuning.sweep import _parser as sweep_parser

        return sweep_parser(), words[2:]
    parser = argparse.ArgumentParser(prog=words[1])
    importlib.import_module(f"cloudkeras.commands.{words[1]}").configure(parser)
    return parser, words[2:]


def _forbid_abbreviations(parser: argparse.ArgumentParser) -> None:
    parser.allow_abbrev = False
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                _forbid_abbreviations(choice)


@pytest.mark.parametrize("command", _commands())
def test_parses(command: str) -> None:
    parser, arguments = _parser(shlex.split(command, comments=True))
    _forbid_abbreviations(parser)
    try:
        parser.parse_args(arguments)
    except SystemExit as error:
        pytest.fail(f"README shows a command that does not exist ({error.code}): {command}")


def test_finds_commands() -> None:
    assert len(_commands()) >= 15
