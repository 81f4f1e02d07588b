"""CIFTI-2 files (dtseries, ptseries, dlabel, dscalar, pscalar): grayordinates or parcels as units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import _clock, _grid, _lazy, bids, parcels, surfaces
from neurointerp.loaders.fmri._files import Source, opened
from neurointerp.recordings import add_history, recording

PREFIX = "CIFTI_STRUCTURE_"
MILLIMETRE = 1e-3


def is_cifti(image: Any) -> bool:
    """Tell whether nibabel read a CIFTI-2 file."""
    return isinstance(image, files.library("nibabel", "fmri").Cifti2Image)


def from_cifti(
    sources: Sequence[Source], *, mask: Any = None, atlas: Any = None, labels: Any = None,
    surface: Mapping[str, Any] | None = None, tr: float | None = None, runs: Sequence[int] | None = None,
) -> xr.DataArray:  # fmt: skip
    """Give the grayordinates or parcels of CIFTI files; the parameters are those of `loaders.fmri.load`."""
    first = sources[0]
    rows, columns = _axes(first)
    for source in sources[1:]:
        if _axes(source)[1] != columns:
            raise LoaderError(f"{source.label}: its grayordinates or parcels differ from those of {first.label}")
    kind = type(columns).__name__
    coords = _grayordinates(columns, surface) if kind == "BrainModelAxis" else _parcels(columns, first.label)
    chosen, history = _chosen(mask, len(columns), first.label)
    coords = {name: (value[0], value[1][chosen], *value[2:]) for name, value in coords.items()}
    series: _lazy.Series = _lazy.MatrixSeries(sources, chosen, _dtype(sources, rows))
    if atlas is not None:
        series, coords, found = _averaged(series, coords, atlas, labels, first)
        history |= found
    if type(rows).__name__ != "SeriesAxis":
        return _maps(first, rows, series, coords, history)
    steps = [_step(source, tr) for source in sources]
    step = _clock.agreed([source.label for source in sources], steps)
    stated = round(float(rows.step), 9) if rows.unit == "SECOND" else None
    history |= _clock.overridden(tr, stated, bids.metadata(first.path)[0])
    lengths = [int(source.image.shape[0]) for source in sources]
    coords |= _clock.segments(first.label, lengths, runs)
    start = _start(rows)
    with files.reading(first.label, "CIFTI-2"):
        rec = recording(
            _lazy.values(series, sources), modality="fmri", units="1", time=start + np.arange(sum(lengths)) * step,
            sampling_rate=1 / step, name="fmri", unit=coords.pop("unit")[1], coords=coords,
            attrs=bids.attrs([source.label for source in sources]),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", tr=step, **history)


def _maps(
    source: Source, rows: Any, series: _lazy.Series, coords: dict[str, Any], history: dict[str, Any]
) -> xr.DataArray:
    """Give maps (labels, statistics) as one trial each, named by `map`; label maps are integers with names."""
    values = series.read()
    trial: dict[str, Any] = {"map": ("trial", np.array([str(name) for name in rows.name], dtype=object))}
    if type(rows).__name__ == "LabelAxis" and "members" not in coords:
        values = parcels.whole(values, source.label)
        if len(values) == 1:
            table = rows.label[0]
            names = {int(key): str(text) for key, (text, _) in table.items()}
            trial["region"] = ("unit", np.array([names.get(int(v), "") for v in values[0]], dtype=object))
    with files.reading(source.label, "CIFTI-2"):
        rec = recording(
            values, modality="fmri", units="1", dims=("trial", "unit"), name="fmri", unit=coords.pop("unit")[1],
            coords=coords | trial, attrs=bids.attrs([source.label]),
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", **history)


def _axes(source: Source) -> tuple[Any, Any]:
    with files.reading(source.label, "CIFTI-2"):
        axes = [source.image.header.get_axis(n) for n in range(source.image.ndim)]
    kinds = [type(axis).__name__ for axis in axes]
    known = ("SeriesAxis", "ScalarAxis", "LabelAxis"), ("BrainModelAxis", "ParcelsAxis")
    if len(axes) != 2 or kinds[0] not in known[0] or kinds[1] not in known[1]:
        raise LoaderError(
            f"{source.label}: a series, scalar or label file over grayordinates or parcels is needed, found axes "
            f"{', '.join(kinds)}; a connectivity matrix is a result, not a recording"
        )
    return axes[0], axes[1]


def _grayordinates(axis: Any, surface: Mapping[str, Any] | None) -> dict[str, Any]:
    structures = [str(name).removeprefix(PREFIX) for name in axis.name]
    vertex, voxel = np.asarray(axis.vertex, dtype=np.int64), np.asarray(axis.voxel, dtype=np.int64)
    unit = [
        f"{structure}_{v}" if v >= 0 else f"v{i}_{j}_{k}"
        for structure, v, (i, j, k) in zip(structures, vertex.tolist(), voxel.tolist(), strict=True)
    ]
    vertices = {str(name).removeprefix(PREFIX): int(size) for name, size in axis.nvertices.items()}
    coords: dict[str, Any] = {
        "unit": ("unit", np.array(unit, dtype=object)),
        "structure": ("unit", np.array(structures, dtype=object)),
        "hemisphere": ("unit", np.array([surfaces.side(name) for name in structures], dtype=object)),
        "vertex": (
            "unit",
            vertex,
            {"vertices": vertices},
        ),
    }
    places = np.full((len(unit), 3), np.nan)
    if axis.affine is not None:
        grid = {
            "shape": [int(n) for n in axis.volume_shape], "affine": np.asarray(axis.affine, dtype=float).tolist(),
            "affine_units": "mm", "frame": "unknown",
        }  # fmt: skip
        coords |= {name: ("unit", voxel[:, n]) for n, name in enumerate("ijk")}
        coords["i"] = (*coords["i"], grid)
        inside = vertex < 0
        places[inside] = (voxel[inside] @ axis.affine[:3, :3].T + axis.affine[:3, 3]) * MILLIMETRE
    surfaces.place(
        places, structures, vertex, surface, {str(k).removeprefix(PREFIX): n for k, n in axis.nvertices.items()}
    )
    if not np.isnan(places).all():
        about = {"units": "m", "frame": "unknown"}
        coords |= {name: ("unit", places[:, n], about) for n, name in enumerate("xyz")}
    return coords


def _parcels(axis: Any, label: str) -> dict[str, Any]:
    names = [str(name) for name in axis.name]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise LoaderError(f"{label}: {len(repeated)} parcel names stand more than once, such as {min(repeated)!r}")
    members = [sum(len(v) for v in vertices.values()) + len(voxels) for _, voxels, vertices in axis]
    sides = [{surfaces.side(str(key).removeprefix(PREFIX)) for key in vertices} for _, _, vertices in axis]
    return {
        "unit": ("unit", np.array(names, dtype=object)),
        "region": ("unit", np.array(names, dtype=object)),
        "hemisphere": ("unit", np.array([min(s) if len(s) == 1 else "" for s in sides], dtype=object)),
        "members": ("unit", np.array(members)),
    }


def _averaged(
    series: _lazy.Series, coords: dict[str, Any], atlas: Any, labels: Any, reference: Source
) -> tuple[_lazy.Series, dict[str, Any], dict[str, Any]]:
    """Average over the parcels of a dlabel file, matched by structure and vertex or voxel: nothing is moved."""
    source = opened(atlas, "CIFTI-2")
    if not is_cifti(source.image) or "vertex" not in coords:
        raise LoaderError(f"{source.label}: CIFTI grayordinates are parcellated by a CIFTI dlabel file")
    rows, columns = _axes(source)
    theirs = _grayordinates(columns, None)
    _same_space(source.label, theirs, reference.label, coords)
    numbers = parcels.whole(source.read()[0], source.label)
    at = {unit: number for unit, number in zip(theirs["unit"][1], numbers.tolist(), strict=True) if number}
    mine = np.array([at.get(unit, 0) for unit in coords["unit"][1]])
    kept = np.flatnonzero(mine)
    if not len(kept):
        raise LoaderError(f"{reference.label}: no grayordinate is left inside the atlas ({source.label})")
    indices, groups = parcels.grouped(mine[kept])
    members = [kept[group] for group in groups]
    table = rows.label[0] if type(rows).__name__ == "LabelAxis" else {}
    names = {int(key): str(text) for key, (text, _) in table.items()} | (
        parcels.names_of(labels, None) if labels else {}
    )
    places = np.stack([coords[axis][1] for axis in "xyz"], axis=1) if "x" in coords else None
    out = parcels.describe(indices, members, places, names)
    sides = [set(coords["hemisphere"][1][group]) for group in members]
    out["hemisphere"] = ("unit", np.array([min(s) if len(s) == 1 else "" for s in sides], dtype=object))
    out["unit"] = ("unit", np.array(out["unit"], dtype=object))
    history: dict[str, Any] = {"atlas": _grid.name(source.label), "grayordinates_left_out": len(mine) - len(kept)}
    lost = sorted(set(at.values()) - set(indices.tolist()))
    absent = sorted(set(coords["structure"][1]) - set(theirs["structure"][1]))
    history |= {"parcels_without_grayordinates": [names.get(n, str(n)) for n in lost]} if lost else {}
    history |= {"structures_not_in_atlas": absent} if absent else {}
    return _lazy.ParcelSeries(series, members), out, history


def _same_space(label: str, theirs: dict[str, Any], reference: str, mine: dict[str, Any]) -> None:
    """Refuse surfaces of another resolution and volumes of another grid, whose indices mean other places."""
    there, here = (coords["vertex"][2]["vertices"] for coords in (theirs, mine))
    for structure in sorted(set(there) & set(here)):
        if there[structure] != here[structure]:
            raise LoaderError(
                f"{label}: its {structure} has {there[structure]} vertices, that of {reference} {here[structure]}; "
                "resample one with Connectome Workbench first"
            )
    grids = [coords["i"][2] for coords in (theirs, mine) if "i" in coords]
    if len(grids) == 2:
        same = grids[0]["shape"] == grids[1]["shape"] and np.allclose(
            grids[0]["affine"], grids[1]["affine"], atol=_grid.SAME
        )
        if not same:
            raise LoaderError(
                f"{label}: its volume grid {grids[0]['shape']} or affine differs from that of {reference}"
            )


def _chosen(mask: Any, size: int, label: str) -> tuple[np.ndarray, dict[str, Any]]:
    if mask is None or (isinstance(mask, str) and mask == parcels.ALL):
        return np.arange(size), {}
    if not isinstance(mask, np.ndarray) or mask.shape != (size,):
        found = getattr(mask, "shape", type(mask).__name__)
        raise LoaderError(f"{label}: a mask of CIFTI is an array of {size} grayordinates or parcels, found {found}")
    if not (mask != 0).any():
        raise LoaderError(f"{label}: nothing is left inside the mask (array)")
    return np.flatnonzero(mask != 0), {"mask": "array", "units_left_out": int((mask == 0).sum())}


def _dtype(sources: Sequence[Source], rows: Any) -> np.dtype[Any]:
    dtypes = [source.dtype() for source in sources]
    return np.result_type(*dtypes, np.float32) if type(rows).__name__ == "SeriesAxis" else dtypes[0]


def _step(source: Source, tr: float | None) -> float:
    rows = _axes(source)[0]
    if tr is not None:
        return _clock.checked(source.label, tr)
    if rows.unit != "SECOND":
        raise LoaderError(
            f"{source.label}: its series counts in {rows.unit.lower()}, not in seconds: it is no recording"
        )
    return _clock.reconciled(source.label, round(float(rows.step), 9), *bids.metadata(source.path), "")


def _start(rows: Any) -> float:
    return float(rows.start) if rows.unit == "SECOND" else 0.0
