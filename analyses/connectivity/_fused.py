"""Passes over large matrices of numpy, each in one go. Compiled: imported where it is first used.

What numpy does in several passes through memory, each about as long as a tenth of the product of matrices between them.
"""

from __future__ import annotations

import numba
import numpy as np

TILE = 64
"""Rows and columns that are mirrored at a time."""
CELLS = 512
"""Cells of a matrix that are summed over subjects at a time."""


@numba.njit(cache=True, nogil=True)
def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the sums and sums of squares of each column of (sample, unit) values, in float64."""
    samples, units = values.shape
    total, square = np.zeros(units), np.zeros(units)
    for t in range(samples):
        row = values[t]
        for i in range(units):
            total[i] += row[i]
            square[i] += np.float64(row[i]) * row[i]
    return total, square


@numba.njit(cache=True, nogil=True)
def correlate(gram: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> None:
    """Turn sums of products (unit, unit) into correlations in place: less `shift` of both, times `scale` of both."""
    units = len(gram)
    one = gram.dtype.type(1)
    for i in range(units):
        row, left, by = gram[i], shift[i], scale[i]
        for j in range(units):
            row[j] = min(max((row[j] - left * shift[j]) * (by * scale[j]), -one), one)
        row[i] = one


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def lengths(values: np.ndarray, rest: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Give the squared length (sample) of each sample about `rest`, units weighted."""
    out = np.empty(len(values), values.dtype)
    for t in range(len(values)):
        row, total = values[t], values.dtype.type(0)
        for i in range(len(rest)):
            z = row[i] - rest[i]
            total += z * z * weight[i]
        out[t] = total
    return out


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def square_sum(values: np.ndarray) -> float:
    """Give the sum of all squares of a matrix, in float64."""
    total = 0.0
    for i in range(len(values)):
        row = values[i]  # one loop over an index is vectorised; over the values themselves it is not
        for j in range(len(row)):
            total += np.float64(row[j]) * np.float64(row[j])
    return total


@numba.njit(cache=True, nogil=True)
def normalise(precision: np.ndarray, out: np.ndarray) -> None:
    """Write the partial correlations (unit, unit) of a precision matrix, of which the upper triangle is read."""
    units = len(precision)
    one = out.dtype.type(1)
    scale = np.empty(units, out.dtype)
    for i in range(units):
        scale[i] = 1 / np.sqrt(precision[i, i])
    for first in range(0, units, TILE):
        for second in range(first, units, TILE):
            for i in range(first, min(first + TILE, units)):
                by = -scale[i]
                for j in range(max(second, i + 1), min(second + TILE, units)):
                    r = min(max(precision[i, j] * (by * scale[j]), -one), one)
                    out[i, j] = r
                    out[j, i] = r
    for i in range(units):
        out[i, i] = one


@numba.njit(cache=True, nogil=True, error_model="numpy")
def odds(each: np.ndarray, out: np.ndarray) -> None:
    """Write, of (subject, cell) correlations r, the product over subjects of (1 + r) / (1 - r)."""
    subjects, cells = each.shape
    above, below = np.empty(CELLS), np.empty(CELLS)
    for start in range(0, cells, CELLS):
        size = min(CELLS, cells - start)
        above[:] = 1.0
        below[:] = 1.0
        for s in range(subjects):
            row = each[s, start : start + size]
            for k in range(size):
                above[k] *= 1.0 + row[k]
                below[k] *= 1.0 - row[k]
        for k in range(size):
            out[start + k] = above[k] / below[k]


@numba.njit(cache=True, nogil=True)
def spans(values: np.ndarray) -> np.ndarray:
    """Give the largest less the smallest of each column of (sample, unit) values, in one pass, in float64."""
    samples, units = values.shape
    low, high = values[0].copy(), values[0].copy()
    for t in range(1, samples):
        row = values[t]
        for i in range(units):
            low[i] = min(low[i], row[i])
            high[i] = max(high[i], row[i])
    out = np.empty(units)
    for i in range(units):
        out[i] = np.float64(high[i]) - low[i]
    return out


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def centred_epoch(values: np.ndarray, scale: np.ndarray, out: np.ndarray, energy: np.ndarray) -> None:
    """Write (sample, unit) values to `out` (unit, sample), each unit centred and scaled; add its energy."""
    samples, units = values.shape
    for first in range(0, samples, 8):
        last = min(first + 8, samples)
        for i in range(units):
            for t in range(first, last):
                out[i, t] = values[t, i]
    for i in range(units):
        row, by = out[i], scale[i]
        mean, total = row.mean(), 0.0
        for t in range(samples):
            row[t] = (row[t] - mean) * by
            total += row[t] * row[t]
        energy[i] += total


@numba.njit(cache=True, nogil=True)
def split_spectra(spectra: np.ndarray, first: int, step: int, re: np.ndarray, im: np.ndarray) -> None:
    """Write every `step`-th bin of (unit, bin) spectra, from `first` on, to (frequency, unit), real and imaginary."""
    for f in range(len(re)):
        for i in range(re.shape[1]):
            value = spectra[i, first + f * step]
            re[f, i] = value.real
            im[f, i] = value.imag
