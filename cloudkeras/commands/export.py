"""Write a run as `.keras` and as a SavedModel in physical units, with a card."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `cloudkeras export`."""
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--scores", type=Path, help="JSON file of scores for the card (default: the run's own)")
    parser.add_argument("--force", action="store_true", help="replace a folder that is not an export")


def run(arguments: argparse.Namespace) -> None:
    """Exports, and says where."""
    from ..export import export_run
    from ..training import load_run

    out = export_run(load_run(arguments.run), arguments.out, scores=arguments.scores, force=arguments.force)
    print(f"model      {out / 'model.keras'}")
    print(f"SavedModel {out / 'saved_model'}")
    print(f"card       {out / 'card.md'}")
