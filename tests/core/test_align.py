"""Joins, cuts and delays."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import align


def series(samples=10, units=2, **changes):
    values = np.arange(samples * units, dtype=float).reshape(samples, units)
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 10.0} | changes))


def at(stamps, **changes):
    stamps = np.asarray(stamps)
    return series(len(stamps), 1, time=stamps, sampling_rate=None, **changes)


def step(rec):
    return rec.attrs["history"][-1]["parameters"]


def test_match_joins_exactly_and_counts_what_it_would_lose():
    a = series(3000, sampling_rate=1000.0)
    b = a.assign_coords(time=("time", np.arange(3000) * 0.001, {"units": "s"}))
    assert align.match(a, a)[1].identical(a)
    with xr.set_options(arithmetic_join="inner"):
        assert (a + b).sizes["time"] == 2601, "the trap: xarray drops the rest without a word"
    with pytest.raises(ni.AlignmentError, match=r"399 of 3000 labels of the first and 399 of 3000 of the second"):
        align.match(a, b)
    with pytest.raises(ni.AlignmentError, match="sample dims differ"):
        align.match(a, align.windows(a, 10))
    with pytest.raises(ni.AlignmentError, match="clocks differ: 's' and 'frame'"):
        align.match(a, series(3000, sampling_rate=None, time=np.arange(3000)))


def test_a_tolerance_joins_two_roundings_of_one_clock_whole():
    a = series(3000, sampling_rate=1000.0)
    b = a.assign_coords(time=("time", np.arange(3000) * 0.001, {"units": "s"}))
    left, right = align.match(a, b, tolerance=1e-9)
    assert (left + right).sizes["time"] == 3000
    np.testing.assert_array_equal(right["time"], a["time"])
    assert left.attrs["sampling_rate"] == right.attrs["sampling_rate"] == 1000.0
    assert "segment" not in left.coords
    assert step(left)["paired"] == 3000
    assert step(left)["dropped"] == step(right)["dropped"] == 0
    assert 0 < step(right)["largest_difference"] < 1e-15
    assert right.attrs["history"][-1]["inputs"] == {"other": ni.digest(a)}


def test_what_a_tolerance_drops_is_recorded_and_leaves_a_gap_behind():
    a = series(8, 1, sampling_rate=1.0)
    b = at(np.array([-2.0, 0.1, 1.1, 2.0, 4.9, 5.1, 6.2]) - 0.05)[[0, 1, 2, 3, 5, 6]]
    left, right = align.match(a, b, tolerance=0.2)
    np.testing.assert_array_equal(left["time"], [0, 1, 2, 5, 6])
    np.testing.assert_array_equal(left.values.ravel(), [0, 1, 2, 5, 6])
    np.testing.assert_array_equal(right.values.ravel(), b.values.ravel()[1:])
    for rec in (left, right):
        ni.check(rec)
        np.testing.assert_array_equal(rec["segment"], [0, 0, 0, 1, 1])
        assert rec.attrs["sampling_rate"] == 1.0
        assert step(rec)["largest_difference"] == pytest.approx(0.15)
    assert (step(left)["dropped"], step(left)["dropped_stamps"]) == (3, [3.0, 4.0, 7.0])
    assert (step(right)["dropped"], step(right)["dropped_stamps"]) == (1, [-2.05])


def test_a_slow_clock_keeps_every_kth_sample_and_its_own_rate():
    fast, slow = series(100, 1, sampling_rate=100.0), series(10, 1, sampling_rate=10.0)
    left, right = align.match(fast, slow, tolerance=0.001)
    np.testing.assert_array_equal(left.values.ravel(), np.arange(0, 100, 10))
    assert left.attrs["sampling_rate"] == right.attrs["sampling_rate"] == 10.0
    assert "segment" not in left.coords
    ni.check(left)


def test_segments_of_either_side_survive_a_match():
    marks = {"segment": ("time", [4, 4, 4, 9, 9, 9])}
    a, b = series(6, 1, coords=marks), series(6, 1)
    left, right = align.match(a, b, tolerance=0.01)
    np.testing.assert_array_equal(left["segment"], [4, 4, 4, 9, 9, 9])
    np.testing.assert_array_equal(right["segment"], [0, 0, 0, 1, 1, 1])
    _, right = align.match(b, a, tolerance=0.01)
    np.testing.assert_array_equal(right["segment"], [4, 4, 4, 9, 9, 9])


def test_ambiguous_pairings_are_refused_with_a_tolerance_that_is_not():
    a, b = at([0.0, 1.0, 2.0]), at([0.4, 0.9, 2.1])
    with pytest.raises(
        ni.AlignmentError, match=r"more than one counterpart within 0.7 s \(first at 0.3\).* below 0.6"
    ) as e:
        align.match(at([0.3, 1.0, 2.0]), b, tolerance=0.7)
    assert e.value.args[0].startswith("'time': ")
    assert align.match(a, b, tolerance=0.2)[0].sizes["time"] == 2
    with pytest.raises(
        ni.AlignmentError, match=r"no two stamps lie within 0.01 s of each other, the nearest are 0.1 apart"
    ):
        align.match(a, b, tolerance=0.01)


def test_tolerances_that_are_none_are_refused():
    rec = series()
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ni.AlignmentError, match="a number of clock units, 0 or more, is needed"):
            align.match(rec, rec, tolerance=bad)
    trials = ni.recording(np.zeros((3, 2)), modality="fmri", units="1", dims=("trial", "unit"))
    with pytest.raises(ni.AlignmentError, match="match with a tolerance needs a time dim"):
        align.match(trials, trials, tolerance=1.0)
    folded = align.windows(series(20), 5)
    with pytest.raises(ni.AlignmentError, match="'trial' differs: 1 of 4 labels"):
        align.match(folded, folded[:3], tolerance=0.01)


@st.composite
def stamps(draw):
    steps = draw(st.lists(st.floats(0.05, 3.0), min_size=1, max_size=25))
    return draw(st.floats(-2, 2)) + np.cumsum(steps)


@settings(deadline=None, max_examples=60)
@given(stamps(), stamps(), st.floats(0, 1.0))
def test_match_is_symmetric_and_idempotent(one, two, tolerance):
    a, b = at(one), at(two)
    near = np.abs(one[:, None] - two) <= tolerance
    if not near.any() or near.sum(axis=0).max() > 1 or near.sum(axis=1).max() > 1:
        for pair in ((a, b), (b, a)):
            with pytest.raises(ni.AlignmentError):
                align.match(*pair, tolerance=tolerance)
        return
    left, right = align.match(a, b, tolerance=tolerance)
    rows, columns = np.nonzero(near)
    np.testing.assert_array_equal(left.values, a.values[rows])
    np.testing.assert_array_equal(right.values, b.values[columns])
    swapped, back = align.match(b, a, tolerance=tolerance)
    np.testing.assert_array_equal(left.values, back.values)
    np.testing.assert_array_equal(right.values, swapped.values)
    align.match(left, right)
    ni.check(left)
    ni.check(right)
    again, _ = align.match(left, right, tolerance=0)
    xr.testing.assert_identical(again.drop_attrs(), left.drop_attrs())
    assert step(again)["dropped"] == 0


def test_crop_is_half_open_even_where_stamps_are_a_rounding_away():
    rec = series(3000, sampling_rate=None, time=np.arange(3000) * 0.001)
    out = align.crop(rec, 0.3, 1.1)
    assert out.sizes["time"] == 800
    np.testing.assert_array_equal(out.values, rec.values[300:1100])
    assert step(out) == {"start": 0.3, "stop": 1.1, "samples_left_out": 2200}
    tokens = series(10, sampling_rate=None, time=np.arange(10))
    np.testing.assert_array_equal(align.crop(tokens, 3, 5)["time"], [3, 4])
    np.testing.assert_array_equal(align.crop(tokens, stop=2)["time"], [0, 1])
    np.testing.assert_array_equal(align.crop(tokens, 7.5)["time"], [8, 9])


def test_crop_to_nothing_is_refused():
    rec = series()
    with pytest.raises(ni.AlignmentError, match=r"no sample from 5 up to 6 s; the clock runs from 0.0 to 0.9"):
        align.crop(rec, 5, 6)
    with pytest.raises(ni.AlignmentError, match=r"no sample from 0.5 up to 0.5 s"):
        align.crop(rec, 0.5, 0.5)
    with pytest.raises(ni.AlignmentError, match="an edge is not a number"):
        align.crop(rec, np.nan)
    with pytest.raises(ni.AlignmentError, match="crop needs a time dim"):
        align.crop(ni.recording(np.zeros((3, 2)), modality="fmri", units="1", dims=("trial", "unit")), 0, 1)


SEGMENTED = st.tuples(
    st.lists(st.integers(1, 25), min_size=1, max_size=4), st.sampled_from([0.5, 1 / 2.1, 7.3, 1000.0]), st.floats(-9, 9)
)


def segmented(sizes, rate, start):
    total, labels = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    time = start + (np.arange(total) + 3 * labels) / rate
    return series(total, time=time, sampling_rate=rate, coords={"segment": ("time", labels)})


@settings(deadline=None, max_examples=50)
@given(SEGMENTED, st.data())
def test_crop_cuts_between_any_two_stamps(drawn, data):
    rec = segmented(*drawn)
    time = rec["time"].values
    first = data.draw(st.integers(0, time.size - 1))
    last = data.draw(st.integers(first + 1, time.size))
    out = align.crop(rec, time[first], time[last] if last < time.size else None)
    xr.testing.assert_identical(out.drop_attrs(), rec[first:last].drop_attrs())
    once_more = align.crop(out, time[first])
    assert once_more.sizes == out.sizes


@settings(deadline=None, max_examples=50)
@given(SEGMENTED, st.integers(1, 6), st.data())
def test_crop_commutes_with_windows(drawn, length, data):
    rec = segmented(*drawn)
    if length > max(drawn[0]):
        return
    folded = align.windows(rec, length)
    onset, count = folded["onset"].values, folded.sizes["trial"]
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first + 1, count))
    cropped = align.windows(align.crop(rec, onset[first], onset[last] if last < count else None), length)
    np.testing.assert_array_equal(cropped.values, folded.values[first:last])
    np.testing.assert_array_equal(cropped["onset"], onset[first:last])


def test_windows_stay_within_segments_and_say_what_they_left_out():
    rec = series(
        10, coords={"segment": ("time", [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]), "stimulus": ("time", list("aabbccddee"))}
    )
    out = align.windows(rec, 2)
    assert out.dims == ("trial", "time", "unit")
    np.testing.assert_array_equal(out.values[:, 0, 0], [0, 4, 10, 14])
    np.testing.assert_allclose(out["onset"], [0.0, 0.2, 0.5, 0.7])
    np.testing.assert_allclose(out["time"], [0.0, 0.1])
    assert out["stimulus"].dims == ("trial", "time")
    assert out["stimulus"].values.tolist() == [["a", "a"], ["b", "b"], ["c", "d"], ["d", "e"]]
    assert "segment" not in out.coords
    assert out.attrs["history"][-1]["parameters"]["samples_left_out"] == 2
    ni.check(out)
    assert align.windows(rec, 3, step=1).sizes["trial"] == 6
    with pytest.raises(ni.AlignmentError, match="no segment holds a window of 6 samples"):
        align.windows(rec, 6)
    with pytest.raises(ni.AlignmentError, match=r"no sampling_rate; put it on one with align.interpolate"):
        align.windows(at([0.0, 1.0, 3.0]), 2)


def test_lag_never_crosses_a_segment():
    rec = series(5, 1, coords={"segment": ("time", [0, 0, 0, 1, 1]), "region": ("unit", ["V1"])})
    out = align.lag(rec, [0, 1, -1])
    assert out["unit"].values.tolist() == ["u0@0", "u0@1", "u0@-1"]
    assert out["region"].values.tolist() == ["V1"] * 3
    nan = np.nan
    np.testing.assert_array_equal(out.values.T, [[0, 1, 2, 3, 4], [nan, 0, 1, nan, 3], [1, 2, nan, 4, nan]])
    np.testing.assert_array_equal(out["lag"], [0, 1, -1])
    with pytest.raises(ni.AlignmentError, match="at least one lag"):
        align.lag(rec, [])
    with pytest.raises(ni.AlignmentError, match="must be whole numbers of samples"):
        align.lag(rec, [0.5])


@settings(deadline=None, max_examples=60)
@given(SEGMENTED, st.integers(-5, 5))
def test_lag_there_and_back_is_the_recording_where_it_is_known(drawn, delay):
    rec = segmented(*drawn)
    there = align.lag(rec, [delay])
    back = align.lag(there, [-delay])
    known = ~np.isnan(back.values)
    np.testing.assert_array_equal(back.values[known], rec.values[known])
    lost = sum(min(abs(delay), size) for size in drawn[0]) * 2
    assert int((~known).sum()) == lost


def prompts(dtype=np.float64, **coords):
    values = np.arange(9.0)
    coords = {"sequence": ("time", [3, 3, 3, 3, 5, 5, 9, 9, 9])} | coords
    return ni.recording(
        np.stack([values, -values], axis=1).astype(dtype), modality="activations", units="1", time=np.arange(9) + 4,
        sampling_rate=1.0, coords=coords,
    )  # fmt: skip


def test_fold_makes_trials_of_unequal_length_and_says_where_they_end():
    words = np.array(list("abcdefghi"), dtype=object)
    rec = prompts(
        token=("time", words), position=("time", [0, 1, 2, 3, 0, 1, 0, 1, 2]), condition=("time", list("xxxxyyxxx"))
    )
    out = align.fold(rec, "sequence")
    nan = np.nan
    np.testing.assert_array_equal(out.values[:, :, 0], [[0, 1, 2, 3], [4, 5, nan, nan], [6, 7, 8, nan]])
    np.testing.assert_array_equal(out.values[:, :, 1], [[0, -1, -2, -3], [-4, -5, nan, nan], [-6, -7, -8, nan]])
    assert (out["sequence"].values.tolist(), out["onset"].values.tolist()) == ([3, 5, 9], [4, 8, 10])
    assert out["condition"].values.tolist() == list("xyx")
    np.testing.assert_array_equal(out["position"].values, [[0, 1, 2, 3], [0, 1, nan, nan], [0, 1, 2, nan]])
    assert out["time"].values.tolist() == [0, 1, 2, 3]
    assert step(out) == {"by": "sequence", "samples_padded": 3, "dropped_coords": ["token"]}
    ni.check(out)
    whole = align.fold(rec[:4], "sequence")
    assert whole["token"].values.tolist() == [list("abcd")]
    assert align.fold(prompts(dtype=np.float32), "sequence").dtype == np.float32
    assert align.fold(prompts(dtype=np.int64), "sequence").dtype == np.float64


def test_fold_says_which_labels_it_cannot_keep_and_keeps_those_of_segments_as_trials():
    run, trial = ("time", [4, 4, 4, 4, 4, 4, 8, 8, 8]), ("time", [0, 0, 1, 1, 2, 2, 3, 3, 3])
    rec = prompts(segment=run, trial=trial, onset=("time", np.arange(9.0)))
    out = align.fold(rec, "sequence")
    assert step(out)["dropped_coords"] == ["segment", "trial", "onset"]
    assert out["trial"].values.tolist() == [0, 1, 2]
    assert out["onset"].values.tolist() == [4, 8, 10]
    assert align.fold(rec, "segment")["trial"].values.tolist() == [4, 8]
    assert align.fold(rec, "trial")["trial"].values.tolist() == [0, 1, 2, 3]


def test_fold_refuses_what_is_no_trial():
    with pytest.raises(ni.AlignmentError, match="'segment' is no coordinate on time; there are sequence: add it"):
        align.fold(prompts())
    with pytest.raises(ni.AlignmentError, match="samples of word 1 do not follow each other"):
        align.fold(prompts(word=("time", [1, 1, 2, 2, 2, 2, 1, 1, 1])), "word")
    with pytest.raises(ni.AlignmentError, match=r"sequence 3 holds a gap \(another segment begins within it\)"):
        align.fold(prompts(segment=("time", [0, 0, 1, 1, 1, 1, 1, 1, 1])), "sequence")
    with pytest.raises(ni.AlignmentError, match="1 labels of 'word' are missing"):
        align.fold(prompts(word=("time", [1.0, 1, 1, 1, 1, 1, 1, 1, np.nan])), "word")
    with pytest.raises(ni.AlignmentError, match=r"fold needs dims \('time', 'unit'\)"):
        align.fold(align.windows(series(), 5))
    irregular = at([0.0, 1.0, 3.0]).assign_coords(segment=("time", [0, 0, 1]))
    with pytest.raises(ni.AlignmentError, match="fold needs a regular clock"):
        align.fold(irregular)


EVERY = {
    "match": lambda rec: align.match(rec, rec, tolerance=0.01)[1],
    "crop": lambda rec: align.crop(rec, 1.0, 5.0),
    "resample": lambda rec: align.resample(rec, 15.0),
    "interpolate": lambda rec: align.interpolate(rec, 4.0),
    "epoch": lambda rec: align.epoch(rec, [1.0, 3.0], -0.2, 0.5),
    "lag": lambda rec: align.lag(rec, [0, 2]),
    "windows": lambda rec: align.windows(rec, 10),
    "fold": lambda rec: align.fold(rec.assign_coords(part=("time", np.arange(rec.sizes["time"]) // 60)), "part"),
    "concat": lambda rec: align.concat([rec, rec], offset="follow"),
    "stack_subjects": lambda rec: align.stack_subjects({"s1": rec, "s2": rec}),
    "pair": lambda rec: align.pair(rec, align.resample(rec, 2.0)),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_function_keeps_the_contract(name, recordings, tmp_path):
    rec = recordings["calcium"].assign_coords(
        region=("unit", np.array(list("aabbccdd"), dtype=object)), position=("time", np.arange(120))
    )
    rec = rec.assign_coords(segment=("time", np.repeat([0, 1], 60)))
    rec.attrs["history"] = [{"function": "made.up"}]
    before = ni.digest(rec)
    out = EVERY[name](rec)
    assert ni.digest(rec) == before, "the input was modified"
    ni.check(out)
    assert out.attrs["history"][0] == {"function": "made.up"}
    assert out.attrs["history"][-1]["function"] == f"align.{name}"
    assert (out.attrs["modality"], out.attrs["units"]) == ("calcium", "1")
    assert out["region"].values[:8].tolist() == list("aabbccdd")
    assert ni.digest(EVERY[name](rec)) == ni.digest(out), "the same call gave other bytes"
    assert ni.digest(ni.open(ni.save(out, tmp_path / "out.zarr"))) == ni.digest(out)
    assert "position" in out.coords or name == "pair"


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"lag", "stack_subjects"}))
def test_a_recording_without_samples_is_refused(name, recordings):
    with pytest.raises(ni.AlignmentError, match=r"no sample|no segment") as caught:
        EVERY[name](recordings["calcium"][:0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["match", "crop", "epoch", "fold", "concat", "stack_subjects"])
def test_lazy_values_stay_lazy(name, recordings):
    pytest.importorskip("dask")
    rec = recordings["calcium"]
    lazy = rec.chunk(time=50)
    out = EVERY[name](lazy)
    assert out.chunks is not None
    np.testing.assert_array_equal(out.values, EVERY[name](rec).values)
