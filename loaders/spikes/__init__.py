"""Spike trains as recordings of counts: unit -> times, ALF folders, `.npz` files and NWB units tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.align import bin_events
from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, session


@dataclass(frozen=True)
class _Trains:
    times: Mapping[str, np.ndarray]
    label: str
    coords: Mapping[str, Any] = field(default_factory=dict)
    events: Any = None


def load(source: Any, *, bin_width: float, start: float | None = None, stop: float | None = None) -> xr.DataArray:
    """Read spike times and count them in bins.

    Parameters
    ----------
    source
        A mapping from unit to spike times (s); an ALF folder (`spikes.times.npy`, `spikes.clusters.npy`); an
        `.npz` file with one array of times (s) per unit; an NWB file or `pynwb.NWBFile` with a units table.
    bin_width
        Width of a bin (s).
    start, stop
        Interval `[start, stop)` (s) to bin; default from 0 to the end of the bin with the last spike.

    Returns
    -------
    xarray.DataArray
        (time, unit), int64 counts, units `"1"`; `time` is the left edge of each bin. ALF and NWB units carry
        their cluster or row id as `index`, NWB units also the plain columns of their table. Units without a
        spike stay as columns of zeros. `history` counts the spikes outside the interval: inside and outside
        add up to all.

    Raises
    ------
    LoaderError
        When files are missing, cannot be read or do not fit together, or a time is not finite.
    AlignmentError
        When the width or the interval is empty.

    Notes
    -----
    ALF: International Brain Laboratory, ALF specification. NWB: Ruebel O, et al. (2022) eLife 11:e78362.

    Examples
    --------
    >>> rec = load({"a": [0.01, 0.02, 0.31], "b": [0.15]}, bin_width=0.1)
    >>> rec.sel(unit="a").values
    array([2, 0, 0, 1])
    """
    return _counts(_read(source), bin_width, start, stop)


def load_session(
    source: Any, *, bin_width: float, start: float | None = None, stop: float | None = None
) -> xr.DataTree:
    """Read spike times as counts and, beside them, the times themselves.

    Parameters
    ----------
    source, bin_width, start, stop
        As for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `spikes`; `structure/spike_times` (spike), s, ordered by unit, with the coordinate
        `spike_unit`; events of the source where it has them (`events.times.npy`, NWB trials).

    Raises
    ------
    LoaderError, AlignmentError
        As for `load`.

    Examples
    --------
    >>> tree = load_session({"a": [0.3, 0.1], "b": [0.2]}, bin_width=0.1)
    >>> tree["structure/spike_times/structure"].values
    array([0.1, 0.3, 0.2])
    """
    trains = _read(source)
    rec = _counts(trains, bin_width, start, stop)
    kept = {"spike_times": _spike_times(trains.times)}
    return session({"spikes": rec}, events=trains.events, structure=kept, attrs={"source": Path(trains.label).name})


def by_cluster(times: np.ndarray, clusters: np.ndarray, *, label: str = "spikes") -> dict[str, np.ndarray]:
    """Split the spike times of a probe by the cluster each spike was sorted into.

    Parameters
    ----------
    times, clusters
        (spike,): time (s) and integer cluster of each spike.
    label
        What an error calls them.

    Returns
    -------
    dict of str to numpy.ndarray
        `c<cluster>` -> its times, in the order of `times`; by cluster number.

    Raises
    ------
    LoaderError
        When the two do not have one entry per spike, or a time is not finite.

    Examples
    --------
    >>> by_cluster(np.array([0.1, 0.2, 0.3]), np.array([7, 4, 7]))
    {'c4': array([0.2]), 'c7': array([0.1, 0.3])}
    """
    if times.ndim != 1 or times.shape != clusters.shape or clusters.dtype.kind not in "iu":
        raise LoaderError(
            f"{label}: one integer cluster per spike is needed, found times {times.shape} and clusters "
            f"{clusters.shape} {clusters.dtype}"
        )
    ids, inverse = np.unique(clusters, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    trains = np.split(times[order], np.cumsum(np.bincount(inverse))[:-1])
    return {f"c{name}": _times(train, label, name) for name, train in zip(ids.tolist(), trains, strict=True)}


def _read(source: Any) -> _Trains:
    if isinstance(source, Mapping):
        return _Trains({str(unit): _times(times, "mapping", unit) for unit, times in source.items()}, "mapping")
    if isinstance(source, str | os.PathLike):
        path = files.existing(source)
        if path.is_dir():
            return _alf(path)
        if path.suffix.lower() == ".npz":
            return _npz(path)
        if path.suffix.lower() != ".nwb":
            raise LoaderError(f"{path}: an ALF folder, an .npz or an .nwb file is needed, found {path.suffix!r}")
    with files.nwb(source) as nwbfile:
        return _nwb(nwbfile, str(source) if isinstance(source, str | os.PathLike) else "NWBFile")


def _counts(trains: _Trains, bin_width: float, start: float | None, stop: float | None) -> xr.DataArray:
    if not trains.times:
        raise LoaderError(f"{trains.label}: holds no units")
    rec = bin_events(trains.times, bin_width=bin_width, start=start, stop=stop)
    rec = rec.assign_coords(dict(trains.coords)).rename("spikes")
    rec.attrs["source"] = Path(trains.label).name
    silent = [unit for unit, times in trains.times.items() if not times.size]
    return add_history(rec, "loaders.spikes.load", bin_width=bin_width, units_without_spikes=silent)


def _spike_times(trains: Mapping[str, np.ndarray]) -> xr.DataArray:
    lengths = [times.size for times in trains.values()]
    units = np.repeat(np.array(list(trains), dtype=object), lengths)
    values = np.concatenate([np.sort(times) for times in trains.values()])
    return xr.DataArray(values, dims="spike", coords={"spike_unit": ("spike", units)}, attrs={"units": "s"})


def _alf(folder: Path) -> _Trains:
    where = f"an ALF folder has spikes.times.npy and spikes.clusters.npy; {folder} holds " + (
        ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    )
    times = files.array(files.existing(folder / "spikes.times.npy", remedy=where))
    clusters = files.array(files.existing(folder / "spikes.clusters.npy", remedy=where))
    trains = by_cluster(times, clusters, label=str(folder))
    events = None
    if (folder / "events.times.npy").is_file():
        events = {"onset": files.array(folder / "events.times.npy")}
    index = np.array([int(unit[1:]) for unit in trains])
    return _Trains(trains, str(folder), {"index": ("unit", index)}, events)


def _npz(path: Path) -> _Trains:
    with files.reading(path, "an .npz file"), np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return _Trains({name: _times(values, path, name) for name, values in arrays.items()}, str(path))


def _nwb(nwbfile: Any, label: str) -> _Trains:
    units = nwbfile.units
    if units is None or not len(units) or "spike_times" not in units.colnames:
        raise LoaderError(f"{label}: holds no units table with spike times; for fluorescence use loaders.calcium")
    ids = np.asarray(units.id[:], dtype=np.int64)
    named = {f"unit{name}": _times(units["spike_times"][row], label, name) for row, name in enumerate(ids.tolist())}
    if len(named) != len(ids):
        raise LoaderError(f"{label}: unit ids are not unique: {len(named)} of {len(ids)} differ")
    coords = {**files.nwb_columns(units), "index": ("unit", ids)}
    return _Trains(named, label, coords, files.nwb_events(nwbfile))


def _times(values: Any, label: object, unit: object) -> np.ndarray:
    times = np.asarray(values)
    if times.ndim != 1 or (times.size and times.dtype.kind not in "iuf"):
        raise LoaderError(
            f"{label}: unit {unit!r} needs a row of times (s), found {times.dtype} of shape {times.shape}"
        )
    times = times.astype(np.float64)
    if not np.isfinite(times).all():
        raise LoaderError(f"{label}: unit {unit!r} has {int((~np.isfinite(times)).sum())} times that are not finite")
    return times
