"""Spike recordings and sessions to NWB, checked by pynwb before the file appears."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.spikes._nwb import OWN_LABELS, OWN_MODULE, OWN_SERIES, REFERENCES
from neurointerp.loaders.spikes._trains import by_position
from neurointerp.schema import check, plain
from neurointerp.store import digest

TAKEN = {
    *(OWN_LABELS, "id", "name", "description", "spike_times", "obs_intervals", "electrodes", "electrode_group"),
    *("waveform_mean", "waveform_sd", "waveforms", "resolution", "columns", "colnames", "parent", "children"),
}
"""Names that a column of a units table cannot have, or has a meaning of its own by."""


def to_nwb(
    source: xr.DataArray | xr.DataTree,
    path: str | os.PathLike[str],
    *,
    session_start_time: str | datetime.datetime | None = None,
    overwrite: bool = False,
) -> Path:
    """Write spikes to an NWB file that `load` and `load_session` read back equal.

    Parameters
    ----------
    source
        A session with the recording `spikes` and its `spike_times`, as `load_session` gives it: a units table with
        the exact times (s), the unit coordinates as columns, the events as trials. Or a recording of counts or
        rates (time, unit): a time series, with a units table that describes the units and holds no times.
    path
        File to write, ending in `.nwb`.
    session_start_time
        When the session began, with its time zone (ISO text or datetime); default: the source's attr. NWB needs
        one and none is invented.
    overwrite
        Replace what is there; otherwise an existing path is an error.

    Returns
    -------
    pathlib.Path
        The file written. It appears whole, after pynwb found it valid, or not at all.

    Raises
    ------
    LoaderError
        When pynwb is missing, the path exists, the source is no spikes or does not fit NWB, no start with a time
        zone is known, or pynwb finds the file invalid.

    Notes
    -----
    NWB keeps seconds: whole samples stay as `resolution` (s) alone. Linked electrodes, template waveforms and
    further recordings of a session are not written; coordinates of theirs on `unit` are.

    Examples
    --------
    >>> import tempfile
    >>> from neurointerp.loaders import spikes
    >>> tree = spikes.load_session({"a": [0.3, 0.1], "b": [0.2]}, bin_width=0.1)
    >>> path = to_nwb(tree, tempfile.mkdtemp() + "/s.nwb", session_start_time="2024-05-01T10:00:00+00:00")
    >>> spikes.load_session(path, bin_width=0.1)["structure/spike_times/structure"].values
    array([0.1, 0.3, 0.2])
    """
    pynwb = files.library("pynwb", "nwb")
    rec, times, events = _parts(source)
    target = Path(path)
    if target.suffix != ".nwb":
        raise LoaderError(f"{target}: a path that ends in .nwb is needed")
    if target.exists() and not overwrite:
        raise LoaderError(f"{target} exists already; choose another path or pass overwrite=True")
    with _writing(target):
        nwbfile = _file(pynwb, rec, source, session_start_time)
        _units(nwbfile, rec, times)
        if times is None:
            _series(pynwb, nwbfile, rec)
        if events is not None:
            _trials(nwbfile, events)
        return _written(pynwb, nwbfile, target)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn whatever pynwb raises into one line that names the file; its warnings stay here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LoaderError:
        raise
    except Exception as error:  # pynwb and HDF5 raise anything
        raise LoaderError(
            f"{target}: cannot be written as NWB ({type(error).__name__}: {files.one_line(error)})"
        ) from error


def _parts(source: Any) -> tuple[xr.DataArray, xr.DataArray | None, xr.Dataset | None]:
    times = events = None
    rec = source
    if isinstance(source, xr.DataTree):
        held = {node.path for node in source.subtree}
        if not {"/recordings/spikes", "/structure/spike_times"} <= held:
            raise LoaderError("to_nwb: the session needs recordings/spikes and structure/spike_times; pass a recording")
        rec = source["recordings/spikes"].to_dataset()["recording"]
        times = source["structure/spike_times"].to_dataset()["structure"]
        events = source["events"].to_dataset() if "/events" in held else None
    check(rec)
    if rec.attrs["modality"] != "spikes" or rec.dims != ("time", "unit") or rec["time"].attrs.get("units") != "s":
        raise LoaderError(
            f"to_nwb: spikes (time, unit) on a clock in seconds are needed, found {rec.attrs['modality']} {rec.dims} "
            f"in {rec['time'].attrs.get('units') if 'time' in rec.coords else 'no time'}; pass one trial at a time"
        )
    extra = [str(name) for name, coord in rec.coords.items() if name != "time" and coord.dims != ("unit",)]
    if extra:
        raise LoaderError(f"to_nwb: coordinate {extra[0]!r} has no place in a units table; drop_vars it first")
    if times is None and rec.attrs.get("sampling_rate") is None:
        raise LoaderError("to_nwb: a recording of counts or rates needs a regular clock (sampling_rate)")
    return rec, times, events


def _file(pynwb: Any, rec: xr.DataArray, source: Any, given: Any) -> Any:
    attrs = {**rec.attrs, **(source.attrs if isinstance(source, xr.DataTree) else {})}
    start = _moment(given if given is not None else attrs.get(REFERENCES[0]), "session_start_time")
    zero = attrs.get(REFERENCES[1]) if given is None else None
    subject = None
    if attrs.get("subject"):
        species = {"species": str(attrs["system"])} if attrs.get("system") else {}
        subject = pynwb.file.Subject(subject_id=str(attrs["subject"]), **species)
    return pynwb.NWBFile(
        session_description=f"spikes written by neurointerp, from {attrs.get('source', 'a recording')}",
        identifier=digest(source),
        session_start_time=start,
        timestamps_reference_time=start if zero is None else _moment(zero, REFERENCES[1]),
        subject=subject,
        session_id=attrs.get("session"),
    )


def _moment(value: Any, what: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise LoaderError(f"to_nwb: {what} {value!r} is no ISO date and time") from error
    if not isinstance(moment, datetime.datetime) or moment.tzinfo is None:
        raise LoaderError(
            f"to_nwb: {what} is {value!r}: NWB needs a date and time with a time zone and none is invented; "
            "pass session_start_time='2024-05-01T10:00:00+02:00'"
        )
    return moment


def _units(nwbfile: Any, rec: xr.DataArray, times: xr.DataArray | None) -> None:
    from pynwb.misc import Units

    labels = [str(unit) for unit in rec["unit"].values]
    coords = {str(name): coord for name, coord in rec.coords.items() if coord.dims == ("unit",) and name != "unit"}
    index = coords.get("index")
    as_id = index is not None and index.dtype.kind in "iu" and np.unique(index).size == len(labels)
    if as_id:
        coords.pop("index")
    columns = {f"{name}_coordinate" if name in TAKEN else name: name for name in coords}
    about = {
        "written_by": "neurointerp",
        "index": as_id,
        "columns": {c: {"coordinate": name, "attrs": plain(dict(coords[name].attrs))} for c, name in columns.items()},
    }
    rate = None if times is None else times.attrs.get("sampling_rate")
    table = Units(name="units", description=json.dumps(about), resolution=None if rate is None else 1.0 / rate)
    rows = None if times is None else _ragged(labels, times)
    ids = index.values if as_id and index is not None else np.arange(len(labels))
    for row, number in enumerate(ids.tolist()):
        table.add_unit(id=int(number), **({} if rows is None else {"spike_times": rows[row]}))
    table.add_column(name=OWN_LABELS, description="label of the unit", data=labels)
    for column, name in columns.items():
        values = coords[name].values
        data = [str(value) for value in values] if values.dtype.kind in "OUT" else values
        table.add_column(name=column, description=f"unit coordinate {name}", data=data)
    nwbfile.units = table


def _ragged(labels: list[str], times: xr.DataArray) -> list[np.ndarray]:
    place = {label: row for row, label in enumerate(labels)}
    owner = times["spike_unit"].values.tolist()
    strange = sorted(set(owner) - set(labels))
    if strange:
        raise LoaderError(f"to_nwb: spike_times names unit {strange[0]!r}, which the recording lacks")
    rows = by_position(
        np.array([place[label] for label in owner], dtype=np.int64), times.values, "to_nwb", size=len(labels)
    )
    return [rows[row].astype(np.float64) for row in range(len(labels))]


def _series(pynwb: Any, nwbfile: Any, rec: xr.DataArray) -> None:
    module = nwbfile.create_processing_module(name=OWN_MODULE, description="binned spikes; columns are rows of units")
    kept = {"name": rec.name, "attrs": plain(dict(rec.attrs))}
    units = str(rec.attrs["units"])
    module.add(
        pynwb.TimeSeries(
            name=OWN_SERIES,
            data=np.asarray(rec.values),
            unit="count" if units == "1" else units,
            timestamps=np.asarray(rec["time"].values, dtype=np.float64),
            description="counts or rates of the units in bins; timestamps are left edges",
            comments=json.dumps(kept),
        )
    )


def _trials(nwbfile: Any, events: xr.Dataset) -> None:
    onset = events["onset"].values
    duration = events["duration"].values if "duration" in events else np.full(onset.size, np.nan)
    for begin, end in zip(onset, onset + duration, strict=True):
        nwbfile.add_trial(start_time=float(begin), stop_time=float(end))
    # NWB keeps the end; the difference would not give every duration back exactly
    for name in (str(name) for name in events.data_vars if name != "onset"):
        values = events[name].values
        data = [str(value) for value in values] if values.dtype.kind in "OUT" else values
        nwbfile.add_trial_column(name=name, description=f"event column {name}", data=data)


def _written(pynwb: Any, nwbfile: Any, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        stage = Path(folder) / target.name
        with pynwb.NWBHDF5IO(str(stage), mode="w") as io:
            io.write(nwbfile)
        wrong = pynwb.validate(path=str(stage))
        if wrong:
            raise LoaderError(f"{target}: pynwb finds it invalid: {files.one_line(wrong[0])}")
        stage.replace(target)
    return target
