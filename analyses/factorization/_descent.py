"""Coordinate descent on rows that share one Gram matrix. Compiled: imported where it is first used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

LANES = 64
"""Rows that are worked on side by side, one per lane of the vector units."""
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
    """Work on 64 rows at a time: each new coordinate is computed from all others (nothing but it is written)."""
    samples, rank = G.shape
    padded = (rank + 7) // 8 * 8
    scaled = np.zeros((rank, padded), G.dtype)
    for j in range(rank):
        if Q[j, j] > 0:
            for i in range(rank):
                scaled[j, i] = Q[j, i] / Q[j, j]
            scaled[j, j] = 0
    g = np.zeros((padded, LANES), G.dtype)
    p = np.zeros((rank, LANES), G.dtype)
    a = np.empty(LANES, G.dtype)
    for low in range(0, samples, LANES):
        rows = min(LANES, samples - low)
        for j in range(rank):
            inverse = 1 / Q[j, j] if Q[j, j] > 0 else G.dtype.type(0)
            for b in range(rows):
                g[j, b] = G[low + b, j]
                p[j, b] = P[low + b, j] * inverse
        for _ in range(sweeps):
            for j in range(rank):
                if Q[j, j] <= 0:
                    continue
                q = scaled[j]
                for b in range(LANES):
                    a[b] = p[j, b]
                for i in range(0, padded, 8):
                    q0, q1, q2, q3, q4, q5, q6, q7 = (
                        q[i], q[i + 1], q[i + 2], q[i + 3], q[i + 4], q[i + 5], q[i + 6], q[i + 7],
                    )  # fmt: skip
                    for b in range(LANES):
                        a[b] -= ((q0 * g[i, b] + q1 * g[i + 1, b]) + (q2 * g[i + 2, b] + q3 * g[i + 3, b])) + (
                            (q4 * g[i + 4, b] + q5 * g[i + 5, b]) + (q6 * g[i + 6, b] + q7 * g[i + 7, b])
                        )
                for b in range(LANES):
                    g[j, b] = a[b] if a[b] > 0 else G.dtype.type(0)
        for j in range(rank):
            for b in range(rows):
                G[low + b, j] = g[j, b]
