"""The clock: float64 seconds or int64 counts, built without summing, checked against its rate, cut at gaps."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import align
from neurointerp.schema import segment_bounds

HOUR = 3600.0
RATES = st.sampled_from([0.1, 1 / 2.1, 0.5, 1.0, 2.9, 3.0, 7.3, 100.0, 160.0, 512.0, 1000.0, 24414.0625, 30_000.0])


def build(samples, **changes):
    return ni.recording(np.zeros((samples, 1)), **({"modality": "ieeg", "units": "V"} | changes))


def test_an_hour_at_30_khz_in_float32_collapses_and_is_refused():
    exact = HOUR + np.arange(200_000) / 30_000
    coarse = exact.astype(np.float32)
    assert np.unique(coarse).size == 27_308
    with pytest.raises(ni.RecordingError, match="time has dtype float32, too coarse for a clock; build it in float64"):
        build(200_000, time=coarse)
    with pytest.raises(ni.RecordingError, match=r"increase strictly: stamp 1 .* follows"):
        build(200_000, time=coarse.astype(np.float64))
    with pytest.raises(ni.RecordingError, match="time has dtype float32: float64 seconds or int64 counts are needed"):
        ni.check(build(4, sampling_rate=1.0).assign_coords(time=("time", np.arange(4, dtype="f4"), {"units": "s"})))
    rec = build(200_000, time=exact)
    assert np.unique(rec["time"]).size == 200_000
    assert rec.attrs["sampling_rate"] == pytest.approx(30_000, rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(rate=RATES, samples=st.integers(1, 5000))
def test_a_clock_is_within_rounding_of_the_exact_one(rate, samples):
    time = build(samples, sampling_rate=rate)["time"].values
    exact = [float(Fraction(i) / Fraction(rate)) for i in (0, samples // 2, samples - 1)]
    np.testing.assert_array_equal(time[[0, samples // 2, samples - 1]], exact)


@settings(deadline=None, max_examples=50)
@given(rate=RATES, start=st.floats(-1e5, 1e5), samples=st.integers(2, 2000), to=st.sampled_from([0.5, 1.0, 2.0, 3.0]))
def test_every_function_that_makes_a_clock_counts_from_its_start(rate, start, samples, to):
    rec = build(samples, time=start + np.arange(samples) / rate, sampling_rate=rate)
    out = align.resample(rec, rate * to)
    time = rec["time"].values[0] + np.arange(out.sizes["time"]) / (rate * to)
    np.testing.assert_array_equal(out["time"].values, time)
    np.testing.assert_array_equal(align.windows(rec, samples)["time"].values, np.arange(samples) / rate)
    ni.check(out)


def test_a_summed_clock_drifts_from_its_rate_and_a_wrong_rate_is_refused():
    time = np.arange(3_600_000) / 1000
    with pytest.raises(ni.RecordingError, match="sampling_rate 1000 disagrees with time"):
        build(time.size, time=time * (1 + 1e-8), sampling_rate=1000.0)
    build(time.size, time=time, sampling_rate=1000.0)
    with pytest.raises(ni.RecordingError, match="leave sampling_rate out if the clock is irregular"):
        build(4, time=[0.0, 1.0, 2.0, 4.0], sampling_rate=1.0)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (np.array([0.0, 0.2, 0.1]), r"must increase strictly: stamp 2 \(0.1\) follows 0.2"),
        (np.array([0.0, 0.1, 0.1]), r"must increase strictly: stamp 2 \(0.1\) follows 0.1"),
        (np.array([3, 2, 1]), r"must increase strictly: stamp 1 \(2\) follows 3"),
        (np.array([0.0, np.nan, 1.0]), "time has 1 stamps that are not finite"),
        (np.array([0.0, 1.0, np.inf]), "time has 1 stamps that are not finite"),
        (np.array([1, 2, 2**63 + 5], dtype=np.uint64), "counts beyond int64"),
        (np.arange(3).astype("datetime64[ms]"), "time has dtype datetime64"),
        (("time", np.arange(3), {"units": "s"}), "time of dtype int64 has units 's': one of token"),
        (("time", np.arange(3.0), {"units": "ms"}), "time of dtype float64 has units 'ms': one of s is needed"),
    ],
)
def test_clocks_that_are_none_are_refused_at_construction(time, message):
    with pytest.raises(ni.RecordingError, match=message):
        build(3, time=time)


def test_a_clock_without_stamps_is_one():
    for rec in (build(0, sampling_rate=10.0), build(0, time=np.arange(0)), build(5, sampling_rate=10.0)[:0]):
        ni.check(rec)
        assert rec["time"].size == 0


def test_a_gap_is_a_segment_or_an_irregular_clock_never_silent():
    time = np.array([0.0, 0.1, 0.2, 5.0, 5.1])
    assert "sampling_rate" not in build(5, time=time).attrs
    with pytest.raises(ni.RecordingError, match="disagrees with time"):
        build(5, time=time, sampling_rate=10.0)
    rec = build(5, time=time, sampling_rate=10.0, coords={"segment": ("time", [0, 0, 0, 1, 1])})
    assert segment_bounds(rec) == [(0, 3), (3, 5)]


SEGMENTS = st.lists(st.integers(2, 30), min_size=2, max_size=4)


@settings(deadline=None, max_examples=40)
@given(sizes=SEGMENTS, seed=st.integers(0, 2**16))
def test_nothing_that_looks_along_time_sees_across_a_segment(sizes, seed):
    """Change every value outside a segment: what is computed inside it stays."""
    rng = np.random.default_rng(seed)
    total, labels = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    time = np.arange(total) / 10 + labels * 7.0
    values = rng.standard_normal((total, 2))
    rec = ni.recording(
        values, modality="eeg", units="V", time=time, sampling_rate=10.0, coords={"segment": ("time", labels)}
    )
    chosen = int(rng.integers(len(sizes)))
    other = rec.copy(data=np.where((labels == chosen)[:, None], values, 1e3 * rng.standard_normal(values.shape)))
    step = ni.recording(np.zeros((total * 2, 1)), modality="fmri", units="1", sampling_rate=2.0)
    functions = {
        "resample": lambda r: align.resample(r, 15.0),
        "interpolate": lambda r: align.interpolate(r, 4.0),
        "lag": lambda r: align.lag(r, [2, -1]),
        "shift": lambda r: ni.surrogate.circular_shift(r, seed=seed),
    }
    for name, function in functions.items():
        one, two = function(rec), function(other)
        inside = one["segment"].values == chosen
        np.testing.assert_array_equal(one.values[inside], two.values[inside], err_msg=name)
    begin, end = time[labels == chosen][[0, -1]]
    for one, two in ((align.windows(rec, 2), align.windows(other, 2)),):
        inside = (one["onset"] >= begin) & (one["onset"] <= end)
        np.testing.assert_array_equal(one.values[inside], two.values[inside])
    one, two = align.pair(rec, step, window=(0.0, 1.0)), align.pair(other, step, window=(0.0, 1.0))
    within = (step["time"] >= begin - 1) & (step["time"] <= end)
    np.testing.assert_array_equal(one.values[within], two.values[within])
