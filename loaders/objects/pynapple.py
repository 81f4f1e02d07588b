"""Time series of pynapple as recordings and back; spike times too (`loaders.spikes` takes a `TsGroup`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp import schema
from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.objects._labels import columns, coordinates
from neurointerp.recordings import add_history, recording


def load(source: Any, *, modality: str, units: str, name: str | None = None) -> xr.DataArray:
    """Turn a pynapple `TsdFrame` or `Tsd` into a recording.

    Parameters
    ----------
    source
        A `TsdFrame` (time, column), or a `Tsd`, which gives one unit. pynapple states neither what is measured nor in
        which units.
    modality, units
        As `neurointerp.recording` takes them.
    name
        Of the recording, and of the unit of a `Tsd`.

    Returns
    -------
    xarray.DataArray
        (time, unit): `unit` are the columns as strings, `time` pynapple's seconds. Metadata of the columns are
        coordinates on `unit` (`x`, `y`, `z` as `column_x`, ...: their unit is not known). Of a time support of several
        intervals each is a `segment`; `history` keeps the intervals.

    Raises
    ------
    LoaderError
        When the object is none of these.
    RecordingError
        When times or columns repeat.

    Notes
    -----
    Viejo G, et al. (2023) Pynapple, a toolbox for data analysis in neuroscience. eLife 12:RP85786.

    Examples
    --------
    >>> import numpy as np, pynapple as nap
    >>> frame = nap.TsdFrame(t=np.arange(4) / 2, d=np.eye(4)[:, :2], columns=["left", "right"])
    >>> load(frame, modality="calcium", units="1").sel(unit="right").values
    array([0., 1., 0., 0.])
    """
    kind = type(source).__name__
    if not all(hasattr(source, part) for part in ("t", "values", "time_support")):
        raise LoaderError(f"{kind} is no TsdFrame or Tsd; spike times (Ts, TsGroup) are read by loaders.spikes.load")
    values = np.asarray(source.values)
    if values.ndim > 2:
        raise LoaderError(f"{kind}: has {values.ndim} dims; (time, column) is needed, such as a TsdFrame of its pixels")
    values = values.reshape(len(values), -1)
    labels = [str(one) for one in getattr(source, "columns", [name or "u0"])]
    held = getattr(source, "metadata", None)
    known = {} if held is None else {str(key): held[key].to_numpy() for key in held.columns}
    coords, left = coordinates(known, "unit", len(labels), "column")
    time = np.asarray(source.t, dtype=np.float64)
    support = np.asarray(source.time_support.values, dtype=np.float64)
    if len(support) > 1:
        coords["segment"] = ("time", np.searchsorted(support[:, 0], time, side="right") - 1)
    rec = recording(values, modality=modality, units=units, time=time, unit=labels, coords=coords, name=name)
    return add_history(rec, "loaders.objects.pynapple.load", time_support=support.tolist(), left_out=left)


def to_tsdframe(rec: xr.DataArray) -> Any:
    """Turn a continuous recording into a pynapple `TsdFrame`.

    Parameters
    ----------
    rec
        (time, unit) on a clock of seconds.

    Returns
    -------
    pynapple.TsdFrame
        Columns are the units, their coordinates the metadata. The time support is one interval for each segment, from
        its first sample to its last.

    Raises
    ------
    LoaderError
        When dims or clock are others, a segment has one sample (pynapple drops intervals without duration), or pynapple
        is not installed.

    Examples
    --------
    >>> import neurointerp as ni
    >>> to_tsdframe(ni.load("demo-eeg")).shape
    (1280, 32)
    """
    nap = files.library("pynapple", None)
    schema.check(rec)
    if rec.dims != ("time", "unit") or rec["time"].attrs["units"] != "s":
        clock = rec["time"].attrs["units"] if "time" in rec.coords else "none"
        raise LoaderError(f"to_tsdframe: dims are {rec.dims}, the clock {clock}; (time, unit) in seconds are needed")
    time = rec["time"].values
    part = rec["segment"].values if "segment" in rec.coords else np.zeros(time.size, dtype=int)
    starts = np.flatnonzero(np.r_[True, part[1:] != part[:-1]])
    ends = np.r_[starts[1:], time.size] - 1
    if (ends == starts).any():
        alone = int(part[starts[ends == starts][0]])
        raise LoaderError(f"to_tsdframe: segment {alone} has one sample, and pynapple drops intervals without duration")
    support = nap.IntervalSet(time[starts], time[ends])
    labels = rec["unit"].values.tolist()
    return nap.TsdFrame(
        t=time, d=rec.values, columns=labels, time_support=support, metadata=columns(rec, "unit") or None
    )


def to_tsgroup(tree: xr.DataTree) -> Any:
    """Turn the spike times of a session into a pynapple `TsGroup`.

    Parameters
    ----------
    tree
        A session with `structure/spike_times`, as `loaders.spikes.load_session` gives it.

    Returns
    -------
    pynapple.TsGroup
        Keyed 0, 1, ... in the order of the units, whose labels are the metadata `unit`, with the coordinates of the
        units of `recordings/spikes` beside it. The time support reaches from the start of the first bin of the counts
        to the end of the last; units without a spike stay.

    Raises
    ------
    LoaderError
        When the session holds no spike times or no counts, spikes lie outside the counts, or pynapple is not installed.

    Examples
    --------
    >>> from neurointerp.loaders import spikes
    >>> tree = spikes.load_session({"a": [0.1, 0.3], "b": [0.2]}, bin_width=0.1)
    >>> to_tsgroup(tree)[0].t.tolist()
    [0.1, 0.3]
    """
    nap = files.library("pynapple", None)
    if not {"/structure/spike_times", "/recordings/spikes"} <= set(tree.groups):
        raise LoaderError(f"to_tsgroup: spike times and counts are needed, found {', '.join(tree.groups)}")
    times: xr.DataArray = tree["structure/spike_times"].to_dataset()["structure"]
    counts: xr.DataArray = tree["recordings/spikes"].to_dataset()["recording"]
    first, last = float(counts["time"][0]), float(counts["time"][-1]) + 1 / float(counts.attrs["sampling_rate"])
    outside = int(((times.values < first) | (times.values > last)).sum())
    if outside:
        raise LoaderError(
            f"to_tsgroup: {outside} spikes lie outside the counts ({first:g} to {last:g} s); load them all"
        )
    whose, units = times["spike_unit"].values, counts["unit"].values
    support = nap.IntervalSet(first, last)
    trains = {k: nap.Ts(np.sort(times.values[whose == unit]), time_support=support) for k, unit in enumerate(units)}
    return nap.TsGroup(trains, time_support=support, metadata={"unit": units.astype(str), **columns(counts, "unit")})
