"""GDF files written here byte by byte, in both of its versions: units, events, slow channels, missing bytes."""

import struct

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

RATE, RECORDS = 100, 4
CODES = {"uV": 4275, "mV": 4274, "V": 4256, "nV": 4276, "%": 544, "": 0, "1": 512, "odd": 4711}
EVENTS = [(1, 768, 0, 0), (101, 769, 0, 50), (351, 33025, 0, 25)]
"""(sample from 1, type, channel, samples) as the file counts them."""


def _columns(*columns):
    return b"".join(struct.pack(f"<{kind}", value) for kind, values in columns for value in values)


def _fields(signals, version):
    """Give the header of the channels, column by column; the physical range is the digital one divided by ten."""
    texts = [name.encode().ljust(16, b"\0") for name in signals] + [b"\0" * 80] * len(signals)
    units = [unit for _, unit in signals.values()]
    counts = [count for count, _ in signals.values()]
    size, low, high = len(signals), -32768, 32767
    ranges = [("d", [low / 10] * size), ("d", [high / 10] * size)]
    ends = [("i", counts), ("i", [3] * size)]  # type 3: int16
    if version < 1.9:
        body = b"".join([*texts, *(unit.encode().ljust(8, b"\0") for unit in units)])
        return body + _columns(*ranges, ("q", [low] * size), ("q", [high] * size)) + b"\0" * 80 * size + (
            _columns(*ends) + b"\0" * 32 * size
        )  # fmt: skip
    body = b"".join(texts) + b"\0" * 6 * size + _columns(("H", [CODES[unit] for unit in units]))
    body += _columns(*ranges, ("d", [low] * size), ("d", [high] * size)) + b"\0" * 68 * size
    return body + _columns(("f", [0.0] * 3 * size), *ends) + b"\0" * 32 * size


def _head(size, records, version):
    start = 256 * (size + 1)
    if version < 1.9:
        head = f"GDF {version:.2f}".encode().ljust(8) + b"X X".ljust(80) + b"X".ljust(80) + b"2020030210301525"
        return head + struct.pack("<q", start) + b"\0" * 44 + struct.pack("<qIII", records, 1, 1, size)
    days = (np.datetime64("2020-03-02T10:30:15") - np.datetime64("0001-01-01")) / np.timedelta64(1, "s") / 86400 + 367
    head = f"GDF {version:.2f}".encode().ljust(8) + b"X X".ljust(66) + b"\0" * 14 + b"X".ljust(64) + b"\0" * 16
    head += struct.pack("<QQH", round(days * 2**32), 0, start // 256) + b"\0" * 50
    return head + struct.pack("<qIIHH", records, 1, 1, size, 0)


def _table(events, version, rate):
    """Give the event table, mode 3: position, type, channel and duration."""
    count = len(events)
    if version < 1.94:
        head = b"\3" + int(rate).to_bytes(3, "little") + struct.pack("<I", count)
    else:
        head = b"\3" + count.to_bytes(3, "little") + struct.pack("<f", rate)
    return head + _columns(*zip("IHHI", zip(*events, strict=True), strict=True)) if events else head


def _write(path, signals, version, *, events=EVENTS, event_rate=RATE):
    rng = np.random.default_rng(0)
    data = {name: rng.integers(-500, 500, (RECORDS, count), dtype="<i2") for name, (count, _) in signals.items()}
    body = b"".join(data[name][record].tobytes() for record in range(RECORDS) for name in signals)
    head = _head(len(signals), RECORDS, version) + _fields(signals, version)
    assert len(head) == 256 * (len(signals) + 1)
    path.write_bytes(head + body + _table(events, version, event_rate))
    return path, {name: counts.ravel() / 10 for name, counts in data.items()}


@pytest.fixture(params=[1.25, 2.20])
def version(request):
    return request.param


def test_values_clock_and_events(tmp_path, version):
    path, values = _write(tmp_path / "made.gdf", {"C3": (RATE, "uV"), "Cz": (RATE, "uV")}, version)
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, np.stack([values["C3"], values["Cz"]], axis=1) * 1e-6, rtol=1e-9)
    np.testing.assert_allclose(rec.time, np.arange(400) / 100)
    assert (rec.attrs["sampling_rate"], rec.attrs["units"], list(rec.unit.values)) == (100.0, "V", ["C3", "Cz"])
    when = np.datetime64(rec.attrs["measured_at"])  # no zone: the format states none
    assert abs(when - np.datetime64("2020-03-02T10:30:15.25")) < np.timedelta64(300, "ms")
    raw = mne.io.read_raw_gdf(path, preload=True, verbose="error")
    np.testing.assert_array_equal(rec.values.T, raw.get_data())
    np.testing.assert_array_equal(eeg.to_mne(rec).get_data(), raw.get_data())
    events = eeg.load_session(path)["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [0.0, 1.0, 3.5])
    np.testing.assert_allclose(events.duration, [0.01, 0.5, 0.25])  # MNE makes one sample of none
    assert list(events.trial_type.values) == ["768", "769", "33025"]


def test_units_that_mne_passes_over(tmp_path, version):
    units = {"E0": "uV", "E1": "mV", "E2": "nV", "E3": "V", "E4": "%"}
    path, values = _write(tmp_path / "made.gdf", {name: (RATE, unit) for name, unit in units.items()}, version)
    rec = eeg.load(path)
    for name, scale in (("E0", 1e-6), ("E1", 1e-3), ("E2", 1e-9), ("E3", 1.0)):
        np.testing.assert_allclose(rec.sel(unit=name), values[name] * scale, rtol=1e-9)
    step = rec.attrs["history"][-1]["parameters"]
    assert step["left_out"] == {"other": ["E4"]}
    assert not any("dimension" in line for line in step["warnings"])
    of_object = eeg.load(mne.io.read_raw_gdf(path, verbose="error"))
    np.testing.assert_allclose(of_object.sel(unit="E1"), values["E1"] * 1e-3, rtol=1e-9)


@pytest.mark.parametrize("unit", ["", "odd"])
def test_units_that_nobody_knows_are_refused(tmp_path, version, unit):
    path, values = _write(tmp_path / "made.gdf", {"C3": (RATE, unit)}, version)
    found = {"": "''", "odd": "'odd'" if version < 1.9 else "'code 4711'"}[unit]
    kept = unit == "odd"  # no voltage, as far as the text tells
    with pytest.raises(ni.LoaderError, match=rf"{'no channels|no unit that is known' if kept else found}"):
        eeg.load(path)
    rec = eeg.load(path, units={"eeg": "uV"})
    np.testing.assert_allclose(rec.values[:, 0], values["C3"] * 1e-6, rtol=1e-9)
    assert rec.attrs["history"][-1]["parameters"]["units_given"] == {"C3": "uV"}


def test_events_count_on_the_clock_of_their_table(tmp_path, version):
    signals = {"C3": (RATE, "uV")}
    path, _ = _write(tmp_path / "made.gdf", signals, version, events=[*EVENTS, (701, 770, 0, 0)], event_rate=200)
    events = eeg.load_session(path)["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [0.0, 0.5, 1.75, 3.5])
    np.testing.assert_allclose(events.duration, [0, 0.25, 0.125, 0])
    assert list(events.trial_type.values) == ["768", "769", "33025", "770"]
    path, _ = _write(tmp_path / "made.gdf", signals, version, event_rate=0)  # not said: that of the signals
    np.testing.assert_allclose(eeg.load_session(path)["events/onset"], [0.0, 1.0, 3.5])
    path, _ = _write(tmp_path / "made.gdf", signals, version, events=[])
    assert "events" not in eeg.load_session(path).children


def test_slow_channels_are_left_out_by_name(tmp_path, version):
    signals = {"C3": (RATE, "uV"), "Resp": (RATE // 4, "uV"), "Cz": (RATE, "uV")}
    path, values = _write(tmp_path / "made.gdf", signals, version)
    rec = eeg.load(path)
    assert list(rec.unit.values) == ["C3", "Cz"]
    np.testing.assert_allclose(rec.values, np.stack([values["C3"], values["Cz"]], axis=1) * 1e-6, rtol=1e-9)
    np.testing.assert_allclose(rec[33:35, 1].values, values["Cz"][33:35] * 1e-6, rtol=1e-9)
    warned = rec.attrs["history"][-1]["parameters"]["warnings"]
    assert "left out, sampled more slowly than the others: Resp" in warned


def test_missing_bytes_are_counted(tmp_path, version):
    path, _ = _write(tmp_path / "made.gdf", {"C3": (RATE, "uV")}, version, events=[])
    whole = path.read_bytes()[:-8]  # without its empty event table
    path.write_bytes(whole[:-1])
    with pytest.raises(
        ni.LoaderError, match=r"header says 4 records \(1312 bytes\), found 3 whole records \(1311 byte"
    ):
        eeg.load(path)
    path.write_bytes(whole[:400])
    with pytest.raises(ni.LoaderError, match=r"made\.gdf: is truncated within its header"):
        eeg.load(path)
    path.write_text("no biosignals at all")
    with pytest.raises(ni.LoaderError, match=r"made\.gdf: is not a GDF file: it begins with b'no biosi'"):
        eeg.load(path)


def test_round_trip_through_the_store(tmp_path, version):
    path, _ = _write(tmp_path / "made.gdf", {"C3": (RATE, "uV"), "Cz": (RATE, "mV")}, version)
    tree = eeg.load_session(path)
    ni.save(tree, tmp_path / "made.zarr")
    assert ni.open(tmp_path / "made.zarr").identical(tree)
