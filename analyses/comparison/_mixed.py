"""Linear mixed model with one random intercept, by restricted maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
LARGEST_LOG_RATIO = 18.0


@dataclass(frozen=True)
class Mixed:
    """Fixed effects and their covariance; variance between subjects and within them."""

    effects: Floats
    covariance: Floats
    subject_variance: float
    residual_variance: float


def random_intercept(values: Floats, design: Floats, subject: NDArray[np.int64]) -> Mixed:
    r"""Fit `values = design @ effects + intercept[subject] + rest` by REML.

    With :math:`\lambda` the ratio of both variances, effects and residual variance have closed forms; :math:`\lambda`
    maximises the profile likelihood :math:`-\frac12 [(n-p) \log RSS_\lambda + \log |V_\lambda| + \log
    |X'V_\lambda^{-1}X|]`, or is 0 where that is no worse (Laird, Ware 1982, Biometrics 38:963).
    """
    from scipy.optimize import minimize_scalar

    def criterion(log_ratio: float) -> float:
        return _fitted(values, design, subject, float(np.exp(log_ratio)))[0]

    best = minimize_scalar(criterion, bounds=(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO), method="bounded",
                           options={"xatol": 1e-8})  # fmt: skip
    ratio = 0.0 if _fitted(values, design, subject, 0.0)[0] <= best.fun else float(np.exp(best.x))
    _, effects, gram, residual = _fitted(values, design, subject, ratio)
    return Mixed(effects, residual * np.linalg.inv(gram), ratio * residual, residual)


def _fitted(
    values: Floats, design: Floats, subject: NDArray[np.int64], ratio: float
) -> tuple[float, Floats, Floats, float]:
    """Give the criterion (smaller is better), effects, X'V^-1 X and the residual variance at one ratio."""
    counts = np.bincount(subject)
    shrink = ratio / (1 + counts * ratio)

    def weighted(columns: Floats) -> Floats:
        sums = np.stack([np.bincount(subject, weights=one) for one in columns.T], axis=1)
        out: Floats = columns - (shrink[:, None] * sums)[subject]
        return out

    solved = weighted(design)
    gram = design.T @ solved
    effects = np.linalg.solve(gram, solved.T @ values)
    rest = values - design @ effects
    freedom = len(values) - design.shape[1]
    squares = float(rest @ weighted(rest[:, None])[:, 0])
    size = np.log1p(counts * ratio).sum() + np.linalg.slogdet(gram)[1]
    return float(freedom * np.log(max(squares, 1e-300)) + size), effects, gram, float(squares / freedom)
