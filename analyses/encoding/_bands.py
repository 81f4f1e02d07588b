"""Band weights and penalties of each unit by cross-validation, on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurointerp.analyses.encoding._errors import by_unit
from neurointerp.analyses.encoding._search import choose
from neurointerp.backend import like, to_numpy
from neurointerp.least_squares import Moments, column_mean, decompose, moments, rows_of, weights
from neurointerp.split import Fold

FLOOR = 1e-6
"""Least share of a band from which its penalty is refined."""


class Banded(NamedTuple):
    """The best of a search.

    Attributes
    ----------
    error
        (unit), squared error summed over folds.
    alpha
        (unit), the penalty of all bands before it is divided by their shares.
    share
        (unit, band).
    """

    error: NDArray[np.float64]
    alpha: NDArray[np.float64]
    share: NDArray[np.float64]


def shares(bands: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw band weights that sum to 1: equal ones first, then each band alone, then Dirichlet, sparse and even."""
    first = [np.full(bands, 1.0 / bands), *np.eye(bands)] if bands > 1 else [np.ones(1)]
    concentration = [0.1, 1.0]
    rest = [rng.dirichlet(np.full(bands, concentration[i % 2])) for i in range(max(draws - len(first), 0))]
    return np.stack([*first, *rest][: max(draws, 1)]) if bands > 1 else np.ones((1, 1))


def search(
    x: Any, y: Any, parent: Moments, folds: Sequence[Fold], alphas: Any, standardize: bool,
    groups: NDArray[np.int64], gammas: np.ndarray,
) -> Banded:  # fmt: skip
    """Try each set of band weights (draw, band) with each penalty, and keep each unit's best.

    The sums of a fold are the same for all draws: bands are only scaled in them. In a large problem the alphas of the
    first draw tell where those of the others may lie.
    """
    known = [moments(x, y, train, parent) for train, _ in folds]
    aims, units = None, y.shape[1]
    if len(gammas) > 1:
        aims = [by_unit(rows_of(y, test) - one.response_mean) for one, (_, test) in zip(known, folds, strict=True)]
    best = Banded(np.full(units, np.inf), np.ones(units), np.tile(gammas[0].astype(float), (units, 1)))
    for gamma in gammas:
        share = (
            None
            if len(gammas) == 1 and (gamma == 1).all() and np.size(alphas) > 1
            else (like(np.asarray(gamma, dtype=np.float64)[groups], parent.feature_mean))
        )
        start = None if np.isinf(best.error).any() else best.alpha
        found = choose(
            x, y, parent, folds, alphas, standardize, sums=known, aims=aims, share=share, bar=best.error, start=start
        )  # fmt: skip
        error = found.errors.min(axis=0)
        better = error < best.error
        best.error[better] = error[better]
        best.alpha[better] = to_numpy(found.alpha).astype(np.float64)[better]
        best.share[better] = gamma
    return best


def refit(x: Any, y: Any, sums: Moments, best: Banded, standardize: bool, groups: NDArray[np.int64]) -> tuple[Any, Any]:
    """Give weights (feature, unit) and intercepts (unit) of a training set: a decomposition for each set of shares."""
    own = np.zeros((x.shape[1], y.shape[1]), dtype=to_numpy(sums.feature_mean).dtype)
    intercept = to_numpy(sums.response_mean).copy()
    kinds, which = np.unique(best.share, axis=0, return_inverse=True)
    for index, share in enumerate(kinds):
        units = np.flatnonzero(which.ravel() == index)
        column = like(share[groups], sums.feature_mean)
        fit = decompose(x, y, sums, standardize=standardize, smallest=float(best.alpha[units].min()), share=column)
        some = fit._replace(right=fit.right[:, like(units, fit.right)])
        some = some._replace(response_mean=fit.response_mean[like(units, fit.right)])
        found, constant = weights(some, like(best.alpha[units], sums.feature_mean))
        own[:, units], intercept[units] = to_numpy(found), to_numpy(constant)
    return own, intercept


def refine(
    x: Any, y: Any, folds: Sequence[Fold], best: Banded, standardize: bool, groups: NDArray[np.int64], steps: int
) -> Banded:
    """Go down the gradient of each unit's cross-validated error in the logarithm of each band's penalty.

    In kernel form, in float64: one Cholesky factor of (sample, sample) per unit, fold and step. What is not better than
    the start is not taken.
    """
    from scipy.optimize import minimize

    parts = [_kernels(x, y, fold, standardize, groups, best.share.shape[1]) for fold in folds]
    out = Banded(best.error.copy(), best.alpha.copy(), best.share.copy())
    for unit in range(y.shape[1]):
        share = np.maximum(best.share[unit], FLOOR)
        start = np.log(best.alpha[unit] / share)
        fixed = _error(start, parts, unit)[0]  # of the share with its floor
        found = minimize(
            _error, start, args=(parts, unit), jac=True, method="L-BFGS-B", options={"maxiter": steps},
            bounds=[(one - 12, one + 12) for one in start],
        )  # fmt: skip
        if found.fun < min(fixed, best.error[unit]) * (1 - 1e-9):
            inverse = np.exp(-found.x)
            out.error[unit], out.alpha[unit] = found.fun, 1.0 / inverse.sum()
            out.share[unit] = inverse / inverse.sum()
    return out


def _kernels(x: Any, y: Any, fold: Fold, standardize: bool, groups: NDArray[np.int64], bands: int) -> Any:
    """Give the kernels (band, train, train) and (band, test, train) of a fold, and both sides' centred responses."""
    train, test = (to_numpy(rows_of(x, index)).astype(np.float64) for index in fold)
    mean = column_mean(train)
    train, test = train - mean, test - mean
    if standardize:
        scale = train.std(axis=0)
        scale[scale <= 1e-12 * np.abs(mean) + 1e-300] = 1.0
        train, test = train / scale, test / scale
    inside = np.stack([train[:, groups == b] @ train[:, groups == b].T for b in range(bands)])
    across = np.stack([test[:, groups == b] @ train[:, groups == b].T for b in range(bands)])
    known, target = (to_numpy(rows_of(y, index)).astype(np.float64) for index in fold)
    level = known.mean(axis=0)
    return inside, across, known - level, target - level


def _error(log_penalty: NDArray[np.float64], parts: Sequence[Any], unit: int) -> tuple[float, NDArray[np.float64]]:
    """Give a unit's squared error over folds and its gradient in the log penalties of the bands."""
    from scipy.linalg import cho_factor, cho_solve

    weight, error, slope = np.exp(-log_penalty), 0.0, np.zeros(len(log_penalty))
    for inside, across, known, target in parts:
        matrix = np.tensordot(weight, inside, axes=1)
        factor = cho_factor(matrix + np.eye(len(matrix)))
        dual = cho_solve(factor, known[:, unit])
        whole = np.tensordot(weight, across, axes=1)
        missed = target[:, unit] - whole @ dual
        back = cho_solve(factor, whole.T @ missed)
        error += float(missed @ missed)
        for b in range(len(weight)):  # d prediction / d log penalty = -w K_tb a + w K_t (K + 1)^-1 K_b a
            slope[b] += 2 * weight[b] * (missed @ (across[b] @ dual) - back @ (inside[b] @ dual))
    return error, slope
