"""A tensor too large to be swept often, fitted first where it is small: on its leading directions in every dim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from neurointerp import backend
from neurointerp.analyses.tensor._alternate import (
    PASSES,
    Problem,
    along,
    contiguous,
    fit,
    khatri_rao_rows,
    ordered,
    swept,
)
from neurointerp.analyses.tensor._chunked import Blocks
from neurointerp.analyses.tensor._rules import NONNEGATIVE

WORTH, WORTH_COMPILED = 2e8, 2e7
"""Flops of a sweep above which compressing pays: it costs as much as three sweeps, and saves most of those after.
What is compiled (non-negative factors of three dims) takes no time between its steps."""
KEPT = 2
"""Directions for each component. Three cost more, and ended in no better minima of nine tensors (8 to 20 starts)."""
SPARE = 8
"""Directions of the rough base more than there are components."""
SWEEPS, TOLERANCE = 300, 1e-6
MOST_STARTS, FIRST_SWEEPS, LIGHTER = 4, 10, 64
"""Random starts that are swept a few times, of which the one ahead goes on, where a sweep is compiled: one for each
`LIGHTER` times that the small tensor has fewer values, so that together they cost less than a sweep of the whole."""


@dataclass(frozen=True)
class Compressed(Problem):
    """A problem whose tensor is `bases` times a small one, the last dim first: (kept of last, kept of each other)."""

    bases: tuple[Any, ...] = ()
    whole_power: float = 0.0

    @cached_property
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

    @property
    def compiled(self) -> bool:
        """Tell whether there are compiled sweeps for it."""
        return is_compiled(self.X, self.rule)

    @property
    def starts(self) -> int:
        """Give how many random starts are worth a try."""
        whole = np.prod([base.shape[0] for base in self.bases], dtype=float)
        return int(np.clip(whole / (LIGHTER * self.X.size), 1, MOST_STARTS)) if self.compiled else 1


def is_compiled(X: Any, rule: Any) -> bool:
    """Tell whether sweeps of such a tensor are compiled from end to end."""
    return rule is NONNEGATIVE and X.ndim == 3 and isinstance(X, np.ndarray | Blocks)


def started(starts: Iterator[list[Any]], compressed: Compressed | None) -> list[Any]:
    """Give what to start from: of some starts, what a fit to the compressed tensor ends at."""
    if compressed is None:
        return next(starts)
    if not compressed.compiled:
        found = fit(compressed, next(starts), SWEEPS, TOLERANCE)
        return [*found.factors[:-1], found.factors[-1] * found.weight]
    from neurointerp.analyses.tensor._within import fit_within

    left, right, base = (np.ascontiguousarray(b if len(b) > b.shape[1] else b[:0]) for b in compressed.bases)
    core, power = np.ascontiguousarray(compressed.X), compressed.power

    def swept_on(rows: list[np.ndarray], most: int, tolerance: float) -> float:
        return float(fit_within(core, left, right, base, rows[0], rows[1], rows[2], power, most, tolerance)[-1])

    tried = [[np.array(factor.T, order="C") for factor in start] for start in islice(starts, compressed.starts)]
    rows = min(tried, key=lambda rows: swept_on(rows, FIRST_SWEEPS, 0.0))
    swept_on(rows, SWEEPS, TOLERANCE)
    factors, weight = ordered([row.T for row in rows])
    return [*factors[:-1], factors[-1] * weight]


def compress(problem: Problem, rank: int, seed: int) -> Compressed | None:
    """Give the problem on the leading directions of its tensor; None where that would not pay or values are missing.

    Higher-order SVD by random sketches (Halko, Martinsson and Tropp, 2011), from two products with the tensor: a rough
    base of the last dim, the others from what it leaves, and with those a good one of the last.
    """
    X = problem.X
    *sizes, most = map(int, X.shape)
    kept = KEPT * rank
    worth = WORTH_COMPILED if is_compiled(X, problem.rule) else WORTH
    if 4.0 * X.size * rank < worth or not problem.complete or most < 2 * kept:
        return None
    rng = np.random.default_rng([seed, rank])
    rough = problem.contraction(_spanned(problem.sketch(rank + SPARE, rng)))
    xp = backend.namespace(rough)
    turned = (xp.reshape(xp.moveaxis(rough, axis, 0), (size, -1)) for axis, size in enumerate(sizes, start=1))
    bases = [_leading(matrix, kept, rng) for matrix in turned]
    inner = problem.within(bases)
    flat = xp.reshape(inner, (-1, most))
    base = _leading(flat.T, kept, rng)
    core = xp.reshape(contiguous((flat @ base).T), (-1, *inner.shape[:-1]))
    return Compressed(core, None, problem.rule, (*bases, base), problem.power)


def _spanned(columns: Any) -> Any:
    """Give an orthonormal base of what columns span."""
    if type(columns) is np.ndarray:
        from neurointerp.analyses.tensor._orthonormal import spanned

        return spanned(columns)
    return contiguous(backend.namespace(columns).linalg.qr(columns)[0])


def _leading(matrix: Any, kept: int, rng: np.random.Generator) -> Any:
    """Give (size, kept) the leading directions of columns, nearly; all, as they are, where there are no more."""
    size = matrix.shape[0]
    if size <= kept:
        return backend.like(np.eye(size), matrix)
    base = backend.like(rng.standard_normal((size, kept)), matrix)
    for _ in range(2):  # orthonormal in between: beside one large component float32 would lose the others
        base = _spanned(matrix @ (matrix.T @ base))
    return base
