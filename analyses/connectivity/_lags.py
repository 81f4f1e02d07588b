"""Products of all columns of a matrix with all columns some rows later: one product of matrices per frequency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 2**26
"""Bytes of spectra that are held at a time."""
LEAST_GAIN = 1.5
"""Work that blocks of spectra must save before they are worth their own cost."""


def lagged_products(values: np.ndarray, max_lag: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Give, for blocks of columns, the sums over rows of x_i(t) x_j(t + lag): (lag, unit, block), lags from 0.

    Overlap-save: rows are cut into blocks, each block and the one that reaches `max_lag` further are transformed, and
    their spectra multiplied and summed over blocks; the inverse transform is a product with the wanted lags alone.
    For many lags this is a tenth of the work of one product of matrices per lag, which is what is done for few.
    """
    rows, units = values.shape
    size = _transform_size(rows, max_lag)
    if size is None:
        direct = np.stack([values[: rows - lag].T @ values[lag:] for lag in range(max_lag + 1)])
        yield slice(0, units), direct
        return
    lead, follow = _spectra(values, size, max_lag)
    back = _inverse(size, max_lag, values.dtype)
    frequencies = size // 2 + 1
    width = max(1, min(units, BLOCK // max(1, 2 * frequencies * units * values.dtype.itemsize)))
    for start in range(0, units, width):
        block = slice(start, min(start + width, units))
        parts = (
            np.concatenate(follow, axis=1)[:, :, block],
            np.concatenate([follow[1], -follow[0]], axis=1)[:, :, block],
        )
        product = np.empty((2, frequencies, units, block.stop - start), values.dtype)
        for part, out in zip(parts, product, strict=True):
            np.matmul(lead, np.ascontiguousarray(part), out=out)
        yield block, (back @ product.reshape(2 * frequencies, -1)).reshape(max_lag + 1, units, -1)


def _transform_size(rows: int, max_lag: int) -> int | None:
    """Give the length of transform with the least work, or None where a product per lag is less."""
    best, found = (max_lag + 1) * rows / LEAST_GAIN, None
    size = 64
    while size <= 4 * rows:
        if size > max_lag + 1:
            frequencies, blocks = size // 2 + 1, -(-rows // (size - max_lag))
            work = frequencies * (4 * blocks + 2 * (max_lag + 1))
            if work < best:
                best, found = work, size
        size *= 2
    return found


def _spectra(values: np.ndarray, size: int, max_lag: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Give the spectra of the blocks that lead, (frequency, unit, real and imaginary block), and of those that follow.

    The latter are (frequency, block, unit), real and imaginary apart.
    """
    from scipy.fft import rfft

    rows, units = values.shape
    step = size - max_lag
    blocks = -(-rows // step)
    padded = np.zeros(((blocks - 1) * step + size, units), values.dtype)
    padded[:rows] = values
    cut = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)[::step]  # (block, unit, size)
    after = rfft(cut, axis=-1)
    before = rfft(cut[..., :step], n=size, axis=-1)
    lead = np.concatenate([before.real, before.imag], axis=0).transpose(2, 1, 0)
    follow = after.transpose(2, 0, 1)
    return np.ascontiguousarray(lead), (follow.real.copy(), follow.imag.copy())


def _inverse(size: int, max_lag: int, dtype: np.dtype) -> np.ndarray:
    """Give the matrix (lag, real and imaginary frequency) that turns half a spectrum into the lags from 0."""
    frequency = np.arange(size // 2 + 1)
    angle = 2 * np.pi / size * (np.outer(np.arange(max_lag + 1), frequency) % size)
    weight = np.where((frequency == 0) | (frequency == size // 2), 1.0, 2.0) / size
    return np.concatenate([weight * np.cos(angle), -weight * np.sin(angle)], axis=1).astype(dtype)
