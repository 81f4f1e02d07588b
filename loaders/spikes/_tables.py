"""Plain spike times: mappings, `.npz`, csv with declared columns, one number per line, and ALF folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.spikes._trains import Trains, by_cluster, trains

SEPARATORS = {".csv": ",", ".tsv": "\t", ".dat": "\t"}


def read_mapping(
    source: Mapping[Any, Any], *, time_units: str = "s", sampling_rate: float | None = None, label: object = "mapping"
) -> Trains:
    """Read unit -> times."""
    return trains(source, label, time_units=time_units, rate=sampling_rate)


def read_npz(path: Path, *, time_units: str = "s", sampling_rate: float | None = None) -> Trains:
    """Read one array of times per unit."""
    with files.reading(path, "an .npz file"), np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return trains(arrays, path, time_units=time_units, rate=sampling_rate)


def read_table(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    time_units: str | None = None,
    sampling_rate: float | None = None,
) -> Trains:
    """Read a table with one spike per row: `columns` names its `time` and `unit`."""
    import pandas as pd

    with files.reading(path, "a table of spikes"):
        table = pd.read_csv(path, sep=SEPARATORS[path.suffix.lower()], comment="#", encoding="utf-8-sig")
    found = ", ".join(map(str, table.columns))
    if columns is None or set(columns) != {"time", "unit"}:
        raise LoaderError(
            f"{path}: which columns hold times and units? pass columns={{'time': .., 'unit': ..}}; it has {found}"
        )
    absent = [name for name in columns.values() if name not in table.columns]
    if absent:
        raise LoaderError(f"{path}: has no column {absent[0]!r}; it has {found}")
    unit, times = table[columns["unit"]], table[columns["time"]]
    if unit.isna().any():
        raise LoaderError(f"{path}: {int(unit.isna().sum())} spikes name no unit in column {columns['unit']!r}")
    values = times.to_numpy()
    rows = {str(name): values[index] for name, index in sorted(unit.groupby(unit).indices.items())}
    return trains(rows, path, time_units=_stated(time_units, path), rate=sampling_rate)


def read_text(path: Path, *, time_units: str | None = None, sampling_rate: float | None = None) -> Trains:
    """Read the times of one unit, one number per line; lines that begin with `#` are comments."""
    with files.reading(path, "one spike time per line"):
        values = np.loadtxt(path, ndmin=1, encoding="utf-8-sig")
    if time_units == "samples" and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    return trains({path.stem: values}, path, time_units=_stated(time_units, path), rate=sampling_rate)


def read_alf(folder: Path) -> Trains:
    """Read `spikes.times.npy` and `spikes.clusters.npy`."""
    where = f"an ALF folder has spikes.times.npy and spikes.clusters.npy; {folder} holds {listing(folder)}"
    times = files.array(files.existing(folder / "spikes.times.npy", remedy=where))
    clusters = files.array(files.existing(folder / "spikes.clusters.npy", remedy=where))
    rows = by_cluster(times, clusters, label=str(folder))
    events = None
    if (folder / "events.times.npy").is_file():
        events = {"onset": files.array(folder / "events.times.npy")}
    index = np.array([int(unit[1:]) for unit in rows])
    return trains(rows, folder, coords={"index": ("unit", index)}, events=events)


def listing(folder: Path) -> str:
    """Name the first files of a folder."""
    return ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"


def _stated(time_units: str | None, path: Path) -> str:
    if time_units is None:
        raise LoaderError(
            f"{path}: does not state the units of its times; pass time_units= ('s', 'ms', 'us', 'samples')"
        )
    return time_units
