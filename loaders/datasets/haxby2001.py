"""Object viewing fMRI: Haxby et al. 2001, subject 1, as PyMVPA ships it (`bold.nii.gz` and its attributes)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files, fmri
from neurointerp.recordings import add_history, session

REST = "rest"
ABOUT = {
    "system": "Homo sapiens",
    "license": "CC-BY-SA-3.0",
    "citation": "Haxby JV, et al. (2001) Science 293:2425; Hanke M, et al. (2009) Neuroinformatics 7:37",
}


def load(path: files.PathLike, *, attributes: files.PathLike | None = None, mask: Any = None) -> xr.DataArray:
    """Read the voxels of all runs with the condition of each volume.

    Parameters
    ----------
    path
        The 4-D image of all runs, one after the other.
    attributes
        Text file with one line per volume: condition and run (`attributes_literal.txt`). It must be given:
        without it the twelve runs would look like one.
    mask
        As for `loaders.fmri.load`.

    Returns
    -------
    xarray.DataArray
        (time, unit) as `loaders.fmri.load` gives it, with `condition` (`rest` between blocks) and `segment`
        (run) along `time`. The clock counts volumes straight through the runs. Which picture of a category was
        shown when is not in these files, so there is no `stimulus`.

    Raises
    ------
    LoaderError
        When the files cannot be read or the attributes do not fit the volumes.
    """
    if attributes is None:
        raise LoaderError(f"{path}: conditions and runs stand in a second file; pass attributes=")
    labels, runs = _attributes(files.existing(attributes))
    rec = fmri.load(path, mask=mask, runs=runs)
    rec = rec.assign_coords(condition=("time", labels))
    rec.attrs |= ABOUT | {"subject": "sub001"}
    return add_history(rec, "loaders.datasets.haxby2001.load", attributes=Path(attributes).name)


def load_session(path: files.PathLike, *, attributes: files.PathLike | None = None, mask: Any = None) -> xr.DataTree:
    """Read the voxels with the blocks of stimulation as events.

    Parameters
    ----------
    path, attributes, mask
        As for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `fmri`; events: `onset` and `duration` (s, whole volumes) of each block, `trial_type`
        (category) and `segment` (run), derived from the condition of each volume.

    Raises
    ------
    LoaderError
        As for `load`.
    """
    rec = load(path, attributes=attributes, mask=mask)
    return session({"fmri": rec}, events=_blocks(rec), attrs={**ABOUT, "source": rec.attrs["source"]})


def _attributes(path: Path) -> tuple[np.ndarray, list[int]]:
    with files.reading(path, "a table of condition and run"):
        rows = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
        labels = [label for label, _ in rows]
        return np.array(labels, dtype=object), [int(run) for _, run in rows]


def _blocks(rec: xr.DataArray) -> dict[str, Any]:
    condition, segment, time = rec["condition"].values, rec["segment"].values, rec["time"].values
    changes = np.flatnonzero((condition[1:] != condition[:-1]) | (segment[1:] != segment[:-1])) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.append(starts, len(condition)))
    shown = condition[starts] != REST
    starts, lengths = starts[shown], lengths[shown]
    return {
        "onset": time[starts],
        "duration": lengths / rec.attrs["sampling_rate"],
        "trial_type": condition[starts],
        "segment": segment[starts],
    }
