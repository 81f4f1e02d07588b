"""Putting recordings on one clock: exact joins, windows, lags, binned events. Nothing here guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history
from neurointerp.schema import check, segment_bounds


def match(a: xr.DataArray, b: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Join two recordings on their common sample labels, exactly.

    Parameters
    ----------
    a, b
        Recordings with the same sample dims (`time`, `trial`, `subject`, ...); their units may differ.

    Returns
    -------
    tuple of xarray.DataArray
        Both, unchanged: every label of the one is a label of the other, in the same order.

    Raises
    ------
    AlignmentError
        When dims, clock units or labels differ; the message counts the samples that a join would lose.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> _ = ni.align.match(rec, rec)
    >>> ni.align.match(rec, rec[1:])
    Traceback (most recent call last):
    ...
    neurointerp.errors.AlignmentError: 'time' differs: 1 of 4 labels of the first and 0 of 3 of ...
    """
    check(a)
    check(b)
    if a.dims[:-1] != b.dims[:-1]:
        raise AlignmentError(f"sample dims differ: {a.dims[:-1]} and {b.dims[:-1]}")
    for dim in map(str, a.dims[:-1]):
        if dim == "time" and a["time"].attrs.get("units") != b["time"].attrs.get("units"):
            raise AlignmentError(
                f"clocks differ: {a['time'].attrs.get('units')!r} and {b['time'].attrs.get('units')!r}"
            )
        _same_labels(a, b, dim)
    return a, b


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
        coordinate `onset` on `trial` is where the window began. Samples at the end of a segment that fill no
        window are left out; `history` says how many.

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
    time = recording["time"].values
    clock = _window_clock(recording, time, length)
    unit_coords = {name: c for name, c in recording.coords.items() if c.dims == ("unit",)}
    out = xr.DataArray(
        np.asarray(recording.values)[index],
        dims=("trial", "time", "unit"),
        coords={
            "trial": np.arange(len(starts)),
            "time": clock,
            "onset": ("trial", time[starts]),
            **unit_coords,
        },
        name=recording.name,
        attrs=recording.attrs,
    )
    left = recording.sizes["time"] - np.unique(index).size
    return add_history(out, "align.windows", length=length, step=step, samples_left_out=int(left))


def bin_events(
    events: Mapping[str, Any], *, bin_width: float, start: float | None = None, stop: float | None = None
) -> xr.DataArray:
    """Count each unit's events in bins of equal width.

    Parameters
    ----------
    events
        Unit label -> event times (s), in any order.
    bin_width
        Width of a bin (s).
    start, stop
        The interval `[start, stop)` (s) that is binned; `start` defaults to 0, `stop` to the end of the bin
        that holds the last event. `stop` is rounded up to a whole number of bins.

    Returns
    -------
    xarray.DataArray
        Spikes recording (time, unit) of counts: `time` is the left edge of each bin. An event on an edge
        belongs to the bin that begins there. `history` counts the events outside; none is moved inside.

    Raises
    ------
    AlignmentError
        When the width or the interval is empty, there are no units, or a time is not finite.

    Examples
    --------
    >>> import neurointerp as ni
    >>> ni.align.bin_events({"a": [0.1, 0.2, 1.5]}, bin_width=0.5, stop=2.0).values.ravel()
    array([2, 0, 0, 1])
    """
    from neurointerp.recordings import recording

    if not bin_width > 0:
        raise AlignmentError(f"bin_width is {bin_width!r}: a positive number of seconds is needed")
    times = {str(unit): np.asarray(stamps, dtype=np.float64).ravel() for unit, stamps in events.items()}
    if not times:
        raise AlignmentError("no units to bin: events is empty")
    bad = [unit for unit, stamps in times.items() if not np.isfinite(stamps).all()]
    if bad:
        raise AlignmentError(f"unit {bad[0]!r} has event times that are not finite")
    start, bins = _bins(times, bin_width, start, stop)
    counts = np.zeros((bins, len(times)), dtype=np.int64)
    outside = 0
    for column, stamps in enumerate(times.values()):
        index = _bin_index(stamps, start, bin_width)
        inside = (index >= 0) & (index < bins)
        outside += int((~inside).sum())
        counts[:, column] = np.bincount(index[inside], minlength=bins)
    rec = recording(
        counts, modality="spikes", units="1", unit=list(times), time=start + np.arange(bins) / (1 / bin_width)
    )
    rec.attrs["sampling_rate"] = 1 / bin_width
    stop = start + bins * bin_width
    return add_history(rec, "align.bin_events", bin_width=bin_width, start=start, stop=stop, events_outside=outside)


def lag(recording: xr.DataArray, lags: Sequence[int]) -> xr.DataArray:
    """Put delayed copies of each unit side by side, within segments and trials.

    Parameters
    ----------
    recording
        Recording with a `time` dim.
    lags
        Delays in samples: at lag 2 the value at time t is the unit's value two samples earlier.

    Returns
    -------
    xarray.DataArray
        Same sample dims; units `<unit>@<lag>` (all units of the first lag, then the next) with coordinates
        `lag` and `source_unit`. Samples whose past (or future, for negative lags) lies outside are NaN.

    Raises
    ------
    AlignmentError
        When there is no `time` dim or no lag.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(3.0)[:, None], modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.align.lag(rec, [1]).values.ravel()
    array([nan,  0.,  1.])
    """
    from neurointerp.matrix import stack, stretches

    if "time" not in recording.dims or not len(lags):
        raise AlignmentError(f"lag needs a time dim and at least one lag, found dims {recording.dims}, lags {lags}")
    stacked = stack(recording)
    copies = [shifted(stacked.values, stretches(recording), int(delay)) for delay in lags]
    names = [str(u) for u in recording["unit"].values]
    labels = np.array([f"{name}@{int(delay)}" for delay in lags for name in names], dtype=object)
    out = stacked.unstack(np.concatenate(copies, axis=1), "unit", labels)
    out = out.assign_coords(
        lag=("unit", np.repeat(np.asarray(lags, dtype=np.int64), len(names))),
        source_unit=("unit", np.array(names * len(lags), dtype=object)),
    )
    out.name, out.attrs = recording.name, recording.attrs
    return add_history(out, "align.lag", lags=[int(delay) for delay in lags])


def shifted(values: np.ndarray, stretches: Sequence[slice], delay: int) -> np.ndarray:
    """Delay the rows of a (sample, unit) matrix by `delay` samples within each stretch; NaN where unknown."""
    out = np.full_like(values, np.nan)
    for stretch in stretches:
        size = stretch.stop - stretch.start
        if abs(delay) < size:
            to = slice(stretch.start + max(delay, 0), stretch.stop + min(delay, 0))
            back = slice(stretch.start + max(-delay, 0), stretch.stop + min(-delay, 0))
            out[to] = values[back]
    return out


def _same_labels(a: xr.DataArray, b: xr.DataArray, dim: str) -> None:
    if dim not in a.indexes or dim not in b.indexes:
        if dim in a.indexes or dim in b.indexes or a.sizes[dim] != b.sizes[dim]:
            raise AlignmentError(f"{dim!r} is labelled or sized differently: {a.sizes[dim]} and {b.sizes[dim]}")
        return
    left, right = a.indexes[dim], b.indexes[dim]
    if left.equals(right):
        return
    lost, missed = int((~left.isin(right)).sum()), int((~right.isin(left)).sum())
    if lost or missed:
        raise AlignmentError(
            f"{dim!r} differs: {lost} of {left.size} labels of the first and {missed} of {right.size} of the "
            "second have no match; crop or resample first"
        )
    raise AlignmentError(f"{dim!r} has the same labels in another order; sort both by {dim!r} first")


def _window_clock(rec: xr.DataArray, time: np.ndarray, length: int) -> tuple[str, np.ndarray, dict[str, Any]]:
    rate = rec.attrs.get("sampling_rate")
    if rate is None:
        raise AlignmentError("windows needs a regular clock: this recording has no sampling_rate; resample it first")
    if time.dtype.kind == "i":
        stride = round(1 / rate)
        return "time", np.arange(length, dtype=np.int64) * max(stride, 1), dict(rec["time"].attrs)
    return "time", np.arange(length) / rate, dict(rec["time"].attrs)


def _bins(times: Mapping[str, np.ndarray], width: float, start: float | None, stop: float | None) -> tuple[float, int]:
    start = 0.0 if start is None else float(start)
    if stop is not None:
        bins = int(np.ceil((stop - start) / width * (1 - 1e-12)))
    else:
        last = max((stamps.max() for stamps in times.values() if stamps.size), default=start)
        bins = int(_bin_index(np.array([last]), start, width)[0]) + 1
    if bins < 1:
        raise AlignmentError(f"the interval from {start} to {stop} s holds no bin of {width} s")
    return start, bins


def _bin_index(stamps: np.ndarray, start: float, width: float) -> np.ndarray:
    """Bin of each stamp; a stamp within rounding of an edge belongs to the bin that begins there."""
    position = (stamps - start) / width
    nearest = np.rint(position)
    on_edge = np.abs(position - nearest) <= 1e-9 * np.maximum(np.abs(position), 1.0)
    index: np.ndarray = np.where(on_edge, nearest, np.floor(position)).astype(np.int64)
    return index
