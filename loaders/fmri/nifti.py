"""Recordings and components of results back to NIfTI images that overlay the original."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import _grid, parcels
from neurointerp.loaders.fmri._files import opened

CODES = {"scanner": 1, "aligned": 2, "talairach": 3, "mni": 4, "template": 5}


def to_nifti(values: xr.DataArray, *, like: xr.DataArray | None = None, atlas: Any = None, fill: float = 0.0) -> Any:
    """Put the values of voxels or parcels back where they lie.

    Parameters
    ----------
    values
        A recording of `loaders.fmri.load`, or anything along its `unit`: a component of a result, a map of
        weights, a selection of voxels. At most one other dim (`time`, `trial`, `component`, ...), which becomes
        the fourth axis; a dim of length one that is not `time` gives a 3-D image.
    like
        The recording whose voxels these are, where `values` has lost its coordinates `i`, `j`, `k`; units are
        matched by label.
    atlas
        Label image (path, nibabel image, or `structure/atlas` of a session) that parcels were averaged over: each
        voxel gets the value of its parcel.
    fill
        What voxels outside the mask hold.

    Returns
    -------
    nibabel.Nifti1Image
        On the grid of the original (affine, shape and code of the space), values as they are. The spacing of
        `time`, where it is regular, is the TR (s).

    Raises
    ------
    LoaderError
        When it is not known where the units lie, or they are vertices of a surface.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> from neurointerp.loaders import fmri
    >>> image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(2, 2, 1, 5)), np.diag([3.0, 3, 4, 1]))
    >>> rec = fmri.load(image, tr=2.0)
    >>> np.array_equal(fmri.to_nifti(rec).get_fdata(), image.get_fdata())
    True
    """
    if "unit" not in values.dims or values.ndim > 2:
        raise LoaderError(f"dims are {values.dims}: 'unit' and at most one other are needed; select one of the others")
    others = [dim for dim in values.dims if dim != "unit"]
    columns = _storable(values.transpose("unit", *others).values)
    single = not others or (values.sizes[others[0]] == 1 and others[0] != "time")
    columns = columns.reshape(len(columns), -1)
    grid, voxels, rows = _painted(values, atlas) if atlas is not None else _placed(values, like)
    volume = np.full((*grid["shape"], columns.shape[1]), fill, dtype=columns.dtype)
    volume[tuple(voxels.T)] = columns[rows]
    return _image(volume[..., 0] if single else volume, grid, _step(values) if others == ["time"] else None)


def _placed(values: xr.DataArray, like: xr.DataArray | None) -> tuple[dict[str, Any], np.ndarray, slice]:
    """Find the voxel of each unit by its indices."""
    source = values
    if "i" not in values.coords:
        if like is None or "i" not in like.coords:
            remedy = (
                "pass atlas= for parcels" if "members" in values.coords else "pass like= (the recording they are of)"
            )
            raise LoaderError(f"units have no voxel indices i, j, k; {remedy}")
        unknown = sorted(set(map(str, values["unit"].values)) - set(like["unit"].values))
        if unknown:
            raise LoaderError(f"{len(unknown)} units are not in like=, the first is {unknown[0]!r}")
        source = like.isel(unit=like.indexes["unit"].get_indexer(values["unit"].values))
    voxels = np.stack([source[axis].values for axis in "ijk"], axis=1)
    outside = int((voxels < 0).any(axis=1).sum())
    if outside:
        raise LoaderError(
            f"{outside} units are vertices of a surface, which a volume cannot hold; "
            "select the voxels: rec.isel(unit=(rec.i >= 0).values)"
        )
    grid = source["i"].attrs
    if "affine" not in grid or "shape" not in grid:
        raise LoaderError("the coordinate i has no affine and shape in its attrs; pass like= (their recording)")
    return grid, voxels, slice(None)


def _painted(values: xr.DataArray, atlas: Any) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Find the voxels of each parcel by its label number."""
    if "index" not in values.coords:
        raise LoaderError("parcels have no coordinate 'index' (their number in the atlas)")
    numbers, grid, name = _labels(atlas)
    index = values["index"].values
    missing = sorted(set(index.tolist()) - set(np.unique(numbers).tolist()))
    if missing:
        raise LoaderError(f"{name}: holds no parcel {missing[0]}; pass the atlas that was averaged over")
    voxels = np.argwhere(np.isin(numbers, index))
    order = np.argsort(index)
    rows = order[np.searchsorted(index[order], numbers[tuple(voxels.T)])]
    return grid, voxels, rows


def _labels(atlas: Any) -> tuple[np.ndarray, dict[str, Any], str]:
    """Give the numbers of a label image, its grid and its name; a session's `structure/atlas` is one too."""
    if isinstance(atlas, xr.DataArray):
        return atlas.values, dict(atlas.attrs), "atlas"
    source = opened(atlas)
    if source.image.ndim != 3:
        axes = source.image.ndim
        raise LoaderError(f"{source.label}: only parcels of a 3-D label image can be painted, found {axes} axes")
    return parcels.whole(source.read(), source.label), _grid.about(source.image), source.label


def _storable(values: np.ndarray) -> np.ndarray:
    """Give values of a dtype that NIfTI-1 readers know; nothing is rounded."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype in (np.int64, np.uint64):
        if values.size and (values.min() < -(2**31) or values.max() >= 2**31):
            raise LoaderError("integers beyond 32 bits do not go into NIfTI; convert them to float64 first")
        return values.astype(np.int32)
    return values


def _image(volume: np.ndarray, grid: dict[str, Any], tr: float | None) -> Any:
    nibabel = files.library("nibabel", "fmri")
    affine = np.asarray(grid["affine"], dtype=np.float64)
    image = nibabel.Nifti1Image(volume, affine)
    image.set_sform(affine, code=CODES.get(str(grid.get("frame")), 2))
    units = grid.get("affine_units", "mm")
    image.header.set_xyzt_units(units, "sec" if tr else "unknown")
    if tr:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    return image


def _step(values: xr.DataArray) -> float | None:
    if values["time"].attrs.get("units") != "s" or values.sizes["time"] < 2:
        rate = values.attrs.get("sampling_rate")
        return None if rate is None else 1 / float(rate)
    steps = np.diff(values["time"].values)
    return float(np.median(steps)) if np.ptp(steps) <= 1e-6 * np.median(steps) else None
