"""Measures of pairs from sums over epochs, written pairs first. Compiled: imported where they are first used.

A cross-spectrum is Hermitian and lies packed in a real matrix (unit, unit) of each frequency: its real part on and
below the diagonal, its imaginary part above.
"""

from __future__ import annotations

import numba
import numpy as np

BINS = 16
"""Frequencies that are turned around at a time: a line of the cache of what is written."""
ROWS = 8
"""Units whose columns are read at a time: a line of the cache of what is read."""


@numba.njit(cache=True, nogil=True)
def fold(re: np.ndarray, im: np.ndarray, packed: np.ndarray) -> None:
    """Add a symmetric real and an antisymmetric imaginary part, which may be larger, to a packed matrix."""
    units = len(packed)
    for i in range(units):
        target, left, right = packed[i], re[i], im[i]
        for j in range(i + 1):
            target[j] += left[j]
        for j in range(i + 1, units):
            target[j] += right[j]


@numba.njit(cache=True, nogil=True)
def write(packed: np.ndarray, root: np.ndarray, imaginary: bool, out: np.ndarray) -> None:
    """Write the size of the coherency, or its imaginary part, of each two units to `out` (unit, unit, frequency).

    `packed` is (frequency, unit, unit), `root` (frequency, unit) one over the root of the power of each unit.
    """
    count, units, _ = packed.shape
    column, part = np.empty((ROWS, units)), np.empty((ROWS, BINS, units))
    for top in range(0, units, ROWS):
        rows = min(ROWS, units - top)
        for first in range(0, count, BINS):
            size = min(BINS, count - first)
            for f in range(size):
                page, by = packed[first + f], root[first + f]
                for j in range(units):
                    for r in range(rows):
                        column[r, j] = page[j, top + r]
                for r in range(rows):
                    i = top + r
                    row, across, left, target = page[i], column[r], by[i], part[r, f]
                    for j in range(units):
                        if imaginary:
                            value = (-across[j] if j < i else row[j]) * (left * by[j])
                        else:
                            value = np.sqrt(row[j] * row[j] + across[j] * across[j]) * (left * by[j])
                        value = 1.0 if value > 1.0 else value  # a value that is not there stays so
                        target[j] = -1.0 if value < -1.0 else value
            for r in range(rows):
                for j in range(units):
                    for f in range(size):
                        out[top + r, j, first + f] = part[r, f, j]


@numba.njit(cache=True, nogil=True)
def write_weighted_lag(packed: np.ndarray, size: np.ndarray, out: np.ndarray) -> None:
    """Write |Im S| over `size`, of which the lower triangle counts, to `out` (unit, unit, frequency); 0 for no lag."""
    count, units, _ = packed.shape
    column, part = np.empty((ROWS, units)), np.empty((ROWS, BINS, units))
    for top in range(0, units, ROWS):
        rows = min(ROWS, units - top)
        for first in range(0, count, BINS):
            bins = min(BINS, count - first)
            for f in range(bins):
                page, lower = packed[first + f], size[first + f]
                for j in range(top + rows):
                    for r in range(rows):
                        column[r, j] = page[j, top + r]
                for r in range(rows):
                    below, across = lower[top + r], column[r]
                    for j in range(top + r):
                        part[r, f, j] = min(abs(across[j]) / below[j], 1.0) if below[j] > 0 else 0.0
            for r in range(rows):
                i = top + r
                for j in range(i):
                    for f in range(bins):
                        out[i, j, first + f] = part[r, f, j]
                        out[j, i, first + f] = part[r, f, j]
