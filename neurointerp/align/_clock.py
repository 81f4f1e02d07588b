"""What the functions of this folder share: edges on a clock, stretches of it, labels carried to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import AlignmentError
from neurointerp.schema import check, segment_bounds

Clock = NDArray[np.float64] | NDArray[np.int64]
ROUNDING = 4
"""A stamp this many units in the last place (of the largest stamp) before an edge lies on the edge."""


def clock_of(recording: xr.DataArray, function: str) -> Clock:
    """Check a recording and give its stamps, at least one."""
    check(recording)
    if "time" not in recording.dims:
        raise AlignmentError(f"{function} needs a time dim, found dims {recording.dims}")
    stamps: Clock = recording["time"].values
    if not stamps.size:
        raise AlignmentError(f"{function}: the recording has no samples")
    return stamps


def clock_units(recording: xr.DataArray) -> str:
    """Give what the clock counts: `s`, `token`, ..."""
    return str(recording["time"].attrs.get("units"))


def seconds_of(recording: xr.DataArray, function: str) -> NDArray[np.float64]:
    """Check a recording and give its stamps in seconds; a clock of counts is refused."""
    stamps = clock_of(recording, function)
    if stamps.dtype.kind != "f":
        raise AlignmentError(
            f"{function} needs a clock in seconds, this one counts {clock_units(recording)!r}; give it one with "
            ".assign_coords(time=('time', seconds, {'units': 's'}))"
        )
    return stamps.astype(np.float64, copy=False)


def rate_of(recording: xr.DataArray, function: str) -> float:
    """Give the sampling rate; an irregular clock is refused."""
    rate = recording.attrs.get("sampling_rate")
    if rate is None:
        raise AlignmentError(
            f"{function} needs a regular clock: this recording has no sampling_rate; "
            "put it on one with align.interpolate first"
        )
    return float(rate)


def first_at(clock: Clock, edges: Any) -> NDArray[np.int64]:
    """Give the index of the first stamp at or after each edge, to within rounding of a float clock."""
    wanted = np.asarray(edges)
    if clock.dtype.kind == "f":
        wanted = wanted - rounding(clock)
    return np.asarray(np.searchsorted(clock, wanted), dtype=np.int64)


def rounding(clock: Clock) -> float:
    """Give how far rounding may have moved a stamp of this clock; 0 for counts."""
    if clock.dtype.kind != "f":
        return 0.0
    return ROUNDING * float(np.spacing(max(abs(clock[0]), abs(clock[-1]))))


def stretch_numbers(recording: xr.DataArray) -> NDArray[np.int64]:
    """Give each stamp the number of its stretch (0, 1, ...), by the `segment` coordinate."""
    bounds = segment_bounds(recording)
    return np.repeat(np.arange(len(bounds)), [stop - start for start, stop in bounds])


def on_clock(
    recording: xr.DataArray, values: Any, stamps: Clock, source: NDArray[np.int64], rate: float | None
) -> xr.DataArray:
    """Label values that stand at other stamps of the same clock.

    Parameters
    ----------
    recording
        Where the labels come from.
    values
        Dims of `recording`, with `stamps.size` samples along `time`.
    stamps
        The new stamps.
    source
        For each new stamp, the position of the sample of `recording` whose labels it takes.
    rate
        The new sampling rate; None for an irregular clock.
    """
    labels = recording.coords.to_dataset().isel(time=source)
    labels = labels.assign_coords(time=("time", stamps, dict(recording["time"].attrs)))
    out = xr.DataArray(values, dims=recording.dims, coords=labels.coords, name=recording.name)
    out.attrs = {name: value for name, value in recording.attrs.items() if name != "sampling_rate"}
    if rate is not None:
        out.attrs["sampling_rate"] = float(rate)
    return out
