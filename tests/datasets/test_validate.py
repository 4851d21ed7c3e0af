import json
import re
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cloudkeras.datasets import find_problems, write_shard, writer
from cloudkeras.datasets.manifest import file_sha256
from cloudkeras.errors import DataError
from cloudkeras.tasks import BlindZone, CloudPhase

from .making import cloud_fields, make_cloud_dataset, make_radar_dataset, radar_fields, table

ATTRIBUTES = {"cloudkeras_task": "cloud_phase", "simulated": "true"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_cloud_dataset(tmp_path_factory.mktemp("validate") / "good", samples_per_shard=20)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def shard(copy) -> Path:
    return copy / "train-00000.nc"


def edit(path: Path, change) -> None:
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        change(file)


def edit_manifest(folder: Path, change) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def agree_again(folder: Path) -> None:
    """Writes sizes and checksums into the manifest, as somebody would who makes it by hand."""

    def change(content):
        for split in content["splits"].values():
            for entry in split["files"]:
                path = folder / entry["name"]
                entry["bytes"], entry["sha256"] = path.stat().st_size, file_sha256(path)

    edit_manifest(folder, change)


def messages(path: Path) -> list[str]:
    problems = find_problems(path)
    assert all(isinstance(problem, DataError) and "\n" not in str(problem) for problem in problems)
    return [str(problem).replace(str(path.parent) + "/", "") for problem in problems]


def test_good_data_have_no_problem(folder, tmp_path):
    assert find_problems(folder) == []
    assert find_problems(folder / "train-00000.nc") == []
    assert find_problems(make_radar_dataset(tmp_path)) == []


def test_nothing_there(tmp_path):
    assert messages(tmp_path / "x") == ["x: expected a shard or a folder of shards; found nothing."]


# ---- one file ------------------------------------------------------------------------------------------------------

FILE_PROBLEMS = {
    "missing variable": (
        lambda f: f.renameVariable("phase", "fase"),
        "train-00000.nc: variable 'phase': expected the variable; found only .*fase",
    ),
    "wrong unit": (
        lambda f: f["brightness_temperature"].setncattr("units", "degC"),
        "variable 'brightness_temperature': expected unit 'K'; found unit 'degC'. Convert",
    ),
    "wrong unit of time": (
        lambda f: f["time_start"].setncattr("units", "hours since 2020-01-01"),
        "variable 'time_start': expected unit 'seconds since 1970-01-01 00:00:00'; found unit 'hours since",
    ),
    "out of range": (
        lambda f: f["reflectance"].__setitem__((3, 2, 1, 4), 30000),
        r"'reflectance': expected values within -0.05 and 2 \(unit '1'\); found 3 at \(3, 2, 1, 4\), 1 such value",
    ),
    "another class": (
        lambda f: f["phase"].__setitem__((0, 1, slice(2, 5)), 7),
        r"variable 'phase': expected values within 0 and 3 .* found 7 at \(0, 1, 2\), 3 such values",
    ),
    "wrong classes": (
        lambda f: f["phase"].setncattr("flag_meanings", "clear liquid mixed ice"),
        "variable 'phase': expected classes 'clear ice mixed liquid'; found 'clear liquid mixed ice'",
    ),
    "another packing": (
        lambda f: f["reflectance"].setncattr("scale_factor", 1e-3),
        r"'reflectance': expected Packing\(dtype='i2', scale_factor=0.0001.*found Packing\(.*scale_factor=0.001",
    ),
    "another version": (
        lambda f: f.setncattr("cloudkeras_schema_version", 9),
        "train-00000.nc: expected schema version 1; found 9. Make the shards again",
    ),
    "no version": (
        lambda f: f.delncattr("cloudkeras_schema_version"),
        "expected a shard .attribute 'cloudkeras_schema_version'",
    ),
    "unknown task": (
        lambda f: f.setncattr("cloudkeras_task", "rain"),
        "expected attribute 'cloudkeras_task' .*'rain'",
    ),
    "not said whether simulated": (
        lambda f: f.delncattr("simulated"),
        "expected attribute 'simulated' 'true' or 'false'; found None",
    ),
    "place off the globe": (
        lambda f: f["latitude"].__setitem__(1, 99.0),
        "expected a valid table of samples; found `latitude` lies within -90 and 90",
    ),
    "no place": (
        lambda f: f.renameVariable("longitude", "lon"),
        "variable 'longitude': expected the variable",
    ),
}


@pytest.mark.parametrize("case", FILE_PROBLEMS)
def test_a_problem_of_a_file_is_named(shard, case):
    change, message = FILE_PROBLEMS[case]
    edit(shard, change)
    with pytest.raises(DataError, match=message):
        raise find_problems(shard)[0]


@pytest.mark.parametrize("name", [name for name in FILE_PROBLEMS if name != "unknown task"])
def test_the_folder_says_it_too(copy, shard, name):
    change, message = FILE_PROBLEMS[name]
    edit(shard, change)
    agree_again(copy)
    with pytest.raises(DataError, match=message):
        raise find_problems(copy)[0]


def test_all_problems_are_listed(shard):
    for case in ("missing variable", "wrong unit", "out of range", "not said whether simulated"):
        edit(shard, FILE_PROBLEMS[case][0])
    found = "\n".join(messages(shard))
    for part in ("'simulated'", "'reflectance'", "'brightness_temperature'", "'phase'"):
        assert part in found
    assert len(found.splitlines()) == 4


def write_by_hand(path: Path, dims: dict[str, tuple[str, ...]], sizes: dict[str, int]) -> None:
    """A shard with other dimensions than the schema's."""
    write_shard(path, CloudPhase().variables(), cloud_fields(2), table(2), attributes=ATTRIBUTES)
    with netCDF4.Dataset(path, "a") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
        for name, wanted in dims.items():
            variable = next(v for v in CloudPhase().variables() if v.name == name)
            file.renameVariable(name, f"old_{name}")
            made = file.createVariable(name, variable.packing.dtype, wanted, fill_value=variable.packing.fill)
            made.set_auto_maskandscale(False)
            made.setncatts({k: v for k, v in file[f"old_{name}"].__dict__.items() if k != "_FillValue"})
            made[:] = 0


def test_wrong_dimensions_and_wrong_shape(tmp_path):
    path = tmp_path / "a.nc"
    dims = {"solar_zenith_angle": ("sample", "x", "y"), "phase": ("sample", "profile", "level_37")}
    write_by_hand(path, {**dims, "brightness_temperature": ("sample", "y", "x", "nine")}, {"level_37": 37, "nine": 9})
    found = messages(path)
    assert any(
        "'solar_zenith_angle': expected dimensions (sample, y, x); found (sample, x, y)" in line for line in found
    )
    assert any("'phase': expected dimensions (sample, profile, level); found" in line for line in found)
    assert len(found) == 3


def test_a_fixed_size_that_differs(tmp_path):
    path = tmp_path / "a.nc"
    write_shard(path, CloudPhase().variables(), cloud_fields(2), table(2), attributes=ATTRIBUTES)
    with netCDF4.Dataset(path, "a") as file:
        file.renameDimension("level", "level_38")
        file.createDimension("level", 37)
        file.renameVariable("phase", "old")
        made = file.createVariable("phase", "i1", ("sample", "profile", "level"), fill_value=-1)
        made.setncatts({k: v for k, v in file["old"].__dict__.items() if k != "_FillValue"})
        made[:] = 0
    (line,) = messages(path)
    assert "'phase': expected shape (2, 8, 38) for (sample, profile, level); found (2, 8, 37)" in line


def test_nan_where_the_fill_value_should_be(tmp_path):
    folder = make_radar_dataset(tmp_path / "radar")
    path = folder / "train-00000.nc"
    edit(path, lambda f: f["temperature"].__setitem__((1, 2, slice(0, 2)), [np.nan, np.inf]))
    (line,) = messages(path)
    assert "'temperature': expected finite values, or 9.96921e+36 for missing; found nan at (1, 2, 0), 2 such" in line
    assert "'temperature'" in "".join(messages(folder))


@pytest.mark.parametrize("content", [b"", b"not a NetCDF file", None])
def test_truncated_empty_and_foreign_files(copy, shard, content):
    shard.write_bytes(shard.read_bytes()[:-1000] if content is None else content)
    (line,) = messages(shard)
    assert "train-00000.nc: expected a NetCDF-4 file; found" in line and "truncated, damaged or of another kind" in line
    found = messages(copy)
    assert len(found) == 2 and "as manifest.json says" in found[0] and "expected a NetCDF-4 file" in found[1]


def test_a_file_without_any_label(tmp_path):
    fields = {**cloud_fields(2), "phase": np.full((2, 8, 38), -1, np.int8)}
    path = write_shard(tmp_path / "a.nc", CloudPhase().variables(), fields, table(2), attributes=ATTRIBUTES)
    assert messages(path)[0].startswith("a.nc: expected at least 1 label in the file; found none. There is nothing")


# ---- a folder ------------------------------------------------------------------------------------------------------


def test_no_manifest_and_an_unknown_task(copy):
    edit_manifest(copy, lambda m: m["task"].update(name="rain"))
    assert "variable 'task': expected a task and its options; found `task` is one of" in messages(copy)[0]
    edit_manifest(copy, lambda m: m["task"].update(name="cloud_phase", options={"colour": 1}))
    assert "Received colour" in messages(copy)[0]
    (copy / "manifest.json").unlink()
    assert "found no manifest" in messages(copy)[0]


def test_a_changed_file_has_another_checksum(copy, shard):
    size = shard.stat().st_size
    edit(shard, lambda f: f["phase"].setncattr("long_name", "cloud phase along the trick"))
    assert shard.stat().st_size == size
    (line,) = messages(copy)
    assert "train-00000.nc: expected the checksum in manifest.json; found another content" in line


def test_missing_and_extra_files(copy, shard):
    shutil.copy(shard, copy / "train-00007.nc")
    (copy / "notes.txt").write_text("harmless")
    (line,) = messages(copy)
    assert "train-00007.nc: expected an entry in manifest.json; found none. A leftover" in line
    shard.unlink()
    assert "train-00000.nc: expected a file, listed in manifest.json; found none" in messages(copy)[0]


MANIFEST_PROBLEMS = {
    "samples": (
        lambda m: (m["splits"]["test"]["files"][0].update(num_samples=5), m["splits"]["test"].update(num_samples=5)),
        "test-00000.nc: expected 5 samples, as manifest.json says; found 6",
    ),
    "patch": (
        lambda m: m.update(patch_shape=[8, 13]),
        r"expected images of \(8, 13\), as manifest.json says; found \(8, 12\)",
    ),
    "variables": (lambda m: m["variables"].append("phase_dense"), "'phase_dense': expected the variable, as manifest"),
    "simulated": (lambda m: m.update(simulated=False), "expected simulated = false, as manifest.json says; found true"),
    "labels": (lambda m: m["labels"]["test"].update(phase=1), "'labels': expected {'train'"),
    "statistics": (
        lambda m: m["statistics"]["reflectance"]["mean"].__setitem__(2, 0.1),
        "'statistics.reflectance': expected those of the training files, .*Statistics come from the training split",
    ),
    "no statistics": (lambda m: m["statistics"].pop("phase"), "'statistics.phase': expected those .* found None"),
    "no file": (lambda m: m.update(splits={}), "'splits': expected samples; found none"),
    "gap": (
        lambda m: m.update(gap_seconds=6000, site_degrees=5),
        "expected splits that share nothing; found .*nearer in time",
    ),
}


@pytest.mark.parametrize("case", MANIFEST_PROBLEMS)
def test_a_manifest_that_does_not_fit_its_files(copy, case):
    change, message = MANIFEST_PROBLEMS[case]
    edit_manifest(copy, change)
    found = messages(copy)
    assert any(re.search(message, line) for line in found), found


def test_statistics_of_all_splits_are_not_those_of_training(copy):
    """The leak of scale: statistics over everything look much the same, and are found all the same."""
    summary = writer.ShardSummary(CloudPhase())
    for path in sorted(copy.glob("*.nc")):
        summary.read("train", path)
    edit_manifest(copy, lambda m: m.update(statistics=summary.statistics.result()))
    found = messages(copy)
    assert any("'statistics.brightness_temperature'" in line for line in found) and len(found) >= 3


def test_a_leak_between_splits(copy, monkeypatch):
    """A shard of the test split that was copied over from training, with a manifest that agrees."""
    monkeypatch.setattr(writer, "check_no_leak", lambda *arguments, **options: None)
    shutil.copy(copy / "train-00001.nc", copy / "test-00000.nc")
    (copy / "manifest.json").unlink()
    files = {split: sorted(path.name for path in copy.glob(f"{split}-*.nc")) for split in ("train", "test")}
    (copy / "validation-00000.nc").unlink()
    writer.finish_dataset(copy, CloudPhase(), files, provenance={}, simulated=True, gap_seconds=0)
    (line,) = messages(copy)
    assert "manifest.json: expected splits that share nothing; found" in line and "share pixels" in line


def test_a_shard_of_another_task(copy, shard):
    write_shard(
        shard,
        BlindZone().variables(),
        radar_fields(20),
        table(20),
        attributes={**ATTRIBUTES, "cloudkeras_task": "blind_zone"},
    )
    agree_again(copy)
    assert any(
        "expected attribute 'cloudkeras_task' 'cloud_phase'; found 'blind_zone'" in line for line in messages(copy)
    )


def test_a_split_without_any_label(tmp_path):
    fields = cloud_fields(4)
    unlabelled = {**fields, "phase": np.full_like(fields["phase"], -1)}
    with writer.DatasetWriter(tmp_path, CloudPhase(), provenance={}, simulated=True, gap_seconds=0) as made:
        made.add("train", fields, table(4))
        made.add("test", unlabelled, table(4, first=4))
    (line,) = messages(tmp_path)
    assert "expected at least 1 label in split 'test'; found none" in line


def test_radar_without_any_label(tmp_path):
    fields = radar_fields(2)
    fields["reflectivity"][:] = np.nan
    with writer.DatasetWriter(tmp_path, BlindZone(), provenance={}, simulated=True, gap_seconds=0) as made:
        made.add("train", fields, table(2))
    assert "expected at least 1 label in split 'train'" in messages(tmp_path)[0]
