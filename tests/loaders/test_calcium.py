"""Calcium imaging: suite2p folders and NWB files against independent reads."""

import h5py
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import calcium

PLANE = "calcium/suite2p_pynapple/suite2p/plane0"
WORM = "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb"


@pytest.fixture
def plane(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("F", "Fneu"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(3, 50)).astype(np.float32))
    np.save(tmp_path / "iscell.npy", np.array([[1, 0.9], [0, 0.2], [1, 0.8]]))
    return tmp_path


@pytest.mark.parametrize("signal", ["F", "Fneu", "spks"])
def test_suite2p_cells(mirror, signal):
    rec = calcium.load(mirror / PLANE, sampling_rate=30.0, signal=signal)
    iscell = np.load(mirror / PLANE / "iscell.npy")
    cells = np.flatnonzero(iscell[:, 0])
    np.testing.assert_array_equal(rec.values, np.load(mirror / PLANE / f"{signal}.npy")[cells].T)
    assert rec.sizes == {"time": 2000, "unit": 20}
    np.testing.assert_array_equal(rec["index"], cells)
    np.testing.assert_array_equal(rec.cell_probability, iscell[cells, 1])
    assert list(rec.unit.values) == [f"roi{cell}" for cell in cells]
    assert (rec.attrs["sampling_rate"], rec.attrs["units"], rec.dtype) == (30.0, "1", np.float32)


def test_all_rois_and_those_that_are_zero(mirror):
    rec = calcium.load(mirror / "calcium/suite2p_pynapple", sampling_rate=30.0, cells_only=False)
    assert rec.sizes["unit"] == 219
    zero = rec.attrs["history"][-1]["parameters"]["all_zero"]
    assert len(zero) == 47
    assert (rec.sel(unit=zero) == 0).all()


def test_suite2p_session(mirror):
    tree = calcium.load_session(mirror / "calcium/suite2p_pynapple/suite2p", sampling_rate=30.0)
    assert list(tree["recordings"]) == ["F", "Fneu", "spks"]


def test_suite2p_needs_a_rate_and_reads_no_pickle(plane):
    with pytest.raises(ni.LoaderError, match=r"no ops\.npy states the frame rate; pass sampling_rate= in Hz"):
        calcium.load(plane)
    np.save(plane / "F.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ni.LoaderError, match=r"F\.npy: cannot be read as a \.npy array \(ValueError: Object arrays"):
        calcium.load(plane, sampling_rate=30.0)


def test_suite2p_folders_that_do_not_fit(plane, tmp_path):
    np.save(plane / "iscell.npy", np.ones((2, 2)))
    with pytest.raises(ni.LoaderError, match=r"iscell\.npy has shape \(2, 2\) for 3 ROIs of F\.npy"):
        calcium.load(plane, sampling_rate=30.0)
    np.save(plane / "iscell.npy", np.zeros((3, 2)))
    with pytest.raises(ni.LoaderError, match="calls none of 3 ROIs a cell; pass cells_only=False"):
        calcium.load(plane, sampling_rate=30.0)
    (plane / "iscell.npy").unlink()
    with pytest.raises(ni.LoaderError, match=r"no iscell\.npy to tell cells from other ROIs"):
        calcium.load(plane, sampling_rate=30.0)
    assert calcium.load(plane, sampling_rate=30.0, cells_only=False).sizes["unit"] == 3
    with pytest.raises(ni.LoaderError, match=r"spks\.npy: no such file or folder; signals are F, Fneu, spks"):
        calcium.load(plane, sampling_rate=30.0, signal="spks")


def test_several_planes_must_be_named(tmp_path):
    with pytest.raises(ni.LoaderError, match=r"a suite2p plane folder is needed; it holds no F\.npy"):
        calcium.load(tmp_path, sampling_rate=30.0)
    for name in ("plane0", "plane1"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "F.npy", np.ones((2, 4)))
    with pytest.raises(ni.LoaderError, match=r"it holds 2 planes \(plane0, plane1\); name one"):
        calcium.load(tmp_path, sampling_rate=30.0)


def test_nwb_against_the_hdf5_inside(mirror):
    rec = calcium.load(mirror / WORM)
    with h5py.File(mirror / WORM) as file:
        series = file["processing/ophys/Fluorescence/GCaMP"]
        np.testing.assert_array_equal(rec.values, series["data"][()])
        np.testing.assert_array_equal(rec.time.values, series["timestamps"][()])
        labels = file["processing/ophys/ImageSegmentation/PlaneSegmentation/neuron_label"].asstr()[()]
    assert list(rec.neuron_label.values) == list(labels)
    assert "sampling_rate" not in rec.attrs
    assert rec.attrs["units"] == "1"
    assert rec.attrs["history"][-1]["parameters"]["stated_units"] == "ratio"


def test_nwb_session_has_behaviour_on_the_same_clock(mirror):
    tree = calcium.load_session(mirror / WORM)
    velocity = tree["recordings/velocity/recording"]
    assert (velocity.attrs["modality"], velocity.attrs["units"]) == ("behavior", "mm/s")
    np.testing.assert_array_equal(velocity.time, tree["recordings/GCaMP/recording"].time)


def test_nwb_errors(mirror, tmp_path):
    with pytest.raises(ni.LoaderError, match="no series 'dff'; pass signal= one of GCaMP"):
        calcium.load(mirror / WORM, signal="dff")
    with pytest.raises(ni.LoaderError, match=r"holds no RoiResponseSeries; for spike times use loaders\.spikes"):
        calcium.load(mirror / "spikes/pynapple_nwb/A8604-211122.nwb")
    with pytest.raises(ni.LoaderError, match="an NWB file states its own clock"):
        calcium.load(mirror / WORM, sampling_rate=3.0)
    whole = (mirror / WORM).read_bytes()
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ni.LoaderError, match=r"cut\.nwb: cannot be read as NWB \(OSError: .*truncated"):
        calcium.load(cut)
    with pytest.raises(ni.LoaderError, match=r"a path or a pynwb\.NWBFile is needed, found int"):
        calcium.load(3)


def test_survives_the_store(mirror, tmp_path):
    rec = calcium.load(mirror / WORM)
    ni.save(rec, tmp_path / "worm.zarr")
    assert ni.open(tmp_path / "worm.zarr").identical(rec)
