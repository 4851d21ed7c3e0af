import numpy as np

from cloudkeras.layers import RepeatDownward


def test_each_column_repeats_its_first_visible_row_whatever_is_hidden():
    """Rows from the lowest: 2 hidden in column 0, 3 in column 1; 9 and 8 are hidden values that must not matter."""
    values = np.array([[9, 8], [9, 8], [1, 8], [2, 5], [3, 6]], "float32")
    mask = np.array([[1, 1], [1, 1], [0.5, 1], [0, 0.5], [0, 0]], "float32")
    context = np.arange(10, dtype="float32").reshape(5, 2)
    x = np.stack([values, context, mask], axis=-1)[None]
    filled = np.asarray(RepeatDownward()(x))
    expected = np.array([[1, 5], [1, 5], [1, 5], [2, 5], [3, 6]], "float32")
    np.testing.assert_array_equal(filled[0, ..., 0], expected)
    np.testing.assert_array_equal(filled[..., 1:], x[..., 1:])


def test_a_column_without_echo_in_its_first_visible_row_gets_zero():
    x = np.stack([[[0.3], [-1.0], [0.7]], [[1.0], [0.0], [0.0]]], axis=-1)[None].astype("float32")
    np.testing.assert_allclose(np.asarray(RepeatDownward()(x))[0, :, 0, 0], [0.0, -1.0, 0.7])
    np.testing.assert_allclose(np.asarray(RepeatDownward(threshold=-2.0)(x))[0, :, 0, 0], [-1.0, -1.0, 0.7])


def test_a_column_without_a_visible_row_gets_zero():
    x = np.stack([np.full((4, 1), 7.0), np.ones((4, 1))], axis=-1)[None].astype("float32")
    np.testing.assert_array_equal(np.asarray(RepeatDownward()(x))[0, :, 0, 0], 0.0)
