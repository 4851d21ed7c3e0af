import netCDF4
import pytest

from cloudkeras.cli import main

from .datasets.making import make_cloud_dataset


@pytest.fixture
def folder(tmp_path):
    return make_cloud_dataset(tmp_path / "scenes", samples_per_shard=30)


def test_inspect_prints_a_summary(folder, capsys):
    assert main(["shards", "inspect", str(folder)]) == 0
    assert "simulated shards for task cloud_phase" in capsys.readouterr().out
    assert main(["shards", "inspect", str(folder / "test-00000.nc")]) == 0
    assert "6 samples of 6 granules" in capsys.readouterr().out


def test_validate_says_that_all_is_well(folder, capsys):
    assert main(["shards", "validate", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder} is valid.\n"


def test_validate_lists_every_problem_one_a_line(folder, capsys):
    path = folder / "train-00000.nc"
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        file["brightness_temperature"].units = "degC"
        file["reflectance"][0, 0, 0, 0] = 30000
    assert main(["shards", "validate", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("cloudkeras: ") for line in lines)
    assert "'reflectance': expected values within" in lines[0]
    assert "'brightness_temperature': expected unit 'K'; found unit 'degC'" in lines[1]
    assert lines[2] == f"cloudkeras: {path} has 2 problems."


@pytest.mark.parametrize("action", ["inspect", "validate"])
def test_a_truncated_file_and_a_missing_one(folder, tmp_path, capsys, action):
    path = folder / "train-00000.nc"
    path.write_bytes(path.read_bytes()[:5000])
    for bad in (path, tmp_path / "nowhere.nc"):
        assert main(["shards", action, str(bad)]) == 2
        error = capsys.readouterr().err
        assert str(bad) in error and "expected" in error and "Traceback" not in error


def test_a_wrong_action(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["shards", "mend", "x"])
    assert stopped.value.code == 2
    assert "invalid choice: 'mend'" in capsys.readouterr().err
