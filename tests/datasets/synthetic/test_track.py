import numpy as np

from cloudkeras.datasets.synthetic.track import Track, along_track, draw_track


def tracks(shape=(128, 128), count=300):
    return [draw_track(np.random.default_rng(i), shape) for i in range(count)]


def test_track_drifts_by_a_fifth_of_a_column_a_row():
    drifts = []
    for track in tracks():
        n = (track.y >= 0).sum()
        rows, columns = track.y[:n].astype(int), track.x[:n].astype(int)
        assert np.all(np.abs(np.diff(rows)) == 1)
        if n == 128:
            drifts.append(abs(columns[-1] - columns[0]) / 127)
    assert 0.18 < np.mean(drifts) < 0.22


def test_track_goes_west_in_both_directions():
    for track in tracks(count=40):
        n = (track.y >= 0).sum()
        assert track.x[n - 1] < track.x[0]
        assert (track.y[n - 1] < track.y[0]) == track.ascending
    assert 0.3 < np.mean([t.ascending for t in tracks()]) < 0.7


def test_tracks_cross_everywhere_and_are_padded():
    found = tracks(shape=(64, 48))
    assert all(t.y.shape == t.x.shape == (64,) for t in found)
    assert all((t.y >= 0).sum() >= 32 for t in found)
    assert any((t.y < 0).any() for t in found)
    assert all(((t.y < 0) == (t.x < 0)).all() for t in found)
    columns = np.concatenate([t.x[t.x >= 0] for t in found])
    assert set(columns) == set(range(48))


def test_profiles_are_taken_at_the_track():
    dense = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.int16)
    track = Track(np.array([2, 1, -1], np.int16), np.array([3, 0, -1], np.int16), True)
    # rows 2 and 1, columns 3 and 0 of each level; the third profile does not exist
    np.testing.assert_array_equal(along_track(dense, track), [[11, 23], [4, 16], [-1, -1]])
