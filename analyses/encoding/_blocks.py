"""Features and responses that are larger than memory, read a block of rows at a time, and the sums that ridge needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.encoding._design import expanded, span
from neurointerp.analyses.encoding._sums import Cells, Sums, added, merged
from neurointerp.backend import streamed, torch_device
from neurointerp.errors import AnalysisError
from neurointerp.matrix import stack, stretches
from neurointerp.streaming import computed, tree

Indices = NDArray[np.int64]
Make = Callable[[np.ndarray], np.ndarray]
SMALL = 2**22
"""Bytes up to which chunks that follow each other are read as one block; with more features than that, a square."""
SUMS = 2**28
"""Bytes of cross-products that are held at a time; decides how many units are read at a time."""
MOST = 8192
"""Units that are read at a time at most, whose rows are also held in float64."""


@dataclass(frozen=True)
class Blocks:
    """Features and responses as dask arrays, and how their rows are read.

    Attributes
    ----------
    x, y
        dask (sample, unit): features as they come, responses.
    lags, parts
        What the columns of the design matrix are made by; the stretches that lags do not leave.
    edges
        Where blocks of rows begin, and where the last ends.
    dtype
        Of both, as one.
    device
        Where blocks are multiplied; None: in dask's workers.
    usable
        (sample,) int, the samples with all lags.
    x_mean, y_mean
        Means over these, which are taken off first; float64.
    x_variance
        (feature,), float64.
    """

    x: Any
    y: Any
    lags: Any
    parts: list[slice]
    edges: list[int]
    dtype: np.dtype[Any]
    device: str | None
    usable: Indices
    x_mean: Any = 0.0
    y_mean: Any = 0.0
    x_variance: Any = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Give the numbers of samples, of columns of the design matrix, and of units."""
        many = len(self.lags["basis"]) if isinstance(self.lags, xr.DataArray) else len(self.lags)
        return self.x.shape[0], self.x.shape[1] * many, self.y.shape[1]

    def rows(self) -> Iterator[tuple[slice, slice, Any, Make]]:
        """Give the rows of each block; where they stand in the lazy features that it needs; these; its design matrix.

        Rows with lags need some samples before and after them too.
        """
        before, after = max(*span(self.lags), 0), max(*(-lag for lag in span(self.lags)), 0)
        starts, stops = (np.array([getattr(part, side) for part in self.parts]) for side in ("start", "stop"))
        for start, stop in pairwise(self.edges):
            low, high = max(start - before, 0), min(stop + after, self.x.shape[0])
            near = self.parts[np.searchsorted(stops, low, "right") : np.searchsorted(starts, high)]
            local = [slice(max(part.start, low) - low, min(part.stop, high) - low) for part in near]
            own = slice(start - low, stop - low)
            yield slice(start, stop), own, self.x[low:high], partial(_made, local, self.lags, own, self.dtype)

    def batches(self, cells: int) -> list[slice]:
        """Give units that are read together: cross-products of so many cells fit, and chunks are read once."""
        width = int(max(SUMS / (8 * self.shape[1] * cells), 1))
        width, chunk = min(width, MOST), max(1, *self.y.chunks[1])
        width = width - width % chunk if width > chunk else width
        return [slice(start, min(start + width, self.shape[2])) for start in range(0, self.shape[2], width)]

    def sums(self, cells: Cells, units: slice, *, gram: bool) -> list[Sums]:
        """Sum the samples of each cell."""
        mean = (self.x_mean, self.y_mean[units])
        jobs = [
            (x, self.y[rows, units], make, cells.code[rows], mean, gram)
            for rows, _, x, make in self.rows() if (cells.code[rows] >= 0).any()
        ]  # fmt: skip
        done = in_tree(_summed, jobs, merged) if self.device is None else self._on_device(jobs)
        return [done[cell] for cell in range(cells.table.shape[1])]

    def _on_device(self, jobs: Sequence[Any]) -> dict[int, Sums]:
        """Sum one block after the other, the next being read and copied meanwhile."""
        total: dict[int, Sums] = {}
        read = ((make(np.asarray(x)), np.asarray(y).astype(self.dtype)) for x, y, make, *_ in jobs)
        for (x, y), (*_, code, mean, gram) in zip(streamed(read, str(self.device)), jobs, strict=True):
            total = merged(total, added(x, y, code, mean, gram))
        return total


def blocks(
    name: str, features: xr.DataArray, responses: xr.DataArray, lags: Any, usable: Indices, device: str | None
) -> Blocks:
    """Lay out recordings of which one at least is chunked, and read them once: means, and that nothing is missing."""
    if device is not None:
        torch_device(device, name)
    x, y = _matrix(features), _matrix(responses)
    parts = [] if span(lags) == [0] else stretches(features)
    dtype = np.dtype(np.float32 if x.dtype == y.dtype == np.float32 else np.float64)
    found = Blocks(x, y, lags, parts, _edges(x if features.chunks else y), dtype, device, usable)
    inside = np.zeros(x.shape[0], dtype=bool)
    inside[usable] = True
    jobs = [(x, found.y[rows], make, own, inside[rows]) for rows, own, x, make in found.rows()]
    seen = in_tree(_looked_at, jobs, _pooled)
    for recording, lost in ((features, seen.lost_x), (responses, seen.lost_y)):
        if lost.any():
            raise AnalysisError(
                f"{name}: {int(lost.sum())} values in {np.count_nonzero(lost)} of {lost.size} units are missing or "
                f"infinite, first in unit {str(recording['unit'].values[lost.argmax()])!r}; drop them "
                "(.drop_sel(unit=[...])) or fill them first"
            )
    means = (mean.astype(dtype).astype(np.float64) for mean in (seen.x, seen.y))  # as they can be taken off
    return replace(found, **dict(zip(("x_mean", "y_mean"), means, strict=True)), x_variance=seen.spread / seen.samples)


def is_chunked(*recordings: Any) -> bool:
    """Tell whether the values of a recording (or of one among several) are dask's."""
    return any(isinstance(one, xr.DataArray) and one.chunks is not None for one in recordings)


def in_tree(call: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], merge: Callable[..., Any]) -> Any:
    """Run a task for each job where dask runs tasks, and merge what they give, a few at a time."""
    from dask.delayed import delayed

    task: Any = delayed  # which has no types
    return computed([tree([task(call)(*job) for job in jobs], merge)])[0]


def _made(parts: list[slice], lags: Any, own: slice, dtype: np.dtype[Any], values: np.ndarray) -> np.ndarray:
    """Make the design matrix of a block from its features and those around them."""
    return expanded(values.astype(dtype, copy=False), parts, lags)[own]


def _summed(
    x: np.ndarray, y: np.ndarray, make: Make, code: Indices, mean: tuple[Any, Any], gram: bool
) -> dict[int, Sums]:
    rows = make(x)
    return added(rows, y.astype(rows.dtype, copy=False), code, mean, gram)


class _Look(NamedTuple):
    """What a first reading finds: samples with all lags, means of columns, their squares about these; what is lost."""

    samples: int
    x: Any
    spread: Any
    y: Any
    lost_x: Any
    lost_y: Any


def _looked_at(x: np.ndarray, y: np.ndarray, make: Make, own: slice, inside: NDArray[np.bool_]) -> _Look:
    lost = [(~np.isfinite(part)).sum(axis=0) for part in (x[own], y)]
    rows, known = make(x)[inside].astype(np.float64), y[inside].astype(np.float64)
    if not len(rows):
        return _Look(0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1]), np.zeros(y.shape[1]), *lost)
    with np.errstate(invalid="ignore"):  # of infinite values, which are refused
        mean = rows.mean(axis=0)
        return _Look(len(rows), mean, ((rows - mean) ** 2).sum(axis=0), known.mean(axis=0), *lost)


def _pooled(*parts: _Look) -> _Look:
    count = sum(part.samples for part in parts)
    share = [part.samples / max(count, 1) for part in parts]
    x, y = (sum(w * side for w, side in zip(share, sides, strict=True)) for sides in
            ([part.x for part in parts], [part.y for part in parts]))  # fmt: skip
    spread = sum(part.spread + part.samples * (part.x - x) ** 2 for part in parts)
    return _Look(count, x, spread, y, sum(part.lost_x for part in parts), sum(part.lost_y for part in parts))


def _matrix(recording: xr.DataArray) -> Any:
    """Give a dask array (sample, unit)."""
    import dask.array

    if recording.chunks:
        return recording.data.reshape(-1, recording.shape[-1])
    da: Any = dask.array  # which has no types
    values = stack(recording).values
    return da.from_array(values, chunks=(max(SMALL // max(values[:1].nbytes, 1), 1), -1))


def _edges(array: Any) -> list[int]:
    """Give where blocks of rows begin: at chunks, small ones together."""
    edges, stop = [0], 0
    most = max(SMALL // (array.dtype.itemsize * max(array.shape[1], 1)), array.shape[1])
    for size in array.chunks[0]:
        if stop > edges[-1] and stop + size - edges[-1] > most:
            edges.append(stop)
        stop += size
    return [*edges, stop]
