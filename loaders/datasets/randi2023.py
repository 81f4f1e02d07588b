"""Whole-brain calcium of worms under targeted stimulation: Randi et al. 2023 (`<n>_gcamp.txt`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.datasets import worm_traces
from neurointerp.recordings import session

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Randi F, Sharma AK, Dvali S, Leifer AM (2023) Nature 623:406. doi:10.1038/s41586-023-06683-4",
}
ADDRESS = "https://osf.io/e2syt"
"""Where the authors keep the files."""


def load(
    path: files.PathLike,
    *,
    labels: files.PathLike | None = None,
    time: files.PathLike | None = None,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        `<n>_gcamp.txt`: a row per frame, a column per neuron, numbers between spaces.
    labels, time
        `<n>_labels.txt` (one label per line; lines past the last neuron are ignored) and `<n>_t.txt` (one stamp
        (s) per line); default: beside `path`.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit) as stored, units `"1"`, NaN kept. Units are the labels, or `u<place>`.

    Raises
    ------
    LoaderError
        When a file is missing or the three do not fit together.

    Notes
    -----
    Simeon et al. 2024 drop neurons without values, impute the others, give a class name without a side first `L`,
    then `R`, and leave out worms of fewer than 1000 frames. Here nothing is imputed, guessed or left out: `AWA` keeps
    the candidates AWAL and AWAR. The original files were not at hand: the layout is that of worm-graph.
    """
    found = files.existing(path)
    stem = found.name.removesuffix("_gcamp.txt")
    names = files.existing(labels or found.with_name(f"{stem}_labels.txt"), remedy="pass labels=")
    clock = files.existing(time or found.with_name(f"{stem}_t.txt"), remedy="pass time=")
    with files.reading(found, "a table of numbers"):
        values = np.loadtxt(found, ndmin=2)
    with files.reading(clock, "one time stamp per line"):
        stamps = np.loadtxt(clock, ndmin=1)
    told = names.read_text("utf-8").splitlines()
    if len(stamps) != len(values) or len(told) < values.shape[1]:
        raise LoaderError(f"{found}: shape {values.shape} for {len(stamps)} time stamps and {len(told)} labels")
    with files.reading(found, "a worm of Randi 2023"):
        rec = worm_traces.worm(
            values, stamps, told[: values.shape[1]], function="loaders.datasets.randi2023.load",
            attrs={**ABOUT, "source": found.name, "session": stem},
        )  # fmt: skip
    return worm_traces.homogenise(rec, target_dt=target_dt) if homogenised else rec


def load_session(
    path: files.PathLike,
    *,
    labels: files.PathLike | None = None,
    time: files.PathLike | None = None,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm as a session; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; homogenised also `residual`, the smoothed copies and `original`.
    """
    rec = load(path, labels=labels, time=time)
    recordings = worm_traces.copies(rec, target_dt=target_dt) if homogenised else {"calcium": rec}
    return session(recordings, attrs={**ABOUT, "source": Path(path).name})
