"""Joint fit of a chain of factors, all but the last of them non-negative."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurointerp import backend
from neurointerp.analyses.factorization._samples import Samples, gram

DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-3
"""Of Adam (Kingma and Ba 2015). The last is a part of the largest entry of each factor's first gradient: where the
levels found one by one leave no slope but rounding, there is no step."""


@dataclass(frozen=True)
class Chain:
    """`X = G1 G2 ... GL FL`: the loadings `G` (columns of norm 1, >= 0) and the features of the last level."""

    loadings: list[Any]
    features: Any

    def downward(self) -> list[Any]:
        """Give G1, G1 G2, ..."""
        return list(itertools.accumulate(self.loadings, lambda left, right: left @ right))

    def upward(self) -> list[Any]:
        """Give G1 ... GL FL without its first 1, 2, ... L loadings: the features of every level."""
        chain = [self.features, *reversed(self.loadings[1:])]
        return list(itertools.accumulate(chain, lambda right, left: left @ right))[::-1]


def tuned(samples: Samples, chain: Chain, steps: int, rate: float, loss: float) -> tuple[Chain, list[float]]:
    """Take steps of projected Adam from a chain of known loss; give the best chain and the loss after each step."""
    if not steps:
        return chain, [loss]
    xp = backend.namespace(chain.features)
    factors = [*chain.loadings, chain.features]
    free = xp.astype(chain.features != 0, chain.features.dtype)
    sizes = [rate * float(xp.sqrt(xp.mean(factor**2))) for factor in factors]
    first, second = ([xp.zeros_like(factor) for factor in factors] for _ in range(2))
    best, lowest, losses, tiny = factors, loss, list[float](), list[float]()
    for step in range(1, steps + 2):
        slopes, now = _slopes(samples, Chain(factors[:-1], factors[-1]))
        losses.append(now)
        if now <= lowest:
            best, lowest = factors, now
        if step > steps:
            break
        tiny = tiny or [TINY * float(xp.max(xp.abs(slope))) + 1e-30 for slope in slopes]
        first = [DECAY * m + (1 - DECAY) * slope for m, slope in zip(first, slopes, strict=True)]
        second = [SQUARE_DECAY * v + (1 - SQUARE_DECAY) * slope**2 for v, slope in zip(second, slopes, strict=True)]
        moved = [
            factor - size * (m / (1 - DECAY**step)) / (xp.sqrt(v / (1 - SQUARE_DECAY**step)) + least)
            for factor, size, m, v, least in zip(factors, sizes, first, second, tiny, strict=True)
        ]
        factors = [*(xp.clip(G, min=0.0) for G in moved[:-1]), moved[-1] * free]
    return _normed(best), losses


def _slopes(samples: Samples, chain: Chain) -> tuple[list[Any], float]:
    """Give half the gradient of the squared error on observed entries for every factor, and the loss."""
    xp = backend.namespace(chain.features)
    upward = chain.upward()
    G, H = chain.loadings[0], upward[0]
    swept = samples.sweep(H, G, _pulled)
    through = xp.astype(gram(G), H.dtype) @ H - swept.image
    slopes = list(swept.more)
    for loading, above in zip(chain.loadings[1:], upward[1:], strict=True):
        slopes.append(through @ above.T)
        through = loading.T @ through
    return [*slopes, through], swept.loss


def _pulled(P: Any, Q: Any, before: Any, kept: Any) -> tuple[Any, Any, Any]:
    """Leave the coefficients, and give half the gradient for them."""
    xp = backend.namespace(before)
    return before, before, before @ xp.astype(Q, before.dtype) - P


def _normed(factors: Sequence[Any]) -> Chain:
    """Move the norms of the columns of every loading into the factor above it."""
    xp = backend.namespace(factors[-1])
    loadings, norms = list[Any](), None
    for factor in factors[:-1]:
        scaled = factor if norms is None else norms[:, None] * factor
        norms = xp.linalg.vector_norm(scaled, axis=0)
        loadings.append(scaled / xp.where(norms > 0, norms, xp.ones_like(norms)))
    return Chain(loadings, factors[-1] if norms is None else norms[:, None] * factors[-1])
