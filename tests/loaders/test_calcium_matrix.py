"""Plain matrices by a declared mapping, CaImAn, neuropil and dF/F: against values planted or read independently."""

import re

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.ndimage
from scipy import sparse

import neurointerp as ni
from neurointerp.loaders import calcium

PLANE = "calcium/suite2p_pynapple/suite2p/plane0"
LARVA = "calcium/zebrafish_triplett2018/zf_20170215-f3.mat"
CGMP = "calcium/hallem_bryant2022/pASB67_soma_pF_PT_short_data.mat"
WORM = "calcium/flavell_dag2023/2022-07-26-38-data.h5"
TRACES = np.random.default_rng(0).normal(size=(6, 3))
CLOCK = np.array([0.0, 0.5, 1.1, 1.6, 2.0, 2.7])
NAMES = ["AVAL", "AVAR", "RIML"]


def matlab73(path, transpose=False):
    """Write what MATLAB's `save -v7.3` writes for a struct with a matrix, a clock and a cell of names."""
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("worm")
        group.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for name, values in (("dff", TRACES if transpose else TRACES.T), ("t", CLOCK[:, None])):
            group[name] = values
            group[name].attrs["MATLAB_class"] = np.bytes_(b"double")
        references = []
        for number, text in enumerate(NAMES):
            cell = file.create_dataset(f"#refs#/n{number}", data=np.array([[ord(c)] for c in text], dtype=np.uint16))
            cell.attrs["MATLAB_class"] = np.bytes_(b"char")
            references.append(cell.ref)
        group.create_dataset("names", data=np.array([references], dtype=h5py.ref_dtype))
        group["names"].attrs["MATLAB_class"] = np.bytes_(b"cell")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


def matlab5(path):
    scipy.io.savemat(path, {"worm": {"dff": TRACES, "t": CLOCK[:, None], "names": np.array(NAMES, dtype=object)}})
    return path


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["worm/dff"], file["worm/t"], file["worm/names"] = TRACES, CLOCK, NAMES
    return path


@pytest.mark.parametrize(("write", "name"), [(matlab5, "w.mat"), (matlab73, "w.mat"), (hdf5, "w.h5")])
def test_one_mapping_reads_every_container(write, name, tmp_path):
    path = write(tmp_path / name)
    rec = calcium.load(path, signal="worm/dff", time="worm/t", unit="worm/names")
    np.testing.assert_array_equal(rec.values, TRACES)
    np.testing.assert_array_equal(rec.time, CLOCK)
    assert list(rec.unit.values) == NAMES
    step = rec.attrs["history"][-1]
    assert step["function"] == "loaders.calcium.load"
    assert step["parameters"] == {
        "signal": "worm/dff", "time": "worm/t", "unit": "worm/names", "transpose": False, "all_nan": [],
    }  # fmt: skip
    if write is matlab73:
        turned = calcium.load(matlab73(path, transpose=True), signal="worm/dff", time="worm/t", transpose=True)
        np.testing.assert_array_equal(turned.values, TRACES)


def test_npy_npz_and_tables(tmp_path):
    np.save(tmp_path / "w.npy", TRACES.T)
    np.testing.assert_array_equal(calcium.load(tmp_path / "w.npy", rate=2.0, transpose=True), TRACES)
    np.savez(tmp_path / "w.npz", a=TRACES, t=CLOCK)
    rec = calcium.load(tmp_path / "w.npz", signal="a", time="t", unit=NAMES)
    assert list(rec.unit.values) == NAMES
    text = "time,AVAL,AVAR,note\n0.0,1,,x\n0.5,2,,y\n"
    (tmp_path / "w.csv").write_text(text, "utf-8-sig")
    rec = calcium.load(tmp_path / "w.csv", time="time", columns=["AVAL", "AVAR"], units="percent")
    np.testing.assert_array_equal(rec.sel(unit="AVAL"), [1.0, 2.0])
    assert rec.attrs["units"] == "percent"
    assert rec.attrs["history"][-1]["parameters"]["all_nan"] == ["AVAR"]
    (tmp_path / "w.tsv").write_text("AVAL\tAVAR\n1\t2\n3\t4\n")
    np.testing.assert_array_equal(calcium.load(tmp_path / "w.tsv", rate=1.0), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("path", "mapping", "shape", "independent"),
    [
        (LARVA, {"signal": "activity_matrix", "rate": 2.2, "transpose": True}, (5660, 75),
         lambda path: scipy.io.loadmat(path)["activity_matrix"].T),
        (CGMP, {"signal": "CaResponse/full", "rate": 1.0}, (841, 7),
         lambda path: scipy.io.loadmat(path)["CaResponse"]["full"][0, 0]),
        (WORM, {"signal": "gcamp/traces_array_F_F20", "time": "timing/timestamp_confocal"}, (800, 141),
         lambda path: h5py.File(path)["gcamp/traces_array_F_F20"][()]),
    ],
)  # fmt: skip
def test_real_matrices(mirror, path, mapping, shape, independent):
    rec = calcium.load(mirror / path, **mapping)
    assert rec.shape == shape
    np.testing.assert_array_equal(rec.values, independent(mirror / path))
    assert calcium.load_session(mirror / path, **mapping)["recordings/calcium/recording"].equals(rec)


def test_the_error_lists_what_the_file_holds(mirror, tmp_path):
    with pytest.raises(ni.LoaderError, match=r"which array holds the traces is not said; pass signal= one of: Temps/"):
        calcium.load(mirror / CGMP, rate=1.0)
    listed = r"no array 'dff'; pass signal= one of: worm/dff \(6, 3\), worm/t \(6,\), worm/names \(cell of 3\)"
    with pytest.raises(ni.LoaderError, match=listed):
        calcium.load(matlab5(tmp_path / "w.mat"), signal="dff", rate=1.0)
    with pytest.raises(ni.LoaderError, match=r"a matrix has no clock: pass time= .* or rate= in Hz"):
        calcium.load(tmp_path / "w.mat", signal="worm/dff")
    with pytest.raises(ni.LoaderError, match="no array 'worm/tv' for the clock; it has: worm/dff"):
        calcium.load(tmp_path / "w.mat", signal="worm/dff", time="worm/tv")
    with pytest.raises(ni.LoaderError, match=r"6 time stamps for a matrix of \(3, 6\) .*; pass transpose=True"):
        calcium.load(tmp_path / "w.mat", signal="worm/dff", time="worm/t", transpose=True)
    with pytest.raises(ni.LoaderError, match=r"sampling_rate=2\.0 and rate=3\.0 are the same thing: pass one"):
        calcium.load(tmp_path / "w.mat", signal="worm/dff", sampling_rate=2.0, rate=3.0)


def test_a_mapping_is_not_ignored_where_the_format_has_its_own(mirror, caiman):
    with pytest.raises(ni.LoaderError, match="transpose= is for plain matrices; this format states its own"):
        calcium.load(caiman, transpose=True)
    with pytest.raises(ni.LoaderError, match="time= is for plain matrices"):
        calcium.load(mirror / PLANE, sampling_rate=30.0, time="t")
    with pytest.raises(ni.LoaderError, match=r"neuropil= is for suite2p folders"):
        calcium.load(caiman, neuropil=0.7)


def test_malformed_matrices(tmp_path):
    cells = np.empty(3, dtype=object)
    cells[:] = [np.arange(5.0), np.arange(7.0), np.arange(5.0)]
    scipy.io.savemat(tmp_path / "cells.mat", {"traces": cells})
    with pytest.raises(ni.LoaderError, match=r"traces is a cell of 3 traces of different lengths \(5, 7, 5\)"):
        calcium.load(tmp_path / "cells.mat", signal="traces", rate=1.0)
    cells[1] = np.arange(5.0)
    scipy.io.savemat(tmp_path / "cells.mat", {"traces": cells})
    assert calcium.load(tmp_path / "cells.mat", signal="traces", rate=1.0).shape == (5, 3)
    np.savez(tmp_path / "w.npz", a=TRACES, t=[0.0, 0.5, 0.4, 1.0, 1.5, 2.0])
    jump = r"time must increase strictly: stamp 2 \(0\.4\) follows 0\.5"
    with pytest.raises(ni.LoaderError, match=jump):
        calcium.load(tmp_path / "w.npz", signal="a", time="t")
    with pytest.raises(ni.LoaderError, match="the label 'AVAL' stands 2 times: units must be unique"):
        calcium.load(tmp_path / "w.npz", signal="a", rate=1.0, unit=["AVAL", "AVAL", "RIML"])
    (tmp_path / "w.csv").write_text("AVAL,AVAL\n1,2\n")
    with pytest.raises(ni.LoaderError, match="column 'AVAL' stands more than once"):
        calcium.load(tmp_path / "w.csv", rate=1.0)
    (tmp_path / "w.csv").write_text("AVAL,note\n1,x\n")
    with pytest.raises(ni.LoaderError, match="column 'note' holds text: name the units with columns="):
        calcium.load(tmp_path / "w.csv", rate=1.0)
    (tmp_path / "bad.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(ni.LoaderError, match=r"bad\.mat: cannot be read as \.mat"):
        calcium.load(tmp_path / "bad.mat", rate=1.0)


@pytest.fixture
def caiman(tmp_path):
    """Write the groups of `CNMF.save` that matter: 4 components on an 8 x 5 image, two of them accepted."""
    rng = np.random.default_rng(1)
    footprints = np.zeros((8, 5, 4))
    for component, (row, column) in enumerate([(1, 1), (6, 3), (2, 4), (4, 0)]):
        footprints[row, column, component] = 2.0
    flat = sparse.csc_matrix(footprints.reshape(40, 4, order="F"))
    with h5py.File(tmp_path / "results.hdf5", "w") as file:
        for name in ("C", "F_dff", "S"):
            file[f"estimates/{name}"] = rng.normal(size=(4, 20))
        file["estimates/b"] = rng.normal(size=(40, 2))
        file["estimates/idx_components"] = np.array([2, 1])
        file["estimates/dims"] = np.array([8, 5])
        for name in ("data", "indices", "indptr"):
            file[f"estimates/A/{name}"] = getattr(flat, name)
        file["params/data/fr"] = 7.5
    return tmp_path / "results.hdf5"


def test_caiman(caiman):
    rec = calcium.load(caiman)
    with h5py.File(caiman) as file:
        np.testing.assert_array_equal(rec.values, file["estimates/C"][()][[1, 2]].T)
        dff = file["estimates/F_dff"][()]
    assert rec.attrs["sampling_rate"] == 7.5
    assert list(rec.unit.values) == ["roi1", "roi2"]
    np.testing.assert_allclose(np.stack([rec.pixel_y, rec.pixel_x], 1), [[6, 3], [2, 4]])
    np.testing.assert_array_equal(calcium.load(caiman, signal="F_dff", cells_only=False), dff.T)
    assert list(calcium.load_session(caiman)["recordings"]) == ["C", "F_dff", "S"]


def test_caiman_errors(caiman):
    with pytest.raises(ni.LoaderError, match=r"no signal 'dff' in estimates; it has C, F_dff, S, b"):
        calcium.load(caiman, signal="dff")
    with pytest.raises(ni.LoaderError, match=r"the file states 7\.5 Hz, sampling_rate=30 was given"):
        calcium.load(caiman, rate=30.0)
    with h5py.File(caiman, "a") as file:
        del file["params"]
    with pytest.raises(ni.LoaderError, match=r"states no frame rate \(params/data/fr\); pass sampling_rate= in Hz"):
        calcium.load(caiman)
    assert calcium.load(caiman, rate=30.0).attrs["sampling_rate"] == 30.0


def test_neuropil_two_ways(mirror):
    plane = mirror / PLANE
    tree = calcium.load_session(plane, sampling_rate=30.0)
    raw, around = (tree[f"recordings/{name}/recording"] for name in ("F", "Fneu"))
    done = calcium.load(plane, sampling_rate=30.0, neuropil=0.7)
    cells = np.flatnonzero(np.load(plane / "iscell.npy")[:, 0])
    expected = (np.load(plane / "F.npy") - 0.7 * np.load(plane / "Fneu.npy"))[cells].T
    np.testing.assert_allclose(done, expected, rtol=1e-5)
    np.testing.assert_allclose(calcium.subtract_neuropil(raw, around), expected, rtol=1e-5, atol=1e-3)
    assert done.attrs["history"][-1]["parameters"]["neuropil"] == 0.7
    with pytest.raises(ni.LoaderError, match="is subtracted from F and lies in"):
        calcium.load(plane, sampling_rate=30.0, signal="spks", neuropil=0.7)
    with pytest.raises(ni.LoaderError, match="other labels along 'time'"):
        calcium.subtract_neuropil(raw, around[1:])


def test_dff_of_a_planted_transient():
    base, transient = np.array([100.0, 40.0]), np.zeros((200, 2))
    transient[90:110] = [0.5, 2.0]
    rec = ni.recording(base * (1 + transient), modality="calcium", units="1", sampling_rate=10.0)
    out = calcium.dff(rec)
    np.testing.assert_allclose(out, transient, atol=1e-12)
    assert out.attrs["history"][-1]["parameters"] == {"percentile": 8.0, "window": None}
    drifting = rec * np.linspace(1, 2, 200)[:, None]
    drifting.attrs = rec.attrs
    ran = calcium.dff(drifting, window=6.0)
    baseline = scipy.ndimage.percentile_filter(drifting.values[:, 0], 8.0, size=60, mode="nearest")
    np.testing.assert_allclose(ran[:, 0], drifting.values[:, 0] / baseline - 1)
    assert np.abs(ran - transient).max() < 0.5 * np.abs(calcium.dff(drifting) - transient).max()


def test_dff_keeps_nan_and_refuses_what_has_no_baseline():
    values = np.ones((10, 2))
    values[3, 0], values[:, 1] = np.nan, np.nan
    rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    out = calcium.dff(rec)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(values))
    with pytest.raises(ni.LoaderError, match="found 11 missing values; use window=None"):
        calcium.dff(rec, window=4.0)
    with pytest.raises(
        ni.LoaderError, match=re.escape("1 units have a baseline that is not above zero, first 'u0' (-1)")
    ):
        calcium.dff(ni.recording(-np.ones((4, 1)), modality="calcium", units="1", sampling_rate=1.0))
