"""Centring, scaling and shrinkage of (sample, unit) values: kernels of the static measures, numpy or torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurointerp.backend import namespace
from neurointerp.streaming import Rows

SHRINKAGES = ("empirical", "ledoit_wolf", "oas")
LARGE = 2**15
"""Covariances from which a compiled pass is worth its start."""


def centred(values: Any) -> Any:
    """Take the mean of each column off (sample, unit) values."""
    xp = namespace(values)
    z = values - _mean(xp, values)
    return z - _mean(xp, z)  # what rounding of a large mean left behind


def scaled(values: Any) -> tuple[Any, Any]:
    """Centre each column and scale it to unit length; give also which columns vary. Constant ones are 0."""
    if isinstance(values, Rows):
        from neurointerp.analyses.connectivity import _streamed

        return _streamed.scaled(values)
    xp = namespace(values)
    high, low = xp.max(values, axis=0), xp.min(values, axis=0)
    varies = high > low
    z = centred(values)
    span = high / 2 - low / 2
    z = z / xp.where(varies, span, xp.ones_like(span))  # so that no square under- or overflows
    length = xp.sqrt(xp.sum(z * z, axis=0, dtype=xp.float64))
    inverse = xp.where(varies, 1 / xp.where(varies, length, xp.ones_like(length)), xp.zeros_like(length))
    return z * xp.astype(inverse, z.dtype), varies


def shrunk(z: Any, method: str) -> tuple[Any, float]:
    """Give the covariance (unit, unit) of centred (sample, unit) values, and its shrinkage to the mean variance.

    Fourth powers of the values must neither under- nor overflow.
    """
    xp = namespace(z)
    S = z.T @ z  # of one array with itself: half the work, and exactly symmetric in numpy
    S = S / len(z) if isinstance(S, np.ndarray) else (S + S.T) / (2 * len(z))
    return shrunk_product(S, lambda: xp.sum(z * z, axis=1), len(z), method)


def shrunk_product(S: Any, norms: Callable[[], Any], samples: int, method: str) -> tuple[Any, float]:
    """Shrink a covariance (unit, unit), which may be overwritten, to its mean variance; give also by how much.

    `norms` gives the squared length of each sample about the means: from it Ledoit and Wolf's variance of the
    covariance needs no second product of matrices.
    """
    if method == "empirical":
        return S, 0.0
    xp = namespace(S)
    units = S.shape[0]
    power = _square_sum(S)
    mean = float(xp.sum(xp.linalg.diagonal(S), dtype=xp.float64)) / units
    if method == "oas":
        amount = _oas(power, mean, samples, units)
    else:
        lengths = xp.astype(norms(), xp.float64)
        error = (float(xp.sum(lengths * lengths)) / samples - power) / samples
        amount = _ledoit_wolf(power, mean, error, units)
    S *= 1 - amount
    if isinstance(S, np.ndarray):
        np.einsum("ii->i", S)[:] += amount * mean
    else:
        S += (amount * mean) * xp.eye(units, dtype=S.dtype, device=S.device)
    return S, amount


def _square_sum(S: Any) -> float:
    if isinstance(S, np.ndarray) and S.size >= LARGE:
        from neurointerp.analyses.connectivity import _fused

        return float(_fused.square_sum(S))
    xp = namespace(S)
    return float(xp.sum(S * S, dtype=xp.float64))


def shrunk_pairwise(S: np.ndarray, fourth: np.ndarray, samples: np.ndarray, method: str) -> tuple[np.ndarray, float]:
    """Shrink a covariance (unit, unit) whose pairs have samples of their own; what `shrunk` gives if none is missing.

    `fourth` holds the means of the squared products. The variance of each element is taken over its own samples; OAS,
    which knows one number of samples, gets their harmonic mean, since errors add as their inverses.
    """
    if method == "empirical":
        return S, 0.0
    units = len(S)
    if not units:
        return S, float("nan")
    power, mean = float((S * S).sum()), float(np.trace(S)) / units
    if method == "oas":
        amount = _oas(power, mean, 1 / float((1 / samples).mean()), units)
    else:
        amount = _ledoit_wolf(power, mean, float(((fourth - S * S) / samples).sum()), units)
    return (1 - amount) * S + amount * mean * np.eye(units), amount


def _ledoit_wolf(power: float, mean: float, error: float, units: int) -> float:
    """Give the shrinkage intensity of Ledoit and Wolf (2004); `error` is the summed variance of the covariances."""
    distance = power - units * mean**2
    return max(min(error / distance, 1.0), 0.0) if distance > 0 else 0.0


def _oas(power: float, mean: float, samples: float, units: int) -> float:
    """Give the oracle approximating shrinkage of Chen et al. (2010), eq. 23, as scikit-learn has it."""
    if units == 1:
        return 0.0
    alpha = power / units**2
    below = (samples + 1) * (alpha - mean**2 / units)
    return min((alpha + mean**2) / below, 1.0) if below > 0 else 1.0


def _mean(xp: Any, values: Any) -> Any:
    """Give the mean of each column, summed in float64 and given in the dtype of `values`."""
    return xp.astype(xp.sum(values, axis=0, dtype=xp.float64) / values.shape[0], values.dtype)
