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
    clock = _window_clock(recording, recording["time"].values, length, "windows")
    out = folded(recording, index, clock).assign_coords(onset=onset)
    left = recording.sizes["time"] - np.unique(index).size
    return add_history(out, "align.windows", length=length, step=step, samples_left_out=int(left))


def fold(recording: xr.DataArray, by: str = "segment") -> xr.DataArray:
    """Cut a continuous recording into trials of unequal length, one for each label of a coordinate on `time`.

    Parameters
    ----------
    recording
        (time, unit). Lazy values stay lazy.
    by
        A coordinate on `time`: `segment`, `sequence` (a prompt), `trial`. Samples of one label must follow each other,
        without a gap.

    Returns
    -------
    xarray.DataArray
        (trial, time, unit), as long as the longest trial; shorter ones are NaN from their end on (whole numbers become
        float64 then), and `history` counts those samples. `time` is counted from each trial's start in the
        recording's clock units, the coordinate `onset` on `trial` is where it began. Other coordinates on `time` lie on
        `trial` where they are constant within each, else on (trial, time), numbers with NaN past the end; what
        cannot be padded so is left out, and named in `history`, as are `segment`, `trial` and `onset` on `time`, whose
        names mean something else here. The labels of `trial` are those of `by` where that is `trial` or `segment`.

    Raises
    ------
    AlignmentError
        When the recording is not continuous or irregular, there is no such coordinate, a label is missing or comes back
        later, or a trial holds a gap.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(
    ...     np.arange(5.0)[:, None], modality="activations", units="1", time=np.arange(5), sampling_rate=1.0,
    ...     coords={"sequence": ("time", [7, 7, 7, 8, 8])},
    ... )
    >>> out = ni.align.fold(rec, "sequence")
    >>> out.values[:, :, 0], out.sequence.values
    (array([[ 0.,  1.,  2.],
           [ 3.,  4., nan]]), array([7, 8]))
    """
    stamps = clock_of(recording, "fold")
    if recording.dims != ("time", "unit"):
        raise AlignmentError(f"fold needs dims ('time', 'unit'), found {recording.dims}")
    starts, lengths = _runs(recording, by)
    longest = int(lengths.max())
    clock = _window_clock(recording, stamps, longest, "fold")
    offsets = np.arange(longest)
    inside = xr.DataArray(offsets < lengths[:, None], dims=("trial", "time"))
    index = starts[:, None] + np.minimum(offsets, lengths[:, None] - 1)
    out = folded(recording, index, clock)
    for name, coord in list(out.coords.items()):
        if coord.dims == ("trial", "time") and _constant(recording[name].values, starts, lengths):
            first = recording[name].values[starts]
            out = out.drop_vars([name]).assign_coords({name: ("trial", first, dict(coord.attrs))})
    padding = int((~inside.values).sum())
    out, dropped = _padded(out, inside) if padding else (out, [])
    own = by if by in ("segment", "trial") else None
    dropped += [name for name in ("segment", "trial", "onset") if name in recording.coords and name != own]
    if own is not None:
        out = out.assign_coords(trial=recording[own].values[starts])
    out = out.assign_coords(onset=("trial", stamps[starts], dict(recording["time"].attrs)))
    return add_history(out, "align.fold", by=by, samples_padded=padding, dropped_coords=dropped)


def _runs(recording: xr.DataArray, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Give where each label's samples begin, and how many there are."""
    on_time = [str(name) for name, coord in recording.coords.items() if coord.dims == ("time",) and name != "time"]
    if by not in on_time:
        raise AlignmentError(
            f"fold: {by!r} is no coordinate on time; there are {', '.join(on_time) or 'none'}: add it with "
            ".assign_coords"
        )
    labels = recording[by].values
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise AlignmentError(f"fold: {int(np.isnan(labels).sum())} labels of {by!r} are missing; drop those samples")
    starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
    lengths = np.diff(np.append(starts, labels.size))
    seen: set[object] = set()
    for label in labels[starts].tolist():
        if label in seen:
            raise AlignmentError(f"fold: samples of {by} {label!r} do not follow each other; number the trials anew")
        seen.add(label)
    gaps = {start for start, _ in segment_bounds(recording)} - set(starts.tolist())
    if gaps:
        where = labels.tolist()[min(gaps)]
        raise AlignmentError(f"fold: {by} {where!r} holds a gap (another segment begins within it); crop it there")
    return starts, lengths


def _padded(out: xr.DataArray, inside: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """Put NaN where no sample is, also into coordinates; tell which could not be padded."""
    attrs, dropped = out.attrs, []
    for name, coord in list(out.coords.items()):
        if coord.dims != ("trial", "time"):
            continue
        if coord.dtype.kind in "iuf":
            out = out.assign_coords({name: coord.astype(np.float64).where(inside)})
        else:
            out = out.drop_vars([name])
            dropped.append(str(name))
    values = out if out.dtype.kind == "f" else out.astype(np.float64)
    return values.where(inside).transpose(*out.dims).assign_attrs(attrs), dropped


def _constant(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> bool:
    """Tell whether a coordinate on time has one value within each trial."""
    return bool((values == np.repeat(values[starts], lengths)).all())


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


def _window_clock(rec: xr.DataArray, time: Clock, length: int, function: str) -> tuple[str, Clock, dict[str, Any]]:
    rate = rate_of(rec, function)
    if time.dtype.kind == "i":
        stride = round(1 / rate)
        return "time", np.arange(length, dtype=np.int64) * max(stride, 1), dict(rec["time"].attrs)
    return "time", np.arange(length) / rate, dict(rec["time"].attrs)
