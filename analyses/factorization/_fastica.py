"""FastICA (parallel) of white values by the array API: what scikit-learn's does, on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurointerp.backend import like, namespace, to_numpy


def unmixed(white: Any, contrast: str, max_iter: int, tolerance: float, seed: int) -> tuple[np.ndarray, int, bool]:
    """Give the rotation (component, component) of white values whose courses are independent.

    Parameters
    ----------
    white
        (sample, component), of mean 0, variance 1 and no covariance; of any library, float64.
    contrast, max_iter, tolerance, seed
        As `ica` takes them; the start is the one that scikit-learn draws.

    Returns
    -------
    numpy.ndarray
        The rotation.
    int
        How many iterations there were.
    bool
        Whether the last turned no row by more than `tolerance`.
    """
    from sklearn.utils import check_random_state

    xp = namespace(white)
    samples, rank = white.shape
    slopes = CONTRASTS[contrast]
    start = check_random_state(seed).normal(size=(rank, rank))
    W = _orthonormal(xp, like(start, white))
    for iteration in range(max_iter):
        curve, slope = slopes(xp, white @ W.T)
        new = _orthonormal(xp, curve.T @ white / samples - slope[:, None] * W)
        turned = float(xp.max(xp.abs(xp.abs(xp.sum(new * W, axis=1)) - 1)))
        W = new
        if turned < tolerance:
            return to_numpy(W), iteration + 1, True
    return to_numpy(W), max_iter, False


def _orthonormal(xp: Any, W: Any) -> Any:
    """Give the nearest matrix of orthonormal rows, (W W')^-1/2 W."""
    values, basis = xp.linalg.eigh(W @ W.T)
    values = xp.clip(values, min=float(xp.finfo(W.dtype).tiny))
    return (basis / xp.sqrt(values)) @ basis.T @ W


def _logcosh(xp: Any, x: Any) -> tuple[Any, Any]:
    curve = xp.tanh(x)
    return curve, 1 - xp.mean(curve * curve, axis=0)


def _exp(xp: Any, x: Any) -> tuple[Any, Any]:
    bell = xp.exp(-(x * x) / 2)
    return x * bell, xp.mean((1 - x * x) * bell, axis=0)


def _cube(xp: Any, x: Any) -> tuple[Any, Any]:
    return x**3, 3 * xp.mean(x * x, axis=0)


CONTRASTS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {"logcosh": _logcosh, "exp": _exp, "cube": _cube}
"""(namespace, values) -> the derivative of the contrast function, and the mean (component) of its own derivative."""
