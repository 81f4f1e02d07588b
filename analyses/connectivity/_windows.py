"""Correlations of moving windows by the array API: what `dynamic` computes on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp.backend import like, namespace, to_numpy

BLOCK = 2**26
"""Bytes of windows, and of their correlations, that are held at a time."""


def correlations(values: Any, size: int, step: int, weight: np.ndarray | None) -> np.ndarray:
    """Give the correlations (window, unit, unit) of windows of (sample, unit) values; NaN where a unit is constant.

    Parameters
    ----------
    values
        Of any library, on any device; worked on in float64.
    size, step
        Samples of a window, and from one start to the next.
    weight
        (size): of the samples of a window, summing to 1; None: all alike.
    """
    xp = namespace(values)
    z = xp.astype(values, xp.float64)
    varies = _varying(z, size, step)
    z = z - xp.mean(z, axis=0)
    share = like(np.full(size, 1 / size) if weight is None else weight, z)[:, None]
    count, units = varies.shape
    many = max(1, BLOCK // max(1, 8 * units * max(size, units)))
    out = np.empty((count, units, units))
    for first in range(0, count, many):
        starts = range(first * step, min(first + many, count) * step, step)
        inside = xp.stack([z[start : start + size, :] for start in starts])
        inside = (inside - xp.sum(inside * share, axis=1, keepdims=True)) * share**0.5
        gram = xp.matrix_transpose(inside) @ inside
        known = varies[first : first + many, :]
        power = xp.linalg.diagonal(gram)
        root = xp.where(known, power, xp.ones_like(power)) ** -0.5
        root = xp.where(known, root, xp.full_like(root, xp.nan))
        out[first : first + many] = to_numpy(xp.clip(gram * root[:, :, None] * root[:, None, :], -1.0, 1.0))
    same = np.arange(units)
    out[:, same, same] = np.where(to_numpy(varies), 1.0, np.nan)
    return out


def _varying(values: Any, size: int, step: int) -> Any:
    """Tell which units change within each window (window, unit): a mean would leave something of what is constant."""
    xp = namespace(values)
    changes = xp.astype(values[1:, :] != values[:-1, :], xp.int64)
    sums = xp.cumulative_sum(changes, axis=0, include_initial=True)
    starts = slice(0, len(values) - size + 1, step)
    return sums[size - 1 :, :][starts, :] > sums[: len(values) - size + 1, :][starts, :]
