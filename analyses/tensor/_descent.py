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


@numba.njit(cache=True, nogil=True, fastmath=True)
def descend_pair(
    small: np.ndarray, left: np.ndarray, right: np.ndarray, gram: np.ndarray, passes: int, rounds: int
) -> None:
    """Update the two other factors of a three-way tensor in turn, `rounds` times over, in place.

    Parameters
    ----------
    small
        (component, size of left, size of right), contiguous: the tensor contracted with the third factor.
    left, right
        (component, size), contiguous: the factors, transposed.
    gram
        (component, component): Gram matrix of the third factor.
    passes, rounds
        Times that columns are visited in one update, and that both factors are updated.
    """
    rank, rows, columns = small.shape
    images, turned = np.empty((rank, rows), small.dtype), np.empty((rank, columns), small.dtype)
    for _ in range(rounds):
        for r in range(rank):
            for i in range(rows):
                total = small.dtype.type(0)
                for j in range(columns):
                    total += small[r, i, j] * right[r, j]
                images[r, i] = total
        descend(left, images, _times_gram(gram, right), passes)
        for r in range(rank):
            for j in range(columns):
                turned[r, j] = 0
            for i in range(rows):
                weight = left[r, i]
                if weight != 0:
                    for j in range(columns):
                        turned[r, j] += weight * small[r, i, j]
        descend(right, turned, _times_gram(gram, left), passes)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _times_gram(gram: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply a Gram matrix by another one, entry by entry."""
    rank, size = columns.shape
    out = np.empty_like(gram)
    for r in range(rank):
        for s in range(r + 1):
            total = gram.dtype.type(0)
            for i in range(size):
                total += columns[r, i] * columns[s, i]
            out[r, s] = out[s, r] = gram[r, s] * total
    return out
