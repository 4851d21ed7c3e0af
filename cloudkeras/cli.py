"""The command `cloudkeras`. Each sub-command is a module of `cloudkeras.commands`, loaded when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from ._version import __version__
from .errors import InputError

COMMANDS = {
    "simulate": "make shards of simulated scenes",
    "shards": "inspect or validate a shard or a folder of shards",
    "ingest": "make shards from granules",
    "train": "train a model on shards",
    "evaluate": "score runs and baselines on the same pixels",
    "uncertainty": "score and calibrate the uncertainty of runs",
    "predict": "apply a run to a scene of any size",
    "inpaint": "fill the blind zone in a radar's file",
    "explain": "show what a run looks at, and what each channel is worth",
    "export": "write a run as .keras and SavedModel",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    A command module has `configure(parser)` and `run(arguments) -> int | None`.

    Returns:
        The exit code: 0, or 2 for a user's mistake, shown in one line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="cloudkeras",
        description="Cloud and surface retrievals with Keras.",
        epilog="commands:\n" + "\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cloudkeras {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="command")
    name = parser.parse_args(argv[:1]).command
    module = importlib.import_module(f".commands.{name}", __package__)
    command_parser = argparse.ArgumentParser(prog=f"cloudkeras {name}", description=module.__doc__)
    module.configure(command_parser)
    return run_safely(lambda: module.run(command_parser.parse_args(argv[1:])))


def run_safely(action) -> int:
    """Runs `action` and turns a user's mistake into one line on standard error and exit code 2."""
    try:
        return int(action() or 0)
    except (InputError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        print(f"cloudkeras: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough; keep the interpreter from flushing into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("cloudkeras: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
