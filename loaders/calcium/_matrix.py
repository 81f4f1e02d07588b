"""Plain matrices of traces, wherever a file keeps them: `.mat`, `.h5`, `.npz`, `.npy`, `.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording

SUFFIXES = (".mat", ".h5", ".hdf5", ".npz", ".npy", ".csv", ".tsv")
Held = Mapping[str, Any]


def load(
    path: Path,
    signal: str | None,
    *,
    rate: float | None,
    time: Any,
    unit: str | Sequence[str] | None,
    columns: Sequence[str] | None,
    transpose: bool,
    units: str,
) -> xr.DataArray:
    """Read a matrix by the mapping that the caller declares."""
    held = _held(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        name, values, names = "table", *_columns(held, path, time, columns)
        unit = names if unit is None else unit
    else:
        name = _signal(held, path, signal)
        values = _matrix(held[name], path, name)
    values = values.T if transpose else values
    stamps = _clock(held, path, time, values.shape, rate)
    labels = _names(held, path, unit, values.shape)
    with files.reading(path, "a matrix of traces"):
        rec = recording(
            values, modality="calcium", units=units, sampling_rate=rate, time=stamps, unit=labels, name="calcium",
            attrs={"source": path.name},
        )  # fmt: skip
    blank = [str(label) for label in rec["unit"].values[~np.isfinite(rec.values).any(axis=0)]]
    return add_history(
        rec, "loaders.calcium.load", signal=name, time=time if isinstance(time, str) else None,
        unit=unit if isinstance(unit, str) else None, transpose=transpose, all_nan=blank,
    )  # fmt: skip


def _held(path: Path) -> Held:
    """Give everything in the file by its path inside it."""
    suffix = path.suffix.lower()
    with files.reading(path, suffix):
        if suffix in (".csv", ".tsv"):
            return _table(path)
        if suffix == ".npy":
            return {"array": np.load(path, allow_pickle=False)}
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        if suffix == ".mat" and not _is_hdf5(path):
            from scipy.io import loadmat

            return _flat(loadmat(path, simplify_cells=True))
        return _hdf5(path)


def _table(path: Path) -> Held:
    import pandas as pd

    table = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", encoding="utf-8-sig")
    repeated = _repeated(path)
    if repeated:
        raise LoaderError(f"{path}: column {repeated!r} stands more than once: name the columns uniquely")
    return {str(name): table[name].to_numpy() for name in table.columns}


def _repeated(path: Path) -> str:
    """Give a column name that stands twice (pandas renames the second without a word)."""
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig") as file:
        names = [name.strip().strip('"') for name in file.readline().split(separator)]
    return next((name for name in names if names.count(name) > 1), "")


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return b"MATLAB 7.3" in file.read(128)


def _flat(held: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give the fields of nested structs by their paths."""
    out: dict[str, Any] = {}
    for name, value in held.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{name}/")
        elif not name.startswith("__"):
            out[f"{prefix}{name}"] = value
    return out


def _hdf5(path: Path) -> Held:
    """Read the arrays of an HDF5 file; those of MATLAB v7.3 get MATLAB's order of axes and its cells their content."""
    h5py = files.library("h5py", "nwb")
    out: dict[str, Any] = {}
    with h5py.File(path, "r") as file:

        def keep(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and not name.startswith("#"):
                out[name] = _dataset(file, item)

        file.visititems(keep)
    return out


def _dataset(file: Any, item: Any) -> Any:
    kind = item.attrs.get("MATLAB_class", b"")
    if "MATLAB_empty" in item.attrs:
        return np.empty((0, 0))
    values = item[()]
    if kind == b"cell":
        return [_dataset(file, file[reference]) for reference in np.ravel(values, order="F")]
    if kind == b"char":
        return "".join(map(chr, np.ravel(values)))
    if isinstance(values, bytes):
        return values.decode()
    array = np.asarray(values)
    if array.dtype.kind == "O" and array.size and isinstance(array.ravel()[0], bytes):
        return [text.decode() for text in array.ravel()]
    return array.T if kind else array


def _signal(held: Held, path: Path, signal: str | None) -> str:
    """Choose the array; the message of what could be meant lists everything there."""
    matrices = [name for name, value in held.items() if _is_matrix(value)]
    if signal in held:
        return str(signal)
    if signal is None and len(matrices) == 1 and max(held[matrices[0]].shape) > 1:
        return matrices[0]
    asked = "which array holds the traces is not said" if signal is None else f"no array {signal!r}"
    raise LoaderError(f"{path}: {asked}; pass signal= one of: {_listing(held)}")


def _listing(held: Held) -> str:
    """Name what a file holds, with shapes: at most forty entries."""
    texts = []
    for name, value in held.items():
        if _is_cell(value):
            texts.append(f"{name} (cell of {len(value)})")
        elif isinstance(value, np.ndarray) or _is_sparse(value):
            texts.append(f"{name} {value.shape}")
        else:
            texts.append(f"{name} ({type(value).__name__})")
    more = f" and {len(texts) - 40} more" if len(texts) > 40 else ""
    return (", ".join(texts[:40]) or "nothing") + more


def _is_matrix(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 2 and value.dtype.kind in "biuf" and not _is_sparse(value)


def _is_sparse(value: Any) -> bool:
    return hasattr(value, "toarray")


def _is_cell(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")


def _matrix(value: Any, path: Path, name: str) -> np.ndarray:
    """Give a numeric matrix; a cell of equally long vectors is one with a column for each."""
    if _is_cell(value):
        cells = [np.ravel(cell) for cell in value]
        lengths = [cell.size for cell in cells]
        if len(set(lengths)) != 1:
            shown = ", ".join(map(str, lengths[:8])) + (", ..." if len(lengths) > 8 else "")
            raise LoaderError(
                f"{path}: {name} is a cell of {len(cells)} traces of different lengths ({shown}): cut or pad them to "
                "one clock first"
            )
        value = np.stack(cells, axis=1)
    array = np.asarray(value.toarray() if _is_sparse(value) else value)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise LoaderError(
            f"{path}: {name} has shape {array.shape} and type {array.dtype}: a matrix of numbers is needed"
        )
    return array


def _columns(held: Held, path: Path, time: Any, columns: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Stack the columns of a table that are units."""
    names = list(columns) if columns is not None else [name for name in held if name != time]
    missing = [name for name in names if name not in held]
    if missing:
        raise LoaderError(f"{path}: no column {', '.join(missing)}; it has {', '.join(held)}")
    texts = [name for name in names if held[name].dtype.kind not in "biuf"]
    if texts or not names:
        raise LoaderError(f"{path}: column {texts[0]!r} holds text: name the units with columns=" if texts else
                          f"{path}: no column is left for the units")  # fmt: skip
    return np.stack([np.asarray(held[name], dtype=np.float64) for name in names], axis=1), names


def _clock(held: Held, path: Path, time: Any, shape: tuple[int, ...], rate: float | None) -> np.ndarray | None:
    if time is None:
        if rate is None:
            raise LoaderError(f"{path}: a matrix has no clock: pass time= (where it is in the file) or rate= in Hz")
        return None
    if isinstance(time, str) and time not in held:
        raise LoaderError(f"{path}: no array {time!r} for the clock; it has: {_listing(held)}")
    with files.reading(path, "a clock (s)"):
        stamps = np.ravel(np.asarray(held[time] if isinstance(time, str) else time, dtype=np.float64))
    if len(stamps) != shape[0]:
        remedy = "; pass transpose=True" if len(stamps) == shape[1] else ""
        raise LoaderError(f"{path}: {len(stamps)} time stamps for a matrix of {shape} (time, unit){remedy}")
    return stamps


def _names(held: Held, path: Path, unit: str | Sequence[str] | None, shape: tuple[int, ...]) -> list[str] | None:
    if unit is None:
        return None
    if isinstance(unit, str) and unit not in held:
        raise LoaderError(f"{path}: no array {unit!r} for the labels; it has: {_listing(held)}")
    value = held[unit] if isinstance(unit, str) else unit
    texts = [_text(label) for label in (value if isinstance(value, list | tuple) else np.ravel(value))]
    if len(texts) != shape[1]:
        remedy = "; pass transpose=True" if len(texts) == shape[0] else ""
        raise LoaderError(f"{path}: {len(texts)} labels for a matrix of {shape} (time, unit){remedy}")
    repeated = next((text for text in texts if texts.count(text) > 1), None)
    if repeated is not None:
        raise LoaderError(f"{path}: the label {repeated!r} stands {texts.count(repeated)} times: units must be unique")
    return texts


def _text(label: Any) -> str:
    flat = np.ravel(label)
    value = flat[0] if flat.size else ""
    if isinstance(value, bytes):
        return value.decode().strip()
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value).strip()
