"""Opening raw files: that they exist, the library that reads them, and one clear line where it cannot."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError

PathLike = str | os.PathLike[str]


def existing(path: PathLike, *, remedy: str = "") -> Path:
    """Give the path of a file or folder that is there; a LoaderError names it otherwise."""
    found = Path(path)
    if not found.exists():
        raise LoaderError(f"{found}: no such file or folder{remedy and f'; {remedy}'}")
    return found


def library(name: str, extra: str | None) -> Any:
    """Import an optional library; the LoaderError says which extra of neurointerp brings it, if one does."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        remedy = f"pip install {package}" if extra is None else f"pip install 'neurointerp[{extra}]'"
        raise LoaderError(f"{package} is needed to read this and is not installed: {remedy}") from error


@contextmanager
def reading(path: object, what: str) -> Iterator[list[str]]:
    """Read a file with somebody else's library.

    Whatever that library raises becomes one LoaderError line that names the file; what it warns of is kept
    in the list given to the body (filled when the body ends) and does not reach the user's terminal.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        except LoaderError:
            raise
        except Exception as error:  # readers raise anything from struct.error to AssertionError
            raise LoaderError(
                f"{path}: cannot be read as {what} ({type(error).__name__}: {one_line(error)})"
            ) from error
    said += [one_line(entry.message) for entry in caught if issubclass(entry.category, UserWarning | RuntimeWarning)]


def one_line(message: object, limit: int = 200) -> str:
    """Put a message on one line and cut it to `limit` characters."""
    text = " ".join(str(message).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def array(path: PathLike) -> np.ndarray:
    """Read a `.npy` file of numbers or booleans; pickled objects are refused, never loaded."""
    found = existing(path)
    with reading(found, "a .npy array"):
        values: np.ndarray = np.load(found, allow_pickle=False)
    if values.dtype.kind not in "biuf":
        raise LoaderError(f"{found}: numbers are needed, found dtype {values.dtype}")
    return values


@contextmanager
def nwb(source: Any) -> Iterator[Any]:
    """Open an NWB file for reading (or take an `NWBFile` already open) while the body runs."""
    pynwb = library("pynwb", "nwb")
    if isinstance(source, pynwb.NWBFile):
        yield source
        return
    if not isinstance(source, str | os.PathLike):
        raise LoaderError(f"a path or a pynwb.NWBFile is needed, found {type(source).__name__}")
    path = existing(source)
    with reading(path, "NWB"):
        file = pynwb.NWBHDF5IO(str(path), mode="r")
        try:
            yield file.read()
        finally:
            file.close()


def nwb_columns(table: Any, rows: Any = None) -> dict[str, tuple[str, np.ndarray]]:
    """Give the columns of an NWB table that hold one number or text per row, as coordinates on `unit`."""
    kept: dict[str, tuple[str, np.ndarray]] = {}
    for name in table.colnames:
        column = table[name]
        values = np.asarray(column.data[:]) if type(column).__name__ == "VectorData" else np.empty(0)
        if values.dtype.kind == "O" and all(isinstance(value, str | bytes) for value in values):
            texts = [value.decode() if isinstance(value, bytes) else value for value in values]
            values = np.array(texts, dtype=object)
        single = values.ndim == 1 and values.size and (values.dtype.kind in "biuf" or _is_text(values))
        if single and name not in ("time", "unit"):
            kept[name] = ("unit", values if rows is None else values[rows])
    return kept


def nwb_events(nwbfile: Any) -> dict[str, np.ndarray] | None:
    """Give the trials table of an NWB file as events (onset, duration and its plain columns)."""
    if nwbfile.trials is None or not len(nwbfile.trials):
        return None
    columns = {name: values for name, (_, values) in nwb_columns(nwbfile.trials).items()}
    onset = np.asarray(columns.pop("start_time"), dtype=np.float64)
    duration = np.asarray(columns.pop("stop_time"), dtype=np.float64) - onset
    return {"onset": onset, "duration": duration, **columns}


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind == "O" and all(isinstance(value, str) for value in values)
