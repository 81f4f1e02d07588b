"""Recordings as objects of MNE: equal to what MNE itself reads."""

import mne
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import eeg

RAWS = (
    ("eeg/eeglab/eeglab_data.set", ["eeg"]),
    ("eeg/mne_bdf/test.bdf", ["eeg", "stim"]),
    ("eeg/mne_brainvision/test.vhdr", ["eeg"]),
    ("eeg/mne_edf/test.edf", ["eeg", "stim"]),
    ("eeg/physionet_eegmmidb/S001R04.edf", ["eeg"]),
    ("meg/mne_ctf/somMDYO-18av.ds_raw.fif", ["mag", "ref_meg", "stim"]),
    ("meg/mne_more/141027_cropped_90Hz_raw.fif", ["mag", "grad"]),
    ("meg/mne_sample/sample_audvis_trunc_raw_sss.fif", ["eeg", "mag", "grad", "eog", "stim"]),
)


def _same_description(ours, theirs):
    assert ours.ch_names == theirs.ch_names
    assert ours.get_channel_types() == theirs.get_channel_types()
    assert ours.info["bads"] == theirs.info["bads"]
    assert ours.info["sfreq"] == theirs.info["sfreq"]
    assert ours.info["meas_date"] == theirs.info["meas_date"]
    for one, other in zip(ours.info["chs"], theirs.info["chs"], strict=True):
        np.testing.assert_array_equal(np.nan_to_num(one["loc"]), np.nan_to_num(other["loc"]))
        if np.nan_to_num(other["loc"][:3]).any():
            assert one["coord_frame"] == other["coord_frame"]


def _same_annotations(ours, theirs):
    np.testing.assert_allclose(ours.onset, theirs.onset, atol=1e-9)
    np.testing.assert_array_equal(ours.duration, theirs.duration)
    assert list(ours.description) == list(theirs.description)
    assert ours.orig_time == theirs.orig_time


@pytest.mark.parametrize(("path", "kinds"), RAWS)
def test_raw_equals_what_mne_reads(mirror, tmp_path, path, kinds):
    theirs = mne.io.read_raw(mirror / path, preload=True, verbose="error")
    rec = eeg.load(mirror / path)
    ni.save(rec, tmp_path / "rec.zarr")
    alone = theirs.copy().pick(rec.unit.values.tolist(), verbose="error")
    for source in (rec, ni.open(tmp_path / "rec.zarr")):
        ours = eeg.to_mne(source)
        np.testing.assert_array_equal(ours.get_data(), alone.get_data())
        np.testing.assert_array_equal(ours.times, alone.times)
        assert ours.first_samp == alone.first_samp
        _same_description(ours, alone)
        _same_annotations(ours.annotations, alone.annotations)
    every = eeg.to_mne(eeg.load_session(mirror / path))
    held = [name for name, kind in zip(theirs.ch_names, theirs.get_channel_types(), strict=True) if kind in kinds]
    theirs.pick(held, verbose="error")
    np.testing.assert_array_equal(every.get_data(), theirs.get_data())
    _same_description(every, theirs)
    _same_annotations(every.annotations, theirs.annotations)


def test_averages_equal_what_mne_reads(mirror):
    path = mirror / "meg/mne_sample/test-ave.fif.gz"
    theirs = [one.pick("grad") for one in mne.read_evokeds(path, proj=False, verbose="error")]
    rec = eeg.load(theirs, modality="meg_grad")
    for our, their in zip(eeg.to_mne(rec), theirs, strict=True):
        np.testing.assert_array_equal(our.data, their.data)
        np.testing.assert_allclose(our.times, their.times, atol=1e-12)
        assert (our.comment, our.nave, our.kind) == (their.comment, their.nave, their.kind)
        _same_description(our, their)
    one = eeg.to_mne(eeg.load(theirs[1], modality="meg_grad"))
    np.testing.assert_array_equal(one.data, theirs[1].data)
    assert one.comment == "Right Auditory"


def _raw(count=3, samples=2000, first_samp=300):
    info = mne.create_info([f"C{i}" for i in range(count)], 100.0, "eeg")
    values = np.random.default_rng(3).normal(scale=1e-5, size=(count, samples))
    raw = mne.io.RawArray(values, info, first_samp=first_samp, verbose="error")
    return raw.set_meas_date(1_500_000_000.123456)


def test_epochs_equal_what_mne_made(tmp_path):
    events = np.array([[700, 0, 3], [900, 0, 8], [1200, 0, 3]])
    theirs = mne.Epochs(
        _raw(), events, {"a/b": 3, "c": 8}, -0.1, 0.4, baseline=(None, 0), preload=True, verbose="error"
    )
    rec = eeg.load(theirs)
    ni.save(rec, tmp_path / "epochs.zarr")
    ours = eeg.to_mne(ni.open(tmp_path / "epochs.zarr"))
    np.testing.assert_array_equal(ours.get_data(), theirs.get_data())
    np.testing.assert_array_equal(ours.events, theirs.events)
    np.testing.assert_array_equal(ours.times, theirs.times)
    assert ours.event_id == theirs.event_id
    assert rec.attrs["baseline"] == pytest.approx([-0.1, 0.0])
    _same_description(ours, theirs)


def test_a_cropped_recording_keeps_its_events_in_place():
    raw = _raw()
    raw.set_annotations(mne.Annotations([2.0, 9.0], [0, 1.0], ["x", "y"]))
    rec = eeg.load(raw)
    ours, theirs = eeg.to_mne(rec.isel(time=slice(500, 1501))), raw.copy().crop(5.0, 15.0)
    np.testing.assert_array_equal(ours.get_data(), theirs.get_data())
    assert (ours.first_samp, ours.info["meas_date"]) == (theirs.first_samp, theirs.info["meas_date"])
    _same_annotations(ours.annotations, theirs.annotations)
    np.testing.assert_array_equal(eeg.load(ours).values, rec.values[500:1501])


def test_annotations_about_channels_are_kept(tmp_path):
    raw = _raw()
    raw.set_annotations(mne.Annotations([1.0, 2.0], 0.5, ["BAD", "tone"], ch_names=[["C1", "C2"], []]))
    ours = eeg.to_mne(eeg.load(raw))
    assert [tuple(names) for names in ours.annotations.ch_names] == [("C1", "C2"), ()]
    events = eeg.load_session(raw)["events"].to_dataset()
    assert list(events.channel.values) == ["C1,C2", ""]


def test_any_recording_can_become_raw(recordings):
    raw = eeg.to_mne(recordings["eeg"])
    np.testing.assert_array_equal(raw.get_data(), recordings["eeg"].values.T)
    assert set(eeg.to_mne(recordings["calcium"]).get_channel_types()) == {"misc"}
    micro = ni.to_units(recordings["eeg"], "uV")
    np.testing.assert_allclose(eeg.to_mne(micro).get_data(), raw.get_data())
    planar = ni.recording(np.ones((5, 2)), modality="meg", units="fT/cm", sampling_rate=10.0)
    made = eeg.to_mne(planar)
    assert set(made.get_channel_types()) == {"grad"}
    np.testing.assert_allclose(made.get_data(), 1e-13)
    assert len(eeg.to_mne(recordings["stimulus"])) == recordings["stimulus"].sizes["trial"]


def test_events_of_a_session_become_annotations(recordings):
    tree = ni.session({"eeg": recordings["eeg"]}, events={"onset": [0.5, 1.0], "trial_type": ["a", "b"]})
    raw = eeg.to_mne(tree)
    assert list(raw.annotations.description) == ["a", "b"]
    np.testing.assert_allclose(raw.annotations.onset, [0.5, 1.0])


def test_what_mne_cannot_hold_is_refused(recordings):
    with pytest.raises(ni.LoaderError, match="MNE needs a regular clock in seconds; resample it"):
        eeg.to_mne(recordings["activations"])
    with pytest.raises(ni.LoaderError, match="a recording or a session is needed, found int"):
        eeg.to_mne(3)
    with pytest.raises(ni.LoaderError, match="gaps='stretch': 'fill' or 'close' is needed"):
        eeg.to_mne(recordings["eeg"], gaps="stretch")
    with pytest.raises(ni.LoaderError, match="two recordings have a channel of the same name"):
        eeg.to_mne(ni.session({"a": recordings["eeg"], "b": recordings["eeg"]}))


def test_pictures_are_drawn_from_our_recordings(mirror):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    rec = eeg.load(mirror / "meg/mne_sample/sample_audvis_trunc_raw_sss.fif", modality="eeg")
    info = eeg.to_mne(rec).info
    image, _ = mne.viz.plot_topomap(rec.values.std(axis=0), info, show=False)
    assert np.isfinite(image.get_array()).any()
    pyplot.close("all")
