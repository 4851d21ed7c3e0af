import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.inference.tiling import AxisTiles, pad_to, through_tiles


def test_starts_have_a_regular_stride_and_an_edge_aligned_end():
    assert AxisTiles(100, 32, 8).starts == (0, 24, 48, 68)
    assert AxisTiles(104, 32, 8).starts == (0, 24, 48, 72)
    assert AxisTiles(32, 32, 8).starts == (0,)
    assert AxisTiles(33, 32, 8).starts == (0, 1)
    assert AxisTiles(5, 32, 8).starts == (0,)


@pytest.mark.parametrize("size", [1, 7, 16, 17, 31, 40, 41, 100, 129])
@pytest.mark.parametrize(
    ("tile", "overlap", "margin"), [(16, 0, 0), (16, 4, 0), (16, 4, 2), (16, 12, 3), (7, 6, 3), (1, 0, 0)]
)
def test_weights_cover_every_pixel_and_add_up_to_one(size, tile, overlap, margin):
    axis = AxisTiles(size, tile, overlap, margin)
    total = np.zeros(axis.padded_size)
    largest = np.zeros(axis.padded_size)
    for index, start in enumerate(axis.starts):
        weights = axis.weights(index)
        assert weights.shape == (tile,) and (weights >= 0).all()
        total[start : start + tile] += weights
        largest[start : start + tile] = np.maximum(largest[start : start + tile], weights)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert largest.min() > 0


def test_weights_by_hand():
    # Two tiles of 8 that share 4 pixels, no margin: squared sines at 1/8, 3/8, 5/8, 7/8 of a quarter turn.
    axis = AxisTiles(12, 8, 4)
    rise = np.sin(np.pi / 2 * np.array([0.125, 0.375, 0.625, 0.875])) ** 2
    np.testing.assert_allclose(axis.weights(0), [1, 1, 1, 1, *rise[::-1]], atol=1e-6)
    np.testing.assert_allclose(axis.weights(1), [*rise, 1, 1, 1, 1], atol=1e-6)


def test_margin_pixels_at_inner_borders_have_no_weight_and_outer_borders_keep_theirs():
    axis = AxisTiles(40, 16, 8, 3)
    assert axis.starts == (0, 8, 16, 24)
    assert (axis.weights(0)[:8] > 0).all() and (axis.weights(0)[-3:] == 0).all()
    middle = axis.weights(1)
    assert (middle[:3] == 0).all() and (middle[-3:] == 0).all() and (middle[3:-3] > 0).all()
    assert (axis.weights(3)[-3:] == 1).all()


def test_weights_change_smoothly_from_pixel_to_pixel():
    """No seam: also where the last tile shares more with its neighbor than the others do."""
    axis = AxisTiles(101, 32, 16)
    profile = np.zeros((len(axis), axis.padded_size))
    for index, start in enumerate(axis.starts):
        profile[index, start : start + 32] = axis.weights(index)
    # A raised cosine over 16 pixels is at most pi / 32 = 0.098 steep; a little more where three tiles share the end.
    assert np.abs(np.diff(profile, axis=1)).max() < 0.12


def mean_3x3(image):
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    rows, columns = image.shape[:2]
    return sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9


@pytest.mark.parametrize("shape", [(50, 67), (20, 20), (21, 90), (64, 33)])
def test_a_local_operation_through_tiles_equals_the_same_operation_without(shape):
    image = np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32)
    through = through_tiles(image, mean_3x3, tile=20, overlap=6, margin=1)
    np.testing.assert_allclose(through, mean_3x3(image), atol=1e-6)
    # Without the margin the tiles' own borders shine through: the margin is what makes it exact.
    leaky = through_tiles(image, mean_3x3, tile=20, overlap=6, margin=0)
    assert shape == (20, 20) or np.abs(leaky - mean_3x3(image)).max() > 1e-4


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (1, 50), (19, 300)])
def test_any_size_also_smaller_than_a_tile(shape):
    image = np.random.default_rng(1).normal(size=(*shape, 3)).astype(np.float32)
    result = through_tiles(image, lambda x: 2 * x, tile=16, overlap=5)
    np.testing.assert_allclose(result, 2 * image, atol=1e-6)


def test_a_constant_stays_constant_even_if_tiles_disagree_at_their_borders():
    image = np.ones((90, 90, 1), np.float32)
    np.testing.assert_allclose(through_tiles(image, lambda x: x, 32, 12, 2), 1, atol=1e-6)

    def spoiled(tile):
        tile = tile.copy()
        tile[:2] = tile[-2:] = tile[:, :2] = tile[:, -2:] = 1000
        return tile

    inner = through_tiles(image, spoiled, 32, 12, 2)[2:-2, 2:-2]
    np.testing.assert_allclose(inner, 1, atol=1e-6)


@pytest.mark.parametrize("size", [30, 100, 500, 501, 517])
def test_groups_partition_the_axis_and_hold_every_tile_with_weight(size):
    axis = AxisTiles(size, 32, 8, 2)
    groups = list(axis.groups(100))
    assert [g[0] for g in groups] == [0, *[g[1] for g in groups[:-1]]] and groups[-1][1] == axis.padded_size
    for first, stop, inside in groups:
        assert stop - first <= 100 + axis.stride
        for index, start in enumerate(axis.starts):
            touched = start < stop and start + 32 > first
            assert (index in inside) == touched


def test_complete_before_is_where_the_next_tile_begins():
    axis = AxisTiles(100, 32, 8)
    assert [axis.complete_before(i) for i in range(4)] == [24, 48, 68, 100]


def test_pad_to_mirrors_as_often_as_it_takes():
    row = np.arange(3.0)[None]
    np.testing.assert_array_equal(pad_to(row, 2, 8), [[0, 1, 2, 2, 1, 0, 0, 1]] * 2)
    assert pad_to(row, 1, 3) is row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 8, 8), "`overlap` is at least 0 and smaller than the tile"),
        ((10, 8, -1), "`overlap`"),
        ((10, 8, 4, 3), "`margin` is at least 0 and at most half of the overlap"),
        ((0, 8), "at least 1 pixel along each axis"),
        ((10, 0), "`tile` is at least 1"),
    ],
)
def test_wrong_geometry_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        AxisTiles(*arguments)
