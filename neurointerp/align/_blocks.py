"""Resampling of chunked (dask) values by block: each is filtered with what the filter reaches on either side of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 4
"""Reaches of the filter that a block spans at least, so that neighbours are not read over and over."""


def counted(values: Any, bounds: Sequence[tuple[int, int]]) -> tuple[int, list[NDArray[np.float64]]]:
    """Give how many of (time, ...) values are missing, and the mean of each stretch, from one pass over the blocks."""
    import dask.array as da

    compute: Any = da.compute
    means = [values[start:stop].mean(axis=0, dtype=np.float64) for start, stop in bounds]
    missing, *found = compute(da.isnan(values).sum(), *means)
    return int(missing), [np.asarray(one) for one in found]


def polyphase(values: Any, centre: NDArray[np.float64], ratio: Fraction, taps: NDArray[np.float64]) -> Any:
    """Give one stretch of (time, ...) values at another rate, as lazy as it came.

    `centre` is the mean over time. At an edge between blocks the filter sees the samples of the next; at the ends of
    the stretch it sees what it sees of values in memory.
    """
    from dask import array, base

    da: Any = array
    up, down, size = ratio.numerator, ratio.denominator, len(values)
    if size < 2 or up == down:
        return values
    reach = len(taps) // 2 // up + 2
    wide = math.prod(chunks[0] for chunks in values.chunks[1:])
    least = max(LEAST * reach, len(taps) // max(wide, 1))  # no fewer values than taps, which each block lays out anew
    edges, count = _edges(values.chunks[0], least), (size - 1) * up // down + 1
    around = da.from_array(centre[None], chunks=((1,), *values.chunks[1:]))
    name = base.tokenize(values.name, around.name, ratio, taps)  # once: there may be millions of taps
    blocks = []
    for start, stop in itertools.pairwise(edges):
        first, last = -(-start * up // down), min(-(-stop * up // down), count)
        if last <= first:
            continue
        low = max(first * down // up - reach, 0) // down * down  # there a sample of either clock falls on the other
        high = min((last - 1) * down // up + 1 + reach, size)
        piece = values[low:high].rechunk({0: -1})
        kernel = partial(_filtered, ratio=ratio, taps=taps, skip=first - low * up // down, count=last - first)
        chunks = ((last - first,), *piece.chunks[1:])
        meta = np.empty((0,) * values.ndim, values.dtype)
        own = f"resampled-{name}-{first}"
        blocks.append(da.map_blocks(kernel, piece, around, name=own, chunks=chunks, dtype=values.dtype, meta=meta))
    return da.concatenate(blocks)


def _edges(chunks: Sequence[int], least: int) -> list[int]:
    """Give where blocks begin and end: at edges of chunks that lie far enough apart."""
    edges = [0]
    for stop in np.cumsum(chunks).tolist():
        if stop - edges[-1] >= least:
            edges.append(stop)
    return [*edges[:-1], sum(chunks)] if len(edges) > 1 else [0, sum(chunks)]


def _filtered(
    values: NDArray[Any], centre: NDArray[np.float64], *, ratio: Fraction, taps: NDArray[np.float64], skip: int,
    count: int,
) -> NDArray[Any]:  # fmt: skip
    from scipy import signal

    poly: Any = signal.resample_poly
    found = poly(values - centre, ratio.numerator, ratio.denominator, axis=0, window=taps, padtype="antireflect")
    return np.asarray((found[skip : skip + count] + centre).astype(values.dtype, copy=False))
