"""Images of voxels (NIfTI, MGH, AFNI) as recordings: a series of volumes, or one volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import _clock, _grid, _lazy, bids, parcels
from neurointerp.loaders.fmri._files import Source
from neurointerp.recordings import add_history, recording

KINDS = "NIfTI, MGH or AFNI"


def from_images(
    sources: Sequence[Source], *, mask: Any = None, atlas: Any = None, labels: Any = None, resample: str | None = None,
    tr: float | None = None, runs: Sequence[int] | None = None,
) -> xr.DataArray:  # fmt: skip
    """Give the voxels or parcels of one or more images; the parameters are those of `loaders.fmri.load`."""
    ndims = [_ndim(source) for source in sources]
    if len(sources) > 1 and min(ndims) < 4:
        raise LoaderError(f"{sources[0].label}: runs of one volume each have no clock to join on; load them apart")
    sidecar, _ = bids.metadata(sources[0].path)
    history: dict[str, Any] = {}
    steps = [_step(source, tr) for source in sources] if min(ndims) == 4 else []
    if steps:
        history["tr"] = _clock.agreed([source.label for source in sources], steps)
        history |= _clock.overridden(tr, _clock.stated(sources[0].image), sidecar)
    history |= _grid.one_affine(sources[0])
    chosen = mask if atlas is None else atlas
    sources, target, how = parcels.on_one_grid(sources, chosen, resample, maps=atlas is not None)
    for source in sources[1:]:
        _grid.same(source, sources[0], "resample one onto the other first")
    if atlas is None:
        build, coords, found = _voxels(sources, target if mask is not None else None)
    else:
        average = parcels.of_maps if parcels.is_maps(target) else parcels.of_voxels
        build, coords, found = average(sources, target, mask, labels)
    history |= found | how
    if not steps:
        return _one_volume(sources[0], build, coords, history)
    return _series(sources, build, coords, history, sidecar, runs)


def _series(
    sources: Sequence[Source], series: _lazy.Series, coords: dict[str, Any], history: dict[str, Any],
    sidecar: dict[str, Any], runs: Sequence[int] | None,
) -> xr.DataArray:  # fmt: skip
    step, label = history["tr"], sources[0].label
    lengths = [int(source.image.shape[3]) for source in sources]
    unit = coords.pop("unit")
    timing = {} if len(sources) > 1 else sidecar
    times, rate = _clock.stamps(label, sum(lengths), step, timing)
    moved = "space" in bids.entities(label)[0] or history.get("resample") == "data"
    if "i" in coords and not moved:  # what was resampled has no slices any more
        voxels = np.stack([coords[axis][1] for axis in "ijk"], axis=1)
        slices = _clock.slice_times(sources[0].image, label, voxels, step, sidecar)
        coords |= {} if slices is None else {"slice_time": slices}
    coords |= _clock.segments(label, lengths, runs)
    with files.reading(label, "fMRI"):
        rec = recording(
            _lazy.values(series, sources), modality="fmri", units="1", time=times, sampling_rate=rate, name="fmri",
            unit=unit, coords=coords, attrs=_attrs(sources),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", **history)


def _one_volume(source: Source, series: _lazy.Series, coords: dict[str, Any], history: dict[str, Any]) -> xr.DataArray:
    values = series.read()
    if _is_labels(source.image) and "members" not in coords:
        values = parcels.whole(values, source.label)
    with files.reading(source.label, "fMRI"):
        rec = recording(
            values, modality="fmri", units="1", dims=("trial", "unit"), name="fmri", unit=coords.pop("unit"),
            coords=coords, attrs=_attrs([source]),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", **history)


def _voxels(sources: Sequence[Source], mask: Any) -> tuple[_lazy.Series, dict[str, Any], dict[str, Any]]:
    """Choose voxels: those of a mask, all of them, or those that hold anything."""
    shape = tuple(sources[0].image.shape[:3])
    if isinstance(mask, str):  # "all", as on_one_grid left it
        inside, how = np.ones(shape, dtype=bool), "all voxels"
    elif mask is not None:
        inside, how = parcels.inside(mask, sources[0])
    elif _lazy.volumes(sources[0]) > 1:
        inside, how = _varying(sources, shape), "voxels whose series varies"
    else:
        values = sources[0].read().reshape(shape)
        inside, how = (values != 0) & ~np.isnan(values), "voxels that are not zero"
    if not inside.any():
        raise LoaderError(f"{sources[0].label}: no voxel is left inside the mask ({how})")
    voxels = np.argwhere(inside)
    coords = _grid.coordinates(sources[0].image, voxels)
    coords["unit"] = [f"v{i}_{j}_{k}" for i, j, k in voxels.tolist()]
    chosen = {"mask": _grid.name(how), "voxels_left_out": int(inside.size - inside.sum())}
    return _lazy.VoxelSeries(sources, voxels, _dtype(sources)), coords, chosen


def _varying(sources: Sequence[Source], shape: tuple[int, ...]) -> np.ndarray:
    """Find the voxels that vary in every run: one pass through the files, in bounded memory."""
    box = tuple(slice(0, n) for n in shape)
    inside = np.ones(shape, dtype=bool)
    for source in sources:
        low, high = np.full((2, *shape), np.nan)
        for _, cube in _lazy.cubes(source, np.arange(_lazy.volumes(source)), box):
            # fmin and fmax pass over NaN, so that a voxel outside the scanned brain does not count as varying
            low, high = np.fmin(low, np.fmin.reduce(cube, axis=-1)), np.fmax(high, np.fmax.reduce(cube, axis=-1))
        inside &= low < high
    return inside


def _dtype(sources: Sequence[Source]) -> np.dtype[Any]:
    """Give the dtype of the values: a series is computed with, one volume may be labels and stays as it is."""
    dtypes = [source.dtype() for source in sources]
    return np.result_type(*dtypes, np.float32) if _lazy.volumes(sources[0]) > 1 else dtypes[0]


def _ndim(source: Source) -> int:
    """Give 3 for one volume, 4 for a series; anything else is refused."""
    image, label = source.image, source.label
    if not _grid.is_volume(image):
        raise LoaderError(f"{label}: a {KINDS} image is needed, found {type(image).__name__}")
    if len(image.shape) not in (3, 4) or 0 in image.shape:
        raise LoaderError(f"{label}: 3 or 4 axes are needed, found shape {tuple(image.shape)}")
    return 3 if len(image.shape) == 3 or image.shape[3] == 1 else 4


def _step(source: Source, tr: float | None) -> float:
    return _clock.repetition_time(source.image, source.label, tr, *bids.metadata(source.path))


def _is_labels(image: Any) -> bool:
    nibabel = files.library("nibabel", "fmri")
    return isinstance(image, nibabel.Nifti1Pair) and image.header.get_intent()[0] == "label"


def _attrs(sources: Sequence[Source]) -> dict[str, Any]:
    grid = _grid.about(sources[0].image)
    named = bids.attrs([source.label for source in sources])
    return {**named, "shape": grid["shape"], "affine": grid["affine"]}
