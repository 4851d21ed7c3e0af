"""Power spectra of the blind zone, in the vertical and in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .radar_methods import TRUTH, blind_rows, chosen_methods, line_style, step_seconds, subject
from .style import bare, new_figure, title_of

_MOST_DECADES = 4.0  # below the lowest power of the truth: a method without any variation would rule the axis


def plot_power_spectra(scores: Any, *, methods: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Mean power spectral density of reflectivity, vertical (left) and temporal (right), with the truth's interval.

    Args:
        scores: `Scores` of `blind_zone`.
        methods: Methods to show; None shows the best seven.
        title: Title of the figure; None says what was scored.

    Raises:
        InputError: If there is no such method, or the scores are of another task.
    """
    names = chosen_methods(scores, methods)
    figure = new_figure(9.6, 4.4)
    left, right = figure.subplots(1, 2)
    rows, seconds = blind_rows(scores), step_seconds(scores)
    _draw(left, scores, names, "vertical", "vertical_profiles", rows.depth_km)
    left.set_xlabel("vertical frequency (cycles per km)")
    left.set_ylabel("power spectral density (dB$^2$ km)")
    minutes = None if seconds is None else seconds / 60
    _draw(right, scores, names, "temporal", "temporal_segments", minutes or 1.0)
    right.set_xlabel(f"frequency (cycles per {'minute' if minutes else 'profile'})")
    right.set_ylabel(f"power spectral density (dB$^2$ {'min' if minutes else 'profile'})")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, fontsize=9)
    figure.suptitle(title_of(title or f"Power spectra of the blind zone, {subject(scores)}", scores.simulated))
    return figure


def _draw(axis: Axes, scores: Any, methods: Sequence[str], which: str, count: str, spacing: float) -> None:
    """Spectra against frequency; `spacing` is what a sample stands for in the unit of the axis."""
    from ..metrics.radar_spectra import mean_power, temporal_frequencies, vertical_frequencies  # brings Keras

    total = scores.total(methods[0])
    true = mean_power(total[f"true_{which}_power"], total[count])
    if which == "vertical":
        frequencies = vertical_frequencies(scores.metrics.blind_rows) / spacing
    else:
        frequencies = temporal_frequencies(len(true)) / spacing
    axis.set_title(which, fontsize=10)
    if len(true) == 0 or not np.isfinite(true).any():
        axis.text(0.5, 0.5, "no complete profile", transform=axis.transAxes, ha="center")
        axis.plot([], [], **TRUTH)
        return
    draws = scores.resampled(methods[0], [f"true_{which}_power", count])
    if len(draws[count]):
        tail = 50 * (1 - scores.confidence)
        spread = mean_power(draws[f"true_{which}_power"], draws[count])
        low, high = np.nanpercentile(spread, [tail, 100 - tail], axis=0) * spacing
        label = f"truth, {100 * scores.confidence:g} % interval"
        axis.fill_between(frequencies, low, high, color="#000000", alpha=0.13, linewidth=0, label=label)
    lines = {name: mean_power(scores.total(name)[f"predicted_{which}_power"], total[count]) for name in methods}
    for name, power in lines.items():
        axis.plot(frequencies, power * spacing, **line_style(scores, name))
    axis.plot(frequencies, true * spacing, **TRUTH)
    _log_axes(axis, true, lines, spacing)


def _log_axes(axis: Axes, true: np.ndarray, lines: Mapping[str, np.ndarray], spacing: float) -> None:
    """Logarithmic axes around the truth; methods that stay below are named."""
    axis.set(xscale="log", yscale="log")
    highest = max(float(power.max()) for power in (true, *lines.values()))
    if highest > 0:
        floor = (true[true > 0].min() if (true > 0).any() else highest) * 10**-_MOST_DECADES
        lowest = min(float(power[power > floor].min()) for power in (true, *lines.values()) if (power > floor).any())
        axis.set_ylim(lowest * spacing / 2, highest * spacing * 2)
        below = [name for name, power in lines.items() if (power <= floor).all()]
        if below:
            note = f"no variation: {', '.join(below)}"
            axis.text(0.02, 0.02, note, transform=axis.transAxes, fontsize=7, color="#666666")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(which="major", color="#e4e4e4", linewidth=0.5)
    axis.tick_params(labelsize=8)
    bare(axis)
