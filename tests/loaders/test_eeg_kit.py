"""A KIT file (.con, .sqd) written here field by field: magnetic units, triggers, positions, the date in UTC."""

import struct

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

RATE, SAMPLES, SYSTEM = 500.0, 400, 124
AXIAL, REFERENCE, TRIGGER, EEG = 2, 0x101, -1, -2
CHANNELS = [AXIAL, AXIAL, AXIAL, REFERENCE, EEG, TRIGGER, TRIGGER]
GAIN, ADC_RANGE, ADC_BITS = 1.5e-9, 10.0, 16
"""T per V of a sensor; range (V) and bits of the converter. The amplifier is set to gain 1."""
WHEN = 1_583_145_015


def _ints(*values):
    return struct.pack(f"<{len(values)}i", *values)


def _system():
    """Give the block of the system: version 3, revision 0."""
    out = _ints(3, 0, SYSTEM) + b"Test system".ljust(128, b"\0") + b"Model".ljust(128, b"\0")
    out += _ints(len(CHANNELS)) + b"\0" * 256 + _ints(WHEN, WHEN) + _ints(0, 0, 0)
    for kind in (0, 100, 0, 0):  # dewar, amplifier (Kapper), trigger, converter board; three spare words after each
        out += _ints(kind, 0, 0, 0)
    return out + b"\0" * 4 * 26 + struct.pack("<d", ADC_RANGE) + _ints(0, ADC_BITS, ADC_BITS)


def _channel(number, kind):
    """Give 128 bytes of a channel: place (m) and direction (degrees), or number and name."""
    if kind in (AXIAL, REFERENCE):
        out = _ints(kind) + struct.pack("<5d", 0.1 * number, 0.02, 0.05, 30.0, 60.0) + b"\0" * 16 + b"\0" * 6
    else:
        name = {EEG: f"E{number}", TRIGGER: f"TRG{number:03d}"}[kind].encode().ljust(8 if kind == EEG else 32, b"\0")
        out = _ints(kind, number, 0) + name + b"\0" * 6 + struct.pack("<d", 2e-7 if kind == EEG else 0.0)
    return out.ljust(128, b"\0")


def _write(path):
    counts = np.random.default_rng(0).integers(-200, 200, (SAMPLES, len(CHANNELS)), dtype="<i2")
    volt = ADC_RANGE / 2**ADC_BITS
    counts[:, 5:] = round(4 / volt)  # triggers rest at 4 V and fall to 0
    counts[100:110, 5] = counts[300:310, 6] = 0
    blocks = {
        1: _system(),
        4: b"".join(_channel(number, kind) for number, kind in enumerate(CHANNELS)),
        5: struct.pack(f"<{2 * len(CHANNELS)}d", *[0.0, GAIN] * len(CHANNELS)),
        7: _ints(0),
        8: _ints(1) + struct.pack("<d", RATE) + _ints(0, SAMPLES),
        9: counts.tobytes(),
    }
    sizes = {4: 128}
    entries, body, at = [(0, 16, 30, 30)], b"", 30 * 16
    for number in range(1, 30):
        block = blocks.get(number, b"")
        entries.append((at + len(body), sizes.get(number, len(block)), 1, 1 if block else 0))
        body += block
    path.write_bytes(b"".join(struct.pack("<Iiii", *entry) for entry in entries) + body)
    return path, counts.astype(np.float64)


@pytest.mark.parametrize("suffix", ["con", "sqd"])
def test_values_units_and_triggers(tmp_path, suffix):
    path, counts = _write(tmp_path / f"made.{suffix}")
    rec = eeg.load(path, modality="meg")
    volt = ADC_RANGE / 2**ADC_BITS
    np.testing.assert_allclose(rec.values, counts[:, :3] * volt * GAIN, rtol=1e-9)
    assert (rec.attrs["units"], rec.attrs["sampling_rate"], rec.attrs["modality"]) == ("T", 500.0, "meg")
    assert (float(rec.time[0]), float(rec.time[-1])) == (0.0, pytest.approx((SAMPLES - 1) / RATE))
    assert rec.attrs["measured_at"] == "2020-03-02T10:30:15+00:00"  # seconds since 1970, which count in UTC
    tree = eeg.load_session(path)
    assert set(tree["recordings"]) == {"meg", "meg_ref", "eeg", "stim"}
    np.testing.assert_allclose(tree["recordings/eeg/recording"][:, 0], counts[:, 4] * 2e-7 / 4, rtol=1e-9)
    events = tree["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [100 / RATE, 300 / RATE])
    assert (list(events.trial_type.values), set(events.channel.values)) == (["1", "2"], {"STI 014"})
    places = np.stack([rec.x, rec.y, rec.z], axis=1)
    np.testing.assert_allclose(places, [(-0.02, 0.1 * n, 0.05) for n in range(3)], atol=1e-12)  # y left, x ahead
    assert rec.x.attrs["frame"] == "device"


def test_it_is_what_mne_reads(tmp_path):
    path, _ = _write(tmp_path / "made.con")
    raw = mne.io.read_raw_kit(path, preload=True, verbose="error")
    rec = eeg.load(path, modality="meg")
    assert not ni.schema.is_in_memory(rec)
    np.testing.assert_array_equal(rec.values.T, raw.get_data(picks=rec.unit.values.tolist()))
    back = eeg.to_mne(rec)
    np.testing.assert_array_equal(back.get_data(), rec.values.T)
    assert back.info["meas_date"] == raw.info["meas_date"]
    for ours, theirs in zip(back.info["chs"], raw.info["chs"], strict=False):
        np.testing.assert_array_equal(ours["loc"], theirs["loc"])
        assert (ours["coil_type"], ours["kind"]) == (theirs["coil_type"], theirs["kind"])


def test_round_trip_through_the_store(tmp_path):
    path, _ = _write(tmp_path / "made.con")
    tree = eeg.load_session(path)
    ni.save(tree, tmp_path / "made.zarr")
    assert ni.open(tmp_path / "made.zarr").identical(tree)
