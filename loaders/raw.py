"""A raw file or folder of any kind to a recording: finds the loader that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import fetch, recordings, store
from neurointerp.errors import LoaderError
from neurointerp.loaders import calcium, eeg, files, fmri, spikes

STORES = (".zarr", ".zarr.zip")
BY_SUFFIX = {
    "eeg": (".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif", ".fif.gz", ".cnt", ".ds"),
    "fmri": (".nii", ".nii.gz", ".gii", ".gii.gz", ".mgz", ".mgh", ".head"),
}
"""Suffixes that one modality's library alone reads; every other file needs `modality`."""


def load(
    source: files.PathLike,
    *,
    modality: str | None = None,
    units: str | None = None,
    sampling_rate: float | None = None,
    bin_width: float | None = None,
) -> xr.DataArray:
    """Read a file or folder as a recording, with the loader of its modality.

    Parameters
    ----------
    source
        A store of neurointerp (`.zarr`, `.zarr.zip`), a raw file, an array (`.npy`, samples x units), or a folder
        (suite2p, ALF, phy or Kilosort).
    modality
        Needed where the file's suffix does not tell: one of `neurointerp.schema.MODALITIES`.
    units
        Units of the values, for `.npy` and for files that do not state them.
    sampling_rate
        Samples per second, for files that do not state it (`.npy`, suite2p, tables of regions); of spike times in
        samples (phy folders without `params.py`).
    bin_width
        Width of the bins (s) that spike times are counted in.

    Returns
    -------
    xarray.DataArray
        The recording, named after the file or folder; a store's recording keeps its name.

    Raises
    ------
    LoaderError
        When the file is missing, its kind is unknown, or something it does not state was not given.
    """
    path = files.existing(source)
    rec = _read(path, modality, units, sampling_rate, bin_width)
    if path.name.endswith(STORES):
        return rec if rec.name is not None else rec.rename(_stem(path))
    sha256 = [fetch.sha256_of(path)] if path.is_file() else []
    return recordings.add_history(rec.rename(_stem(path)), "loaders.raw.load", file=path.name, sha256=sha256)


def _stem(path: Path) -> str:
    return path.resolve().name.split(".")[0] or "recording"


def _read(
    path: Path, modality: str | None, units: str | None, rate: float | None, bin_width: float | None
) -> xr.DataArray:
    if path.name.endswith(STORES):
        opened = store.open(path)
        if not isinstance(opened, xr.DataArray):
            raise LoaderError(f"{path} holds a {type(opened).__name__}, not one recording")
        return opened
    kind = modality or _by_suffix(path)
    if path.suffix == ".npy":
        return _array(path, kind, units, rate)
    if kind in ("eeg", "meg", "ieeg"):
        return eeg.load(path, modality=modality, units=units)
    if kind == "fmri":
        return fmri.load(path, tr=None if rate is None else 1.0 / rate)
    if kind == "calcium":
        return calcium.load(path, sampling_rate=rate, units=units or "1")
    if kind == "spikes":
        width = _given("bin width (s)", bin_width, path, "--bin-width")
        return spikes.load(path, bin_width=width, sampling_rate=rate)
    raise LoaderError(f"{path}: its name does not tell what it holds; pass the modality (--modality eeg, fmri, ...)")


def _by_suffix(path: Path) -> str | None:
    if path.is_dir() and any((path / sub / "F.npy").is_file() for sub in (".", "plane0", "suite2p/plane0")):
        return "calcium"
    if path.is_dir() and any((path / name).is_file() for name in ("spike_times.npy", "spikes.times.npy")):
        return "spikes"
    return next((kind for kind, ends in BY_SUFFIX.items() if path.name.lower().endswith(ends)), None)


def _array(path: Path, modality: str | None, units: str | None, rate: float | None) -> xr.DataArray:
    """Read a (time, unit) array; what the file cannot state must be given."""
    modality = _given("modality", modality, path, "--modality")
    units = _given("units", units, path, "--units")
    rate = _given("sampling rate (Hz)", rate, path, "--rate")
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LoaderError(f"{path} cannot be read as a numpy array: {error}") from error
    if values.ndim != 2:
        raise LoaderError(f"{path} has shape {values.shape}: an array (time, unit) is needed")
    return recordings.recording(values, modality=modality, units=units, sampling_rate=rate)


def _given(what: str, value: Any, path: Path, flag: str) -> Any:
    if value is None:
        raise LoaderError(f"{path}: the file does not state its {what}; pass it ({flag})")
    return value
