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
    padded = (rank + 3) // 4 * 4
    scaled = np.zeros((rank, padded), columns.dtype)  # zero on the diagonal: what remains is the target of a column
    for r in range(rank):
        if gram[r, r] > 0:
            for s in range(rank):
                scaled[r, s] = gram[r, s] / gram[r, r]
            scaled[r, r] = 0
    block = np.zeros((padded, LANES), columns.dtype)
    target = np.zeros((rank, LANES), columns.dtype)
    value = np.empty(LANES, columns.dtype)
    for low in range(0, size, LANES):
        lanes = min(LANES, size - low)
        for r in range(rank):
            inverse = 1 / gram[r, r] if gram[r, r] > 0 else columns.dtype.type(0)
            for i in range(lanes):
                block[r, i] = columns[r, low + i]
                target[r, i] = images[r, low + i] * inverse
        for _ in range(passes):
            for r in range(rank):
                if gram[r, r] <= 0:
                    continue
                for i in range(LANES):
                    value[i] = target[r, i]
                for s in range(0, padded, 4):
                    a, b, c, d = scaled[r, s], scaled[r, s + 1], scaled[r, s + 2], scaled[r, s + 3]
                    for i in range(LANES):
                        value[i] -= a * block[s, i] + b * block[s + 1, i] + (c * block[s + 2, i] + d * block[s + 3, i])
                for i in range(LANES):
                    block[r, i] = value[i] if value[i] > 0 else columns.dtype.type(0)
        for r in range(rank):
            for i in range(lanes):
                columns[r, low + i] = block[r, i]


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
