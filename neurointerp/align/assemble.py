"""Putting recordings end to end, or subjects on top of each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp.align._clock import Clock, clock_units, rate_of, stretch_numbers
from neurointerp.errors import AlignmentError
from neurointerp.recordings import add_history
from neurointerp.schema import check, segment_bounds

LISTED = 5
"""How many labels a message names before it counts the rest."""


def concat(
    recordings: Sequence[xr.DataArray],
    dim: Literal["time", "trial"] = "time",
    *,
    offset: Sequence[float] | Literal["follow"] | None = None,
) -> xr.DataArray:
    """Put recordings of the same units end to end.

    Parameters
    ----------
    recordings
        At least one, in order. Units (labels and order), dtype, modality, `units`, `sampling_rate` and every dim
        but `dim` must agree.
    dim
        `time`: every segment of every recording becomes a segment, numbered from 0, so that nothing that looks
        along time crosses from one to the next. `trial`: trials are put together, on the same `time`.
    offset
        For `time`: by default the clocks must already increase from one recording to the next. A sequence
        gives what is added to each clock (clock units); `"follow"` begins each one sampling period after the last
        stamp before it.

    Returns
    -------
    xarray.DataArray
        All samples. Coordinates on `dim` that every recording has are kept, others where all agree; trial
        labels that repeat are counted anew from 0. What is dropped, attrs that differ among it, is named in
        `history`. Lazy (dask) values stay lazy.

    Raises
    ------
    AlignmentError
        When there is nothing to put together, recordings disagree (the message lists every difference), or
        clocks overlap.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((2, 1)), modality="eeg", units="V", sampling_rate=2.0)
    >>> out = ni.align.concat([rec, rec], offset="follow")
    >>> out.time.values, out.segment.values
    (array([0. , 0.5, 1. , 1.5]), array([0, 0, 1, 1]))
    """
    named = {f"recording {i}": rec for i, rec in enumerate(recordings)}
    if dim not in ("time", "trial"):
        raise AlignmentError(f"dim is {dim!r}: recordings go end to end along 'time' or 'trial'")
    if offset is not None and dim != "time":
        raise AlignmentError("offset moves clocks: it goes with dim='time'")
    _agree(named, "concat", free=dim)
    recs = list(named.values())
    coords, dropped = _shared_coords(recs, dim)
    step: dict[str, Any] = {"dim": dim, "recordings": len(recs), "sizes": [rec.sizes[dim] for rec in recs]}
    if dim == "time":
        shifts = _shifts(recs, offset)
        coords["time"] = ("time", _joined_clock(recs, shifts), dict(recs[0]["time"].attrs))
        numbers = _joined_segments(recs)
        coords["segment"] = ("time", numbers)
        step["offsets"] = shifts
    else:
        coords["trial"] = ("trial", _joined_trials(recs))
    out = xr.DataArray(_joined([rec.variable for rec in recs], dim), dims=recs[0].dims, coords=coords)
    return _finished(out, named, "align.concat", {**step, "dropped_coords": dropped})


def stack_subjects(recordings: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Put the recordings of several subjects on one clock and one list of units.

    Parameters
    ----------
    recordings
        Subject -> recording without a `subject` dim. Sample labels must be equal (crop, resample or match
        first), and so must `modality`, `units` and `sampling_rate`; units may differ.

    Returns
    -------
    xarray.DataArray
        (subject, ..., unit). Units are the union, in the order in which they first appear; a subject is NaN
        where it lacks one. The dtype is the one that holds them all (float64 for counts as soon as a value is
        missing). Coordinates that not every subject has, or on which two disagree (also of one unit that both
        have), are dropped, as are attrs that differ; `history` names them. Lazy (dask) values stay lazy.

    Raises
    ------
    AlignmentError
        When there is no subject, or subjects disagree; the message lists every difference.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> one = ni.recording(np.zeros((2, 2)), modality="calcium", units="1", sampling_rate=1.0, unit=["AVA", "AVB"])
    >>> two = ni.recording(np.ones((2, 2)), modality="calcium", units="1", sampling_rate=1.0, unit=["AVB", "RIM"])
    >>> ni.align.stack_subjects({"w1": one, "w2": two}).isel(time=0).values
    array([[ 0.,  0., nan],
           [nan,  1.,  1.]])
    """
    named = {f"subject {name}": rec for name, rec in recordings.items()}
    _agree(named, "stack_subjects", free="unit")
    recs = list(named.values())
    if "subject" in recs[0].dims:
        raise AlignmentError(f"stack_subjects: the recordings have a subject dim already: {recs[0].dims}")
    union = list(dict.fromkeys(label for rec in recs for label in rec["unit"].values))
    dtype = np.result_type(*[rec.dtype for rec in recs])
    if dtype.kind not in "f" and any(rec.sizes["unit"] < len(union) for rec in recs):
        dtype = np.dtype(np.float64)
    coords, dropped = _shared_coords(recs, "unit", merge=union)
    stacked = _joined([_on_units(rec, union, dtype) for rec in recs], "subject")
    labels = {"subject": ("subject", _objects([str(name) for name in recordings])), "unit": ("unit", _objects(union))}
    out = xr.DataArray(stacked, dims=("subject", *recs[0].dims), coords={**coords, **labels})
    lacking = {str(name): len(union) - rec.sizes["unit"] for name, rec in recordings.items()}
    step = {"units_lacking": lacking, "dropped_coords": dropped}
    return _finished(out, named, "align.stack_subjects", step)


def _agree(named: Mapping[str, xr.DataArray], function: str, free: str) -> None:
    """Refuse recordings that differ in more than the dim `free`, with all differences in one message."""
    if not named:
        raise AlignmentError(f"{function}: there are no recordings")
    for name, rec in named.items():
        check(rec)
        if free not in rec.dims:
            raise AlignmentError(f"{function}: {name} has no dim {free!r}: its dims are {rec.dims}")
        if not rec.sizes[free]:
            raise AlignmentError(f"{function}: {name} has no samples along {free!r}; leave it out")
    first, *others = named.items()
    found = [f"{name} {difference}" for name, rec in others for difference in _differences(first[1], rec, free)]
    if found:
        raise AlignmentError(f"{function}: recordings differ from {first[0]}: " + "; ".join(found))


def _differences(first: xr.DataArray, rec: xr.DataArray, free: str) -> Iterator[str]:
    if rec.dims != first.dims:
        yield f"has dims {rec.dims} instead of {first.dims}"
        return
    if free != "unit" and rec.dtype != first.dtype:
        yield f"has dtype {rec.dtype} instead of {first.dtype}"
    for name in ("modality", "units"):
        if rec.attrs[name] != first.attrs[name]:
            yield f"has {name} {rec.attrs[name]!r} instead of {first.attrs[name]!r}"
    rate, expected = rec.attrs.get("sampling_rate"), first.attrs.get("sampling_rate")
    if rate != expected and (rate is None or expected is None or abs(rate - expected) > 1e-9 * expected):
        yield f"has sampling_rate {rate} instead of {expected}"
    if "time" in rec.dims and clock_units(rec) != clock_units(first):
        yield f"has a clock in {clock_units(rec)!r} instead of {clock_units(first)!r}"
    for dim in map(str, rec.dims):
        if dim != free:
            yield from _other_labels(first, rec, dim)
    same_size = "time" in rec.dims and rec.sizes["time"] == first.sizes["time"]
    if free != "time" and same_size and segment_bounds(rec) != segment_bounds(first):
        yield "has other segments"


def _other_labels(first: xr.DataArray, rec: xr.DataArray, dim: str) -> Iterator[str]:
    ours, theirs = first.indexes.get(dim), rec.indexes.get(dim)
    if ours is None or theirs is None:
        if (ours is None) != (theirs is None) or first.sizes[dim] != rec.sizes[dim]:
            yield f"has {rec.sizes[dim]} of {dim!r} instead of {first.sizes[dim]}, or other labels"
        return
    if ours.equals(theirs):
        return
    lacks, adds = ours[~ours.isin(theirs)], theirs[~theirs.isin(ours)]
    if lacks.size or adds.size:
        yield f"lacks {_some(lacks)} and adds {_some(adds)} in {dim!r}"
    else:
        yield f"has the labels of {dim!r} in another order"


def _some(labels: Any) -> str:
    shown = ", ".join(f"{label}" for label in labels[:LISTED])
    return f"{shown or 'nothing'}" + (f" and {len(labels) - LISTED} more" if len(labels) > LISTED else "")


def _shifts(recs: Sequence[xr.DataArray], offset: Sequence[float] | str | None) -> list[float]:
    if offset is None:
        return [0] * len(recs)
    if isinstance(offset, str):
        if offset != "follow":
            raise AlignmentError(f"offset is {offset!r}: one number for each recording, or 'follow', is needed")
        return _following(recs)
    given = list(offset)
    if len(given) != len(recs):
        raise AlignmentError(f"offset has {len(given)} numbers for {len(recs)} recordings")
    if recs[0]["time"].dtype.kind == "i" and any(shift != int(shift) for shift in given):
        raise AlignmentError(f"offset {given} must be whole numbers: the clock counts {clock_units(recs[0])!r}")
    return given


def _following(recs: Sequence[xr.DataArray]) -> list[float]:
    """What to add to each clock so that it begins one sampling period after the one before it ends."""
    step = 1 / rate_of(recs[0], "concat with offset='follow'")
    counts = recs[0]["time"].dtype.kind == "i"
    shifts: list[float] = [0]
    for before, after in itertools.pairwise(recs):
        begin = before["time"].values[-1] + shifts[-1] + (max(round(step), 1) if counts else step)
        shift = begin - after["time"].values[0]
        shifts.append(int(shift) if counts else float(shift))
    return shifts


def _joined_clock(recs: Sequence[xr.DataArray], shifts: Sequence[float]) -> Clock:
    clocks = [rec["time"].values + np.asarray(s, rec["time"].dtype) for rec, s in zip(recs, shifts, strict=True)]
    for i, (before, after) in enumerate(itertools.pairwise(clocks)):
        if not after[0] > before[-1]:
            raise AlignmentError(
                f"concat: the clock of recording {i + 1} begins at {after[0]:g} {clock_units(recs[0])}, but recording "
                f"{i} ends at {before[-1]:g}; put them in order, or pass offset='follow' or one offset for each"
            )
    joined: Clock = np.concatenate(clocks)
    return joined


def _joined_segments(recs: Sequence[xr.DataArray]) -> np.ndarray:
    numbers, used = [], 0
    for rec in recs:
        numbers.append(stretch_numbers(rec) + used)
        used += len(segment_bounds(rec))
    return np.concatenate(numbers)


def _joined_trials(recs: Sequence[xr.DataArray]) -> np.ndarray:
    labels = [rec["trial"].values if "trial" in rec.coords else np.arange(rec.sizes["trial"]) for rec in recs]
    if len({label.dtype.kind for label in labels}) == 1:
        joined: np.ndarray = np.concatenate(labels)
        if len(set(joined.tolist())) == joined.size:
            return joined
    return np.arange(sum(label.size for label in labels))


def _shared_coords(
    recs: Sequence[xr.DataArray], dim: str, merge: Sequence[str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Coordinates of the whole: those on `dim` joined (or merged by unit), others where all agree; and the rest."""
    names = dict.fromkeys(str(name) for rec in recs for name in rec.coords)
    coords: dict[str, Any] = {}
    dropped = []
    for name in names:
        if name == dim or (dim == "time" and name == "segment"):
            continue
        found = [rec.coords.get(name) for rec in recs]
        variable = None if any(c is None for c in found) else _shared(found, recs, dim, merge)
        if variable is None:
            dropped.append(name)
        else:
            coords[name] = variable
    return coords, dropped


def _shared(found: Sequence[Any], recs: Sequence[xr.DataArray], dim: str, merge: Sequence[str] | None) -> Any:
    first = found[0]
    if dim not in first.dims:
        return first.variable if all(first.variable.equals(coord.variable) for coord in found) else None
    if any(coord.dims != first.dims or coord.dtype.kind != first.dtype.kind for coord in found):
        return None
    if merge is None:
        values = np.concatenate([coord.values for coord in found], axis=first.dims.index(dim))
        return first.dims, values, first.attrs
    known: dict[str, Any] = {}
    for coord, rec in zip(found, recs, strict=True):
        for label, value in zip(rec["unit"].values, coord.values, strict=True):
            other = known.setdefault(label, value)
            if np.ndim(value) or (other != value and not (other != other and value != value)):
                return None
    return first.dims, np.array([known[label] for label in merge], dtype=first.dtype), first.attrs


def _joined(variables: Sequence[xr.Variable], dim: str) -> Any:
    join: Any = xr.Variable.concat  # keeps dask arrays lazy; has no types
    return join(variables, dim).data


def _on_units(rec: xr.DataArray, union: Sequence[str], dtype: np.dtype[Any]) -> xr.Variable:
    bare = xr.DataArray(rec.variable, dims=rec.dims, coords={"unit": rec["unit"].values}).astype(dtype)
    return bare.variable if list(rec["unit"].values) == list(union) else bare.reindex(unit=list(union)).variable


def _finished(
    out: xr.DataArray, named: Mapping[str, xr.DataArray], function: str, step: dict[str, Any]
) -> xr.DataArray:
    """Give the whole the attrs that all have, the first's history, and the step that made it."""
    first, *others = named.values()
    same = {
        name: value
        for name, value in first.attrs.items()
        if name in ("history", "sampling_rate") or all(rec.attrs.get(name) == value for rec in others)
    }
    known = dict.fromkeys(name for rec in named.values() for name in rec.attrs)
    out.attrs = same
    out.name = first.name if all(rec.name == first.name for rec in others) else None
    step["dropped_attrs"] = [name for name in known if name not in same]
    return add_history(out, function, **named, **step)


def _objects(labels: Sequence[str]) -> np.ndarray:
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out
