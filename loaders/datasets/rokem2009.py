"""Resting-state fMRI of 28 regions: the table that the library nitime carries (`fmri_timeseries.csv`)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files, fmri
from neurointerp.recordings import add_history, session

TR = 1.89
"""Repetition time (s), as nitime's example "Coherency analysis of fMRI data" states; the file does not."""
NUISANCE = ("WM", "Vent", "Brain")
"""White matter, ventricles and whole brain: signals to regress out, not regions."""
ABOUT = {
    "system": "Homo sapiens",
    "license": "BSD-3-Clause",
    "citation": "Rokem A, Trumpis M, Perez F (2009) Nitime: time-series analysis for neuroimaging data. Proc 8th "
    "Python in Science Conf (SciPy 2009); data contributed by B Mormino",
}


def load(path: files.PathLike) -> xr.DataArray:
    """Read the regional series of one resting subject.

    Parameters
    ----------
    path
        `nitime/data/fmri_timeseries.csv`.

    Returns
    -------
    xarray.DataArray
        (time, unit): 250 volumes x 31 columns, float64, units `"1"` (scanner units are arbitrary), TR 1.89 s.
        Along `unit`: `kind` (`region`, or `nuisance` for WM, Vent and Brain) and `hemisphere` (L or R by the
        name's first letter, empty where it has none, as for `APHG`).

    Raises
    ------
    LoaderError
        When the file is not this table.
    """
    found = files.existing(path)
    rec = fmri.load(found, tr=TR)
    names = [str(name) for name in rec["unit"].values]
    missing = [name for name in NUISANCE if name not in names]
    if missing:
        raise LoaderError(f"{found}: no column {missing[0]!r}; nitime's fmri_timeseries.csv is needed")
    sides = [name[0] if name[0] in "LR" and name[1:2].isupper() else "" for name in names]
    kinds = ["nuisance" if name in NUISANCE else "region" for name in names]
    texts = {"kind": kinds, "hemisphere": sides}
    rec = rec.assign_coords({name: ("unit", np.array(column, dtype=object)) for name, column in texts.items()})
    rec.attrs |= ABOUT
    return add_history(rec, "loaders.datasets.rokem2009.load", tr_from="nitime's documentation")


def load_session(path: files.PathLike) -> xr.DataTree:
    """Read the same series as a session; the source holds nothing else.

    Parameters
    ----------
    path
        As for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `fmri`.

    Raises
    ------
    LoaderError
        As for `load`.
    """
    rec = load(path)
    return session({"fmri": rec}, attrs={**ABOUT, "source": rec.attrs["source"]})
