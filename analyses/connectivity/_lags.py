"""Products of all columns of a matrix with all columns some rows later: one product of matrices per frequency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._shrinkage import scaled
from neurointerp.analyses.connectivity._streamed_past import lagged_sums
from neurointerp.streaming import Rows

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


def lagged_correlations(values: np.ndarray | Rows, parts: Sequence[slice], max_lag: int) -> np.ndarray:
    """Give the correlations (lag, unit, unit) of (sample, unit) values from -max_lag to max_lag."""
    z, _ = scaled(values)
    units = z.shape[1]
    r = np.empty((2 * max_lag + 1, units, units), dtype=z.dtype)
    products_of: Iterable[tuple[slice, np.ndarray]]
    if isinstance(z, Rows):  # one product of matrices per lag and block
        summed, counts, *sums = lagged_sums(z, parts, max_lag)
        leads, follows = (
            [_moment(counts[lag], total[lag], square[lag], square[0], len(z), z.dtype) for lag in range(max_lag + 1)]
            for total, square in (sums[:2], sums[2:])
        )
        products_of = [(slice(0, units), summed)]
    else:
        leads, follows = _moments(z, parts, max_lag)
        products_of = lagged_products(_padded(z, parts, max_lag), max_lag)
    for block, products in products_of:
        for lag, product in enumerate(products):
            (count, mean, deviation), (_, mean2, deviation2) = leads[lag], follows[lag]
            scale, scale2 = ((1 / side).astype(z.dtype) for side in (deviation, deviation2[block]))
            product -= ((count * mean).astype(z.dtype)[:, None]) * mean2[block].astype(z.dtype)
            product *= scale[:, None]
            product *= scale2
            np.clip(product, -1.0, 1.0, out=product)
            r[max_lag + lag][:, block] = product
            if lag:
                r[max_lag - lag][block] = product.T
    r[max_lag] = (r[max_lag] + r[max_lag].T) / 2
    diagonal = np.einsum("ii->i", r[max_lag])
    diagonal[~np.isnan(diagonal)] = 1.0
    return r


def _padded(z: np.ndarray, parts: Sequence[slice], gap: int) -> np.ndarray:
    """Put `gap` rows of zeros between stretches: a shifted product then pairs no sample with another stretch."""
    if len(parts) == 1:
        return np.ascontiguousarray(z[parts[0]])
    rows = np.concatenate([np.arange(part.start, part.stop) + i * gap for i, part in enumerate(parts)])
    padded = np.zeros((len(z) + gap * (len(parts) - 1), z.shape[1]), dtype=z.dtype)
    padded[rows] = z
    return padded


Moments = list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]


def _moments(z: np.ndarray, parts: Sequence[slice], max_lag: int) -> tuple[Moments, Moments]:
    """Give per lag the count, means and root sums of squares about them of the samples that lead and that follow."""
    leads = [[part.stop - lag for part in parts if part.stop - part.start >= lag] for lag in range(1, max_lag + 1)]
    follows = [
        [part.start + lag - 1 for part in parts if part.stop - part.start >= lag] for lag in range(1, max_lag + 1)
    ]
    return _without(z, leads), _without(z, follows)


def _without(z: np.ndarray, left: Sequence[Sequence[int]]) -> Moments:
    """Give count, means and deviations of all samples, then without those of each list of `left` in turn."""
    count = len(z)
    total = z.sum(axis=0, dtype=np.float64)
    square = (z.astype(np.float64) ** 2).sum(axis=0)
    whole = square.copy()
    out: Moments = []
    for rows in [[], *left]:
        gone = z[list(rows)].astype(np.float64)
        count -= len(rows)
        total = total - gone.sum(axis=0)
        square = square - (gone * gone).sum(axis=0)
        out.append(_moment(count, total, square, whole, len(z), z.dtype))
    return out


def _moment(
    count: int, total: NDArray[np.float64], square: NDArray[np.float64], whole: NDArray[np.float64], samples: int,
    dtype: np.dtype,
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Give count, means and deviations from sums and sums of squares; `whole` are those of all samples."""
    mean = total / max(count, 1)
    rest = square - count * mean**2
    constant = rest <= 1e3 * np.finfo(dtype).eps * whole / samples  # what rounding leaves of no variance
    return count, mean, np.sqrt(np.where(constant, np.nan, rest))


def peaks(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the value of largest size over lags (lag, unit, unit), and its lag; NaN where there is none."""
    most = len(r) // 2
    peak, at = np.full(r.shape[1:], np.nan, dtype=r.dtype), np.full(r.shape[1:], np.nan)
    size = np.full(r.shape[1:], -1.0, dtype=r.dtype)
    for step in sorted(range(-most, most + 1), key=lambda lag: (abs(lag), -lag)):
        here = np.abs(r[most + step])
        larger = here > size  # never where it is NaN
        np.copyto(size, here, where=larger)
        np.copyto(peak, r[most + step], where=larger)
        np.copyto(at, step, where=larger)
    return peak, at
