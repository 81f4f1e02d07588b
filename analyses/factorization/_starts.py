"""Starts of the coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp import backend
from neurointerp.analyses.factorization._samples import Samples
from neurointerp.analyses.factorization._spectrum import leading
from neurointerp.errors import AnalysisError

FLOOR = 1e-6
"""Smallest initial coefficient."""
LLOYD_STEPS = 15
STARTS = ("random", "kmeans", "svd")


def start(samples: Samples, rank: int, init: str, rng: np.random.Generator, like: Any) -> Any:
    """Give (sample, component) coefficients to start from, of the library, dtype and device of `like`."""
    if init == "random":
        return _random(samples.shape[0], rank, rng, like)
    X = samples.whole()
    return _kmeans(X, rank, rng) if init == "kmeans" else _svd(X, rank, rng)


def require_start(init: Any, analysis: str) -> None:
    """Refuse a start that is not known."""
    if init not in STARTS:
        raise AnalysisError(f"{analysis}: init is {init!r}; one of {', '.join(STARTS)} is needed")


def _random(count: int, rank: int, rng: np.random.Generator, like: Any) -> Any:
    return backend.like(np.maximum(rng.random((count, rank)), FLOOR), like)


def _kmeans(X: Any, rank: int, rng: np.random.Generator) -> Any:
    """Give one-hot membership (floored) of k-means; an empty cluster moves to a random sample."""
    xp = backend.namespace(X)
    index = backend.like(np.arange(rank), X)
    centres = xp.take(X, backend.like(rng.choice(X.shape[0], rank, replace=False), X), axis=0)
    member = None
    for _ in range(LLOYD_STEPS):
        distance = xp.sum(centres * centres, axis=1) - 2 * (X @ centres.T)
        member = xp.astype(xp.argmin(distance, axis=1)[:, None] == index, X.dtype)
        count = xp.sum(member, axis=0)[:, None]
        spare = xp.take(X, backend.like(rng.integers(X.shape[0], size=rank), X), axis=0)
        centres = xp.where(count > 0, (member.T @ X) / xp.clip(count, min=1.0), spare)
    return xp.clip(member, min=FLOOR)


def _svd(X: Any, rank: int, rng: np.random.Generator) -> Any:
    """Give the larger half of each left singular vector; singular values drop out, `F` being solved first."""
    xp = backend.namespace(X)
    zero = xp.zeros(X.shape[1], dtype=xp.float64, device=X.device)
    vectors, _ = leading(X, zero, min(rank, *X.shape))
    course = X @ xp.astype(vectors.T, X.dtype)
    positive = xp.sum(course * xp.abs(course), axis=0) >= 0
    half = xp.clip(xp.where(positive, course, -course), min=0.0)
    norms = xp.linalg.vector_norm(half, axis=0)
    begun = xp.clip(half / xp.where(norms > 0, norms, xp.ones_like(norms)), min=FLOOR)
    return xp.concat([begun, _random(X.shape[0], rank - begun.shape[1], rng, X)], axis=1)
