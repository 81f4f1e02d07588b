"""Sums over epochs of what is not linear in the cross-spectrum. Compiled: imported where it is first used."""

from __future__ import annotations

import numba
import numpy as np

TAPERS = 7
"""What `lag_sums` adds up at once: of eight, as many as are concentrated within the default bandwidth."""
LANES = 32
"""Units of which a processor computes at a time: rows of a multiple of them have no end that goes one by one."""


@numba.njit(cache=True, nogil=True)
def phase_sums(
    spectra: np.ndarray, size: np.ndarray, square: np.ndarray, sign: np.ndarray, cosine: np.ndarray, sine: np.ndarray
) -> None:
    """Add to each sum what the epochs of `spectra` (frequency, real or imaginary, epoch, taper, unit) hold, i > j.

    With S the cross-spectrum of one epoch, summed over tapers: |Im S|, (Im S)^2, sign(Im S), Re S / |S| and
    Im S / |S|. The sums are (frequency, unit, unit); those of no elements are left alone, but `cosine` and `sine`
    go together. An epoch in which S is 0 adds nothing.
    """
    frequencies, _, epochs, tapers, units = spectra.shape
    x, y = np.empty(units, spectra.dtype), np.empty(units, spectra.dtype)
    for f in range(frequencies):
        for e in range(epochs):
            re, im = spectra[f, 0, e], spectra[f, 1, e]
            for i in range(1, units):
                y[:i] = 0
                for t in range(tapers):
                    a, b = re[t, i], im[t, i]
                    c, d = re[t], im[t]
                    for j in range(i):
                        y[j] += b * c[j] - a * d[j]
                if size.size:
                    for j in range(i):
                        size[f, i, j] += abs(y[j])
                if square.size:
                    for j in range(i):
                        square[f, i, j] += y[j] * y[j]
                if sign.size:
                    for j in range(i):
                        sign[f, i, j] += (y[j] > 0) - (y[j] < 0)
                if not cosine.size:
                    continue
                x[:i] = 0
                for t in range(tapers):
                    a, b = re[t, i], im[t, i]
                    c, d = re[t], im[t]
                    for j in range(i):
                        x[j] += a * c[j] + b * d[j]
                for j in range(i):
                    power = x[j] * x[j] + y[j] * y[j]
                    if power > 0:
                        scale = 1 / np.sqrt(power)
                        cosine[f, i, j] += x[j] * scale
                        sine[f, i, j] += y[j] * scale


@numba.njit(cache=True, nogil=True)
def lag_sums(spectra: np.ndarray, lag: np.ndarray, size: np.ndarray) -> None:
    """Add Im S and |Im S| of `TAPERS` tapers, all pairs; (frequency, real or imaginary, epoch, taper, unit).

    Whole rows at once, the numbers of the first unit in registers: twice the pairs that are needed take less time than
    rows of all lengths, or one taper after the other. Products are not fused with sums: Im S of a unit and its copy is
    0.
    """
    frequencies, _, epochs, _, units = spectra.shape
    for f in range(frequencies):
        for e in range(epochs):
            re, im = spectra[f, 0, e], spectra[f, 1, e]
            c0, c1, c2, c3, c4, c5, c6 = re[0], re[1], re[2], re[3], re[4], re[5], re[6]
            d0, d1, d2, d3, d4, d5, d6 = im[0], im[1], im[2], im[3], im[4], im[5], im[6]
            for i in range(units):
                a0, a1, a2, a3, a4, a5, a6 = c0[i], c1[i], c2[i], c3[i], c4[i], c5[i], c6[i]
                b0, b1, b2, b3, b4, b5, b6 = d0[i], d1[i], d2[i], d3[i], d4[i], d5[i], d6[i]
                total, least = lag[f, i], size[f, i]
                for j in range(units):
                    y = b0 * c0[j] - a0 * d0[j]
                    y += b1 * c1[j] - a1 * d1[j]
                    y += b2 * c2[j] - a2 * d2[j]
                    y += b3 * c3[j] - a3 * d3[j]
                    y += b4 * c4[j] - a4 * d4[j]
                    y += b5 * c5[j] - a5 * d5[j]
                    y += b6 * c6[j] - a6 * d6[j]
                    total[j] += y
                    least[j] += abs(y)


@numba.njit(cache=True, nogil=True)
def lag_sums_of_one(spectra: np.ndarray, lag: np.ndarray, size: np.ndarray) -> None:
    """Add Im S and |Im S| as `lag_sums` does, of one taper (frequency, real or imaginary, epoch, unit).

    Four epochs at a time, so that the sums are read less often.
    """
    frequencies, _, epochs, units = spectra.shape
    for f in range(frequencies):
        re, im = spectra[f, 0], spectra[f, 1]
        for e in range(0, epochs - 3, 4):
            c0, c1, c2, c3 = re[e], re[e + 1], re[e + 2], re[e + 3]
            d0, d1, d2, d3 = im[e], im[e + 1], im[e + 2], im[e + 3]
            for i in range(units):
                a0, a1, a2, a3 = c0[i], c1[i], c2[i], c3[i]
                b0, b1, b2, b3 = d0[i], d1[i], d2[i], d3[i]
                total, least = lag[f, i], size[f, i]
                for j in range(units):
                    y0, y1 = b0 * c0[j] - a0 * d0[j], b1 * c1[j] - a1 * d1[j]
                    y2, y3 = b2 * c2[j] - a2 * d2[j], b3 * c3[j] - a3 * d3[j]
                    total[j] += (y0 + y1) + (y2 + y3)
                    least[j] += (abs(y0) + abs(y1)) + (abs(y2) + abs(y3))
        for e in range(epochs - epochs % 4, epochs):
            c, d = re[e], im[e]
            for i in range(units):
                a, b = c[i], d[i]
                for j in range(units):
                    y = b * c[j] - a * d[j]
                    lag[f, i, j] += y
                    size[f, i, j] += abs(y)
