"""Masks and parcellations: on the grid of the data or, when asked for, resampled by nilearn and said so."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import _grid, _lazy
from neurointerp.loaders.fmri._files import Source, opened, stem

RESAMPLE = (None, "mask", "data")
ALL = "all"
INTERPOLATION = {"mask": "nearest", "data": "continuous"}
"""A mask or an atlas holds labels, which cannot be averaged; data are interpolated by nilearn's cubic spline."""


def on_one_grid(
    sources: Sequence[Source], chosen: Any, resample: str | None, *, maps: bool = False
) -> tuple[list[Source], Any, dict[str, Any]]:
    """Bring a mask or an atlas and the data onto one grid, if that is asked for; give both and the history."""
    if resample not in RESAMPLE:
        raise LoaderError(f"resample={resample!r}: one of 'mask', 'data' or None is needed")
    chosen = image_of(chosen)
    if chosen is None or isinstance(chosen, np.ndarray) or (_is_all(chosen) and not maps):
        if resample is not None:
            raise LoaderError("resample= needs a mask or an atlas with an affine: an image or its path")
        return list(sources), ALL if _is_all(chosen) else chosen, {}
    target = opened(chosen)
    if not _grid.is_volume(target.image):
        kind = type(target.image).__name__
        raise LoaderError(f"{target.label}: a mask or an atlas of voxels is an image or an array, found {kind}")
    if target.image.ndim == 4 and target.image.shape[3] == 1:
        target = Source(target.image.slicer[..., 0], target.label)
    if target.image.ndim != 3 and not (maps and target.image.ndim == 4):
        found = f"found shape {tuple(target.image.shape)}"
        raise LoaderError(f"{target.label}: a mask has 3 axes, an atlas 3 (labels) or 4 (maps); {found}")
    if all(_grid.equal(target.image, source.image) for source in sources):
        return list(sources), target, {}
    if resample is None:
        other = next(source for source in sources if not _grid.equal(target.image, source.image))
        _grid.same(target, other, "pass resample='mask' to move it onto the data (nearest), or resample='data'")
    how = {"resample": resample, "interpolation": INTERPOLATION[str(resample)]}
    if resample == "mask":
        moved = _resampled(target, sources[0].image, "nearest" if target.image.ndim == 3 else "continuous")
        return list(sources), moved, how | _change(target.image, moved.image)
    after = [_resampled(_as_float(source), target.image, "continuous") for source in sources]
    return after, target, how | _change(sources[0].image, target.image)


def inside(mask: Any, reference: Source) -> tuple[np.ndarray, str]:
    """Give the voxels of a mask (an image on the grid, or an array) and its name."""
    if isinstance(mask, np.ndarray):
        if mask.shape != tuple(reference.image.shape[:3]):
            raise LoaderError(
                f"{reference.label}: the mask has shape {mask.shape}, the image {tuple(reference.image.shape[:3])}"
            )
        return mask != 0, "array"
    return np.nan_to_num(mask.read()) != 0, mask.label


def of_voxels(
    sources: Sequence[Source], atlas: Any, mask: Any, labels: Any
) -> tuple[_lazy.Series, dict[str, Any], dict[str, Any]]:
    """Give the mean of the voxels of each parcel, with names, centres and counts."""
    reference = sources[0]
    name = "array" if isinstance(atlas, np.ndarray) else atlas.label
    if isinstance(atlas, np.ndarray) and atlas.shape != tuple(reference.image.shape[:3]):
        shapes = f"the atlas has shape {atlas.shape}, the image {tuple(reference.image.shape[:3])}"
        raise LoaderError(f"{reference.label}: {shapes}")
    numbers = whole(atlas if isinstance(atlas, np.ndarray) else atlas.read(), name)
    all_indices = set(np.unique(numbers[numbers != 0]).tolist())
    history: dict[str, Any] = {"atlas": _grid.name(name)}
    if mask is not None and not _is_all(mask):
        _, chosen, _ = on_one_grid([reference], mask, None)
        within, how = inside(chosen, reference)
        numbers = np.where(within, numbers, 0)
        history["mask"] = _grid.name(how)
    voxels = np.argwhere(numbers != 0)
    if not len(voxels):
        raise LoaderError(f"{reference.label}: no voxel is left inside the atlas ({name})")
    values = numbers[tuple(voxels.T)]
    indices, groups = grouped(values)
    coords = describe(indices, groups, _grid.positions(reference.image, voxels), names_of(labels, atlas))
    if "x" in coords:
        for axis in "xyz":
            coords[axis][2]["frame"] = _grid.frame(reference.image)
    history |= _lost(all_indices - set(indices.tolist()))
    dtype = np.result_type(*[source.dtype() for source in sources])
    members = _lazy.VoxelSeries(sources, voxels, dtype)
    return _lazy.ParcelSeries(members, groups), coords, history


def as_array(atlas: Any) -> xr.DataArray | None:
    """Give a label image as an array (i, j, k) with its grid in attrs; None for what is no 3-D image."""
    chosen = image_of(atlas)
    source = None if chosen is None or isinstance(chosen, np.ndarray) else opened(chosen)
    if source is None or not _grid.is_volume(source.image) or source.image.ndim != 3:
        return None
    return xr.DataArray(whole(source.read(), source.label), dims=tuple("ijk"), attrs=_grid.about(source.image))


def is_maps(atlas: Any) -> bool:
    """Tell whether an atlas is a 4-D image of one (probability) map per parcel."""
    return isinstance(atlas, Source) and atlas.image.ndim == 4


def of_maps(
    sources: Sequence[Source], atlas: Source, mask: Any, labels: Any
) -> tuple[_lazy.Series, dict[str, Any], dict[str, Any]]:
    """Give the weight of each map in each volume: least squares, by nilearn's NiftiMapsMasker, read at once."""
    maskers = files.library("nilearn.maskers", "fmri")
    reference, chosen = sources[0], None
    if mask is not None and not _is_all(mask):
        nibabel = files.library("nibabel", "fmri")
        within, how = inside(on_one_grid([reference], mask, None)[1], reference)
        chosen = nibabel.Nifti1Image(within.astype(np.uint8), reference.image.affine)
    with files.reading(atlas.label, "an atlas of maps"):
        masker = maskers.NiftiMapsMasker(atlas.image, mask_img=chosen, resampling_target=None, standardize=None)
        values = np.concatenate([masker.fit_transform(_as_float(source).image) for source in sources])
    weights = np.moveaxis(np.nan_to_num(atlas.read()), -1, 0)
    members = [np.flatnonzero(one) for one in weights.reshape(len(weights), -1)]
    coords = describe(np.arange(len(weights)), members, None, names_of(labels, atlas))
    history = {"atlas": _grid.name(atlas.label), "weights": "least squares"}
    return _lazy.ArraySeries(values), coords, history | ({} if chosen is None else {"mask": _grid.name(how)})


def grouped(values: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Give the labels in order, and the positions that hold each."""
    indices, inverse = np.unique(values, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return indices, np.split(order, np.cumsum(np.bincount(inverse))[:-1])


def describe(
    indices: np.ndarray, groups: Sequence[np.ndarray], places: np.ndarray | None, names: Mapping[int, str]
) -> dict[str, Any]:
    """Give the coordinates of parcels: label number, name, number of members, centre."""
    texts = [names.get(int(index), "") for index in indices]
    repeated = {text for text in texts if texts.count(text) > 1}
    unit = [
        f"p{index}" if not text else f"{text}_{index}" if text in repeated else text
        for index, text in zip(indices.tolist(), texts, strict=True)
    ]
    coords: dict[str, Any] = {
        "unit": unit,
        "index": ("unit", indices.astype(np.int64)),
        "members": ("unit", np.array([len(group) for group in groups])),
    }
    if any(texts):
        coords["region"] = ("unit", np.array(texts, dtype=object))
    if places is not None:
        centres = np.array([places[group].mean(axis=0) for group in groups])
        coords |= {axis: ("unit", centres[:, n], {"units": "m"}) for n, axis in enumerate("xyz")}
    return coords


def whole(values: np.ndarray, name: str) -> np.ndarray:
    """Give labels as integers, though a file may hold them as floats; a fraction is no label."""
    if values.dtype.kind in "iu":
        return values
    filled = np.nan_to_num(values)
    rounded = np.rint(filled)
    if not np.array_equal(rounded, filled):
        found = filled[rounded != filled].flat[0]
        raise LoaderError(f"{name}: holds {found:g}, which is no label; a label image holds whole numbers")
    labels: np.ndarray = rounded.astype(np.int32)
    return labels


def names_of(labels: Any, atlas: Any) -> dict[int, str]:
    """Read the names of parcels: a mapping, a list from label 0 on, or a table `index`, `name` (BIDS dseg.tsv)."""
    if labels is None:
        path = getattr(atlas, "path", None)
        beside = None if path is None else path.with_name(f"{stem(path)}.tsv")
        return {} if beside is None or not beside.is_file() else _name_table(beside)
    if isinstance(labels, str | os.PathLike):
        return _name_table(files.existing(labels))
    if isinstance(labels, Mapping):
        return {int(index): str(text) for index, text in labels.items()}
    return {index: str(text) for index, text in enumerate(labels)}


def _name_table(path: Path) -> dict[int, str]:
    with files.reading(path, "a table of parcel names"), path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="," if path.suffix == ".csv" else "\t"))
        if rows and not {"index", "name"} <= set(rows[0]):
            raise LoaderError(f"{path}: columns 'index' and 'name' are needed, found {', '.join(rows[0])}")
        return {int(row["index"]): row["name"] for row in rows}


def image_of(chosen: Any) -> Any:
    """Take the image out of a masker or an atlas of nilearn."""
    for attribute in ("labels_img_", "maps_img_", "mask_img_", "labels_img", "maps_img", "mask_img", "maps"):
        if getattr(chosen, attribute, None) is not None:
            return getattr(chosen, attribute)
    return chosen


def _is_all(chosen: Any) -> bool:
    return isinstance(chosen, str) and chosen == ALL


def _resampled(source: Source, target: Any, interpolation: str) -> Source:
    image = files.library("nilearn.image", "fmri")
    with files.reading(source.label, "an image to resample"):
        moved = image.resample_to_img(source.image, target, interpolation=interpolation)
    return Source(moved, source.label)


def _as_float(source: Source) -> Source:
    """Give the image as floats: nilearn would round an interpolated integer image."""
    nibabel = files.library("nibabel", "fmri")
    values = source.read()
    floats = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    header = source.image.header if isinstance(source.image, nibabel.Nifti1Pair) else None
    image = nibabel.Nifti1Image(floats, source.image.affine, header)
    image.set_data_dtype(floats.dtype)
    if header is None:
        image.header.set_xyzt_units("mm")
    return Source(image, source.label)


def _change(before: Any, after: Any) -> dict[str, Any]:
    return {"grid_before": _grid.about(before), "grid_after": _grid.about(after)}


def _lost(indices: set[int]) -> dict[str, Any]:
    return {"parcels_without_voxels": sorted(indices)} if indices else {}
