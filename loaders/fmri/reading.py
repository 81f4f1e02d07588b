"""Reading fMRI: any image or table as one recording, a run with all that lies beside it as a session."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import bids, cifti, parcels, surfaces, tables, volumes
from neurointerp.loaders.fmri import events as event_tables
from neurointerp.loaders.fmri._files import label, opened
from neurointerp.recordings import session


def load(
    source: Any,
    *,
    mask: Any = None,
    atlas: Any = None,
    labels: Any = None,
    resample: str | None = None,
    surface: Any = None,
    tr: float | None = None,
    runs: Sequence[int] | None = None,
    entities: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Read an fMRI recording: voxels, grayordinates or vertices of an image, its parcels, or columns of a table.

    Parameters
    ----------
    source
        An image that nibabel reads: NIfTI-1 or -2 (3-D, 4-D, gzip), MGH, AFNI, CIFTI-2 (dtseries, ptseries, dlabel,
        dscalar, pscalar), GIFTI (func, shape, label), as a path or its nibabel object; a table (`.csv`, `.tsv`,
        `.txt`) with one row per volume and one column per region; or the root of a BIDS dataset. A list of
        these is a list of runs, joined in order.
    mask
        Voxels that are not zero are kept: image, path or array of the same grid, or a fitted masker of nilearn.
        `"all"` keeps every voxel. Default: voxels whose series varies in every run (the files are passed through
        once, in bounded memory); of one volume, those that are not zero and not NaN. CIFTI takes an array over
        its grayordinates, GIFTI an array or a file over its vertices; their default is all.
    atlas
        Label image (NIfTI, CIFTI dlabel, GIFTI label, array of the grid): parcels instead of voxels, each the mean
        of its members that are not NaN; 0 is background. A 4-D image holds one (probability) map per parcel:
        their least-squares weights, by nilearn's NiftiMapsMasker. With a mask, members inside it.
    labels
        Names of the parcels: mapping of number to name, list from 0 on, or table with `index` and `name`. Default:
        the `.tsv` of the same name beside the atlas, or the names that CIFTI and GIFTI carry.
    resample
        What to do where the grids of data and mask or atlas differ: None, an error; `"mask"` moves the mask or atlas
        onto the data (nearest neighbour), `"data"` the data onto it (nilearn's cubic spline; read at once).
    surface
        GIFTI surface that vertices lie on, or a mapping of hemisphere (`L`, `R`) to surface: gives x, y, z.
    tr
        Repetition time (s). Default: that of the header, where its time unit is stated, and of the BIDS sidecar;
        two different values are an error. It must be plausible (0.05 to 30 s). A table always needs it.
    runs
        Run number of each volume, where one image or table holds several runs.
    entities
        Which image of a BIDS root: `{"sub": "01", "task": "rest", "run": 1, "space": ..., "desc": ...}`.

    Returns
    -------
    xarray.DataArray
        (time, unit), or (trial, unit) for one volume or maps. `unit` is `v{i}_{j}_{k}` (voxel), `{structure}_{n}`
        (vertex), the parcel's name, or the column's. Along `unit`, as known: `i`, `j`, `k` (the grid in the attrs of
        `i`), `x`, `y`, `z` (m), `slice_time` (s after the volume's stamp), `structure`, `hemisphere`, `vertex`,
        `index` and `members` (parcels), `region`. Units are `"1"`: scanner units are arbitrary. Small integers
        of a series become float32; one volume keeps its dtype and labels are integers. Files stay lazy: a slice
        reads what it needs. With several runs `segment` numbers them; the clock counts volumes x TR straight
        through, for the pauses between are not in the files.

    Raises
    ------
    LoaderError
        When a file is not what it is called or is truncated (with the bytes missing), grids or TR differ, the
        TR is unknown, or sform and qform contradict each other.

    Notes
    -----
    The format is nibabel's work; `scl_slope` and `scl_inter` are applied once, by it. Nothing is resampled unless
    asked for, scaled or detrended.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(2, 2, 1, 5)), np.diag([3, 3, 4, 1]))
    >>> image.header.set_xyzt_units("mm", "sec")
    >>> image.header.set_zooms((3, 3, 4, 2.5))
    >>> rec = load(image)
    >>> rec.sizes["time"], list(rec.unit.values), rec.attrs["sampling_rate"]
    (5, ['v0_0_0', 'v0_1_0', 'v1_0_0', 'v1_1_0'], 0.4)
    """
    sources = _sources(source, entities)
    given = [tables.is_table(one) for one in sources]
    if any(given) and (not all(given) or mask is not None or atlas is not None):
        raise LoaderError(f"{sources[0]}: a table is joined with tables only and takes no mask and no atlas")
    if len(sources) > 1 and runs is not None:
        raise LoaderError(f"{label(sources[0])}: runs= is for one file of several runs; a list numbers its own")
    if all(given):
        return tables.from_tables(sources, tr=tr, runs=runs)
    images = [opened(one) for one in sources]
    for reader, fits in ((cifti.from_cifti, cifti.is_cifti), (surfaces.from_gifti, surfaces.is_gifti)):
        if all(fits(one.image) for one in images):
            if resample is not None:
                raise LoaderError(f"{images[0].label}: resample= is for volumes; surfaces are never resampled here")
            return reader(images, mask=mask, atlas=atlas, labels=labels, surface=surface, tr=tr, runs=runs)
    if surface is not None:
        raise LoaderError(f"{images[0].label}: surface= is for vertices; an image of voxels has its affine")
    return volumes.from_images(images, mask=mask, atlas=atlas, labels=labels, resample=resample, tr=tr, runs=runs)


def load_session(
    source: Any,
    *,
    mask: Any = None,
    atlas: Any = None,
    labels: Any = None,
    resample: str | None = None,
    surface: Any = None,
    tr: float | None = None,
    runs: Sequence[int] | None = None,
    entities: Mapping[str, Any] | None = None,
    events: Any = None,
    confounds: Any = None,
    physio: Any = None,
) -> xr.DataTree:
    """Read an fMRI recording with its events, confounds and physiology.

    Parameters
    ----------
    source, mask, atlas, labels, resample, surface, tr, runs, entities
        As for `load`.
    events
        BIDS event table (`events.tsv`: `onset` and `duration` in s from the run's first volume, `trial_type`)
        or a DataFrame; with a list of runs, a list of as many.
    confounds
        fMRIPrep's confounds table of the run (one row per volume), of a single run.
    physio
        BIDS physiological recording, or a mapping of name to recording, of a single run.

    Returns
    -------
    xarray.DataTree
        Recording `fmri`; `confounds` and `physio` where they are given, each on its own clock, which counts from the
        first volume; events on the recording's clock, with `segment` where there are several runs. Of a file
        named by BIDS, those not given are looked for beside it and by inheritance; False leaves one out.
        Structure: `atlas` (i, j, k), the label image as it was given; `triangles` (triangle, corner) and `points`
        (vertex, axis; m) of surfaces.

    Raises
    ------
    LoaderError
        As for `load`, and when the tables do not fit the runs.

    Examples
    --------
    >>> import nibabel, numpy as np, pandas as pd
    >>> image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(2, 2, 1, 5)), np.eye(4))
    >>> tree = load_session(image, tr=2.0, events=pd.DataFrame({"onset": [4.0], "trial_type": ["face"]}))
    >>> tree["events/trial_type"].values
    array(['face'], dtype=object)
    """
    several = isinstance(source, list | tuple)
    sources = _sources(source, entities)
    rec = load(
        sources if several else sources[0], mask=mask, atlas=atlas, labels=labels, resample=resample, surface=surface,
        tr=tr, runs=runs,
    )  # fmt: skip
    beside = _beside(sources)
    events = _given(events, beside.get("events"))
    table = None if events is None else event_tables.joined(events, rec, several)
    if several and (_given(confounds, None) is not None or _given(physio, None) is not None):
        raise LoaderError(f"{label(sources[0])}: confounds= and physio= are for one run; load the runs apart")
    members = {"fmri": rec}
    chosen = _given(confounds, beside.get("confounds"))
    if chosen is not None:
        members["confounds"] = _confounds(chosen, rec)
    recorded = _given(physio, beside.get("physio"))
    named = {} if recorded is None else recorded if isinstance(recorded, Mapping) else {"physio": recorded}
    members |= {name: _physio(one) for name, one in named.items()}
    return session(members, events=table, structure=_structure(atlas, surface), attrs={"source": rec.attrs["source"]})


def _given(argument: Any, found: Any) -> Any:
    """Take an argument; None means what was found, False nothing."""
    return found if argument is None else None if argument is False else argument


def _sources(source: Any, entities: Mapping[str, Any] | None) -> list[Any]:
    """List the runs; the root of a BIDS dataset becomes the image that is asked for."""
    sources = list(source) if isinstance(source, list | tuple) else [source]
    if not sources:
        raise LoaderError("no image and no table to read: the list of runs is empty")
    folders = [isinstance(one, str | os.PathLike) and Path(one).is_dir() for one in sources]
    if entities is not None and not any(folders):
        raise LoaderError(f"{label(sources[0])}: entities= choose an image of a BIDS root; this is one already")
    return [bids.find(one, entities) if folder else one for one, folder in zip(sources, folders, strict=True)]


def _beside(sources: Sequence[Any]) -> dict[str, Any]:
    """Find the events, confounds and physiology of files named by BIDS."""
    paths = [Path(one) for one in sources if isinstance(one, str | os.PathLike)]
    if len(paths) != len(sources) or not all("sub" in bids.entities(path)[0] for path in paths):
        return {}
    found = [bids.inherited(path, ".tsv", "events") for path in paths]
    out: dict[str, Any] = {}
    if all(found):
        out["events"] = [one[-1] for one in found] if len(found) > 1 else found[0][-1]
    if len(paths) > 1:
        return out
    for suffix in ("timeseries", "regressors"):
        confounds = bids.inherited(paths[0], ".tsv", suffix, drop=("desc",))
        if confounds:
            out["confounds"] = confounds[-1]
    recorded = bids.inherited(paths[0], ".tsv.gz", "physio", drop=("recording",))
    names = [bids.entities(path)[0].get("recording") for path in recorded]
    out["physio"] = {f"physio_{name}" if name else "physio": path for name, path in zip(names, recorded, strict=True)}
    return out


def _structure(atlas: Any, surface: Any) -> dict[str, xr.DataArray]:
    """Give what the units lie on: the label image, and the meshes of surfaces by hemisphere."""
    labels = None if atlas is None else parcels.as_array(atlas)
    out = {} if labels is None else {"atlas": labels}
    meshes = surface if isinstance(surface, Mapping) else {} if surface is None else {"": surface}
    for key, one in meshes.items():
        points, triangles, frame = surfaces.mesh(one)
        end = f"_{key}" if key else ""
        about = {"units": "m", "frame": frame}
        out[f"points{end}"] = xr.DataArray(
            points, dims=("vertex", "axis"), coords={"axis": np.array(list("xyz"), dtype=object)}, attrs=about
        )
        out[f"triangles{end}"] = xr.DataArray(triangles, dims=("triangle", "corner"))
    return out


def _confounds(source: Any, rec: xr.DataArray) -> xr.DataArray:
    rate = rec.attrs.get("sampling_rate")
    if "time" not in rec.dims or rate is None:
        raise LoaderError(f"{label(source)}: confounds need a series with a regular clock beside them")
    table = tables.confounds(files.existing(source), tr=1 / float(rate))
    if table.sizes["time"] != rec.sizes["time"]:
        raise LoaderError(f"{label(source)}: {table.sizes['time']} rows of confounds for {rec.sizes['time']} volumes")
    stamps = np.asarray(rec["time"].values)
    return table.assign_coords(time=("time", stamps, dict(rec["time"].attrs)))


def _physio(source: Any) -> xr.DataArray:
    return source if isinstance(source, xr.DataArray) else tables.physio(source)
