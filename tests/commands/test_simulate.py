import netCDF4
import numpy as np
import pytest

from cloudkeras.cli import main
from cloudkeras.datasets.synthetic import simulate_curtain


def simulate(*options):
    return main(["simulate", *map(str, options)])


def test_shards(tmp_path, capsys):
    out = tmp_path / "data"
    assert simulate("--out", out, "--samples", 4, "--size", 16, "--seed", 2, "--fractions", 0.5, 0.25, 0.25) == 0
    captured = capsys.readouterr()
    assert "simulated shards of cloud_phase (seed 2)" in captured.out
    assert "4 of 4 scenes" in captured.err
    assert (out / "manifest.json").exists()


def test_scene(tmp_path, capsys):
    out = tmp_path / "scene.nc"
    assert simulate("--scene", 16, 24, "--out", out) == 0
    assert "simulated scene of 16 x 24 pixels" in capsys.readouterr().out
    with netCDF4.Dataset(out) as file:
        assert file["reflectance"].shape == (16, 24, 6)


def test_radar_record(tmp_path, capsys):
    out = tmp_path / "day.nc"
    assert simulate("--task", "blind_zone", "--scene", 32, 48, "--seed", 3, "--out", out) == 0
    assert "simulated radar record of 32 rows x 48 profiles, 0.4 h" in capsys.readouterr().out
    made = simulate_curtain(3, (32, 48))
    with netCDF4.Dataset(out) as file:
        assert file.simulated == "true"
        assert file["reflectivity"].dimensions == ("height", "profile")
        assert np.abs(file["reflectivity"][...] - made.fields["reflectivity"]).max() <= 0.005  # packed
        assert np.array_equal(file["temperature"][...], made.fields["temperature"])
        assert np.allclose(np.diff(file["time"][...]), 30)
        assert np.array_equal(file["height"][...], made.height)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "snowfall"), "`task` is one of 'cloud_phase', 'blind_zone', 'meltwater'"),
        (("--truth",), "`--truth` goes with `--task meltwater`"),
        (("--years", "2018"), "`--years` goes with `--task meltwater`"),
        (("--size", 16, 16), "`--size` is one number"),
        (("--task", "meltwater", "--samples", 3), "`--samples` does not go with `--task meltwater`"),
        (("--task", "meltwater", "--years", "2019-2018"), "`--years` run forwards"),
        (("--task", "meltwater", "--years", "soon"), "`--years` are like 2017-2023"),
        (("--task", "meltwater", "--size", 8), "`size` is at least 16"),
        (("--samples", 0), "`samples` is positive"),
        (("--samples", 5, "--size", 4), "`size` is rows and columns between 16 and 2000"),
        (("--jobs", 0), "`jobs` is positive"),
        (("--seed", -1), "`seed` is not negative"),
        (("--fractions", 0.5, 0.4, 0.4), "`fractions` are three shares"),
        (("--scene", 16, 16), "ends in .nc"),
        (("--scene", 16, 16, "--samples", 3), "`--samples` does not go with `--scene`"),
        (("--scene", 16, 16, "--task", "meltwater"), "`--scene` does not go with `--task meltwater`"),
    ],
)
def test_wrong_options_say_so_and_leave_nothing(tmp_path, capsys, options, message):
    out = tmp_path / "data"
    assert simulate("--out", out, *options) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not out.exists()


def test_an_existing_scene_is_kept(tmp_path, capsys):
    out = tmp_path / "scene.nc"
    out.write_text("mine")
    assert simulate("--scene", 16, 16, "--out", out) == 2
    assert "does not exist yet" in capsys.readouterr().err
    assert out.read_text() == "mine"
