import multiprocessing.pool
import os
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray

from cloudkeras.datasets import read_samples, read_shard, shards, write_shard
from cloudkeras.errors import DataError, InputError
from cloudkeras.tasks import CloudPhase
from cloudkeras.tasks.cloud_phase import EMISSIVE_BANDS_UM

from .making import NOON, cloud_fields, table

VARIABLES = CloudPhase().variables()
COORDINATES = {
    "level": (("level",), np.arange(38) * 0.5 + 0.25, {"units": "km", "positive": "up", "axis": "Z"}),
    "emissive_wavelength": (("emissive_band",), np.array(EMISSIVE_BANDS_UM), {"units": "um"}),
}


@pytest.fixture(scope="module")
def fields():
    return cloud_fields(5)


@pytest.fixture(scope="module")
def shard(fields, tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "a.nc"
    attributes = {"cloudkeras_task": "cloud_phase", "simulated": "true", "source": "random numbers"}
    return write_shard(path, VARIABLES, fields, table(5), coordinates=COORDINATES, attributes=attributes)


def test_round_trip_to_the_precision_of_the_packing(shard, fields):
    read = read_shard(shard, list(fields))
    for variable in VARIABLES:
        if variable.name not in fields:
            continue
        found, expected = read[variable.name], fields[variable.name]
        step = variable.packing.scale_factor
        assert found.shape == expected.shape
        if step is None:
            assert found.dtype.kind == "i"
            np.testing.assert_array_equal(found, expected)
        else:
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=0, atol=0.5001 * step + 2e-5)
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


def test_samples_round_trip_exactly(shard):
    found, expected = read_samples(shard), table(5)
    for name in ("granule", "time_start", "time_end", "y_start", "x_start", "latitude", "longitude"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_samples_come_in_the_order_asked_for(shard, fields):
    everything = read_shard(shard, ["brightness_temperature", "phase"])
    order = [3, 4, 0, 0, 2]
    some = read_shard(shard, ["brightness_temperature", "phase"], order)
    for name, values in some.items():
        np.testing.assert_array_equal(values, everything[name][order])


def test_runs_are_contiguous():
    assert shards.runs(np.array([3, 4, 5, 1, 7, 8])) == [slice(3, 6), slice(1, 2), slice(7, 9)]
    assert shards.runs(np.array([], int)) == []


def test_an_index_that_does_not_exist(shard):
    with pytest.raises(InputError, match="holds the samples 0 to 4"):
        read_shard(shard, ["phase"], [5])


def test_xarray_opens_it_with_the_right_coordinates(shard, fields):
    with xarray.open_dataset(shard) as dataset:
        assert {"time_start", "time_end", "latitude", "longitude", "granule", "level"} <= set(dataset.coords)
        assert "emissive_wavelength" in dataset["brightness_temperature"].coords
        assert "emissive_wavelength" not in dataset["reflectance"].coords
        assert dataset["time_start"].values[1] == np.datetime64(int(NOON) + 600, "s")
        assert str(dataset["granule"].values[2]) == "granule-0002"
        np.testing.assert_allclose(dataset["level"].values[[0, -1]], [0.25, 18.75])
        phase = dataset["phase"]
        assert phase.dims == ("sample", "profile", "level")
        assert phase.attrs["flag_meanings"] == "clear ice mixed liquid"
        assert phase.attrs["flag_values"].tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(phase.fillna(-1).values, fields["phase"])
        reflectance = dataset["reflectance"]
        assert reflectance.attrs["units"] == "1"
        assert reflectance.attrs["standard_name"] == "toa_bidirectional_reflectance"
        np.testing.assert_allclose(reflectance.values, fields["reflectance"], rtol=0, atol=5.1e-5)
        assert dataset.attrs["Conventions"] == "CF-1.11"
        assert dataset.attrs["cloudkeras_schema_version"] == 1
        assert dataset.attrs["simulated"] == "true"
        assert {"title", "source", "history"} <= set(dataset.attrs) and "institution" not in dataset.attrs


def test_one_sample_a_chunk_and_packed_attributes(shard):
    with shards.opened(shard) as file:
        variable = file.variables["brightness_temperature"]
        assert variable.dtype == np.int16
        assert variable.chunking() == [1, 8, 12, 10]
        assert variable.valid_range.tolist() == [-14315, 17685]  # (130 - 273.15) / 0.01, (450 - 273.15) / 0.01
        assert (variable.scale_factor, variable.add_offset) == (0.01, 273.15)
        assert variable.filters()["zlib"] and variable.filters()["shuffle"]


def test_compression_is_an_option(fields, tmp_path):
    path = write_shard(tmp_path / "plain.nc", VARIABLES, fields, table(5), compression=None)
    with shards.opened(path) as file:
        assert not file.variables["reflectance"].filters()["zlib"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phase": None}, "A shard holds 'phase'"),
        ({"snow": np.zeros(5)}, "holds only .*unknown=.'snow'"),
        ({"solar_zenith_angle": np.zeros((5, 8))}, r"'solar_zenith_angle' has the dimensions \(sample, y, x\)"),
        ({"solar_zenith_angle": np.zeros((5, 8, 11))}, "'solar_zenith_angle' needs size 12 along 'x'"),
        ({"reflectance": np.zeros((5, 8, 12, 5))}, "'reflectance' needs size 6 along 'reflective_band'"),
        ({"phase": np.zeros((5, 8, 37))}, "'phase' needs size 38 along 'level'"),
        ({"phase": np.zeros((4, 8, 38))}, "'phase' needs size 5 along 'sample'"),
        ({"reflectance": np.full((5, 8, 12, 6), 80.0)}, "'reflectance' lies within"),
    ],
)
def test_bad_fields_leave_nothing_behind(fields, tmp_path, change, message):
    changed = {name: values for name, values in {**fields, **change}.items() if values is not None}
    with pytest.raises(InputError, match=message):
        write_shard(tmp_path / "b.nc", VARIABLES, changed, table(5))
    assert list(tmp_path.iterdir()) == []


def test_a_coordinate_of_a_wrong_length(fields, tmp_path):
    with pytest.raises(InputError, match=r"Coordinate 'level' has the shape \(38,\)"):
        write_shard(tmp_path / "b.nc", VARIABLES, fields, table(5), coordinates={"level": (("level",), [1.0], {})})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_file(fields, tmp_path, monkeypatch):
    path = write_shard(tmp_path / "a.nc", VARIABLES, fields, table(5))
    before = path.read_bytes()
    monkeypatch.setattr(shards, "_write_variable", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_shard(path, VARIABLES, fields, table(5))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.nc"]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_a_data_error(shard, tmp_path, keep):
    content = shard.read_bytes()
    bad = tmp_path / "truncated.nc"
    bad.write_bytes(content[: int(keep * len(content))])
    for read in (lambda: read_shard(bad, ["reflectance"]), lambda: read_samples(bad)):
        with pytest.raises(DataError, match=r"truncated.nc: expected a NetCDF-4 file; found \d+ bytes .*copy or make"):
            read()


def test_damage_inside_a_chunk_is_a_data_error(shard, tmp_path):
    content = bytearray(shard.read_bytes())
    with shards.opened(shard) as file:
        assert file.variables["brightness_temperature"].filters()["zlib"]
    middle = len(content) // 2  # the largest variable by far lies here
    content[middle : middle + 400] = bytes(400)
    bad = tmp_path / "damaged.nc"
    bad.write_bytes(content)
    with pytest.raises(DataError, match="expected readable data; found an error of the NetCDF library"):
        read_shard(bad, ["reflectance", "brightness_temperature"])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.nc: expected a file; found none"):
        read_shard(tmp_path / "nowhere.nc", ["phase"])


def test_another_netcdf_file_and_another_version(shard, tmp_path):
    other = tmp_path / "other.nc"
    with netCDF4.Dataset(other, "w") as file:
        file.createDimension("time", 3)
    with pytest.raises(DataError, match=r"expected a shard .*found a NetCDF file with dimensions time"):
        read_shard(other, ["phase"])
    newer = tmp_path / "newer.nc"
    newer.write_bytes(shard.read_bytes())
    with netCDF4.Dataset(newer, "a") as file:
        file.cloudkeras_schema_version = np.int32(7)
    with pytest.raises(DataError, match=r"expected schema version 1; found 7. Make the shards again"):
        read_shard(newer, ["phase"])


def test_a_missing_variable_is_named(shard):
    with pytest.raises(DataError, match=r"variable 'phase_dense': expected the variable; found only .*reflectance"):
        read_shard(shard, ["phase_dense"])


def test_a_file_that_changed_on_disk_is_opened_again(fields, tmp_path):
    path = write_shard(tmp_path / "a.nc", VARIABLES, fields, table(5))
    assert read_shard(path, ["phase"])["phase"].shape[0] == 5
    write_shard(path, VARIABLES, cloud_fields(3), table(3))
    assert read_shard(path, ["phase"])["phase"].shape[0] == 3


def test_few_files_stay_open(fields, tmp_path):
    for i in range(shards._MAX_OPEN + 3):
        read_shard(write_shard(tmp_path / f"{i}.nc", VARIABLES, fields, table(5)), ["profile_y"])
    assert len(shards._open_files) == shards._MAX_OPEN


def _read_elsewhere(path, queue):
    queue.put(float(read_shard(path, ["brightness_temperature"])["brightness_temperature"].sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_reads_after_fork_and_spawn(shard):
    """In a fresh interpreter: a fork of this one would copy the threads of TensorFlow."""
    program = (
        "import multiprocessing, sys\n"
        "from cloudkeras.datasets import read_shard\n"
        "from tests.datasets.test_shards import _read_elsewhere\n"
        "if __name__ == '__main__':\n"
        "    expected = float(read_shard(sys.argv[1], ['brightness_temperature'])['brightness_temperature'].sum())\n"
        "    for method in ('fork', 'spawn'):\n"
        "        context = multiprocessing.get_context(method)\n"
        "        queue = context.Queue()\n"
        "        child = context.Process(target=_read_elsewhere, args=(sys.argv[1], queue))\n"
        "        child.start()\n"
        "        assert queue.get(timeout=60) == expected, method\n"
        "        child.join(60)\n"
        "        assert child.exitcode == 0, method\n"
        "    again = float(read_shard(sys.argv[1], ['brightness_temperature'])['brightness_temperature'].sum())\n"
        "    assert again == expected\n"
    )
    file = shard.parent / "program.py"
    file.write_text(program)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, str(file), str(shard)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_threads_may_read_at_once(shard):
    expected = read_shard(shard, ["reflectance"])["reflectance"]
    with multiprocessing.pool.ThreadPool(4) as pool:
        for found in pool.map(lambda _: read_shard(shard, ["reflectance"])["reflectance"], range(16)):
            np.testing.assert_array_equal(found, expected)
