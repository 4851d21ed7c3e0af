"""What a filled file says of itself: where it comes from and how it was made."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..datasets.manifest import file_sha256
from ..datasets.schema import CONVENTIONS
from ..uncertainty import Calibration
from .inpaint_opening import Opened, View
from .inpaint_windows import Filler, WindowPlan

_KEPT = (
    "title", "location", "institution", "year", "month", "day", "references",
    "site_id", "facility_id", "datastream", "simulated",
)  # fmt: skip
_IDENTIFIERS = ("pid", "file_uuid", "doi")  # of the input, not of what is made from it


def global_attributes(
    source: Any, opened: Opened, filler: Filler, view: View, plan: WindowPlan, interpolation: str
) -> dict[str, Any]:
    """Global attributes: those of the input that still hold, how the file was made, the model's card.

    Args:
        source: The run, or the ensemble.
        opened: The input.
        filler: What filled it.
        view: What was hidden.
        plan: The windows.
        interpolation: Between the network's rows and columns.
    """
    from ..export import model_card

    given = opened.grid.attributes
    runs = getattr(source, "runs", (source,))
    cards = [model_card(run) for run in runs]
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    step = f"{now}: cloudkeras {__version__} inpaint, model {source.name}, input {opened.grid.path.name}"
    title = str(given.get("title", "")) or f"Radar reflectivity of {opened.grid.path.name}"
    observed = opened.record.source if opened.record else str(given.get("source", "scene"))
    if opened.record is not None and not opened.record.variable:
        title = f"{observed[0].upper()}{observed[1:]}" + (f", {given['location']}" if "location" in given else "")
    kept = {name: given[name] for name in _KEPT if name in given}
    kept |= {f"input_{name}": given[name] for name in _IDENTIFIERS if name in given}
    made = {
        "Conventions": CONVENTIONS,
        "title": f"{title}, blind zone filled",
        "source": f"{observed}; below {view.top_m:g} m above ground filled by cloudkeras {__version__}, "
        f"model {source.name}",
        "history": f"{given['history']}\n{step}" if given.get("history") else step,
        "input_file": opened.grid.path.name,
        "input_product": opened.product,
        "input_sha256": file_sha256(opened.grid.path),
        "blind_zone_top_m": np.float64(view.top_m),
        "hidden_rows": np.int32(view.hidden_rows),
        "row_depth_m": np.float64(view.row_depth_m),
        "column_s": np.float64(opened.columns.step_s),
        "members": np.int32(filler.drawn),
        "seed": np.int64(filler.seed),
        "statistic": filler.statistic,
        "calibration": _describe_calibration(filler.calibration),
        "interpolation": interpolation,
        "model_trained_on": " and ".join(sorted({_training_data(card) for card in cards})),
        "windows": f"{plan.width} columns, overlap {plan.overlap}, margin {plan.margin}",
        "segments": np.int32(len(plan.segments())),
        "model_card": json.dumps(cards[0] if len(cards) == 1 else cards),
    }
    if "institution" not in kept and "location" in kept:
        made["institution"] = str(kept["location"])
    return kept | made


def _training_data(card: dict[str, Any]) -> str:
    """Whether a run was trained on simulated data or observations."""
    simulated = (card.get("data") or {}).get("simulated")
    return "unknown data" if simulated is None else "simulated data" if simulated else "observations"


def _describe_calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return "none"
    report = calibration.report
    return f"fitted on {report.get('split', '?')} of {Path(str(report.get('data', '?'))).name}, {report.get('fitted')}"
