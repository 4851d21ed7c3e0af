import numpy as np
import pytest

from cloudkeras.datasets import StreamingStatistics
from cloudkeras.datasets.normalize import class_counts, labelled_counts
from cloudkeras.tasks import BlindZone, CloudPhase
from cloudkeras.tasks.cloud_phase import PHASE, PHASE_DENSE

from .making import cloud_fields, radar_fields


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 9]])
def test_equal_to_numpy_however_it_is_cut(cuts):
    fields = cloud_fields(11)
    statistics = StreamingStatistics(CloudPhase().variables())
    for part in np.split(np.arange(11), cuts):
        statistics.update({name: values[part] for name, values in fields.items()})
    result = statistics.result()
    for name in ("reflectance", "brightness_temperature"):
        values = fields[name].astype(np.float64)
        for key, function in (("mean", np.nanmean), ("std", np.nanstd), ("minimum", np.nanmin), ("maximum", np.nanmax)):
            np.testing.assert_allclose(result[name][key], function(values, axis=(0, 1, 2)), rtol=1e-12)
        assert result[name]["count"] == np.isfinite(values).sum(axis=(0, 1, 2)).tolist()
    np.testing.assert_allclose(
        result["solar_zenith_angle"]["mean"], [np.mean(fields["solar_zenith_angle"], dtype=float)]
    )
    assert "profile_x" not in result and "phase_dense" not in result


def test_a_small_spread_around_a_large_mean_is_kept():
    rng = np.random.default_rng(0)
    statistics = StreamingStatistics(CloudPhase().variables())
    values = 300 + 1e-3 * rng.standard_normal((10, 20, 20, 10))
    for value in values:
        statistics.update({"brightness_temperature": value[None]})
    found = statistics.result()["brightness_temperature"]["std"]
    np.testing.assert_allclose(found, values.std(axis=(0, 1, 2)), rtol=1e-8)


def test_class_counts_by_level_for_tracks_and_dense_labels():
    track = np.full((2, 3, 38), -1)
    track[0, 0, 5] = 2
    track[1, :, 5] = 0
    counts = class_counts(PHASE, track)
    assert counts.shape == (38, 4) and counts[5].tolist() == [3, 0, 1, 0] and counts.sum() == 4
    dense = np.full((2, 38, 4, 4), -1)
    dense[:, 7] = 3
    counts = class_counts(PHASE_DENSE, dense)
    assert counts[7].tolist() == [0, 0, 0, 32] and counts.sum() == 32


def test_class_counts_add_up():
    fields = cloud_fields(6)
    statistics = StreamingStatistics(CloudPhase().variables())
    for i in range(6):
        statistics.update({"phase": fields["phase"][i : i + 1]})
    expected = [[int((fields["phase"][:, :, level] == k).sum()) for k in range(4)] for level in range(38)]
    assert statistics.result()["phase"] == {"class_counts": expected}


def test_what_was_never_observed_changes_nothing():
    statistics = StreamingStatistics(CloudPhase().variables())
    values = np.full((1, 2, 2, 6), np.nan)
    values[..., 1] = 0.5
    statistics.update({"reflectance": values})
    found = statistics.result()["reflectance"]
    assert found["mean"][:2] == [0.0, 0.5] and found["std"][:2] == [1.0, 0.0]
    assert found["minimum"][:2] == [None, 0.5] and found["count"][:2] == [0, 4]


def test_labels_of_both_kinds_of_task():
    fields = cloud_fields(3)
    assert labelled_counts(CloudPhase(), fields) == {"phase": int((fields["phase"] >= 0).sum())}
    task, radar = BlindZone(), radar_fields(2)
    expected = int(np.isfinite(task.target(task.prepare(radar))).sum())
    assert expected > 0
    assert labelled_counts(task, radar) == {"target": expected}
    assert labelled_counts(BlindZone(context=True), radar) == {}
