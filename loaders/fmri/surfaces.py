"""GIFTI files: series, maps and labels on the vertices of one hemisphere, and the surfaces they lie on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri import _clock, _grid, bids, parcels
from neurointerp.loaders.fmri._files import Source, label, opened
from neurointerp.recordings import add_history, recording

LABEL, POINTSET, TRIANGLE, TIME_SERIES = "label", "pointset", "triangle", "time series"
MESH = (POINTSET, TRIANGLE)
STRUCTURES = {"CortexLeft": "CORTEX_LEFT", "CortexRight": "CORTEX_RIGHT", "Cerebellum": "CEREBELLUM"}
SIDES = {"L": "CORTEX_LEFT", "R": "CORTEX_RIGHT"}
IN_NAME = re.compile(r"(?:^|[._-])(?:hemi-)?(lh|rh|L|R)(?:[._]|$)")
FRAMES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni"}


def is_gifti(image: Any) -> bool:
    """Tell whether nibabel read a GIFTI file."""
    return isinstance(image, files.library("nibabel", "fmri").GiftiImage)


def side(structure: str) -> str:
    """Give the hemisphere (L, R, or empty) of a structure by its CIFTI name."""
    return "L" if structure.endswith("_LEFT") else "R" if structure.endswith("_RIGHT") else ""


def from_gifti(
    sources: Sequence[Source], *, mask: Any = None, atlas: Any = None, labels: Any = None,
    surface: Any = None, tr: float | None = None, runs: Sequence[int] | None = None,
) -> xr.DataArray:  # fmt: skip
    """Give the vertices or parcels of GIFTI files; the parameters are those of `loaders.fmri.load`."""
    read = [_maps(source) for source in sources]
    first, (values, kind) = sources[0], read[0]
    for source, (other, _) in zip(sources[1:], read[1:], strict=True):
        if other.shape[1] != values.shape[1]:
            raise LoaderError(f"{source.label}: {other.shape[1]} vertices, {first.label} has {values.shape[1]}")
    structure = _structure(first)
    coords = _vertices(values.shape[1], structure, surface)
    values = np.concatenate([one for one, _ in read])
    values, coords, history = _within(values, coords, mask, first.label)
    if kind == LABEL and len(values) == 1:
        coords["region"] = ("unit", _regions(first.image, values))
    if atlas is not None:
        values, coords, found = _averaged(values, coords, atlas, labels, first.label)
        history |= found
    series = (kind == TIME_SERIES or len(sources) > 1 or tr is not None) and len(values) > 1
    unit, attrs = coords.pop("unit")[1], bids.attrs([source.label for source in sources])
    if not series:
        with files.reading(first.label, "GIFTI"):
            rec = recording(
                values, modality="fmri", units="1", dims=("trial", "unit"), name="fmri", unit=unit, coords=coords,
                attrs=attrs,
            )  # fmt: skip
        return add_history(rec, "loaders.fmri.load", **history)
    step = _clock.agreed([source.label for source in sources], [_step(source, tr) for source in sources])
    history |= _clock.overridden(tr, _stated(first), bids.metadata(first.path)[0])
    coords |= _clock.segments(first.label, [len(one) for one, _ in read], runs)
    with files.reading(first.label, "GIFTI"):
        rec = recording(
            values.astype(np.result_type(values.dtype, np.float32), copy=False), modality="fmri", units="1",
            time=np.arange(len(values)) * step, sampling_rate=1 / step, name="fmri", unit=unit, coords=coords,
            attrs=attrs,
        )  # fmt: skip
    return add_history(rec, "loaders.fmri.load", tr=step, **history)


def mesh(source: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Read a surface (`.surf.gii`).

    Parameters
    ----------
    source
        File or nibabel image with a pointset (mm) and triangles.

    Returns
    -------
    tuple
        Points (vertex, 3) in metres, triangles (triangle, 3), and the frame the points lie in.

    Raises
    ------
    LoaderError
        When the file holds no surface.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> arrays = [np.eye(3, dtype="float32"), np.array([[0, 1, 2]], dtype="int32")]
    >>> image = nibabel.GiftiImage(darrays=[
    ...     nibabel.gifti.GiftiDataArray(array, intent=intent)
    ...     for array, intent in zip(arrays, ("pointset", "triangle"))])
    >>> points, triangles, frame = mesh(image)
    >>> points.max(), triangles.tolist()
    (np.float64(0.001), [[0, 1, 2]])
    """
    found = opened(source, "GIFTI")
    if not is_gifti(found.image):
        raise LoaderError(f"{found.label}: a GIFTI surface is needed, found {type(found.image).__name__}")
    arrays = {_intent(array): array for array in found.image.darrays}
    if POINTSET not in arrays or TRIANGLE not in arrays:
        raise LoaderError(f"{found.label}: holds {', '.join(arrays) or 'nothing'}; a pointset and triangles are needed")
    code = getattr(arrays[POINTSET].coordsys, "xformspace", 0)
    points = np.asarray(arrays[POINTSET].data, dtype=np.float64) * 1e-3
    return points, np.asarray(arrays[TRIANGLE].data, dtype=np.int64), FRAMES.get(int(code), "unknown")


def place(
    places: np.ndarray, structures: Sequence[str], vertex: np.ndarray, surface: Mapping[str, Any] | None,
    sizes: Mapping[str, int],
) -> None:  # fmt: skip
    """Fill in where vertices lie (m), from surfaces by hemisphere (`L`, `R`) or structure name."""
    names = np.array(structures, dtype=object)
    for key, source in (surface or {}).items():
        structure = SIDES.get(key, key)
        if structure not in sizes:
            raise LoaderError(
                f"{label(source)}: the data have no surface {structure}; they have {', '.join(sizes) or 'none'}"
            )
        points = mesh(source)[0]
        if len(points) != sizes[structure]:
            raise LoaderError(f"{label(source)}: {len(points)} vertices, the data's {structure} has {sizes[structure]}")
        here = (names == structure) & (vertex >= 0)
        places[here] = points[vertex[here]]


def _maps(source: Source) -> tuple[np.ndarray, str]:
    """Give the data arrays of a file as (map, vertex), and what kind they are."""
    if not is_gifti(source.image):
        raise LoaderError(f"{source.label}: a GIFTI file is needed, found {type(source.image).__name__}")
    arrays = [array for array in source.image.darrays if _intent(array) not in MESH]
    if not arrays:
        raise LoaderError(f"{source.label}: a surface without data; pass it as surface= with the file of the data")
    kinds = {_intent(array) for array in arrays}
    columns = [np.asarray(array.data).squeeze() for array in arrays]
    shapes = {column.shape for column in columns}
    if len(kinds) > 1 or len(shapes) > 1 or columns[0].ndim != 1:
        raise LoaderError(
            f"{source.label}: {len(arrays)} arrays of intents {', '.join(sorted(kinds))} and shapes "
            f"{', '.join(str(shape) for shape in sorted(shapes))}: one value per vertex and one intent are needed"
        )
    values = np.stack(columns)
    if values.dtype.kind not in "iuf":
        raise LoaderError(f"{source.label}: real numbers are needed, found dtype {values.dtype}")
    kind = kinds.pop()
    values = parcels.whole(values, source.label) if kind == LABEL else values
    return values.astype(values.dtype.newbyteorder("="), copy=False), kind


def _intent(array: Any) -> str:
    return str(files.library("nibabel", "fmri").nifti1.intent_codes.label[array.intent])


def _structure(source: Source) -> str:
    metas = [dict(array.meta) for array in source.image.darrays] + [dict(source.image.meta)]
    stated = next(
        (meta["AnatomicalStructurePrimary"] for meta in metas if meta.get("AnatomicalStructurePrimary")), None
    )
    if stated is not None:
        return STRUCTURES.get(stated, str(stated))
    found = IN_NAME.search(_grid.name(source.label))
    return "" if found is None else SIDES[found[1][0].upper()]


def _vertices(size: int, structure: str, surface: Any) -> dict[str, Any]:
    names = np.full(size, structure, dtype=object)
    vertex = np.arange(size)
    coords: dict[str, Any] = {
        "unit": ("unit", np.array([f"{structure or 'vertex'}_{n}" for n in range(size)], dtype=object)),
        "structure": ("unit", names),
        "hemisphere": ("unit", np.full(size, side(structure), dtype=object)),
        "vertex": ("unit", vertex, {"vertices": {structure: size}}),
    }
    if surface is None:
        return coords
    places = np.full((size, 3), np.nan)
    given = surface if isinstance(surface, Mapping) else {structure: surface}
    place(places, list(names), vertex, given, {structure: size})
    about = {"units": "m", "frame": mesh(next(iter(given.values())))[2]}
    return coords | {axis: ("unit", places[:, n], about) for n, axis in enumerate("xyz")}


def _within(
    values: np.ndarray, coords: dict[str, Any], mask: Any, name: str
) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """Keep the vertices of a mask: an array, or a GIFTI file of one map."""
    if mask is None or (isinstance(mask, str) and mask == parcels.ALL):
        return values, coords, {}
    chosen, how = (mask, "array") if isinstance(mask, np.ndarray) else (_maps(opened(mask, "GIFTI"))[0][0], label(mask))
    if chosen.shape != values.shape[1:]:
        raise LoaderError(f"{name}: the mask ({how}) has shape {chosen.shape}, there are {values.shape[1]} vertices")
    kept = np.flatnonzero(np.nan_to_num(chosen) != 0)
    if not len(kept):
        raise LoaderError(f"{name}: no vertex is left inside the mask ({how})")
    coords = {key: (value[0], value[1][kept], *value[2:]) for key, value in coords.items()}
    return values[:, kept], coords, {"mask": _grid.name(how), "units_left_out": int(values.shape[1] - len(kept))}


def _averaged(
    values: np.ndarray, coords: dict[str, Any], atlas: Any, labels: Any, name: str
) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    source = opened(atlas, "GIFTI")
    if not is_gifti(source.image):
        raise LoaderError(f"{source.label}: vertices are parcellated by a GIFTI label file")
    maps, total = _maps(source)[0], coords["vertex"][2]["vertices"]
    if maps.shape[1] != next(iter(total.values())):
        raise LoaderError(f"{source.label}: {maps.shape[1]} vertices, {name} has {next(iter(total.values()))}")
    numbers = parcels.whole(maps[0], source.label)[coords["vertex"][1]]
    kept = np.flatnonzero(numbers > 0)
    if not len(kept):
        raise LoaderError(f"{name}: no vertex is left inside the atlas ({source.label})")
    indices, groups = parcels.grouped(numbers[kept])
    members = [kept[group] for group in groups]
    places = np.stack([coords[axis][1] for axis in "xyz"], axis=1) if "x" in coords else None
    names = _table(source.image) if labels is None else parcels.names_of(labels, None)
    out = parcels.describe(indices, members, places, names)
    out["unit"] = ("unit", np.array(out["unit"], dtype=object))
    means = np.stack([np.nanmean(values[:, group], axis=1, dtype=np.float64) for group in members], axis=1)
    dtype = np.result_type(values.dtype, np.float32)
    return means.astype(dtype), out, {"atlas": _grid.name(source.label)}


def _table(image: Any) -> dict[int, str]:
    return {int(key): str(text) for key, text in image.labeltable.get_labels_as_dict().items()}


def _regions(image: Any, values: np.ndarray) -> np.ndarray:
    names = _table(image)
    return np.array([names.get(int(value), "") for value in values[0]], dtype=object)


def _step(source: Source, tr: float | None) -> float:
    if tr is not None:
        return _clock.checked(source.label, tr)
    return _clock.reconciled(source.label, _stated(source), *bids.metadata(source.path), "(no TimeStep)")


def _stated(source: Source) -> float | None:
    """Give the `TimeStep` of the file or its arrays (ms) in seconds, where there is one."""
    metas = [dict(source.image.meta), *(dict(array.meta) for array in source.image.darrays)]
    milliseconds = next((float(meta["TimeStep"]) for meta in metas if meta.get("TimeStep")), 0.0)
    return milliseconds / 1000 or None
