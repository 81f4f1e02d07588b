"""Where ROIs are, from what each tool stores; suite2p's pickles are read as data; deconvolution; planes."""

import datetime
import pickle

import h5py
import numpy as np
import pynwb
import pytest
import scipy.io
import scipy.signal
from scipy import sparse

import neurointerp as ni
from neurointerp.loaders import calcium

PLANE = "calcium/suite2p_pynapple/suite2p/plane0"


def objects(path, value, protocol=4):
    """Write what `numpy.save` writes for Python objects."""
    held = np.empty((len(value),) if isinstance(value, list) else (), dtype=object)
    held[...] = value
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": held.shape})
        pickle.dump(held, file, protocol=protocol)


class TestSuite2p:
    def test_centres_against_numpys_own_unpickling(self, mirror):
        stat = np.load(mirror / PLANE / "stat.npy", allow_pickle=True)  # a file we know
        rec = calcium.load(mirror / PLANE, sampling_rate=30.0, cells_only=False)
        for place in (0, 7, 218):
            roi = stat[place]
            expected = [np.average(roi[axis], weights=roi["lam"]) for axis in ("ypix", "xpix")]
            np.testing.assert_allclose([rec.pixel_y[place], rec.pixel_x[place]], expected, rtol=1e-6)
            assert np.abs(np.array(expected) - roi["med"]).max() < 2 * roi["radius"]
        cells = calcium.load(mirror / PLANE, sampling_rate=30.0)
        np.testing.assert_array_equal(cells.pixel_x, rec.pixel_x[cells["index"].values])

    @pytest.mark.parametrize("protocol", [0, 2, 3, 4])
    def test_every_protocol_that_numpy_writes(self, folder, protocol):
        rois = [
            {"ypix": np.array([2, 4]), "xpix": np.array([[1, 7]]).T[:, 0], "lam": np.array([1, 3], dtype=np.float32)},
            {"ypix": np.array([5]), "xpix": np.array([6]), "lam": np.array([0.0]), "med": [5, 6]},
        ]
        objects(folder / "stat.npy", rois, protocol)
        objects(folder / "ops.npy", {"fs": np.float32(7.5), "save_path": "x", "nplanes": 1}, protocol)
        rec = calcium.load(folder, cells_only=False)
        np.testing.assert_allclose(rec.pixel_y, [3.5, np.nan])
        np.testing.assert_allclose(rec.pixel_x, [5.5, np.nan])
        assert rec.attrs["sampling_rate"] == 7.5
        with pytest.raises(ni.LoaderError, match=r"ops\.npy states 7\.5 Hz, sampling_rate=30 was given"):
            calcium.load(folder, sampling_rate=30.0, cells_only=False)

    def test_nothing_in_a_pickle_is_run(self, folder):
        class Bomb:
            def __reduce__(self):
                return open, (str(folder / "ran"), "w")

        objects(folder / "stat.npy", [{"ypix": Bomb(), "xpix": Bomb(), "lam": Bomb()}] * 2)
        with pytest.raises(ni.LoaderError, match=r"stat\.npy: cannot be read as suite2p's ROIs \(ValueError: no"):
            calcium.load(folder, sampling_rate=30.0, cells_only=False)
        assert not (folder / "ran").exists()
        objects(folder / "stat.npy", [{}])
        with pytest.raises(ni.LoaderError, match=r"stat\.npy: describes 1 ROIs, there are 2"):
            calcium.load(folder, sampling_rate=30.0, cells_only=False)
        whole = (folder / "stat.npy").read_bytes()
        (folder / "stat.npy").write_bytes(whole[:-20])
        with pytest.raises(ni.LoaderError, match=r"stat\.npy: cannot be read as an array of objects"):
            calcium.load(folder, sampling_rate=30.0, cells_only=False)
        np.save(folder / "stat.npy", np.zeros(2))
        with pytest.raises(ni.LoaderError, match=r"stat\.npy: objects are needed, found dtype float64"):
            calcium.load(folder, sampling_rate=30.0, cells_only=False)
        (folder / "stat.npy").unlink()
        rec = calcium.load(folder, sampling_rate=30.0, cells_only=False)
        assert rec.attrs["history"][-1]["parameters"]["positions"] == "absent"

    @pytest.fixture
    def folder(self, tmp_path):
        np.save(tmp_path / "F.npy", np.random.default_rng(0).normal(size=(2, 9)))
        return tmp_path


def planes(path, mask):
    """Write two planes of a volume, the second taken 50 ms after the first."""
    file = pynwb.NWBFile("s", "i", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    module = file.create_processing_module("ophys", "d")
    held, segmentation = pynwb.ophys.Fluorescence(), pynwb.ophys.ImageSegmentation()
    module.add([segmentation, held])
    for number in range(2):
        channel = pynwb.ophys.OpticalChannel(name="c", description="d", emission_lambda=510.0)
        plane = file.create_imaging_plane(
            name=f"plane{number}", optical_channel=channel, description="d", excitation_lambda=920.0,
            device=file.devices.get("m") or file.create_device("m"), indicator="GCaMP", location="V1",
        )  # fmt: skip
        table = pynwb.ophys.PlaneSegmentation(name=f"cells{number}", description="d", imaging_plane=plane)
        for roi in range(3):
            pixels = [(roi, 2 * roi, 1.0), (roi + 4, 2 * roi, 3.0)]
            table.add_roi(**{mask: pixels if mask == "pixel_mask" else [(x, y, 9, w) for x, y, w in pixels]})
        segmentation.add_plane_segmentation(table)
        rois = table.create_roi_table_region(region=[2, 0], description="d")
        held.add_roi_response_series(
            pynwb.ophys.RoiResponseSeries(
                name=f"F{number}", data=np.eye(8, 2) + number, rois=rois, unit="n.a.", rate=5.0,
                starting_time=0.05 * number,
            )
        )  # fmt: skip
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


@pytest.mark.parametrize("mask", ["pixel_mask", "voxel_mask"])
def test_nwb_masks_give_centres_and_planes_keep_their_offsets(tmp_path, mask):
    tree = calcium.load_session(planes(tmp_path / "v.nwb", mask))
    one, two = (tree[f"recordings/F{number}/recording"] for number in range(2))
    np.testing.assert_allclose(one.pixel_x, [5.0, 3.0])  # (2 + 3 * 6) / 4 and (0 + 3 * 4) / 4
    np.testing.assert_allclose(one.pixel_y, [4.0, 0.0])
    assert ("pixel_z" in one.coords) == (mask == "voxel_mask")
    np.testing.assert_array_equal(two["time"], 0.05 + np.arange(8) / 5.0)
    with pytest.raises(ni.AlignmentError):
        ni.align.match(one, two)


def test_extract_output(tmp_path):
    """EXTRACT saves `output` with traces (frame, cell) in MATLAB's v7.3."""
    traces = np.random.default_rng(1).normal(size=(30, 4))
    with h5py.File(tmp_path / "extract.mat", "w", userblock_size=512) as file:
        output = file.create_group("output")
        output.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for name, values in (("temporal_weights", traces.T), ("spatial_weights", np.ones((4, 6, 5)))):
            output[name] = values
            output[name].attrs["MATLAB_class"] = np.bytes_(b"single")
    with open(tmp_path / "extract.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    rec = calcium.load(tmp_path / "extract.mat", signal="output/temporal_weights", rate=20.0)
    np.testing.assert_array_equal(rec, traces)
    assert rec.attrs["sampling_rate"] == 20.0
    listed = r"pass signal= one of: output/spatial_weights \(5, 6, 4\), output/temporal_weights \(30, 4\)"
    with pytest.raises(ni.LoaderError, match=listed):
        calcium.load(tmp_path / "extract.mat", signal="C", rate=20.0)


def test_cnmfe_results(tmp_path):
    """CNMF-E saves `results` with (cell, frame) `C`, `C_raw` and a sparse `S`, and sparse footprints `A`."""
    rng = np.random.default_rng(2)
    traces, events = rng.normal(size=(4, 30)), sparse.random(4, 30, 0.2, "csc", rng=rng)
    held = {"C": traces, "C_raw": traces + 1, "S": events, "A": sparse.random(40, 4, 0.2, "csc", rng=rng), "Fs": 10.0}
    scipy.io.savemat(tmp_path / "results.mat", {"results": held})
    rec = calcium.load(tmp_path / "results.mat", signal="results/C", rate=10.0, transpose=True)
    np.testing.assert_array_equal(rec, traces.T)
    spikes = calcium.load(tmp_path / "results.mat", signal="results/S", rate=10.0, transpose=True)
    np.testing.assert_array_equal(spikes, events.toarray().T)
    with pytest.raises(ni.LoaderError, match=r"results/C \(4, 30\), results/C_raw \(4, 30\), results/S \(4, 30\)"):
        calcium.load(tmp_path / "results.mat", rate=10.0)


class TestDeconvolve:
    rate, decay = 30.0, 0.6

    def planted(self, seed=0, noise=0.15):
        """Give traces of an AR(1) process whose spikes are known, and the spikes."""
        rng = np.random.default_rng(seed)
        spikes = rng.poisson(0.02, size=(3000, 3)).astype(float)
        trace = scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / (self.decay * self.rate))], spikes, axis=0)
        noisy = 2.0 + trace + noise * rng.standard_normal(trace.shape)
        return ni.recording(noisy, modality="calcium", units="1", sampling_rate=self.rate), spikes, trace

    def test_planted_spikes_are_found(self):
        pytest.importorskip("oasis")
        rec, spikes, trace = self.planted()
        out = calcium.deconvolve(rec, decay=self.decay)
        assert (out.values >= 0).all()
        kernel = np.ones(5) / 5  # within two samples
        for column in range(3):
            ours, truth = (np.convolve(values[:, column], kernel) for values in (out.values, spikes))
            assert np.corrcoef(ours, truth)[0, 1] > 0.9
        again = scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / (self.decay * self.rate))], out.values, axis=0)
        assert np.corrcoef(again.ravel(), trace.ravel())[0, 1] > 0.98
        step = out.attrs["history"][-1]
        assert step["function"] == "loaders.calcium.deconvolve"
        assert step["parameters"] == {"method": "oasis", "order": 1, "penalty": 1, "decay": 0.6}
        np.testing.assert_array_equal(out.decay, 0.6)
        assert out.decay.attrs["units"] == "s"

    def test_decay_is_estimated_and_segments_are_apart(self):
        oasis = pytest.importorskip("oasis.functions")
        rec, _, _ = self.planted()
        out = calcium.deconvolve(rec)
        np.testing.assert_allclose(out.decay, self.decay, rtol=0.5)  # a rough estimate, of the library
        expected = np.maximum(oasis.deconvolve(rec.values[:, 1], penalty=1).s, 0)
        np.testing.assert_array_equal(out.values[:, 1], expected)
        cut = rec.assign_coords(segment=("time", np.repeat([0, 1], 1500)))
        with pytest.raises(ni.LoaderError, match=r"2 segments may not share an estimate; pass decay= \(s\)"):
            calcium.deconvolve(cut)
        both = calcium.deconvolve(cut, decay=self.decay)
        first = calcium.deconvolve(rec[:1500], decay=self.decay)
        np.testing.assert_array_equal(both.values[:1500], first.values)

    def test_real_cells_follow_suite2ps_own_oasis(self, mirror):
        """`spks.npy` is suite2p's deconvolution of the same cells: the two agree on when a cell was active."""
        pytest.importorskip("oasis")
        plane = mirror / PLANE
        tree = calcium.load_session(plane, sampling_rate=30.0)
        raw, around, theirs = (tree[f"recordings/{name}/recording"] for name in ("F", "Fneu", "spks"))
        ours = calcium.deconvolve(calcium.subtract_neuropil(raw, around), decay=1.0)
        kernel = np.ones(15)
        together = [
            np.corrcoef(np.convolve(ours.values[:, i], kernel), np.convolve(theirs.values[:, i], kernel))[0, 1]
            for i in range(ours.sizes["unit"])
            if ours.values[:, i].any()
        ]
        assert np.median(together) > 0.5

    def test_refusals(self, monkeypatch):
        rec, _, _ = self.planted()
        with pytest.raises(ni.LoaderError, match="decay is -1: a positive number of seconds is needed"):
            calcium.deconvolve(rec, decay=-1)
        holes = rec.copy(deep=True)
        holes[3, 0] = np.nan
        with pytest.raises(ni.LoaderError, match="found 1 missing values"):
            calcium.deconvolve(holes, decay=0.5)
        frames = ni.recording(rec.values, modality="calcium", units="1", time=np.arange(3000))
        with pytest.raises(ni.LoaderError, match=r"on a regular clock in seconds are needed, found rate 1\.0 in"):
            calcium.deconvolve(frames, decay=0.5)
        monkeypatch.setitem(__import__("sys").modules, "oasis.functions", None)
        with pytest.raises(ni.LoaderError, match=r"oasis-deconv \(GPL-3\) is needed to deconvolve: pip install"):
            calcium.deconvolve(rec, decay=0.5)
