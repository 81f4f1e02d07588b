"""Whole-brain calcium of tracked worms: Lanza et al. 2024, See Elegans (`Dataset*.mat`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import worm_traces
from neurointerp.recordings import recording, session

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Lanza E, et al. (2024) See Elegans. PLoS ONE",
}
COLUMNS = ("x", "y", "z", "frame", "intensity")


def load(
    path: files.PathLike,
    *,
    sampling_rate: float | None = None,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        A `Dataset*.mat` with `neurons_cleaned` (per neuron x, y, z, frame, intensity) and `neurons_identified`.
    sampling_rate
        Volumes per second (Hz). The file states none: without it the clock counts frames.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`); needs `sampling_rate`.
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit) intensities as stored, units `"1"`. `time` is the frame (1-based, int64), or seconds since
        the first frame. Units are the authors' labels, or `u<place>`; `RMED/RID` is no name but keeps its
        candidates. Along `unit`: `is_labeled`, `label`, `candidates` and `position_x`, `_y`, `_z`, the means
        of the tracked positions in the image (their unit is not stated). A neuron without a value in a frame is NaN.

    Raises
    ------
    LoaderError
        When the file is not of this layout, a neuron stands twice in a frame, or the clock is missing.
    """
    found, held = _read(path)
    rec = _worm(found, held, sampling_rate)
    if homogenised:
        _rate_given(found, sampling_rate)
        return worm_traces.homogenise(rec, target_dt=target_dt)
    return rec


def load_session(
    path: files.PathLike,
    *,
    sampling_rate: float | None = None,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm with the positions of its neurons; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium` (homogenised: also `residual`, the smoothed copies and `original`);
        `structure/position`: (time, axis, unit), where each neuron was tracked to.
    """
    found, held = _read(path)
    rec = _worm(found, held, sampling_rate)
    if homogenised:
        _rate_given(found, sampling_rate)
    recordings = worm_traces.copies(rec, target_dt=target_dt) if homogenised else {"calcium": rec}
    position = xr.DataArray(
        held["tracks"][:, :3],
        dims=("time", "axis", "unit"),
        coords={"time": rec["time"], "axis": np.array(["x", "y", "z"], dtype=object), "unit": rec["unit"].values},
    )
    return session(recordings, structure={"position": position}, attrs={**ABOUT, "source": found.name})


def _rate_given(path: Path, sampling_rate: float | None) -> None:
    if sampling_rate is None:
        raise LoaderError(f"{path}: the file states no frame rate; pass sampling_rate= in Hz to homogenise it")


def _read(path: files.PathLike) -> tuple[Path, dict[str, Any]]:
    """Give frames, tracks (time, column, neuron) and labels."""
    from scipy.io import loadmat

    found = files.existing(path)
    with files.reading(found, "MATLAB"):
        variables = loadmat(found, simplify_cells=True)
    missing = {"neurons_cleaned", "neurons_identified"} - set(variables)
    if missing:
        raise LoaderError(f"{found}: no {', '.join(sorted(missing))}; a Dataset*.mat of See Elegans is needed")
    with files.reading(found, "a worm of See Elegans"):
        coords = [np.array(entry["coords"], dtype=np.float64) for entry in np.atleast_1d(variables["neurons_cleaned"])]
        odd = [place for place, table in enumerate(coords) if table.ndim != 2 or table.shape[1] != len(COLUMNS)]
        if odd:
            raise LoaderError(
                f"{found}: neuron {odd[0] + 1} has coords of shape {coords[odd[0]].shape}, (frame, 5) needed"
            )
        frames = np.unique(np.concatenate([table[:, 3] for table in coords]))
        tracks = np.full((len(frames), len(COLUMNS), len(coords)), np.nan)
        for place, table in enumerate(coords):
            rows = np.searchsorted(frames, table[:, 3])
            if np.unique(rows).size != rows.size:
                raise LoaderError(f"{found}: neuron {place + 1} has two rows for one frame")
            tracks[rows, :, place] = table
        labels = _labels(variables["neurons_identified"], len(coords), found)
    return found, {"frames": frames, "tracks": tracks, "labels": labels}


def _labels(identified: Any, neurons: int, path: Path) -> list[str]:
    labels = [""] * neurons
    numbers, names = np.atleast_1d(identified["id"]), np.atleast_1d(identified["name"])
    for number, name in zip(numbers, names, strict=True):
        if not 1 <= int(number) <= neurons:
            raise LoaderError(f"{path}: neurons_identified names neuron {number} outside 1 to {neurons}")
        labels[int(number) - 1] = str(name)
    return labels


def _worm(path: Path, held: dict[str, Any], sampling_rate: float | None) -> xr.DataArray:
    frames, tracks = held["frames"], held["tracks"]
    if sampling_rate is not None and not sampling_rate > 0:
        raise LoaderError(f"{path}: sampling_rate is {sampling_rate!r}: a positive number of Hz is needed")
    with files.reading(path, "a worm of See Elegans"):
        rec = worm_traces.worm(
            tracks[:, 4], (frames - frames[0]) / (sampling_rate or 1.0), held["labels"],
            function="loaders.datasets.seeelegans2024.load",
            attrs={**ABOUT, "source": path.name, "session": path.stem},
            **{f"position_{axis}": _mean(tracks[:, place]) for place, axis in enumerate("xyz")},
        )  # fmt: skip
        if sampling_rate is not None:
            return rec
        counted = recording(
            rec.values, modality="calcium", units="1", time=frames.astype(np.int64), unit=list(rec["unit"].values),
            name="calcium", coords={str(name): coord for name, coord in rec.drop_vars(["time", "unit"]).coords.items()},
            attrs={name: rec.attrs[name] for name in (*ABOUT, "source", "session", "history")},
        )  # fmt: skip
    return counted


def _mean(values: np.ndarray) -> np.ndarray:
    """Average the finite entries of each column; NaN where there are none."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    return np.where(count > 0, np.where(finite, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
