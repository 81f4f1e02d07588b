"""Alternating updates of CP factors, extrapolated: the kernel that every CP decomposition shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from operator import mul
from typing import Any

import numpy as np

from neurointerp import backend

INNER = 2
"""Passes over the other factors for each contraction of the last. More cost little, but ended in worse minima of counts
(benchmarks/tensor.py, trials)."""
EARLY, PASSES = 10, (2, 5)
"""Passes of an update over the columns of a factor (where it works column by column) in the first `EARLY` sweeps, and
later: early ones that are thorough end in worse minima, late ones that are not crawl where components are alike."""
MIXTURES = 4
"""Random mixtures of the first dim of which a sketch is made, at least. Of two the fit ends in worse minima of counts
(benchmarks/tensor.py, trials: the best from 6 of 10 seeds, of four or eight from 9)."""
FIRST_STEP, GROWTH, CUT = 0.5, 1.05, 1.5
"""Extrapolation: the first step, what it is multiplied by after a sweep that paid, and divided by after one that did
not."""


@dataclass(frozen=True)
class Rule:
    """How a factor is updated, and what is done to one that was extrapolated.

    Attributes
    ----------
    update
        (factor, MTTKRP, Gram matrix of the other factors, passes) -> factor that lowers the error or leaves it.
    project
        Factor -> the nearest one that is allowed.
    outer
        (contracted tensor, factors but the last, Gram matrix of the last, passes, rounds) -> those factors, updated in
        turn `rounds` times over; None where this rule has nothing quicker than updates one by one.
    """

    update: Callable[[Any, Any, Any, int], Any]
    project: Callable[[Any], Any]
    outer: Callable[[Any, list[Any], Any, int, int], list[Any]] | None = None


@dataclass(frozen=True)
class Fit:
    """Where a fit ended."""

    factors: list[Any]  # (size, component) each, columns of norm 1
    weight: Any
    losses: list[float]
    stop_reason: str


@dataclass(frozen=True)
class Problem:
    """What is fitted: a tensor whose last dim is the largest, 0 where `seen` is given and False."""

    X: Any
    seen: Any
    rule: Rule

    @cached_property
    def power(self) -> float:
        """Give the sum of squares of what is seen."""
        return sum_of_squares(self.X)

    @property
    def complete(self) -> bool:
        """Tell whether nothing is missing."""
        return self.seen is None

    def contraction(self, last: Any) -> Any:
        """Give (column, *other sizes) of the tensor contracted with the columns of a matrix along the last dim."""
        return _contraction(self.X, last)

    def image(self, outer: list[Any]) -> Any:
        """Give (last size, column): the MTTKRP of the last dim."""
        return _image(self.X, outer)

    def within(self, bases: list[Any]) -> Any:
        """Give the tensor in bases (size, kept) of all dims but the last."""
        found = self.X
        for axis, base in enumerate(bases):
            found = along(found, base.T, axis) if base.shape[1] < base.shape[0] else found
        return found

    def sketch(self, columns: int, rng: np.random.Generator) -> Any:
        """Give (last size, column): random mixtures of what runs along the last dim, in one light pass.

        Few random mixtures of the first dim, and of those with all of the others as many as there are columns.
        """
        xp = backend.namespace(self.X)
        first, last = self.X.shape[0], self.X.shape[-1]
        rows = math.prod(self.X.shape[1:-1])
        mixtures = min(first, max(MIXTURES, -(-4 * columns // rows)))
        mixed = backend.like(rng.standard_normal((mixtures, first)), self.X) @ xp.reshape(self.X, (first, -1))
        mixed = xp.reshape(mixed, (-1, last))
        return mixed.T @ backend.like(rng.standard_normal((mixed.shape[0], columns)), self.X)

    def sweep(self, factors: list[Any], power: float, passes: int = PASSES[0]) -> tuple[list[Any], float]:
        """Update every factor; give the new ones, and their squared relative error on what is seen.

        Missing values are first completed by the model, which keeps its error and so lets no sweep raise it.
        """
        if self.seen is None:
            return swept(self.contraction, self.image, factors, self.rule, power, passes)
        xp = backend.namespace(self.X)
        whole = xp.where(self.seen, self.X, model(factors, self.X.shape))
        products = partial(_contraction, whole), partial(_image, whole)
        found, _ = swept(*products, factors, self.rule, power, passes)
        residual = xp.where(self.seen, self.X - model(found, self.X.shape), xp.zeros_like(self.X))
        return found, sum_of_squares(residual) / power


def fit(problem: Problem, factors: list[Any], max_iter: int, tolerance: float) -> Fit:
    """Sweep from `factors`, extrapolating while it pays; only a plain sweep can end the fit."""
    power, project = problem.power, problem.rule.project
    start, plain, loss, losses = factors, True, math.inf, []
    step, most = FIRST_STEP, 1.0
    reason = "max_iter"
    for iteration in range(max_iter):
        found, reached = problem.sweep(start, power, PASSES[iteration >= EARLY])
        previous, gain = factors, loss - reached
        if gain > 0:
            factors, loss = found, reached
        losses.append(loss)
        if gain > tolerance * reached:
            start = [project(new + step * (new - old)) for new, old in zip(found, previous, strict=True)]
            plain, step, most = False, min(GROWTH * step, most), min(1.01 * most, 1.0)
        elif plain:
            reason = "tolerance"
            break
        else:
            start, plain, step, most = factors, True, step / CUT, step
    return Fit(*ordered(factors), losses, reason)


def swept(
    contraction: Callable[[Any], Any], image_of: Callable[[list[Any]], Any], factors: list[Any], rule: Rule,
    power: float, passes: int = PASSES[0],
) -> tuple[list[Any], float]:  # fmt: skip
    """Update every factor with two products that touch the whole tensor: no unfolded copy, all but the last in reuse.

    The last dim is contracted once; the small result serves `INNER` updates of every other factor.
    """
    *outer, last = factors
    xp = backend.namespace(last)
    small = contraction(last)
    gram = last.T @ last
    if rule.outer and isinstance(small, np.ndarray) and small.ndim == 3:
        outer = rule.outer(small, outer, gram, passes, INNER)
    else:
        outer = one_by_one(small, outer, gram, rule, passes)
    norms = [norms_of(factor) for factor in outer]
    outer = [factor / norm for factor, norm in zip(outer, norms, strict=True)]
    image, gram = image_of(outer), gram_of(outer)
    last = rule.update(last * reduce(mul, norms), image, gram, passes)
    cross = float(xp.sum(image * last, dtype=xp.float64))
    energy = float(xp.sum(gram_of([xp.astype(factor, xp.float64) for factor in (*outer, last)])))
    return [*outer, last], max(0.0, (power - 2 * cross + energy) / power)


def _contraction(X: Any, last: Any) -> Any:
    xp = backend.namespace(X)
    return xp.reshape(contracted(xp.reshape(X, (-1, X.shape[-1])), last), (-1, *X.shape[:-1]))


def _image(X: Any, outer: list[Any]) -> Any:
    return (khatri_rao_rows(outer) @ backend.namespace(X).reshape(X, (-1, X.shape[-1]))).T


def contracted(flat: Any, last: Any) -> Any:
    """Give `last.T @ flat.T`, (component, row), contiguous."""
    if isinstance(flat, np.ndarray):
        from neurointerp.analyses.tensor._products import rows_times

        return rows_times(flat, last)
    return contiguous((flat @ last).T)


def khatri_rao_rows(factors: list[Any]) -> Any:
    """Give the Khatri-Rao product transposed, (component, product of sizes): quicker to make and to multiply with."""
    xp = backend.namespace(*factors)
    rows = [contiguous(factor.T) for factor in factors]
    return reduce(lambda a, b: xp.reshape(a[:, :, None] * b[:, None, :], (a.shape[0], -1)), rows)


def along(tensor: Any, rows: Any, axis: int) -> Any:
    """Multiply one axis of a tensor by a matrix: (new size, size)."""
    xp = backend.namespace(tensor)
    before, size = math.prod(tensor.shape[:axis]), tensor.shape[axis]
    found = rows @ xp.reshape(tensor, (before, size, -1))
    return xp.reshape(found, (*tensor.shape[:axis], rows.shape[0], *tensor.shape[axis + 1 :]))


def one_by_one(small: Any, outer: list[Any], gram: Any, rule: Rule, passes: int) -> list[Any]:
    outer = list(outer)
    for _ in range(INNER):
        for mode in range(len(outer)):
            others = outer[:mode] + outer[mode + 1 :]
            image = contract(small, outer, mode)
            outer[mode] = rule.update(outer[mode], image, gram * gram_of(others), passes)
    return outer


def contract(small: Any, outer: list[Any], mode: int) -> Any:
    """Contract (component, *sizes) with the columns of every factor but `mode`: (size of mode, component)."""
    xp = backend.namespace(small)
    rank = small.shape[0]
    for factor in reversed(outer[mode + 1 :]):
        small = xp.reshape(small, (rank, -1, factor.shape[0])) @ contiguous(factor.T)[:, :, None]
    for factor in outer[:mode]:
        small = contiguous(factor.T)[:, None, :] @ xp.reshape(small, (rank, factor.shape[0], -1))
    return xp.reshape(small, (rank, -1)).T


def contiguous(array: Any) -> Any:
    """Give `array` in the order of its dims, copied only where it is not."""
    xp = backend.namespace(array)
    return xp.ascontiguousarray(array) if hasattr(xp, "ascontiguousarray") else array.contiguous()


def model(factors: list[Any], shape: tuple[int, ...]) -> Any:
    """Give the tensor that the factors stand for."""
    xp = backend.namespace(*factors)
    return xp.reshape(reduce(khatri_rao, factors[:-1]) @ factors[-1].T, shape)


def gram_of(factors: list[Any]) -> Any:
    """Give the Gram matrix of the Khatri-Rao product of factors."""
    return reduce(mul, (factor.T @ factor for factor in factors))


def khatri_rao(left: Any, right: Any) -> Any:
    """Give the columnwise Kronecker product: (size of left x size of right, component)."""
    xp = backend.namespace(left)
    return xp.reshape(left[:, None, :] * right[None, :, :], (-1, left.shape[1]))


def norms_of(factor: Any) -> Any:
    """Give the norms of columns, 1 for a zero column: it stays as it is and may come back to life."""
    xp = backend.namespace(factor)
    norms = xp.linalg.vector_norm(factor, axis=0)
    return xp.where(norms > 0, norms, xp.ones_like(norms))


def ordered(factors: list[Any]) -> tuple[list[Any], Any]:
    """Give columns of norm 1 and the weights, largest first; a component that died has weight 0."""
    xp = backend.namespace(*factors)
    weight = reduce(mul, (xp.linalg.vector_norm(factor, axis=0) for factor in factors))
    order = xp.argsort(weight, descending=True, stable=True)
    return [xp.take(f / norms_of(f), order, axis=1) for f in factors], xp.take(weight, order, axis=0)


def sum_of_squares(X: Any) -> float:
    """Give the sum of squares, added up in double precision."""
    xp = backend.namespace(X)
    return float(xp.sum(xp.vecdot(X, X), dtype=xp.float64))


def balanced(X: Any, factors: list[Any], power: float | None = None) -> list[Any]:
    """Scale a start as sweeps leave it, columns of norm 1 but in the last, with a model as large as `X` (`power`)."""
    xp = backend.namespace(*factors)
    power = sum_of_squares(X) if power is None else power
    norms = [norms_of(factor) for factor in factors[:-1]]
    outer = [factor / norm for factor, norm in zip(factors[:-1], norms, strict=True)]
    last = factors[-1] * reduce(mul, norms)
    energy = float(xp.sum(gram_of([*outer, last]), dtype=xp.float64))
    return [*outer, last * math.sqrt(power / energy)]
