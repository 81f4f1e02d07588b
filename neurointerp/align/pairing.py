"""Bringing a fast recording to the clock of a slow one."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align._clock import Clock, clock_of, clock_units, first_at, on_clock, rate_of, stretch_numbers
from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history

Reduction = Literal["mean", "sum", "min", "max"]


def pair(
    fast: xr.DataArray,
    slow: xr.DataArray,
    *,
    window: tuple[float, float] | None = None,
    how: Reduction = "mean",
) -> xr.DataArray:
    """Bring a fast recording to the clock of a slow one: an EEG at 200 Hz to a TR of 2.1 s.

    For each stamp t of `slow`, the samples of `fast` in `[t + window[0], t + window[1])` become one. The clocks
    may have any ratio and any phase; nothing is interpolated.

    Parameters
    ----------
    fast, slow
        Recordings without a `trial` dim whose clocks count the same units. Lazy values of `fast` are read, of
        `slow` only its clock matters.
    window
        Where the window of a slow stamp begins and ends, relative to it (clock units). By default from the
        stamp to the next one, `(0, 1 / sampling_rate)` of `slow`.
    how
        `mean`, `sum`, `min` or `max` of the samples in the window; missing values are left out.

    Returns
    -------
    xarray.DataArray
        The units of `fast` (and its other dims) on the clock, `sampling_rate` and `time` coordinates of `slow`;
        float64, or float32 where `fast` is. The coordinate `fast_samples` on `time` counts the samples in each
        window. A window is NaN where it holds none, or none that is not missing, or samples of two segments.

    Raises
    ------
    AlignmentError
        When a recording has no clock or has trials, the clocks differ in units, the window is empty or must be
        given, `how` is unknown, or no window holds a sample.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> eeg = ni.recording(np.arange(8.0)[:, None], modality="eeg", units="V", sampling_rate=4.0)
    >>> bold = ni.recording(np.zeros((3, 1)), modality="fmri", units="1", sampling_rate=1.0)
    >>> ni.align.pair(eeg, bold).values.ravel()
    array([1.5, 5.5, nan])
    """
    clock, stamps = clock_of(fast, "pair"), clock_of(slow, "pair")
    if "trial" in fast.dims or "trial" in slow.dims:
        raise AlignmentError(f"pair needs recordings without trials, found dims {fast.dims} and {slow.dims}")
    if clock_units(fast) != clock_units(slow):
        raise AlignmentError(f"clocks differ: {clock_units(fast)!r} and {clock_units(slow)!r}")
    if how not in get_args(Reduction):
        raise AlignmentError(f"how is {how!r}: one of {', '.join(get_args(Reduction))} is needed")
    begin, end = _window(slow, stamps, window)
    low, high = first_at(clock, stamps + begin), first_at(clock, stamps + end)
    if not (high > low).any():
        raise AlignmentError(
            f"pair: no window of {begin:g} to {end:g} {clock_units(slow)} after a slow stamp holds a fast sample; "
            "do both clocks begin at the same moment?"
        )
    stretch = stretch_numbers(fast)
    across = (high > low) & (stretch[low.clip(max=clock.size - 1)] != stretch[(high - 1).clip(0)])
    axis = fast.dims.index("time")
    values = _reduced(np.moveaxis(np.asarray(fast.values), axis, 0), low, np.where(across, low, high), how)
    out = _labelled(fast, slow, np.moveaxis(values, 0, axis), high - low)
    counts = {"windows_without_samples": int((high == low).sum()), "windows_across_segments": int(across.sum())}
    return add_history(out, "align.pair", slow=slow, how=how, window=[begin, end], **counts)


def _window(slow: xr.DataArray, stamps: Clock, window: tuple[float, float] | None) -> tuple[float, float]:
    if window is None:
        if slow.attrs.get("sampling_rate") is None:
            raise AlignmentError("pair: the slow clock is irregular, so say which window=(from, to) belongs to a stamp")
        step = 1 / rate_of(slow, "pair")
        return (0, max(round(step), 1)) if stamps.dtype.kind == "i" else (0.0, step)
    begin, end = window
    if not begin < end:
        raise AlignmentError(f"pair: the window from {begin} to {end} is empty")
    return begin, end


def _reduced(values: np.ndarray, low: NDArray[np.int64], high: NDArray[np.int64], how: Reduction) -> np.ndarray:
    """Reduce the rows `low` to `high` of (time, ...) values for each window; NaN where there are none."""
    dtype = np.float32 if values.dtype == np.float32 else np.float64
    out = np.full((low.size, *values.shape[1:]), np.nan, dtype=dtype)
    extreme = {"min": np.fmin, "max": np.fmax}
    for window in np.flatnonzero(high > low):
        block = values[low[window] : high[window]].astype(np.float64, copy=False)
        if how in extreme:
            out[window] = extreme[how].reduce(block, axis=0)
            continue
        present = ~np.isnan(block)
        counts = present.sum(axis=0)
        total = np.sum(block, axis=0, where=present)
        share = total / np.maximum(counts, 1) if how == "mean" else total
        out[window] = np.where(counts > 0, share, np.nan)
    return out


def _labelled(fast: xr.DataArray, slow: xr.DataArray, values: np.ndarray, samples: NDArray[np.int64]) -> xr.DataArray:
    own = [name for name, coord in fast.coords.items() if "time" in coord.dims and name != "time"]
    bare = fast.drop_vars(own)
    source = np.zeros(slow.sizes["time"], dtype=np.int64)
    out = on_clock(bare, values, slow["time"].values, source, slow.attrs.get("sampling_rate"))
    theirs = {name: coord.variable for name, coord in slow.coords.items() if coord.dims == ("time",) and name != "time"}
    return out.assign_coords({**theirs, "fast_samples": ("time", samples)})
