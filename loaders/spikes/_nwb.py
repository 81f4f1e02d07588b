"""NWB units tables: spike times, labels, electrodes, and the file's two time references."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.spikes._nwb_signals import places, read_signals, series
from neurointerp.loaders.spikes._trains import RESERVED, Trains, trains
from neurointerp.recordings import recording

OWN_LABELS = "neurointerp_unit"
"""Column of unit labels in files that `to_nwb` wrote."""
OWN_MODULE, OWN_SERIES = "neurointerp", "binned"
"""Processing module and series that `to_nwb` writes counts and rates to."""
REFERENCES = ("session_start_time", "timestamps_reference_time")


def read_nwb(source: Any, *, signals: tuple[str, ...] = ()) -> Trains:
    """Read the units table of a file (or open `NWBFile`), and the named time series beside it."""
    label = str(source) if isinstance(source, str | os.PathLike) else "NWBFile"
    with files.nwb(source) as nwbfile:
        about = _references(source, nwbfile) | _subject(nwbfile)
        recordings = read_signals(nwbfile, signals, label)
        units, stored = nwbfile.units, _binned(nwbfile, label)
        if stored is not None:
            recordings["spikes"] = stored
        if units is None or not len(units) or "spike_times" not in units.colnames:
            if recordings:
                return Trains({}, label, recordings=recordings, events=files.nwb_events(nwbfile), attrs=about)
            raise LoaderError(
                f"{label}: holds no units table with spike times; for fluorescence use loaders.calcium{_offer(nwbfile)}"
            )
        labels, ids, own = _labels(units, label)
        times = dict(zip(labels, _rows(units, label), strict=True))
        coords, notes = _columns(units, ids, own)
        linked, structure = _linked(units, labels)
        coords = {**linked, **coords}
        return trains(
            times,
            label,
            coords=coords,
            events=files.nwb_events(nwbfile),
            structure=structure,
            recordings=recordings,
            attrs=about,
            notes=notes,
        )


def _binned(nwbfile: Any, label: str) -> xr.DataArray | None:
    """Give the recording that `to_nwb` wrote as counts or rates, without spike times; None where there is none."""
    module = nwbfile.processing.get(OWN_MODULE)
    if module is None or nwbfile.units is None or OWN_SERIES not in module.data_interfaces:
        return None
    found = module[OWN_SERIES]
    kept = json.loads(found.comments)
    labels, ids, own = _labels(nwbfile.units, label)
    coords, _ = _columns(nwbfile.units, ids, own)
    fixed = ("modality", "units", "schema_version", "sampling_rate")
    return recording(
        found.data[:],
        modality="spikes",
        units=kept["attrs"]["units"],
        sampling_rate=kept["attrs"].get("sampling_rate"),
        time=np.asarray(found.timestamps[:], dtype=np.float64),
        unit=labels,
        coords=coords,
        name=kept["name"],
        attrs={name: value for name, value in kept["attrs"].items() if name not in fixed},
    )


def _labels(units: Any, label: str) -> tuple[list[str], np.ndarray, dict[str, Any] | None]:
    ids = np.asarray(units.id[:], dtype=np.int64)
    if len(set(ids.tolist())) != len(ids):
        raise LoaderError(f"{label}: unit ids are not unique: {len(set(ids.tolist()))} of {len(ids)} differ")
    if OWN_LABELS in units.colnames:
        names = [str(name) for name in units[OWN_LABELS].data[:]]
        if len(set(names)) != len(names):
            raise LoaderError(
                f"{label}: labels in column {OWN_LABELS} are not unique: {len(set(names))} of {len(names)}"
            )
        return names, ids, json.loads(units.description)
    return [f"unit{number}" for number in ids.tolist()], ids, None


def _rows(units: Any, label: str) -> list[np.ndarray]:
    index = units["spike_times"]
    ends, times = np.asarray(index.data[:], dtype=np.int64), np.asarray(index.target.data[:])
    if (np.diff(ends, prepend=0) < 0).any() or ends[-1] != times.size:
        raise LoaderError(
            f"{label}: spike_times_index ends at {ends[-1]} and must rise to the {times.size} spike times"
        )
    return np.split(times, ends[:-1])


def _columns(units: Any, ids: np.ndarray, own: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    found = files.nwb_columns(units)
    if own is not None:
        coords: dict[str, Any] = {
            entry["coordinate"]: (*found[column], entry["attrs"]) for column, entry in own["columns"].items()
        }
        return coords | ({"index": ("unit", ids)} if own["index"] else {}), {}
    left = sorted(set(units.colnames) & set(RESERVED))
    coords = {name: value for name, value in found.items() if name not in left}
    notes: dict[str, Any] = {"columns_left_out": left} if left else {}
    return coords | {"index": ("unit", ids)}, notes


def _linked(units: Any, labels: list[str]) -> tuple[dict[str, Any], dict[str, xr.DataArray]]:
    """Resolve what a unit's row points to: its electrodes, observation intervals and mean waveform."""
    names = np.array(labels, dtype=object)
    structure: dict[str, xr.DataArray] = {}
    if "obs_intervals" in units.colnames:
        rows = [np.asarray(units["obs_intervals"][row]).reshape(-1, 2) for row in range(len(names))]
        owner = np.repeat(names, [len(row) for row in rows])
        structure["obs_intervals"] = xr.DataArray(
            np.concatenate(rows).astype(np.float64),
            dims=("interval", "edge"),
            coords={"edge": np.array(["start", "stop"], dtype=object), "interval_unit": ("interval", owner)},
            attrs={"units": "s"},
        )
    if "waveform_mean" in units.colnames:
        stored = units["waveform_mean"]
        if type(stored).__name__ == "VectorData" and (waves := np.asarray(stored.data[:])).ndim in (2, 3):
            attrs = {"units": "V" if units.waveform_unit in (None, "volts") else units.waveform_unit}
            attrs |= {"sampling_rate": float(units.waveform_rate)} if units.waveform_rate else {}
            dims = ("unit", "waveform_sample", "waveform_channel")[: waves.ndim]
            structure["waveform_mean"] = xr.DataArray(waves, dims=dims, coords={"unit": names}, attrs=attrs)
    if "electrodes" not in units.colnames:
        return {}, structure
    coords, structure["electrodes"] = _electrodes(units, names)
    return coords, structure


def _electrodes(units: Any, names: np.ndarray) -> tuple[dict[str, Any], xr.DataArray]:
    index = units["electrodes"]
    ragged = hasattr(index, "target")
    region = index.target if ragged else index
    targets = np.asarray(region.data[:], dtype=np.int64)
    rows = np.split(targets, np.asarray(index.data[:], dtype=np.int64)[:-1]) if ragged else list(targets[:, None])
    table = region.table
    member = np.zeros((len(names), len(table)), dtype=bool)
    for unit, row in enumerate(rows):
        member[unit, row] = True
    columns = {name: value for name, (_, value) in files.nwb_columns(table).items()}
    on_electrode = {axis: ("electrode", v, {"units": "m", "frame": f}) for axis, v, f in places(columns)}
    if "location" in columns:
        on_electrode["region"] = ("electrode", columns["location"], {})
    links = xr.DataArray(
        member,
        dims=("unit", "electrode"),
        coords={"unit": names, "electrode": np.asarray(table.id[:], dtype=np.int64), **on_electrode},
    )
    return _of_units(rows, on_electrode), links


def _of_units(rows: list[np.ndarray], on_electrode: dict[str, Any]) -> dict[str, Any]:
    """Give each unit the centroid of its electrodes, and their region where they agree."""
    coords: dict[str, Any] = {"n_electrodes": ("unit", np.array([np.unique(row).size for row in rows]))}
    for name, (_, values, about) in on_electrode.items():
        if name == "region":
            places_of = [set(values[row].tolist()) for row in rows]
            text = [next(iter(found)) if len(found) == 1 else "" for found in places_of]
            coords["region"] = ("unit", np.array(text, dtype=object))
        else:
            centre = [float(values[np.unique(row)].mean()) if row.size else np.nan for row in rows]
            coords[name] = ("unit", np.array(centre), {**about, "of": "centroid of the unit's electrodes"})
    return coords


def _references(source: Any, nwbfile: Any) -> dict[str, str]:
    """Give the two time references as the file writes them: pynwb adds the reader's time zone where none is."""
    if isinstance(source, str | os.PathLike) and Path(source).is_file():
        h5py = files.library("h5py", "nwb")
        with files.reading(source, "NWB"), h5py.File(source, "r") as file:
            return {name: _text(file[name][()]) for name in REFERENCES if name in file}
    return {name: getattr(nwbfile, name).isoformat() for name in REFERENCES if getattr(nwbfile, name, None)}


def _subject(nwbfile: Any) -> dict[str, str]:
    about = nwbfile.subject
    found = {} if about is None else {"subject": about.subject_id, "system": about.species}
    return {name: str(value) for name, value in {**found, "session": nwbfile.session_id}.items() if value}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _offer(nwbfile: Any) -> str:
    names = list(series(nwbfile))
    return f"; its time series are {', '.join(names[:6])}: load_session(..., signals=) reads them" if names else ""
