from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from cloudkeras.errors import DataError, InputError
from cloudkeras.evaluation import Scores, merge_scores

from .made import made_radar_scores, made_scores


def test_values_are_those_of_the_summed_counts():
    scores = made_scores()
    total = scores.statistics["fair"]["confusion"].sum(axis=(0, 1))
    assert scores.values["fair"]["accuracy"] == pytest.approx(np.trace(total) / total.sum())
    assert scores.score("fair", "accuracy").value == scores.values["fair"]["accuracy"]
    assert scores.profiles["fair"]["f1_macro"].shape == (2,)


def test_methods_are_ranked_and_compared_with_the_best_baseline():
    scores = made_scores()
    assert scores.methods == ("good", "fair", "clear")
    assert scores.compared_with == "fair"
    assert dataclasses.replace(scores, reference="clear").compared_with == "clear"
    assert dataclasses.replace(scores, baselines=()).compared_with == "good"


def test_intervals_hold_the_value_and_differences_are_paired():
    scores = made_scores()
    value, low, high = scores.score("fair", "f1_macro")
    assert low < value < high
    assert tuple(scores.difference("fair", "f1_macro", "fair")) == (0, 0, 0)
    difference = scores.difference("good", "f1_macro")
    assert difference.value == pytest.approx(scores.values["good"]["f1_macro"] - scores.values["fair"]["f1_macro"])
    assert 0 < difference.low < difference.value < difference.high
    # On the same draws a difference is at most as uncertain as two methods on their own.
    ours, theirs = scores.score("good", "f1_macro"), scores.score("fair", "f1_macro")
    assert difference.high - difference.low <= (ours.high - ours.low) + (theirs.high - theirs.low)


def test_same_seed_same_intervals():
    assert made_scores().score("fair", "f1_macro") == made_scores().score("fair", "f1_macro")
    assert made_scores(bootstrap=201).score("fair", "f1_macro") != made_scores().score("fair", "f1_macro")


def test_parts_merge_to_the_whole():
    whole = made_scores(samples=12)
    parts = []
    for rows in (slice(0, 4), slice(4, 12)):
        statistics = {m: {k: v[rows] for k, v in s.items()} for m, s in whole.statistics.items()}
        parts.append(dataclasses.replace(whole, statistics=statistics, groups=whole.groups[rows]))
    merged = merge_scores(parts)
    assert merged.values == whole.values
    assert merged.score("good", "iou_macro") == whole.score("good", "iou_macro")


def test_parts_that_do_not_belong_together_are_refused():
    scores = made_scores()
    fewer = dataclasses.replace(scores, statistics={"good": scores.statistics["good"]}, baselines=())
    with pytest.raises(InputError, match="have the same methods"):
        merge_scores([scores, fewer])
    with pytest.raises(InputError, match="have the same `simulated`"):
        merge_scores([scores, dataclasses.replace(scores, simulated=True)])
    with pytest.raises(InputError, match="at least one part"):
        merge_scores([])


def test_saved_scores_are_read_again(tmp_path):
    scores = made_scores(simulated=True, reference="clear")
    paths = scores.save(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == ["scores.json", "scores.md", "scores.npz"]
    for source in (tmp_path / "new" / "folder", paths["counts"]):
        again = Scores.load(source)
        assert again.to_dict() == scores.to_dict() and again.to_markdown() == scores.to_markdown()


def test_what_the_truth_alone_decides_is_kept_once(tmp_path):
    scores = made_radar_scores()
    scores.save(tmp_path)
    with np.load(tmp_path / "scores.npz") as file:
        names = [name for name in file.files if "/" in name]
    once = set(scores.metrics.truth_only)
    assert len(names) == 3 * len(scores.statistics["good"]) - 2 * len(once)
    again = Scores.load(tmp_path)
    assert again.to_json() == scores.to_json()
    for whole in (again, merge_scores([scores, scores])):
        first, second = whole.statistics["good"], whole.statistics["all_clear"]
        assert {name for name in first if first[name] is second[name]} == once


def test_radar_scores_have_intervals_and_paired_differences():
    scores = made_radar_scores()
    for name in ("ssim", "emd", "psd_vertical", "psd_temporal_bias", "lowest_echo_mae", "hss_cloud"):
        value, low, high = scores.score("noisy", name)
        assert low <= value <= high and low < high, name
        difference = scores.difference("noisy", name, "good")
        assert difference.value == pytest.approx(value - scores.score("good", name).value)
    assert scores.methods == ("good", "noisy", "all_clear")
    assert scores.difference("good", "ssim", "noisy").low > 0 > scores.difference("good", "emd", "noisy").high


def test_resampled_statistics_are_those_of_the_replicates():
    scores = made_radar_scores()
    sums = scores.resampled("noisy", scores.statistics["noisy"])
    low, high = np.percentile(scores.metrics.compute(sums)["emd"], [2.5, 97.5])
    assert (low, high) == pytest.approx(scores.score("noisy", "emd")[1:])
    assert scores.resampled("noisy", ["vertical_profiles"])["vertical_profiles"].shape == (50,)
    assert len(made_radar_scores(bootstrap=0).resampled("noisy", ["rows"])["rows"]) == 0
    np.testing.assert_allclose(scores.total("noisy")["rows"], scores.statistics["noisy"]["rows"].sum(axis=0))


def test_json_holds_everything_and_null_for_what_is_not_defined():
    scores = made_scores(bootstrap=0)
    content = json.loads(scores.to_json(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert content["ranking"] == ["good", "fair", "clear"] and content["reference"] == "fair"
    assert content["scores"]["good"]["f1_macro"]["low"] is None
    assert content["scores"]["good"]["f1_macro"]["value"] == pytest.approx(scores.values["good"]["f1_macro"])
    assert set(content["differences"]) == {"good", "clear"}
    assert len(content["profiles"]["good"]["f1_ice"]) == 2
    assert content["provenance"]["data"] == "somewhere" and content["samples"] == 12 and content["groups"] == 6


def test_files_that_are_no_scores_are_named(tmp_path):
    with pytest.raises(DataError, match=r"scores.npz: expected scores; found no file"):
        Scores.load(tmp_path)
    (tmp_path / "scores.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="expected scores of format 2"):
        Scores.load(tmp_path)
    made_scores().save(tmp_path)
    with np.load(tmp_path / "scores.npz") as file:
        content = {name: file[name] for name in file.files}
    header = json.loads(str(content.pop("header"))) | {"format": 1}
    np.savez(tmp_path / "scores.npz", header=np.array(json.dumps(header)), **content)
    with pytest.raises(DataError, match=r"expected scores of format 2; found format 1\. .*evaluate` again"):
        Scores.load(tmp_path)
    np.savez(tmp_path / "scores.npz", other=np.zeros(3))
    with pytest.raises(DataError, match="header"):
        Scores.load(tmp_path)


def test_wrong_names_and_options_are_named():
    scores = made_scores()
    with pytest.raises(InputError, match="`method` is one of 'good'"):
        scores.score("best", "f1_macro")
    with pytest.raises(InputError, match="`score` is one of 'accuracy'"):
        scores.score("good", "f1")
    with pytest.raises(InputError, match="`confidence` lies between 0 and 1"):
        made_scores(confidence=95)
    with pytest.raises(InputError, match="`reference` is one of"):
        made_scores(reference="nothing")
