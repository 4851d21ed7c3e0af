from __future__ import annotations

import numpy as np
import pytest

from cloudkeras.errors import InputError
from cloudkeras.tasks import get_task
from cloudkeras.uncertainty import DeepEnsemble

from .made import Fixed, Source, radar_input


def test_each_run_is_a_member_up_to_their_number():
    x, _ = radar_input()
    ensemble = DeepEnsemble([Fixed("a", 0.1), Fixed("b", 0.3), Fixed("c", 0.8)])
    members = ensemble.sample(x)
    np.testing.assert_allclose(members[:, 0, 0, 0, 0], [0.1, 0.3, 0.8])
    assert members.shape == (3, *x.shape[:3], 1)
    np.testing.assert_allclose(ensemble.sample(x, 2)[:, 0, 0, 0, 0], [0.1, 0.3])
    np.testing.assert_allclose(ensemble(x), 0.4, rtol=1e-6)
    assert ensemble.task == Fixed().task and "a" in ensemble.path


def test_passes_are_spread_over_runs_with_dropout_and_differ():
    x, _ = radar_input()
    ensemble = DeepEnsemble([Source("a"), Source("b")])
    members = ensemble.sample(x, 5, seed=1)
    assert len(members) == 5
    np.testing.assert_array_equal(ensemble.sample(x, 5, seed=1), members)
    assert not np.array_equal(members[0], members[3])  # run b has another seed than run a
    assert not np.array_equal(ensemble.sample(x, 5, seed=2), members)


def test_more_members_than_deterministic_runs_are_refused():
    class Refusing(Fixed):
        def sample(self, x, members, *, seed=0):
            raise InputError("always says the same")

    x, _ = radar_input()
    ensemble = DeepEnsemble([Refusing("a"), Refusing("b")], "two")
    assert len(ensemble.sample(x, 2)) == 2
    with pytest.raises(InputError, match=r"'two' has 2 runs and run 'a' always says the same.*members=3"):
        ensemble.sample(x, 3)


def test_runs_that_do_not_go_together():
    with pytest.raises(InputError, match="2 runs or more"):
        DeepEnsemble([Source()])
    with pytest.raises(InputError, match="same task and options"):
        DeepEnsemble([Source("a"), Source("b", task=get_task("blind_zone"))])
    with pytest.raises(InputError, match="normalized alike"):
        DeepEnsemble([Source("a"), Source("b", statistics={"reflectivity": {"mean": [1.0], "std": [1.0]}})])
    with pytest.raises(InputError, match="`members` is at least 1"):
        DeepEnsemble([Source("a"), Source("b")]).sample(radar_input()[0], 0)
