"""Changing the rate: polyphase on regular clocks, lines on irregular ones."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

import neurointerp as ni
from neurointerp import align

REACH = 32  # samples of the slower clock that the filter reaches


def build(values, **changes):
    values = np.asarray(values, dtype=changes.pop("dtype", np.float64))
    values = values[:, None] if values.ndim == 1 else values
    return ni.recording(values, **({"modality": "eeg", "units": "V"} | changes))


def tones(time, top, rng, count=6):
    frequency, phase = rng.uniform(0, top, count), rng.uniform(0, 2 * np.pi, count)
    return np.sin(2 * np.pi * frequency * time[:, None] + phase).sum(axis=1)


@pytest.mark.parametrize(("old", "new"), [(100, 25), (200, 150), (44.1, 48.0), (1 / 2.1, 1.0), (24414.0625, 1000.0)])
def test_a_band_limited_signal_is_read_off_between_its_samples(old, new):
    slower = min(old, new)
    time = 12.5 + np.arange(int(300 * max(1, old / new))) / old
    signals = tones(time, 0.84 * slower / 2, np.random.default_rng(1))
    out = align.resample(build(signals + 1e4, time=time, sampling_rate=old), new)
    np.testing.assert_array_equal(out["time"], 12.5 + np.arange(out.sizes["time"]) / new)
    assert out["time"].values[-1] <= time[-1] < out["time"].values[-1] + 1 / new
    assert out.attrs["sampling_rate"] == new
    expected = tones(out["time"].values, 0.84 * slower / 2, np.random.default_rng(1)) + 1e4
    inner = slice(int(REACH * new / slower) + 1, -int(REACH * new / slower) - 1)
    assert np.abs(out.values[inner, 0] - expected[inner]).max() < 2e-3


@pytest.mark.parametrize(("old", "new"), [(1000.0, 250.0), (200.0, 30.0), (512.0, 100.0)])
def test_what_the_new_clock_cannot_carry_is_removed_not_folded(old, new):
    time = np.arange(4000) / old
    for times_nyquist in (1.0, 1.05, 1.5):
        rec = build(np.sin(2 * np.pi * times_nyquist * new / 2 * time + 0.3), sampling_rate=old)
        out = align.resample(rec, new).values[2 * REACH : -2 * REACH]
        assert np.abs(out).max() < 2e-4, "80 dB"
    decimated = rec.values[:: round(old / new)]
    assert np.abs(decimated).max() > 0.5, "without a filter it folds"


def test_it_agrees_with_the_fourier_method_on_a_periodic_signal():
    time = np.arange(600) / 100
    values = np.sin(2 * np.pi * 5 * time) + 0.5 * np.cos(2 * np.pi * 2 * time)
    out = align.resample(build(values, sampling_rate=100.0), 40.0).values.ravel()
    np.testing.assert_allclose(out[REACH:-REACH], signal.resample(values, 240)[REACH:-REACH], atol=2e-4)
    bare = signal.resample_poly(values, 2, 5)
    np.testing.assert_allclose(out[REACH:-REACH], bare[REACH:-REACH], atol=1e-2)


@settings(deadline=None, max_examples=30)
@given(
    old=st.sampled_from([0.5, 100.0, 250.0, 30_000.0]),
    ratio=st.sampled_from([0.25, 0.4, 2 / 3, 1.0, 1.5, 2.0, 5.0]),
    sizes=st.lists(st.integers(300, 500), min_size=1, max_size=3),
    seed=st.integers(0, 2**16),
)
def test_there_and_back(old, ratio, sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    time = (np.arange(labels.size) + 2.5 * labels) / old
    values = tones(time, 0.8 * old * min(ratio, 1) / 2, np.random.default_rng(seed))
    rec = build(values, time=time, sampling_rate=old, coords={"segment": ("time", labels)})
    back = align.resample(align.resample(rec, old * ratio), old)
    for label in range(len(sizes)):
        here, there = rec[labels == label], back[back["segment"].values == label]
        lost = here.sizes["time"] - there.sizes["time"]
        assert 0 <= lost < 1 / ratio + 1
        np.testing.assert_allclose(there["time"], here["time"][: there.sizes["time"]], atol=1e-9 / old + 1e-12)
        inner = slice(int(2 * REACH / min(ratio, 1)), -int(2 * REACH / min(ratio, 1)) - 1)
        difference = np.abs(there.values - here.values[: there.sizes["time"]])[inner]
        assert difference.size == 0 or difference.max() < 5e-3


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(1, 40),
    ratio=st.sampled_from([1 / 7, 0.5, 1.0, 1.6, 3.0]),
    slope=st.floats(-10, 10),
    level=st.floats(-1e5, 1e5),
)
def test_constants_and_lines_stay_however_short_the_segment(size, ratio, slope, level):
    rec = build(level + slope * np.arange(size) / 10, sampling_rate=10.0)
    out = align.resample(rec, 10.0 * ratio)
    expected = level + slope * out["time"].values
    np.testing.assert_allclose(out.values.ravel(), expected, atol=2e-3 * abs(slope) + 1e-9 * abs(level) + 1e-12)


def test_trials_further_dims_and_labels_are_kept():
    rng = np.random.default_rng(0)
    rec = ni.recording(
        rng.standard_normal((2, 3, 60, 4)).astype(np.float32),
        modality="eeg",
        units="uV",
        sampling_rate=20.0,
        dims=("subject", "trial", "time", "unit"),
        coords={
            "condition": ("trial", ["a", "b", "a"]),
            "position": ("time", np.arange(60)),
            "x": ("unit", np.ones(4)),
        },
    )
    out = align.resample(rec, 10.0)
    assert out.dims == rec.dims
    assert out.dtype == np.float32
    assert out.sizes["time"] == 30
    assert out.attrs["units"] == "uV"
    np.testing.assert_array_equal(out["position"], np.arange(0, 60, 2))
    assert out["condition"].values.tolist() == ["a", "b", "a"]
    one = align.resample(rec[1, 2], 10.0)
    np.testing.assert_allclose(out.values[1, 2], one.values, atol=1e-6)
    again = align.resample(rec, 40.0)
    np.testing.assert_array_equal(again["position"], np.arange(119) // 2)
    np.testing.assert_array_equal(align.resample(rec, 20.0).values, rec.values)


def test_what_cannot_be_resampled_is_refused_with_the_remedy():
    values = np.arange(20.0)
    rec = build(values, sampling_rate=10.0)
    missing = rec.copy(data=np.where(values > 16, np.nan, values)[:, None])
    cases = [
        (missing, 5.0, r"3 of 20 values are missing, .* use align.interpolate"),
        (build(values, time=values**1.5), 5.0, r"no sampling_rate; put it on one with align.interpolate"),
        (build(values, time=np.arange(20)), 0.5, "resample needs a clock in seconds, this one counts 'frame'"),
        (build(values, sampling_rate=10.0, modality="spikes", dtype=np.int64), 5.0, "bin the events anew with"),
        (rec, 0.0, "rate is 0.0: a number of samples per second above 0"),
        (rec, np.nan, "rate is nan"),
        (rec, 10 / np.pi, r"no ratio of whole numbers.* from 10 Hz to 3.1830988618.* Hz is the nearest"),
        (rec, 1e-6, "is a factor of more than 100000; go there in two steps"),
    ]
    for bad, rate, message in cases:
        with pytest.raises(ni.AlignmentError, match=message):
            align.resample(bad, rate)


def test_the_nearest_rate_that_is_offered_works():
    rec = build(np.arange(20.0), sampling_rate=10.0)
    for rate in (10 / np.pi, 10 * np.pi):
        with pytest.raises(ni.AlignmentError) as caught:
            align.resample(rec, rate)
        near = float(str(caught.value).split("rate nearby (")[1].split(" Hz")[0])
        assert near == pytest.approx(rate, rel=1e-5)
        align.resample(rec, near)


def worm_clock(median, rng, samples=700):
    return 3.7 + np.cumsum(median * rng.uniform(0.7, 1.3, samples))


@pytest.mark.parametrize("target", [0.2, 1 / 3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("median", [0.25, 0.45, 0.7])
def test_jittered_clocks_are_put_on_a_regular_one(median, target):
    """What homogenised worms need: the error, twice better than the nearest sample, and the clock."""
    rng = np.random.default_rng(7)
    time = worm_clock(median, rng)
    frequency, phase = rng.uniform(0.01, 0.1, (8, 5)), rng.uniform(0, 6, (8, 5))

    def truth(at):
        return np.sin(2 * np.pi * frequency * at[:, None, None] + phase).sum(axis=1)

    rec = build(truth(time), time=time, modality="calcium", units="1")
    out = align.interpolate(rec, 1 / target)
    produced = out["time"].values
    np.testing.assert_allclose(produced, time[0] + np.arange(produced.size) * target, atol=1e-6)
    np.testing.assert_allclose(np.diff(produced), target, atol=1e-9)
    assert out.attrs["sampling_rate"] == pytest.approx(1 / target)
    assert produced[-1] <= time[-1] < produced[-1] + target
    expected = truth(produced)
    nearest = rec.values[np.abs(time[:, None] - produced).argmin(axis=0)]

    def error(values):
        return np.sqrt(np.mean((values - expected) ** 2)) / expected.std()

    assert error(out.values) <= 0.05
    assert error(nearest) >= 2 * error(out.values)


def test_the_dense_case_is_the_mean_of_the_line_about_each_stamp():
    rng = np.random.default_rng(0)
    time = np.cumsum(rng.uniform(0.05, 0.2, 200))
    rec = build(rng.standard_normal((200, 2)), time=time)
    out = align.interpolate(rec, 1.0)
    fine = np.linspace(-0.5, 0.5, 20_001)
    for i in (1, 5, out.sizes["time"] - 3):
        at = out["time"].values[i]
        expected = [np.interp(at + fine, time, rec.values[:, u]).mean() for u in range(2)]
        np.testing.assert_allclose(out.values[i], expected, atol=2e-4)
    np.testing.assert_array_equal(out.values[0], rec.values[0])
    assert out.attrs["history"][-1]["parameters"]["rule"] == "mean of the line over a step"


def test_the_sparse_case_is_numpys_line():
    rng = np.random.default_rng(0)
    time = np.cumsum(rng.uniform(0.5, 1.5, 100))
    rec = build(rng.standard_normal(100), time=time)
    out = align.interpolate(rec, 3.0)
    np.testing.assert_allclose(out.values.ravel(), np.interp(out["time"], time, rec.values.ravel()), atol=1e-12)


@pytest.mark.parametrize("rate", [0.4, 4.0])
def test_missing_values_and_segments_are_honoured(rate):
    time = np.concatenate([np.arange(20.0), 100 + np.arange(20.0)])
    values = np.stack([time, np.where((time > 4.5) & (time < 6.5), np.nan, time)], axis=1)
    rec = build(values, time=time, coords={"segment": ("time", np.repeat([3, 8], 20))})
    out = align.interpolate(rec, rate)
    assert not np.isnan(out.values[:, 0]).any()
    assert set(out["segment"].values) == {3, 8}
    assert (out["time"].values[out["segment"] == 8] >= 100).all()
    np.testing.assert_allclose(out.values[:, 0], out["time"], atol=1e-9)
    reach = 0.5 / rate if rate < 1 else 0.0
    touched = (out["time"] > 4 - reach) & (out["time"] < 7 + reach)
    np.testing.assert_array_equal(np.isnan(out.values[:, 1]), touched)


def test_gaps_and_clocks_that_cannot_be_bridged_are_refused():
    rec = build(np.arange(4.0), time=[0.0, 1.0, 9.0, 10.0])
    assert align.interpolate(rec, 1.0).attrs["history"][-1]["parameters"]["longest_step"] == 8.0
    with pytest.raises(ni.AlignmentError, match=r"1 steps are longer than max_gap=2 s, the longest 8 s; begin a new"):
        align.interpolate(rec, 1.0, max_gap=2.0)
    with pytest.raises(ni.AlignmentError, match="interpolate needs a clock in seconds"):
        align.interpolate(build(np.arange(4.0), time=np.arange(4)), 1.0)
    with pytest.raises(ni.AlignmentError, match="rate is -1"):
        align.interpolate(rec, -1)
    single = build([5.0], time=[2.0])
    np.testing.assert_array_equal(align.interpolate(single, 10.0).values, [[5.0]])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.1, 2.0), min_size=2, max_size=60), st.floats(0.2, 20.0), st.floats(-5, 5))
def test_interpolation_of_a_line_is_the_line_at_any_rate(steps, rate, slope):
    time = np.cumsum(steps)
    out = align.interpolate(build(3 + slope * time, time=time), rate)
    np.testing.assert_allclose(out.values.ravel(), 3 + slope * out["time"].values, atol=1e-9 * (1 + abs(slope)))
    ni.check(out)


def test_a_real_irregular_worm_recording(mirror):
    frames = json.loads((mirror / "calcium/wormwideweb_json/time_trace.json").read_text())
    time, values = np.array([f[0] for f in frames]), np.array([f[1] for f in frames])
    rec = build(values, time=time, modality="calcium", units="1")
    with pytest.raises(ni.AlignmentError, match="no sampling_rate"):
        align.resample(rec, 3.0)
    out = align.interpolate(rec, 3.0)
    np.testing.assert_array_equal(out["time"], time[0] + np.arange(out.sizes["time"]) / 3.0)
    expected = [np.interp(out["time"], time, column) for column in values.T[:5]]
    np.testing.assert_allclose(out.values[:, :5].T, expected, atol=1e-9)
    assert all(a < b for a, b in pairwise(out["time"].values))


@pytest.mark.parametrize(
    ("samples", "chunk", "old", "new", "second"),
    [
        (5000, 700, 1000.0, 250.0, None),
        (5000, 333, 1000.0, 300.0, 1777),
        (3000, 50, 100.0, 250.0, None),  # chunks shorter than the filter reaches
        (4000, 1000, 512.0, 200.0, 3990),  # a segment shorter than that
        (900, 10, 100.0, 30.0, 899),  # of one sample
        (2000, 300, 100.0, 100.0, 700),
    ],
)
def test_a_chunked_recording_is_resampled_by_block_to_the_same_values(samples, chunk, old, new, second, tmp_path):
    pytest.importorskip("dask")
    values = np.random.default_rng(0).standard_normal((samples, 3)).cumsum(axis=0) + 100
    segment = (np.arange(samples) >= (second or 0)).astype(int)
    whole = build(values, sampling_rate=old, coords={"segment": ("time", segment)})
    wanted, found = align.resample(whole, new), align.resample(whole.chunk({"time": chunk, "unit": 2}), new)
    assert found.chunks
    assert wanted.chunks is None
    ni.check(found)
    np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=1e-11)
    assert found.drop_attrs().coords.equals(wanted.coords)
    assert found.attrs == wanted.attrs
    ni.save(found, tmp_path / "even.zarr")
    narrow = align.resample(whole.astype(np.float32).assign_attrs(whole.attrs).chunk({"time": chunk}), new)
    assert narrow.dtype == narrow.values.dtype == np.float32
    holes = whole.copy(deep=True)
    holes[samples // 2, 1] = np.nan
    with pytest.raises(ni.AlignmentError, match=f"resample: 1 of {3 * samples} values are missing"):
        align.resample(holes.chunk({"time": chunk}), new)


def test_chunked_trials_are_resampled_each_by_itself():
    pytest.importorskip("dask")
    values = np.random.default_rng(0).standard_normal((7, 400, 2))
    trials = build(values, sampling_rate=100.0, dims=("trial", "time", "unit"))
    wanted = align.resample(trials, 40.0)
    for chunks in ({"trial": 3}, {"trial": 2, "time": 90}):
        found = align.resample(trials.chunk(chunks), 40.0)
        np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=1e-12)


def test_blocks_hold_no_fewer_values_than_the_filter_has_taps():
    pytest.importorskip("dask")
    values = np.random.default_rng(0).standard_normal((3000, 64))
    whole = ni.recording(values, modality="eeg", units="V", sampling_rate=1000.0)
    for units, blocks in ((1, 1), (64, 3)):  # 64,001 taps: of one unit more than there are values
        some = whole[:, :units]
        lazy = some.chunk({"time": 100})
        found = align.resample(lazy, 999.0)
        assert len(found.chunks[0]) == blocks
        assert found.data.name == align.resample(lazy, 999.0).data.name != align.resample(lazy, 998.0).data.name
        np.testing.assert_allclose(found.values, align.resample(some, 999.0).values, rtol=0, atol=1e-12)
