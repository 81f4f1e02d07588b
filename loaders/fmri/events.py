"""BIDS event tables on the clock of a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri._files import label


def joined(events: Any, rec: xr.DataArray, several: bool) -> dict[str, Any]:
    """Join the event tables of all runs; onsets count from the first volume of their run."""
    import pandas as pd

    if "time" not in rec.dims:
        raise LoaderError(f"{label(events)}: events need a series of volumes, found one volume")
    tables = list(events) if several and isinstance(events, list | tuple) else [events]
    starts = [0]
    if several:
        starts = np.unique(rec["segment"].values, return_index=True)[1].tolist() if "segment" in rec.coords else [0]
    if len(tables) != len(starts):
        raise LoaderError(f"{len(tables)} event tables for {len(starts)} runs: give one for each")
    frames = []
    for number, (one, start) in enumerate(zip(tables, starts, strict=True)):
        frame = one.copy() if isinstance(one, pd.DataFrame) else _event_table(files.existing(one))
        if "onset" not in frame or frame["onset"].dtype.kind not in "iuf":
            raise LoaderError(f"{label(one)}: events need a column 'onset' of numbers (s)")
        frame["onset"] = frame["onset"] + float(rec["time"].values[start])
        frames.append(frame.assign(segment=number) if len(starts) > 1 else frame)
    table = pd.concat(frames, ignore_index=True)
    return {str(name): _column(table[name]) for name in table}


def _event_table(path: Path) -> Any:
    import pandas as pd

    with files.reading(path, "a BIDS event table"):
        return pd.read_csv(path, sep="\t")


def _column(series: Any) -> np.ndarray:
    if series.dtype.kind in "biuf":
        return np.asarray(series)
    return np.array(["n/a" if value != value else str(value) for value in series], dtype=object)
