"""A tensor too large to be swept often, fitted first where it is small: on its leading directions in every dim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurointerp import backend
from neurointerp.analyses.tensor._alternate import PASSES, Problem, contiguous, fit, khatri_rao_rows, swept

WORTH = 2e8
"""Flops of a sweep above which compressing pays: it costs as much as three sweeps, and saves most of those after."""
KEPT = 3
"""Directions for each component. With two, fits of counts ended in worse minima (benchmarks/tensor.py, trials)."""
SPARE = 8
"""Random directions more than are kept."""
SWEEPS, TOLERANCE = 300, 1e-7


@dataclass(frozen=True)
class Compressed(Problem):
    """A problem whose tensor is `bases` times a small one, the last dim first: (kept of last, kept of each other)."""

    bases: tuple[Any, ...] = ()
    whole_power: float = 0.0

    @property
    def power(self) -> float:
        """Give that of the tensor itself: what is left out is a part of the error."""
        return self.whole_power

    def sweep(self, factors: list[Any], power: float, passes: int = PASSES[0]) -> tuple[list[Any], float]:
        """Update every factor, in full length, from products with the small tensor."""
        *outer_bases, base = self.bases
        flat = backend.namespace(self.X).reshape(self.X, (self.X.shape[0], -1))

        def contraction(last: Any) -> Any:
            xp = backend.namespace(last)
            small = xp.reshape((last.T @ base) @ flat, (-1, *self.X.shape[1:]))
            for axis, outer in enumerate(outer_bases, start=1):
                small = along(small, outer, axis)
            return small

        def image(outer: list[Any]) -> Any:
            inner = [part.T @ factor for part, factor in zip(outer_bases, outer, strict=True)]
            return base @ (flat @ khatri_rao_rows(inner).T)

        return swept(contraction, image, factors, self.rule, power, passes)


def started(start: list[Any], compressed: Compressed | None) -> list[Any]:
    """Give the start that a fit to the compressed tensor ends at."""
    if compressed is None:
        return start
    found = fit(compressed, start, SWEEPS, TOLERANCE)
    return [*found.factors[:-1], found.factors[-1] * found.weight]


def compress(problem: Problem, rank: int, seed: int) -> Compressed | None:
    """Give the problem on the leading directions of its tensor; None where that would not pay or values are missing.

    Sequentially truncated higher-order SVD; the last dim by a random sketch (Halko, Martinsson and Tropp, 2011), from
    two products with the tensor.
    """
    X = problem.X
    *sizes, most = map(int, X.shape)
    kept = KEPT * rank
    if 4.0 * X.size * rank < WORTH or not problem.complete or most < 2 * (kept + SPARE):
        return None
    image = problem.sketch(kept + SPARE, np.random.default_rng([seed, rank]))
    xp = backend.namespace(image)
    base = contiguous(xp.linalg.svd(image, full_matrices=False)[0][:, :kept])
    small = problem.contraction(base)
    bases: list[Any] = []
    for axis, size in enumerate(sizes, start=1):
        part, small = _leading(backend.like(np.eye(size), small), small, axis, kept)
        bases.append(part)
    return Compressed(small, None, problem.rule, (*bases, base), problem.power)


def _leading(base: Any, tensor: Any, axis: int, kept: int) -> tuple[Any, Any]:
    """Turn one axis of the tensor to its leading directions, and `base` with it."""
    xp = backend.namespace(tensor)
    if tensor.shape[axis] <= kept:
        return base, tensor
    turned = xp.reshape(xp.moveaxis(tensor, axis, 0), (tensor.shape[axis], -1))
    directions = xp.linalg.eigh(turned @ turned.T)[1][:, -kept:]
    return base @ directions, along(tensor, directions.T, axis)


def along(tensor: Any, rows: Any, axis: int) -> Any:
    """Multiply one axis of a tensor by a matrix: (new size, size)."""
    xp = backend.namespace(tensor)
    moved = xp.moveaxis(tensor, axis, 0)
    found = rows @ xp.reshape(moved, (moved.shape[0], -1))
    out = xp.moveaxis(xp.reshape(found, (rows.shape[0], *moved.shape[1:])), 0, axis)
    return contiguous(out)
