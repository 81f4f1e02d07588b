"""A start for large problems: features of some of the samples, and the coefficients of all that go with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neurointerp import backend
from neurointerp.analyses.factorization._alternate import Solve, alternate, descended
from neurointerp.analyses.factorization._samples import Samples, gram, of_array

LARGE = 1e9
"""Multiply-adds of a product with the matrix from which this pays."""
PART, MOST, FEWEST, PAYS = 8, 65536, 12, 3
"""One sample in so many is used, but no more than this, and no fewer than so many for each component: fewer say too
little of all. More than one in `PAYS` would cost what they save."""
PASSES, SWEEPS = 10, 6
"""Over the part, and over the components for the coefficients of all samples."""
SHY = 0.3
"""Of what each component alone would explain, where its coefficients begin: together they explain too much."""


def begun(
    samples: Samples, G: Any, first: Callable[[Samples, Any], Any], solve: Solve, leap: Callable[[Any, Any, float], Any]
) -> tuple[Any, Any]:
    """Give coefficients and features to start `alternate` from.

    Where the matrix is large and complete, some passes over a random part of the samples come first: they cost an
    eighth or so, and find features that all samples share. Which samples these are does not depend on chunks or seed.

    Parameters
    ----------
    samples
        The matrix.
    G
        (sample, component), the coefficients of a start.
    first
        Gives the features that such coefficients start with, or None.
    solve, leap
        As for `alternate`.
    """
    count, rank = samples.shape[0], G.shape[1]
    size = max(min(count // PART, MOST), FEWEST * rank)
    if samples.missing or math.prod(samples.shape) * rank < LARGE or size > count // PAYS:
        return G, first(samples, G)
    xp = backend.namespace(G)
    chosen = np.sort(np.random.default_rng(0).choice(count, size, replace=False))
    parts = [
        xp.take(X, backend.like(chosen[(chosen >= rows.start) & (chosen < rows.stop)] - rows.start, X), axis=0)
        for rows, X in samples.blocks()
    ]
    values = xp.concat(parts, axis=0)
    if not bool(xp.any(values != 0)):
        return G, first(samples, G)
    part, g = of_array(values, "start"), xp.take(G, backend.like(chosen, G), axis=0)
    fit = alternate(part, g, first(part, g), solve, leap, max_iter=PASSES, tolerance=0.0, patience=PASSES)
    F = fit.features * part.scale
    Q = gram(F.T)
    own = xp.astype(xp.linalg.diagonal(Q), F.dtype)

    def coefficients(X: Any, before: Any) -> Any:
        P = X @ F.T
        alone = SHY * xp.clip(P, min=0.0) / xp.where(own > 0, own, xp.ones_like(own))
        return descended(xp.where(own > 0, alone, before), P, Q, SWEEPS)  # one that died keeps its first values

    return xp.concat([coefficients(X, G[rows, :]) for rows, X in samples.blocks()], axis=0), F
