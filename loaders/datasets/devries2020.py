"""Mean responses of mouse visual cortex to natural scenes: the Allen Brain Observatory, de Vries et al. 2020."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

SIDE = 31
"""Rows and columns of a scene (the readme beside the files)."""
REPEATS = 50
"""Presentations that a response is the mean of (the readme); the files hold means alone."""
ABOUT = {
    "system": "Mus musculus",
    "license": "Allen Institute terms of use",
    "citation": "de Vries SEJ, Lecoq JA, Buice MA, et al. (2020) Nat Neurosci 23:138. doi:10.1038/s41593-019-0550-9",
}


def load(path: files.PathLike, *, test: files.PathLike | None = None) -> xr.DataArray:
    """Read the mean response of every neuron to every scene.

    Parameters
    ----------
    path
        `Allen_train_output.npy`: scenes x neurons.
    test
        `Allen_test_output.npy`: the scenes that were set aside; without it they are not there.

    Returns
    -------
    xarray.DataArray
        (trial, unit): one trial per scene, float64 as stored, modality calcium, in percent (dF/F), mean of 50
        presentations. Along `trial`: `stimulus` (`scene000`, ... in the order of the files, those set aside last; not
        the Allen Institute's numbers, which the files do not state) and `split` (`train`, `test`). Units are
        `neuron000`, ... of primary visual cortex (`region` VISp). Negative values are real: dF/F is about a baseline.

    Raises
    ------
    LoaderError
        When a file is no table of numbers, or the two have different neurons.
    """
    tables = {"train": _table(path)} | ({} if test is None else {"test": _table(test)})
    widths = {part: values.shape[1] for part, values in tables.items()}
    if len(set(widths.values())) != 1:
        raise LoaderError(f"{test}: {widths['test']} neurons, {files.existing(path).name} has {widths['train']}")
    count = widths["train"]
    rec = recording(
        np.concatenate(list(tables.values())), modality="calcium", units="percent", dims=("trial", "unit"),
        unit=[f"neuron{number:03d}" for number in range(count)], name="calcium",
        coords={**_scenes(tables), "region": ("unit", ["VISp"] * count)},
        attrs={**ABOUT, "source": files.existing(path).name, "session": "experiment container 511510667"},
    )  # fmt: skip
    return add_history(rec, "loaders.datasets.devries2020.load", averaged_by_authors=REPEATS)


def load_session(
    path: files.PathLike,
    *,
    test: files.PathLike | None = None,
    images: files.PathLike | None = None,
    test_images: files.PathLike | None = None,
) -> xr.DataTree:
    """Read the responses with the scenes.

    Parameters
    ----------
    path, test
        As for `load`.
    images, test_images
        `Allen_train_input.npy` and `Allen_test_input.npy`: scenes x pixels, row by row.

    Returns
    -------
    xarray.DataTree
        Recording `calcium`; with `images`, recording `scenes` (trial, row, col, unit) of modality stimulus: 31 x 31
        pixels of one unit `grey`, 0 to 255, with the same `stimulus` and `split`.

    Raises
    ------
    LoaderError
        As for `load`, and when a scene has not 961 pixels, or scenes and responses differ in number.
    """
    rec = load(path, test=test)
    found = {"calcium": rec}
    if images is None and test_images is not None:
        raise LoaderError("devries2020: test_images= without images=; give both or neither")
    if images is not None:
        if (test is None) != (test_images is None):
            raise LoaderError("devries2020: test= and test_images= are of the same scenes; give both or neither")
        tables = {"train": _table(images)} | ({} if test_images is None else {"test": _table(test_images)})
        found["scenes"] = _pictures(tables, rec, images)
    attrs = {**ABOUT, "source": rec.attrs["source"], "session": rec.attrs["session"]}
    return session(found, attrs=attrs)


def _table(path: files.PathLike) -> np.ndarray:
    values = files.array(path)
    if values.ndim != 2 or not values.size:
        raise LoaderError(f"{path}: an array of shape {values.shape}; a table of scenes is needed")
    return values.astype(np.float64)


def _scenes(tables: Mapping[str, np.ndarray]) -> dict[str, tuple[str, list[str]]]:
    parts = [part for part, values in tables.items() for _ in values]
    return {"stimulus": ("trial", [f"scene{i:03d}" for i in range(len(parts))]), "split": ("trial", parts)}


def _pictures(tables: Mapping[str, np.ndarray], rec: xr.DataArray, path: files.PathLike) -> xr.DataArray:
    pixels = np.concatenate(list(tables.values())) if len({v.shape[1] for v in tables.values()}) == 1 else None
    if pixels is None or pixels.shape[1] != SIDE * SIDE:
        raise LoaderError(f"{path}: scenes of {SIDE} x {SIDE} pixels, row by row, are needed")
    labels = _scenes(tables)
    if labels["split"][1] != list(rec["split"].values):
        raise LoaderError(f"{path}: {len(pixels)} scenes for {rec.sizes['trial']} responses, or split otherwise")
    about = {key: value for key, value in ABOUT.items() if key != "system"}
    scenes = recording(
        pixels.reshape(-1, SIDE, SIDE, 1), modality="stimulus", units="1", unit=["grey"], name="scenes",
        dims=("trial", "row", "col", "unit"), coords=labels,
        attrs={**about, "source": files.existing(path).name},
    )  # fmt: skip
    return add_history(scenes, "loaders.datasets.devries2020.load_session")
