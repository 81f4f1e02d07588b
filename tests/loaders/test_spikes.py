"""Spike trains: no spike is lost or moved, whatever the source."""

import h5py
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import spikes

ALF = "spikes/ibl_alf"
NWB = "spikes/pynapple_nwb/A8604-211122.nwb"


def _outside(rec):
    return rec.attrs["history"][0]["parameters"]["events_outside"]


def test_alf_counts_are_a_histogram_of_each_cluster(mirror):
    rec = spikes.load(mirror / ALF, bin_width=0.05)
    times = np.load(mirror / ALF / "spikes.times.npy")
    clusters = np.load(mirror / ALF / "spikes.clusters.npy")
    assert rec.sizes == {"time": 2400, "unit": 289}
    assert (int(rec.sum()), _outside(rec)) == (124_905, 0)
    np.testing.assert_array_equal(rec["index"], np.unique(clusters))
    edges = np.arange(2401) * 0.05
    for cluster in np.unique(clusters)[::40]:
        expected = np.histogram(times[clusters == cluster], edges)[0]
        np.testing.assert_array_equal(rec.sel(unit=f"c{cluster}"), expected)


def test_counts_inside_and_outside_add_up(mirror):
    rec = spikes.load(mirror / ALF, bin_width=0.02, start=10.0, stop=20.0)
    times = np.load(mirror / ALF / "spikes.times.npy")
    assert int(rec.sum()) == int(((times >= 10) & (times < 20)).sum())
    assert int(rec.sum()) + _outside(rec) == times.size
    assert rec.sizes["unit"] == 289


def test_session_keeps_every_time_and_the_events(mirror):
    tree = spikes.load_session(mirror / ALF, bin_width=0.1)
    kept = tree["structure/spike_times/structure"]
    times = np.load(mirror / ALF / "spikes.times.npy")
    clusters = np.load(mirror / ALF / "spikes.clusters.npy")
    np.testing.assert_array_equal(np.sort(kept.values), np.sort(times))
    one = kept.values[kept.spike_unit.values == "c359"]
    np.testing.assert_array_equal(one, times[clusters == 359])
    np.testing.assert_array_equal(tree["events/onset"], np.load(mirror / ALF / "events.times.npy"))


def test_nwb_against_the_hdf5_inside(mirror):
    rec = spikes.load(mirror / NWB, bin_width=0.1)
    with h5py.File(mirror / NWB) as file:
        ids, ends, times = (file[f"units/{name}"][()] for name in ("id", "spike_times_index", "spike_times"))
    np.testing.assert_array_equal(rec["index"], ids)
    for row, train in enumerate(np.split(times, ends[:-1])):
        assert int(rec[:, row].sum()) == train.size
    assert int(rec.sum()) == times.size == 21_354
    assert "location" in rec.coords


def test_mapping_and_npz_agree(tmp_path):
    trains = {"a": np.array([0.31, 0.05]), "quiet": np.array([]), "b": np.array([0.1])}
    np.savez(tmp_path / "trains.npz", **trains)
    rec = spikes.load(trains, bin_width=0.1)
    np.testing.assert_array_equal(rec, [[1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert rec.attrs["history"][-1]["parameters"]["units_without_spikes"] == ["quiet"]
    from_file = spikes.load(tmp_path / "trains.npz", bin_width=0.1)
    assert from_file.drop_attrs().identical(rec.drop_attrs())


def test_sources_that_do_not_fit(mirror, tmp_path):
    with pytest.raises(ni.LoaderError, match=r"an ALF folder has spikes\.times\.npy and spikes\.clusters\.npy"):
        spikes.load(tmp_path, bin_width=0.1)
    np.save(tmp_path / "spikes.times.npy", np.arange(4.0))
    np.save(tmp_path / "spikes.clusters.npy", np.arange(3))
    with pytest.raises(ni.LoaderError, match=r"one integer cluster per spike is needed, found times \(4,\) and"):
        spikes.load(tmp_path, bin_width=0.1)
    np.savez(tmp_path / "objects.npz", a=np.array([1, None], dtype=object))
    with pytest.raises(ni.LoaderError, match="Object arrays cannot be loaded"):
        spikes.load(tmp_path / "objects.npz", bin_width=0.1)
    np.savez(tmp_path / "nan.npz", a=np.array([1, np.nan]))
    with pytest.raises(ni.LoaderError, match=r"nan\.npz: unit 'a' has 1 times that are not finite"):
        spikes.load(tmp_path / "nan.npz", bin_width=0.1)
    with pytest.raises(ni.LoaderError, match="unit 'a' needs a row of times"):
        spikes.load({"a": [[0.1, 0.2]]}, bin_width=0.1)
    with pytest.raises(ni.LoaderError, match="mapping: holds no units"):
        spikes.load({}, bin_width=0.1)
    with pytest.raises(ni.LoaderError, match="holds no units table with spike times"):
        spikes.load(mirror / "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb", bin_width=0.1)
    with pytest.raises(ni.LoaderError, match=r"pass columns=\{'time': \.\., 'unit': \.\.\}; it has path, bytes"):
        spikes.load(mirror / "FILES.tsv", bin_width=0.1)
    with pytest.raises(ni.AlignmentError, match="bin_width"):
        spikes.load({"a": [0.1]}, bin_width=0.0)


def test_survives_the_store(mirror, tmp_path):
    rec = spikes.load(mirror / NWB, bin_width=0.1)
    ni.save(rec, tmp_path / "spikes.zarr")
    assert ni.open(tmp_path / "spikes.zarr").identical(rec)
