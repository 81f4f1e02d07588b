"""Malformed spikes and calcium: for each case the exact message, or exactly what is kept and what is said of it."""

import datetime

import h5py
import numpy as np
import pynwb
import pytest
import scipy.io

import neurointerp as ni
from neurointerp.loaders import calcium, spikes
from neurointerp.loaders.datasets import dag2023

START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def said(call, *arguments, **options):
    """Give the whole message, which is one line."""
    with pytest.raises(ni.LoaderError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def known(rec, name):
    return rec.attrs["history"][-1]["parameters"][name]


class TestDuplicateNames:
    def test_matrix(self, tmp_path):
        np.savez(tmp_path / "w.npz", f=np.eye(4, 3), names=np.array(["AVAL", "RIML", "AVAL"]))
        expected = f"{tmp_path}/w.npz: the label 'AVAL' stands 2 times: units must be unique"
        assert said(calcium.load, tmp_path / "w.npz", signal="f", unit="names", rate=1.0) == expected

    def test_table(self, tmp_path):
        (tmp_path / "w.csv").write_text("AVAL,RIML,AVAL\n1,2,3\n")
        expected = f"{tmp_path}/w.csv: column 'AVAL' stands more than once: name the columns uniquely"
        assert said(calcium.load, tmp_path / "w.csv", rate=1.0) == expected

    def test_worm_keeps_the_first(self, tmp_path):
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file["gcamp/trace_array"] = np.arange(12.0).reshape(4, 3)
            file["timing/timestamp_confocal"] = np.arange(4.0)
        (tmp_path / "labels.csv").write_text("neuron,label\n3,AVAL\n1,AVAL\n")
        rec = dag2023.load(tmp_path / "w.h5", labels=tmp_path / "labels.csv")
        assert rec["unit"].values.tolist() == ["AVAL", "u002", "u003"]
        assert known(rec, "repeated_labels") == ["AVAL"]

    def test_spikes(self, tmp_path):
        expected = "mapping: unit '7' stands more than once: labels must be unique"
        assert said(spikes.load, {7: [0.1], "7": [0.2]}, bin_width=0.1) == expected
        file = pynwb.NWBFile("s", "i", START)
        for _ in range(2):
            file.add_unit(id=7, spike_times=[0.1], enforce_unique_id=False)
        expected = "NWBFile: unit ids are not unique: 1 of 2 differ"
        assert said(spikes.load, file, bin_width=0.1) == expected
        for name in ("spike_times", "spike_clusters"):
            np.save(tmp_path / f"{name}.npy", np.array([3, 3]))
        (tmp_path / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n3\tmua\n")
        expected = f"{tmp_path}/cluster_group.tsv: cluster 3 stands more than once"
        assert said(spikes.load, tmp_path, bin_width=0.1, sampling_rate=10.0) == expected


class TestTimesThatJumpBack:
    def test_a_clock_is_refused(self, tmp_path):
        np.savez(tmp_path / "w.npz", f=np.eye(4, 3), t=[0.0, 0.5, 0.4, 1.0])
        message = said(calcium.load, tmp_path / "w.npz", signal="f", time="t")
        assert message == (
            f"{tmp_path}/w.npz: cannot be read as a matrix of traces (RecordingError: not a recording: time must "
            "increase strictly: stamp 2 (0.4) follows 0.5)"
        )

    def test_spikes_are_sorted_and_the_jumps_counted(self):
        tree = spikes.load_session({"a": [0.3, 0.1, 0.2, 0.15]}, bin_width=0.1)
        np.testing.assert_array_equal(tree["structure/spike_times/structure"], [0.1, 0.15, 0.2, 0.3])
        rec = tree["recordings/spikes/recording"]
        np.testing.assert_array_equal(rec.values[:, 0], [0, 2, 1, 1])
        assert known(rec, "spikes_out_of_order") == 2

    def test_samples_of_a_phy_folder(self, tmp_path):
        np.save(tmp_path / "spike_times.npy", np.array([30, 10, 20], dtype=np.uint64))  # unsigned: no wrapped step
        np.save(tmp_path / "spike_clusters.npy", np.array([1, 1, 1]))
        rec = spikes.load(tmp_path, bin_width=0.01, sampling_rate=1000.0)
        np.testing.assert_array_equal(rec.values[:, 0], [0, 1, 1, 1])
        assert known(rec, "spikes_out_of_order") == 1


class TestNaN:
    def test_a_column_of_a_table_stays_and_is_named(self, tmp_path):
        (tmp_path / "w.csv").write_text("t,AVAL,AVAR,RIML\n0,1,,5\n0.5,2,,\n")
        rec = calcium.load(tmp_path / "w.csv", time="t")
        np.testing.assert_array_equal(rec, [[1, np.nan, 5], [2, np.nan, np.nan]])
        assert known(rec, "all_nan") == ["AVAR"]

    def test_dff_keeps_it(self, tmp_path):
        (tmp_path / "w.csv").write_text("AVAL,AVAR\n1,\n2,\n")
        out = calcium.dff(calcium.load(tmp_path / "w.csv", rate=1.0), percentile=0)
        np.testing.assert_array_equal(out, [[0, np.nan], [1, np.nan]])

    def test_spike_times_are_refused(self):
        expected = "mapping: unit 'a' has 2 times that are not finite"
        assert said(spikes.load, {"a": [0.1, np.nan, np.inf]}, bin_width=0.1) == expected


class TestUnequalCells:
    lengths = (5, 7, 5)

    def test_version_5(self, tmp_path):
        cells = np.empty(3, dtype=object)
        cells[:] = [np.arange(float(n)) for n in self.lengths]
        scipy.io.savemat(tmp_path / "c.mat", {"worm": {"traces": cells}})
        assert said(calcium.load, tmp_path / "c.mat", signal="worm/traces", rate=1.0) == self.expected(tmp_path)

    def test_version_7_3(self, tmp_path):
        with h5py.File(tmp_path / "c.mat", "w", userblock_size=512) as file:
            references = []
            for place, length in enumerate(self.lengths):
                cell = file.create_dataset(f"#refs#/c{place}", data=np.arange(float(length))[:, None])
                cell.attrs["MATLAB_class"] = np.bytes_(b"double")
                references.append(cell.ref)
            group = file.create_group("worm")
            group.create_dataset("traces", data=np.array([references], dtype=h5py.ref_dtype))
            group["traces"].attrs["MATLAB_class"] = np.bytes_(b"cell")
        with open(tmp_path / "c.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
        assert said(calcium.load, tmp_path / "c.mat", signal="worm/traces", rate=1.0) == self.expected(tmp_path)

    def expected(self, folder):
        return (
            f"{folder}/c.mat: worm/traces is a cell of 3 traces of different lengths (5, 7, 5): cut or pad them to one "
            "clock first"
        )


def test_phy_folder_without_templates(tmp_path):
    np.save(tmp_path / "spike_times.npy", np.array([10, 30, 55]))
    np.save(tmp_path / "spike_clusters.npy", np.array([4, 2, 4]))
    np.save(tmp_path / "channel_positions.npy", np.zeros((8, 2)))  # of no use without a template
    tree = spikes.load_session(tmp_path, bin_width=0.01, sampling_rate=1000.0)
    rec = tree["recordings/spikes/recording"]
    assert rec["unit"].values.tolist() == ["c2", "c4"]
    assert set(rec.coords) == {"time", "unit", "index", "group"}
    assert rec["group"].values.tolist() == ["unsorted", "unsorted"]
    assert known(rec, "templates") == "absent"
    assert list(tree["structure"]) == ["spike_times"]
    (tmp_path / "spike_clusters.npy").unlink()
    assert said(spikes.load, tmp_path, bin_width=0.01, sampling_rate=1000.0) == (
        f"{tmp_path}/spike_templates.npy: no such file or folder; a phy folder has spike_times.npy and "
        "spike_clusters.npy"
    )


def test_nwb_with_zero_spikes(tmp_path):
    file = pynwb.NWBFile("s", "i", START)
    for _ in range(2):
        file.add_unit(spike_times=[])
    path = tmp_path / "silent.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    expected = f"{path}: none of its 2 units has a spike; pass stop= (s), its end"
    assert said(spikes.load, path, bin_width=0.1) == expected
    tree = spikes.load_session(path, bin_width=0.5, stop=2.0)
    rec = tree["recordings/spikes/recording"]
    np.testing.assert_array_equal(rec, np.zeros((4, 2)))
    assert rec["unit"].values.tolist() == ["unit0", "unit1"]
    assert known(rec, "units_without_spikes") == ["unit0", "unit1"]
    assert tree["structure/spike_times/structure"].shape == (0,)
    back = spikes.to_nwb(tree, tmp_path / "again.nwb", session_start_time=START)
    np.testing.assert_array_equal(spikes.load(back, bin_width=0.5, stop=2.0), rec)
