"""What the readers of worms share: choosing one of several, MATLAB cells, and a folder of files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import worm_traces
from neurointerp.recordings import session

Worm = TypeVar("Worm")


def chosen(worms: Mapping[str, Worm], path: files.PathLike, worm: str | None) -> Worm:
    """Give the worm of that name, or the only one."""
    if worm is None and len(worms) == 1:
        return next(iter(worms.values()))
    if worm is None or worm not in worms:
        asked = f"it holds {len(worms)} worms; pass worm=" if worm is None else f"no worm {worm!r}; pass"
        raise LoaderError(f"{path}: {asked} one of {', '.join(worms)}")
    return worms[worm]


def unique(names: Iterable[str]) -> list[str]:
    """Number the names that stand twice, by their place or the next number that is free."""
    out: list[str] = []
    for place, name in enumerate(names):
        free = (f"{name}-{number}" for number in itertools.count(place))
        out.append(next(label for label in free if label not in out) if name in out else name)
    return out


def on_request(rec: xr.DataArray, homogenised: bool, target_dt: float) -> xr.DataArray:
    """Give a worm as it was stored, or on the common order and clock."""
    return worm_traces.homogenise(rec, target_dt=target_dt) if homogenised else rec


def as_session(
    rec: xr.DataArray, homogenised: bool, target_dt: float, events: dict[str, Any] | None, **attrs: Any
) -> xr.DataTree:
    """Give a worm with its events; homogenised also its residual, smoothed copies and original."""
    recordings = worm_traces.copies(rec, target_dt=target_dt) if homogenised else {"calcium": rec}
    about = {name: rec.attrs[name] for name in ("system", "citation", "source", "session") if name in rec.attrs}
    return session(recordings, events=events, attrs={**about, **attrs})


def from_folder(
    folder: files.PathLike, patterns: tuple[str, ...], read: Callable[[Path], xr.DataArray]
) -> dict[str, xr.DataArray]:
    """Read every file of a folder (and of the folders in it) that fits a pattern, by its session's name."""
    root = files.existing(folder)
    paths = sorted({path for pattern in patterns for path in root.rglob(pattern) if not path.name.startswith(".")})
    if not paths:
        raise LoaderError(f"{root}: holds no {' or '.join(patterns)}")
    recs = [read(path) for path in paths]
    return dict(zip(unique(str(rec.attrs["session"]) for rec in recs), recs, strict=True))


def matlab(path: Path, needed: Iterable[str], what: str) -> dict[str, Any]:
    """Read a MATLAB file up to v7 and check that it has the variables of its layout."""
    from scipy.io import loadmat

    with files.reading(path, "MATLAB (v4 to v7)"):
        held: dict[str, Any] = loadmat(path)
    missing = [name for name in needed if name not in held]
    if missing:
        there = ", ".join(name for name in held if not name.startswith("__")) or "nothing"
        raise LoaderError(f"{path}: no {', '.join(missing)}; {what} is needed, this holds {there}")
    return held


def cells(value: Any) -> list[np.ndarray]:
    """Give what the cells of a MATLAB cell array hold, in MATLAB's order."""
    array = np.asarray(value)
    return [np.asarray(cell) for cell in array.ravel(order="F")] if array.dtype == object else [array]


def text(cell: Any) -> str:
    """Give the text of a char array, also where cells stand around it; "" for an empty one."""
    array = np.asarray(cell)
    if array.dtype == object:
        return text(array.ravel()[0]) if array.size else ""
    return str(array.ravel()[0]).strip() if array.size else ""
