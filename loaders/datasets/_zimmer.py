"""The Zimmer lab's container: a MATLAB v7.3 struct whose fields hold one cell per worm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import _worms, worm_traces
from neurointerp.recordings import session

FIELDS = {
    "traces": ("deltaFOverF_bc", "traces", "traces_bleach_corrected"),
    "time": ("tv", "timeVectorSeconds", "time_vector"),
    "labels": ("NeuronNames", "IDs", "neuron_ID"),
    "worm": ("dataset", "trialname"),
    "states": ("States", "states"),
}
"""What each field is called in the files of the five papers; the first that is there is taken."""
NEEDED = ("traces", "time", "labels")


def load_all(
    path: files.PathLike, about: Mapping[str, str], function: str, homogenised: bool, target_dt: float
) -> dict[str, xr.DataArray]:
    """Read every worm of a file, by its name."""
    return {
        name: worm_traces.homogenise(rec, target_dt=target_dt) if homogenised else rec
        for name, (rec, _) in _held(path, about, function).items()
    }


def load(
    path: files.PathLike,
    about: Mapping[str, str],
    function: str,
    worm: str | None,
    homogenised: bool,
    target_dt: float,
) -> xr.DataArray:
    """Read one worm."""
    rec, _ = _worms.chosen(_held(path, about, function), path, worm)
    return worm_traces.homogenise(rec, target_dt=target_dt) if homogenised else rec


def load_session(
    path: files.PathLike,
    about: Mapping[str, str],
    function: str,
    worm: str | None,
    homogenised: bool,
    target_dt: float,
) -> xr.DataTree:
    """Read one worm with its behavioural states as events."""
    rec, states = _worms.chosen(_held(path, about, function), path, worm)
    recordings = worm_traces.copies(rec, target_dt=target_dt) if homogenised else {"calcium": rec}
    attrs = {**about, "source": rec.attrs["source"], "session": rec.attrs["session"]}
    return session(recordings, events=_events(states, rec["time"].values, path), attrs=attrs)


def _held(
    path: files.PathLike, about: Mapping[str, str], function: str
) -> dict[str, tuple[xr.DataArray, dict[str, np.ndarray]]]:
    h5py = files.library("h5py", "nwb")
    found = files.existing(path)
    with files.reading(found, "a MATLAB v7.3 file of the Zimmer lab"), h5py.File(found, "r") as file:
        group = _struct(file, found)
        fields = {role: next((name for name in names if name in group), None) for role, names in FIELDS.items()}
        missing = [" or ".join(FIELDS[role]) for role in NEEDED if fields[role] is None]
        if missing:
            raise LoaderError(f"{found}: no field {missing[0]}; it has {', '.join(group)}")
        columns = {role: _cells(file, group[name]) for role, name in fields.items() if name is not None}
        sizes = {str(fields[role]): len(cells) for role, cells in columns.items()}
        if len(set(sizes.values())) != 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise LoaderError(f"{found}: the fields hold different numbers of worms: {told}")
        out = {}
        for place in range(len(columns["traces"])):
            cells = {role: cell[place] for role, cell in columns.items()}
            name = _text(file, cells.get("worm")) or f"worm{place}"
            if name in out:
                name = f"{name}-{place}"
            out[name] = (_worm(file, cells, name, found, about, function), _states(file, cells.get("states")))
    return out


def _struct(file: Any, path: Path) -> Any:
    """Give the one struct of the file (its variable is named after the file)."""
    structs = [name for name in file if name != "#refs#" and hasattr(file[name], "keys")]
    if len(structs) != 1:
        raise LoaderError(f"{path}: one struct of worms is needed, found {', '.join(structs) or 'none'}")
    return file[structs[0]]


def _cells(file: Any, field: Any) -> list[Any]:
    """Give what the cells of a field hold; a field that is no cell array belongs to a file of one worm."""
    if hasattr(field, "keys") or field.dtype.kind != "O":
        return [field]
    return [file[reference] for reference in field[()].ravel()]


def _worm(
    file: Any, cells: Mapping[str, Any], name: str, path: Path, about: Mapping[str, str], function: str
) -> xr.DataArray:
    time = np.asarray(cells["time"][()], dtype=np.float64).ravel()
    traces = np.asarray(cells["traces"][()], dtype=np.float64)
    labels = [_label(file, cell) for cell in _cells(file, cells["labels"])]
    if traces.shape != (len(labels), len(time)):
        raise LoaderError(
            f"{path}: worm {name!r} has traces of {traces.shape[::-1]} (time, neuron) for {len(time)} stamps and "
            f"{len(labels)} neuron names"
        )
    attrs = {**about, "source": path.name, "session": name}
    return worm_traces.worm(traces.T, time, labels, function=function, attrs=attrs)


def _label(file: Any, cell: Any) -> str:
    """Give a neuron's label; several different candidates stay beside each other, none is preferred."""
    if cell.dtype.kind == "O":
        texts = [_text(file, file[reference]) for reference in cell[()].ravel()]
    else:
        texts = [_text(file, cell)]
    return "/".join(dict.fromkeys(text for text in texts if text))


def _text(file: Any, cell: Any) -> str:
    """Give the text of a MATLAB char array; an empty array (which holds its own shape) is ""."""
    if cell is None or "MATLAB_empty" in cell.attrs:
        return ""
    values = np.asarray(cell[()])
    if values.dtype.kind == "O":
        return _text(file, file[values.ravel()[0]])
    if cell.attrs.get("MATLAB_class") == b"char":
        return "".join(map(chr, values.ravel())).strip()
    return f"{values.ravel()[0]:g}" if values.size == 1 else ""


def _states(file: Any, cell: Any) -> dict[str, np.ndarray]:
    if cell is None or not hasattr(cell, "keys"):
        return {}
    return {name: np.asarray(cell[name][()]).ravel() for name in cell}


def _events(states: Mapping[str, np.ndarray], time: np.ndarray, path: files.PathLike) -> dict[str, Any] | None:
    """Turn 0/1 series per state into stretches; one ends where the first frame after it begins."""
    rows: list[tuple[float, float, str]] = []
    ends = np.append(time, time[-1] + np.median(np.diff(time)))
    for state, active in states.items():
        if len(active) != len(time):
            raise LoaderError(f"{path}: state {state!r} has {len(active)} frames for {len(time)} stamps")
        edges = np.diff(np.concatenate([[0], (active > 0).astype(np.int8), [0]]))
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            rows.append((float(ends[start]), float(ends[stop] - ends[start]), state))
    if not rows:
        return None
    return dict(zip(("onset", "duration", "trial_type"), zip(*sorted(rows), strict=True), strict=True))
