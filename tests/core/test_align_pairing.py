"""A fast clock and a slow one, side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import align

TR = 2.1


def fast(samples, rate=200.0, **changes):
    values = np.random.default_rng(0).standard_normal((samples, 2))
    arguments = {"modality": "eeg", "units": "V", "sampling_rate": rate} | changes
    return ni.recording(arguments.pop("values", values), **arguments)


def slow(samples, rate=1 / TR, **changes):
    return ni.recording(np.zeros((samples, 1)), **({"modality": "fmri", "units": "1", "sampling_rate": rate} | changes))


def step(rec):
    return rec.attrs["history"][-1]["parameters"]


def test_an_eeg_at_200_hz_comes_to_a_tr_of_2_1_s():
    eeg, bold = fast(42_000), slow(100, coords={"stimulus": ("time", ["s"] * 100)})
    tree = ni.session({"eeg": eeg, "bold": bold})
    out = align.pair(tree["recordings/eeg/recording"], tree["recordings/bold/recording"])
    np.testing.assert_array_equal(out["fast_samples"], np.full(100, 420))
    expected = eeg.values.reshape(100, 420, 2).mean(axis=1)
    np.testing.assert_allclose(out.values, expected, atol=1e-12)
    align.match(out, bold)
    np.testing.assert_array_equal(out["time"], bold["time"])
    assert (out.attrs["modality"], out.attrs["units"], out.attrs["sampling_rate"]) == ("eeg", "V", 1 / TR)
    assert out["stimulus"].values.tolist() == ["s"] * 100
    assert out["unit"].values.tolist() == eeg["unit"].values.tolist()
    assert step(out)["window"] == [0.0, pytest.approx(TR)]
    ni.check(out)


def test_the_window_is_explicit_and_may_overlap_or_look_back():
    rec = fast(10, 1.0, values=np.arange(10.0)[:, None])
    clock = slow(3, 0.5)
    assert align.pair(rec, clock, window=(-1.0, 2.0)).values.ravel().tolist() == [0.5, 2.0, 4.0]
    assert align.pair(rec, clock, window=(0.0, 4.0), how="sum").values.ravel().tolist() == [6.0, 14.0, 22.0]
    assert align.pair(rec, clock, how="min").values.ravel().tolist() == [0.0, 2.0, 4.0]
    assert align.pair(rec, clock, how="max").values.ravel().tolist() == [1.0, 3.0, 5.0]
    irregular = slow(3, None, time=[0.0, 1.0, 5.0])
    with pytest.raises(ni.AlignmentError, match=r"irregular, so say which window=\(from, to\)"):
        align.pair(rec, irregular)
    assert align.pair(rec, irregular, window=(0, 1)).values.ravel().tolist() == [0.0, 1.0, 5.0]


def test_windows_without_samples_or_across_segments_are_nan_and_counted():
    time = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 13.0])
    rec = fast(7, 1.0, values=np.arange(7.0)[:, None], time=time, coords={"segment": ("time", [0, 0, 0, 1, 1, 1, 1])})
    out = align.pair(rec, slow(5, 0.25), window=(0.0, 4.0))
    np.testing.assert_array_equal(out.values.ravel(), [1.0, np.nan, 3.5, 5.5, np.nan])
    np.testing.assert_array_equal(out["fast_samples"], [3, 0, 2, 2, 0])
    assert step(out)["windows_without_samples"] == 2
    assert step(out)["windows_across_segments"] == 0
    crossing = align.pair(rec, slow(3, 1 / 8.5), window=(0.0, 11.0))
    np.testing.assert_array_equal(np.isnan(crossing.values.ravel()), [True, False, True])
    assert step(crossing)["windows_across_segments"] == 1


@pytest.mark.parametrize("how", ["mean", "sum", "min", "max"])
def test_missing_values_are_left_out_and_only_all_missing_is_missing(how):
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 5.0], [4.0, np.nan]])
    out = align.pair(fast(4, 2.0, values=values), slow(2, 1.0), how=how)
    expected = {"mean": [[1, np.nan], [3.5, 5]], "sum": [[1, np.nan], [7, 5]], "min": [[1, np.nan], [3, 5]],
                "max": [[1, np.nan], [4, 5]]}  # fmt: skip
    np.testing.assert_array_equal(out.values, expected[how])


def test_pairs_that_are_none_are_refused():
    rec, clock = fast(10), slow(3)
    cases = [
        ((rec, slow(3, None, time=np.arange(3))), {}, "clocks differ: 's' and 'frame'"),
        ((align.windows(rec, 5), clock), {}, "needs recordings without trials"),
        ((rec, clock), {"how": "median"}, "how is 'median': one of mean, sum, min, max"),
        ((rec, clock), {"window": (1.0, 1.0)}, "the window from 1.0 to 1.0 is empty"),
        ((rec, slow(3, time=100 + np.arange(3) * TR)), {}, "do both clocks begin at the same moment"),
    ]
    for pair, options, message in cases:
        with pytest.raises(ni.AlignmentError, match=message):
            align.pair(*pair, **options)


def test_counts_of_tokens_pair_with_a_slower_count():
    tokens = fast(12, None, values=np.arange(12)[:, None], modality="activations", units="1", time=np.arange(12))
    sentences = slow(3, None, modality="activations", time=np.array([0, 4, 8]))
    out = align.pair(tokens, sentences, how="sum")
    assert out.values.ravel().tolist() == [6.0, 22.0, 38.0]
    assert out["time"].dtype == np.int64


def test_a_subject_dim_and_others_pass_through():
    values = np.random.default_rng(0).standard_normal((3, 40, 2, 5)).astype(np.float32)
    rec = fast(0, 4.0, values=values, dims=("subject", "time", "row", "unit"))
    out = align.pair(rec, slow(10, 1.0))
    assert out.dims == rec.dims
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.values, values.reshape(3, 10, 4, 2, 5).mean(axis=2), atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    fast_rate=st.sampled_from([10.0, 24.7, 200.0, 512.0]),
    period=st.sampled_from([0.1, 0.72, 1.0, 2.1]),
    start=st.floats(-3, 3),
    samples=st.integers(50, 1500),
    count=st.integers(1, 40),
)
def test_every_fast_sample_is_counted_in_one_window(fast_rate, period, start, samples, count):
    """Windows that tile the clock conserve counts, and their means stay within the values."""
    rec = fast(samples, fast_rate, values=np.ones((samples, 1)), time=start + np.arange(samples) / fast_rate)
    clock = slow(count, 1 / period)
    edges = np.arange(count + 1) * period
    time = rec["time"].values
    near = np.abs(time[:, None] - edges).min(axis=1) < 1e-9
    inside = (time >= 0) & (time < edges[-1])
    try:
        out = align.pair(rec, clock, how="sum")
    except ni.AlignmentError:
        assert inside[~near].sum() == 0
        return
    assert abs(np.nansum(out.values) - inside.sum()) <= (near & ((np.abs(time) < 1e-9) | (time > edges[-2]))).sum()
    np.testing.assert_array_equal(np.nan_to_num(out.values.ravel()), out["fast_samples"])
    means = align.pair(rec, clock).values
    assert np.isin(means[~np.isnan(means)], [1.0]).all()
