"""Write recordings, results and sessions."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from neurointerp.errors import StoreError
from neurointerp.schema import plain
from neurointerp.store import layout
from neurointerp.store.chunks import (
    Shape,
    Target,
    chunk_shape,
    chunk_shape_of_tasks,
    regions,
    shard_shape,
)
from neurointerp.store.staging import Stage

COMPRESSIONS = (None, "lz4")
STRING_BYTES = 64
"""What a string is taken to need when chunks are chosen."""


def save(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compression: str | None = None,
    shards: bool = False,
) -> Path:
    """Write a recording, a result or a session.

    The store is built beside the target, checked, put on the disk, and then takes the target's place in one step: at
    every moment a reader finds what was there before or what is there now, whole, however this ends. What a killed
    save leaves beside the target goes with the next one. Two saves of one path follow each other.

    Parameters
    ----------
    obj
        A recording (DataArray), a result (Dataset) or a session or comparison (DataTree). What is lazy is written in
        blocks of some 64 MiB; dask arrays by the scheduler in use, one task per chunk of theirs, which must be even.
        Encodings that arrays bring along from where they were read (`scale_factor`, ...) are not used.
    path
        Folder to write, by habit ending in `.zarr`; `.zarr.zip` gives one file (the same bytes each time).
    overwrite
        Replace the store that is there; otherwise an existing path is an error. A folder that is no store is never
        replaced.
    compression
        `"lz4"` (with bits shuffled) where the disk is short; by default none, since recordings hardly shrink.
    shards
        Put chunks together in files of up to 128 MiB, for a store that will be copied to an object store.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    StoreError
        When the path exists, cannot be written or is being written by a `writer`; when a name, type or attr would
        not come back as it is; when dask chunks are uneven.

    Examples
    --------
    >>> import tempfile, numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> path = ni.save(rec, tempfile.mkdtemp() + "/rec.zarr")
    >>> ni.open(path).identical(rec)
    True
    """
    groups = layout.datasets(layout.as_tree(obj))
    layout.check(groups)
    with Stage(layout.local_path(path), overwrite=overwrite, kind="save") as stage:
        targets = create(groups, stage.new, compression=compression, shards=shards)
        fill(groups, targets)
        stage.publish()
    return Path(path)


def create(
    groups: dict[str, xr.Dataset],
    folder: Path,
    *,
    compression: str | None = None,
    shards: bool = False,
    growing: str | None = None,
) -> dict[tuple[str, str], Target]:
    """Write the metadata of every group and array, and give the arrays to fill by group and name.

    Parameters
    ----------
    groups
        Path -> group, the root (`""`) first.
    folder
        Where; made here.
    compression, shards
        As for `save`.
    growing
        Dim along which blocks will be appended.
    """
    if compression not in COMPRESSIONS:
        raise StoreError(f"compression is {compression!r}: one of {', '.join(map(repr, COMPRESSIONS))} is needed")
    store = LocalStore(folder)
    targets = {}
    for path, ds in groups.items():
        group = zarr.create_group(store, path=path, zarr_format=3, attributes=layout.group_attrs(groups, path))
        for name, variable in ds.variables.items():
            where = folder / path / str(name)
            targets[path, str(name)] = _array(group, where, variable, compression, shards, growing)
    return targets


def fill(groups: dict[str, xr.Dataset], targets: dict[tuple[str, str], Target]) -> None:
    """Write the values of every array."""
    lazy: list[tuple[Any, Target]] = []
    for (path, name), target in targets.items():
        variable = groups[path].variables[name]
        if variable.chunks is not None and variable.dtype.kind != "O":
            lazy.append((variable.data, target))
        elif isinstance(variable._data, np.ndarray):
            target[tuple(slice(0, size) for size in variable.shape)] = variable.values
        else:
            for region in regions(target.shape, target.unit, variable.dtype.itemsize):
                target[region] = variable[region].values
    if lazy:
        import dask.array

        sources, sinks = zip(*lazy, strict=True)
        dask.array.store(list(sources), cast(Any, list(sinks)), lock=False)


def _array(
    group: zarr.Group, folder: Path, variable: xr.Variable, compression: str | None, shards: bool, growing: str | None
) -> Target:
    strings = variable.dtype.kind in "OUT"
    shape: Shape = tuple(variable.shape)
    itemsize = STRING_BYTES if strings else variable.dtype.itemsize
    axis = variable.dims.index(growing) if growing in variable.dims else None
    if variable.chunks is not None and not strings:
        chunks, unit = chunk_shape_of_tasks(variable.chunks, itemsize, repr(folder.name))
        unit = unit if shards else chunks
    else:
        chunks = chunk_shape(shape, itemsize, axis)
        unit = (shard_shape(chunks, shape, itemsize) if shards and not strings and axis is None else None) or chunks
    codecs: list[Any] = [] if compression is None or strings else [_lz4(variable.dtype.itemsize)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        array = group.create_array(
            folder.name,
            shape=shape,
            dtype="string" if strings else variable.dtype.newbyteorder("<"),
            chunks=chunks,
            shards=unit if unit != chunks else None,
            compressors=[*codecs, Crc32cCodec()],
            fill_value="" if strings else _fill_value(variable.dtype),
            dimension_names=[str(dim) for dim in variable.dims],
            attributes=plain(dict(variable.attrs)),
            config={"write_empty_chunks": True},
        )
    own = not strings and not codecs and unit == chunks
    return Target(folder, shape, unit, np.dtype(array.dtype), None if own else array)


def _lz4(itemsize: int) -> BloscCodec:
    return BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=itemsize)


def _fill_value(dtype: np.dtype[Any]) -> Any:
    """What other readers take for a chunk that is missing: NaN where there is one."""
    return np.nan if dtype.kind in "fc" else 0
