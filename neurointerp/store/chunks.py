"""How arrays are cut into chunks, and how chunks are written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import StoreError
from neurointerp.store.headers import CHECKSUM_BYTES, checksum

CHUNK_BYTES = 4 * 2**20
CHUNK_UNITS = 512
SHARD_BYTES = 128 * 2**20
BLOCK_BYTES = 64 * 2**20
"""How much of an array that is not in memory is held at once while it is written or digested."""
THREADS = 4
Shape = tuple[int, ...]


def chunk_shape(shape: Shape, itemsize: int, growing: int | None = None) -> Shape:
    """Choose chunks of about 4 MiB: at most 512 along the last axis, then whole axes from the inner to the outer.

    The pieces of an axis are about equal, since the last chunk of an axis takes the room of a whole one.

    Parameters
    ----------
    shape
        Shape of the array.
    itemsize
        Bytes per value.
    growing
        Axis along which blocks will be appended: its chunk is as long as the others leave room for.

    Examples
    --------
    >>> chunk_shape((20000, 3072), 4)
    (2000, 512)
    >>> chunk_shape((0, 3072), 4, growing=0)
    (2048, 512)
    """
    budget = CHUNK_BYTES // itemsize
    if growing is None and math.prod(shape) <= budget:
        return tuple(max(size, 1) for size in shape)
    chunks = [1] * len(shape)
    for axis in reversed(range(len(shape))):
        if axis == growing:
            continue
        most = min(budget, CHUNK_UNITS) if axis == len(shape) - 1 > 0 else budget
        chunks[axis] = _even(shape[axis], max(most, 1))
        budget //= chunks[axis]
    if growing is not None:
        chunks[growing] = max(budget, 1)
    return tuple(chunks)


def chunk_shape_of_tasks(pieces: Sequence[Shape], itemsize: int, name: str) -> tuple[Shape, Shape]:
    """Choose chunks for an array that arrives in pieces (dask), none of which shares a chunk with another.

    Parameters
    ----------
    pieces
        Sizes of the pieces along each axis (`array.chunks`).
    itemsize
        Bytes per value.
    name
        What to call the array in an error.

    Returns
    -------
    tuple of (tuple of int, tuple of int)
        The chunks, and the pieces that they divide.

    Raises
    ------
    StoreError
        When the pieces of an axis differ (but for a shorter last one).
    """
    for axis, sizes in enumerate(pieces):
        if any(size != sizes[0] for size in sizes[:-1]) or (sizes and sizes[-1] > sizes[0]):
            shown = ", ".join(map(str, sizes[:6])) + (", ..." if len(sizes) > 6 else "")
            raise StoreError(
                f"{name} has uneven dask chunks along axis {axis} ({shown}), so that two tasks would write one chunk "
                "of the store; make them even with .chunk({dim: size}) first"
            )
    piece = tuple(max(sizes[0], 1) if sizes else 1 for sizes in pieces)
    wanted = chunk_shape(piece, itemsize)
    return tuple(_divisor(whole, part) for whole, part in zip(piece, wanted, strict=True)), piece


def shard_shape(chunks: Shape, shape: Shape, itemsize: int) -> Shape | None:
    """Choose how many chunks share a file of at most 128 MiB, from the last axis on; None where it would hold one.

    Examples
    --------
    >>> shard_shape((2048, 512), (65536, 3072), 4)
    (10240, 3072)
    """
    room = max(SHARD_BYTES // (math.prod(chunks) * itemsize), 1)
    shards = list(chunks)
    for axis in reversed(range(len(chunks))):
        taken = min(-(-shape[axis] // chunks[axis]), room) or 1
        shards[axis] *= taken
        room //= taken
    return tuple(shards) if tuple(shards) != chunks else None


def regions(shape: Shape, unit: Shape, itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Give the blocks of an array, whole in `unit` along every axis and of about 64 MiB or one unit, in order."""
    step = [max(size, 1) for size in shape]
    for axis in range(len(shape)):
        size = math.prod(step) * itemsize
        if size <= BLOCK_BYTES:
            break
        fits = BLOCK_BYTES * step[axis] // size
        step[axis] = max(fits // unit[axis], 1) * unit[axis]
    starts = (range(0, size, s) for size, s in zip(shape, step, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(c, min(c + s, size)) for c, s, size in zip(corner, step, shape, strict=True))


@dataclass(frozen=True)
class Target:
    """An array of a store being written. `target[region] = values` takes regions that share no chunk.

    Chunks that hold nothing but the values and their checksum are written here, each by one call of the system: zarr's
    own way copies every value four times, which halves the speed. What compresses, shards or encodes goes through zarr.
    """

    folder: Path
    shape: Shape
    unit: Shape
    dtype: np.dtype[Any]
    array: Any = None

    def __setitem__(self, region: tuple[slice, ...], values: Any) -> None:
        """Write the values of a region."""
        bounds = [part.indices(size)[:2] for part, size in zip(region, self.shape, strict=True)]
        wanted = tuple(stop - start for start, stop in bounds)
        values = np.asarray(values)
        strings = self.dtype.kind == "T"
        if values.shape != wanted or not (strings or values.dtype.newbyteorder("<") == self.dtype):
            raise StoreError(
                f"{self.folder.name} got a block of {values.dtype} {values.shape} where {self.dtype} {wanted} was "
                "announced: the lazy array does not give what its dtype and chunks say"
            )
        shared = [
            axis
            for axis, ((start, stop), unit, size) in enumerate(zip(bounds, self.unit, self.shape, strict=True))
            if start % unit or (stop % unit and stop != size)
        ]
        if shared:
            raise StoreError(f"{self.folder.name}: the block {region} shares a chunk with its neighbour along {shared}")
        if strings:
            self.array[region] = self._strings(values)
        elif self.array is not None:
            self.array[region] = values
        elif values.size:
            first = tuple(start // unit for (start, _), unit in zip(bounds, self.unit, strict=True))
            _write_chunks(self.folder, self.unit, first, values.astype(self.dtype, copy=False))

    def _strings(self, values: np.ndarray) -> np.ndarray:
        try:
            return values.astype(self.dtype)
        except UnicodeEncodeError as error:
            raise StoreError(f"{self.folder.name} holds text that is no Unicode: {error}") from error


def _write_chunks(folder: Path, chunks: Shape, first: Shape, values: np.ndarray) -> None:
    grid = [range(-(-size // chunk)) for size, chunk in zip(values.shape, chunks, strict=True)]

    def write(index: Shape) -> None:
        part = values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
        name = "/".join(["c", *(str(i + f) for i, f in zip(index, first, strict=True))])
        _write_chunk(folder / name, part, chunks)

    indices = itertools.product(*grid)
    if values.nbytes <= 2 * CHUNK_BYTES:
        for index in indices:
            write(index)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(write, indices))


def _write_chunk(path: Path, part: np.ndarray, chunks: Shape) -> None:
    """Write one chunk as zarr's codecs `bytes` and `crc32c` do; a short one at the end of an axis is filled with 0."""
    if part.shape != chunks:
        whole = np.zeros(chunks, part.dtype)
        whole[tuple(slice(size) for size in part.shape)] = part
        part = whole
    data = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data.data)
        file.write(checksum(data).to_bytes(CHECKSUM_BYTES, "little"))


def _even(size: int, most: int) -> int:
    """Give the length of the fewest about equal pieces of at most `most`."""
    return max(-(-size // max(-(-size // most), 1)), 1)


def _divisor(whole: int, wanted: int) -> int:
    """Give a divisor of `whole` that is `wanted` or somewhat less; `whole` itself where there is none."""
    fewest = -(-whole // wanted)
    return next((whole // k for k in range(fewest, 4 * fewest) if whole % k == 0), whole)
