"""EDF, EDF+ and BDF files written here byte by byte: gaps, rates, units, sparse giants."""

import os
import tracemalloc
from pathlib import Path

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

RATE = 100


def _field(values, width):
    return b"".join(str(value).encode("latin-1").ljust(width)[:width] for value in values)


def _tal(record, onset, texts):
    told = [f"+{onset:g}\x14\x14\x00"]
    told += [f"+{at:g}" + (f"\x15{span:g}" if span else "") + f"\x14{text}\x14\x00" for at, span, text in texts]
    return "".join(told).encode().ljust(60, b"\x00")


def _header(signals, records, kind="", annotated=False, bdf=False):
    """Give the header for signals {name: (samples per record, unit)}; one count is one unit."""
    names, counts = list(signals), [signals[name][0] for name in signals]
    units = [signals[name][1] for name in signals]
    if annotated:
        names, counts, units = [*names, f"{kind[:3]} Annotations"], [*counts, 20 if bdf else 30], [*units, ""]
    size = len(names)
    fixed = [("0", 8), ("X X X X", 80), ("Startdate 02-MAR-2020 X X X", 80), ("02.03.20", 8), ("10.30.15", 8),
             (256 * (size + 1), 8), (kind, 44), (records, 8), (1, 8), (size, 4)]  # fmt: skip
    head = b"".join(_field([value], width) for value, width in fixed)
    head = b"\xffBIOSEMI" + head[8:] if bdf else head
    low, high, blank = [-32768] * size, [32767] * size, [""] * size
    columns = [(names, 16), (blank, 80), (units, 8), (low, 8), (high, 8), (low, 8), (high, 8), (blank, 80),
               (counts, 8), (blank, 32)]  # fmt: skip
    return head + b"".join(_field(values, width) for values, width in columns)


def _write(path, signals, data, *, kind="", onsets=None, texts=None):
    """Write counts {name: (record, sample)}; with onsets an annotation signal keeps the time of each record."""
    records, bdf = len(next(iter(data.values()))), path.suffix == ".bdf"
    body = []
    for record in range(records):
        wide = [data[name][record].astype("<i4").view(np.uint8).reshape(-1, 4) for name in signals]
        body += [block[:, : 3 if bdf else 2].tobytes() for block in wide]
        if onsets is not None:
            body.append(_tal(record, onsets[record], (texts or {}).get(record, [])))
    path.write_bytes(_header(signals, records, kind, onsets is not None, bdf) + b"".join(body))
    return path


def _counts(records, samples, seed=0):
    return np.random.default_rng(seed).integers(-300, 300, (records, samples), dtype=np.int16)


ONSETS = [0.25, 1.25, 2.25, 10.5, 11.5, 3600.25]
TEXTS = {0: [(0.75, 0.5, "first")], 3: [(11.0, 0, "second")], 5: [(3600.75, 0, "third"), (3601.0, 0, "fourth")]}


@pytest.fixture(params=["edf", "bdf"])
def gaps(tmp_path, request):
    data = {"Fz": _counts(6, RATE), "Oz": _counts(6, RATE, 1)}
    path, kind = tmp_path / f"gaps.{request.param}", f"{request.param.upper()}+D"
    _write(path, dict.fromkeys(data, (RATE, "uV")), data, kind=kind, onsets=ONSETS, texts=TEXTS)
    return path, np.stack([data[name].ravel() for name in data], axis=-1) * 1e-6


def test_two_gaps_give_three_segments_with_true_stamps(gaps):
    path, values = gaps
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, values, rtol=1e-12)
    np.testing.assert_array_equal(rec.segment, np.repeat([0, 1, 2], [300, 200, 100]))
    stamps = np.concatenate([np.arange(300), 1025 + np.arange(200), 360_000 + np.arange(100)]) / RATE
    np.testing.assert_allclose(rec.time, stamps, rtol=0, atol=1e-9)
    assert rec.attrs["measured_at"] == "2020-03-02T10:30:15.250000"  # no zone; the first TAL is 0.25 s late
    assert rec.attrs["sampling_rate"] == RATE


def test_events_of_a_file_with_gaps_lie_on_the_true_clock(gaps):
    path, _ = gaps
    events = eeg.load_session(path)["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [0.5, 10.75, 3600.5, 3600.75])
    assert list(events.trial_type.values) == ["first", "second", "third", "fourth"]
    np.testing.assert_array_equal(events.duration, [0.5, 0, 0, 0])


def test_gaps_survive_the_store_and_mne(gaps, tmp_path):
    path, _ = gaps
    rec = eeg.load(path)
    ni.save(rec, tmp_path / "gaps.zarr")
    opened = ni.open(tmp_path / "gaps.zarr")
    assert opened.identical(rec)
    closed = eeg.to_mne(opened, gaps="close")
    theirs = mne.io.read_raw(path, preload=True, verbose="error")
    np.testing.assert_array_equal(closed.get_data(), theirs.get_data())
    found = dict(zip(closed.annotations.description, closed.annotations.onset, strict=True))
    assert found == pytest.approx(
        {"first": 0.5, "second": 3.5, "third": 5.5, "fourth": 5.75, "BAD boundary": 5, "EDGE boundary": 5}
    )
    filled = eeg.to_mne(opened.isel(time=slice(0, 500)))
    assert filled.n_times == 1225
    np.testing.assert_array_equal(filled.get_data()[:, 1025:], rec.values[300:500].T)
    skip = filled.annotations[filled.annotations.description == "BAD_ACQ_SKIP"]
    assert (skip.onset, skip.duration) == (pytest.approx([3.0]), pytest.approx([7.25]))
    again = eeg.load(filled)
    np.testing.assert_allclose(again.time, rec.time[:500], atol=1e-9)
    np.testing.assert_array_equal(again.segment, rec.segment[:500])


def test_a_raw_of_a_file_with_gaps_gets_its_clock_from_the_file(gaps):
    path, _ = gaps
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    np.testing.assert_array_equal(eeg.load(raw).time, eeg.load(path).time)
    with pytest.raises(
        ni.LoaderError, match=r"gaps\.[eb]df: is a part of an? [EB]DF\+D file, whose gaps MNE has closed"
    ):
        eeg.load(raw.crop(1.0))


def test_records_that_overlap_or_have_no_time_are_refused(tmp_path):
    data, signals = {"Fz": _counts(3, RATE)}, {"Fz": (RATE, "uV")}
    path = _write(tmp_path / "back.edf", signals, data, kind="EDF+D", onsets=[0, 1, 1.5])
    with pytest.raises(ni.LoaderError, match=r"back\.edf: record 3 begins at 1.5 s, before record 2 ends \(2 s\)"):
        eeg.load(path)
    path = _write(tmp_path / "none.edf", signals, data, kind="EDF+D")
    with pytest.raises(ni.LoaderError, match=r"but 3 of 3 records do not state when they begin"):
        eeg.load(path)


def test_channels_of_different_rates_keep_their_samples(tmp_path):
    signals = {"Fz": (RATE, "uV"), "Resp": (20, "uV"), "Oz": (RATE, "uV"), "Slow": (1, "uV")}
    data = {name: _counts(5, count, seed) for seed, (name, (count, _)) in enumerate(signals.items())}
    path = _write(tmp_path / "rates.edf", signals, data)
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, np.stack([data["Fz"].ravel(), data["Oz"].ravel()], -1) * 1e-6, rtol=1e-12)
    assert rec.attrs["history"][-1]["parameters"]["left_out"] == {"eeg_20hz": ["Resp"], "eeg_1hz": ["Slow"]}
    tree = eeg.load_session(path)
    assert list(tree["recordings"]) == ["eeg", "eeg_20hz", "eeg_1hz"]
    for name, channel, rate in (("eeg_20hz", "Resp", 20), ("eeg_1hz", "Slow", 1)):
        slow = tree[f"recordings/{name}/recording"]
        np.testing.assert_allclose(slow.values[:, 0], data[channel].ravel() * 1e-6, rtol=1e-12)
        assert (list(slow.unit.values), slow.attrs["sampling_rate"]) == ([channel], rate)
        np.testing.assert_allclose(slow.time, np.arange(5 * rate) / rate)
    assert eeg.load(path, modality="eeg_20hz").identical(tree["recordings/eeg_20hz/recording"].rename("eeg_20hz"))
    assert eeg.load(path, picks=["Slow"]).attrs["sampling_rate"] == 1
    given = eeg.load(path, picks=["Slow"], units={"Slow": "mV"})
    np.testing.assert_allclose(given.values[:, 0], data["Slow"].ravel() * 1e-3)
    with pytest.raises(ni.LoaderError, match="eeg_20hz, eeg_1hz: not on the clock of eeg; convert each recording"):
        eeg.to_mne(tree)


@pytest.mark.parametrize("unit", ["", "Volts", "MICROVOL"])
def test_units_that_nobody_knows_are_refused_with_the_texts_found(tmp_path, unit):
    data = {"Fz": _counts(3, RATE), "Oz": _counts(3, RATE, 1)}
    path = _write(tmp_path / "odd.edf", {"Fz": (RATE, unit), "Oz": (RATE, "uv")}, data)
    assert np.abs(mne.io.read_raw_edf(path, verbose="error").get_data()).max() > 100  # the trap: "volts"
    with pytest.raises(ni.LoaderError) as caught:
        eeg.load(path)
    assert f"2 of 2 channels state no unit that is known (channel 'Fz': {unit!r}; others: 'uv')" in str(caught.value)
    rec = eeg.load(path, units="uV")
    np.testing.assert_allclose(rec.values[:, 1], data["Oz"].ravel() * 1e-6, rtol=1e-12)
    assert rec.attrs["history"][-1]["parameters"]["units_given"] == {"Fz": "uV", "Oz": "uV"}


def test_annotations_alone_are_refused(tmp_path):
    path = tmp_path / "alone.edf"
    path.write_bytes(_header({}, 1, "EDF+C", annotated=True) + _tal(0, 0, []))
    with pytest.raises(ni.LoaderError, match=r"alone\.edf: holds annotations alone, no signal"):
        eeg.load(path)


def _bytes_read():
    """Give the bytes this process has asked the system for."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
def test_annotations_are_what_mne_reads_at_the_cost_of_their_bytes(tmp_path, suffix):
    texts = {r: [(r + 0.5, 0.25 if r % 2 else 0, f"ev{r}"), (r + 0.75, 0, "Fz@@ö")] for r in range(0, 300, 7)}
    data = {f"E{i}": _counts(300, 2 * RATE, i) for i in range(40)}
    signals = dict.fromkeys(data, (2 * RATE, "uV"))
    path = _write(
        tmp_path / f"plus.{suffix}", signals, data, kind=f"{suffix.upper()}+C", onsets=np.arange(300) + 0.5, texts=texts
    )
    theirs = mne.io.read_raw(path, verbose="error")
    before = _bytes_read() if Path("/proc/self/io").is_file() else 0
    rec = eeg.load(path)
    if before:
        assert _bytes_read() - before < path.stat().st_size / 10
    found = rec.attrs["annotations"]
    np.testing.assert_array_equal([one["onset"] for one in found], theirs.annotations.onset)
    np.testing.assert_array_equal([one["duration"] for one in found], theirs.annotations.duration)
    assert [one["description"] for one in found] == list(theirs.annotations.description)
    np.testing.assert_array_equal(rec.values.T, theirs.get_data())


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="counts bytes as Linux does")
@pytest.mark.parametrize("kind", ["edf", "vhdr"])
def test_a_file_of_2_gb_opens_without_being_read(tmp_path, kind):
    channels, records = 256, 1 << 15
    size, rate = channels * records * 128 * 2, 128  # 2 GiB of samples, hardly any of it on disk
    if kind == "edf":
        path = data = tmp_path / "giant.edf"
        head = _header({f"E{i}": (rate, "uV") for i in range(channels)}, records)
    else:
        path, data, head = tmp_path / "giant.vhdr", tmp_path / "giant.eeg", b""
        path.write_text(
            "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=giant.eeg\n"
            "MarkerFile=giant.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
            f"NumberOfChannels={channels}\nSamplingInterval=7812.5\n[Binary Infos]\nBinaryFormat=INT_16\n"
            "[Channel Infos]\n" + "".join(f"Ch{i + 1}=E{i},,1,uV\n" for i in range(channels))
        )
        (tmp_path / "giant.vmrk").write_text("Brain Vision Data Exchange Marker File, Version 1.0\n[Marker Infos]\n")
    with data.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
        file.seek(len(head) + size // 2)  # the first sample of E0 at half of the time
        file.write(np.int16(77).tobytes())
    mne.io.read_raw(path, verbose="error")  # brings in what MNE imports on the way
    before = _bytes_read()
    tracemalloc.start()
    rec = eeg.load(path)
    middle = rec.isel(time=slice(records * 64, records * 64 + 10)).values
    thin = rec.isel(time=[0, records * 64, -1], unit=[3, 0]).values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rec.nbytes == size * 4
    assert _bytes_read() - before < 20e6
    assert peak < 500e6  # the clock of 4 million samples, and what checks it, are most of that
    assert middle[0, 0] == pytest.approx(77e-6)
    assert thin[1, 1] == pytest.approx(77e-6)
    assert (thin == 0).sum() == 5
    os.truncate(data, len(head))
    with pytest.raises(ni.LoaderError, match=r"giant\.(edf|eeg|vhdr): (is truncated|cannot be read)"):
        rec.isel(time=0, unit=0).values  # noqa: B018
