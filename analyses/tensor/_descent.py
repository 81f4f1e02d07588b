"""Coordinate descent on the rows of a factor, compiled: imported where it is first used."""

from __future__ import annotations

import numba
import numpy as np

LANES = 64
"""Rows of the factor that are worked on side by side, one per lane of the vector units."""


@numba.njit(cache=True, nogil=True, fastmath=True)
def descend(columns: np.ndarray, images: np.ndarray, gram: np.ndarray, passes: int) -> None:
    """Set each column of a factor in turn to its best non-negative value, `passes` times over, in place.

    Parameters
    ----------
    columns, images
        (component, size), contiguous: the factor and its MTTKRP, transposed.
    gram
        (component, component): a column whose diagonal is 0 stays as it is.
    passes
        Times that all columns are visited.
    """
    rank, size = columns.shape
    step = np.empty(LANES, columns.dtype)
    for low in range(0, size, LANES):
        lanes = min(LANES, size - low)
        for _ in range(passes):
            for r in range(rank):
                if gram[r, r] <= 0:
                    continue
                for i in range(lanes):
                    step[i] = images[r, low + i]
                for s in range(rank):
                    weight = gram[r, s]
                    for i in range(lanes):
                        step[i] -= weight * columns[s, low + i]
                inverse = 1 / gram[r, r]
                for i in range(lanes):
                    moved = columns[r, low + i] + step[i] * inverse
                    columns[r, low + i] = moved if moved > 0 else columns.dtype.type(0)
