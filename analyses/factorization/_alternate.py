"""Alternate between features and non-negative coefficients, extrapolating while that lowers the error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from neurointerp import backend
from neurointerp.analyses.factorization._samples import Samples, gram

Solve = Callable[[Any, Any, Any], Any]
"""`(image, gram, F) -> F`: features for the coefficients G, given G'X and G'G; F where to start."""
SWEEPS = 3
"""Passes over the components for each pass over the data, which costs far more."""
FIRST_STEP, GROWTH, CAP_GROWTH, SHRINK = 0.5, 1.05, 1.01, 1.5
"""Of the extrapolation (Ang and Gillis 2019, algorithm 2)."""


@dataclass(frozen=True)
class Fit:
    """A factorization: features (component, unit), coefficients (sample, component) of norm 1, and how it went."""

    features: Any
    coefficients: Any
    losses: list[float]
    best: int
    stop_reason: str


class Patience:
    """Tells when so many iterations together have lowered the best loss by no more than a tolerance."""

    def __init__(self, tolerance: float, patience: int) -> None:
        self.tolerance, self.patience = tolerance, patience
        self.mark, self.since = math.inf, 0

    def is_over(self, loss: float) -> bool:
        """Take the loss of an iteration."""
        if loss < self.mark - self.tolerance:
            self.mark, self.since = loss, 0
        else:
            self.since += 1
        return self.since >= self.patience


def alternate(
    samples: Samples, G: Any, F: Any, solve: Solve, leap: Any, *, max_iter: int, tolerance: float, patience: int
) -> Fit:
    """Minimise `||X - G F||^2` over `G >= 0` and what `solve` allows of `F`.

    Each iteration updates `G` by coordinate descent, then `F`, and starts the next from a point beyond the new one.
    Where that did not lower the loss, it goes back to the best and takes smaller steps: the loss never rises.

    Parameters
    ----------
    samples
        The matrix.
    G, F
        Where to start; `F` may be None where `solve` needs none.
    solve
        Gives `F`.
    leap
        `(new F, old F, step) -> F` to start from: `new` itself where `solve` is exact.
    """
    ahead, step, cap = G, FIRST_STEP, 1.0
    features = start = solve(samples.project(G, F), gram(G), F)
    best, best_F, losses, reason = math.inf, start, list[float](), "max_iter"
    waiting = Patience(tolerance, patience)
    for _ in range(max_iter):
        swept = samples.sweep(start, ahead, partial(_beyond, step=step), G)
        if swept.loss <= best:
            G, ahead, best, best_F = swept.G, swept.ahead, swept.loss, start
            step, cap = min(step * GROWTH, cap), min(cap * CAP_GROWTH, 1.0)
            new = solve(swept.image, swept.gram, start)
            features, start = new, leap(new, features, step)
        else:
            ahead, step, cap = G, step / SHRINK, step
            features = start = solve(samples.project(G, best_F), gram(G), best_F)
        losses.append(best)
        if waiting.is_over(best):
            reason = "tolerance"
            break
    return Fit(*ordered(best_F, G), losses, int(np.argmin(losses)), reason)


def descended(G: Any, P: Any, Q: Any, sweeps: int = SWEEPS) -> Any:
    """Set the coordinates of every row in turn to their best non-negative value, given targets and Gram matrix."""
    xp = backend.namespace(G)
    if str(G.device) == "cpu":
        from neurointerp.analyses.factorization._descent import descend

        new = descend(backend.to_numpy(G), backend.to_numpy(P), backend.to_numpy(Q), sweeps)
        return backend.like(new, G)
    Q, rows, targets = xp.astype(Q, G.dtype), xp.asarray(G.T, copy=True), P.T
    for k in list(range(rows.shape[0])) * sweeps:
        if Q[k, k] > 0:
            rows[k, :] = xp.clip(rows[k, :] + (targets[k, :] - Q[k, :] @ rows) / Q[k, k], min=0.0)
    return rows.T


def ordered(F: Any, G: Any) -> tuple[Any, Any]:
    """Scale the columns of `G` to norm 1 and sort by the energy that then lies in the features."""
    xp = backend.namespace(F)
    norms = xp.linalg.vector_norm(G, axis=0)
    F, G = F * norms[:, None], G / xp.where(norms > 0, norms, xp.ones_like(norms))
    order = xp.argsort(xp.linalg.vector_norm(F, axis=1), descending=True, stable=True)
    return xp.take(F, order, axis=0), xp.take(G, order, axis=1)


def _beyond(P: Any, Q: Any, G: Any, best: Any, *, step: float) -> tuple[Any, Any]:
    """Update rows, and go beyond the new ones from those of the best iterate before."""
    xp = backend.namespace(G)
    new = descended(G, P, Q)
    return new, xp.clip(new + step * (new - best), min=0.0)


def explained(loss: float, samples: Samples) -> float:
    """Give 1 - SSE / sum of squares about the unit means, on observed entries; NaN where no unit varies."""
    spread = samples.spread
    return 1 - loss * samples.power / spread if spread > 1e-12 * samples.power else math.nan
