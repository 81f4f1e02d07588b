"""Reading only what is used: any index, in any order, equal to the whole; and few bytes."""

import pickle
from pathlib import Path

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg


@pytest.fixture
def written(tmp_path):
    info = mne.create_info([f"C{i}" for i in range(40)], 200.0, "eeg")
    values = np.random.default_rng(5).normal(scale=1e-5, size=(40, 60_000))
    raw = mne.io.RawArray(values, info, first_samp=70, verbose="error")
    raw.set_annotations(mne.Annotations([100.0], [20.0], ["BAD_ACQ_SKIP"]))
    path = tmp_path / "long_raw.fif"
    raw.save(path, fmt="double", buffer_size_sec=1.0, verbose="error")
    return path, np.delete(values, np.arange(20_000, 24_000), axis=1).T


INDICES = (
    {"time": slice(19_990, 20_010)},
    {"time": slice(5, 50_000, 997), "unit": [7, 3, 3]},
    {"time": 20_000},
    {"time": [55_000, 3, 3, -1], "unit": 2},
    {"unit": slice(None, None, -13), "time": slice(100, 90, -2)},
    {"time": slice(0, 0)},
    {"unit": np.array([], dtype=int), "time": slice(0, 5)},
)


@pytest.mark.parametrize("index", INDICES)
def test_every_index_gives_what_the_whole_gives(written, index):
    path, values = written
    rec = eeg.load(path)
    assert not ni.schema.is_in_memory(rec)
    np.testing.assert_array_equal(rec.isel(index).values, rec.copy(data=values).isel(index).values)


def test_labels_and_pointwise_indices(written):
    import xarray as xr

    path, values = written
    rec = eeg.load(path)
    np.testing.assert_array_equal(rec.sel(time=slice(99.9, 120.1), unit="C5"), values[19_980:20_021, 5])
    times, units = xr.DataArray([9, 30_000], dims="point"), xr.DataArray([1, 39], dims="point")
    np.testing.assert_array_equal(rec.isel(time=times, unit=units), values[[9, 30_000], [1, 39]])
    np.testing.assert_array_equal(rec.values, values)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rec[:10])).values, values[:10])


def test_chunks_are_read_by_threads(written):
    pytest.importorskip("dask")
    path, values = written
    chunked = eeg.load(path).chunk({"time": 7_000})
    np.testing.assert_allclose(chunked.mean("time").compute(scheduler="threads"), values.mean(axis=0), rtol=1e-9)


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="counts bytes as Linux does")
def test_few_bytes_of_a_fif_file_are_read(written):
    path, values = written
    eeg.load(path)  # brings in what MNE imports on the way

    def read():
        return int(Path("/proc/self/io").read_text().split()[1])

    before = read()
    found = eeg.load(path)[30_000:30_010].values
    assert read() - before < path.stat().st_size / 5
    np.testing.assert_array_equal(found, values[30_000:30_010])


def test_what_becomes_of_the_object_later_does_not_reach_the_recording(written):
    path, values = written
    raw = mne.io.read_raw(path, preload=False, verbose="error")
    rec = eeg.load(raw)
    raw.load_data().apply_function(lambda x: x * 0, verbose="error")
    np.testing.assert_array_equal(rec[:9].values, values[:9])
    loaded = eeg.load(raw)
    assert ni.schema.is_in_memory(loaded)
    raw._data += 1
    assert loaded.values.max() == 0


def test_a_file_that_went_away_is_named(written):
    path, _ = written
    rec = eeg.load(path)
    path.unlink()
    with pytest.raises(ni.LoaderError, match=r"long_raw\.fif: cannot be read as EEG or MEG"):
        rec.values  # noqa: B018
