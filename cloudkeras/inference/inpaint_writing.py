"""Writes a filled record: the file as it is outside the blind zone, fill, flags and uncertainty inside."""

from __future__ import annotations

from dataclasses import dataclass, field

import netCDF4
import numpy as np

from ..datasets.shards import NETCDF_LOCK, runs
from .inpaint_blend import at_neighbors
from .inpaint_columns import Columns
from .inpaint_grid import FileGrid, create_on_grid
from .inpaint_windows import Filler, Statistics

OBSERVED, FILLED, FILLED_CLEAR, MISSING, SHORT = range(5)
FLAG_MEANINGS = "observed filled filled_without_echo not_filled_missing not_filled_short_segment"
_PROFILES = 1024
_FLOAT_MISSING = np.float32(9.96921e36)
_UNCERTAIN = {"spread": "spread", "quantiles": "quantile", "probability": "echo_probability"}


@dataclass
class FilledFile:
    """An open output file that is filled stretch by stretch.

    Attributes:
        output: The file, open and empty.
        grid: The input's gates and profiles.
        filler: What makes the fill.
        columns: The record on the network's grid.
        top_m: Top of the blind zone, m above ground.
        row_depth_m: Depth of the network's rows.
        linear: Whether values are interpolated between the network's rows and columns, or the nearest is taken.
        fillable: (profile,) in the order of the file: whether a profile saw anything above the blind zone.
        counts: Gates by flag, so far.
    """

    output: netCDF4.Dataset
    grid: FileGrid
    filler: Filler
    columns: Columns
    top_m: float
    row_depth_m: float
    linear: bool
    fillable: np.ndarray
    counts: np.ndarray = field(default_factory=lambda: np.zeros(5, np.int64))
    _tail: tuple[int, Statistics] | None = None

    def __post_init__(self) -> None:
        self.gates = self.grid.blind_gates(self.top_m)
        self.position = self.columns.positions(self.grid.time)
        last = len(self.columns.observed) - 1
        self.nearest = np.rint(np.clip(self.position, 0, last)).astype(int)

    # ---- structure ---------------------------------------------------------------------------------------------------

    def define(self) -> None:
        """Makes all variables."""
        self.grid.define(self.output)
        name, output = self.grid.name, self.output
        with NETCDF_LOCK:
            main = output[name]
            standard = str(getattr(main, "standard_name", ""))
            where = self._coordinates()
            flag = create_on_grid(
                output,
                self.grid,
                "filled",
                np.dtype("i1"),
                None,
                {
                    "long_name": f"where {name} is filled: the blind zone, between the ground and {self.top_m:g} m",
                    "standard_name": "status_flag",
                    "flag_values": np.arange(5, dtype=np.int8),
                    "flag_meanings": FLAG_MEANINGS,
                    "comment": "not_filled_missing: nothing was observed above the blind zone in the profile; "
                    "not_filled_short_segment: too few profiles between two gaps. What the input held there is left "
                    "out.",
                    **where,
                },
            )
            names = [flag.name]
            if self.filler.uncertain:
                names += self._define_uncertainty(standard, where)
            earlier = str(getattr(main, "ancillary_variables", "")).split()
            main.ancillary_variables = " ".join([n for n in earlier if n in output.variables] + names)

    def _coordinates(self) -> dict[str, str]:
        """The attribute `coordinates` of variables beside the reflectivity."""
        main = self.output[self.grid.name]
        if hasattr(main, "coordinates"):
            return {"coordinates": main.coordinates}
        profile_dim = self.grid.dims[self.grid.profile_axis]
        places = [
            n
            for n in ("latitude", "longitude", "altitude", "lat", "lon", "alt")
            if n in self.output.variables and self.output[n].dimensions in ((), (profile_dim,))
        ]
        return {"coordinates": " ".join(places)} if places else {}

    def _define_uncertainty(self, standard: str, where: dict[str, str]) -> list[str]:
        name, output, levels = self.grid.name, self.output, self.filler.levels
        what = "recalibrated members" if self.filler.calibration else "members"
        output.createDimension("quantile", len(levels))
        level = output.createVariable("quantile", "f4", ("quantile",))
        level.setncatts({"long_name": "level of the quantile", "units": "1"})
        level[:] = levels
        described = (
            ("spread", (), "dBZ", f"standard deviation of the {what} of {name} where it is filled"),
            ("quantile", ("quantile",), "dBZ", f"quantiles of {name} where it is filled, -60 for no echo"),
            ("echo_probability", (), "1", f"probability that {name} shows an echo where it is filled"),
        )
        for suffix, before, units, text in described:
            attributes = {"long_name": text, "units": units, **where}
            if suffix == "spread":
                attributes["cell_methods"] = "realization: standard_deviation"
                attributes["comment"] = "In dB: a difference of two values in dBZ, which CF gives their unit."
            if suffix == "quantile" and standard:
                attributes["standard_name"] = standard
            create_on_grid(
                output, self.grid, f"{name}_{suffix}", np.dtype("f4"), _FLOAT_MISSING, attributes, before=before
            )
        return [f"{name}_{suffix}" for suffix, *_ in described]

    # ---- what was observed -------------------------------------------------------------------------------------------

    def copy_observed(self, segments: list[tuple[int, int]]) -> None:
        """Copies the reflectivity as stored; the blind zone is missing until it is filled.

        Args:
            segments: Those that will be filled.
        """
        in_segment = np.zeros(len(self.columns.observed), bool)
        for first, stop in segments:
            in_segment[first:stop] = True
        short = self.fillable & self.columns.observed[self.nearest] & ~in_segment[self.nearest]
        self.fillable = self.fillable & in_segment[self.nearest]
        for start in range(0, self.grid.profiles, _PROFILES):
            part = slice(start, min(start + _PROFILES, self.grid.profiles))
            stored = np.array(self.grid.stored(part))
            hidden = self._hidden(part, slice(None))
            stored[hidden] = self.grid.missing
            flag = np.where(hidden, np.where(short[part, None], SHORT, MISSING), OBSERVED).astype(np.int8)
            self.counts += np.bincount(flag.ravel(), minlength=5)
            with NETCDF_LOCK:
                window = self.grid.window(part)
                self.output[self.grid.name][window] = self.grid.place(stored)
                self.output["filled"][window] = self.grid.place(flag)

    def _hidden(self, profiles: slice | np.ndarray, gates: slice) -> np.ndarray:
        """(profile, gate) whether a gate is in the blind zone."""
        height = self.grid.heights(profiles)[:, gates]
        count = len(self.grid.time[profiles])
        return np.broadcast_to((height >= 0) & (height < self.top_m), (count, height.shape[1]))

    # ---- what is filled ----------------------------------------------------------------------------------------------

    def fill(self, segment: tuple[int, int], start: int, statistics: Statistics) -> None:
        """Fills all profiles of a segment that lie before the end of a stretch of columns.

        Args:
            segment: First and one past the last column of the segment.
            start: First column of the stretch; stretches of a segment come in order.
            statistics: Of the stretch, (..., row, column).
        """
        if self._tail is not None and start > segment[0]:  # the last column of the stretch before
            before, column = self._tail
            start = before
            statistics = {n: np.concatenate([column[n], v], axis=-1) for n, v in statistics.items()}
        stop = start + next(iter(statistics.values())).shape[-1]
        position = np.clip(self.position, segment[0], segment[1] - 1)
        inside = self.fillable & (self.nearest >= segment[0]) & (self.nearest < segment[1]) & (position >= start)
        # A profile between the last column and the next waits for the next.
        inside &= (position < stop) if stop == segment[1] else (position < stop - 1)
        profiles = np.flatnonzero(inside)
        for k in range(0, len(profiles), _PROFILES):
            self._fill_profiles(profiles[k : k + _PROFILES], position, start, statistics)
        self._tail = (stop - 1, {n: v[..., -1:] for n, v in statistics.items()})

    def _fill_profiles(self, profiles: np.ndarray, position: np.ndarray, start: int, statistics: Statistics) -> None:
        height = self.grid.heights(profiles)[:, self.gates]
        row = np.nan_to_num(height) / self.row_depth_m - 0.5
        column = (position[profiles] - start)[:, None]
        if not self.linear:
            row, column = np.rint(row), np.rint(column)
        found = at_neighbors(statistics, row, column, self.filler.atom, self.filler.threshold)
        hidden = self._hidden(profiles, self.gates)
        echo = found["point"] > self.filler.atom
        flag = np.where(echo, FILLED, FILLED_CLEAR).astype(np.int8)
        self.counts[MISSING] -= hidden.sum()
        self.counts += np.bincount(flag[hidden], minlength=5)
        first = 0
        for run in runs(profiles):
            part = slice(first, first + run.stop - run.start)
            first = part.stop
            self._write(run, hidden[part], echo[part], flag[part], {n: v[..., part, :] for n, v in found.items()})

    def _write(self, run: slice, hidden: np.ndarray, echo: np.ndarray, flag: np.ndarray, found: Statistics) -> None:
        grid, output = self.grid, self.output
        clear = grid.missing if grid.no_echo_dbz is None else grid.encode(np.asarray(grid.no_echo_dbz))
        values = np.where(echo, grid.encode(np.where(echo, found["point"], 0.0)), clear)
        window = grid.window(run, self.gates)
        with NETCDF_LOCK:
            for name, new in ((grid.name, values), ("filled", flag)):
                stored = grid.place(np.asarray(output[name][window]))
                output[name][window] = grid.place(np.where(hidden, new, stored).astype(stored.dtype))
            if not self.filler.uncertain:
                return
            for key, suffix in _UNCERTAIN.items():
                new = np.where(hidden, found[key], _FLOAT_MISSING).astype(np.float32)
                output[f"{grid.name}_{suffix}"][(..., *window)] = grid.place(new)
