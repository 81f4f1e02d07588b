"""Correlations of windows from running sums. Compiled: imported where it is first used."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def write_correlation(gram: np.ndarray, sums: np.ndarray, varies: np.ndarray, size: int, out: np.ndarray) -> None:
    """Write the correlations (unit, unit) of `size` samples with these sums and sums of products to `out`."""
    units = len(sums)
    scale = np.empty(units)
    for i in range(units):
        power = gram[i, i] - sums[i] * sums[i] / size
        scale[i] = 1 / np.sqrt(power) if varies[i] and power > 0 else np.nan
    for i in range(units):
        mean, left = sums[i] / size, scale[i]
        row, target = gram[i], out[i]
        for j in range(units):
            target[j] = min(max((row[j] - mean * sums[j]) * left * scale[j], -1.0), 1.0)
        if scale[i] == scale[i]:
            target[i] = 1.0


@numba.njit(cache=True, nogil=True)
def last_changes(values: np.ndarray, size: int, step: int, out: np.ndarray) -> None:
    """Write whether each unit changes within each window (window, unit) of (sample, unit) values."""
    samples, units = values.shape
    last = np.zeros(units, np.int64)  # the last sample that differs from the one before
    for t in range(samples):
        if t:
            for i in range(units):
                if values[t, i] != values[t - 1, i]:
                    last[i] = t
        start = t + 1 - size
        if start >= 0 and start % step == 0 and start // step < len(out):
            for i in range(units):
                out[start // step, i] = last[i] > start
