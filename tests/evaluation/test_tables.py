from __future__ import annotations

import math

from cloudkeras.evaluation.bootstrap import Interval
from cloudkeras.evaluation.tables import aligned, cell

from .made import made_scores


def test_columns_are_aligned():
    assert aligned(["method", "f1"], [["a", "0.1"], ["longer name", "10.25"]]) == [
        "| method      |    f1 |",
        "| ----------- | ----: |",
        "| a           |   0.1 |",
        "| longer name | 10.25 |",
    ]


def test_cells():
    assert cell(Interval(0.61234, 0.59, 0.6333)) == "0.612 [0.590, 0.633]"
    assert cell(Interval(17.81, 9.5, 20)) == "17.81 [9.50, 20.00]"
    assert cell(Interval(0.5, math.nan, math.nan), signed=True) == "+0.500"
    assert cell(Interval(math.nan, math.nan, math.nan)) == "-"


def test_table_names_data_averages_counts_intervals_and_baselines():
    scores = made_scores(simulated=True)
    text = scores.to_markdown()
    voxels = int(scores.values["good"]["voxels"])
    for expected in (
        "# Scores: cloud_phase, SIMULATED data, split test of somewhere",
        "All methods on the same 12 samples. Labels: track.",
        f"Counted: {voxels:,} voxels, of these ",
        "## macro: mean over clear, ice, mixed, liquid",
        "## paired differences to fair",
        "| clear * ",
        "| good  ",
        "95 % bootstrap interval, 200 draws of 6 groups (by granule).",
        "Only 6 groups",
        "Simulated scenes: this says nothing about skill on observations.",
        cell(scores.score("good", "f1_macro")),
    ):
        assert expected in text, expected
    assert max(len(line) for line in text.splitlines()) <= 120


def test_observed_data_and_missing_intervals_are_named():
    text = made_scores(samples=2).to_markdown()
    assert "observed data" in text and "SIMULATED" not in text
    assert "No intervals: all samples are in one group." in text
    assert "[" not in text.split("No intervals")[0]
