"""MATLAB's files: EEGLAB sets as HDF5 (v7.3), written here with h5py, and FieldTrip structures of the mirror."""

import h5py
import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

NAMES = ["Fz", "Cz", "Oz", "Pz"]
RATE, SAMPLES = 250.0, 600


class _Writer:
    """MATLAB's layout of HDF5: transposed arrays, texts as uint16, arrays of structures as references."""

    def __init__(self, file):
        self.file, self.count = file, 0

    def put(self, group, name, value):
        made = self._made(group, name, value)
        made.attrs["MATLAB_class"] = np.bytes_("char" if isinstance(value, str) else "double")

    def _made(self, group, name, value):
        if isinstance(value, str):
            return group.create_dataset(name, data=np.array([[ord(one)] for one in value], dtype=np.uint16))
        values = np.atleast_2d(np.asarray(value, dtype=np.float64))
        if values.size:
            return group.create_dataset(name, data=values.T)
        empty = group.create_dataset(name, data=np.zeros(2, dtype=np.uint64))
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        return empty

    def structures(self, group, name, rows):
        made = group.create_group(name)
        made.attrs["MATLAB_class"] = np.bytes_("struct")
        refs = self.file.require_group("#refs#")
        for field in rows[0]:
            pointers = made.create_dataset(field, (len(rows), 1), dtype=h5py.ref_dtype)
            for number, row in enumerate(rows):
                self.count += 1
                self.put(refs, f"r{self.count}", row[field])
                pointers[number, 0] = refs[f"r{self.count}"].ref


def _write(path, *, trials=1, apart=False):
    """Write an EEGLAB set of v7.3; `apart` puts the samples into a .fdt file beside it."""
    values = np.random.default_rng(0).normal(scale=15, size=(len(NAMES), SAMPLES, trials)).astype(np.float32)
    events = [("a", 51.0, 1), ("b", 151.0, 1)] if trials == 1 else [
        ("ab"[number % 2], number * SAMPLES + 51.0, number + 1) for number in range(trials)
    ]  # fmt: skip
    with h5py.File(path, "w", userblock_size=512) as file:
        writer, group = _Writer(file), file.create_group("EEG")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        start = 0.0 if trials == 1 else -0.2
        for name, value in {
            "setname": "made", "nbchan": len(NAMES), "trials": trials, "pnts": SAMPLES, "srate": RATE, "xmin": start,
            "xmax": start + (SAMPLES - 1) / RATE, "times": (np.arange(SAMPLES) / RATE + start) * 1000,
        }.items():  # fmt: skip
            writer.put(group, name, value)
        places = [(80.0, 0.0, 30.0), (0.0, 0.0, 95.0), (-85.0, 2.0, 20.0), (-60.0, -1.0, 70.0)]
        rows = [
            {"labels": name, "X": x, "Y": y, "Z": z, "type": "EEG"}
            for name, (x, y, z) in zip(NAMES, places, strict=True)
        ]
        writer.structures(group, "chanlocs", rows)
        kinds = [{"type": kind, "latency": latency, "epoch": epoch, "duration": 0.0} for kind, latency, epoch in events]
        writer.structures(group, "event", kinds)
        if trials > 1:
            each = [{"event": n + 1.0, "eventlatency": 0.0, "eventtype": kind} for n, (kind, _, _) in enumerate(events)]
            writer.structures(group, "epoch", each)
        if apart:
            writer.put(group, "data", "made.fdt")
            path.with_name("made.fdt").write_bytes(values[:, :, 0].T.astype("<f4").tobytes())
        else:
            stored = group.create_dataset("data", data=values.transpose(2, 1, 0).squeeze())
            stored.attrs["MATLAB_class"] = np.bytes_("single")
    with path.open("r+b") as file:  # the block before the HDF5 file, by which MATLAB knows its own
        file.write(b"MATLAB 7.3 MAT-file, made in a test".ljust(124) + b"\x00\x02IM")
    return path, values.astype(np.float64)


@pytest.mark.parametrize("apart", [False, True])
def test_a_set_of_v73(tmp_path, apart):
    path, values = _write(tmp_path / "made.set", apart=apart)
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, values[:, :, 0].T * 1e-6, rtol=1e-6)
    assert (rec.attrs["sampling_rate"], rec.attrs["units"], list(rec.unit.values)) == (RATE, "V", NAMES)
    assert float(rec.time[-1]) == pytest.approx((SAMPLES - 1) / RATE)
    events = eeg.load_session(path)["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [50 / RATE, 150 / RATE])
    assert list(events.trial_type.values) == ["a", "b"]
    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error")
    np.testing.assert_array_equal(eeg.to_mne(rec).get_data(), raw.get_data())
    ours, theirs = eeg.to_mne(rec).info["chs"], raw.info["chs"]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one["loc"][:3], other["loc"][:3])
        assert np.isfinite(other["loc"][:3]).all()
    ni.save(rec, tmp_path / "made.zarr")
    assert ni.open(tmp_path / "made.zarr").identical(rec)


def test_epochs_of_v73(tmp_path):
    path, values = _write(tmp_path / "made.set", trials=3)
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, values.transpose(2, 1, 0) * 1e-6, rtol=1e-6)
    assert (rec.dims, list(rec.condition.values)) == (("trial", "time", "unit"), ["a", "b", "a"])
    np.testing.assert_allclose(rec.time.values[[0, -1]], [-0.2, -0.2 + (SAMPLES - 1) / RATE])


FIELDTRIP = "eeg/fieldtrip_neuromag306"
TABLE = {"averaged_v7.mat": (6, 300.3074951171875), "averaged_v73.mat": (6, 300.3074951171875)}
"""File -> samples and rate (Hz): six samples about an event, the average of three trials; no event table."""
MODALITIES = {"eeg": (60, "V"), "meg": (101, "T"), "meg_grad": (202, "T/m"), "eog": (1, "V"), "stim": (9, "1")}


def _fieldtrip(path):
    """Read (names, times, averages (channel, time)) by way of the library that reads the container."""
    if path.name.endswith("v73.mat"):
        with h5py.File(path) as file:
            data = file["data"]
            names = ["".join(map(chr, file[ref][:].ravel())) for ref in data["label"][:].ravel()]
            return names, data["time"][:].ravel(), data["avg"][:].T
    from scipy.io import loadmat

    data = loadmat(path, simplify_cells=True)["data"]
    return [str(name) for name in data["label"]], data["time"], data["avg"]


@pytest.fixture
def info(mirror):
    return mne.io.read_info(mirror / "meg/mne_sample/sample_audvis_trunc_raw_sss.fif", verbose="error")


@pytest.mark.parametrize("file", TABLE)
def test_fieldtrip_averages(mirror, info, tmp_path, file):
    path, (samples, rate) = mirror / FIELDTRIP / file, TABLE[file]
    names, times, values = _fieldtrip(path)
    tree = eeg.load_session(path, info=info)
    held = {name: node["recording"] for name, node in tree["recordings"].children.items()}
    assert {name: (rec.sizes["unit"], rec.attrs["units"]) for name, rec in held.items()} == MODALITIES
    for rec in held.values():
        rows = [names.index(name) for name in rec.unit.values]
        np.testing.assert_array_equal(rec.values, values[rows].T)
        assert (rec.sizes["time"], rec.attrs["sampling_rate"]) == (samples, pytest.approx(rate))
        np.testing.assert_allclose(rec.time, times, atol=1e-9)  # MNE alone begins at 0 s
        assert rec.attrs["averaged"] == 3
    assert (float(times[0]), float(times[-1])) == pytest.approx((-0.00998976, 0.00665984), abs=1e-8)
    assert "events" not in tree.children
    rec = eeg.load(path, info=info, modality="meg_grad")
    back, theirs = eeg.to_mne(rec), mne.read_evoked_fieldtrip(path, info)
    np.testing.assert_array_equal(back.data, theirs.data[[theirs.ch_names.index(name) for name in back.ch_names]])
    ni.save(tree, tmp_path / "made.zarr")
    assert ni.open(tmp_path / "made.zarr").identical(tree)


def _structure(**fields):
    return {"data": {"label": np.array(NAMES, dtype=object), "fsample": RATE, **fields}}


def test_fieldtrip_epochs_and_continuous_data(tmp_path):
    from scipy.io import savemat

    made = mne.create_info(NAMES, RATE, "eeg")
    values = np.random.default_rng(0).normal(scale=1e-5, size=(3, len(NAMES), 50))
    times = np.arange(50) / RATE - 0.1
    cells, clocks = np.empty(3, dtype=object), np.empty(3, dtype=object)
    cells[:], clocks[:] = list(values), [times] * 3
    several = _structure(trial=cells, time=clocks, trialinfo=np.array([[1.0], [2], [1]]))
    savemat(tmp_path / "epochs.mat", several, oned_as="row")
    rec = eeg.load(tmp_path / "epochs.mat", info=made)
    np.testing.assert_allclose(rec.values, values.transpose(0, 2, 1))
    np.testing.assert_allclose(rec.time, times, atol=1e-9)
    np.testing.assert_array_equal(rec.code, [1, 2, 1])
    one, clock = np.empty(1, dtype=object), np.empty(1, dtype=object)
    one[0], clock[0] = values[0], np.arange(50) / RATE
    savemat(tmp_path / "raw.mat", _structure(trial=one, time=clock), oned_as="row")
    rec = eeg.load(tmp_path / "raw.mat", info=made)
    assert rec.dims == ("time", "unit")
    np.testing.assert_allclose(rec.values, values[0].T)


def test_fieldtrip_states_no_units(mirror, info, monkeypatch, tmp_path):
    path = mirror / FIELDTRIP / "averaged_v7.mat"
    with pytest.raises(ni.LoaderError, match=r"averaged_v7\.mat: a FieldTrip structure states no units .* pass info="):
        eeg.load(path)
    from scipy.io import savemat

    savemat(tmp_path / "else.mat", {"x": np.eye(3)})
    with pytest.raises(ni.LoaderError, match=r"holds no FieldTrip structure \(a struct with labels\); it holds"):
        eeg.load(tmp_path / "else.mat", info=info)
    monkeypatch.setitem(__import__("sys").modules, "pymatreader", None)
    with pytest.raises(ni.LoaderError, match="pymatreader is needed to read this and is not installed"):
        eeg.load(path, info=info)
