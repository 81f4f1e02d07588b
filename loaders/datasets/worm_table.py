"""The published flat table of the homogenised worms (parquet): one row per worm and neuron, written and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import _worms, worm_traces
from neurointerp.recordings import add_history, recording, session

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Simeon Q, Astrom H, Kashyap A, Kording KP, Boyden ES (2024) arXiv:2411.12091",
}
ADDRESS = "https://huggingface.co/datasets/qsimeon/celegans_neural_data"
COLUMNS = {
    "source_dataset": ("dataset",),
    "worm": (),
    "neuron": (),
    "is_labeled_neuron": ("is_labeled", "is_named_neuron"),
    "calcium_data": (),
    "time_in_seconds": (),
    "label": (),
    "raw_data_file": ("data_file",),
    "slot": (),
    "smooth_method": (),
    "interpolate_method": (),
    "normalization_method": (),
    "original_calcium_data": (),
    "original_time_in_seconds": (),
    "smooth_calcium_data": (),
    "residual_calcium": (),
    "smooth_residual_calcium": (),
    "original_smooth_calcium_data": (),
    "original_residual_calcium": (),
    "original_smooth_residual_calcium": (),
    "dt": (),
    "original_dt": (),
    "median_dt": ("resample_median_dt",),
    "original_median_dt": (),
    "max_timesteps": (),
    "original_max_timesteps": (),
    "cumulative_mean": (),
    "cumulative_std": (),
}
"""Every column known -> its other names. `label` (as annotated) is ours; the others are the published ones."""
NEEDED = tuple(COLUMNS)[:6]
SERIES = {
    "calcium": "calcium_data",
    "residual": "residual_calcium",
    "calcium_smooth": "smooth_calcium_data",
    "residual_smooth": "smooth_residual_calcium",
    "original": "original_calcium_data",
    "original_residual": "original_residual_calcium",
    "original_smooth": "original_smooth_calcium_data",
    "original_residual_smooth": "original_smooth_residual_calcium",
}
"""Recording -> the column of its traces; those called `original` go with `original_time_in_seconds`."""
LISTS = (*SERIES.values(), "time_in_seconds", "original_time_in_seconds")
NOT_READ = (
    "dt", "original_dt", "median_dt", "max_timesteps", "original_max_timesteps", "cumulative_mean", "cumulative_std",
)  # fmt: skip
"""Known columns that repeat the clock, or belong to a running normalisation."""
Rows = Mapping[str, list[Any]]
Worm = xr.DataTree | Mapping[str, xr.DataArray] | xr.DataArray


def save(worms: Mapping[str, Worm], path: files.PathLike, *, source_dataset: str, overwrite: bool = False) -> Path:
    """Write homogenised worms as the published flat table.

    Parameters
    ----------
    worms
        Worm -> what `load_session(..., homogenised=True)` or `worm_traces.copies` gives, or the homogenised recording
        alone. A name `source/worm` names its source itself.
    path
        The `.parquet` file.
    source_dataset
        The source of the worms that do not name theirs.
    overwrite
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The file: a row per worm and neuron that has a value; traces and clocks as lists of float64, NaN where a value
        is missing. `slot` is the place in the worm's units; an unlabelled trace is called `u000`, ... and keeps its
        annotation in `label`. `original_calcium_data` is scaled as the published one is (mean 0, standard deviation 1).

    Raises
    ------
    LoaderError
        When pyarrow is missing, the file exists, a worm is not homogenised, or there is nothing to write.

    Examples
    --------
    See `load`.
    """
    pyarrow, parquet = files.library("pyarrow", "parquet"), files.library("pyarrow.parquet", "parquet")
    target = Path(path)
    if target.exists() and not overwrite:
        raise LoaderError(f"{target} exists already; pass overwrite=True to replace it")
    rows = [row for name, worm in worms.items() for row in _rows(name, worm, source_dataset)]
    if not rows:
        raise LoaderError(f"{target}: no worm has a neuron with a value; nothing is written")
    table = pyarrow.Table.from_pylist(rows, schema=_schema(pyarrow, {name for row in rows for name in row}))
    part = target.with_name(f".{target.name}.partial")
    try:
        parquet.write_table(table, part)
        return part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def load(path: files.PathLike, *, worm: str | None = None) -> xr.DataArray:
    """Read one worm of the flat table.

    Parameters
    ----------
    path
        A `.parquet` file with a row per worm and neuron.
    worm
        `source/worm` (`Kato2015/worm0`), where the table holds several.

    Returns
    -------
    xarray.DataArray
        (time, unit) as `worm_traces.homogenise` gives it: the 300 names, NaN where the table has no such neuron, then
        the unlabelled rows as `u000`, .... Along `unit` also `slot`, the row's slot in the table (-1: no row). The
        clock is the stored one in float64, attrs `dt` its median step.

    Raises
    ------
    LoaderError
        When pyarrow is missing, the file is no such table (a column that is not known, or one that is missing, is named
        with those there are), rows of one worm disagree, a labelled row names no neuron, or the worm is not named.

    Notes
    -----
    Columns are found by name and by the other names in `COLUMNS` (those of qsimeon/worm-data-preprocess,
    `neural_to_parquet.py`); an unknown one is an error, because it could hold another clock or another unit. The
    published file was not at hand. There an unlabelled trace may stand in the slot of a name; here
    `is_labeled_neuron` decides, and an unlabelled row never fills a name. The published clock is float32.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, neurointerp as ni
    >>> labels = ["AVAL", "RI?", "VB02", "4"]
    >>> rec = ni.recording(np.eye(4), modality="calcium", units="1", sampling_rate=1.0, unit=labels)
    >>> done = worm_traces.homogenise(rec, target_dt=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save({"w1": done}, pathlib.Path(folder) / "worms.parquet", source_dataset="mine")
    ...     back = load(file, worm="mine/w1")
    >>> bool((back == done).sum() == done.notnull().sum()), list(back.unit.values[-2:])
    (True, ['u000', 'u001'])
    """
    return _recordings(_rows_of(path, worm), path)["calcium"]


def load_session(path: files.PathLike, *, worm: str | None = None) -> xr.DataTree:
    """Read one worm of the flat table with every trace it has there; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recordings `calcium` and, as the table has them, `original` (scaled, on its own clock), `residual`,
        `calcium_smooth`, `residual_smooth`, and those three of the original.
    """
    rows = _rows_of(path, worm)
    recordings = _recordings(rows, path)
    about = {name: recordings["calcium"].attrs[name] for name in ("source", "session", "source_dataset")}
    return session(recordings, attrs={**ABOUT, **about})


def load_all(path: files.PathLike) -> dict[str, xr.DataArray]:
    """Read every worm of the flat table, by `source/worm`; errors as for `load`."""
    worms = _worms_in(path, None, ("calcium_data", "time_in_seconds"))
    return {name: _recordings(rows, path)["calcium"] for name, rows in worms.items()}


def _rows(name: str, worm: Worm, source_dataset: str) -> Iterator[dict[str, Any]]:
    held = _held(worm)
    if "calcium" not in held or "column" not in held["calcium"].coords:
        raise LoaderError(f"worm {name!r} is not homogenised: pass it through worm_traces.homogenise or copies")
    calcium, original = held["calcium"], held.get("original")
    source, _, own = name.rpartition("/")
    smoothed = held.get("calcium_smooth")
    clock = calcium["time"].values
    common = {
        "source_dataset": source or source_dataset, "worm": own, "raw_data_file": _file(calcium),
        "smooth_method": "none" if smoothed is None else str(smoothed.attrs.get("smoother", "gaussian")),
        "interpolate_method": "linear", "normalization_method": "standard",
        "time_in_seconds": clock, "max_timesteps": len(clock), "median_dt": float(calcium.attrs["dt"]),
        "original_median_dt": float(calcium.attrs["original_dt"]),
    }  # fmt: skip
    if original is not None:
        common["original_time_in_seconds"] = original["time"].values
        common["original_max_timesteps"] = original.sizes["time"]
        scaled = worm_traces.normalised(np.asarray(original.values, dtype=np.float64))
    for slot in np.flatnonzero(np.isfinite(calcium.values).any(axis=0)):
        traces = {SERIES[key]: rec.values[:, slot] for key, rec in held.items() if key in SERIES and key != "original"}
        if original is not None:
            traces["original_calcium_data"] = scaled[:, int(calcium["column"].values[slot])]
        yield {
            **common, **traces, "slot": int(slot), "neuron": str(calcium["unit"].values[slot]),
            "is_labeled_neuron": bool(calcium["is_labeled"].values[slot]), "label": str(calcium["label"].values[slot]),
        }  # fmt: skip


def _held(worm: Worm) -> dict[str, xr.DataArray]:
    if isinstance(worm, xr.DataArray):
        return {"calcium": worm}
    if isinstance(worm, xr.DataTree):
        held: dict[str, xr.DataArray] = {
            str(name): node.to_dataset()["recording"] for name, node in worm["recordings"].children.items()
        }
        return held
    return dict(worm)


def _file(rec: xr.DataArray) -> str:
    source = rec.attrs.get("source", "")
    return str(source[0] if isinstance(source, list) and source else source)


def _schema(pyarrow: Any, used: set[str]) -> Any:
    listed = pyarrow.list_(pyarrow.float64())
    kinds = dict.fromkeys(LISTS, listed)
    kinds |= dict.fromkeys(("slot", "max_timesteps", "original_max_timesteps"), pyarrow.int32())
    kinds |= dict.fromkeys(("median_dt", "original_median_dt"), pyarrow.float64())
    kinds["is_labeled_neuron"] = pyarrow.bool_()
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS if name in used])


def _columns(path: Path) -> dict[str, str]:
    """Give the published name of every column of a table -> its name there; an unknown one is an error."""
    parquet = files.library("pyarrow.parquet", "parquet")
    with files.reading(path, "parquet"):
        there = [name for name in parquet.read_schema(path).names if not name.startswith("__index_level")]
    known = {name.lower(): column for column, others in COLUMNS.items() for name in (column, *others)}
    unknown = [name for name in there if name.lower() not in known]
    names = {known[name.lower()]: name for name in there if name.lower() in known}
    missing = [name for name in NEEDED if name not in names]
    problems = [f"columns that are not known: {', '.join(unknown)}"] if unknown else []
    problems += [f"no column {', '.join(missing)}"] if missing else []
    problems += ["two columns of one meaning"] if len(names) + len(unknown) < len(there) else []
    if problems:
        raise LoaderError(f"{path}: {'; '.join(problems)}; it has {', '.join(there)}; known are {', '.join(COLUMNS)}")
    return names


def _worms_in(path: files.PathLike, worm: str | None, series: tuple[str, ...]) -> dict[str, Rows]:
    """Give the rows of every worm, or of one, with the traces and clocks named in `series`."""
    parquet = files.library("pyarrow.parquet", "parquet")
    found = files.existing(path)
    names = _columns(found)
    source, _, own = (worm or "").rpartition("/")
    wanted = [(names["source_dataset"], "=", source), (names["worm"], "=", own)] if worm else None
    read = [column for column in names if column in series or column not in (*LISTS, *NOT_READ)]
    with files.reading(found, "parquet"):
        table = parquet.read_table(found, filters=wanted, columns=[names[column] for column in read])
        held = {column: _cells(table[names[column]]) for column in read}
    places: dict[str, list[int]] = {}
    for place, key in enumerate(zip(held["source_dataset"], held["worm"], strict=True)):
        places.setdefault("/".join(map(str, key)), []).append(place)
    return {
        name: {column: [cells[place] for place in rows] for column, cells in held.items()}
        for name, rows in places.items()
    }


def _cells(column: Any) -> list[Any]:
    """Give the cells of a column; lists of numbers as arrays, with NaN for a null in them."""
    chunk = column.combine_chunks()
    if not hasattr(chunk, "flatten") or "list" not in str(chunk.type):
        return list(chunk.to_pylist())
    flat = chunk.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    sizes = [0 if size is None else size for size in chunk.value_lengths().to_pylist()]
    parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    return [None if null else part for null, part in zip(chunk.is_null().to_pylist(), parts, strict=True)]


def _rows_of(path: files.PathLike, worm: str | None) -> Rows:
    """Give one worm's rows; where none or an unknown one is named, the message lists those there are."""
    name = _worms.chosen({name: name for name in _worms_in(path, None, ())}, path, worm)
    return _worms_in(path, name, LISTS)[name]


def _recordings(rows: Rows, path: files.PathLike) -> dict[str, xr.DataArray]:
    """Put the rows of one worm on the common order, one recording per kind of trace."""
    neurons, named = [str(neuron) for neuron in rows["neuron"]], [bool(each) for each in rows["is_labeled_neuron"]]
    empty = [neuron for neuron, trace in zip(neurons, rows["calcium_data"], strict=True) if trace is None]
    if empty:
        raise LoaderError(f"{path}: calcium_data of neuron {empty[0]} of worm {rows['worm'][0]} is empty: leave it out")
    notes = [str(note or "") for note in rows.get("label", [None] * len(neurons))]
    labels = [name if sure else note for name, sure, note in zip(neurons, named, notes, strict=True)]
    units, column, coords = worm_traces.slots(labels, named=named)
    told = [note or label for note, label in zip(notes, labels, strict=True)]
    coords["label"] = ("unit", [told[place] if place >= 0 else "" for place in column])
    placed = set(column[coords["is_labeled"][1]])
    lost = [neuron for place, neuron in enumerate(neurons) if named[place] and place not in placed]
    if lost:
        raise LoaderError(
            f"{path}: worm {rows['worm'][0]} of {rows['source_dataset'][0]} labels {', '.join(lost[:5])}: no neuron of "
            "the order, or one that has a row already"
        )
    coords["slot"] = ("unit", np.where(column >= 0, np.array(rows.get("slot", [-1] * len(neurons)))[column], -1))
    coords.pop("column")
    out = {}
    for key, series in SERIES.items():
        if series in rows and all(trace is not None for trace in rows[series]):
            clock = "original_time_in_seconds" if key.startswith("original") else "time_in_seconds"
            traces, time = _traces(rows, series, clock, path)
            values = np.where(column >= 0, traces[:, column], np.nan)
            out[key] = _recording(key, values, time, units, coords, rows, path)
    return out


def _traces(rows: Rows, series: str, clock: str, path: files.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Give (time, row) traces and their clock, on which all rows of a worm must agree."""
    time = rows.get(clock, [None])[0]
    if time is None:
        raise LoaderError(f"{path}: {series} has no clock: no {clock} in the worm's first row")
    for neuron, trace, other in zip(rows["neuron"], rows[series], rows[clock], strict=True):
        if other is None or len(trace) != len(time) or not np.array_equal(other, time):
            raise LoaderError(f"{path}: {series} of neuron {neuron} has another length or clock than the first row")
    return np.stack(rows[series], axis=1), time


def _recording(
    key: str, values: np.ndarray, time: np.ndarray, units: list[str], coords: dict[str, Any], rows: Rows, path: Any
) -> xr.DataArray:
    """Give a kind of trace its units, what is known of them, and where it comes from."""
    first = {column: cells[0] for column, cells in rows.items() if cells[0] is not None}
    about: dict[str, Any] = {
        **ABOUT, "source": str(first.get("raw_data_file") or Path(path).name), "session": str(first["worm"]),
        "source_dataset": str(first["source_dataset"]), "dt": float(np.median(np.diff(time))),
        "normaliser": str(first.get("normalization_method", "not stated")),
    }  # fmt: skip
    if "original_median_dt" in first:
        about["original_dt"] = float(first["original_median_dt"])
    with files.reading(path, key):
        out = recording(
            values, modality="calcium", units="1/s" if "residual" in key else "1", time=time, unit=units, name=key,
            coords=coords, attrs=about,
        )  # fmt: skip
    stated = {name: str(first[name]) for name in ("smooth_method", "interpolate_method") if name in first}
    return add_history(out, "loaders.datasets.worm_table.load", table=Path(path).name, **stated)
