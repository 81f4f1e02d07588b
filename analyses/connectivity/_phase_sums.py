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
