"""What each real file holds, and files made here whose traps have one right outcome each."""

import csv
import re

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

TABLE = {
    # path: (dims -> sizes, rate, units, first and last stamp, events, recordings)
    "eeg/eeglab/eeglab_data.set": ((30504, 32), 128.0, "V", (0.0, 238.3046875), 154, ["eeg"]),
    "eeg/mne_bdf/test.bdf": ((2048, 72), 2048.0, "V", (0.0, 0.99951171875), 1, ["eeg", "stim"]),
    "eeg/mne_brainvision/test.vhdr": ((7900, 26), 1000.0, "V", (0.0, 7.899), 13, ["eeg"]),
    "eeg/mne_edf/test.edf": ((3072, 138), 512.0, "V", (0.0, 5.998046875), 18, ["eeg", "stim"]),
    "eeg/physionet_eegmmidb/S001R01_first60s.edf": ((9600, 64), 160.0, "V", (0.0, 59.99375), 1, ["eeg"]),
    "eeg/physionet_eegmmidb/S001R02_first60s.edf": ((9600, 64), 160.0, "V", (0.0, 59.99375), 1, ["eeg"]),
    "eeg/physionet_eegmmidb/S001R03.edf": ((20000, 64), 160.0, "V", (0.0, 124.99375), 30, ["eeg"]),
    "eeg/physionet_eegmmidb/S001R04.edf": ((20000, 64), 160.0, "V", (0.0, 124.99375), 30, ["eeg"]),
    "meg/mne_ctf/somMDYO-18av.ds_raw.fif": ((626, 151), 1250.0, "T", (0.0, 0.5), 4, ["meg", "meg_ref", "stim"]),
    "meg/mne_more/141027_cropped_90Hz_raw.fif": (
        (900, 102), 90.0, "T", (0.0, 9.988888888888889), 0, ["meg", "meg_grad"],
    ),
    "meg/mne_sample/sample_audvis_trunc_raw_sss.fif": (
        (301, 60), 300.3074951171875, "V", (0.0, 0.9989760656505393), 0, ["eeg", "meg", "meg_grad", "eog", "stim"],
    ),
    "meg/mne_sample/test-ave.fif.gz": (
        (4, 421, 60), 600.614990234375, "V", (-0.19979521315838786, 0.4994880328959697), 0,
        ["eeg", "meg", "meg_grad", "eog", "stim"],
    ),
}  # fmt: skip


OTHERS = {
    # a part of the file beside it, which is in the table
    "eeg/eeglab/eeglab_data.fdt": "is a part of eeglab_data.set, which lies beside it; pass that",
    "eeg/mne_brainvision/test.eeg": "is a part of test.vhdr",
    "eeg/mne_brainvision/test.vmrk": "is a part of test.vhdr",
    # counts of a converter in a table for machine learning: no unit, no rate, no clock, and no format of MNE
    "eeg/uci_eye_state/EEG_Eye_State.arff": r"Unsupported file type \(\.arff\)",
    # light, for which there is no modality
    "fnirs/mne_snirf/20220217_nirx_15_3_recording.snirf": "is SNIRF, light intensities of fNIRS, .* read it with mne",
    # results of an analysis: a covariance, and estimates of sources on the cortex
    "meg/mne_sample/sample_audvis_trunc-cov.fif": "Could not find measurement data",
    "meg/mne_sample/sample_audvis_trunc-meg-lh.stc": r"Unsupported file type \(\.stc\)",
    "meg/mne_sample/sample_audvis_trunc-meg-rh.stc": r"Unsupported file type \(\.stc\)",
}
"""File that is no recording of its own -> what is said of it."""
FIELDTRIP = ("eeg/fieldtrip_neuromag306/averaged_v7.mat", "eeg/fieldtrip_neuromag306/averaged_v73.mat")
"""In the table of test_eeg_matlab.py: they need an Info."""


def test_no_file_of_the_mirror_is_left_out(mirror):
    with (mirror / "FILES.tsv").open() as file:
        rows = [row["path"] for row in csv.DictReader(file, delimiter="\t")]
    assert {path for path in rows if path.startswith(("eeg/", "meg/", "ieeg/", "fnirs/"))} == {
        *TABLE, *OTHERS, *FIELDTRIP,
    }  # fmt: skip


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_no_recording_says_so(mirror, path):
    with pytest.raises(ni.LoaderError, match=OTHERS[path]) as caught:
        eeg.load(mirror / path)
    assert str(mirror / path) in str(caught.value)


@pytest.mark.parametrize("path", TABLE)
def test_every_real_file_is_what_the_table_says(mirror, tmp_path, path):
    shape, rate, units, (first, last), events, names = TABLE[path]
    tree = eeg.load_session(mirror / path)
    rec = eeg.load(mirror / path)
    assert list(tree["recordings"]) == names
    assert rec.identical(tree[f"recordings/{names[0]}/recording"].rename(names[0]))
    assert rec.shape == shape
    assert (rec.attrs["sampling_rate"], rec.attrs["units"]) == (rate, units)
    np.testing.assert_allclose([rec.time.values[0], rec.time.values[-1]], [first, last], rtol=1e-9)
    assert (tree["events"].sizes["event"] if "events" in tree.children else 0) == events
    clocks = {node["recording"].time.values.tobytes() for node in tree["recordings"].children.values()}
    assert len(clocks) == 1
    ni.save(tree, tmp_path / "session.zarr")
    assert ni.open(tmp_path / "session.zarr").identical(tree)


def test_averages_are_trials_with_conditions(mirror):
    path = mirror / "meg/mne_sample/test-ave.fif.gz"
    averages = mne.read_evokeds(path, verbose="error")
    rec = eeg.load(path, modality="meg_grad")
    picks = mne.pick_types(averages[0].info, meg="grad", exclude=[])
    np.testing.assert_array_equal(rec.values, np.stack([one.data[picks].T for one in averages]))
    assert list(rec.condition.values) == ["Left Auditory", "Right Auditory", "Left visual", "Right visual"]
    assert list(rec.averaged.values) == [one.nave for one in averages]
    assert len(rec.attrs["history"][-1]["parameters"]["projected"]) == 4
    one = eeg.load(averages[2], modality="meg_grad")
    np.testing.assert_array_equal(one.values, rec.values[2])
    assert (one.dims, one.attrs["condition"]) == (("time", "unit"), "Left visual")
    averages[1].crop(0, 0.1)
    with pytest.raises(
        ni.LoaderError, match="'Left Auditory' and 'Right Auditory' differ in channels or times; pass one"
    ):
        eeg.load(averages)


def _raw(samples=1000, rate=100.0, kinds="eeg", count=2, first_samp=0):
    info = mne.create_info([f"C{i}" for i in range(count)], rate, kinds)
    values = np.random.default_rng(1).normal(scale=1e-5, size=(count, samples))
    return mne.io.RawArray(values, info, first_samp=first_samp, verbose="error")


def test_epochs_are_trials_in_memory_and_on_disk(tmp_path):
    raw = _raw(first_samp=500)
    events = np.array([[600, 0, 1], [700, 0, 2], [900, 0, 1]])
    made = mne.Epochs(
        raw, events, {"tone": 1, "flash": 2}, -0.2, 0.5, baseline=None, preload=True, verbose="error",
        metadata=__import__("pandas").DataFrame({"side": ["l", "r", "l"], "loud": [1.5, 2.5, 3.5]}),
    )  # fmt: skip
    made.save(tmp_path / "made-epo.fif", fmt="double", verbose="error")
    for source in (made, tmp_path / "made-epo.fif"):
        rec = eeg.load(source)
        np.testing.assert_array_equal(rec.values, made.get_data(verbose="error").transpose(0, 2, 1))
        np.testing.assert_allclose(rec.time.values[[0, -1]], [-0.2, 0.5])
        assert list(rec.condition.values) == ["tone", "flash", "tone"]
        assert list(rec.side.values) == ["l", "r", "l"]
        np.testing.assert_array_equal(rec.loud, [1.5, 2.5, 3.5])
    part = rec.isel(trial=[2, 0], time=slice(10, 20, 3), unit=1)
    np.testing.assert_array_equal(part, made.get_data(verbose="error")[[2, 0], 1, 10:20:3])
    assert not ni.schema.is_in_memory(rec)


@pytest.mark.parametrize("first_samp", [0, 1234])
@pytest.mark.parametrize("dated", [True, False])
def test_no_event_moves_when_cropped_saved_and_reloaded(tmp_path, first_samp, dated):
    raw = _raw(first_samp=first_samp, kinds=["eeg", "stim"])
    raw._data[1] = 0
    raw._data[1, [300, 301, 640]] = [5, 5, 9]
    if dated:
        raw.set_meas_date(1_000_000_000)
    raw.set_annotations(mne.Annotations([3.0, 7.5], [0.5, 0], ["tone", "flash"]))
    expected = {"onset": [3.0, 3.0, 6.4, 7.5], "trial_type": ["tone", "5", "9", "flash"]}
    raw.save(tmp_path / "whole_raw.fif", verbose="error")
    raw.copy().crop(2.0, 8.0).save(tmp_path / "part_raw.fif", verbose="error")
    for source, shift in ((raw, 0), (tmp_path / "whole_raw.fif", 0), (tmp_path / "part_raw.fif", 2)):
        events = eeg.load_session(source)["events"].to_dataset()
        np.testing.assert_allclose(events.onset, np.array(expected["onset"]) - shift, atol=1e-9)
        assert list(events.trial_type.values) == expected["trial_type"]
        assert list(events.channel.values) == ["", "C1", "C1", ""]
    rec = eeg.load(tmp_path / "part_raw.fif")
    np.testing.assert_allclose(rec.values[:, 0], raw.get_data()[0, 200:801], rtol=1e-6)
    if dated:
        at = 1_000_000_000 + (first_samp + 200) / 100
        assert np.datetime64(rec.attrs["measured_at"].removesuffix("+00:00")).astype("M8[us]").astype(int) == at * 1e6
        assert rec.attrs["measured_at"].endswith("+00:00")


def test_skips_of_a_fif_file_become_segments(tmp_path):
    raw = _raw(10_000)
    raw.set_annotations(mne.Annotations([20.0, 60.0], [10.0, 5.0], ["BAD_ACQ_SKIP"] * 2))
    raw.save(tmp_path / "skips_raw.fif", buffer_size_sec=1.0, fmt="double", verbose="error")
    rec = eeg.load(tmp_path / "skips_raw.fif")
    kept = np.r_[0:2000, 3000:6000, 6500:10000]
    np.testing.assert_array_equal(rec.segment, np.repeat([0, 1, 2], [2000, 3000, 3500]))
    np.testing.assert_allclose(rec.time, kept / 100, atol=1e-12)
    np.testing.assert_array_equal(rec.values, raw.get_data()[:, kept].T)
    np.testing.assert_array_equal(rec.isel(time=slice(1990, 2010), unit=0), raw.get_data()[0, kept[1990:2010]])
    assert rec.attrs["history"][-1]["parameters"]["samples_skipped"] == 1500
    ni.save(rec, tmp_path / "skips.zarr")
    assert ni.open(tmp_path / "skips.zarr").identical(rec)
    again = eeg.to_mne(ni.open(tmp_path / "skips.zarr"))
    read = mne.io.read_raw(tmp_path / "skips_raw.fif", preload=True, verbose="error")
    np.testing.assert_array_equal(again.get_data(), read.get_data())
    np.testing.assert_allclose(again.annotations.onset, read.annotations.onset)


def _brainvision(folder, *, units=("µV", "µV"), resolution=0.1, samples=1000, points=None, marker=900):
    lines = ["Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]", "Codepage=UTF-8",
             "DataFile=made.eeg", "MarkerFile=made.vmrk", "DataFormat=BINARY", "DataOrientation=MULTIPLEXED",
             f"NumberOfChannels={len(units)}", "SamplingInterval=2000", *([f"DataPoints={points}"] if points else []),
             "[Binary Infos]", "BinaryFormat=INT_16", "[Channel Infos]",
             *(f"Ch{i + 1}=E{i},,{resolution},{unit}" for i, unit in enumerate(units))]  # fmt: skip
    (folder / "made.vhdr").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "made.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=made.eeg\n"
        f"[Marker Infos]\nMk1=New Segment,,1,1,0,20131113161403794232\nMk2=Stimulus,S  1,{marker},1,0\n",
        encoding="utf-8",
    )
    counts = np.random.default_rng(2).integers(-500, 500, (samples, len(units)), dtype=np.int16)
    (folder / "made.eeg").write_bytes(counts.astype("<i2").tobytes())
    return folder / "made.vhdr", counts


def test_brainvision_with_a_wrong_scale(tmp_path):
    path, counts = _brainvision(tmp_path, units=("V", "V"))
    with pytest.raises(ni.LoaderError) as caught:
        eeg.load(path)
    assert "made.vhdr: the 2 channels swing by 50" in str(caught.value)
    assert "V, which no brain does: the unit has lost its prefix; pass the true unit of the numbers" in str(
        caught.value
    )
    rec = eeg.load(path, units={"eeg": "uV"})
    np.testing.assert_allclose(rec.values, counts * 0.1e-6, rtol=1e-12)
    assert rec.attrs["history"][-1]["parameters"]["units_given"] == {"E0": "uV", "E1": "uV"}
    assert np.ptp(eeg.load(path, units={"eeg": "V"}).values) > 50
    path, counts = _brainvision(tmp_path, units=("mV", "mV"))
    warned = eeg.load(path).attrs["history"][-1]["parameters"]["warnings"]
    assert len(warned) == 1
    assert re.fullmatch(r"implausible scale: channels swing by 0\.0\d+ V", warned[0])
    np.testing.assert_allclose(eeg.load(path, units={"E0": "uV"})[:, 0], counts[:, 0] * 0.1e-6, rtol=1e-12)


def test_brainvision_units_that_mne_does_not_know(tmp_path):
    path, counts = _brainvision(tmp_path, units=("Volts", "MICROVOLT", "ARU"))
    with pytest.raises(ni.LoaderError) as caught:
        eeg.load(path)
    assert "2 of 2 channels state no unit that is known (channel 'E0': 'Volts'; others: 'MICROVOLT')" in str(
        caught.value
    )
    rec = eeg.load(path, units="uV")
    np.testing.assert_allclose(rec.values, counts[:, :2] * 0.1e-6, rtol=1e-12)
    assert rec.attrs["history"][-1]["parameters"]["left_out"] == {"other": ["E2"]}
    assert rec.attrs["measured_at"] == "2013-11-13T16:14:03.794232"  # the file states no zone


@pytest.mark.parametrize(
    ("options", "keep", "sign"),
    [
        ({"points": 1000}, 2000, r"the header says 1000 samples, found 500 whole samples"),
        ({}, 2002, r"it ends within a sample \(2 of 4 bytes\), found 500 whole samples"),
        ({}, 2000, r"its last marker stands at sample 900, found 500 whole samples"),
    ],
)
def test_truncated_brainvision_is_refused(tmp_path, options, keep, sign):
    path, _ = _brainvision(tmp_path, **options)
    data = tmp_path / "made.eeg"
    data.write_bytes(data.read_bytes()[:keep])
    with pytest.raises(ni.LoaderError, match=rf"made\.eeg: is truncated: {sign}; fetch the file again"):
        eeg.load(path)


def test_picks_are_names_and_types_in_the_order_asked_for(mirror):
    path = mirror / "meg/mne_sample/sample_audvis_trunc_raw_sss.fif"
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    names = ["EEG 010", "EEG 003"]
    rec = eeg.load(path, picks=names)
    np.testing.assert_array_equal(rec.values, raw.get_data(picks=names).T)
    assert list(rec.unit.values) == names
    assert len(rec.attrs["history"][-1]["parameters"]["left_out"]["eeg"]) == 58
    assert eeg.load(path, picks="grad").attrs["units"] == "T/m"
    assert list(eeg.load(path, picks=["EOG 061"]).unit.values) == ["EOG 061"]
    with pytest.raises(
        ni.LoaderError, match="picks= names 'EEG 3', which is none of its eeg channels; did you mean EEG"
    ):
        eeg.load(path, picks=["EEG 010", "EEG 3"])
    with pytest.raises(ni.LoaderError, match=r"picks= is empty; leave it out to read all 60 channels"):
        eeg.load(path, picks=[])
    with pytest.raises(ni.LoaderError, match=r"picks= takes names or types of channels, found 3"):
        eeg.load(path, picks=[3])
    assert eeg.load(mirror / "eeg/physionet_eegmmidb/S001R03.edf", picks=["Oz"], strip=".").shape == (20000, 1)


def test_units_of_the_caller_are_checked():
    raw = _raw(kinds=["eeg", "mag"])
    for wrong, text in (({"mag": "uV"}, "names 'mag', which is no voltage channel"), ({"X": "uV"}, "names 'X'")):
        with pytest.raises(ni.LoaderError, match=text):
            eeg.load(raw, units=wrong)
    np.testing.assert_allclose(eeg.load(raw, units={"eeg": "uV"})[:, 0], raw.get_data()[0] * 1e-6)
    loud = _raw()
    loud._data *= 1e6
    with pytest.raises(ni.LoaderError, match=r"MNE Raw: the 2 channels swing by .* V, which no brain does"):
        eeg.load(loud)


def test_bids_datasets_take_entities(mirror, tmp_path):
    mne_bids = pytest.importorskip("mne_bids")
    for run, file in (("1", "S001R03.edf"), ("2", "S001R04.edf")):
        raw = mne.io.read_raw(mirror / "eeg/physionet_eegmmidb" / file, verbose="error")
        raw.info["line_freq"] = 60
        raw.info["bads"] = ["Cz.."]
        where = mne_bids.BIDSPath(subject="01", task="motor", run=run, datatype="eeg", root=tmp_path)
        mne_bids.write_raw_bids(raw, where, verbose="error")
    rec = eeg.load(tmp_path, entities={"subject": "01", "run": "2"})
    np.testing.assert_array_equal(rec.values, eeg.load(mirror / "eeg/physionet_eegmmidb/S001R04.edf").values)
    assert (rec.attrs["subject"], rec.attrs["task"], rec.attrs["run"]) == ("01", "motor", "2")
    assert list(rec.unit.values[rec.is_bad.values]) == ["Cz.."]
    assert rec.attrs["measured_at"] == "2009-08-12T16:15:00"
    tree = eeg.load_session(tmp_path, entities={"run": "1"})
    assert tree["events"].sizes["event"] == 30
    with pytest.raises(ni.LoaderError, match=r"2 recordings have the entities \{'subject': '01'\}; pass entities="):
        eeg.load(tmp_path, entities={"subject": "01"})
    with pytest.raises(ni.LoaderError, match=r"0 recordings have the entities .*: nothing"):
        eeg.load(tmp_path, entities={"subject": "99"})


def test_electrodes_of_a_bids_dataset_have_their_places(tmp_path):
    mne_bids = pytest.importorskip("mne_bids")
    path, counts = _brainvision(tmp_path)
    raw = mne.io.read_raw_brainvision(path, verbose="error")
    raw.set_channel_types({"E0": "seeg", "E1": "ecog"}, verbose="error")
    places = {"E0": (-0.01, 0.02, 0.03), "E1": (0.04, 0.0, 0.05)}
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="mni_tal"), on_missing="ignore", verbose="error")
    raw.info["line_freq"] = 50
    root = tmp_path / "study"
    where = mne_bids.BIDSPath(subject="02", session="x", task="rest", datatype="ieeg", root=root)
    mne_bids.write_raw_bids(raw, where, verbose="error")
    rec = eeg.load(root, entities={"subject": "02", "session": "x"})
    assert (rec.attrs["modality"], rec.attrs["units"], rec.attrs["session"]) == ("ieeg", "V", "x")
    assert list(rec.channel_type.values) == ["seeg", "ecog"]
    np.testing.assert_allclose(rec.values, counts * 0.1e-6, rtol=1e-12)
    np.testing.assert_allclose(np.stack([rec.x, rec.y, rec.z], axis=1), list(places.values()), atol=1e-9)
    events = eeg.load_session(root, entities={"subject": "02"})["events"].to_dataset()
    assert float(events.onset[-1]) == pytest.approx(899 / 500)
    assert list(events.trial_type.values)[-1] == "Stimulus/S  1"


def test_eeglab_epochs_are_trials(tmp_path):
    from scipy.io import savemat

    values = np.random.default_rng(4).normal(scale=10, size=(2, 50, 3))
    events = [{"type": name, "latency": 50.0 * i + 11, "epoch": float(i + 1)} for i, name in enumerate("aba")]
    epochs = [{"event": float(i + 1), "eventlatency": 0.0, "eventtype": name} for i, name in enumerate("aba")]
    locations = [{"labels": f"E{i}", "X": [], "Y": [], "Z": []} for i in range(2)]
    eeglab = {"setname": "made", "trials": 3.0, "nbchan": 2.0, "pnts": 50.0, "srate": 100.0, "xmin": -0.1,
              "xmax": 0.39, "data": values, "chanlocs": locations, "event": events, "epoch": epochs,
              "times": np.arange(50) * 10.0 - 100}  # fmt: skip
    savemat(tmp_path / "made.set", {"EEG": eeglab}, oned_as="row")
    rec = eeg.load(tmp_path / "made.set")
    np.testing.assert_allclose(rec.values, values.transpose(2, 1, 0) * 1e-6, rtol=1e-6)
    assert list(rec.condition.values) == ["a", "b", "a"]
    np.testing.assert_allclose(rec.time.values[[0, -1]], [-0.1, 0.39])
