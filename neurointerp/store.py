"""Recordings, sessions and results kept in zarr (format 3)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import StoreError
from neurointerp.schema import SCHEMA_VERSION, plain

KINDS = ("recording", "result", "session")


def save(
    obj: xr.DataArray | xr.Dataset | xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a recording, a result or a session.

    The store is written beside the target and renamed in, so that a failure leaves what was there before.

    Parameters
    ----------
    obj
        A recording (DataArray), a result (Dataset) or a session or comparison (DataTree).
    path
        Folder to write, by habit ending in `.zarr`; `.zarr.zip` gives one file (deterministic bytes).
    overwrite
        Replace what is there; otherwise an existing path is an error.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    StoreError
        When the path exists or cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> path = ni.save(rec, tempfile.mkdtemp() + "/rec.zarr")
    >>> ni.open(path).identical(rec)
    True
    """
    target = Path(path)
    # encodings inherited from where the arrays were read would rescale edited values
    tree = _as_tree(obj).map_over_datasets(lambda ds: ds.drop_encoding())
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already; choose another path or pass overwrite=True")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        tree.to_zarr(stage / "new", zarr_format=3, consolidated=False)
        fresh = stage / "new"
        if target.name.endswith(".zip"):
            fresh = _zipped(stage / "new", stage / "new.zip")
        _swap(fresh, target, stage)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return target


def open(path: str | os.PathLike[str]) -> Any:  # noqa: A001 - the public name of the design
    """Open what `save` wrote.

    Parameters
    ----------
    path
        A folder, or a `.zarr.zip` file.

    Returns
    -------
    xarray.DataArray, xarray.Dataset or xarray.DataTree
        A recording, a result or a session, as it was saved. Values are read when they are used.

    Raises
    ------
    StoreError
        When there is no such store, it is not one of neurointerp's, or it cannot be read.
    """
    source = Path(path)
    if not source.exists():
        raise StoreError(f"no store at {source}")
    try:
        tree = _open_tree(source)
    except Exception as error:  # zarr, zip and JSON errors of many kinds: all mean the same to the user
        raise StoreError(f"{source} cannot be read as a zarr store: {_first_line(error)}") from error
    kind = tree.attrs.pop("neurointerp_kind", None)
    version = tree.attrs.get("schema_version")
    if kind not in KINDS:
        raise StoreError(f"{source} is not a neurointerp store: convert it with neurointerp.recording(...) and save")
    if version != SCHEMA_VERSION:
        raise StoreError(f"{source} has schema version {version!r}; this release reads {SCHEMA_VERSION!r}")
    if kind == "session":
        return tree
    if kind == "result":
        return tree.to_dataset()
    name = tree.attrs.get("name")
    return tree["recording"].rename(name)


def digest(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> str:
    """Give the sha256 of an object's content: names, dims, dtypes, labels, values and attrs.

    Equal content has an equal digest, however it is chunked, lazy or in memory, saved or not.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.digest(rec) == ni.digest(rec.copy(deep=True))
    True
    """
    tree = _as_tree(obj)
    sha = hashlib.sha256()
    for node in sorted(tree.subtree, key=lambda node: node.path):
        ds = node.to_dataset(inherit=False)
        _feed(sha, "node", node.path, plain(dict(ds.attrs)))
        for name in sorted(map(str, ds.variables)):
            variable = ds.variables[name]
            strings = variable.dtype.kind in "OUT"
            kind = "string" if strings else variable.dtype.newbyteorder("<").str
            _feed(sha, name, name in ds.coords, list(variable.dims), list(variable.shape), kind)
            _feed(sha, "attrs", plain(dict(variable.attrs)))
            sha.update(_canonical(variable.values, strings))
    return sha.hexdigest()


def _feed(sha: Any, *items: Any) -> None:
    sha.update(json.dumps(items, sort_keys=True, separators=(",", ":")).encode())


def _canonical(values: np.ndarray, strings: bool) -> bytes:
    if strings:
        return json.dumps([str(value) for value in values.ravel()]).encode()
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()


def _as_tree(obj: Any) -> xr.DataTree:
    if isinstance(obj, xr.DataArray):
        root = obj.to_dataset(name="recording")
        root.attrs = {"neurointerp_kind": "recording", "name": obj.name, "schema_version": SCHEMA_VERSION}
        return xr.DataTree(root)
    if isinstance(obj, xr.Dataset):
        return xr.DataTree(obj.assign_attrs(neurointerp_kind="result"))
    if isinstance(obj, xr.DataTree):
        tree = obj.copy(deep=False)
        tree.attrs = {"schema_version": SCHEMA_VERSION, **obj.attrs, "neurointerp_kind": "session"}
        return tree
    raise StoreError(
        f"cannot store a {type(obj).__name__}: a recording (DataArray), a result (Dataset) or a session "
        "(DataTree) is needed"
    )


def _zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix()), file.read_bytes())
    return target


def _swap(fresh: Path, target: Path, stage: Path) -> None:
    if target.exists():
        target.replace(stage / "old")
    fresh.replace(target)


def _open_tree(source: Path) -> xr.DataTree:
    import zarr

    store: Any = zarr.storage.ZipStore(source, mode="r") if source.is_file() else str(source)
    lazy = xr.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
    return lazy.map_over_datasets(_with_object_strings)


def _with_object_strings(ds: xr.Dataset) -> xr.Dataset:
    strings = {name: v.astype(object) for name, v in ds.variables.items() if v.dtype.kind in "UT"}
    out = ds.assign({name: v for name, v in strings.items() if name in ds.data_vars})
    return out.assign_coords({name: v for name, v in strings.items() if name in ds.coords})


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
