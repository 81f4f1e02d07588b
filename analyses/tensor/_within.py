"""The whole fit of a small three-way tensor in given bases, compiled: a sweep of it would take less than its calls.

Imported where it is first used. `_alternate.fit` is the same in plain steps, for any number of dims and any library.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from neurointerp.analyses.tensor._alternate import CUT, EARLY, FIRST_STEP, GROWTH, INNER, PASSES
from neurointerp.analyses.tensor._descent import descend

FEW, MANY = PASSES


@numba.njit(cache=True, nogil=True)
def fit_within(
    core: np.ndarray, left: np.ndarray, right: np.ndarray, base: np.ndarray, A: np.ndarray, B: np.ndarray,
    C: np.ndarray, power: float, most: int, tolerance: float,
) -> np.ndarray:  # fmt: skip
    """Sweep until a plain sweep lowers the loss by no more than a part of it; write the factors, give the losses.

    Parameters
    ----------
    core
        (kept of third, kept of first, kept of second): the tensor in the bases.
    left, right, base
        (size, kept) of the first, second and third dim; of no size where that dim is kept as it is.
    A, B, C
        (component, size), contiguous: where to start.
    power
        Sum of squares of the tensor that the core stands for.
    most, tolerance
        Sweeps at most, and when to stop.
    """
    losses = np.empty(most)
    a, b, c = A.copy(), B.copy(), C.copy()
    plain, loss, step, cap = True, np.inf, FIRST_STEP, 1.0
    for iteration in range(most):
        passes = FEW if iteration < EARLY else MANY
        reached = _sweep(core, left, right, base, a, b, c, power, passes)
        gain = loss - reached
        paid = gain > tolerance * reached
        if gain > 0:
            loss = reached
        losses[iteration] = loss
        if not paid and plain:
            if gain > 0:
                A[:], B[:], C[:] = a, b, c
            return losses[: iteration + 1]
        if paid:
            plain = False
            _leap(A, a, step)
            _leap(B, b, step)
            _leap(C, c, step)
            step, cap = min(GROWTH * step, cap), min(1.01 * cap, 1.0)
        else:
            if gain > 0:
                A[:], B[:], C[:] = a, b, c
            a[:], b[:], c[:] = A, B, C
            plain, step, cap = True, step / CUT, step
    return losses


@numba.njit(cache=True, nogil=True, fastmath=True)
def _leap(best: np.ndarray, start: np.ndarray, step: float) -> None:
    """Take what a sweep from `start` gave as the best, and start beyond it."""
    size = best.dtype.type(step)
    for r in range(best.shape[0]):
        for i in range(best.shape[1]):
            new = start[r, i]
            value = new + size * (new - best[r, i])
            best[r, i] = new
            start[r, i] = value if value > 0 else best.dtype.type(0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sweep(
    core: np.ndarray, left: np.ndarray, right: np.ndarray, base: np.ndarray, A: np.ndarray, B: np.ndarray,
    C: np.ndarray, power: float, passes: int,
) -> Any:  # fmt: skip
    """Update every factor in place, as `_alternate.swept` does; give the squared relative error."""
    rank, (third, first, second) = len(A), core.shape
    flat = core.reshape(third, first * second)
    small = np.dot(_inside(C, base), flat).reshape(rank, first, second)
    gram = np.dot(C, C.T)
    of_left, of_right = np.empty((rank, first), A.dtype), np.empty((rank, second), A.dtype)
    for _ in range(INNER):
        inner = _inside(B, right)
        for r in range(rank):
            of_left[r] = np.dot(small[r], inner[r])
        descend(A, _outside(of_left, left), gram * np.dot(B, B.T), passes)
        inner = _inside(A, left)
        for r in range(rank):
            of_right[r] = np.dot(inner[r], small[r])
        descend(B, _outside(of_right, right), gram * np.dot(A, A.T), passes)
    for r in range(rank):
        C[r] *= _normed(A[r]) * _normed(B[r])
    inner_left, inner_right = _inside(A, left), _inside(B, right)
    for r in range(rank):
        for i in range(first):
            for j in range(second):
                small[r, i, j] = inner_left[r, i] * inner_right[r, j]
    image = _outside(np.dot(small.reshape(rank, first * second), flat.T), base)
    gram = np.dot(A, A.T) * np.dot(B, B.T)
    descend(C, image, gram, passes)
    cross = 0.0
    for r in range(rank):
        for k in range(C.shape[1]):
            cross += np.float64(image[r, k]) * np.float64(C[r, k])
    a, b, c = A.astype(np.float64), B.astype(np.float64), C.astype(np.float64)
    energy = np.sum(np.dot(a, a.T) * np.dot(b, b.T) * np.dot(c, c.T))
    return max(0.0, (power - 2 * cross + energy) / power)


@numba.njit(cache=True, nogil=True)
def _inside(factor: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Give the coordinates of a factor (component, size) in a base."""
    return np.dot(factor, base) if base.size else factor


@numba.njit(cache=True, nogil=True)
def _outside(image: np.ndarray, base: np.ndarray) -> np.ndarray:
    return np.dot(image, base.T) if base.size else image


@numba.njit(cache=True, nogil=True, fastmath=True)
def _normed(column: np.ndarray) -> Any:
    """Divide a column by its norm and give it; 1 for a column of zeros, which stays."""
    total = column.dtype.type(0)
    for i in range(len(column)):
        total += column[i] * column[i]
    if total <= 0:
        return column.dtype.type(1)
    norm = np.sqrt(total)
    for i in range(len(column)):
        column[i] /= norm
    return norm
