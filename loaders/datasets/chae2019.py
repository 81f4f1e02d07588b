"""Responses of mitral and tufted cells to odours: Chae et al. 2019 (`*_field_of_view_*.mat`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

ABOUT = {
    "system": "Mus musculus",
    "citation": "Chae H, et al. (2019) Nat Neurosci 22:1306. doi:10.1038/s41593-019-0442-z",
}
NEEDED = ("R", "P", "x", "y")


def load(path: files.PathLike) -> xr.DataArray:
    """Read the response of every cell of a field of view to every odour.

    Parameters
    ----------
    path
        A `*_field_of_view_*.mat` with `R` (odour, cell), `P`, `x`, `y`.

    Returns
    -------
    xarray.DataArray
        (trial, unit), one trial per odour, float64 as stored, units `"1"` (dF/F). `stimulus` along `trial` is
        `odour01`, ... in the file's order. Units are `cell001`, ... with `coordinate_1` and `coordinate_2`:
        positions in the image times `pixel_size_x` and `_y`, whose unit the file does not state.

    Raises
    ------
    LoaderError
        When the file is not of this layout or its arrays do not fit together.
    """
    return _recording(_variables(path), path)


def load_session(path: files.PathLike, *, properties: files.PathLike | None = None) -> xr.DataTree:
    """Read a field of view with the authors' P values; parameters and errors as for `load`.

    Parameters
    ----------
    path
        As for `load`.
    properties
        `dragon_property_matrix.mat`: molecular descriptors (descriptor, odour) of 49 odours. Which of the odours
        those are is not in the files, so they stand beside the trials, joined to nothing.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; `structure/p_value` (trial, unit); `stimuli/properties` (stimulus, feature).
    """
    variables = _variables(path)
    rec = _recording(variables, path)
    p_value = xr.DataArray(
        np.asarray(variables["P"], dtype=np.float64),
        dims=("trial", "unit"),
        coords={"trial": rec["trial"].values, "unit": rec["unit"].values},
    )
    stimuli = None
    if properties is not None:
        matrix = _loaded(properties).get("dragon_property_matrix")
        if matrix is None or np.ndim(matrix) != 2:
            raise LoaderError(f"{properties}: no matrix dragon_property_matrix")
        stimuli = {"properties": xr.DataArray(np.asarray(matrix, dtype=np.float64).T, dims=("stimulus", "feature"))}
    attrs = {**ABOUT, "source": rec.attrs["source"]}
    return session({"calcium": rec}, structure={"p_value": p_value}, stimuli=stimuli, attrs=attrs)


def _loaded(path: files.PathLike) -> dict[str, Any]:
    from scipy.io import loadmat

    found = files.existing(path)
    with files.reading(found, "MATLAB"):
        variables: dict[str, Any] = loadmat(found)
    return variables


def _variables(path: files.PathLike) -> dict[str, Any]:
    variables = _loaded(path)
    missing = [name for name in NEEDED if name not in variables]
    if missing:
        raise LoaderError(f"{path}: no {', '.join(missing)}; a field of view of Chae 2019 is needed")
    shape = variables["R"].shape
    for name in ("P", "x", "y"):
        wanted = shape if name == "P" else (shape[-1],)
        if (variables[name].shape if name == "P" else (variables[name].size,)) != wanted:
            raise LoaderError(f"{path}: {name} has shape {variables[name].shape} for R of shape {shape} (odour, cell)")
    return variables


def _recording(variables: dict[str, Any], path: files.PathLike) -> xr.DataArray:
    found = files.existing(path)
    values = np.asarray(variables["R"], dtype=np.float64)
    with files.reading(found, "a field of view of Chae 2019"):
        rec = recording(
            values, modality="calcium", units="1", dims=("trial", "unit"), name="calcium",
            unit=[f"cell{number:03d}" for number in range(1, values.shape[1] + 1)],
            coords={
                "stimulus": ("trial", [f"odour{number:02d}" for number in range(1, len(values) + 1)]),
                "coordinate_1": ("unit", np.ravel(variables["x"]).astype(np.float64)),
                "coordinate_2": ("unit", np.ravel(variables["y"]).astype(np.float64)),
            },
            attrs={**ABOUT, "source": found.name, "session": found.stem},
        )  # fmt: skip
    return add_history(rec, "loaders.datasets.chae2019.load")
