"""Joining two recordings on their sample labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align._clock import Clock, clock_of, clock_units, on_clock, stretch_numbers
from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history
from neurointerp.schema import check

LISTED = 20
"""How many of the dropped stamps are listed in `history`, beside their number."""


def match(a: xr.DataArray, b: xr.DataArray, *, tolerance: float | None = None) -> tuple[xr.DataArray, xr.DataArray]:
    """Join two recordings on their common sample labels.

    Without a tolerance the labels must be equal: arithmetic in xarray would keep those that happen to be, such
    as 2,601 of 3,000 stamps where one clock is `i / 1000` and the other `i * 0.001`, and say nothing.

    Parameters
    ----------
    a, b
        Recordings with the same sample dims (`time`, `trial`, `subject`, ...); their units may differ.
    tolerance
        How far apart (in clock units) two stamps may lie and still be one. Each stamp is paired with the one
        stamp of the other recording that lies within it; stamps without one are dropped. It never chooses: a
        stamp with two counterparts is refused. Other sample dims are joined exactly all the same.

    Returns
    -------
    tuple of xarray.DataArray
        Without a tolerance both, unchanged. With one, the paired samples of both on the clock of `a`, a step in
        both histories with the number paired, the stamps dropped (in the recording's own clock) and the
        largest difference. Where samples were dropped in between, a new `segment` begins; where every k-th
        sample of `a` was paired, `sampling_rate` is that of `a` over k.

    Raises
    ------
    AlignmentError
        When dims, clock units or labels differ (the message counts the samples that a join would lose), the
        tolerance is not a number >= 0 or there is no clock, no stamps pair, or a stamp has two counterparts
        (the message gives a tolerance at which none has).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> _ = ni.align.match(rec, rec)
    >>> ni.align.match(rec, rec[1:])
    Traceback (most recent call last):
    ...
    neurointerp.errors.AlignmentError: 'time' differs: 1 of 4 labels of the first and 0 of 3 of ...
    >>> late = rec.assign_coords(time=("time", rec.time.values + 0.01, {"units": "s"}))
    >>> ni.align.match(rec, late, tolerance=0.02)[1].time.values
    array([0., 1., 2., 3.])
    """
    check(a)
    check(b)
    if a.dims[:-1] != b.dims[:-1]:
        raise AlignmentError(f"sample dims differ: {a.dims[:-1]} and {b.dims[:-1]}")
    for dim in map(str, a.dims[:-1]):
        if dim == "time" and clock_units(a) != clock_units(b):
            raise AlignmentError(f"clocks differ: {clock_units(a)!r} and {clock_units(b)!r}")
        if dim != "time" or tolerance is None:
            _same_labels(a, b, dim)
    return (a, b) if tolerance is None else _match_within(a, b, tolerance)


def _match_within(a: xr.DataArray, b: xr.DataArray, tolerance: float) -> tuple[xr.DataArray, xr.DataArray]:
    ours, theirs = clock_of(a, "match with a tolerance"), clock_of(b, "match with a tolerance")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise AlignmentError(f"tolerance is {tolerance!r}: a number of clock units, 0 or more, is needed")
    left, right = _pairs(ours, theirs, tolerance, clock_units(a))
    clock, apart = ours[left], np.abs(ours[left] - theirs[right]).max()
    jumps, stride = _jumps(left, stretch_numbers(a))
    rate = a.attrs.get("sampling_rate")
    rate = None if rate is None else rate / stride
    step = {"tolerance": tolerance, "paired": left.size, "largest_difference": apart}
    out = []
    for rec, index, other in ((a, left, b), (b, right, a)):
        kept = on_clock(rec, rec.isel(time=index).variable, clock, index, rate)
        kept = _with_segments(kept, rec, index, jumps | (np.diff(stretch_numbers(rec)[index]) != 0))
        gone = np.delete(rec["time"].values, index)
        drop = {"dropped": gone.size, "dropped_stamps": gone[:LISTED]}
        out.append(add_history(kept, "align.match", other=other, **step, **drop))
    return out[0], out[1]


def _pairs(a: Clock, b: Clock, tolerance: float, units: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in either clock of the stamps within `tolerance` of each other: one each, or refused."""
    nearest, apart, second = _neighbours(a, b)
    _, _, second_of_b = _neighbours(b, a)
    torn, torn_b = second <= tolerance, second_of_b <= tolerance
    if torn.any() or torn_b.any():
        first = a[torn][0] if torn.any() else b[torn_b][0]
        raise AlignmentError(
            f"'time': {int(torn.sum() + torn_b.sum())} stamps have more than one counterpart within {tolerance:g} "
            f"{units} (first at {first:g}); use a tolerance below {min(second.min(), second_of_b.min()):g}"
        )
    left = np.flatnonzero(apart <= tolerance)
    if not left.size:
        raise AlignmentError(
            f"'time': no two stamps lie within {tolerance:g} {units} of each other, the nearest are "
            f"{apart.min():g} apart; crop, resample or shift one clock first"
        )
    return left, nearest[left]


def _neighbours(of: Clock, among: Clock) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """For each of `of`, the position of the nearest of `among`, its distance and that of the second nearest."""
    at = np.searchsorted(among, of)[:, None] + np.arange(-2, 2)
    inside = (at >= 0) & (at < among.size)
    at = at.clip(0, among.size - 1)
    distance = np.where(inside, np.abs(among[at] - of[:, None]), np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[:, :2]
    apart = np.take_along_axis(distance, order, axis=1)
    return np.take_along_axis(at, order, axis=1)[:, 0], apart[:, 0], apart[:, 1]


def _jumps(index: NDArray[np.int64], stretch: NDArray[np.int64]) -> tuple[NDArray[np.bool_], int]:
    """Tell where the kept positions of a clock leave their stretch or their commonest step, and that step."""
    step, across = np.diff(index), np.diff(stretch[index]) != 0
    steps, counts = np.unique(step[~across], return_counts=True)
    stride = int(steps[counts.argmax()]) if steps.size else 1
    return across | (step != stride), stride


def _with_segments(
    kept: xr.DataArray, rec: xr.DataArray, index: NDArray[np.int64], jumps: NDArray[np.bool_]
) -> xr.DataArray:
    """Number the stretches between jumps, unless the recording's own segments say the same."""
    own = np.diff(rec["segment"].values[index]) != 0 if "segment" in rec.coords else np.zeros_like(jumps)
    if np.array_equal(own, jumps):
        return kept
    return kept.assign_coords(segment=("time", np.concatenate([[0], np.cumsum(jumps)])))


def _same_labels(a: xr.DataArray, b: xr.DataArray, dim: str) -> None:
    if dim not in a.indexes or dim not in b.indexes:
        if dim in a.indexes or dim in b.indexes or a.sizes[dim] != b.sizes[dim]:
            raise AlignmentError(f"{dim!r} is labelled or sized differently: {a.sizes[dim]} and {b.sizes[dim]}")
        return
    left: Any = a.indexes[dim]
    right: Any = b.indexes[dim]
    if left.equals(right):
        return
    lost, missed = int((~left.isin(right)).sum()), int((~right.isin(left)).sum())
    if lost or missed:
        raise AlignmentError(
            f"{dim!r} differs: {lost} of {left.size} labels of the first and {missed} of {right.size} of the "
            "second have no match; crop or resample first, or allow a tolerance"
        )
    raise AlignmentError(f"{dim!r} has the same labels in another order; sort both by {dim!r} first")
