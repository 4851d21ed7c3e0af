import netCDF4
import numpy as np
import pytest

from cloudkeras.datasets import ShardDataset
from cloudkeras.errors import InputError
from cloudkeras.explain import SampleReader
from cloudkeras.explain.maps import MapVariable, write_maps
from cloudkeras.explain.samples import Axis
from cloudkeras.tasks import get_task

from ..training.tiny import BLIND_ROWS, COLUMNS, ROWS, write_radar_shards


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = write_radar_shards(tmp_path_factory.mktemp("samples") / "shards")
    task = get_task("blind_zone", blind_rows=BLIND_ROWS, evaluation_ramp_rows=2)
    return SampleReader(task, {}, ShardDataset.open(folder), "test")


def test_a_sample_has_input_axes_and_title(reader):
    sample = reader.read(1)
    assert len(reader) == 4 and sample.x.shape == (1, ROWS, COLUMNS, 2)
    np.testing.assert_array_equal(sample.x, reader.inputs(1))
    assert (sample.x[0, :BLIND_ROWS, :, 0] == -1).all()
    # Sample 1 begins 10 minutes after midnight and lasts 5: profiles are 18.75 s apart.
    assert sample.columns.units == "h" and sample.columns.label == "time (h UTC)"
    np.testing.assert_allclose(sample.columns.values[[0, -1]], [(600 + 9.375) / 3600, (900 - 9.375) / 3600])
    assert sample.title == "sample 1 of test: test, 1970-01-21 00:10 UTC"


def test_regions(reader):
    sample = reader.read(0)
    judged = reader.region(sample)
    assert judged.shape == (1, ROWS, COLUMNS) and judged[:, :BLIND_ROWS].all() and not judged[:, BLIND_ROWS:].any()
    np.testing.assert_array_equal(reader.region(sample, "blind_zone_mask"), judged)
    assert reader.region(sample, "all") is None
    with pytest.raises(InputError, match=r"`region` is one of judged, all, blind_zone_mask\. Received region='cloud'"):
        reader.region(sample, "cloud")


def test_a_sample_out_of_range_is_refused(reader):
    with pytest.raises(
        InputError, match=r"`sample` is one of 0\.\.3, the samples of the split 'test'. Received sample=4"
    ):
        reader.read(4)


def test_mean_input(reader):
    expected = np.mean([reader.inputs(i) for i in range(4)], axis=(0, 1, 2, 3))
    np.testing.assert_allclose(reader.mean_input(), expected, rtol=1e-5)


def test_maps_are_written_with_their_axes(reader, tmp_path):
    samples = [reader.read(0), reader.read(2)]
    values = np.random.default_rng(0).normal(size=(2, ROWS, COLUMNS, 2)).astype(np.float32)
    names = reader.task.channel_names()
    coarse = Axis("layer_height", np.arange(4.0), "km", "height (km)")
    path = write_maps(
        tmp_path / "deep" / "maps.nc",
        samples,
        {
            "saliency": MapVariable(("sample", "height", "profile", "channel"), values, {"units": "1"}),
            "small": MapVariable(("sample", "layer_height"), np.zeros((2, 4)), {}),
        },
        labels={"channel": names},
        axes={coarse.name: coarse},
        attributes={"title": "test"},
    )
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(file["saliency"][:], values)
        assert list(file["channel"][:]) == list(names) and list(file["sample"][:]) == [0, 2]
        np.testing.assert_allclose(file["profile_coordinate"][1], samples[1].columns.values)
        assert file["layer_height"].units == "km" and file.title == "test" and file.Conventions.startswith("CF-")
    with pytest.raises(InputError, match="The dimension 'sample' has one size"):
        write_maps(
            tmp_path / "no.nc",
            samples,
            {"a": MapVariable(("sample",), np.zeros(2), {}), "b": MapVariable(("sample",), np.zeros(3), {})},
        )
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]
