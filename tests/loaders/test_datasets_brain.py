"""Each homogenised brain dataset, from its original file, against an independent read of that file."""

import re

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
from scipy.stats import gamma

import neurointerp as ni
from neurointerp.loaders.datasets import brennan2016, dag2023, haxby2001, ibl2019, rokem2009, triplett2018

WORM = "calcium/flavell_dag2023/2022-07-26-31"
LARVA = "calcium/zebrafish_triplett2018/zf_20170215-f3"
ALICE = "fmri/alice_brennan2016"
HAXBY = "fmri/pymvpa_bold"
ALF = "spikes/ibl_alf"


class TestDag2023:
    def test_traces_clock_and_labels(self, mirror):
        rec = dag2023.load(mirror / f"{WORM}-data.h5", labels=mirror / f"{WORM}-labels.csv")
        table = pd.read_csv(mirror / f"{WORM}-labels.csv")
        with h5py.File(mirror / f"{WORM}-data.h5") as file:
            np.testing.assert_array_equal(rec.values, file["gcamp/trace_array"][()])
            stamps = file["timing/timestamp_confocal"][()]
        np.testing.assert_allclose(rec.time, stamps - stamps[0], atol=1e-9)
        assert "sampling_rate" not in rec.attrs
        assert int(rec.is_labeled.sum()) == len(table) == 100
        for row in table.iloc[::9].itertuples():
            assert rec.unit.values[row.neuron - 1] == row.label
            assert rec.sel(unit=row.label).cell_type == row.neuron_class
        assert rec.unit.values[0] == "u001"
        assert rec.sel(unit="RIAR").hemisphere == "R"
        assert set(rec.hemisphere.values) == {"L", "R", ""}

    def test_left_and_right_twins_correlate(self, mirror):
        """The check that the labels sit on the right columns: twins fire together, others less."""
        rec = dag2023.load(mirror / f"{WORM}-data.h5", labels=mirror / f"{WORM}-labels.csv")
        names = set(rec.unit.values)
        twins = [(name, f"{name[:-1]}R") for name in sorted(names) if name[-1] == "L" and f"{name[:-1]}R" in names]
        between = np.corrcoef(rec.values.T)
        index = {name: column for column, name in enumerate(rec.unit.values)}
        pairs = [between[index[left], index[right]] for left, right in twins]
        assert len(pairs) > 25
        assert np.mean(pairs) > 0.4 > 4 * between[np.triu_indices_from(between, 1)].mean()

    def test_session_has_behaviour_and_events(self, mirror):
        tree = dag2023.load_session(mirror / "calcium/flavell_dag2023/2022-01-16-01-data.h5")
        assert list(tree["recordings"]) == [
            "calcium", "velocity", "angular_velocity", "head_angle", "pumping", "reversal_vec",
        ]  # fmt: skip
        velocity = tree["recordings/velocity/recording"]
        assert (velocity.attrs["units"], velocity.attrs["modality"]) == ("mm/s", "behavior")
        events = tree["events"].to_dataset()
        with h5py.File(mirror / "calcium/flavell_dag2023/2022-01-16-01-data.h5") as file:
            stamps, reversing = file["timing/timestamp_confocal"][()], file["behavior/reversal_vec"][()]
            np.testing.assert_array_equal(velocity.values[:, 0], file["behavior/velocity"][()])
        clock = stamps - stamps[0]
        food = events["onset"].values[events["trial_type"].values == "food_encounter"]
        np.testing.assert_allclose(food, [clock[324]], atol=1e-9)
        reversals = events.isel(event=events["trial_type"].values == "reversal")
        inside = np.zeros(len(clock), dtype=bool)
        for onset, duration in zip(reversals["onset"].values, reversals["duration"].values, strict=True):
            inside |= (clock >= onset - 1e-9) & (clock < onset + duration - 1e-9)
        np.testing.assert_array_equal(inside, reversing > 0)
        assert "behavior/body_angle" in tree.attrs["left_out"]
        assert not tree["recordings/calcium/recording"].is_labeled.any()

    def test_all_nan_behaviour_is_left_out_and_named(self, mirror):
        tree = dag2023.load_session(mirror / f"{WORM}-data.h5")
        assert "pumping" not in tree["recordings"]
        assert "behavior/pumping" in tree.attrs["left_out"]

    def test_synthetic_file_with_two_stretches_and_a_repeated_label(self, tmp_path):
        with h5py.File(tmp_path / "w-data.h5", "w") as file:
            file["gcamp/trace_array"] = np.arange(12.0).reshape(4, 3)
            file["gcamp/idx_splits"] = np.array([[1, 3], [2, 4]])
            file["timing/timestamp_confocal"] = [5.0, 5.5, 90.0, 90.5]
        (tmp_path / "labels.csv").write_text("neuron,label\n3,AVAL\n1,AVAL\n")
        rec = dag2023.load(tmp_path / "w-data.h5", labels=tmp_path / "labels.csv")
        assert list(rec.unit.values) == ["AVAL", "u002", "u003"]
        np.testing.assert_array_equal(rec.segment, [0, 0, 1, 1])
        np.testing.assert_array_equal(rec.time, [0.0, 0.5, 85.0, 85.5])
        assert rec.attrs["history"][-1]["parameters"]["repeated_labels"] == ["AVAL"]

    def test_errors(self, mirror, tmp_path):
        with pytest.raises(ni.LoaderError, match=r"neuron 142 outside 1 to 141; is this the table of another worm"):
            dag2023.load(mirror / "calcium/flavell_dag2023/2022-07-26-38-data.h5", labels=mirror / f"{WORM}-labels.csv")
        with pytest.raises(ni.LoaderError, match="no gcamp/trace_array"):
            dag2023.load(mirror / "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb")
        with pytest.raises(ni.LoaderError, match="no signal 'dff'; signals are trace_array"):
            dag2023.load(mirror / f"{WORM}-data.h5", signal="dff")
        (tmp_path / "labels.csv").write_text("column,name\n1,AVAL\n")
        with pytest.raises(ni.LoaderError, match="no column label and neuron; it has column, name"):
            dag2023.load(mirror / f"{WORM}-data.h5", labels=tmp_path / "labels.csv")


class TestTriplett2018:
    def test_activity_and_places(self, mirror):
        rec = triplett2018.load(mirror / f"{LARVA}.mat")
        np.testing.assert_array_equal(rec.values, scipy.io.loadmat(mirror / f"{LARVA}.mat")["activity_matrix"].T)
        places = pd.read_csv(mirror / f"{LARVA}_cell_coordinates.csv", header=None).to_numpy()
        np.testing.assert_allclose(np.stack([rec.coordinate_1, rec.coordinate_2], axis=1), places)
        assert (rec.attrs["sampling_rate"], rec.attrs["units"]) == (2.2, "1")
        assert "imrate" in rec.attrs["history"][-1]["parameters"]["rate_from"]
        assert triplett2018.load(mirror / f"{LARVA}.mat", sampling_rate=2.0).attrs["sampling_rate"] == 2.0

    def test_assemblies_are_those_of_the_csv(self, mirror):
        tree = triplett2018.load_session(mirror / f"{LARVA}.mat")
        membership = tree["structure/membership/structure"]
        lines = (mirror / f"{LARVA}_assembly_assignments.csv").read_text().split("\n")
        listed = [[int(text) for text in line.split(",")] for line in lines if line.strip()]
        assert membership.dims == ("unit", "roi")
        assert membership.dtype == bool
        for column, cells in enumerate(listed):
            np.testing.assert_array_equal(np.flatnonzero(membership.values[:, column]) + 1, cells)

    def test_members_correlate_more_than_others(self, mirror):
        tree = triplett2018.load_session(mirror / f"{LARVA}.mat")
        between = np.corrcoef(tree["recordings/calcium/recording"].values.T)
        member = tree["structure/membership/structure"].values
        same = (member.astype(int) @ member.T.astype(int) > 0) & ~np.eye(75, dtype=bool)
        assert between[same].mean() > 1.5 * between[~same & ~np.eye(75, dtype=bool)].mean()

    def test_other_files(self, mirror, tmp_path):
        scipy.io.savemat(tmp_path / "other.mat", {"a": 1})
        with pytest.raises(ni.LoaderError, match="no activity_matrix, cell_coordinates, detected_assemblies"):
            triplett2018.load(tmp_path / "other.mat")
        with pytest.raises(ni.LoaderError, match="cannot be read as MATLAB"):
            triplett2018.load(mirror / f"{WORM}-labels.csv")


class TestBrennan2016:
    def test_regions(self, mirror):
        rec = brennan2016.load(mirror / ALICE / "6mm/s18-timecourses.txt")
        table = pd.read_csv(mirror / ALICE / "6mm/s18-timecourses.txt", sep=r"\s+", header=None)
        np.testing.assert_array_equal(rec.values, table.to_numpy())
        assert list(rec.unit.values) == ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"]
        assert (rec.attrs["sampling_rate"], rec.attrs["subject"]) == (0.5, "s18")

    def test_words_are_those_of_the_story(self, mirror):
        tree = self._session(mirror)
        heard = [word.lower() for word in tree["events/word"].values]
        story = re.findall(r"[a-z']+", (mirror / ALICE / "alice.1.txt").read_text("utf-8").lower())
        assert len(heard) == 2127
        assert heard[:9] == ["alice", "was", "beginning", "to", "get", "very", "tired", "of", "sitting"]
        assert len(set(heard) & set(story)) > 0.9 * len(set(heard))

    def test_the_first_volume_is_20_s_into_the_textgrid(self, mirror):
        """The authors' predictors say so: words through a canonical response fit theirs best at that offset."""
        words = self._session(mirror)["events"].to_dataset()
        end = words["textgrid_onset"].values + words["duration"].values
        shape = np.arange(0, 32, 0.1)
        response = gamma.pdf(shape, 6) - gamma.pdf(shape, 16) / 6
        rate = np.convolve(np.bincount(np.rint(end / 0.1).astype(int), minlength=8000), response)
        for name, columns, expected in (
            ("s18-rate.txt", None, brennan2016.FIRST_VOLUME),
            ("sept18-generic-predictors-under-hrf-with-logfrqhal.txt", 0, 0.0),
        ):
            theirs = np.loadtxt(mirror / ALICE / name, usecols=columns)
            fits = {}
            for first in np.arange(0.0, 40.0, 0.5):
                at = np.rint((first + 2 * np.arange(len(theirs))) / 0.1).astype(int)
                at = at[at < len(rate)]
                fits[first] = np.corrcoef(rate[at], theirs[: len(at)])[0, 1]
            assert max(fits, key=fits.get) == expected
            assert fits[expected] > 0.98

    def test_onsets_move_with_the_first_volume(self, mirror):
        tree = self._session(mirror)
        np.testing.assert_allclose(tree["events/onset"], tree["events/textgrid_onset"].values - 20.0)
        assert 0 < tree["events/onset"].values[0] < 0.1
        assert tree["events/onset"].values[-1] < 362 * 2.0
        assert tree.attrs["first_volume_on_textgrid_clock"] == 20.0

    def test_errors(self, mirror):
        with pytest.raises(ni.LoaderError, match="cannot be read as a table of time courses"):
            brennan2016.load(mirror / ALICE / "alice.1.txt")
        with pytest.raises(ni.LoaderError, match=r"6 columns are needed \(LATL .* LIFG\), found 1"):
            brennan2016.load(mirror / ALICE / "s18-rate.txt")
        with pytest.raises(ni.LoaderError, match=r"alice\.1\.txt: holds no words"):
            brennan2016.load_session(
                mirror / ALICE / "6mm/s18-timecourses.txt", textgrid=mirror / ALICE / "alice.1.txt"
            )

    @staticmethod
    def _session(mirror):
        textgrid = mirror / ALICE / "DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"
        return brennan2016.load_session(mirror / ALICE / "6mm/s18-timecourses.txt", textgrid=textgrid)


class TestHaxby2001:
    def test_volumes_conditions_and_runs(self, mirror):
        rec = self._load(mirror)
        data = nibabel.load(mirror / HAXBY / "bold.nii.gz").get_fdata()
        np.testing.assert_array_equal(rec.values, data[data.std(axis=-1) > 0].T)
        table = pd.read_csv(mirror / HAXBY / "attributes_literal.txt", sep=" ", header=None)
        assert list(rec.condition.values) == list(table[0])
        np.testing.assert_array_equal(rec.segment, table[1])
        assert rec.attrs["sampling_rate"] == 0.4

    def test_blocks_are_those_of_the_bids_events(self, mirror):
        tree = haxby2001.load_session(
            mirror / HAXBY / "bold.nii.gz", attributes=mirror / HAXBY / "attributes_literal.txt"
        )
        events = tree["events"].to_dataset()
        assert events.sizes["event"] == 96
        first = pd.read_csv(mirror / "fmri/haxby2001_pymvpa/sub001/BOLD/task001_run001/bold_events.tsv", sep="\t")
        np.testing.assert_allclose(events["onset"][:8], first["onset"])
        np.testing.assert_allclose(events["duration"][:8], first["duration"])
        assert list(events["trial_type"].values[:8]) == list(first["trial_type"])

    def test_attributes_must_be_given_and_fit(self, mirror, tmp_path):
        with pytest.raises(ni.LoaderError, match="conditions and runs stand in a second file; pass attributes="):
            haxby2001.load(mirror / HAXBY / "bold.nii.gz")
        (tmp_path / "short.txt").write_text("rest 0\nface 0\n")
        with pytest.raises(ni.LoaderError, match="runs has 2 numbers for 1452 volumes"):
            haxby2001.load(mirror / HAXBY / "bold.nii.gz", attributes=tmp_path / "short.txt")
        (tmp_path / "odd.txt").write_text("rest\n")
        with pytest.raises(ni.LoaderError, match="cannot be read as a table of condition and run"):
            haxby2001.load(mirror / HAXBY / "bold.nii.gz", attributes=tmp_path / "odd.txt")

    @staticmethod
    def _load(mirror):
        return haxby2001.load(mirror / HAXBY / "bold.nii.gz", attributes=mirror / HAXBY / "attributes_literal.txt")


class TestIbl2019:
    def test_counts(self, mirror):
        rec = ibl2019.load(mirror / ALF / "spikes.times.npy", bin_width=0.1)
        assert rec.sizes == {"time": 1200, "unit": 289}
        assert int(rec.sum()) == 124_905
        clusters = np.load(mirror / ALF / "spikes.clusters.npy")
        np.testing.assert_array_equal(rec.sum("time"), np.unique(clusters, return_counts=True)[1])
        np.testing.assert_array_equal(rec["index"], np.unique(clusters))

    def test_session(self, mirror):
        tree = ibl2019.load_session(
            mirror / ALF,
            clusters=mirror / ALF / "spikes.clusters.npy",
            events=mirror / ALF / "events.times.npy",
            groups=mirror / ALF / "events.groups.npy",
        )
        np.testing.assert_array_equal(tree["events/onset"], np.load(mirror / ALF / "events.times.npy"))
        assert set(tree["events/trial_type"].values) == {"group0", "group1"}
        assert tree["structure/spike_times/structure"].size == 124_905

    def test_clusters_elsewhere(self, mirror, tmp_path):
        np.save(tmp_path / "spikes.times.npy", np.array([0.1, 0.2]))
        with pytest.raises(ni.LoaderError, match="no such file or folder; pass clusters="):
            ibl2019.load(tmp_path / "spikes.times.npy")


class TestRokem2009:
    def test_series_of_the_library(self, mirror):
        rec = rokem2009.load(mirror / "fmri/nitime/fmri_timeseries.csv")
        table = pd.read_csv(mirror / "fmri/nitime/fmri_timeseries.csv")
        np.testing.assert_array_equal(rec.values, table.to_numpy())
        assert list(rec.unit.values) == list(table.columns)
        assert rec.attrs["sampling_rate"] == 1 / 1.89
        np.testing.assert_allclose(rec.time, np.arange(250) * 1.89)
        assert list(rec.unit.values[rec.kind.values == "nuisance"]) == ["WM", "Vent", "Brain"]
        sides = dict(zip(rec.unit.values, rec.hemisphere.values, strict=True))
        assert [sides[name] for name in ("LCau", "RCau", "APHG", "WM")] == ["L", "R", "", ""]

    def test_other_tables(self, mirror):
        with pytest.raises(ni.LoaderError, match=r"no column 'WM'; nitime's fmri_timeseries\.csv is needed"):
            rokem2009.load(mirror / ALICE / "6mm/s18-timecourses.txt")


def test_every_session_survives_the_store(mirror, tmp_path):
    trees = {
        "worm": dag2023.load_session(mirror / f"{WORM}-data.h5", labels=mirror / f"{WORM}-labels.csv"),
        "larva": triplett2018.load_session(mirror / f"{LARVA}.mat"),
        "alice": TestBrennan2016._session(mirror),
        "probe": ibl2019.load_session(mirror / ALF),
        "rest": rokem2009.load_session(mirror / "fmri/nitime/fmri_timeseries.csv"),
    }
    for name, tree in trees.items():
        ni.save(tree, tmp_path / f"{name}.zarr")
        opened = ni.open(tmp_path / f"{name}.zarr")
        for node in tree.subtree:
            assert opened[node.path].to_dataset().identical(node.to_dataset()), (name, node.path)
