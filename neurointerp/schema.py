"""The contract of a recording, as data and as one check."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import units as _units
from neurointerp.errors import RecordingError

SCHEMA_VERSION = "1"
MODALITIES = ("activations", "spikes", "calcium", "eeg", "meg", "ieeg", "fmri", "behavior", "stimulus")
COUNTS = ("token", "tick", "step", "frame")
LEADING = ("subject", "trial", "time")
RATE_TOLERANCE = 0.01
"""How far a stamp may lie from the regular clock, in samples, before `sampling_rate` disagrees."""


def check(recording: xr.DataArray) -> None:
    """Check a recording against the contract.

    Parameters
    ----------
    recording
        Any `xarray.DataArray`; lazy values are not read.

    Raises
    ------
    RecordingError
        One message that lists every violation found, each with its remedy.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.zeros((4, 2)), modality="eeg", units="V", sampling_rate=100.0)
    >>> ni.check(rec)
    >>> ni.check(rec.drop_vars("time"))
    Traceback (most recent call last):
    ...
    neurointerp.errors.RecordingError: not a recording: no coordinate 'time': pass time= or sampling_rate=
    """
    if not isinstance(recording, xr.DataArray):
        raise RecordingError(
            f"not a recording: an xarray.DataArray is needed, found {type(recording).__name__}; "
            "build one with neurointerp.recording(...)"
        )
    found = list(_violations(recording))
    if found:
        raise RecordingError("not a recording: " + "; ".join(found))


def _violations(rec: xr.DataArray) -> Iterator[str]:
    yield from _dims(rec)
    yield from _values(rec)
    yield from _unit(rec)
    yield from _time(rec)
    yield from _coords(rec)
    yield from _attrs(rec)


def _dims(rec: xr.DataArray) -> Iterator[str]:
    dims = [str(dim) for dim in rec.dims]
    if not dims or dims[-1] != "unit":
        yield f"dims are {tuple(dims)}: the last must be 'unit' (use .transpose(..., 'unit'))"
    if "time" not in dims and "trial" not in dims:
        yield f"dims are {tuple(dims)}: one of 'time', 'trial' is needed"
    ranks = [LEADING.index(dim) for dim in dims if dim in LEADING]
    inner = [dim for dim in dims[: len(ranks)] if dim not in LEADING]
    if ranks != sorted(ranks) or inner:
        yield f"dims are {tuple(dims)}: the order is subject, trial, time, any others, unit"


def _values(rec: xr.DataArray) -> Iterator[str]:
    if rec.dtype.kind not in "biuf":
        yield f"values have dtype {rec.dtype}: real numbers or booleans are needed"
    elif rec.dtype.kind == "f" and is_in_memory(rec):
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(rec.values.sum())  # if the sum is, all are: one pass, where most recordings stop
        infinite = 0 if finite else int(np.isinf(rec.values).sum())
        if infinite:
            yield f"{infinite} infinite values: a missing value is NaN"


def _unit(rec: xr.DataArray) -> Iterator[str]:
    if "unit" not in rec.dims:
        return
    if "unit" not in rec.coords:
        yield "no coordinate 'unit': unique strings are needed"
        return
    labels = list(rec["unit"].values)
    if any(not isinstance(label, str) for label in labels):
        yield f"unit labels must be strings, found {type(labels[0]).__name__}"
    elif len(set(labels)) != len(labels):
        repeated = next(label for label in labels if labels.count(label) > 1)
        yield f"unit labels must be unique, {repeated!r} stands {labels.count(repeated)} times"


def _time(rec: xr.DataArray) -> Iterator[str]:
    if "time" not in rec.dims:
        return
    if "time" not in rec.coords:
        yield "no coordinate 'time': pass time= or sampling_rate="
        return
    time = rec["time"].values
    if time.dtype not in (np.dtype("float64"), np.dtype("int64")):
        yield f"time has dtype {time.dtype}: float64 seconds or int64 counts are needed"
        return
    unit = rec["time"].attrs.get("units")
    allowed = ("s",) if time.dtype.kind == "f" else COUNTS
    if unit not in allowed:
        yield f"time of dtype {time.dtype} has units {unit!r}: one of {', '.join(allowed)} is needed"
    if time.dtype.kind == "f" and not np.isfinite(time).all():
        yield f"time has {int((~np.isfinite(time)).sum())} stamps that are not finite"
        return
    if time.size > 1 and not (np.diff(time) > 0).all():
        where = int(np.argmin(np.diff(time) > 0))
        yield f"time must increase strictly: stamp {where + 1} ({time[where + 1]}) follows {time[where]}"
        return
    segment = rec.coords.get("segment")
    if segment is not None and (segment.dims != ("time",) or segment.dtype.kind not in "iu"):
        yield f"segment must be integers on 'time', found {segment.dtype} on {segment.dims}"
        return
    yield from _rate(rec, time)


def _rate(rec: xr.DataArray, time: np.ndarray) -> Iterator[str]:
    rate = rec.attrs.get("sampling_rate")
    if rate is None:
        return
    if not _is_number(rate) or not math.isfinite(rate) or rate <= 0:
        yield f"sampling_rate is {rate!r}: a positive number per clock unit is needed"
        return
    for start, stop in segment_bounds(rec) if time.size else []:
        off = np.abs((time[start:stop] - time[start]) * rate - np.arange(stop - start))
        if off.max() > RATE_TOLERANCE:
            yield (
                f"sampling_rate {rate:g} disagrees with time: {off.max():.3g} samples off at stamp "
                f"{start + int(off.argmax())}; leave sampling_rate out if the clock is irregular"
            )
            return


def _coords(rec: xr.DataArray) -> Iterator[str]:
    for name, coord in rec.coords.items():
        if coord.dtype.kind not in "biufOUT":
            yield f"coordinate {name!r} has dtype {coord.dtype}: numbers, booleans or strings are needed"
        elif coord.dtype.kind == "O" and not _all_strings(coord.values):
            yield f"coordinate {name!r} mixes types: strings alone are needed"
    if any(index.nlevels > 1 for index in rec.indexes.values()):
        yield "a MultiIndex cannot be stored: use plain coordinates on one dim"


def _attrs(rec: xr.DataArray) -> Iterator[str]:
    attrs = rec.attrs
    if attrs.get("modality") not in MODALITIES:
        yield f"modality is {attrs.get('modality')!r}: one of {', '.join(MODALITIES)} is needed"
    if "units" not in attrs:
        yield "attr 'units' is missing: anything pint parses, '1' for dimensionless"
    elif not _units.is_known(attrs["units"]):
        yield f"units are {attrs['units']!r}, which pint cannot parse; dimensionless is '1'"
    if not isinstance(attrs.get("schema_version"), str):
        yield "attr 'schema_version' is missing: build the recording with neurointerp.recording(...)"
    history = attrs.get("history")
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        yield "attr 'history' must be a list of steps (dicts)"
    for name, value in attrs.items():
        if not is_json(value):
            yield f"attr {name!r} is of type {type(value).__name__}: JSON types only"


def segment_bounds(recording: xr.DataArray) -> list[tuple[int, int]]:
    """Give (start, stop) of each stretch of the `time` dim that has no gap, by the `segment` coordinate."""
    size = recording.sizes["time"]
    if "segment" not in recording.coords or size == 0:
        return [(0, size)]
    segment = recording["segment"].values
    cuts = [0, *(np.flatnonzero(np.diff(segment)) + 1).tolist(), size]
    return list(itertools.pairwise(cuts))


def is_in_memory(array: xr.DataArray) -> bool:
    """Tell whether the values are a numpy array already, so that looking at them reads nothing."""
    return isinstance(array.variable._data, np.ndarray)


def is_json(value: Any) -> bool:
    """Tell whether a value survives JSON unchanged (NaN and infinity do not)."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(is_json(item) for item in value)
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, bool, int)


def plain(value: Any) -> Any:
    """Turn numpy scalars, arrays, tuples and paths of an attr or a parameter into JSON types.

    A number that is not finite becomes its name ("nan", "inf"); what JSON cannot hold becomes its `repr`.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if is_json(value):
        return value
    return json.loads(json.dumps(value, default=str))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all_strings(values: np.ndarray) -> bool:
    return all(isinstance(value, str) for value in values.ravel())
