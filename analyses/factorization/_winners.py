"""What winner-take-all semi-NMF does beside matrix products. Compiled: imported where it is first used."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def keep_largest(F: np.ndarray, kept: int) -> np.ndarray:
    """Zero all but the `kept` largest magnitudes of each row; of equal ones the first stay."""
    out = np.zeros_like(F)
    for row in range(F.shape[0]):
        size = np.abs(F[row])
        last = np.partition(size, size.size - kept)[size.size - kept]
        room = kept - (size > last).sum()
        for unit in range(size.size):
            if size[unit] > last:
                out[row, unit] = F[row, unit]
            elif size[unit] == last and room > 0:
                out[row, unit] = F[row, unit]
                room -= 1
    return out


@numba.njit(cache=True, nogil=True)
def multiplied(P: np.ndarray, lowers: np.ndarray, raises: np.ndarray, G: np.ndarray, floor: float) -> np.ndarray:
    """Multiply each entry of `G` by the root of `(P+ + raises) / (P- + lowers + floor)`, all (sample, component)."""
    out = np.empty_like(G)
    least = G.dtype.type(floor)
    zero = G.dtype.type(0)
    for row in range(G.shape[0]):
        for j in range(G.shape[1]):
            up = max(P[row, j], zero) + raises[row, j]
            down = max(-P[row, j], zero) + lowers[row, j] + least
            out[row, j] = G[row, j] * np.sqrt(up / down)
    return out
