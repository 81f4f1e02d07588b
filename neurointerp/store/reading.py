"""Open stores, lazily."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import xarray as xr

from neurointerp.errors import StoreError
from neurointerp.store import digests, direct, layout
from neurointerp.store.digests import Digests
from neurointerp.store.headers import Header, check_keys, is_metadata, read_header
from neurointerp.store.layout import ABOUT, DIGESTS, MAX_METADATA, METADATA
from neurointerp.store.sources import Folder, GuardedStore, ReplacedError, Source, find
from neurointerp.store.staging import restore_for_reader

ATTEMPTS = 10
"""How often a store that is replaced while its metadata are read is read again."""


@dataclass(frozen=True)
class Contents:
    """What was read of a store to open it: where it lies, its digests (None: first release) and its metadata."""

    source: Source
    digests: Digests | None
    metadata: dict[str, bytes]
    headers: list[Header]


def open(  # noqa: A001 - the public name of the design
    path: str | os.PathLike[str], *, verify: bool = False, storage_options: Mapping[str, Any] | None = None
) -> Any:
    """Open what `save` or a `writer` wrote.

    The metadata are read and checked; values are read when they are used, and each chunk is compared with what was
    saved: one that is missing, altered, or from a store that has been replaced meanwhile is a StoreError, never NaN.

    Parameters
    ----------
    path
        A folder, a `.zarr.zip` file, or a URL of either that fsspec knows (`https://`, `s3://`, ...).
    verify
        Check every file first, as `neurointerp.verify` does.
    storage_options
        What fsspec should know besides the URL (`{"anon": True}`, ...).

    Returns
    -------
    xarray.DataArray, xarray.Dataset or xarray.DataTree
        A recording, a result or a session, as it was saved.

    Raises
    ------
    StoreError
        When there is no such store, it is not one of neurointerp's, or it is damaged.

    Examples
    --------
    >>> import tempfile, numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.open(ni.save(rec, tempfile.mkdtemp() + "/rec.zarr.zip")).sizes
    Frozen({'time': 4, 'unit': 2})
    """
    if verify:
        from neurointerp.store.checking import verify as check

        check(path, storage_options=storage_options)
    for attempt in range(ATTEMPTS):
        try:
            contents = read_contents(path, storage_options)
            return layout.from_tree(_tree(contents), str(contents.source))
        except ReplacedError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError  # the loop returns or raises


def read_contents(path: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Contents:
    """Read and check the digests and metadata of a store.

    Raises
    ------
    StoreError
        When nothing is there or what is there cannot be a store.
    """
    if not layout.is_url(path):
        restore_for_reader(layout.local_path(path))
    source = find(path, options)
    with named(source):
        return _contents(source)


@contextlib.contextmanager
def named(source: Source) -> Iterator[None]:
    """Let an error about a part of a store say which store."""
    try:
        yield
    except ReplacedError:
        raise
    except StoreError as error:
        raise StoreError(f"{source} cannot be read as a zarr store: {error}") from error


def _contents(source: Source) -> Contents:
    listed = read_digests(source)
    sizes = {key: listed.size(key) for key in listed.all_keys()} if listed else source.sizes()
    if sizes is None:
        raise StoreError(f"there is no {DIGESTS}, without which it cannot be read over http")
    check_keys(sizes)
    keys = sorted(key for key in sizes if is_metadata(key))
    if METADATA not in keys:
        raise StoreError(f"there is no {METADATA} in it")
    with ThreadPoolExecutor(8) as pool:
        texts = dict(zip(keys, pool.map(lambda key: _metadata(source, listed, key, sizes[key]), keys), strict=True))
    headers = [header for key, text in texts.items() if (header := read_header(key, text))]
    if not listed and ABOUT in json.loads(texts[METADATA]).get("attributes", {}):
        raise StoreError(f"its {DIGESTS} is missing; restore it from a copy")
    if listed:
        digests.check_structure(headers, sizes)
    else:
        digests.check_claims(headers, sizes)
    return Contents(source, listed, texts, headers)


def read_digests(source: Source) -> Digests | None:
    """Read the list of digests of a store; None where there is none (first release).

    Raises
    ------
    StoreError
        When it is too large, cut or altered.
    """
    try:
        if source.size(DIGESTS) > digests.MAX_BYTES:
            raise StoreError(f"{DIGESTS} is larger than {digests.MAX_BYTES // 2**20} MiB")
        return digests.read(source.read(DIGESTS))
    except FileNotFoundError:
        return None
    except StoreError:
        raise
    except Exception as error:  # disk, zip and network errors of many libraries
        raise StoreError(f"{DIGESTS} cannot be read: {layout.first_line(error)}") from error


def _metadata(source: Source, listed: Digests | None, key: str, size: int) -> bytes:
    if size > MAX_METADATA:
        raise StoreError(f"{key} takes {size / 2**20:.0f} MiB, more than the {MAX_METADATA // 2**20} MiB attrs may")
    try:
        text = source.read(key, most=size + 1)
    except FileNotFoundError as error:
        raise StoreError(f"{key} is missing") from error
    except StoreError:
        raise
    except Exception as error:  # disk, zip and network errors of many libraries
        raise StoreError(f"{key} cannot be read: {layout.first_line(error)}") from error
    if listed and not listed.agree(key, text):
        raise StoreError(f"{key} was altered since it was saved; restore it from a copy")
    return text


def _tree(contents: Contents) -> xr.DataTree:
    first_release = contents.digests is None
    metadata, attrs = contents.metadata, {}
    if not first_release:
        # what has no attrs, xarray cannot decode: `scale_factor` or `units: days since ...` are the user's own here
        documents = {key: json.loads(text) for key, text in metadata.items()}
        metadata = {key: json.dumps({**document, "attributes": {}}).encode() for key, document in documents.items()}
        attrs = {key[: -len(METADATA)].strip("/"): doc.get("attributes", {}) for key, doc in documents.items()}
    store = GuardedStore(contents.source, contents.digests, metadata)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr's, about types that the first release used
            groups = xr.open_groups(
                cast(Any, store), engine="zarr", consolidated=False, chunks=None, decode_timedelta=False
            )
            if first_release:
                return xr.DataTree.from_dict({path: _first_release(ds) for path, ds in groups.items()})
            quick = _directly(contents, groups)
            return xr.DataTree.from_dict(
                {f"/{path}": layout.restored(path, quick[f"/{path}"], attrs) for path in attrs[""][ABOUT]["groups"]}
            )
    except StoreError:
        raise
    except Exception as error:  # zarr and xarray errors of many kinds: all mean the same to the user
        raise StoreError(f"{store} cannot be read as a zarr store: {layout.first_line(error)}") from error


def _directly(contents: Contents, groups: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Give the groups with what allows it read past zarr; labels of dims are in memory already."""
    source, listed = contents.source, contents.digests
    out = dict(groups)
    if listed is None or not isinstance(source, Folder):
        return out
    for header in contents.headers:
        group, _, name = f"/{header.path}".rpartition("/")
        ds = out.get(group or "/")
        if header.plain and ds is not None and name in ds.variables and name not in ds.xindexes:
            out[group or "/"] = ds.assign({name: direct.lazily(ds.variables[name], header, source, listed)})
    return out


def _first_release(ds: xr.Dataset) -> xr.Dataset:
    """Give a group that was written before digests, by xarray's own encoding, which it has undone."""
    strings = {name: layout.as_objects(v) for name, v in ds.variables.items() if v.dtype.kind in "UT"}
    out = ds.assign({name: v for name, v in strings.items() if name in ds.data_vars})
    return out.assign_coords({name: v for name, v in strings.items() if name in ds.coords})
