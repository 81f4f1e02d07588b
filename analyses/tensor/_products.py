"""The product of a large matrix with a few columns, compiled: BLAS packs the large matrix and works at half its rate.

Blocks of four rows and four components are added up in registers, and the answer comes in the layout that updates need.
The other product of a sweep, of a few rows with the large matrix, is BLAS's: nothing here was quicker.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

WIDEST = 64
"""Components up to which this is quicker than BLAS."""
SMALL, SERIAL = 1e6, 2e8
"""Fewer flops than these are left to BLAS, and run on one thread."""


def rows_times(X: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Give `columns.T @ X.T`, (component, row), for `columns` (column of X, component)."""
    rank, rows = columns.shape[1], len(X)
    flops = 2 * X.size * rank
    if rank > WIDEST or flops < SMALL:
        return np.ascontiguousarray((X @ columns).T)
    four = np.zeros((rank + -rank % 4, len(columns)), X.dtype)
    four[:rank] = columns.T
    out = np.empty((len(four), rows), X.dtype)
    threads = 1 if flops < SERIAL else min(numba.get_num_threads(), rows)
    if threads == 1:
        _rows_times(X, four, out)
        return out[:rank]
    edges = [rows * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda a, b: _rows_times(X[a:b], four, out[:, a:b]), edges[:-1], edges[1:]))
    return out[:rank]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _rows_times(X: np.ndarray, C: np.ndarray, out: np.ndarray) -> None:
    rows, columns = X.shape
    whole = rows - rows % 4
    for n in range(0, whole, 4):
        x0, x1, x2, x3 = X[n], X[n + 1], X[n + 2], X[n + 3]
        for r in range(0, len(C), 4):
            c0, c1, c2, c3 = C[r], C[r + 1], C[r + 2], C[r + 3]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = d0 = d1 = d2 = d3 = e0 = e1 = e2 = e3 = X.dtype.type(0)
            for k in range(columns):
                u0, u1, u2, u3 = x0[k], x1[k], x2[k], x3[k]
                v = c0[k]
                a0, a1, a2, a3 = a0 + u0 * v, a1 + u1 * v, a2 + u2 * v, a3 + u3 * v
                v = c1[k]
                b0, b1, b2, b3 = b0 + u0 * v, b1 + u1 * v, b2 + u2 * v, b3 + u3 * v
                v = c2[k]
                d0, d1, d2, d3 = d0 + u0 * v, d1 + u1 * v, d2 + u2 * v, d3 + u3 * v
                v = c3[k]
                e0, e1, e2, e3 = e0 + u0 * v, e1 + u1 * v, e2 + u2 * v, e3 + u3 * v
            out[r, n], out[r, n + 1], out[r, n + 2], out[r, n + 3] = a0, a1, a2, a3
            out[r + 1, n], out[r + 1, n + 1], out[r + 1, n + 2], out[r + 1, n + 3] = b0, b1, b2, b3
            out[r + 2, n], out[r + 2, n + 1], out[r + 2, n + 2], out[r + 2, n + 3] = d0, d1, d2, d3
            out[r + 3, n], out[r + 3, n + 1], out[r + 3, n + 2], out[r + 3, n + 3] = e0, e1, e2, e3
    for n in range(whole, rows):
        for r in range(len(C)):
            total = X.dtype.type(0)
            for k in range(columns):
                total += X[n, k] * C[r, k]
            out[r, n] = total
