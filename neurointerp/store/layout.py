"""What a store may hold, and how an object becomes a tree of groups and comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import StoreError
from neurointerp.schema import SCHEMA_VERSION, plain

LAYOUT = 2
"""Version of the files of a store. The first release wrote 1: no digests, no checksums, xarray's own encoding."""
KINDS = ("recording", "result", "session")
ABOUT = "neurointerp"
"""Attr of every group with what zarr does not keep: layout, order of the groups and variables, which are coords."""
OWN_ATTRS = (ABOUT, "coordinates")
DIGESTS = "digests.json"
METADATA = "zarr.json"
FILES_OF_ZARR = (METADATA, ".zarray", ".zgroup", ".zattrs", ".zmetadata")
NUMBERS = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip
MAX_METADATA = 16 * 2**20
"""Bytes that the attrs of one group or array may take (16 MiB)."""


def local_path(path: str | os.PathLike[str]) -> Path:
    """Give the path to write to, links followed; a URL is refused."""
    if is_url(path):
        raise StoreError(f"cannot write {path}: stores are written to local folders; write one and copy it there")
    return Path(os.path.realpath(Path(path)))


def is_url(path: str | os.PathLike[str]) -> bool:
    """Tell a URL (`https://...`, `s3://...`, `zip::...`) from a path."""
    return isinstance(path, str) and ("://" in path or "::" in path)


def as_tree(obj: Any) -> xr.DataTree:
    """Give the tree that is stored and digested for a recording, a result or a session."""
    if not isinstance(obj, xr.DataArray | xr.Dataset | xr.DataTree):
        raise StoreError(
            f"cannot store a {type(obj).__name__}: a recording (DataArray), a result (Dataset) or a session "
            "(DataTree) is needed"
        )
    try:
        return _tree(obj)
    except ValueError as error:
        raise StoreError(f"cannot store this: {first_line(error)}") from error


def from_tree(tree: xr.DataTree, where: str) -> Any:
    """Give the object that was saved as this tree."""
    kind = tree.attrs.pop("neurointerp_kind", None)
    version = tree.attrs.get("schema_version")
    if kind not in KINDS:
        raise StoreError(f"{where} is not a neurointerp store: convert it with neurointerp.recording(...) and save")
    if version != SCHEMA_VERSION:
        raise StoreError(f"{where} has schema version {version!r}; this release reads {SCHEMA_VERSION!r}")
    if kind == "session":
        return tree
    if kind == "result":
        return tree.to_dataset()
    if "recording" not in tree.dataset:
        raise StoreError(f"{where} is said to be a recording but holds no array 'recording': it is damaged")
    return tree["recording"].rename(tree.attrs.get("name"))


def datasets(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Give the groups of a tree in their order, by path (`""` for the root), without what children inherit."""
    return {node.path.strip("/"): node.to_dataset(inherit=False) for node in tree.subtree}


def check(groups: dict[str, xr.Dataset]) -> None:
    """Refuse, before a byte is written, what would not come back as it is.

    Raises
    ------
    StoreError
        One message that lists every name, type and attr that cannot be stored.
    """
    found = [text for path, ds in groups.items() for text in _problems(path, ds)]
    version = groups[""].attrs["schema_version"]
    if version != SCHEMA_VERSION:
        found.append(f"it has the schema version {version!r}, which this release ({SCHEMA_VERSION!r}) cannot read")
    if found:
        raise StoreError("cannot store this: " + "; ".join(found))


def group_attrs(groups: dict[str, xr.Dataset], path: str) -> dict[str, Any]:
    """Give the attrs of a group as they are stored."""
    ds = groups[path]
    about: dict[str, Any] = {"variables": list(map(str, ds.variables)), "coords": list(map(str, ds.coords))}
    if not path:
        about = {"layout": LAYOUT, "groups": list(groups), **about}
    attrs = {**plain(dict(ds.attrs)), ABOUT: about}
    marked = [name for name in about["coords"] if name not in ds.dims and " " not in name]
    # readers other than ours find the coordinates the way xarray marks them
    return {**attrs, "coordinates": " ".join(marked)} if marked else attrs


def restored(path: str, ds: xr.Dataset, attrs: dict[str, dict[str, Any]]) -> xr.Dataset:
    """Give a group as it was saved: the order of its variables, its coords, the attrs of all; strings as objects.

    Parameters
    ----------
    path
        Of the group.
    ds
        Its variables, without attrs.
    attrs
        Path -> stored attrs of every group and array.
    """
    about = attrs[path][ABOUT]
    variables = {}
    for name in about["variables"]:
        variables[name] = as_objects(ds.variables[name])
        variables[name].attrs = attrs[f"{path}/{name}".strip("/")]
    coords = {name: variables.pop(name) for name in about["coords"]}
    own = {name: value for name, value in attrs[path].items() if name not in OWN_ATTRS}
    return xr.Dataset(variables, coords=coords, attrs=own)


def as_objects(variable: xr.Variable) -> xr.Variable:
    """Give strings of any dtype as Python objects, other variables as they are."""
    return variable.astype(object) if variable.dtype.kind in "UT" else variable


def plain_key(key: str) -> bool:
    """Tell whether a key of a store stays inside it: no empty, `.` or `..` part, no backslash, no NUL."""
    return not any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in key.split("/"))


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _tree(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> xr.DataTree:
    if isinstance(obj, xr.DataArray):
        root = obj.to_dataset(name="recording")
        root.attrs = {"neurointerp_kind": "recording", "name": obj.name, "schema_version": SCHEMA_VERSION}
        return xr.DataTree(root)
    kind = "result" if isinstance(obj, xr.Dataset) else "session"
    tree = xr.DataTree(obj) if isinstance(obj, xr.Dataset) else obj.copy(deep=False)
    tree.attrs = {"schema_version": SCHEMA_VERSION, **obj.attrs, "neurointerp_kind": kind}
    return tree


def _problems(path: str, ds: xr.Dataset) -> Iterator[str]:
    where = f"group {path!r}" if path else "the root group"
    names = [*(path.split("/") if path else ()), *ds.variables, *ds.dims]
    for name in names:
        if not isinstance(name, str) or "/" in name or not plain_key(name) or name in (*FILES_OF_ZARR, DIGESTS):
            yield f"{where} has the name {name!r}, which cannot be the name of a file: use a plain name"
    for name, variable in ds.variables.items():
        yield from _type(f"{name!r} of {where}", variable)
        yield from _attrs(f"{name!r} of {where}", variable.attrs)
    yield from (f"{where} has the attr {name!r}, which stores use themselves" for name in OWN_ATTRS if name in ds.attrs)
    yield from _attrs(where, ds.attrs)
    if any(index.nlevels > 1 for index in ds.xindexes.to_pandas_indexes().values()):
        yield f"{where} has a MultiIndex: use plain coordinates on one dim"


def _type(where: str, variable: xr.Variable) -> Iterator[str]:
    dtype = variable.dtype
    if dtype.kind == "O":
        other = next((value for value in np.ravel(variable.values) if not isinstance(value, str)), "")
        if not isinstance(other, str):
            yield f"{where} holds Python objects ({type(other).__name__}): numbers, booleans or strings are needed"
        elif not variable.ndim and str(variable.values[()]).endswith("\0"):  # zarr gives a lone string back without it
            yield f"{where} is a string that ends with NUL"
    elif dtype.kind not in "UT" and dtype.name not in NUMBERS:
        yield f"{where} has dtype {dtype}: numbers of at most 64 bits, booleans or strings are needed"


def _attrs(where: str, attrs: dict[Any, Any]) -> Iterator[str]:
    size = len(json.dumps(plain(dict(attrs))))
    if size > MAX_METADATA:
        yield f"{where} has {size / 2**20:.0f} MiB of attrs, more than {MAX_METADATA // 2**20}: keep them as a variable"
