import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import align


def series(samples=10, units=2, **changes):
    values = np.arange(samples * units, dtype=float).reshape(samples, units)
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 10.0} | changes))


def test_match_joins_exactly_and_counts_what_it_would_lose():
    a = series(3000, sampling_rate=1000.0)
    b = a.assign_coords(time=("time", np.arange(3000) * 0.001, {"units": "s"}))
    assert align.match(a, a)[1].identical(a)
    with pytest.raises(ni.AlignmentError, match=r"399 of 3000 labels of the first and 399 of 3000 of the second"):
        align.match(a, b)
    with pytest.raises(ni.AlignmentError, match="sample dims differ"):
        align.match(a, align.windows(a, 10))
    with pytest.raises(ni.AlignmentError, match="clocks differ: 's' and 'frame'"):
        align.match(a, series(3000, sampling_rate=None, time=np.arange(3000)))


def test_windows_stay_within_segments_and_say_what_they_left_out():
    rec = series(10, coords={"segment": ("time", [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])})
    out = align.windows(rec, 2)
    assert out.dims == ("trial", "time", "unit")
    np.testing.assert_array_equal(out.values[:, 0, 0], [0, 4, 10, 14])
    np.testing.assert_allclose(out["onset"], [0.0, 0.2, 0.5, 0.7])
    np.testing.assert_allclose(out["time"], [0.0, 0.1])
    assert out.attrs["history"][-1]["parameters"]["samples_left_out"] == 2
    ni.check(out)
    assert align.windows(rec, 3, step=1).sizes["trial"] == 6
    with pytest.raises(ni.AlignmentError, match="no segment holds a window of 6 samples"):
        align.windows(rec, 6)


def test_lag_never_crosses_a_segment():
    rec = series(5, 1, coords={"segment": ("time", [0, 0, 0, 1, 1])})
    out = align.lag(rec, [0, 1, -1])
    assert out["unit"].values.tolist() == ["u0@0", "u0@1", "u0@-1"]
    nan = np.nan
    np.testing.assert_array_equal(out.values.T, [[0, 1, 2, 3, 4], [nan, 0, 1, nan, 3], [1, 2, nan, 4, nan]])
    np.testing.assert_array_equal(out["lag"], [0, 1, -1])
    with pytest.raises(ni.AlignmentError, match="at least one lag"):
        align.lag(rec, [])


def test_an_event_on_an_edge_belongs_to_the_bin_that_begins_there():
    times = np.arange(1, 10) * 0.1
    counts = align.bin_events({"a": times}, bin_width=0.1, start=0.0, stop=1.0)
    assert counts.values.ravel().tolist() == [0, *[1] * 9]
    assert counts.attrs["sampling_rate"] == pytest.approx(10.0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-5, 20, allow_nan=False), max_size=40),
    st.floats(0.01, 3),
    st.floats(-2, 2),
    st.floats(0.5, 10),
)
def test_counts_are_conserved(times, width, start, length):
    rec = align.bin_events({"a": times, "b": []}, bin_width=width, start=start, stop=start + length)
    step = rec.attrs["history"][-1]["parameters"]
    assert int(rec.sum()) + step["events_outside"] == len(times)
    assert step["stop"] >= start + length - 1e-9


def test_events_that_cannot_be_binned_are_refused():
    with pytest.raises(ni.AlignmentError, match="bin_width is 0"):
        align.bin_events({"a": [1.0]}, bin_width=0)
    with pytest.raises(ni.AlignmentError, match="no units"):
        align.bin_events({}, bin_width=1.0)
    with pytest.raises(ni.AlignmentError, match="'a' has event times that are not finite"):
        align.bin_events({"a": [np.nan]}, bin_width=1.0)
    with pytest.raises(ni.AlignmentError, match="holds no bin"):
        align.bin_events({"a": [1.0]}, bin_width=1.0, start=3.0, stop=3.0)
