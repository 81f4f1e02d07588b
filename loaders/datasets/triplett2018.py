"""Spontaneous activity of the larval zebrafish tectum: Triplett, Avitan and Goodhill 2018 (`zf_*.mat`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

FRAME_RATE = 2.2
"""Hz: `imrate` in the script `plot_data.m` that the authors ship with the files; the files state none."""
ABOUT = {
    "system": "Danio rerio",
    "citation": "Triplett MA, Avitan L, Goodhill GJ (2018) PLoS Comput Biol 14:e1006421. "
    "doi:10.1371/journal.pcbi.1006421; data doi:10.6084/m9.figshare.6943265",
}


def load(path: files.PathLike, *, sampling_rate: float = FRAME_RATE) -> xr.DataArray:
    """Read the activity of one larva.

    Parameters
    ----------
    path
        A `zf_<date>-f<fish>.mat` file.
    sampling_rate
        Frames per second (Hz); default the rounded 2.2 of the authors' plotting script.

    Returns
    -------
    xarray.DataArray
        (time, unit), float64 dF/F, units `"1"`. Units are `cell001`, ... in the file's order (1-based, as the
        assemblies name them), with `coordinate_1` and `coordinate_2`: positions in the image, whose unit the
        authors do not state, so they are not `x` and `y` in metres.

    Raises
    ------
    LoaderError
        When the file is not one of these or its arrays do not fit together.
    """
    return _recording(_variables(path), path, sampling_rate)


def load_session(path: files.PathLike, *, sampling_rate: float = FRAME_RATE) -> xr.DataTree:
    """Read one larva with the assemblies that the authors detected in it.

    Parameters
    ----------
    path, sampling_rate
        As for `load`.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; `structure/membership` (unit, roi), bool: which cell the authors' algorithm put in
        which assembly. It is a published analysis, not ground truth, and a cell may be in several.

    Raises
    ------
    LoaderError
        As for `load`.
    """
    variables = _variables(path)
    rec = _recording(variables, path, sampling_rate)
    membership = _membership(variables["detected_assemblies"], rec, path)
    attrs = {**ABOUT, "source": rec.attrs["source"]}
    return session({"calcium": rec}, structure={"membership": membership}, attrs=attrs)


def _variables(path: files.PathLike) -> dict[str, Any]:
    from scipy.io import loadmat

    found = files.existing(path)
    with files.reading(found, "MATLAB"):
        variables: dict[str, Any] = loadmat(found)
    missing = {"activity_matrix", "cell_coordinates", "detected_assemblies"} - set(variables)
    if missing:
        raise LoaderError(f"{found}: no {', '.join(sorted(missing))}; a zf_*.mat file of Triplett 2018 is needed")
    return variables


def _recording(variables: dict[str, Any], path: files.PathLike, sampling_rate: float) -> xr.DataArray:
    found = files.existing(path)
    activity = np.asarray(variables["activity_matrix"], dtype=np.float64)
    places = np.asarray(variables["cell_coordinates"], dtype=np.float64)
    if places.shape != (len(activity), 2):
        raise LoaderError(f"{found}: cell_coordinates has shape {places.shape} for {len(activity)} cells")
    with files.reading(found, "a larva of Triplett 2018"):
        rec = recording(
            activity.T, modality="calcium", units="1", sampling_rate=sampling_rate, name="calcium",
            unit=[f"cell{number:03d}" for number in range(1, len(activity) + 1)],
            coords={f"coordinate_{axis + 1}": ("unit", places[:, axis]) for axis in range(2)},
            attrs={**ABOUT, "source": found.name, "session": found.stem},
        )  # fmt: skip
    rate_from = "plot_data.m of the authors (imrate)" if sampling_rate == FRAME_RATE else "the caller"
    return add_history(rec, "loaders.datasets.triplett2018.load", sampling_rate=sampling_rate, rate_from=rate_from)


def _membership(assemblies: Any, rec: xr.DataArray, path: files.PathLike) -> xr.DataArray:
    members = [np.ravel(cells).astype(int) for cells in np.ravel(assemblies)]
    values = np.zeros((rec.sizes["unit"], len(members)), dtype=bool)
    for column, cells in enumerate(members):
        if cells.size and not 1 <= cells.min() <= cells.max() <= len(values):
            raise LoaderError(f"{path}: assembly {column + 1} names cells outside 1 to {len(values)}")
        values[cells - 1, column] = True
    names = np.array([f"assembly{number}" for number in range(1, len(members) + 1)], dtype=object)
    return xr.DataArray(values, dims=("unit", "roi"), coords={"unit": rec["unit"].values, "roi": names})
