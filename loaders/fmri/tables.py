"""Tables beside images: regional series, events, confounds and physiology, each on its own clock."""

from __future__ import annotations

import csv
import gzip
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import _clock, bids
from neurointerp.loaders.fmri._files import label
from neurointerp.recordings import add_history, recording

TABLES = {".csv": ",", ".tsv": "\t", ".txt": None}
"""Suffix of a table -> what separates its cells (None: any white space)."""
MISSING = ("", "n/a", "N/A", "NA", "NaN", "nan")
ABOUT_CONFOUNDS = {"Method": "method", "Mask": "mask"}
"""Fields of fMRIPrep's JSON -> coordinates of the confounds."""


def is_table(source: Any) -> bool:
    """Tell whether a source is the path of a table."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() in TABLES


def from_tables(sources: Sequence[Any], *, tr: float | None = None, runs: Sequence[int] | None = None) -> xr.DataArray:
    """Give the columns of tables with one row per volume; the parameters are those of `loaders.fmri.load`."""
    labels = [label(one) for one in sources]
    if tr is None:
        raise LoaderError(f"{labels[0]}: a table states no repetition time; pass tr= in seconds")
    step = _clock.checked(labels[0], tr)
    tables = [_table(files.existing(one)) for one in sources]
    for (names, _), name in zip(tables, labels, strict=True):
        if names != tables[0][0]:
            raise LoaderError(f"{name}: its columns differ from those of {labels[0]}")
    values = np.concatenate([one for _, one in tables])
    coords = _clock.segments(labels[0], [len(one) for _, one in tables], runs)
    with files.reading(labels[0], "fMRI"):
        rec = recording(
            values, modality="fmri", units="1", time=np.arange(len(values)) * step, sampling_rate=1 / step,
            name="fmri", unit=tables[0][0], coords=coords, attrs=bids.attrs(labels),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", tr=step)


def confounds(source: files.PathLike, *, tr: float) -> xr.DataArray:
    """Read the confounds of one run (fMRIPrep's `desc-confounds_timeseries.tsv`).

    Parameters
    ----------
    source
        Table with one row per volume and a header. The JSON of the same name, where it is there, describes the
        columns.
    tr
        Repetition time (s) of the run.

    Returns
    -------
    xarray.DataArray
        (time, unit), modality `behavior`, units `"1"` (the columns have units of their own: mm, rad, none);
        `n/a` is NaN. Along `unit`, with a JSON: `method` and `mask` (empty where it does not say) and
        `variance_explained` (NaN).

    Raises
    ------
    LoaderError
        When the table cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "desc-confounds_timeseries.tsv")
    >>> _ = path.write_text("csf\\trot_x\\nn/a\\t0.5\\n2\\t0.1\\n")
    >>> confounds(path, tr=2.0).values
    array([[nan, 0.5],
           [2. , 0.1]])
    """
    path = files.existing(source)
    names, values = _table(path)
    if names is None:
        raise LoaderError(f"{path}: confounds need a header that names the columns")
    beside, _ = bids.metadata(path)
    described: list[Any] = [beside.get(name) if isinstance(beside.get(name), dict) else {} for name in names]
    coords: dict[str, Any] = {}
    if any(described):
        for field, coord in ABOUT_CONFOUNDS.items():
            texts = [str((entry or {}).get(field, "")) for entry in described]
            coords[coord] = ("unit", np.array(texts, dtype=object))
        explained = [float((entry or {}).get("VarianceExplained", math.nan)) for entry in described]
        coords["variance_explained"] = ("unit", np.array(explained))
    step = _clock.checked(str(path), tr)
    with files.reading(path, "confounds"):
        rec = recording(
            values, modality="behavior", units="1", time=np.arange(len(values)) * step, sampling_rate=1 / step,
            name="confounds", unit=names, coords=coords, attrs=bids.attrs([str(path)]),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.confounds", tr=step)


def physio(
    source: files.PathLike, *, sampling_rate: float | None = None, columns: Sequence[str] | None = None,
    start: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Read a BIDS physiological recording (`_physio.tsv.gz`, no header; its JSON says what the columns are).

    Parameters
    ----------
    source
        The table, compressed or not.
    sampling_rate, columns, start
        `SamplingFrequency` (Hz), `Columns` and `StartTime` (s from the first volume; negative: before it), where
        the JSON does not give them.

    Returns
    -------
    xarray.DataArray
        (time, unit), modality `behavior`, units `"1"`; the clock is that of the run, at the recording's own rate.

    Raises
    ------
    LoaderError
        When the table cannot be read, or neither JSON nor arguments state rate and columns.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "pulse_physio.tsv")
    >>> _ = path.write_text("1\\n2\\n4\\n")
    >>> physio(path, sampling_rate=50.0, columns=["cardiac"], start=-0.02).time.values
    array([-0.02,  0.  ,  0.02])
    """
    path = files.existing(source)
    beside, _ = bids.metadata(path)
    rate = _given(path, "SamplingFrequency", sampling_rate, beside, "sampling_rate= in Hz")
    names = list(_given(path, "Columns", columns, beside, "columns="))
    first = float(beside.get("StartTime", 0.0) if start is None else start)
    with files.reading(path, "a physiological recording"):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = text.decode("utf-8-sig").splitlines()
        rows = [[_number(cell) for cell in line.split("\t")] for line in lines if line.strip()]
    for number, row in enumerate(rows):
        if len(row) != len(names) or None in row:
            raise LoaderError(f"{path}: row {number + 1} is not {len(names)} numbers ({', '.join(names)})")
    with files.reading(path, "a physiological recording"):
        rec = recording(
            np.array(rows, dtype=np.float64), modality="behavior", units="1", unit=names, name="physio",
            time=first + np.arange(len(rows)) / float(rate), sampling_rate=float(rate), attrs=bids.attrs([str(path)]),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.physio", start=first)


def _given(path: Path, field: str, value: Any, beside: Mapping[str, Any], remedy: str) -> Any:
    if value is None and field not in beside:
        raise LoaderError(f"{path}: no JSON sidecar states its {field}; pass {remedy}")
    return beside[field] if value is None else value


def _table(path: Path) -> tuple[list[str] | None, np.ndarray]:
    """Read a table of numbers; a first row that is not all numbers names the columns."""
    separator = TABLES[path.suffix.lower()]
    with files.reading(path, "a table"), path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator) if separator else (line.split() for line in file)
        rows = [row for row in lines if row]
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise LoaderError(f"{path}: row {number + 1} has {len(row)} cells, the first has {len(rows[0])}")
    names = rows.pop(0) if rows and any(_number(cell) is None for cell in rows[0]) else None
    if not rows:
        raise LoaderError(f"{path}: holds no row of numbers")
    values = [[_number(cell) for cell in row] for row in rows]
    for cells, numbers in zip(rows, values, strict=True):
        if None in numbers:
            text = cells[numbers.index(None)]
            raise LoaderError(f"{path}: {text!r} is not a number; keep the columns of the regions alone")
    return names, np.array(values, dtype=np.float64)


def _number(cell: str) -> float | None:
    """Give the number in a cell, NaN where it says that it is missing, None where it is text."""
    if cell.strip() in MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return None
