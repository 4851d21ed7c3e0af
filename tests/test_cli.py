"""The command line: help, exit codes, no traceback for a user's mistake."""

from __future__ import annotations

import importlib

import pytest

from cloudkeras import __version__, cli


def test_version_and_help_name_every_command(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0
    assert __version__ in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name, capsys):
    assert importlib.import_module(f"cloudkeras.commands.{name}").__doc__
    with pytest.raises(SystemExit) as done:
        cli.main([name, "--help"])
    assert done.value.code == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["no-such-command"], ["train", "--no-such-option"], []])
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(argv)
    assert done.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_missing_file_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert cli.main(["shards", "validate", str(tmp_path / "nothing")]) == 2
    shown = capsys.readouterr().err
    assert "nothing" in shown
    assert "Traceback" not in shown


def test_an_interrupt_exits_with_130(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert cli.run_safely(interrupted) == 130
    assert "interrupted" in capsys.readouterr().err
