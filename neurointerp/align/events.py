"""Events in seconds: counted in bins, or cutting a recording into trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align._clock import rate_of, seconds_of
from neurointerp.align.cut import folded
from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history, recording
from neurointerp.schema import segment_bounds

EDGE = 1e-9
"""How far (relatively) an event may lie from an edge, or a window's end from a sample, and still be on it."""
COARSE = 0.01
"""How coarse stamps of less than 64 bits may be, as a fraction of a bin or of a sample."""


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
        The interval `[start, stop)` (s) that is counted; `start` defaults to 0, `stop` to the end of the bin
        that holds the last event. Where the interval is no whole number of bins, the last bin is cut short at
        `stop`, and `history` has the fraction of it that was counted.

    Returns
    -------
    xarray.DataArray
        Spikes recording (time, unit) of counts, which sum to the events in `[start, stop)`: `time` is the left
        edge of each bin. An event on an edge belongs to the bin that begins there. `history` counts the events
        outside; none is moved inside.

    Raises
    ------
    AlignmentError
        When the width or the interval is empty, there are no units, or a time is not finite or too coarse
        (float32 at an hour resolves 0.24 ms).

    Examples
    --------
    >>> import neurointerp as ni
    >>> ni.align.bin_events({"a": [0.1, 0.2, 1.5]}, bin_width=0.5, stop=2.0).values.ravel()
    array([2, 0, 0, 1])
    """
    if not bin_width > 0:
        raise AlignmentError(f"bin_width is {bin_width!r}: a positive number of seconds is needed")
    if not events:
        raise AlignmentError("no units to bin: events is empty")
    times = {str(unit): _seconds(stamps, f"unit {str(unit)!r}", bin_width) for unit, stamps in events.items()}
    start, stop, bins = _interval(times, bin_width, start, stop)
    width = (stop - start) / bin_width
    counts = np.zeros((bins, len(times)), dtype=np.int64)
    outside = 0
    for column, stamps in enumerate(times.values()):
        position = _on_edges((stamps - start) / bin_width)
        inside = (position >= 0) & (position < _on_edges(np.asarray(width)))
        outside += int((~inside).sum())
        counts[:, column] = np.bincount(np.floor(position[inside]).astype(np.int64), minlength=bins)
    clock = start + np.arange(bins) / (1 / bin_width)
    rec = recording(counts, modality="spikes", units="1", unit=list(times), time=clock)
    rec.attrs["sampling_rate"] = 1 / bin_width
    last = {"last_bin_counted": min(1.0, width - bins + 1)} if _on_edges(np.asarray(width)) < bins else {}
    return add_history(
        rec, "align.bin_events", bin_width=bin_width, start=start, stop=stop, events_outside=outside, **last
    )


def epoch(rec: xr.DataArray, events: Any, tmin: float, tmax: float) -> xr.DataArray:
    """Cut a continuous recording into trials around events.

    Parameters
    ----------
    rec
        Recording with a regular clock in seconds and no `trial` dim. Lazy values stay lazy.
    events
        Onsets (s), or a table of them: a session, its `/events`, a DataFrame or a mapping of columns with
        `onset` (s) and any others. Any order; trials may overlap.
    tmin, tmax
        The window about the onset (s), half-open: samples with `tmin <= time < tmax`. (MNE's includes `tmax`.)

    Returns
    -------
    xarray.DataArray
        (trial, time, unit), with `subject` before and other dims after where there are any. `time` is that
        since the sample nearest to the onset (the later of two), whose stamp is the trial coordinate `anchor`;
        `event` is the row of the table, and each column another trial coordinate (`trial_type` as `condition`;
        a name that is taken gets `event_` before it; missing strings are `n/a`). Coordinates on `time` become
        (trial, time), save `segment`. Windows that leave a segment are dropped; `history` lists their onsets.

    Raises
    ------
    AlignmentError
        When the recording has trials, counts or an irregular clock, the table has no onsets or some that are
        not finite, the window holds no sample, or every window leaves its segment.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.arange(10.0)[:, None], modality="eeg", units="V", sampling_rate=10.0)
    >>> out = ni.align.epoch(rec, {"onset": [0.2, 0.7], "trial_type": ["a", "b"]}, -0.1, 0.2)
    >>> out.values[:, :, 0]
    array([[1., 2., 3.],
           [6., 7., 8.]])
    >>> out["condition"].values
    array(['a', 'b'], dtype=object)
    """
    clock, rate = seconds_of(rec, "epoch"), rate_of(rec, "epoch")
    if "trial" in rec.dims:
        raise AlignmentError(f"epoch needs a recording without trials, found dims {rec.dims}")
    offsets = _offsets(tmin, tmax, rate)
    table = _table(events)
    onset = _seconds(table["onset"], "the event table", 1 / rate)
    anchor, stamps = _anchors(clock, segment_bounds(rec), onset, offsets, rate)
    kept = np.flatnonzero(anchor >= -offsets[0])
    if not kept.size:
        raise AlignmentError(
            f"epoch: none of {onset.size} windows of {tmin:g} to {tmax:g} s about the onsets lies within a segment; "
            f"the clock runs from {clock[0]:g} to {clock[-1]:g} s"
        )
    out = folded(rec, anchor[kept, None] + offsets, ("time", offsets / rate, {"units": "s"}))
    out = out.assign_coords({"anchor": ("trial", stamps[kept], {"units": "s"}), **_trial_coords(table, kept, out)})
    gone = np.delete(onset, kept)
    moved = float(np.abs(stamps[kept] - onset[kept]).max())
    step = {"tmin": tmin, "tmax": tmax, "dropped": gone.size, "dropped_onsets": gone, "largest_offset": moved}
    return add_history(out, "align.epoch", events=onset.size, **step)


def _seconds(stamps: Any, where: str, resolution: float) -> NDArray[np.float64]:
    """Event times as finite float64; coarser floats are refused where they would move events noticeably."""
    given = np.asarray(stamps)
    times = given.astype(np.float64).ravel()
    bad = int((~np.isfinite(times)).sum())
    if bad:
        raise AlignmentError(f"{where} has event times that are not finite: {bad} of {times.size}")
    if given.dtype.kind == "f" and given.dtype.itemsize < 8 and given.size:
        coarse = float(np.spacing(np.abs(given).max()))
        if coarse > COARSE * resolution:
            raise AlignmentError(
                f"{where} has event times of dtype {given.dtype}, which at {np.abs(times).max():g} s lie "
                f"{coarse:g} s apart, too coarse for steps of {resolution:g} s; read them in float64"
            )
    return times


def _on_edges(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions in bins or samples, moved to the whole number where rounding alone keeps them from it."""
    nearest = np.rint(position)
    on_edge = np.abs(position - nearest) <= EDGE * np.maximum(np.abs(position), 1.0)
    out: NDArray[np.float64] = np.where(on_edge, nearest, position)
    return out


def _interval(
    times: Mapping[str, NDArray[np.float64]], width: float, start: float | None, stop: float | None
) -> tuple[float, float, int]:
    start = 0.0 if start is None else float(start)
    if stop is None:
        last = max((stamps.max() for stamps in times.values() if stamps.size), default=start)
        bins = int(np.floor(_on_edges(np.asarray((last - start) / width)))) + 1
        stop = start + bins * width
    else:
        bins = int(np.ceil(_on_edges(np.asarray((stop - start) / width))))
    if bins < 1:
        raise AlignmentError(f"the interval from {start} to {stop} s holds no bin of {width} s")
    return start, float(stop), bins


def _offsets(tmin: float, tmax: float, rate: float) -> NDArray[np.int64]:
    """Whole samples since the onset that lie in `[tmin, tmax)`."""
    if not (math.isfinite(tmin) and math.isfinite(tmax)):
        raise AlignmentError(f"epoch: the window from {tmin} to {tmax} s must be finite")
    first, last = np.ceil(_on_edges(np.asarray([tmin, tmax]) * rate)).astype(np.int64)
    if first >= last:
        raise AlignmentError(f"epoch: the window from {tmin:g} to {tmax:g} s holds no sample at {rate:g} Hz")
    return np.arange(first, last)


def _anchors(
    clock: NDArray[np.float64],
    bounds: list[tuple[int, int]],
    onset: NDArray[np.float64],
    offsets: NDArray[np.int64],
    rate: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Position of the sample nearest to each onset, and its stamp; far below 0 where the window leaves a segment.

    The onset itself may lie outside the segment, its window not.
    """
    starts, stops = np.array(bounds, dtype=np.int64).T
    begin = clock[starts]
    which = np.searchsorted(begin, onset + (offsets[0] + 0.5) / rate, "right") - 1
    step = np.floor(_on_edges((onset - begin[which]) * rate) + 0.5).clip(-(2.0**62), 2.0**62).astype(np.int64)
    anchor = starts[which] + step
    kept = (which >= 0) & (anchor + offsets[0] >= starts[which]) & (anchor + offsets[-1] < stops[which])
    return np.where(kept, anchor, np.iinfo(np.int64).min), begin[which] + step / rate


def _table(events: Any) -> dict[str, np.ndarray]:
    """Columns of an event table, `event` (the row) among them."""
    if isinstance(events, xr.DataTree):
        events = (events["events"] if "events" in events.children else events).to_dataset()
    if isinstance(events, xr.Dataset):
        table = {str(name): var.values for name, var in events.variables.items() if var.dims == ("event",)}
    elif isinstance(events, Mapping) or hasattr(events, "columns"):
        table = {str(name): np.asarray(events[name]) for name in events}
    else:
        table = {"onset": np.atleast_1d(np.asarray(events))}
    if "onset" not in table:
        raise AlignmentError(f"events have no column 'onset' (s); found {', '.join(table) or 'none'}")
    if not table["onset"].size:
        raise AlignmentError("epoch: the event table has no rows")
    table.setdefault("event", np.arange(table["onset"].size))
    return table


def _trial_coords(table: Mapping[str, np.ndarray], kept: NDArray[np.int64], out: xr.DataArray) -> dict[str, Any]:
    taken = {*map(str, out.dims), *map(str, out.coords), "segment", "anchor"}
    coords: dict[str, Any] = {}
    for column, values in table.items():
        name = "condition" if column == "trial_type" and "condition" not in table else column
        units = {"units": "s"} if column in ("onset", "duration") else {}
        coords[f"event_{name}" if name in taken else name] = ("trial", _plain(values[kept]), units)
    return coords


def _plain(values: np.ndarray) -> np.ndarray:
    """Numbers and booleans as they are; anything else as strings, `n/a` where it is missing."""
    if values.dtype.kind in "biuf":
        return values
    import pandas as pd

    out = np.empty(values.shape, dtype=object)
    out[...] = ["n/a" if pd.isna(value) else str(value) for value in values]
    return out
