"""What winner-take-all semi-NMF does beside matrix products. Compiled: imported where it is first used."""

from __future__ import annotations

import numba
import numpy as np


def keep_largest(F: np.ndarray, kept: int) -> np.ndarray:
    """Zero all but the `kept` largest magnitudes of each row; of equal ones the first stay."""
    place = F.shape[1] - kept
    last = np.partition(np.abs(F), place, axis=1)[:, place]  # not inside: numba compiles its own partition for 5 s
    found: np.ndarray = _from(F, last, kept)
    return found


@numba.njit(cache=True, nogil=True)
def _from(F: np.ndarray, last: np.ndarray, kept: int) -> np.ndarray:
    """Keep what is larger than the last of its row, and of what equals it as many as there is room for."""
    out = np.zeros_like(F)
    for row in range(F.shape[0]):
        room = kept
        for unit in range(F.shape[1]):
            if abs(F[row, unit]) > last[row]:
                room -= 1
        for unit in range(F.shape[1]):
            size = abs(F[row, unit])
            if size > last[row]:
                out[row, unit] = F[row, unit]
            elif size == last[row] and room > 0:
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
