"""Three sources without files at hand, read from raw files made in the layout that their authors' code writes."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.io

import neurointerp as ni
from neurointerp.loaders.datasets import lin2023, nejatbakhsh2020, yemini2021

SESSION = ["calcium", "residual", "calcium_smooth", "residual_smooth", "original"]


def cell(*items, shape=None):
    """Make a MATLAB cell array."""
    out = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        out[place] = item
    return out.reshape(shape or (-1, 1), order="F")


class TestYemini:
    """Three worms; ASE has two sides, AVL none, AVA only left and not in the third worm."""

    FRAMES = (40, 40, 44)

    @pytest.fixture
    def planted(self):
        rng = np.random.default_rng(0)
        empty = np.empty((0, 0))
        return {
            "ASE": [rng.normal(size=n) for n in (*self.FRAMES, *self.FRAMES)],
            "AVL": [rng.normal(size=n) for n in self.FRAMES],
            "AVA": [rng.normal(size=self.FRAMES[0]), rng.normal(size=self.FRAMES[1]), empty],
        }

    def held(self, planted, **changes):
        nan = np.nan
        sides = {"ASE": [1, 1, 1, 0, 0, 0], "AVL": [nan] * 3, "AVA": [1, 1, 1]}
        return {
            "fps": 4.0,
            "files": cell("20190924_01_head", "20190924_02_head", "20190924_03_head"),
            "neurons": cell(*planted),
            "is_L": cell(*(np.array(side, dtype=float)[None] for side in sides.values())),
            "norm_traces": cell(*(cell(*(t.reshape(1, -1) for t in each), shape=(1, -1)) for each in planted.values())),
            "stim_names": cell("butanone", "pentanedione", "nacl"),
            "stim_times": np.array([[2.0, 4.0], [5.0, 6.0], [8.0, 9.5]]),
            "stims": np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1]]),
        } | changes  # fmt: skip

    @pytest.fixture
    def path(self, tmp_path, planted):
        scipy.io.savemat(tmp_path / "Head_Activity_OH16230.mat", self.held(planted))
        return tmp_path / "Head_Activity_OH16230.mat"

    def test_every_trace_finds_its_worm_and_side(self, path, planted, adopted):
        worms = yemini2021.load_all(path)
        assert list(worms) == ["20190924_01_head", "20190924_02_head", "20190924_03_head"]
        for place, rec in enumerate(worms.values()):
            wanted = {"ASEL": planted["ASE"][place], "ASER": planted["ASE"][3 + place], "AVL": planted["AVL"][place]}
            wanted |= {"AVAL": planted["AVA"][place]} if place < 2 else {}
            assert list(rec.unit.values) == list(wanted)
            assert rec.is_labeled.all()
            for name, trace in wanted.items():
                np.testing.assert_array_equal(rec.sel(unit=name), trace)
            np.testing.assert_array_equal(rec.time, np.arange(self.FRAMES[place]) / 4)
            ni.check(rec)
        assert yemini2021.load(path, worm="20190924_02_head").identical(worms["20190924_02_head"])
        by_id = adopted("yemini2021", path.parent)
        assert list(by_id) == list(worms)
        np.testing.assert_array_equal(by_id["20190924_03_head"], worms["20190924_03_head"])

    def test_what_was_not_seen_is_missing_not_zero(self, path):
        out = yemini2021.load(path, worm="20190924_03_head", homogenised=True)
        assert out.sel(unit="AVAL").isnull().all()
        assert out.sel(unit=["ASEL", "ASER", "AVL"]).notnull().all()
        assert out.sizes["unit"] == 300

    def test_the_stimuli_come_in_the_order_of_each_worm(self, path):
        tree = yemini2021.load_session(path, worm="20190924_02_head", homogenised=True)
        assert list(tree["recordings"]) == SESSION
        events = tree["events"].to_dataset()
        assert list(events.trial_type.values) == ["nacl", "butanone", "pentanedione"]
        np.testing.assert_array_equal(events.onset, [2, 5, 8])
        np.testing.assert_array_equal(events.duration, [2, 1, 1.5])

    def test_sides_that_are_given_the_other_way_round(self, tmp_path, planted):
        """The side stands in the file, not in the order of the cells."""
        held = self.held(planted)
        held["is_L"][0, 0] = np.array([[0.0, 0, 0, 1, 1, 1]])
        scipy.io.savemat(tmp_path / "w.mat", held)
        rec = yemini2021.load(tmp_path / "w.mat", worm="20190924_01_head")
        np.testing.assert_array_equal(rec.sel(unit="ASER"), planted["ASE"][0])

    def test_a_class_with_two_traces_and_no_side_names_no_neuron(self, tmp_path, planted):
        held = self.held(planted)
        held["is_L"][0, 0] = np.full((1, 6), np.nan)
        scipy.io.savemat(tmp_path / "w.mat", held)
        rec = yemini2021.load(tmp_path / "w.mat", worm="20190924_01_head")
        assert list(rec.is_labeled.values[:2]) == [False, False]
        assert list(rec.candidates.values[:2]) == ["ASEL,ASER"] * 2

    def test_stimuli_that_do_not_fit_are_left_out_by_name(self, tmp_path, planted):
        scipy.io.savemat(tmp_path / "w.mat", self.held(planted, stims=np.array([[1, 2, 4]] * 3)))
        tree = yemini2021.load_session(tmp_path / "w.mat", worm="20190924_01_head")
        assert "events" not in tree.children
        assert tree.attrs["left_out"] == ["stim_names", "stim_times", "stims"]

    def test_malformed(self, tmp_path, path, planted):
        with pytest.raises(ni.LoaderError, match=r"it holds 3 worms; pass worm= one of 20190924_01_head"):
            yemini2021.load(path)
        with pytest.raises(ni.LoaderError, match="no signal 'F'; signals are norm_traces, traces"):
            yemini2021.load(path, signal="F")
        with pytest.raises(ni.LoaderError, match=r"no traces; Head_Activity_OH15500\.mat, .* is needed, this holds"):
            yemini2021.load(path, signal="traces")
        planted["AVL"][1] = planted["AVL"][1][:-1]
        scipy.io.savemat(tmp_path / "w.mat", self.held(planted))
        with pytest.raises(ni.LoaderError, match=r"traces of unequal length \(frames\): AVL 39, AVAL 40"):
            yemini2021.load(tmp_path / "w.mat", worm="20190924_02_head")
        planted["AVL"].pop()
        scipy.io.savemat(tmp_path / "w.mat", self.held(planted))
        with pytest.raises(ni.LoaderError, match="neuron 'AVL' has 2 traces and 3 sides for 3 worms"):
            yemini2021.load_all(tmp_path / "w.mat")


class TestLin:
    NEURONS = ("ASEL", "AWCON", "reassigned", "ADLR", "ASEL")
    FLAGS = (1, 1, 1, 0, 1)

    def held(self, **changes):
        rng = np.random.default_rng(1)
        traces = 100 + rng.normal(size=(5, 30))
        traces[:, [0, -1]] = np.nan
        first = np.zeros((5, 5))
        first[:, 0] = [90, 91, 92, 93, 94]
        stamps = 0.2 + np.cumsum(rng.uniform(0.3, 0.5, 30))
        return {
            "corrected_F": traces, "proofread_neurons": cell(*self.NEURONS), "tracked_IDs": cell(*self.NEURONS),
            "use_flag": np.array(self.FLAGS)[:, None], "F_0": first, "positions": np.zeros((5, 3, 30)),
            "times": {"frames": np.arange(30.0), "times": stamps[:, None]},
            "stimulus": cell(cell("1-octanol"), cell("diacetyl"), 3.0, 8.0, 5.0, 10.0, shape=(2, 3)),
        } | changes  # fmt: skip

    @pytest.fixture
    def path(self, tmp_path):
        scipy.io.savemat(tmp_path / "run101_prfrd_data.mat", self.held())
        return tmp_path / "run101_prfrd_data.mat"

    def test_proofread_neurons_as_stored(self, path):
        held, rec = self.held(), lin2023.load(path)
        assert list(rec.unit.values) == ["ASEL", "AWCON", "reassigned", "u003"]
        assert list(rec.is_labeled.values) == [True, True, False, False]
        np.testing.assert_array_equal(rec.values, held["corrected_F"][[0, 1, 2, 4]].T)
        np.testing.assert_array_equal(rec.baseline, [90, 91, 92, 94])
        stamps = held["times"]["times"].ravel()
        np.testing.assert_allclose(rec.time, stamps - stamps[0])
        assert rec.attrs["history"][-1]["parameters"]["not_proofread"] == ["ADLR"]
        assert rec.attrs["session"] == "run101"
        ni.check(rec)

    def test_what_was_not_proofread_names_no_neuron(self, path):
        rec = lin2023.load(path, proofread_only=False)
        assert list(rec.unit.values) == ["ASEL", "AWCON", "reassigned", "u003", "u004"]
        assert list(rec.use_flag.values) == list(self.FLAGS)
        assert int(rec.is_labeled.sum()) == 2

    def test_on_the_common_order(self, path):
        out = lin2023.load(path, homogenised=True, target_dt=0.3)
        there = out.notnull().any("time")
        assert set(out.unit.values[there]) == {"ASEL", "AWCR", "u000", "u001"}
        assert out.attrs["history"][-1]["parameters"]["awc_on_off_aliases"] == ["AWCON"]
        scaled = lin2023.load(path).sel(unit="ASEL")
        scaled = ((scaled - scaled.mean()) / scaled.std()).values[1:-1]
        time = lin2023.load(path).time.values[1:-1]
        inside = out.time.values[(out.time > time[0]) & (out.time < time[-1])]
        np.testing.assert_allclose(out.sel(unit="ASEL", time=inside), np.interp(inside, time, scaled), atol=1e-12)
        assert out.sel(unit="ASEL").isnull().sum() == out.sizes["time"] - len(inside)

    def test_odours_are_on_the_clock_of_the_recording(self, path):
        tree = lin2023.load_session(path, homogenised=True)
        first = self.held()["times"]["times"][0, 0]
        events = tree["events"].to_dataset()
        np.testing.assert_allclose(events.onset, [3 - first, 8 - first])
        np.testing.assert_array_equal(events.duration, [2, 2])
        assert list(events.trial_type.values) == ["1-octanol", "diacetyl"]
        assert tree.attrs["left_out"] == ["positions", "tracked_IDs"]
        assert list(tree["recordings"]) == SESSION

    def test_a_folder_of_runs(self, tmp_path, path, adopted):
        (tmp_path / "A2").mkdir()
        scipy.io.savemat(tmp_path / "A2" / "run101_prfrd_data.mat", self.held())
        assert list(lin2023.load_all(tmp_path)) == ["run101", "run101-1"]
        assert list(adopted("lin2023", tmp_path)) == ["run101", "run101-1"]
        with pytest.raises(ni.LoaderError, match=r"holds no \*\.nwb"):
            nejatbakhsh2020.load_all(tmp_path)

    def test_no_run_of_a_folder_takes_the_name_of_another(self, tmp_path, adopted):
        for place, name in enumerate(("a-2", "a", "a")):
            (tmp_path / str(place)).mkdir()
            scipy.io.savemat(tmp_path / str(place) / f"{name}_prfrd_data.mat", self.held())
        assert list(lin2023.load_all(tmp_path)) == ["a-2", "a", "a-3"]
        assert list(adopted("lin2023", tmp_path)) == ["a-2", "a", "a-3"]

    def test_malformed(self, tmp_path, path):
        file = tmp_path / "w.mat"
        scipy.io.savemat(file, self.held(use_flag=np.zeros((5, 1))))
        with pytest.raises(ni.LoaderError, match="none of 5 neurons is proofread; pass proofread_only=False"):
            lin2023.load(file)
        scipy.io.savemat(file, self.held(corrected_F=np.ones((4, 30))))
        with pytest.raises(
            ni.LoaderError, match=r"shape \(4, 30\) \(neuron, time\) for 5 names, 5 flags and 30 stamps"
        ):
            lin2023.load(file)
        scipy.io.savemat(file, self.held(times=np.arange(30.0)))
        with pytest.raises(ni.LoaderError, match="times is no struct with a field times"):
            lin2023.load(file)
        scipy.io.savemat(file, {"x": 1})
        with pytest.raises(
            ni.LoaderError, match=r"no corrected_F, proofread_neurons, use_flag, times; .*, this holds x"
        ):
            lin2023.load(file)


WRITE_NWB = r"""
import json, sys
from datetime import datetime, timezone
import numpy as np
from pynwb import NWBHDF5IO, NWBFile, get_class, load_namespaces
from pynwb.epoch import TimeIntervals
from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries
from pynwb.spec import NWBAttributeSpec, NWBDatasetSpec, NWBGroupSpec, NWBNamespaceBuilder

folder, name = sys.argv[1], "ndx-multichannel-volume"
values, labels = np.load(folder + "/values.npy"), json.load(open(folder + "/labels.json"))
spec = NWBGroupSpec("labels", neurodata_type_def="SegmentationLabels", neurodata_type_inc="NWBDataInterface",
                    datasets=[NWBDatasetSpec("labels", name="labels", dtype="text", shape=(None,), dims=("n",)),
                              NWBDatasetSpec("what", name="description", dtype="text")])
builder = NWBNamespaceBuilder("labels of a segmentation", name, version="0.1.12", author="nobody", contact="nobody")
builder.include_type("NWBDataInterface", namespace="core")
builder.add_spec("labels.extensions.yaml", spec)
builder.export("labels.namespace.yaml", outdir=folder)
load_namespaces(folder + "/labels.namespace.yaml")
Labels = get_class("SegmentationLabels", name)

nwb = NWBFile("worm", "20190924-01", datetime(2019, 9, 24, tzinfo=timezone.utc))
device = nwb.create_device("microscope")
channel = OpticalChannel(name="g", description="g", emission_lambda=525.0)
plane = nwb.create_imaging_plane(name="p", optical_channel=channel, description="", device=device,
                                 excitation_lambda=488.0, indicator="GCaMP6s", location="head")
segmentation = ImageSegmentation(name="CalciumSeriesSegmentation")
table = segmentation.create_plane_segmentation(name="Seg_tpoint_0", description="d", imaging_plane=plane)
for place in range(values.shape[1]):
    table.add_roi(voxel_mask=[(place, 2, 3, 1.0)])
rois = table.create_roi_table_region(description="all", region=list(range(values.shape[1])))
fluorescence = Fluorescence(name="SignalRawFluor", roi_response_series=RoiResponseSeries(
    name="SignalCalciumImResponseSeries", data=values, rois=rois, unit="unitless", rate=4.0))
demixed = Fluorescence(name="SignalRawFluordNMF", roi_response_series=RoiResponseSeries(
    name="dNMFCalciumImResponseSeries", data=2 * values, rois=rois, unit="unitless", rate=4.0))
module = nwb.create_processing_module("CalciumActivity", "calcium")
for item in (segmentation, fluorescence, demixed):
    module.add(item)
if labels is not None:
    module.add(Labels(name="NeuronIDs", labels=labels, description="labels"))
stimuli = TimeIntervals(name="chemical_stimuli", description="odours")
stimuli.add_column(name="stimulus", description="which")
stimuli.add_row(start_time=60.5, stop_time=70.5, stimulus="nacl")
stimuli.add_row(start_time=120.5, stop_time=130.5, stimulus="butanone")
nwb.add_time_intervals(stimuli)
with NWBHDF5IO(folder + "/sub-20190924-01_ophys.nwb", "w") as io:
    io.write(nwb)
"""


def write_nwb(folder, values, labels):
    """Write a worm with the extension's type, in a process of its own: the reader learns the type from the file."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "values.npy", values)
    (folder / "labels.json").write_text(json.dumps(labels))
    subprocess.run([sys.executable, "-W", "ignore", "-c", WRITE_NWB, str(folder)], check=True, capture_output=True)
    return folder / "sub-20190924-01_ophys.nwb"


@pytest.fixture(scope="module")
def worm(tmp_path_factory):
    values = np.random.default_rng(2).normal(size=(60, 6))
    values[5, 1] = np.nan
    labels = ["AVAL", "VB02", "SIAD?", "AVAL", "", "AWC ON"]
    return write_nwb(tmp_path_factory.mktemp("nwb") / "a", values, labels), values


class TestNejatbakhsh:
    def test_traces_clock_and_names(self, worm):
        path, values = worm
        rec = nejatbakhsh2020.load(path)
        np.testing.assert_array_equal(rec.values, values)
        np.testing.assert_array_equal(rec.time, np.arange(60) / 4)
        assert list(rec.unit.values) == ["AVAL", "VB02", "SIAD?", "u003", "u004", "AWCON"]
        assert list(rec.is_labeled.values) == [True, True, False, False, False, True]
        assert rec.attrs["session"] == "sub-20190924-01"
        assert rec.attrs["history"][-1]["parameters"]["stated_units"] == "unitless"
        demixed = nejatbakhsh2020.load(path, signal="dNMFCalciumImResponseSeries")
        np.testing.assert_array_equal(demixed.values, 2 * values)

    def test_session_and_common_order(self, worm, adopted):
        path, _ = worm
        tree = nejatbakhsh2020.load_session(path, homogenised=True)
        assert list(tree["recordings"]) == SESSION
        events = tree["events"].to_dataset()
        np.testing.assert_array_equal(events.onset, [60.5, 120.5])
        np.testing.assert_array_equal(events.duration, [10, 10])
        assert list(events.trial_type.values) == ["nacl", "butanone"]
        out = tree["recordings/calcium/recording"]
        assert set(out.unit.values[out.notnull().any("time")]) == {"AVAL", "VB2", "AWCR", "u000", "u001", "u002"}
        assert out.sel(unit="VB2").isnull().any()
        assert list(nejatbakhsh2020.load_all(path.parent)) == ["sub-20190924-01"]
        assert adopted("nejatbakhsh2020", path.parent)["sub-20190924-01"].sizes == {"time": 60, "unit": 6}

    def test_malformed(self, worm, tmp_path, mirror):
        path = write_nwb(tmp_path / "few", np.ones((9, 3)), ["AVAL"])
        with pytest.raises(ni.LoaderError, match="NeuronIDs holds 1 labels for 3 neurons"):
            nejatbakhsh2020.load(path)
        with pytest.raises(ni.LoaderError, match="no series 'F'; pass signal= one of SignalCalciumImResponseSeries"):
            nejatbakhsh2020.load(worm[0], signal="F")
        other = mirror / "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb"
        with pytest.raises(ni.LoaderError, match="no series 'SignalCalciumImResponseSeries'; pass signal="):
            nejatbakhsh2020.load(other)
