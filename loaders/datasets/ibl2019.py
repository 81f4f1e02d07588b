"""Sorted spikes of 289 clusters: the electrophysiology test fixture of the International Brain Laboratory (ibllib).

The fixture does not document the recording; refractory periods and interval statistics are those of real units.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.loaders import files, spikes
from neurointerp.recordings import add_history, session

BIN_WIDTH = 0.02
ABOUT = {"license": "MIT", "citation": "International Brain Laboratory, ibllib (brainbox/tests/fixtures)"}


def load(
    path: files.PathLike,
    *,
    clusters: files.PathLike | None = None,
    events: files.PathLike | None = None,
    groups: files.PathLike | None = None,
    bin_width: float = BIN_WIDTH,
    start: float | None = None,
    stop: float | None = None,
) -> xr.DataArray:
    """Read the spikes as counts.

    Parameters
    ----------
    path
        `spikes.times.npy` (s), or the folder that holds it.
    clusters
        `spikes.clusters.npy`; default: the file of that name beside `path`.
    events, groups
        As for `load_session`; the recording alone does not need them.
    bin_width, start, stop
        As for `loaders.spikes.load`; bins of 20 ms by default.

    Returns
    -------
    xarray.DataArray
        (time, unit), counts, as `loaders.spikes.load` gives them; units are `c<cluster>` with `index`.

    Raises
    ------
    LoaderError
        When a file is missing, cannot be read or does not fit the other.
    """
    rec = spikes.load(_trains(path, clusters), bin_width=bin_width, start=start, stop=stop)
    return _described(rec, path)


def load_session(
    path: files.PathLike,
    *,
    clusters: files.PathLike | None = None,
    events: files.PathLike | None = None,
    groups: files.PathLike | None = None,
    bin_width: float = BIN_WIDTH,
    start: float | None = None,
    stop: float | None = None,
) -> xr.DataTree:
    """Read the spikes as counts and times, with the fixture's events.

    Parameters
    ----------
    path, clusters, bin_width, start, stop
        As for `load`.
    events, groups
        `events.times.npy` (s) and `events.groups.npy`. They are a regular 5 s grid made up for tests, not
        behaviour.

    Returns
    -------
    xarray.DataTree
        As `loaders.spikes.load_session` gives it; `trial_type` of an event is `group<number>`.

    Raises
    ------
    LoaderError
        As for `load`.
    """
    tree = spikes.load_session(_trains(path, clusters), bin_width=bin_width, start=start, stop=stop)
    rec = _described(tree["recordings/spikes"].to_dataset()["recording"], path)
    times = tree["structure/spike_times"].to_dataset()["structure"]
    return session(
        {"spikes": rec},
        events=_events(events, groups),
        structure={"spike_times": times},
        attrs={**ABOUT, "source": rec.attrs["source"], "events_are": "made up for tests"},
    )


def _trains(path: files.PathLike, clusters: files.PathLike | None) -> dict[str, np.ndarray]:
    found = files.existing(path)
    times = found / "spikes.times.npy" if found.is_dir() else found
    beside = times.parent / "spikes.clusters.npy" if clusters is None else Path(clusters)
    remedy = "pass clusters=, the path of spikes.clusters.npy"
    return spikes.by_cluster(files.array(times), files.array(files.existing(beside, remedy=remedy)), label=str(times))


def _described(rec: xr.DataArray, path: files.PathLike) -> xr.DataArray:
    index = np.array([int(str(unit)[1:]) for unit in rec["unit"].values])
    rec = rec.assign_coords(index=("unit", index))
    rec.attrs |= ABOUT | {"source": Path(path).name}
    return add_history(rec, "loaders.datasets.ibl2019.load")


def _events(events: files.PathLike | None, groups: files.PathLike | None) -> dict[str, Any] | None:
    if events is None:
        return None
    table: dict[str, Any] = {"onset": files.array(events).astype(np.float64)}
    if groups is not None:
        table["trial_type"] = [f"group{int(group)}" for group in files.array(groups)]
    return table
