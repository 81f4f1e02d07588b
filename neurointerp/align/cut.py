"""Cutting a recording along its clock."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.align._clock import Clock, clock_of, clock_units, first_at, rate_of
from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history
from neurointerp.schema import check, segment_bounds


def crop(recording: xr.DataArray, start: float | None = None, stop: float | None = None) -> xr.DataArray:
    """Keep the samples of a stretch of the clock, `start <= time < stop`.

    Parameters
    ----------
    recording
        Recording with a `time` dim. Lazy values stay lazy.
    start, stop
        Ends of the stretch (clock units); None leaves that end as it is. A stamp that lies on an edge but for
        rounding (4 units in the last place of the clock's largest stamp) lies on it.

    Returns
    -------
    xarray.DataArray
        The samples, with all their labels; `history` says how many were left out.

    Raises
    ------
    AlignmentError
        When there is no `time` dim or no sample in the stretch.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((10, 2)), modality="eeg", units="V", sampling_rate=10.0)
    >>> ni.align.crop(rec, 0.2, 0.5).time.values
    array([0.2, 0.3, 0.4])
    """
    clock = clock_of(recording, "crop")
    if any(edge is not None and math.isnan(edge) for edge in (start, stop)):
        raise AlignmentError(f"crop from {start} to {stop}: an edge is not a number")
    first = 0 if start is None else int(first_at(clock, start))
    last = clock.size if stop is None else int(first_at(clock, stop))
    if first >= last:
        raise AlignmentError(
            f"crop: no sample from {start} up to {stop} {clock_units(recording)}; "
            f"the clock runs from {clock[0]} to {clock[-1]}"
        )
    out = recording.isel(time=slice(first, last))
    left = clock.size - (last - first)
    return add_history(out, "align.crop", start=start, stop=stop, samples_left_out=left)


def windows(recording: xr.DataArray, length: int, *, step: int | None = None) -> xr.DataArray:
    """Cut a continuous recording into windows of equal length, within segments.

    Parameters
    ----------
    recording
        (time, unit).
    length, step
        Samples in a window, and from one window's start to the next's (default: `length`, no overlap).

    Returns
    -------
    xarray.DataArray
        (trial, time, unit): `time` is counted from each window's start in the recording's clock units, the
        coordinate `onset` on `trial` is where the window began; coordinates on `time` become (trial, time),
        save `segment`. Samples at the end of a segment that fill no window are left out; `history` says how
        many.

    Raises
    ------
    AlignmentError
        When the recording is not continuous, irregular, or no segment holds one window.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((10, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.align.windows(rec, 4).sizes["trial"]
    2
    """
    check(recording)
    step = length if step is None else step
    if recording.dims != ("time", "unit"):
        raise AlignmentError(f"windows needs dims ('time', 'unit'), found {recording.dims}")
    if length < 1 or step < 1:
        raise AlignmentError(f"window length {length} and step {step} must be at least 1 sample")
    starts = [s for a, b in segment_bounds(recording) for s in range(a, b - length + 1, step)]
    if not starts:
        raise AlignmentError(f"no segment holds a window of {length} samples; use a shorter length")
    index = np.asarray(starts)[:, None] + np.arange(length)
    onset = ("trial", recording["time"].values[starts], dict(recording["time"].attrs))
    clock = _window_clock(recording, recording["time"].values, length)
    out = folded(recording, index, clock).assign_coords(onset=onset)
    left = recording.sizes["time"] - np.unique(index).size
    return add_history(out, "align.windows", length=length, step=step, samples_left_out=int(left))


def folded(recording: xr.DataArray, index: np.ndarray, clock: tuple[Any, ...]) -> xr.DataArray:
    """Take the samples at `index` (trial, time) of a recording without trials; its segments are dropped.

    Parameters
    ----------
    recording
        (..., time, ..., unit).
    index
        (trial, time), positions on the clock.
    clock
        The new `time`, as xarray takes a coordinate.
    """
    bare = recording.drop_vars([name for name in ("segment", "trial") if name in recording.coords])
    bare = bare.rename(time="sample").drop_vars("sample")
    out = bare.isel(sample=xr.DataArray(index, dims=("trial", "time")))
    return out.assign_coords(trial=np.arange(len(index)), time=clock)


def _window_clock(rec: xr.DataArray, time: Clock, length: int) -> tuple[str, Clock, dict[str, Any]]:
    rate = rate_of(rec, "windows")
    if time.dtype.kind == "i":
        stride = round(1 / rate)
        return "time", np.arange(length, dtype=np.int64) * max(stride, 1), dict(rec["time"].attrs)
    return "time", np.arange(length) / rate, dict(rec["time"].attrs)
