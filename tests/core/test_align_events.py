"""Events in bins, and trials around events."""

import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import align
from neurointerp.loaders import eeg


def series(samples=10, units=1, rate=10.0, **changes):
    values = np.arange(samples * units, dtype=float).reshape(samples, units)
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": rate} | changes))


def step(rec):
    return rec.attrs["history"][-1]["parameters"]


def test_an_event_on_an_edge_belongs_to_the_bin_that_begins_there():
    times = np.arange(1, 10) * 0.1
    counts = align.bin_events({"a": times}, bin_width=0.1, start=0.0, stop=1.0)
    assert counts.values.ravel().tolist() == [0, *[1] * 9]
    assert counts.attrs["sampling_rate"] == pytest.approx(10.0)
    assert align.bin_events({"a": [0.3]}, bin_width=0.1, start=0.0, stop=0.1 * 3).values.sum() == 0


GRID = st.one_of(st.floats(-5, 20, allow_nan=False), st.integers(-50, 200).map(lambda i: i * 0.1))


@settings(deadline=None, max_examples=100)
@given(st.lists(GRID, max_size=40), st.floats(0.01, 3), st.floats(-2, 2), st.floats(0.5, 10))
def test_counts_are_the_events_of_the_interval(times, width, start, length):
    stop = start + length
    rec = align.bin_events({"a": times, "b": []}, bin_width=width, start=start, stop=stop)
    stamps = np.array(times)
    near = (np.abs(stamps - start) < 1e-7) | (np.abs(stamps - stop) < 1e-7)
    inside = (stamps >= start) & (stamps < stop)
    assert inside[~near].sum() <= int(rec.sum()) <= inside[~near].sum() + near.sum()
    assert int(rec.sum()) + step(rec)["events_outside"] == len(times)
    assert step(rec)["stop"] == stop
    assert rec["time"].values[-1] < stop <= rec["time"].values[-1] + width * (1 + 1e-6)
    assert int(rec.sel(unit="b").sum()) == 0


def test_an_interval_of_no_whole_number_of_bins_ends_where_it_was_told():
    rec = align.bin_events({"a": [0.05, 0.95, 1.04, 1.06]}, bin_width=0.1, start=0.0, stop=1.05)
    assert rec.sizes["time"] == 11
    assert rec.values[-1, 0] == 1, "the event at 1.06 s lies in the last bin but outside [0, 1.05)"
    assert step(rec)["events_outside"] == 1
    assert step(rec)["last_bin_counted"] == pytest.approx(0.5)
    whole = align.bin_events({"a": [0.05]}, bin_width=0.1, start=0.0, stop=1.0)
    assert "last_bin_counted" not in step(whole)
    assert whole.sizes["time"] == 10
    ended = align.bin_events({"a": [0.05, 0.95]}, bin_width=0.1)
    assert (ended.sizes["time"], int(ended.sum()), step(ended)["stop"]) == (10, 2, pytest.approx(1.0))


def test_events_outside_are_reported_never_clipped_into_an_end_bin():
    rec = align.bin_events({"a": [-0.01, -3.0, 0.5, 2.0, 9.0]}, bin_width=0.5, start=0.0, stop=2.0)
    assert rec.values.ravel().tolist() == [0, 1, 0, 0]
    assert step(rec)["events_outside"] == 4


def test_events_that_cannot_be_binned_are_refused():
    with pytest.raises(ni.AlignmentError, match="bin_width is 0"):
        align.bin_events({"a": [1.0]}, bin_width=0)
    with pytest.raises(ni.AlignmentError, match="no units"):
        align.bin_events({}, bin_width=1.0)
    with pytest.raises(ni.AlignmentError, match="'a' has event times that are not finite: 1 of 2"):
        align.bin_events({"a": [np.nan, 1.0]}, bin_width=1.0)
    with pytest.raises(ni.AlignmentError, match="holds no bin"):
        align.bin_events({"a": [1.0]}, bin_width=1.0, start=3.0, stop=3.0)


def test_event_times_in_float32_are_refused_where_they_would_leave_their_bin():
    times = (3600 + np.arange(100) * 0.003).astype(np.float32)
    with pytest.raises(
        ni.AlignmentError, match=r"dtype float32, which at 3600.3 s lie 0.000244141 s apart, too coarse"
    ):
        align.bin_events({"a": times}, bin_width=0.001)
    assert int(align.bin_events({"a": times}, bin_width=0.1, start=3600.0).sum()) == 100


def test_epochs_are_half_open_and_carry_their_events():
    rec = series(20, coords={"region": ("unit", ["V1"])})
    table = {"onset": [0.52, 1.0], "duration": [0.1, 0.2], "trial_type": ["go", None], "stimulus": ["s1", "s2"],
             "trial": [7, 8], "region": ["left", "right"]}  # fmt: skip
    out = align.epoch(rec, pd.DataFrame(table), -0.2, 0.3)
    assert out.dims == ("trial", "time", "unit")
    np.testing.assert_array_equal(out.values[:, :, 0], [[3, 4, 5, 6, 7], [8, 9, 10, 11, 12]])
    np.testing.assert_array_equal(out["time"], np.arange(-2, 3) / 10)
    np.testing.assert_array_equal(out["anchor"], [0.5, 1.0])
    np.testing.assert_array_equal(out["onset"], [0.52, 1.0])
    assert out["onset"].attrs["units"] == out["duration"].attrs["units"] == "s"
    assert out["condition"].values.tolist() == ["go", "n/a"]
    assert out["stimulus"].values.tolist() == ["s1", "s2"]
    assert out["event_trial"].values.tolist() == [7, 8]
    assert out["event_region"].values.tolist() == ["left", "right"]
    assert out["region"].values.tolist() == ["V1"]
    assert step(out)["largest_offset"] == pytest.approx(0.02)
    assert step(out)["dropped"] == 0
    ni.check(out)


def test_windows_that_leave_a_segment_are_dropped_and_listed():
    rec = series(20, coords={"segment": ("time", np.repeat([0, 1], 10))})
    onsets = [1.95, 0.1, 0.5, 0.9, 1.0, 1.2, -3.0]
    out = align.epoch(rec, onsets, -0.1, 0.2)
    np.testing.assert_array_equal(out["onset"], [0.1, 0.5, 1.2])
    np.testing.assert_array_equal(out["event"], [1, 2, 5])
    assert step(out)["dropped"] == 4
    assert step(out)["dropped_onsets"] == [1.95, 0.9, 1.0, -3.0]
    assert step(out)["events"] == 7
    assert "segment" not in out.coords


def test_a_window_within_a_segment_is_kept_though_its_onset_is_not():
    out = align.epoch(series(20), [-0.5, 1.2], 0.5, 0.8)
    np.testing.assert_array_equal(out.values[:, :, 0], [[0, 1, 2], [17, 18, 19]])
    np.testing.assert_allclose(out["anchor"], [-0.5, 1.2])


def test_what_cannot_be_cut_is_refused():
    rec = series(20)
    cases = [
        (rec, [0.0, 5.0], (-0.5, 0.5), r"none of 2 windows of -0.5 to 0.5 s .* the clock runs from 0 to 1.9 s"),
        (rec, [0.5, np.nan], (0, 0.5), "event table has event times that are not finite: 1 of 2"),
        (rec, {"time": [1.0]}, (0, 0.5), r"no column 'onset' \(s\); found time"),
        (rec, [], (0, 0.5), "the event table has no rows"),
        (rec, [0.5], (0.2, 0.2), "holds no sample at 10 Hz"),
        (rec, [0.5], (0.21, 0.29), "holds no sample at 10 Hz"),
        (rec, [0.5], (-np.inf, 0), "must be finite"),
        (align.windows(rec, 5), [0.5], (0, 0.1), "needs a recording without trials"),
        (series(5, time=np.arange(5), sampling_rate=None), [1.0], (0, 1), "clock in seconds, this one counts 'frame'"),
        (series(3, time=[0.0, 1.0, 5.0], sampling_rate=None), [1.0], (0, 1), "needs a regular clock"),
    ]
    for bad, events, window, message in cases:
        with pytest.raises(ni.AlignmentError, match=message):
            align.epoch(bad, events, *window)


def test_a_session_its_events_and_their_table_are_cut_alike():
    rec = series(50)
    events = {"onset": [1.0, 2.0], "trial_type": ["a", "b"], "stimulus": ["x", "y"]}
    tree = ni.session({"eeg": rec}, events=events)
    expected = align.epoch(rec, events, -0.3, 0.3)
    for given_as in (tree, tree["events"], tree["events"].to_dataset(), pd.DataFrame(events)):
        assert ni.digest(align.epoch(rec, given_as, -0.3, 0.3)) == ni.digest(expected)


def test_labels_of_samples_and_further_dims_follow_into_the_trials():
    values = np.random.default_rng(0).standard_normal((2, 30, 3, 4))
    rec = ni.recording(
        values, modality="stimulus", units="1", sampling_rate=10.0, dims=("subject", "time", "row", "unit"),
        coords={"position": ("time", np.arange(30))},
    )  # fmt: skip
    out = align.epoch(rec, [1.0, 1.5], 0.0, 0.4)
    assert out.dims == ("subject", "trial", "time", "row", "unit")
    np.testing.assert_array_equal(out.values[:, 1], values[:, 15:19])
    np.testing.assert_array_equal(out["position"], [[10, 11, 12, 13], [15, 16, 17, 18]])


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 12),
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    rate=st.sampled_from([0.5, 1 / 2.1, 7.3, 1000.0]),
    start=st.floats(-50, 5000),
    seed=st.integers(0, 2**16),
)
def test_epochs_end_to_end_are_the_recording(length, counts, rate, start, seed):
    sizes = [length * count for count in counts]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    time = start + (np.arange(labels.size) + 4 * labels) / rate
    rng = np.random.default_rng(seed)
    rec = ni.recording(
        rng.standard_normal((labels.size, 2)), modality="eeg", units="V", time=time, sampling_rate=rate,
        coords={"segment": ("time", labels)},
    )  # fmt: skip
    onsets = time[::length] + rng.uniform(-0.4, 0.4, len(time[::length])) / rate
    epochs = align.epoch(rec, onsets, 0.0, length / rate)
    assert step(epochs)["dropped"] == 0
    pieces = []
    for trial in epochs:
        piece = trial.drop_vars([name for name, coord in trial.coords.items() if not coord.dims])
        pieces.append(piece.assign_coords(time=("time", trial["time"].values + float(trial["anchor"]), {"units": "s"})))
    back = align.concat(pieces)
    np.testing.assert_array_equal(back.values, rec.values)
    np.testing.assert_allclose(back["time"], time, rtol=0, atol=1e-9 / rate + 1e-11)
    np.testing.assert_array_equal(back["segment"], np.repeat(np.arange(sum(counts)), length))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1, 12), min_size=1, max_size=20), st.integers(-5, 5), st.integers(1, 8))
def test_every_event_is_cut_or_listed(onsets, first, length):
    rec = series(100)
    try:
        out = align.epoch(rec, onsets, first / 10, (first + length) / 10)
    except ni.AlignmentError:
        nearest = np.floor(np.array(onsets) * 10 + 0.5)
        assert ((nearest + first < 0) | (nearest + first + length > 100)).all()
        return
    assert sorted([*out["onset"].values, *step(out)["dropped_onsets"]]) == sorted(onsets)
    for trial in out:
        np.testing.assert_array_equal(np.diff(trial.values.ravel()), 1.0)
        assert abs(trial.values.ravel()[0] / 10 - (float(trial["onset"]) + first / 10)) <= 0.05 + 1e-9


def test_it_cuts_what_mne_cuts(mirror):
    """A real EEG whose onsets lie between samples; MNE's window includes its end."""
    path = mirror / "eeg/eeglab/eeglab_data.set"
    tree = eeg.load_session(path)
    rec = tree["recordings/eeg/recording"]
    out = align.epoch(rec, tree, -0.5, 1.0)
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    events, kinds = mne.events_from_annotations(raw, verbose="error")
    options = {"baseline": None, "event_repeated": "drop", "reject_by_annotation": False, "preload": True}
    theirs = mne.Epochs(raw, events, kinds, tmin=-0.5, tmax=1.0 - 1 / 128, verbose="error", **options)
    assert out.sizes["trial"] == len(theirs) == step(out)["events"] - step(out)["dropped"]
    np.testing.assert_allclose(out["time"], theirs.times, atol=1e-12)
    np.testing.assert_array_equal(out.transpose("trial", "unit", "time"), theirs.get_data(picks=list(rec.unit.values)))
    names = {code: name for name, code in kinds.items()}
    assert out["condition"].values.tolist() == [names[code] for code in theirs.events[:, 2]]
