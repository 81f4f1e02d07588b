"""Curry recordings (7: .dat, .dap, .rs3; 8: .cdt) written here as text and float32, and the units MNE passes over."""

import logging

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

RATE, SAMPLES = 500, 200
PLACES = [(-27.0, 83.0, 20.0), (0.0, 70.5, 60.0), (30.0, -60.0, 55.25)]


def _list(name, rows):
    """Give a list of Curry: a description that is empty here, then the rows."""
    return f"{name} START\n{name} END\n\n{name} START_LIST # Do not edit!\n" + "".join(
        f"{row}\n" for row in rows
    ) + f"{name} END_LIST\n\n"  # fmt: skip


def _group(ending, unit, names, places=()):
    """Give (parameters, labels) of a group of channels."""
    title = (
        f"DEVICE_PARAMETERS{ending} START\n   DataUnit             =  {unit}\n   NumChanThisGroup     =  {len(names)}\n"
    )
    labels = _list(f"LABELS{ending}", names)
    if len(places):
        labels += _list(f"SENSORS{ending}", ["\t".join(map(str, place)) for place in places])
    return f"{title}DEVICE_PARAMETERS{ending} END\n\n", labels


def _write(folder, version=8, unit="uV", other=None, ending=""):
    names = ["Fp1", "Cz", "O2"]
    groups = [_group(ending, unit, names, PLACES)] + ([] if other is None else [_group("_OTHERS", other, ["Trig"])])
    size = len(names) + (other is not None)
    fields = {
        "NumSamples": SAMPLES, "NumChannels": size, "NumTrials": 1, "SampleFreqHz": RATE, "TriggerOffsetUsec": 0,
        "SampleTimeUsec": 1e6 / RATE, "DataFormat": "FLOAT", "DataSampOrder": "SAMP", "DataByteOrder": "INTEL",
        "FileVersion": version * 100, "AmplifierInfo": "", "StartYear": 2021, "StartMonth": 3, "StartDay": 2,
        "StartHour": 10, "StartMin": 30, "StartSec": 15, "StartMillisec": 250,
    }  # fmt: skip
    text = "DATA_PARAMETERS START\n" + "".join(f"   {key:20} =  {value}\n" for key, value in fields.items())
    text += "DATA_PARAMETERS END\n\n" + "".join(parameters for parameters, _ in groups)
    labels = "".join(listed for _, listed in groups)
    labels += _list("NORMALS_MAG1", ["0\t0\t1"] * 3) if "MAG" in ending else ""
    data, header, beside, events = {
        7: ("made.dat", "made.dap", "made.rs3", "made.cef"),
        8: ("made.cdt", "made.cdt.dpa", "made.cdt.dpa", "made.cdt.cef"),
    }[version]  # fmt: skip
    (folder / beside).write_text("\n" + labels)
    (folder / header).write_text(text + (labels if header == beside else "") + "\n")
    rows = [(20, 0, 7, 3, 20, 20, 0, 0, 0, 0, 0), (130, 0, 9, 3, 130, 130, 0, 0, 0, 0, 0)]
    (folder / events).write_text(
        _list("NUMBER_LIST", ["\t".join(map(str, row)) for row in rows]) + _list("REMARK_LIST", ["tone", "flash"])
    )
    values = np.random.default_rng(0).normal(scale=20, size=(SAMPLES, size)).astype("<f4")
    (folder / data).write_bytes(values.tobytes())
    return folder / data, values.astype(np.float64)


@pytest.mark.parametrize("version", [7, 8])
def test_values_positions_and_events(tmp_path, version):
    path, values = _write(tmp_path, version)
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, values * 1e-6, rtol=1e-12)
    assert (rec.attrs["sampling_rate"], list(rec.unit.values)) == (500.0, ["Fp1", "Cz", "O2"])
    np.testing.assert_allclose(np.stack([rec.x, rec.y, rec.z], axis=1), np.array(PLACES) / 1000)
    assert rec.x.attrs == {"units": "m", "frame": "head"}
    assert rec.attrs["measured_at"] == "2021-03-02T10:30:15.250000"  # the clock of an unknown zone
    events = eeg.load_session(path)["events"].to_dataset()
    np.testing.assert_allclose(events.onset, [20 / RATE, 130 / RATE])
    assert list(events.trial_type.values) == ["tone", "flash"]
    raw = mne.io.read_raw_curry(path, preload=True, verbose="error")
    np.testing.assert_array_equal(eeg.to_mne(rec).get_data(), raw.get_data())
    if version == 8:
        assert eeg.load(tmp_path / "made.cdt.dpa").equals(rec)


@pytest.mark.parametrize(("unit", "scale"), [("mV", 1e-3), ("µV", 1e-6), ("nV", 1e-9)])
def test_units_that_mne_takes_for_volts(tmp_path, unit, scale):
    path, values = _write(tmp_path, unit=unit)
    raw = mne.io.read_raw_curry(path, preload=True, verbose="error")
    np.testing.assert_allclose(raw.get_data().T, values)  # the trap
    for source in (path, raw):
        np.testing.assert_allclose(eeg.load(source).values, values * scale, rtol=1e-9)


def test_units_that_nobody_knows_are_refused(tmp_path):
    path, values = _write(tmp_path, unit="Volts")
    with pytest.raises(ni.LoaderError, match=r"3 of 3 channels state no unit that is known \(channel 'Fp1': 'Volts'\)"):
        eeg.load(path)
    np.testing.assert_allclose(eeg.load(path, units="uV").values, values * 1e-6)


def test_other_channels_are_left_out_by_name(tmp_path):
    path, values = _write(tmp_path, other="none")
    rec = eeg.load(path)
    np.testing.assert_allclose(rec.values, values[:, :3] * 1e-6, rtol=1e-12)
    assert rec.attrs["history"][-1]["parameters"]["left_out"] == {"other": ["Trig"]}


def test_magnetic_fields_are_in_femtotesla_or_refused(tmp_path):
    path, values = _write(tmp_path, unit="fT", ending="_MAG1")
    rec = eeg.load(path)
    assert (rec.attrs["modality"], rec.attrs["units"], rec.x.attrs["frame"]) == ("meg", "T", "device")
    np.testing.assert_allclose(rec.values, values * 1e-15, rtol=1e-12)
    path, _ = _write(tmp_path, unit="pT", ending="_MAG1")
    with pytest.raises(ni.LoaderError, match=r"made\.cdt\.dpa: its magnetic fields are in 'pT'; MNE knows fT alone"):
        eeg.load(path)


def test_the_log_of_the_program_stays_as_it_is(tmp_path, capsys):
    path, _ = _write(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    eeg.load(path)
    assert (root.handlers, root.level) == (handlers, level)
    assert capsys.readouterr() == ("", "")


def test_the_library_that_mne_needs_is_named(tmp_path, monkeypatch):
    path, _ = _write(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "curryreader", None)
    with pytest.raises(ni.LoaderError, match=r"curryreader is needed .* pip install 'neurointerp\[eeg\]'"):
        eeg.load(path)


def test_round_trip_through_the_store(tmp_path):
    path, _ = _write(tmp_path, other="none")
    tree = eeg.load_session(path)
    ni.save(tree, tmp_path / "made.zarr")
    assert ni.open(tmp_path / "made.zarr").identical(tree)
