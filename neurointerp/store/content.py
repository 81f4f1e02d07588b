"""The digest of an object's content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from blake3 import blake3

from neurointerp.schema import plain
from neurointerp.store import layout
from neurointerp.store.chunks import BLOCK_BYTES

CHUNKED_BYTES = 2**22
"""Of chunks of dask that are read together: they are held beside the block that they are put into."""


def digest(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> str:
    """Give the BLAKE3 of an object's content: names, dims, dtypes, labels, values and attrs.

    Equal content has an equal digest, however it is chunked, lazy or in memory, saved or not. Values that are not in
    memory are read in blocks of some 64 MiB (of dask's chunks 4 MiB, or one) along the first dims, so an array chunked
    along its last dim alone is read several times. BLAKE3 is as hard to forge as the sha256 of raw files, and hashes
    some 5 GB/s on one core where sha256 does 2, so that a digest costs little beside the analysis of what it names.

    Parameters
    ----------
    obj
        A recording, a result or a session.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    StoreError
        When the object is none of these, or its store cannot be read.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> rec = ni.recording(np.ones((4, 2)), modality="eeg", units="V", sampling_rate=1.0)
    >>> ni.digest(rec) == ni.digest(rec.copy(deep=True))
    True
    """
    tree = layout.as_tree(obj)
    hasher = blake3()
    for node in sorted(tree.subtree, key=lambda node: node.path):
        ds = node.to_dataset(inherit=False)
        _feed(hasher, "node", node.path, plain(dict(ds.attrs)))
        for name in sorted(map(str, ds.variables)):
            variable = ds.variables[name]
            strings = variable.dtype.kind in "OUT"
            kind = "string" if strings else variable.dtype.newbyteorder("<").str
            _feed(hasher, name, name in ds.coords, list(variable.dims), list(variable.shape), kind)
            _feed(hasher, "attrs", plain(dict(variable.attrs)))
            _feed_strings(hasher, variable) if strings else _feed_numbers(hasher, variable)
    return hasher.hexdigest()


def _feed(hasher: blake3, *items: Any) -> None:
    hasher.update(json.dumps(items, sort_keys=True, separators=(",", ":")).encode())


def _feed_strings(hasher: blake3, variable: xr.Variable) -> None:
    """Feed what `json.dumps` gives for the list of all strings."""
    hasher.update(b"[")
    between = b""
    for block in _blocks(variable):
        if block.size:
            hasher.update(between + json.dumps([str(value) for value in block.ravel()])[1:-1].encode())
            between = b", "
    hasher.update(b"]")


def _feed_numbers(hasher: blake3, variable: xr.Variable) -> None:
    """Feed the bytes of the values: little-endian, in C order, every NaN the same."""
    for block in _blocks(variable):
        if block.dtype.kind == "f" and block.size and np.isnan(block.min()):  # half the time of np.isnan(block).any()
            block = np.where(np.isnan(block), block.dtype.type(np.nan), block)
        hasher.update(np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)


def _blocks(variable: xr.Variable) -> Iterator[np.ndarray]:
    """Give the values in C order, in blocks of bounded size."""
    shape = variable.shape
    size = variable.size * variable.dtype.itemsize
    if size <= BLOCK_BYTES or not shape:
        yield variable.values
        return
    row = size // shape[0]
    if row > BLOCK_BYTES and len(shape) > 1:  # never down to one value: numpy drops the NUL that a label ends with
        for index in range(shape[0]):
            yield from _blocks(variable[index])
        return
    stored = max(variable.chunks[0]) if variable.chunks else (variable.encoding.get("chunks") or (1,))[0]
    step = max(BLOCK_BYTES // row, 1)
    alone = variable.chunks and all(len(sizes) == 1 for sizes in variable.chunks[1:])
    if variable.chunks and (alone or stored * row <= BLOCK_BYTES):  # what computes a part of a chunk computes all of it
        step = stored * max(CHUNKED_BYTES // row // stored, 1)
    step -= step % stored if step > stored else 0
    for start in range(0, shape[0], step):
        yield variable[start : start + step].values
