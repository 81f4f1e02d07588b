"""EEG and MEG files against MNE itself, and the traps: units, truncation, first samples, gaps."""

import shutil

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

MOTOR = "eeg/physionet_eegmmidb/S001R03.edf"
SAMPLE = "meg/mne_sample/sample_audvis_trunc_raw_sss.fif"


def _mne(path):
    return mne.io.read_raw(path, preload=True, verbose="error")


def _with_units(source, target, *units):
    """Copy an EDF file with other unit fields for its first signals."""
    data = bytearray(source.read_bytes())
    count = int(data[252:256])
    for index, unit in enumerate(units):
        start = 256 + 96 * count + 8 * index
        data[start : start + 8] = unit.encode("latin-1").ljust(8)
    target.write_bytes(data)
    return target


def _raw(values, kinds="eeg", rate=100.0, **info):
    made = mne.create_info([f"C{i}" for i in range(len(values))], rate, kinds)
    return mne.io.RawArray(np.asarray(values, dtype=float), made, verbose="error", **info)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (MOTOR, "eeg"),
        ("eeg/physionet_eegmmidb/S001R01_first60s.edf", "eeg"),
        ("eeg/mne_edf/test.edf", "eeg"),
        ("eeg/mne_bdf/test.bdf", "eeg"),
        ("eeg/mne_brainvision/test.vhdr", "eeg"),
        ("eeg/eeglab/eeglab_data.set", "eeg"),
        ("meg/mne_ctf/somMDYO-18av.ds_raw.fif", "mag"),
        ("meg/mne_more/141027_cropped_90Hz_raw.fif", "mag"),
        (SAMPLE, "eeg"),
    ],
)
def test_every_format_is_what_mne_reads(mirror, path, kind):
    rec = eeg.load(mirror / path)
    raw = _mne(mirror / path)
    picks = [i for i, found in enumerate(raw.get_channel_types()) if found == kind]
    np.testing.assert_array_equal(rec.values, raw.get_data(picks=picks, verbose="error").T)
    assert list(rec.unit.values) == [raw.ch_names[i] for i in picks]
    assert rec.attrs["sampling_rate"] == raw.info["sfreq"]
    assert rec.attrs["units"] == ("V" if kind == "eeg" else "T")
    assert rec.time.values[0] == 0
    np.testing.assert_allclose(rec.time.values, raw.times, atol=1e-12)
    assert list(rec.is_bad.values) == [raw.ch_names[i] in raw.info["bads"] for i in picks]
    assert set(rec.channel_type.values) == {kind}


def test_channels_left_out_are_named(mirror):
    rec = eeg.load(mirror / SAMPLE)
    left = rec.attrs["history"][-1]["parameters"]["left_out"]
    assert {name: len(channels) for name, channels in left.items()} == {
        "meg": 102, "meg_grad": 204, "eog": 1, "stim": 9,
    }  # fmt: skip
    brainvision = eeg.load(mirror / "eeg/mne_brainvision/test.vhdr")
    assert brainvision.attrs["history"][-1]["parameters"]["left_out"] == {
        "other": ["CP5", "CP6", "HL", "HR", "Vb", "ReRef"]
    }


def test_magnetometers_and_gradiometers_are_two_recordings(mirror):
    magnetometers = eeg.load(mirror / SAMPLE, modality="meg")
    gradiometers = eeg.load(mirror / SAMPLE, modality="meg_grad")
    assert (magnetometers.sizes["unit"], magnetometers.attrs["units"]) == (102, "T")
    assert (gradiometers.sizes["unit"], gradiometers.attrs["units"]) == (204, "T/m")
    raw = _mne(mirror / SAMPLE)
    place = raw.info["chs"][raw.ch_names.index(str(magnetometers.unit.values[5]))]["loc"][:3]
    found = magnetometers[:, 5]
    np.testing.assert_array_equal([found.x, found.y, found.z], place)
    assert magnetometers.x.attrs == {"units": "m", "frame": "device"}


def test_session_holds_every_kind_of_channel(mirror):
    tree = eeg.load_session(mirror / SAMPLE)
    assert list(tree["recordings"]) == ["eeg", "meg", "meg_grad", "eog", "stim"]
    assert tree["recordings/stim/recording"].attrs["modality"] == "stimulus"
    assert tree["recordings/eog/recording"].attrs["units"] == "V"


def test_annotations_become_events(mirror):
    tree = eeg.load_session(mirror / MOTOR, strip=".")
    raw = _mne(mirror / MOTOR)
    np.testing.assert_array_equal(tree["events/onset"], raw.annotations.onset)
    np.testing.assert_array_equal(tree["events/duration"], raw.annotations.duration)
    assert set(tree["events/trial_type"].values) == {"T0", "T1", "T2"}
    assert "Oz" in tree["recordings/eeg"].unit.values


@pytest.mark.parametrize("dated", [True, False])
def test_onsets_count_from_the_first_sample_of_a_late_start(dated):
    raw = _raw(np.random.default_rng(0).normal(scale=1e-5, size=(2, 1000)))
    if dated:
        raw.set_meas_date(1_000_000_000)
    raw.set_annotations(mne.Annotations([5.0], [0.5], ["tone"]))
    raw.crop(tmin=2.0)
    assert raw.first_samp == 200
    events = eeg.load_session(raw)["events"]
    np.testing.assert_allclose(events["onset"], [3.0])


def test_physionet_alpha_rises_with_eyes_closed(mirror):
    def occipital_alpha(path):
        rec = eeg.load(mirror / path, strip=".").sel(unit=["O1", "Oz", "O2"])
        power = np.abs(np.fft.rfft(rec.values, axis=0)) ** 2
        frequency = np.fft.rfftfreq(rec.sizes["time"], 1 / rec.attrs["sampling_rate"])
        wide = (frequency >= 1) & (frequency <= 40)
        return power[(frequency >= 8) & (frequency <= 13)].sum() / power[wide].sum()

    opened = occipital_alpha("eeg/physionet_eegmmidb/S001R01_first60s.edf")
    closed = occipital_alpha("eeg/physionet_eegmmidb/S001R02_first60s.edf")
    assert opened < 0.3 < 0.5 < closed


def test_truncated_edf_is_refused_with_counts(mirror, tmp_path):
    whole = (mirror / MOTOR).read_bytes()
    cut = tmp_path / "cut.edf"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ni.LoaderError) as caught:
        eeg.load(cut)
    assert f"{cut}: is truncated: the header says 125 records (2596896 bytes), found" in str(caught.value)
    assert "62 whole records (1298448 bytes)" in str(caught.value)
    cut.write_bytes(whole[:1000])
    with pytest.raises(ni.LoaderError, match="is truncated within its header"):
        eeg.load(cut)


@pytest.mark.parametrize("unit", ["", "uv", ".V"])
def test_unknown_unit_is_refused_unless_given(mirror, tmp_path, unit):
    source = mirror / "eeg/physionet_eegmmidb/S001R01_first60s.edf"
    odd = _with_units(source, tmp_path / "odd.edf", unit, unit)
    with pytest.raises(ni.LoaderError) as caught:
        eeg.load(odd)
    assert f"2 of 64 channels state no unit that is known (channel 'Fc5.': {unit!r}); pass units=" in str(caught.value)
    np.testing.assert_allclose(eeg.load(odd, units="uV"), eeg.load(source), rtol=1e-12)
    with pytest.raises(ni.LoaderError, match="units='K' is no voltage"):
        eeg.load(odd, units="K")


def test_units_that_mne_passes_over_are_scaled_or_left_out(mirror, tmp_path):
    source = mirror / "eeg/physionet_eegmmidb/S001R01_first60s.edf"
    rec = eeg.load(_with_units(source, tmp_path / "mixed.edf", "nV", "%", "mV"))
    whole = eeg.load(source)
    np.testing.assert_allclose(rec.sel(unit="Fc5."), whole.sel(unit="Fc5.") * 1e-3, rtol=1e-12)
    np.testing.assert_allclose(rec.sel(unit="Fc1."), whole.sel(unit="Fc1.") * 1e3, rtol=1e-12)
    assert "Fc3." not in rec.unit.values
    assert rec.attrs["history"][-1]["parameters"]["left_out"] == {"other": ["Fc3."]}


def test_stated_units_win_over_given_ones(mirror):
    np.testing.assert_array_equal(eeg.load(mirror / MOTOR, units="mV"), eeg.load(mirror / MOTOR))


def test_nothing_is_printed_and_warnings_are_kept(mirror, capsys):
    rec = eeg.load(mirror / "eeg/physionet_eegmmidb/S001R01_first60s.edf")
    assert capsys.readouterr() == ("", "")
    assert rec.attrs["history"][-1]["parameters"]["warnings"] == [
        "Limited 1 annotation(s) that were expanding outside the data range."
    ]


def test_edf_called_discontinuous_but_without_gaps_is_as_continuous(mirror, tmp_path):
    data = bytearray((mirror / MOTOR).read_bytes())
    data[192:197] = b"EDF+D"
    gaps = tmp_path / "gaps.edf"
    gaps.write_bytes(data)
    found, whole = eeg.load_session(gaps), eeg.load_session(mirror / MOTOR)
    rec = found["recordings/eeg/recording"]
    np.testing.assert_allclose(rec.time, whole["recordings/eeg/recording"].time, atol=1e-12)
    assert set(rec.segment.values) == {0}
    np.testing.assert_allclose(found["events/onset"], whole["events/onset"])
    assert found["events/trial_type"].equals(whole["events/trial_type"])


def test_interruptions_and_skips_become_segments_with_true_stamps():
    raw = _raw(np.ones((2, 100)))
    raw.set_annotations(mne.Annotations([0.0, 0.3, 0.6], [0, 0, 0.1], ["boundary", "boundary", "BAD_ACQ_SKIP"]))
    rec = eeg.load(raw)
    np.testing.assert_array_equal(rec.segment, np.repeat([0, 1, 2], [30, 30, 30]))
    np.testing.assert_array_equal(rec.time, np.r_[0:60, 70:100] / 100)
    assert rec.attrs["history"][-1]["parameters"]["samples_skipped"] == 10


def test_bad_channels_and_missing_values_are_kept():
    values = np.ones((3, 10))
    values[1] = np.nan
    raw = _raw(values)
    raw.info["bads"] = ["C2"]
    rec = eeg.load(raw)
    assert list(rec.is_bad.values) == [False, False, True]
    assert np.isnan(rec.sel(unit="C1")).all()
    np.testing.assert_array_equal(raw.get_data(verbose="error"), values)


def test_intracranial_channels_are_found():
    rec = eeg.load(_raw(np.ones((2, 10)), ["seeg", "ecog"]))
    assert (rec.attrs["modality"], rec.attrs["units"]) == ("ieeg", "V")


def test_errors_name_the_file_and_what_it_holds(mirror, tmp_path):
    with pytest.raises(ni.LoaderError, match=r"nope\.edf: no such file"):
        eeg.load(tmp_path / "nope.edf")
    text = tmp_path / "text.edf"
    text.write_text("not an EDF file\n" * 100)
    with pytest.raises(ni.LoaderError, match=r"text\.edf: is not an EDF or BDF file: it begins with b'not an E'"):
        eeg.load(text)
    with pytest.raises(ni.LoaderError, match="no channels of 'ieeg'; it holds eeg, meg, meg_grad, eog, stim"):
        eeg.load(mirror / SAMPLE, modality="ieeg")
    snirf = mirror / "fnirs/mne_snirf/20220217_nirx_15_3_recording.snirf"
    with pytest.raises(
        ni.LoaderError, match=r"recording\.snirf: is SNIRF, light intensities of fNIRS, .* read it with mne"
    ):
        eeg.load_session(snirf)
    with pytest.raises(ni.LoaderError, match="no channels of EEG, MEG or iEEG; it holds fnirs_cw_amplitude"):
        eeg.load(_mne(snirf))
    with pytest.raises(ni.LoaderError, match=r"cannot be read as EEG or MEG \(ValueError: Could not find"):
        eeg.load(mirror / "meg/mne_sample/sample_audvis_trunc-cov.fif")
    with pytest.raises(ni.LoaderError, match=r"a path or an mne\.io\.Raw is needed, found int"):
        eeg.load(3)
    shutil.copy(mirror / "eeg/eeglab/eeglab_data.set", tmp_path)
    with pytest.raises(ni.LoaderError, match=r"eeglab_data\.set: cannot be read as EEG or MEG \(FileNotFoundError"):
        eeg.load(tmp_path / "eeglab_data.set")


def test_missing_library_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "mne", None)
    with pytest.raises(ni.LoaderError, match=r"mne is needed .* pip install 'neurointerp\[eeg\]'"):
        eeg.load(tmp_path)


def test_survives_the_store(mirror, tmp_path):
    rec = eeg.load(mirror / SAMPLE)
    ni.save(rec, tmp_path / "eeg.zarr")
    opened = ni.open(tmp_path / "eeg.zarr")
    assert opened.identical(rec)
