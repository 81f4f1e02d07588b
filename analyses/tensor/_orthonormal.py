"""An orthonormal base of a few short columns, compiled: the calls of LAPACK's QR take most of its time there.

Imported where it is first used.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

SHORT = 1e6
"""Rows times columns squared up to which this is quicker than LAPACK, which works in blocks."""
KEPT = 1e3
"""Of a column at least this many roundings must be left without those before it: with less, what is left is noise."""


def spanned(columns: np.ndarray) -> np.ndarray:
    """Give an orthonormal base, (row, column), of what the columns of a matrix span."""
    rows, rank = columns.shape
    if rank <= rows and rows * rank**2 <= SHORT:
        base = np.array(columns.T, order="C")
        if _orthonormal(base, KEPT * float(np.finfo(base.dtype).eps)):
            return np.ascontiguousarray(base.T)
    return np.ascontiguousarray(np.linalg.qr(columns)[0])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _orthonormal(base: np.ndarray, least: float) -> bool:
    """Make rows orthonormal by Gram and Schmidt, twice over each; tell whether all were independent."""
    rank, size = base.shape
    for r in range(rank):
        row = base[r]
        whole = np.sqrt(_dot(row, row))
        for _ in range(2):
            for other in range(r):
                one = base[other]
                part = _dot(row, one)
                for i in range(size):
                    row[i] -= part * one[i]
        norm = np.sqrt(_dot(row, row))
        if not norm > least * whole:  # also where either is NaN
            return False
        for i in range(size):
            row[i] /= norm
    return True


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _dot(a: np.ndarray, b: np.ndarray) -> Any:
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total
