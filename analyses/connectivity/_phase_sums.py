"""Sums over epochs of what is not linear in the cross-spectrum. Compiled: imported where it is first used."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def phase_sums(
    re: np.ndarray,
    im: np.ndarray,
    size: np.ndarray,
    square: np.ndarray,
    sign: np.ndarray,
    cosine: np.ndarray,
    sine: np.ndarray,
) -> None:
    """Add to each sum what the epochs of `re + 1j * im` (frequency, epoch, taper, unit) hold, for pairs i > j.

    With S the cross-spectrum of one epoch, summed over tapers: |Im S|, (Im S)^2, sign(Im S), Re S / |S| and
    Im S / |S|. The sums are (frequency, unit, unit); those of no elements are left alone, but `cosine` and `sine`
    go together. An epoch in which S is 0 adds nothing.
    """
    frequencies, epochs, tapers, units = re.shape
    x, y = np.empty(units, re.dtype), np.empty(units, re.dtype)
    for f in range(frequencies):
        for e in range(epochs):
            for i in range(1, units):
                y[:i] = 0
                for t in range(tapers):
                    a, b = re[f, e, t, i], im[f, e, t, i]
                    c, d = re[f, e, t], im[f, e, t]
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
                    a, b = re[f, e, t, i], im[f, e, t, i]
                    c, d = re[f, e, t], im[f, e, t]
                    for j in range(i):
                        x[j] += a * c[j] + b * d[j]
                for j in range(i):
                    power = x[j] * x[j] + y[j] * y[j]
                    if power > 0:
                        scale = 1 / np.sqrt(power)
                        cosine[f, i, j] += x[j] * scale
                        sine[f, i, j] += y[j] * scale


@numba.njit(cache=True, nogil=True)
def size_sums(re: np.ndarray, im: np.ndarray, size: np.ndarray) -> None:
    """Add |Im S| of one taper, as `phase_sums` does, four epochs at a time, so that the sums are read less often.

    `re + 1j * im` is (frequency, epoch, unit). Products are not fused with sums: Im S of a unit and its copy is 0.
    """
    frequencies, epochs, units = re.shape
    for f in range(frequencies):
        for i in range(1, units):
            out = size[f, i]
            for e in range(0, epochs - 3, 4):
                a0, a1, a2, a3 = re[f, e, i], re[f, e + 1, i], re[f, e + 2, i], re[f, e + 3, i]
                b0, b1, b2, b3 = im[f, e, i], im[f, e + 1, i], im[f, e + 2, i], im[f, e + 3, i]
                c0, c1, c2, c3 = re[f, e], re[f, e + 1], re[f, e + 2], re[f, e + 3]
                d0, d1, d2, d3 = im[f, e], im[f, e + 1], im[f, e + 2], im[f, e + 3]
                for j in range(i):
                    first = abs(b0 * c0[j] - a0 * d0[j]) + abs(b1 * c1[j] - a1 * d1[j])
                    second = abs(b2 * c2[j] - a2 * d2[j]) + abs(b3 * c3[j] - a3 * d3[j])
                    out[j] += first + second
            for e in range(epochs - epochs % 4, epochs):
                a, b = re[f, e, i], im[f, e, i]
                c, d = re[f, e], im[f, e]
                for j in range(i):
                    out[j] += abs(b * c[j] - a * d[j])
