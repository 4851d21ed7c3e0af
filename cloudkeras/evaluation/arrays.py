"""Named arrays with a header in one `.npz` file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.shards import new_file
from ..errors import DataError


def save_arrays(
    path: str | Path,
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    by_method: Mapping[str, Mapping[str, np.ndarray]],
) -> Path:
    """Writes the file; it appears under its name when it is complete.

    Args:
        path: The file.
        header: Plain values, among them `format`.
        arrays: By name.
        by_method: By kind and method; a method's name may hold any character.
    """
    path = Path(path)
    content: dict[str, Any] = dict(arrays)
    for kind, values in by_method.items():
        content |= {f"{kind}/{i}": array for i, array in enumerate(values.values())}
    text = json.dumps({**header, **{kind: list(values) for kind, values in by_method.items()}})
    with new_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, header=np.array(text), **content)
    return path


def load_arrays(
    path: str | Path, what: str, version: int, names: tuple[str, ...], kinds: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header, and arrays by name and (of `kinds`) by method, of a file that `save_arrays` wrote.

    Args:
        path: The file, or its folder, where it is `cases.npz`.
        what: What the file holds, for messages.
        version: The `format` that is expected.
        names: Names of the arrays.
        kinds: Kinds of the arrays by method.

    Raises:
        DataError: If the file is missing or is not one.
    """
    path = Path(path)
    path = path / "cases.npz" if path.is_dir() else path
    if not path.is_file():
        raise DataError(path, expected=what, found="no file", remedy="`cloudkeras evaluate --figures` writes it.")
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header["format"] != version:
                raise ValueError(f"format {header['format']}")
            arrays: dict[str, Any] = {name: file[name] for name in names}
            for kind in kinds:
                arrays[kind] = {method: file[f"{kind}/{i}"] for i, method in enumerate(header[kind])}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(path, expected=f"{what} of format {version}", found=str(error)) from error
    return header, arrays
