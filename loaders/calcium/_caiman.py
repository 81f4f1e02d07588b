"""CaImAn's results (`CNMF.save`, `.hdf5`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.calcium._suite2p import all_zero
from neurointerp.recordings import add_history, recording

SIGNALS = ("C", "F_dff", "S", "YrA", "R")
SUFFIXES = (".hdf5", ".h5")


def is_caiman(path: Path) -> bool:
    """Tell whether an HDF5 file holds CaImAn's group `estimates`."""
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        return False
    h5py = files.library("h5py", "nwb")
    with files.reading(path, "HDF5"), h5py.File(path, "r") as file:
        return "estimates" in file and "C" in file["estimates"]


def signals(path: Path, first: str) -> list[str]:
    """List the arrays of `estimates` with a row per component, `first` before the others."""
    h5py = files.library("h5py", "nwb")
    with files.reading(path, "CaImAn's results"), h5py.File(path, "r") as file:
        held = file["estimates"]
        shape = held["C"].shape
        return [first, *(name for name in SIGNALS if name != first and getattr(held.get(name), "shape", ()) == shape)]


def load(path: Path, signal: str, sampling_rate: float | None, cells_only: bool) -> xr.DataArray:
    """Read one array of `estimates`: (component, frame) there, (time, unit) here."""
    h5py = files.library("h5py", "nwb")
    with files.reading(path, "CaImAn's results"), h5py.File(path, "r") as file:
        held = file["estimates"]
        if signal not in held or getattr(held[signal], "ndim", 0) != 2:
            there = [name for name in held if getattr(held[name], "ndim", 0) == 2]
            raise LoaderError(f"{path}: no signal {signal!r} in estimates; it has {', '.join(there)}")
        values = np.asarray(held[signal][()], dtype=np.float64)
        hertz = _rate(file, sampling_rate, path)
        kept = _accepted(held, len(values)) if cells_only else np.arange(len(values))
        coords: dict[str, Any] = {"index": ("unit", kept), **_centres(held, kept)}
        rec = recording(
            values[kept].T, modality="calcium", units="1", sampling_rate=hertz, name=signal,
            unit=[f"roi{component}" for component in kept], coords=coords, attrs={"source": path.name},
        )  # fmt: skip
    return add_history(
        rec, "loaders.calcium.load", signal=signal, cells_only=cells_only, rois_left_out=len(values) - kept.size,
        all_zero=all_zero(rec),
    )  # fmt: skip


def _rate(file: Any, sampling_rate: float | None, path: Path) -> float:
    """Give the frame rate: the caller's, or `params/data/fr`; both must agree."""
    if "params/data/fr" not in file:
        if sampling_rate is None:
            raise LoaderError(f"{path}: the file states no frame rate (params/data/fr); pass sampling_rate= in Hz")
        return sampling_rate
    stated = float(file["params/data/fr"][()])
    if sampling_rate is not None and abs(stated - sampling_rate) > 1e-6 * sampling_rate:
        raise LoaderError(f"{path}: the file states {stated:g} Hz, sampling_rate={sampling_rate:g} was given")
    return stated


def _accepted(held: Any, count: int) -> np.ndarray:
    """Give the components that CaImAn accepted; all where it judged none."""
    if "idx_components" not in held or held["idx_components"].dtype.kind not in "iu":
        return np.arange(count)
    return np.sort(np.asarray(held["idx_components"][()], dtype=np.int64).ravel())


def _centres(held: Any, kept: np.ndarray) -> dict[str, Any]:
    """Give each footprint's centre of mass (pixels) from the sparse `A`, columns in Fortran order of `dims`."""
    if not hasattr(held.get("A"), "keys") or "dims" not in held:
        return {}
    data, rows, starts = (np.asarray(held["A"][name][()]) for name in ("data", "indices", "indptr"))
    height = int(np.ravel(held["dims"][()])[0])
    centres = np.full((len(kept), 2), np.nan)
    for place, component in enumerate(kept):
        part = slice(int(starts[component]), int(starts[component + 1]))
        mass = data[part].sum()
        if mass > 0:
            pixels = rows[part]
            centres[place] = [(data[part] * axis).sum() / mass for axis in (pixels % height, pixels // height)]
    return {"pixel_y": ("unit", centres[:, 0]), "pixel_x": ("unit", centres[:, 1])}
