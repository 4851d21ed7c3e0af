"""The figure of the trials, and what it calls important."""

from __future__ import annotations

import itertools

import numpy as np

from tuning.figure import draw_trials, importance
from tuning.search_space import Parameter
from tuning.trials import Row

SPACE = (
    Parameter("learning_rate", (1e-4, 1e-3, 1e-2)),
    Parameter("dropout", (0.0, 0.2)),
    Parameter("loss", ("masked_mae", "masked_mse", "unet3plus_hybrid"), ordered=False),
)


def rows(failed: int = 0) -> list[Row]:
    """The score is the place of the learning rate, with a little of the dropout."""
    points = itertools.product(*(p.values for p in SPACE))
    found = []
    for i, values in enumerate(points):
        point = dict(zip(("learning_rate", "dropout", "loss"), values, strict=True))
        score = SPACE[0].values.index(values[0]) + 0.1 * SPACE[1].values.index(values[1])
        found.append(Row(0, str(i), score, "diverged" if i < failed else "", 3, point))
    found.sort(key=lambda r: (bool(r.failed), -r.score))
    return [Row(rank, r.trial, r.score, r.failed, r.epochs, r.values) for rank, r in enumerate(found, 1)]


def test_importance_finds_what_the_score_was_made_of():
    mean, deviation = importance(rows(), SPACE)
    assert np.argmax(mean) == 0
    assert mean[0] > 10 * max(mean[2], 0.01)
    assert (deviation >= 0).all()


def test_it_is_drawn_with_and_without_importance_and_with_failures(tmp_path):
    from matplotlib.image import imread

    heights = {}
    for name, chosen in (("many", rows(2)), ("few", rows()[:5]), ("failed", [rows(18)[0]])):
        draw_trials(chosen, SPACE, "val_macro_f1", True, tmp_path / f"{name}.png")
        image = imread(tmp_path / f"{name}.png")
        heights[name] = image.shape[0]
        assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 20
    assert heights["many"] > heights["few"]
    assert not list(tmp_path.glob(".partial*"))
