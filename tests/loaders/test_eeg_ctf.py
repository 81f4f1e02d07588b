"""A CTF folder (.ds) written here field by field: header, head coils, data, markers, bad channels."""

import struct

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

RATE, SAMPLES, TRIALS = 600.0, 300, 2
NAMES = ["MLC11-4408", "MRC11-4408", "BG1-4408", "EEG001-4408", "UPPT001"]
KINDS = {"MLC11-4408": 5, "MRC11-4408": 5, "BG1-4408": 0, "EEG001-4408": 9, "UPPT001": 11}
GAINS = {5: (-5e8, 2.0**20), 0: (-4e8, 2.0**20), 9: (1e6, 2.0**6), 11: (1.0, 1.0)}
"""Sensor type -> proper gain (per T or V) and q gain: their product divides the counts."""
HEAD = {"nasion": (9.5, 0.0, 0.0), "left ear": (0.0, 7.5, 0.0), "right ear": (0.0, -7.5, 0.0)}


def _coil(place, direction):
    return struct.pack(">3dd3ddhihd", *place, 0, *direction, 0, 1, 0, 0, 1.0)


def _sensor(number, kind):
    proper, gain = GAINS[kind]
    out = struct.pack(">hhidddd", kind, 0, 0, proper, gain, 1.0, 0.0)
    out += struct.pack(">hhi", 2 if kind == 5 else 1, 0, 0)
    empty = _coil((0, 0, 0), (0, 0, 0))
    first = empty if kind == 11 else _coil((3.0 + number, 1.0, 8.0), (0, 0, 1))
    second = _coil((3.0 + number, 1.0, 13.0), (0, 0, -1)) if kind == 5 else empty
    return out + (first + second + empty * 6) * 2


def _res4():
    """Give the header: fixed fields up to byte 1844, then names, sensors and first-order compensation."""
    text = b"MEG42RS\0" + b"\0" * 256 * 3 + struct.pack(">h", 0)
    text += b"10:30:15".ljust(255, b"\0") + b"02-Mar-2020".ljust(255, b"\0")
    text += struct.pack(">ih", SAMPLES, len(NAMES))
    text = text.ljust(-(-len(text) // 8) * 8, b"\0")
    text += struct.pack(">ddh", RATE, SAMPLES / RATE * TRIALS, TRIALS)
    text = text.ljust(-(-len(text) // 4) * 4, b"\0") + struct.pack(">i", 0)
    text = text.ljust(1844, b"\0") + struct.pack(">h", 0)
    names = b"".join(name.encode().ljust(32, b"\0") for name in NAMES)
    return text + names + b"".join(_sensor(n, KINDS[name]) for n, name in enumerate(NAMES)) + _compensation()


def _compensation():
    """Give the weight of the reference for each of the two sensors; the data are saved without it (order 0)."""
    out = struct.pack(">h", 2)
    for name in NAMES[:2]:
        out += name.encode().ljust(32, b"\0") + struct.pack(">iih", int.from_bytes(b"G1BR"), 0, 1)
        out += NAMES[2].encode().ljust(31 * 50, b"\0") + struct.pack(">50d", 0.5, *[0.0] * 49)
    return out


def _coils():
    """Give the head coils (cm) in the dewar, 30 cm below it and not turned, and in the head."""
    lines = []
    for frame, shift in (("dewar", -30.0), ("head", 0.0)):
        for name, (x, y, z) in HEAD.items():
            lines += [f"measured {name} coil position relative to {frame} (cm):"]
            lines += [f"\t{axis} = {value:g}" for axis, value in zip("xyz", (x, y, z + shift), strict=True)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "made.ds"
    folder.mkdir()
    (folder / "made.res4").write_bytes(_res4())
    (folder / "made.hc").write_text(_coils())
    counts = np.random.default_rng(0).integers(-5000, 5000, (TRIALS, len(NAMES), SAMPLES)).astype(">i4")
    counts[:, 4] = 0
    counts[0, 4, 60:80], counts[1, 4, 30:50] = 3, 5
    (folder / "made.meg4").write_bytes(b"MEG41CP\0" + counts.tobytes())
    (folder / "BadChannels").write_text("MRC11\n")
    (folder / "MarkerFile.mrk").write_text(
        "NUMBER OF MARKERS:\n1\n\nNAME:\ntone\nNUMBER OF SAMPLES:\n2\nLIST OF SAMPLES:\n"
        "TRIAL NUMBER\t\tTIME FROM SYNC POINT (in seconds)\n+0\t\t+0.1\n+1\t\t+0.25\n"
    )
    values = counts.transpose(0, 2, 1).reshape(-1, len(NAMES)).astype(np.float64)
    for number, name in enumerate(NAMES):
        values[:, number] /= np.prod(GAINS[KINDS[name]])
    return folder, values


def test_values_units_and_events(written):
    path, values = written
    rec = eeg.load(path, modality="meg")
    np.testing.assert_allclose(rec.values, values[:, :2], rtol=1e-12)
    assert (rec.attrs["units"], rec.attrs["sampling_rate"]) == ("T", 600.0)
    assert list(rec.unit.values) == ["MLC11-4408", "MRC11-4408"]
    assert list(rec.is_bad.values) == [False, True]
    assert rec.attrs["measured_at"] == "2020-03-02T10:30:15"  # no zone is stated
    np.testing.assert_allclose(rec.time, np.arange(SAMPLES * TRIALS) / RATE, atol=1e-12)
    tree = eeg.load_session(path)
    assert set(tree["recordings"]) == {"eeg", "meg", "meg_ref", "stim"}
    np.testing.assert_allclose(tree["recordings/eeg/recording"].values, values[:, 3:4], rtol=1e-12)
    np.testing.assert_allclose(tree["recordings/meg_ref/recording"].values, values[:, 2:3], rtol=1e-12)
    events = tree["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [0.1, 60 / RATE, 330 / RATE, 0.75], atol=1e-9)
    assert list(events.trial_type.values) == ["tone", "3", "5", "tone"]


def test_places_are_metres_in_the_dewar(written):
    path, _ = written
    rec = eeg.load(path, modality="meg")
    turned = np.sqrt(0.5)  # MNE turns the axes of CTF by 45 degrees and moves them up by 19 cm
    first = np.array([0.03, 0.01])
    expected = [turned * (first[0] - first[1]), turned * (first[0] + first[1]), 0.08 + 0.19]
    np.testing.assert_allclose([rec.x[0], rec.y[0], rec.z[0]], expected, atol=1e-9)
    assert rec.x.attrs == {"units": "m", "frame": "device"}


def test_it_is_what_mne_reads_and_gives_back(written, tmp_path):
    path, _ = written
    raw = mne.io.read_raw_ctf(path, preload=True, verbose="error")
    tree = eeg.load_session(path)
    back = eeg.to_mne(tree)
    np.testing.assert_array_equal(back.get_data(), raw.get_data())
    assert (back.ch_names, back.info["bads"]) == (raw.ch_names, raw.info["bads"])
    assert back.get_channel_types() == raw.get_channel_types()
    np.testing.assert_allclose(back.annotations.onset, raw.annotations.onset)
    ni.save(tree, tmp_path / "made.zarr")
    assert ni.open(tmp_path / "made.zarr").identical(tree)


def test_a_folder_without_its_data_is_named(written):
    path, _ = written
    (path / "made.meg4").write_bytes((path / "made.meg4").read_bytes()[:-4])
    with pytest.raises(ni.LoaderError, match=r"made\.ds: cannot be read as EEG or MEG \(RuntimeError: The number of"):
        eeg.load(path)
    (path / "made.meg4").unlink()
    with pytest.raises(ni.LoaderError, match=r"made\.ds: cannot be read as EEG or MEG \(OSError: Could not find any"):
        eeg.load(path)
