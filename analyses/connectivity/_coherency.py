"""Measures of pairs from sums over epochs, written pairs first. Compiled: imported where they are first used."""

from __future__ import annotations

import numba
import numpy as np

BINS = 16
"""Frequencies that are turned around at a time: a line of the cache of what is written."""


@numba.njit(cache=True, nogil=True)
def write(spectrum: np.ndarray, root: np.ndarray, imaginary: bool, out: np.ndarray) -> None:
    """Write the size of the coherency, or its imaginary part, to `out` (unit, unit, frequency).

    `spectrum` is (frequency, unit, unit), `root` (frequency, unit) one over the root of the power of each unit.
    """
    count, units, _ = spectrum.shape
    part = np.empty((BINS, units))
    for i in range(units):
        for first in range(0, count, BINS):
            size = min(BINS, count - first)
            for f in range(size):
                row, by = spectrum[first + f, i], root[first + f]
                left = by[i]
                for j in range(units):
                    scale = left * by[j]
                    if imaginary:
                        value = row[j].imag * scale
                    else:
                        value = np.sqrt(row[j].real * row[j].real + row[j].imag * row[j].imag) * scale
                    value = 1.0 if value > 1.0 else value  # a value that is not there stays so
                    part[f, j] = -1.0 if value < -1.0 else value
            for j in range(units):
                for f in range(size):
                    out[i, j, first + f] = part[f, j]


@numba.njit(cache=True, nogil=True)
def write_weighted_lag(spectrum: np.ndarray, size: np.ndarray, out: np.ndarray) -> None:
    """Write |Im S| over `size`, of which the lower triangle counts, to `out` (unit, unit, frequency); 0 for no lag."""
    count, units, _ = spectrum.shape
    part = np.empty((BINS, units))
    for i in range(units):
        for first in range(0, count, BINS):
            bins = min(BINS, count - first)
            for f in range(bins):
                row, below = spectrum[first + f, i], size[first + f, i]
                for j in range(i):
                    part[f, j] = min(abs(row[j].imag) / below[j], 1.0) if below[j] > 0 else 0.0
            for j in range(i):
                for f in range(bins):
                    out[i, j, first + f] = part[f, j]
                    out[j, i, first + f] = part[f, j]
