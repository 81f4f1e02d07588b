"""Coordinate descent on rows that share one Gram matrix. Compiled: imported where it is first used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

LANES = 64
"""Rows that are worked on side by side, one per lane of the vector units."""
BLOCK = 32
"""Components that are updated in one go, where there are more than twice as many: the others pass by once for all."""
SERIAL = 2e8
"""Fewer flops than this run on one thread."""


def descend(G: np.ndarray, P: np.ndarray, Q: np.ndarray, sweeps: int = 1) -> np.ndarray:
    """Lower `g Q g' / 2 - p g'` over `g >= 0` for every row `g` of `G` (sample, component), by coordinate descent.

    Parameters
    ----------
    G, P
        (sample, component), float32 or float64: where to start, and the targets `X F'`.
    Q
        (component, component), the Gram matrix `F F'`; a component whose diagonal is 0 keeps its values.
    sweeps
        Passes over the components.

    Returns
    -------
    numpy.ndarray
        New rows; the answer for a row does not depend on which rows are beside it.
    """
    out = np.ascontiguousarray(G).copy()
    P, Q = np.ascontiguousarray(P), np.ascontiguousarray(Q, dtype=out.dtype)
    threads = 1 if 2 * sweeps * G.size * G.shape[1] < SERIAL else numba.get_num_threads()
    edges = [LANES * round(i * len(out) / (threads * LANES)) for i in range(threads)] + [len(out)]
    if threads == 1:
        _descend(out, P, Q, sweeps)
        return out
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda a, b: _descend(out[a:b], P[a:b], Q, sweeps), edges[:-1], edges[1:]))
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _descend(G: np.ndarray, P: np.ndarray, Q: np.ndarray, sweeps: int) -> None:
    """Work on 64 rows at a time: each new coordinate is computed from all others (nothing but it is written).

    What components outside a block contribute to the targets in it is taken off first, block by block.
    """
    samples, rank = G.shape
    padded = (rank + 7) // 8 * 8
    scaled = np.zeros((padded, padded), G.dtype)
    for j in range(rank):
        if Q[j, j] > 0:
            for i in range(rank):
                scaled[j, i] = Q[j, i] / Q[j, j]
            scaled[j, j] = 0
    g = np.zeros((padded, LANES), G.dtype)
    p = np.zeros((rank, LANES), G.dtype)
    block = BLOCK if rank > 2 * BLOCK else padded
    target = np.zeros((block, LANES), G.dtype)
    for low in range(0, samples, LANES):
        rows = min(LANES, samples - low)
        for j in range(rank):
            inverse = 1 / Q[j, j] if Q[j, j] > 0 else G.dtype.type(0)
            for b in range(rows):
                g[j, b] = G[low + b, j]
                p[j, b] = P[low + b, j] * inverse
        for _ in range(sweeps):
            for first in range(0, rank, block):
                last, after = min(first + block, rank), min(first + block, padded)
                target[: last - first] = p[first:last]
                for j in range(first, last if block < padded else first, 4):
                    q, t = scaled[j : j + 4], target[j - first : j - first + 4]
                    _take_four(q[:, :first], g[:first], t[0], t[1], t[2], t[3])
                    _take_four(q[:, after:], g[after:], t[0], t[1], t[2], t[3])
                for j in range(first, last):
                    if Q[j, j] <= 0:
                        continue
                    a = target[j - first]
                    _take(scaled[j, first:after], g[first:after], a)
                    for b in range(LANES):
                        g[j, b] = a[b] if a[b] > 0 else G.dtype.type(0)
        for j in range(rank):
            for b in range(rows):
                G[low + b, j] = g[j, b]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _take(q: np.ndarray, g: np.ndarray, a: np.ndarray) -> None:
    """Take `q g` of a block of components off `a`."""
    for i in range(0, len(g), 8):
        q0, q1, q2, q3, q4, q5, q6, q7 = q[i], q[i + 1], q[i + 2], q[i + 3], q[i + 4], q[i + 5], q[i + 6], q[i + 7]
        for b in range(LANES):
            a[b] -= ((q0 * g[i, b] + q1 * g[i + 1, b]) + (q2 * g[i + 2, b] + q3 * g[i + 3, b])) + (
                (q4 * g[i + 4, b] + q5 * g[i + 5, b]) + (q6 * g[i + 6, b] + q7 * g[i + 7, b])
            )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _take_four(q: np.ndarray, g: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    """Take `q g` of a block off four targets, so that what is read of `g` serves four times."""
    for i in range(0, len(g), 4):
        a0, a1, a2, a3 = q[0, i], q[0, i + 1], q[0, i + 2], q[0, i + 3]
        b0, b1, b2, b3 = q[1, i], q[1, i + 1], q[1, i + 2], q[1, i + 3]
        c0, c1, c2, c3 = q[2, i], q[2, i + 1], q[2, i + 2], q[2, i + 3]
        d0, d1, d2, d3 = q[3, i], q[3, i + 1], q[3, i + 2], q[3, i + 3]
        for n in range(LANES):
            g0, g1, g2, g3 = g[i, n], g[i + 1, n], g[i + 2, n], g[i + 3, n]
            a[n] -= (a0 * g0 + a1 * g1) + (a2 * g2 + a3 * g3)
            b[n] -= (b0 * g0 + b1 * g1) + (b2 * g2 + b3 * g3)
            c[n] -= (c0 * g0 + c1 * g1) + (c2 * g2 + c3 * g3)
            d[n] -= (d0 * g0 + d1 * g1) + (d2 * g2 + d3 * g3)
