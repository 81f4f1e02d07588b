"""A raw file or folder of any kind to a recording: finds the loader that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import fetch, recordings, store
from neurointerp.errors import LoaderError
from neurointerp.loaders import calcium, eeg, files, fmri, spikes
from neurointerp.schema import MODALITIES

STORES = (".zarr", ".zarr.zip")
BY_SUFFIX = {
    "eeg": (
        ".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".fif", ".fif.gz", ".cnt", ".ds", ".sqd", ".con", ".cdt",
        ".snirf",
    ),
    "fmri": (".nii", ".nii.gz", ".gii", ".gii.gz", ".mgz", ".mgh", ".head"),
}  # fmt: skip
"""Suffixes that one modality's library alone reads; every other file needs `modality`."""
TABLES = (".csv", ".tsv", ".txt")
DATATYPES = {"eeg": "eeg", "meg": "meg", "ieeg": "ieeg", "func": "fmri"}
"""Folder of a BIDS dataset -> modality."""
TR_TOLERANCE = 1e-3
"""How far (s) a TR may lie from the one that a rate in decimals gives: 0.741 Hz is 1.35 s."""


def load(
    source: files.PathLike,
    *,
    modality: str | None = None,
    units: str | None = None,
    sampling_rate: float | None = None,
    bin_width: float | None = None,
    entities: Mapping[str, str] | None = None,
) -> xr.DataArray:
    """Read a file or folder as a recording, with the loader of its modality.

    Parameters
    ----------
    source
        A store of neurointerp (`.zarr`, `.zarr.zip`), a raw file, an array (`.npy`, samples x units), a folder
        (suite2p, ALF, phy or Kilosort), or the root of a BIDS dataset.
    modality
        Needed where the file's suffix does not tell: one of `neurointerp.schema.MODALITIES`.
    units
        Units of the values, for `.npy` and for files of EEG or calcium that do not state them.
    sampling_rate
        Samples per second, for files that do not state it (`.npy`, suite2p, tables of regions, images without a
        usable TR); of spike times in samples (phy folders without `params.py`). An image or a file of EEG that
        states another is an error.
    bin_width
        Width of the bins (s) that spike times are counted in.
    entities
        Of a BIDS dataset, which recording: `{"subject": "01", "task": "rest"}`.

    Returns
    -------
    xarray.DataArray
        The recording, named after the file or folder; a store's recording keeps its name.

    Raises
    ------
    LoaderError
        When the file is missing, its kind is unknown, or something it does not state was not given.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.npy"
    >>> np.save(path, np.zeros((50, 3)))
    >>> load(path, modality="eeg", units="uV", sampling_rate=250.0).sizes
    Frozen({'time': 50, 'unit': 3})
    """
    path = files.existing(source)
    if sampling_rate is not None and not 0 < sampling_rate < np.inf:
        raise LoaderError(f"{path}: the rate given is {sampling_rate!r}: a positive number of Hz is needed (--rate)")
    if entities or (path / "dataset_description.json").is_file():
        rec = _bids(path, modality, units, sampling_rate, dict(entities or {}))
    else:
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
    if kind is not None and kind not in MODALITIES:
        raise LoaderError(f"{path}: modality {kind!r}: one of {', '.join(MODALITIES)} is needed (--modality)")
    if path.suffix == ".npy":
        return _array(path, kind, units, rate)
    if kind in ("eeg", "meg", "ieeg"):
        return _agreeing(eeg.load(path, modality=modality, units=units), path, rate)
    if kind in ("fmri", "spikes"):
        _refuse_units(units, path, kind)
    if kind == "fmri":
        return _fmri(path, rate, None)
    if kind == "calcium":
        return calcium.load(path, sampling_rate=rate, units=units or "1")
    if kind == "spikes":
        width = _given("bin width (s)", bin_width, path, "--bin-width")
        return spikes.load(path, bin_width=width, sampling_rate=rate)
    if kind is not None:
        raise LoaderError(f"{path}: no loader reads a file of {kind}; make a recording of its values in Python")
    raise LoaderError(
        f"{path}: its name does not tell what it holds; pass the modality (--modality eeg, fmri, ...)"
        + (", and the rate of a table of regions, 1 / TR (--rate)" if path.suffix in TABLES else "")
    )


def _bids(
    root: Path, modality: str | None, units: str | None, rate: float | None, entities: dict[str, str]
) -> xr.DataArray:
    """Read the recording of a BIDS dataset that the entities name."""
    if not root.is_dir():
        raise LoaderError(f"{root}: entities choose a recording of a BIDS root; this is a file")
    kind = modality or _only_datatype(root, entities)
    if kind == "fmri":
        _refuse_units(units, root, kind)
        return _fmri(root, rate, entities)
    datatype = {} if modality is None else {"datatype": kind}
    return _agreeing(eeg.load(root, modality=modality, units=units, entities=entities | datatype), root, rate)


def _agreeing(rec: xr.DataArray, path: Path, rate: float | None) -> xr.DataArray:
    """Refuse a rate that is not the one of the file: all files that MNE reads state theirs."""
    stated = rec.attrs.get("sampling_rate")
    if rate is not None and (stated is None or abs(stated - rate) > 1e-3 * stated):
        told = "no regular clock" if stated is None else f"{stated:g} Hz"
        raise LoaderError(f"{path}: it states {told}, the rate given is {rate:g} Hz; leave the rate out (--rate)")
    return rec


def _refuse_units(units: str | None, path: Path, kind: str) -> None:
    if units not in (None, "1"):
        raise LoaderError(f"{path}: units {units!r} were given; {kind} is read as '1': leave the units out (--units)")


def _only_datatype(root: Path, entities: dict[str, str]) -> str:
    """Tell the modality of a dataset, or of the subject asked for, by the folders that it has."""
    subject, visit = entities.get("subject", "*"), entities.get("session")
    below = f"sub-{subject}" if visit is None else f"sub-{subject}/ses-{visit}"
    found = sorted({kind for folder, kind in DATATYPES.items() if any(root.glob(f"{below}/**/{folder}/"))})
    if len(found) != 1:
        held = f"recordings of {', '.join(found)}" if found else f"no folder {', '.join(DATATYPES)} in {below}"
        raise LoaderError(f"{root}: holds {held}; pass the modality (--modality {found[0] if found else 'eeg'})")
    return found[0]


def _fmri(path: Path, rate: float | None, entities: Mapping[str, str] | None) -> xr.DataArray:
    """Read an image or a table; the rate given is for those without a usable one of their own."""
    try:
        rec = fmri.load(path, entities=entities)
    except LoaderError as error:
        if rate is None and "pass tr=" in str(error):
            raise LoaderError(f"{error}, or the rate, 1 / TR in Hz (--rate)") from error
        if rate is None:
            raise
        return fmri.load(path, tr=1.0 / rate, entities=entities)
    tr = dict(rec.attrs["history"][-1]["parameters"]).get("tr")
    if rate is not None and tr is not None and abs(tr - 1.0 / rate) > TR_TOLERANCE:
        raise LoaderError(
            f"{path}: it states TR = {tr:g} s ({1 / tr:g} Hz), the rate given is {rate:g} Hz ({1 / rate:g} s); leave "
            "the rate out (--rate) or, if the file is wrong, load it with loaders.fmri.load(..., tr=)"
        )
    return rec


def _by_suffix(path: Path) -> str | None:
    if path.is_dir() and any((path / sub / "F.npy").is_file() for sub in (".", "plane0", "suite2p/plane0")):
        return "calcium"
    if path.is_dir() and any((path / name).is_file() for name in ("spike_times.npy", "spikes.times.npy")):
        return "spikes"
    return next((kind for kind, ends in BY_SUFFIX.items() if path.name.lower().endswith(ends)), None)


def _array(path: Path, modality: str | None, units: str | None, rate: float | None) -> xr.DataArray:
    """Read a (time, unit) array; what the file cannot state must be given."""
    if modality is None or units is None or rate is None:
        raise _unstated(path, {"--modality eeg": modality, "--units V": units, "--rate 250": rate})
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LoaderError(f"{path} cannot be read as a numpy array: {error}") from error
    if values.ndim != 2:
        raise LoaderError(f"{path} has shape {values.shape}: an array (time, unit) is needed")
    return recordings.recording(values, modality=modality, units=units, sampling_rate=rate)


def _unstated(path: Path, given: Mapping[str, Any]) -> LoaderError:
    """Name everything at once that an array does not state, with an example of each."""
    missing = [flag for flag, value in given.items() if value is None]
    kinds = f" (one of {', '.join(MODALITIES)})" if "--modality eeg" in missing else ""
    return LoaderError(
        f"{path}: an array states neither what it is nor its units nor its rate; pass, as they are, "
        f"{' '.join(missing)}{kinds}. Values on another clock than seconds, such as tokens, become a recording in "
        "Python: neurointerp.recording(values, ..., time=)"
    )


def _given(what: str, value: Any, path: Path, flag: str) -> Any:
    if value is None:
        raise LoaderError(f"{path}: the file does not state its {what}; pass it ({flag})")
    return value
