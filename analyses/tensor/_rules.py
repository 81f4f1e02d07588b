"""The two ways of updating a factor: non-negative by coordinate descent, signed by least squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp import backend
from neurointerp.analyses.tensor._alternate import Rule, contiguous

DAMPING = 1e-6
"""How strongly least squares hold to the factor they start from, as a part of the mean diagonal of the Gram matrix."""
TINY = 1e-30


def descent(factor: Any, image: Any, gram: Any, passes: int) -> Any:
    """Set each column of `factor` in turn to its best non-negative value, given the MTTKRP and the Gram matrix."""
    if isinstance(factor, np.ndarray):
        from neurointerp.analyses.tensor._descent import descend

        columns = np.array(factor.T, order="C")
        descend(columns, contiguous(image.T), contiguous(gram), passes)
        return columns.T
    xp = backend.namespace(factor)
    columns, images, zero = xp.asarray(factor.T, copy=True), image.T, xp.zeros_like(factor[0, 0])
    for r in [*range(gram.shape[0])] * passes:
        step = (images[r, :] - gram[r, :] @ columns) / (gram[r, r] + TINY)
        columns[r, :] = xp.maximum(columns[r, :] + step, zero)
    return columns.T


def descent_pair(small: np.ndarray, outer: list[Any], gram: np.ndarray, passes: int, rounds: int) -> list[Any]:
    """Update the two smaller factors of a three-way tensor in turn, without leaving compiled code."""
    from neurointerp.analyses.tensor._descent import descend_pair

    left, right = (np.array(factor.T, order="C") for factor in outer)
    descend_pair(small, left, right, contiguous(gram), passes, rounds)
    return [left.T, right.T]


def least_squares(factor: Any, image: Any, gram: Any, passes: int) -> Any:
    """Give the least-squares factor, held a little to the one before; one pass is all it takes.

    `||X - F K'||^2 + mu ||F - factor||^2` is lowered: its least value is never above the error of `factor`, the
    term is gone where the fit stands still, and it keeps nearly parallel columns (swamps) from running away.
    """
    xp = backend.namespace(factor)
    wide = xp.astype(gram, xp.float64)
    mu = DAMPING * float(xp.linalg.trace(wide)) / wide.shape[0] + TINY
    damped = wide + mu * backend.like(np.eye(wide.shape[0]), wide)
    step = xp.linalg.solve(damped, xp.astype((image - factor @ gram).T, xp.float64))
    return factor + xp.astype(step, factor.dtype).T


def nonnegative(factor: Any) -> Any:
    """Cut off what is below zero."""
    xp = backend.namespace(factor)
    return xp.maximum(factor, xp.zeros_like(factor[0, 0]))


NONNEGATIVE = Rule(descent, nonnegative, descent_pair)
SIGNED = Rule(least_squares, lambda factor: factor)
