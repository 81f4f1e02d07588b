"""Where the fit of a CP decomposition starts from."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp import backend


def uniform(X: Any, rank: int, rng: np.random.Generator) -> list[Any]:
    """Draw every factor uniformly on (0, 1)."""
    return [backend.like(rng.random((size, rank)), X) for size in X.shape]


def normal(X: Any, rank: int, rng: np.random.Generator) -> list[Any]:
    """Draw every factor from a normal distribution."""
    return [backend.like(rng.standard_normal((size, rank)), X) for size in X.shape]


def halves(X: Any, rank: int, rng: np.random.Generator) -> list[Any]:
    """Give the larger half of each leading singular vector of each unfolding; random beyond its size."""
    xp = backend.namespace(X)
    factors = []
    for mode, size in enumerate(X.shape):
        vectors = _singular(X, mode)[:, :rank]
        positive = xp.sum(vectors * xp.abs(vectors), axis=0) >= 0
        half = xp.astype(xp.clip(xp.where(positive, vectors, -vectors), min=0.0), X.dtype)
        spare = backend.like(rng.random((size, max(rank - size, 0))), X)
        factors.append(xp.concat([half, spare], axis=1))
    return factors


def singular(X: Any, rank: int, rng: np.random.Generator) -> list[Any]:
    """Give the leading singular vectors of each unfolding; random beyond its size."""
    xp = backend.namespace(X)
    factors = []
    for mode, size in enumerate(X.shape):
        vectors = xp.astype(_singular(X, mode)[:, :rank], X.dtype)
        spare = backend.like(rng.standard_normal((size, max(rank - size, 0))), X)
        factors.append(xp.concat([vectors, spare], axis=1))
    return factors


def _singular(X: Any, mode: int) -> Any:
    xp = backend.namespace(X)
    axes = [axis for axis in range(X.ndim) if axis != mode]
    gram = xp.astype(xp.tensordot(X, X, axes=(axes, axes)), xp.float64)
    return xp.flip(xp.linalg.eigh(gram)[1], axis=1)
