"""What all figures share: the phase palette, missing data, titles, saving in one step.

Figures are `matplotlib.figure.Figure` without pyplot: no window, no global state, nothing to close.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Patch

from ..errors import check

# Okabe and Ito's palette (color-blind safe): blue, reddish purple, orange. They also differ in lightness, so that the
# classes stay apart in grey. Clear is nearly white; missing is grey, a color of no class.
CLASS_COLORS = {"clear": "#f5f5f2", "ice": "#0072b2", "mixed": "#cc79a7", "liquid": "#e69f00"}
MISSING_COLOR = "#a8a8a8"
LINE_COLORS = ("#000000", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f")
TEXT_COLOR = "#222222"
_FILE_KINDS = (".png", ".pdf", ".svg")


def class_colors(classes: Sequence[str]) -> list[str]:
    """A color for each class: those of the phases by name, else of the line palette."""
    spare = iter(LINE_COLORS[1:] * (1 + len(classes) // 7))
    return [CLASS_COLORS.get(name) or next(spare) for name in classes]


def class_colormap(classes: Sequence[str]) -> tuple[Colormap, BoundaryNorm]:
    """Color map and norm for integer classes; NaN and masked values are grey."""
    colormap = ListedColormap(class_colors(classes)).with_extremes(bad=MISSING_COLOR)
    return colormap, BoundaryNorm(np.arange(len(classes) + 1) - 0.5, len(classes))


def continuous_colormap(name: str, missing: Any = MISSING_COLOR) -> Colormap:
    """A color map of Matplotlib with missing values in one color."""
    return matplotlib.colormaps[name].with_extremes(bad=missing)


def masked_classes(values: Any) -> np.ma.MaskedArray:
    """Classes with negative values and NaN masked."""
    plain = np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
    return np.ma.masked_array(plain, mask=~(plain >= 0))


def class_legend(figure: Figure, classes: Sequence[str], *, missing: bool = False) -> Legend:
    """One legend for a figure of classes."""
    handles = [
        Patch(facecolor=color, edgecolor="#666666", linewidth=0.5, label=name)
        for name, color in zip(classes, class_colors(classes), strict=True)
    ]
    if missing:
        handles.append(Patch(facecolor=MISSING_COLOR, edgecolor="#666666", linewidth=0.5, label="no data"))
    return figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that lays itself out, sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def title_of(text: str, simulated: bool | None) -> str:
    """The title with "(simulated)" where the data are."""
    return f"{text} (simulated)" if simulated else text


def bare(axes: Axes) -> Axes:
    """Hides the upper and right frame lines."""
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 150) -> Path:
    """Writes a figure; it appears under its name when it is complete.

    Args:
        figure: The figure.
        path: A file that ends in .png, .pdf or .svg; its folder is made.
        dpi: Pixels an inch, for PNG.

    Returns:
        The path.

    Raises:
        InputError: If the name ends otherwise.
    """
    path = Path(path)
    check(path.suffix.lower() in _FILE_KINDS, f"A figure's name ends in {', '.join(_FILE_KINDS)}.", path=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        figure.savefig(partial, dpi=dpi)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
