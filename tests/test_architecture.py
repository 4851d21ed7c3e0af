"""Imports go one way, and `import cloudkeras` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cloudkeras"

# room -> rooms that it must not import
FORBIDDEN = {
    "layers": {"models", "tasks", "training", "evaluation", "inference", "export", "commands", "datasets", "losses"},
    "models": {"tasks", "training", "evaluation", "inference", "export", "commands", "datasets", "losses"},
    "datasets": {"models", "layers", "losses", "training", "evaluation", "inference", "export", "commands"},
    "losses": {"models", "layers", "training", "evaluation", "inference", "export", "commands"},
    "metrics": {"models", "layers", "training", "evaluation", "inference", "export", "commands"},
    "tasks": {"models", "layers", "training", "evaluation", "inference", "export", "commands", "baselines"},
    "ingest": {"models", "layers", "training", "evaluation", "inference", "export", "commands"},
    "baselines": {"models", "layers", "training", "inference", "export", "commands"},
    "training": {"evaluation", "inference", "export", "commands"},
    "evaluation": {"export", "commands"},
    "uncertainty": {"models", "layers", "losses", "export", "commands", "explain"},
    "inference": {"commands"},
    "explain": {"inference", "export", "commands", "plotting"},
    "export": {"commands"},
}


def imported_rooms(file: Path) -> set[str]:
    """First component, below cloudkeras, of everything that a file imports at any depth; relative imports resolved."""
    here = ["cloudkeras", *file.relative_to(PACKAGE).with_suffix("").parts]
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*module, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        rooms |= {parts[1] for parts in names if parts[0] == "cloudkeras" and len(parts) > 1}
        assert all(parts[0] != "tuning" for parts in names), f"{file} imports tuning"
    return rooms


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_imports_go_one_way(room):
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    assert files[0].exists()
    for file in files:
        wrong = imported_rooms(file) & FORBIDDEN[room]
        assert not wrong, f"{file.relative_to(PACKAGE)} imports {sorted(wrong)}"


def test_import_is_light_and_public_names_resolve():
    code = (
        "import sys, cloudkeras\n"
        "heavy = {'tensorflow', 'jax', 'torch', 'keras', 'matplotlib', 'netCDF4'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "for name in cloudkeras.__all__: getattr(cloudkeras, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_unknown_public_name_is_an_attribute_error():
    import cloudkeras

    with pytest.raises(AttributeError, match="build_nothing"):
        _ = cloudkeras.build_nothing
