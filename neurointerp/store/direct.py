"""Read the chunks of a local store that hold nothing but values and their checksum, without zarr.

Zarr's own way checks each chunk twice and copies each value three times, which halves the speed of a fast disk. Here a
chunk is read into a buffer that stays in the processor's cache, checked there, and copied into place.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurointerp.errors import StoreError
from neurointerp.store.chunks import CHUNK_BYTES, THREADS
from neurointerp.store.digests import Digests
from neurointerp.store.headers import Header
from neurointerp.store.sources import Folder, naming

Piece = tuple[int, Any, Any]
"""Along one axis: number of a chunk, what is taken of it, and where that goes."""


def lazily(variable: xr.Variable, header: Header, source: Folder, digests: Digests) -> xr.Variable:
    """Give a variable whose values are read this way when they are used, and kept then."""
    array: Any = indexing.LazilyIndexedArray(PlainChunks(header, variable.dtype, source, digests))
    kept = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(array))  # type: ignore[no-untyped-call]
    return xr.Variable(variable.dims, kept, encoding=variable.encoding, fastpath=True)


class PlainChunks(BackendArray):
    """What xarray indexes: an array in files of values and their checksum."""

    def __init__(self, header: Header, dtype: np.dtype[Any], source: Folder, digests: Digests) -> None:
        self.header, self.source, self.digests = header, source, digests
        self.shape, self.dtype = header.shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.BasicIndexer | indexing.OuterIndexer):
            return self._outer(key.tuple)  # xarray's adapter fails on slices that go backwards and hold nothing
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        """Give the values at `key`: a whole number, a slice or an array of whole numbers for each axis."""
        wanted = [_positions(part, size) for part, size in zip(key, self.shape, strict=True)]
        out = np.empty([len(part) for part in wanted], self.dtype)
        axes = [_pieces(part, chunk) for part, chunk in zip(wanted, self.header.chunks, strict=True)]
        pieces = list(itertools.product(*axes))
        buffers = threading.local()

        def read(piece: tuple[Piece, ...]) -> None:
            out[_joint([where for _, _, where in piece])] = self._chunk(
                tuple(number for number, _, _ in piece), buffers
            )[_joint([taken for _, taken, _ in piece])]

        if len(pieces) * self.header.itemsize * np.prod(self.header.chunks) <= 2 * CHUNK_BYTES:
            for piece in pieces:
                read(piece)
        else:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(read, pieces))
        return out[tuple(0 if np.ndim(part) == 0 and not isinstance(part, slice) else slice(None) for part in key)]

    def _chunk(self, number: tuple[int, ...], buffers: threading.local) -> np.ndarray:
        """Give one chunk, checked, in a buffer of this thread."""
        path = self.header.path
        key = "/".join([*([path] if path else []), "c", *map(str, number)])
        if key not in self.digests:
            raise StoreError(f"{self.source}: the chunk {key} is not one that was saved")
        size = self.digests.size(key)
        if not hasattr(buffers, "bytes"):
            buffers.bytes = np.empty(size + 1, np.uint8)  # one byte more tells that a file has grown
        with naming(self.source, key):
            found = self.source.read_into(key, buffers.bytes)
        if not self.digests.agree(key, buffers.bytes[:found]):
            raise StoreError(f"{self.source}: the chunk {key} was altered since it was saved; restore it from a copy")
        values = np.prod(self.header.chunks, dtype=int) * self.header.itemsize
        chunk: np.ndarray = buffers.bytes[:values].view(self.dtype).reshape(self.header.chunks)
        return chunk


def _positions(part: Any, size: int) -> range | np.ndarray:
    """Give the places along an axis that a part of a key names."""
    if isinstance(part, slice):
        return range(*part.indices(size))
    if np.ndim(part) == 0:
        return range(int(part) % size, int(part) % size + 1)
    return np.asarray(part) % size if size else np.asarray(part)


def _pieces(wanted: range | np.ndarray, chunk: int) -> list[Piece]:
    """Give what each chunk along an axis holds of the places wanted."""
    if isinstance(wanted, range) and wanted.step == 1:
        return [
            (
                number,
                slice(max(wanted.start - number * chunk, 0), min(wanted.stop - number * chunk, chunk)),
                slice(max(number * chunk - wanted.start, 0), min((number + 1) * chunk, wanted.stop) - wanted.start),
            )
            for number in (range(wanted.start // chunk, -(-wanted.stop // chunk)) if wanted else ())
        ]
    places = np.asarray(wanted)
    numbers = places // chunk
    return [
        (int(number), places[where] - number * chunk, where)
        for number in np.unique(numbers)
        for where in [np.flatnonzero(numbers == number)]
    ]


def _joint(parts: list[Any]) -> tuple[Any, ...]:
    """Give an index that takes parts along each axis by itself, be they slices or arrays."""
    if all(isinstance(part, slice) for part in parts):
        return tuple(parts)
    return np.ix_(*[np.arange(part.start, part.stop) if isinstance(part, slice) else part for part in parts])
