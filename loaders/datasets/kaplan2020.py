"""Whole-brain calcium of worms with silenced neurons: Kaplan et al. 2020, the Zimmer lab's layout."""

from __future__ import annotations

import xarray as xr

from neurointerp.loaders import files
from neurointerp.loaders.datasets import _zimmer, worm_traces

ABOUT = {
    "system": "Caenorhabditis elegans",
    "citation": "Kaplan HS, Salazar Thula O, Khoss N, Zimmer M (2020) Neuron 105:562. doi:10.1016/j.neuron.2019.10.037",
}
ADDRESS = "https://osf.io/9nfhz"
"""Where the authors keep the files."""


def load(
    path: files.PathLike,
    *,
    worm: str | None = None,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataArray:
    """Read the activity of one worm.

    Parameters
    ----------
    path
        A `Neuron2019_Data_*.mat` (MATLAB v7.3).
    worm
        Name of the worm (its `dataset`), where the file holds several.
    homogenised
        Put it on the common neuron order and clock (`worm_traces.homogenise`).
    target_dt
        Step (s) of that clock.

    Returns
    -------
    xarray.DataArray
        (time, unit), units `"1"`: `traces_bleach_corrected`, on
        the file's clock counted from its first stamp (s). Units are the names
        the authors gave; neurons without one, or with a name that an earlier one has, are `u<place>`.
        Along `unit`: `is_labeled` (the name is exactly one neuron), `label`, `candidates`.

    Raises
    ------
    LoaderError
        When the file is not of this layout, its fields do not fit together, or the worm is not named.

    Notes
    -----
    A neuron with several different candidate names keeps them all (`A/B`) and is not labelled; Simeon et al.
    2024 take the first. The original files were not at hand when this was written: the layout is that of
    worm-graph (`preprocess/_utils.py`), tried on files made in its image.
    """
    return _zimmer.load(path, ABOUT, "loaders.datasets.kaplan2020.load", worm, homogenised, target_dt)


def load_all(
    path: files.PathLike, *, homogenised: bool = False, target_dt: float = worm_traces.TARGET_DT
) -> dict[str, xr.DataArray]:
    """Read every worm of a file, by its name; parameters and errors as for `load`."""
    return _zimmer.load_all(path, ABOUT, "loaders.datasets.kaplan2020.load_all", homogenised, target_dt)


def load_session(
    path: files.PathLike,
    *,
    worm: str | None = None,
    homogenised: bool = False,
    target_dt: float = worm_traces.TARGET_DT,
) -> xr.DataTree:
    """Read one worm with the authors' behavioural states; parameters and errors as for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; homogenised also `residual`, the smoothed copies and `original`. Events: a row per
        stretch of a state (`States`), where the file has them.
    """
    return _zimmer.load_session(path, ABOUT, "loaders.datasets.kaplan2020.load_session", worm, homogenised, target_dt)
