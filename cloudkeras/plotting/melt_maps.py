"""Figures of mapped melting seasons: an animation beside SAR, and melt extent by day."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..errors import InputError, check
from .style import LINE_COLORS, MISSING_COLOR, bare, continuous_colormap, new_figure, title_of

MAP_COLORS = "Blues"
OCEAN_COLOR = "#f3ead7"  # sand: no color of the map, nor that of missing values
_DPI = 100
_WHITE = 255  # its place in the palette
_PANEL_INCHES = 4.6  # the longer side of a panel
ANIMATIONS = ("gif", "mp4")

Frame = tuple[datetime.date, "np.ndarray | None", np.ndarray]
"""A day, its SAR image or None, and its map: (y, x) fractions, NaN where missing."""


def ocean_image(land: Any) -> np.ndarray:
    """(y, x, 4): what is not land in its color, the rest transparent."""
    mask = np.asarray(land, bool)
    image = np.zeros((*mask.shape, 4), np.float32)
    image[..., :3], image[..., 3] = [int(OCEAN_COLOR[i : i + 2], 16) / 255 for i in (1, 3, 5)], ~mask
    return image


def map_legend() -> list[Patch]:
    """What the colors stand for that are none of the color map."""
    colors = ((MISSING_COLOR, "not seen"), (OCEAN_COLOR, "ocean"))
    return [Patch(facecolor=color, edgecolor="#666666", linewidth=0.5, label=label) for color, label in colors]


class SeasonFrames:
    """Draws one day after another into the same figure.

    Args:
        land: (y, x) bool; what is not land is drawn as ocean.
        method: Name of what predicted.
        pixel_km: Size of a pixel.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """

    def __init__(
        self, land: np.ndarray, *, method: str, pixel_km: float, title: str = "Meltwater", simulated: bool = False
    ) -> None:
        rows, columns = land.shape
        scale = _PANEL_INCHES / max(rows, columns)
        wide, high = max(columns * scale, 2.6), max(rows * scale, 2.2)
        # Even numbers of pixels, or the usual encoders of MP4 refuse.
        size = (2 * round(inches * _DPI / 2) / _DPI for inches in (2 * wide + 1.9, high + 1.35))
        self.figure = new_figure(*size)
        extent = (0.0, columns * pixel_km, rows * pixel_km, 0.0)
        ocean = ocean_image(land)
        self.images, self.axes = [], self.figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, name in zip(self.axes, ("SAR", method), strict=True):
            image = axes.imshow(
                np.full(land.shape, np.nan, np.float32),
                cmap=continuous_colormap(MAP_COLORS),
                vmin=0,
                vmax=1,
                extent=extent,
                interpolation="nearest",
            )
            axes.imshow(ocean, extent=extent, interpolation="nearest")
            axes.set_title(name, fontsize=11)
            axes.set_xlabel("km from the west", fontsize=9)
            self.images.append(image)
        self.axes[0].set_ylabel("km from the north", fontsize=9)
        middle = {"transform": self.axes[0].transAxes, "ha": "center", "va": "center", "fontsize": 11}
        self.nothing = self.axes[0].text(0.5, 0.5, "no SAR image\non this day", **middle)
        self.figure.colorbar(self.images[1], ax=self.axes, label="melt fraction", shrink=0.8, pad=0.02)
        self.figure.legend(handles=map_legend(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        self.title, self.simulated = title, simulated
        self.heading = self.figure.suptitle(title_of(title, simulated), fontsize=12)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # the same layout in all frames, worked out once

    def draw(self, day: datetime.date, sar: np.ndarray | None, predicted: np.ndarray) -> Figure:
        """Puts a day into the figure; None for a day without SAR."""
        self.images[0].set_data(np.full(predicted.shape, np.nan, np.float32) if sar is None else sar)
        self.images[1].set_data(predicted)
        self.nothing.set_visible(sar is None)
        label = title_of(self.title, self.simulated)
        self.heading.set_text(f"{label}, {day.day} {day:%B %Y}")
        return self.figure


def check_animation(kind: str) -> str:
    """Returns the kind of animation if it can be written here.

    Raises:
        InputError: If it is unknown, or MP4 where there is no ffmpeg.
    """
    check(kind in ANIMATIONS, "An animation is a gif or an mp4.", animation=kind)
    if kind == "mp4" and shutil.which("ffmpeg") is None:
        raise InputError("An MP4 needs the program ffmpeg, which is not there. Install it, or write a GIF.")
    return kind


def save_season_animation(
    path: str | Path, drawer: SeasonFrames, frames: Iterator[Frame], *, frames_per_second: int = 6
) -> Path:
    """Writes an animation; it appears when it is complete. Frames are taken one by one.

    Args:
        path: A file that ends in .gif or .mp4; its folder is made.
        drawer: Draws the frames.
        frames: Days in order.
        frames_per_second: Days a second.

    Returns:
        The path.
    """
    path = Path(path)
    kind = check_animation(path.suffix.lower().lstrip("."))
    check(frames_per_second >= 1, "`frames_per_second` is at least 1.", frames_per_second=frames_per_second)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    write = _write_gif if kind == "gif" else _write_mp4
    try:
        write(partial, (drawer.draw(*frame) for frame in frames), frames_per_second)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _pixels(figure: Figure) -> np.ndarray:
    """(rows, columns, 3) bytes of a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _write_gif(path: Path, figures: Iterator[Figure], frames_per_second: int) -> None:
    """One palette for all frames; a byte a pixel of all frames in memory."""
    from PIL import Image

    palette = _palette()
    images: list[Any] = []
    for figure in figures:
        pixels = _pixels(figure)
        indices = np.asarray(Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE)).copy()
        indices[(pixels == 255).all(axis=-1)] = _WHITE  # Pillow takes a color near it
        image = Image.fromarray(indices)
        image.putpalette(palette.getpalette())
        images.append(image)
    check(len(images) > 0, "An animation has at least one frame.")
    duration = round(1000 / frames_per_second)
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0, optimize=False)


def _palette() -> Any:
    """An image whose palette holds the color map in 200 steps, the named colors and greys."""
    from matplotlib.colors import to_rgb
    from PIL import Image

    colors = [tuple(c[:3]) for c in continuous_colormap(MAP_COLORS)(np.linspace(0, 1, 200))]
    colors += [to_rgb(MISSING_COLOR), to_rgb(OCEAN_COLOR), to_rgb("#222222")]
    colors += [(level, level, level) for level in np.linspace(0, 1, 256 - len(colors))]
    image = Image.new("P", (1, 1))
    image.putpalette([round(255 * float(channel)) for color in colors for channel in color])
    return image


def _write_mp4(path: Path, figures: Iterator[Figure], frames_per_second: int) -> None:
    from matplotlib.animation import FFMpegWriter

    writer: Any = None
    for figure in figures:
        if writer is None:
            writer = FFMpegWriter(fps=frames_per_second, extra_args=["-pix_fmt", "yuv420p"])
            writer.setup(figure, str(path), dpi=_DPI)
        writer.grab_frame()
    check(writer is not None, "An animation has at least one frame.")
    writer.finish()


def plot_season_extent(
    rows: Sequence[Any], *, method: str, title: str = "Melt extent", simulated: bool | None = None
) -> Figure:
    """Melt extent by day, one panel a year: the map as a line; SAR and the map, both where SAR saw, as points.

    Args:
        rows: `inference.maps_extent.ExtentDay` of each day.
        method: Name of what predicted.
        title: Title of the figure.
        simulated: Whether the data are simulated; the title says so.
    """
    check(len(rows) > 0, "`rows` has at least one day.")
    years = sorted({row.date.year for row in rows})
    figure = new_figure(9.0, 1.4 + 1.9 * len(years))
    axes = figure.subplots(len(years), 1, sharey=True, squeeze=False)[:, 0]
    handles: dict[str, Any] = {}
    for axis, year in zip(axes, years, strict=True):
        mine = sorted((row for row in rows if row.date.year == year), key=lambda row: row.date)
        days, extent = _with_gaps([row.date for row in mine], [row.extent_km2 for row in mine])
        (line,) = axis.plot(days, extent, color=LINE_COLORS[1], linewidth=1.3, marker=".", markersize=2.5)
        handles["whole map"] = line
        for training, kind in ((True, "training days"), (False, "other days")):
            seen = [row for row in mine if row.training == training and np.isfinite(row.sar_extent_km2)]
            if not seen:
                continue
            when = [row.date for row in seen]
            for label, color, marker, values in (
                ("SAR", LINE_COLORS[0], "o", [row.sar_extent_km2 for row in seen]),
                ("map where SAR saw", LINE_COLORS[2], "d", [row.extent_where_seen_km2 for row in seen]),
            ):
                face = "none" if training else color
                (points,) = axis.plot(
                    when, values, linestyle="none", marker=marker, markersize=4.5, color=color, markerfacecolor=face
                )
                handles[f"{label}, {kind}"] = points
        _season_axis(axis, year, mine)
    axes[0].set_ylim(0, 1.08 * max(axes[0].get_ylim()[1], 1e-6))
    order = sorted(handles, key=lambda label: ("training" in label, label))
    figure.legend(
        [handles[label] for label in order], order, loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    figure.suptitle(title_of(f"{title}, {method}", simulated), fontsize=12)
    return figure


def _season_axis(axis: Any, year: int, rows: Sequence[Any]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    first, last = rows[0].date, rows[-1].date
    edge = datetime.timedelta(days=max(1, 7 - (last - first).days // 2))  # two weeks at least, or ticks are hours
    axis.set_xlim(first - edge, last + edge)
    locator = AutoDateLocator(minticks=3, maxticks=9)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axis.set_ylabel(f"{year}\nmelt extent (km²)", fontsize=9)
    bare(axis)


def _with_gaps(days: Sequence[datetime.date], values: Sequence[float]) -> tuple[list[datetime.date], list[float]]:
    """The series with NaN on the first day of each gap, so that no line is drawn over it."""
    some_days: list[datetime.date] = []
    some: list[float] = []
    for day, value in zip(days, values, strict=True):
        if some_days and (day - some_days[-1]).days > 1:
            some_days.append(some_days[-1] + datetime.timedelta(days=1))
            some.append(float("nan"))
        some_days.append(day)
        some.append(value)
    return some_days, some


def season_frames(
    days: Sequence[datetime.date],
    read_map: Callable[[datetime.date], np.ndarray],
    read_sar: Callable[[datetime.date], np.ndarray | None],
) -> Iterator[Frame]:
    """Frames of the days, read when they are drawn."""
    for day in days:
        yield day, read_sar(day), read_map(day)
