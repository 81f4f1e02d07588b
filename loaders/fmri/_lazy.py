"""Series read when they are sliced: xarray's lazy arrays over nibabel's proxies, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from neurointerp.loaders.fmri._files import Source

BLOCK = 1 << 26
"""Bytes of an image read at a time."""

Block = tuple[np.ndarray, np.ndarray]
Box = tuple[slice, ...]


class Series(BackendArray):
    """A (time, unit) array whose rows come in blocks; the parts below say where from."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def blocks(self, times: np.ndarray, units: np.ndarray) -> Iterator[Block]:
        """Yield (positions within `times`, their values (time, unit)) until all are read."""
        raise NotImplementedError

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        """Read what an xarray index asks for and no more."""
        outer = indexing.IndexingSupport.OUTER
        values: np.ndarray = indexing.explicit_indexing_adapter(key, self.shape, outer, self.read)
        return values

    def read(self, key: tuple[Any, ...] = (slice(None), slice(None))) -> np.ndarray:
        """Read rows and columns given as integers, slices or integer arrays."""
        times, units = (np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True))
        out = np.empty((times.size, units.size), dtype=self.dtype)
        if out.size:
            for where, values in self.blocks(times, units):
                out[where] = values
        drop = tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)
        return out[drop]


class VoxelSeries(Series):
    """The chosen voxels of one or more images, one after the other in time."""

    def __init__(self, sources: Sequence[Source], voxels: np.ndarray, dtype: np.dtype[Any]) -> None:
        self.sources, self.voxels, self.dtype = list(sources), voxels, dtype
        self.starts = np.cumsum([0, *(volumes(source) for source in sources)])
        self.shape = int(self.starts[-1]), len(voxels)

    def blocks(self, times: np.ndarray, units: np.ndarray) -> Iterator[Block]:
        """Read the smallest box around the voxels, block by block of volumes."""
        voxels = self.voxels[units]
        low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        i, j, k = (voxels - low).T
        for source, start, stop in zip(self.sources, self.starts, self.starts[1:], strict=False):
            here = np.flatnonzero((times >= start) & (times < stop))
            for where, cube in cubes(source, times[here] - start, box):
                yield here[where], cube[i, j, k].T


class MatrixSeries(Series):
    """The rows of one or more two-dimensional (row, grayordinate) images."""

    def __init__(self, sources: Sequence[Source], columns: np.ndarray, dtype: np.dtype[Any]) -> None:
        self.sources, self.columns, self.dtype = list(sources), columns, dtype
        self.starts = np.cumsum([0, *(source.image.shape[0] for source in sources)])
        self.shape = int(self.starts[-1]), len(columns)

    def blocks(self, times: np.ndarray, units: np.ndarray) -> Iterator[Block]:
        """Read the columns between the first and the last that are asked for."""
        columns = self.columns[units]
        low, high = int(columns.min()), int(columns.max()) + 1
        for source, start, stop in zip(self.sources, self.starts, self.starts[1:], strict=False):
            here = np.flatnonzero((times >= start) & (times < stop))
            data = source.data() if here.size else None
            for where, rows in _stretches(times[here] - start, (high - low) * 8):
                yield here[where], source.take(data, (rows, slice(low, high)))[:, columns - low]


class ParcelSeries(Series):
    """The mean over the members of each parcel that are not missing."""

    def __init__(self, members: Series, groups: Sequence[np.ndarray]) -> None:
        self.members, self.groups = members, list(groups)
        self.shape = members.shape[0], len(self.groups)
        self.dtype = np.result_type(members.dtype, np.float32)

    def blocks(self, times: np.ndarray, units: np.ndarray) -> Iterator[Block]:
        """Average block by block, so that the voxels are never all in memory."""
        groups = [self.groups[unit] for unit in units]
        starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
        for where, values in self.members.blocks(times, np.concatenate(groups)):
            missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
            total = np.add.reduceat(np.where(missing, 0, values), starts, axis=1, dtype=np.float64)
            count = np.add.reduceat(~missing, starts, axis=1, dtype=np.int64)
            yield where, np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


class ArraySeries(Series):
    """Numbers that had to be computed at once."""

    def __init__(self, values: np.ndarray) -> None:
        self.array, self.dtype = values, values.dtype
        self.shape = values.shape[0], values.shape[1]

    def blocks(self, times: np.ndarray, units: np.ndarray) -> Iterator[Block]:
        """Give them all."""
        yield np.arange(times.size), self.array[np.ix_(times, units)]


def lazy(series: Series) -> Any:
    """Wrap a series as what xarray.open_dataset gives: read when used, kept once read as a whole."""
    kept: Any = indexing.LazilyIndexedArray(series)
    for wrapper in (indexing.CopyOnWriteArray, indexing.MemoryCachedArray):
        kept = wrapper(kept)
    return kept


def values(series: Series, sources: Sequence[Source]) -> Any:
    """Give a lazy array where all sources are files, the numbers themselves otherwise."""
    return lazy(series) if all(source.path is not None for source in sources) else series.read()


def volumes(source: Source) -> int:
    """Count the volumes of an image."""
    return int(source.image.shape[3]) if source.image.ndim == 4 else 1


def cubes(source: Source, wanted: np.ndarray, box: Box) -> Iterator[Block]:
    """Yield (positions within `wanted`, cube (i, j, k, volume)) of a box of an image."""
    if not wanted.size:
        return
    data, voxels = source.data(), math.prod(part.stop - part.start for part in box)
    if source.image.ndim == 3:
        yield np.arange(wanted.size), source.take(data, box)[..., np.newaxis]
        return
    for where, stretch in _stretches(wanted, voxels * 8):
        yield where, source.take(data, (*box, stretch))


def _stretches(wanted: np.ndarray, bytes_each: int) -> Iterator[tuple[np.ndarray, slice]]:
    """Cut indices into runs of neighbours, in the order of the file, none longer than a block."""
    order = np.argsort(wanted, kind="stable")
    ahead, most = wanted[order], max(1, BLOCK // max(bytes_each, 1))
    start = 0
    for stop in range(1, len(ahead) + 1):
        if stop == len(ahead) or ahead[stop] != ahead[stop - 1] + 1 or stop - start == most:
            yield order[start:stop], slice(int(ahead[start]), int(ahead[stop - 1]) + 1)
            start = stop
