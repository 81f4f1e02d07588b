"""suite2p folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.calcium import _pickled
from neurointerp.recordings import add_history, recording

SIGNALS = ("F", "Fneu", "spks")


def plane(folder: Path) -> Path:
    """Find the one suite2p plane in or below a folder."""
    if (folder / "F.npy").is_file():
        return folder
    planes = sorted(path.parent for path in folder.rglob("F.npy"))
    if len(planes) == 1:
        return planes[0]
    listed = ", ".join(str(path.relative_to(folder)) for path in planes)
    found = f"it holds {len(planes)} planes ({listed}); name one" if planes else "it holds no F.npy"
    raise LoaderError(f"{folder}: a suite2p plane folder is needed; {found}")


def signals(folder: Path, first: str) -> list[str]:
    """List the signals of a plane, `first` before the others."""
    return [first, *(name for name in SIGNALS if name != first and (folder / f"{name}.npy").is_file())]


def load(
    folder: Path,
    signal: str,
    sampling_rate: float | None,
    cells_only: bool,
    *,
    neuropil: float = 0.0,
) -> xr.DataArray:
    """Read one signal of a plane."""
    hertz = _rate(folder, sampling_rate)
    values = _signal(folder, signal)
    rois, coords = _cells(folder, signal, len(values), cells_only)
    coords["index"] = ("unit", rois)
    places, about = _centres(folder, len(values), rois)
    kept = values[rois]
    if neuropil:
        kept = _less_neuropil(folder, signal, kept, rois, neuropil, values.shape)
    with files.reading(folder, "suite2p output"):
        rec = recording(
            kept.T, modality="calcium", units="1", sampling_rate=hertz, name=signal,
            unit=[f"roi{roi}" for roi in rois], coords=coords | places, attrs={"source": folder.name},
        )  # fmt: skip
    return add_history(
        rec, "loaders.calcium.load", signal=signal, cells_only=cells_only, rois_left_out=len(values) - rois.size,
        all_zero=all_zero(rec), neuropil=neuropil, **about,
    )  # fmt: skip


def all_zero(rec: xr.DataArray) -> list[str]:
    """Name the units that are zero throughout."""
    return [str(unit) for unit in rec["unit"].values[(rec.values == 0).all(axis=0)]]


def _signal(folder: Path, signal: str) -> np.ndarray:
    values = files.array(files.existing(folder / f"{signal}.npy", remedy=f"signals are {', '.join(SIGNALS)}"))
    if values.ndim != 2:
        raise LoaderError(f"{folder / signal}.npy: (ROI, frame) is needed, found shape {values.shape}")
    return values


def _cells(folder: Path, signal: str, count: int, cells_only: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """Give the ROIs to keep and suite2p's probability that each is a cell."""
    if not (folder / "iscell.npy").is_file():
        if cells_only:
            raise LoaderError(f"{folder}: no iscell.npy to tell cells from other ROIs; pass cells_only=False for all")
        return np.arange(count), {}
    verdict = files.array(folder / "iscell.npy")
    if verdict.shape != (count, 2):
        raise LoaderError(f"{folder}: iscell.npy has shape {verdict.shape} for {count} ROIs of {signal}.npy")
    rois = np.flatnonzero(verdict[:, 0] > 0) if cells_only else np.arange(count)
    if not rois.size:
        raise LoaderError(f"{folder}: iscell.npy calls none of {count} ROIs a cell; pass cells_only=False for all")
    return rois, {"cell_probability": ("unit", verdict[rois, 1])}


def _rate(folder: Path, sampling_rate: float | None) -> float:
    """Give the frame rate: the caller's, or `fs` of `ops.npy`; both must agree."""
    if not (folder / "ops.npy").is_file():
        if sampling_rate is None:
            raise LoaderError(f"{folder}: no ops.npy states the frame rate; pass sampling_rate= in Hz")
        return sampling_rate
    with files.reading(folder / "ops.npy", "suite2p's settings"):
        (held,) = _pickled.entries(folder / "ops.npy")
        stated = float(_pickled.numbers(held["fs"]))
    if sampling_rate is not None and abs(stated - sampling_rate) > 1e-6 * stated:
        raise LoaderError(f"{folder}: ops.npy states {stated:g} Hz, sampling_rate={sampling_rate:g} was given")
    return stated


def _centres(folder: Path, count: int, rois: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give each ROI's centre of mass (pixels) from its pixels and their weights in `stat.npy`."""
    path = folder / "stat.npy"
    if not path.is_file():
        return {}, {"positions": "absent"}
    held = _pickled.entries(path)
    if len(held) != count:
        raise LoaderError(f"{path}: describes {len(held)} ROIs, there are {count}")
    centres = np.full((len(rois), 2), np.nan)
    with files.reading(path, "suite2p's ROIs"):
        for place, roi in enumerate(rois):
            weight = _pickled.numbers(held[roi]["lam"]).astype(np.float64)
            if weight.sum() > 0:
                centres[place] = [np.average(_pickled.numbers(held[roi][a]), weights=weight) for a in ("ypix", "xpix")]
    return {"pixel_y": ("unit", centres[:, 0]), "pixel_x": ("unit", centres[:, 1])}, {}


def _less_neuropil(
    folder: Path, signal: str, values: np.ndarray, rois: np.ndarray, coefficient: float, shape: tuple[int, ...]
) -> np.ndarray:
    if signal != "F" or not 0 < coefficient <= 1:
        raise LoaderError(f"{folder}: neuropil={coefficient} is subtracted from F and lies in (0, 1], not for {signal}")
    around = _signal(folder, "Fneu")
    if around.shape != shape:
        raise LoaderError(f"{folder}: Fneu.npy has shape {around.shape} for F.npy of {shape}")
    out: np.ndarray = values - coefficient * around[rois]
    return out.astype(values.dtype, copy=False)
