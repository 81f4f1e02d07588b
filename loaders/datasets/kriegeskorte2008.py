"""The 92 objects of Kriegeskorte et al. 2008: pictures, and how human and monkey IT and models hold them apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

OBJECTS = 92
ABOUT = {
    "license": "MIT",
    "citation": "Kriegeskorte N, Mur M, Ruff DA, et al. (2008) Neuron 60:1126. doi:10.1016/j.neuron.2008.10.043",
}
YES_OR_NO = ("human", "face", "animal", "natural")


def load(path: files.PathLike) -> xr.DataArray:
    """Read the pictures of the 92 objects.

    Parameters
    ----------
    path
        `Kriegeskorte_Neuron2008_supplementalData.mat`.

    Returns
    -------
    xarray.DataArray
        (trial, row, col, unit): one trial per object, 175 x 175 pixels of `red`, `green`, `blue`, uint8 as stored, of
        modality stimulus. Along `trial`: `stimulus` (`object01` to `object92` in the order of the file, which is that
        of the dissimilarities), `category`, and whether it is `human`, a `face`, an `animal`, `natural`.

    Raises
    ------
    LoaderError
        When the file holds no 92 pictures of one size.
    """
    return _pictures(_read(path, "stimuli_92objs"), path)


def load_session(
    path: files.PathLike, *, people: files.PathLike | None = None, models: files.PathLike | None = None
) -> xr.DataTree:
    """Read the pictures with the dissimilarities of brains and models.

    Parameters
    ----------
    path
        As for `load`.
    people
        `92_brainRDMs.mat`: human IT, four people in two sessions each.
    models
        `92_modelRDMs.mat`: eight models, among them the IT of two monkeys.

    Returns
    -------
    xarray.DataTree
        Recording `images`, and under `structure`: `groups` (stimulus, group), bool, the groups of objects that the file
        names (of `rand24`, `rand48` and `other48` it does not say how they were chosen); dissimilarities `published`
        (system, stimulus, stimulus2), IT of two monkeys (674 cells) and of the four people together (316 voxels); with
        `people` `it` (subject, session, stimulus, stimulus2); with `models` `model` (model, stimulus, stimulus2). Those
        of brains are 1 - Pearson correlation of response patterns (the paper).

    Raises
    ------
    LoaderError
        As for `load`, and when a matrix is not 92 by 92, symmetric, with zeros on its diagonal.
    """
    held = _read(path, "stimuli_92objs", "RDMs_mIT_hIT_fig1", "categoryVectors", "categoryLabels")
    rec = _pictures(held, path)
    names = rec["stimulus"].values
    structure = {"published": _published(held, names, path)}
    if people is not None:
        structure["it"] = _people(_read(people, "RDMs")["RDMs"], names, people)
    if models is not None:
        found = np.ravel(_read(models, "Models")["Models"])
        labels = [_text(one["name"]) for one in found]
        structure["model"] = _labelled([_matrix(one["RDM"], models) for one in found], {"model": labels}, names)
    structure["groups"] = xr.DataArray(
        np.asarray(held["categoryVectors"]) == 1, dims=("stimulus", "group"),
        coords={"stimulus": names, "group": np.array([_text(x) for x in np.ravel(held["categoryLabels"])], object)},
    )  # fmt: skip
    attrs = {**ABOUT, "source": rec.attrs["source"]}
    return session({"images": rec}, structure=structure, attrs=attrs)


def _read(path: files.PathLike, *wanted: str) -> dict[str, Any]:
    from scipy.io import loadmat

    found = files.existing(path)
    with files.reading(found, "MATLAB"):
        held: dict[str, Any] = loadmat(found)
    missing = [name for name in wanted if name not in held]
    if missing:
        raise LoaderError(f"{found}: no {', '.join(missing)}; a file of the 92 objects is needed")
    return held


def _text(cell: Any) -> str:
    return str(np.ravel(cell)[0]).strip()


def _pictures(held: Mapping[str, Any], path: files.PathLike) -> xr.DataArray:
    found = files.existing(path)
    objects = np.ravel(held["stimuli_92objs"])
    if len(objects) != OBJECTS or {"image", "category", *YES_OR_NO} - set(objects.dtype.names or ()):
        raise LoaderError(f"{found}: stimuli_92objs has {len(objects)} entries; 92 with pictures and labels are needed")
    shapes = {one["image"].shape for one in objects}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3 or next(iter(shapes))[-1] != 3:
        raise LoaderError(f"{found}: pictures of one size, of three colours, are needed; found {sorted(shapes)}")
    rec = recording(
        np.stack([one["image"] for one in objects]),
        modality="stimulus",
        units="1",
        unit=["red", "green", "blue"],
        dims=("trial", "row", "col", "unit"),
        coords={
            "stimulus": ("trial", [f"object{number:02d}" for number in range(1, OBJECTS + 1)]),
            "category": ("trial", [_text(one["category"]) for one in objects]),
            **{key: ("trial", [bool(np.ravel(one[key])[0]) for one in objects]) for key in YES_OR_NO},
        },
        name="images",
        attrs={**ABOUT, "source": found.name},
    )
    return add_history(rec, "loaders.datasets.kriegeskorte2008.load")


def _published(held: Mapping[str, Any], names: np.ndarray, path: files.PathLike) -> xr.DataArray:
    """Give the two matrices of the paper's first figure, stored as rows of the upper triangle."""
    found = np.ravel(held["RDMs_mIT_hIT_fig1"])
    upper = np.triu_indices(OBJECTS, 1)
    full = np.zeros((len(found), OBJECTS, OBJECTS))
    for matrix, one in zip(full, found, strict=True):
        values = np.ravel(one["RDM"])
        if values.size != len(upper[0]):
            raise LoaderError(f"{path}: a triangle of {values.size} numbers; {len(upper[0])} are needed")
        matrix[upper] = matrix.T[upper] = values
    kinds = {"mIT": "monkey IT", "hIT": "human IT"}
    labels = [kinds.get(_text(one["name"])[:3], _text(one["name"])) for one in found]
    return _labelled(list(full), {"system": labels}, names)


def _people(rdms: np.ndarray, names: np.ndarray, path: files.PathLike) -> xr.DataArray:
    """Give (subject, session, stimulus, stimulus2) from cells named `hIT | BE | Session: 1`."""
    cells = rdms.reshape(-1, *rdms.shape[-2:]) if rdms.ndim == 3 else rdms[None]
    if len(cells) != 1:
        raise LoaderError(f"{path}: RDMs of shape {rdms.shape}: subjects by sessions are needed")
    subjects: list[str] = []
    for row, person in enumerate(cells[0]):
        for column, one in enumerate(person):
            parts = re.fullmatch(r"hIT \| (\w+) \| Session: (\d+)", _text(one["name"]))
            if parts is None or int(parts[2]) != column + 1 or (column and parts[1] != subjects[row]):
                raise LoaderError(f"{path}: {_text(one['name'])!r} where session {column + 1} of a person is due")
            subjects += [parts[1]] if not column else []
    values = np.stack([[_matrix(one["RDM"], path) for one in person] for person in cells[0]])
    return _labelled(values, {"subject": subjects, "session": list(range(1, values.shape[1] + 1))}, names)


def _matrix(values: Any, path: files.PathLike) -> np.ndarray:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.shape != (OBJECTS, OBJECTS) or (matrix != matrix.T).any() or np.diag(matrix).any():
        raise LoaderError(f"{Path(path)}: a matrix of shape {matrix.shape}: dissimilarities of 92 objects are needed")
    return matrix


def _labelled(values: Any, leading: Mapping[str, list[Any]], names: np.ndarray) -> xr.DataArray:
    labels = {dim: np.array(held, dtype=object if isinstance(held[0], str) else np.int64)
              for dim, held in leading.items()}  # fmt: skip
    return xr.DataArray(
        np.asarray(values),
        dims=(*leading, "stimulus", "stimulus2"),
        coords={**labels, "stimulus": names, "stimulus2": names},
        attrs={"units": "1"},
    )
