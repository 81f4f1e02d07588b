"""The penalty of each unit by cross-validation, on plain arrays; float32 near ties are settled in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neurointerp.analyses.encoding._errors import Tested, by_unit, dots, downhill, refined, squares
from neurointerp.analyses.encoding._sums import errors_from_sums, is_tall
from neurointerp.backend import like, namespace, to_numpy
from neurointerp.least_squares import (
    BATCH,
    ROWS,
    WORTH,
    Fit,
    Moments,
    columns_of,
    decompose,
    moments,
    probe,
    rows_of,
)
from neurointerp.split import Fold

COARSE = 0.07
"""Relative error of the shrinkages that the first look at a large problem interpolates between penalties."""
ROUGH = 0.2
"""The same, of the first fold, where it only tells where to begin."""
TIE = 2e-6
"""float32 errors this close, in parts of the responses' sum of squares, are computed again in float64."""


class Chosen(NamedTuple):
    """What a search gives: alpha (unit) and the squared error (alpha, unit) that it was chosen by, in float64."""

    alpha: Any
    errors: np.ndarray


def choose(
    x: Any, y: Any, parent: Moments, folds: Sequence[Fold], alphas: Any, standardize: bool, *,
    sums: Sequence[Moments] | None = None, aims: Sequence[Any] | None = None, share: Any | None = None,
    bar: np.ndarray | None = None, start: np.ndarray | None = None,
) -> Chosen:  # fmt: skip
    """Give each unit the alpha with the smallest squared error, summed over (train, test) folds.

    Parameters
    ----------
    x, y
        (sample, feature), (sample, unit).
    parent
        Sums of all samples that folds train on.
    folds
        (train, test) int arrays.
    alphas
        (alpha,) of the library of `x`.
    standardize
        Scale features by their deviation over the training samples.
    sums
        Those of the folds' training sets, where they are known.
    aims
        (test sample, unit) of each fold, responses about the training means, where they are known.
    share
        (feature,): features are multiplied by its root. Shares compete by their errors, so that these are computed
        for a single alpha too. In a large problem only on the way downhill from a start, and infinite elsewhere; near
        ties of alphas are left as they are.
    bar
        (unit), with shares: errors that will hardly be below it are not followed.
    start
        (unit), with shares: alphas that were best for others; the first fold tells where to begin if there are none.
    """
    grid = to_numpy(alphas).astype(np.float64)
    errors = np.zeros((grid.size, y.shape[1]))
    if grid.size == 1 and share is None:
        return Chosen(alphas[:1] + 0 * parent.response_mean, errors)
    if share is None and is_tall(x, parent, folds):
        errors = errors_from_sums(x, y, parent, folds, grid, standardize)
        return Chosen(like(lowest(errors, grid), parent.response_mean), errors)
    power = np.zeros(y.shape[1])
    fits: list[Fit] = []
    kept: list[Tested] = []
    coarse = grid.size > 1 and grid.size * len(folds) * float(np.prod(y.shape)) * min(x.shape) > WORTH
    nodes = np.arange(grid.size)
    known = sums if sums is not None else (moments(x, y, train, parent) for train, _ in folds)
    for number, (one, (_, test)) in enumerate(zip(known, folds, strict=True)):
        fit = decompose(x, y, one, standardize=standardize, smallest=float(grid.min()), share=share)
        operator = probe(fit, rows_of(x, test))
        target = rows_of(y, test) - fit.response_mean if aims is None else aims[number]
        nodes = pick_nodes(fit, grid, COARSE if share is None else ROUGH) if coarse and not fits else nodes
        if not coarse or share is None:
            errors += fold_errors(fit, operator, target, grid, nodes)
        elif start is None and not fits:  # half of one test set tells where to begin
            errors += fold_errors(fit, operator[::2], target[::2], grid, nodes)
        power += squares(target)
        fits.append(fit)
        if coarse:
            kept.append(Tested(fit, operator @ fit.basis, by_unit(fit.right).T, by_unit(target).T))
    if coarse and share is not None:
        start = lowest(errors, grid) if start is None else start
        errors = downhill(kept, grid, start, np.inf if bar is None else bar, power)
        return Chosen(like(lowest(errors, grid), parent.response_mean), errors)
    if coarse:
        errors = refined(errors, power, kept, grid, nodes)
    if str(x.dtype).endswith("float32"):
        _settle(errors, power, x, y, folds, fits, grid)
    return Chosen(like(lowest(errors, grid), parent.response_mean), errors)


def lowest(errors: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Give the alpha of the lowest error (alpha, unit); of equals, the largest alpha."""
    order = np.argsort(-alphas)
    found: np.ndarray = alphas[order][errors[order].argmin(axis=0)]
    return found


def fold_errors(
    fit: Fit, operator: Any, target: Any, alphas: np.ndarray, nodes: np.ndarray | None = None
) -> np.ndarray:
    """Give the summed squared error (alpha, unit), in float64, of predicting targets (sample, unit).

    Predictions are made at `nodes`, positions in `alphas` (default: all); at the others they are combinations of those,
    and their errors come from the products of the nodes' predictions with each other and with the target.
    """
    xp = namespace(operator)
    nodes = np.arange(alphas.size) if nodes is None else nodes
    mixing = _mixing(fit, alphas, nodes)
    turned = operator @ fit.basis
    samples, units = target.shape
    scaled = [turned / (fit.values + float(alphas[node])) for node in nodes]
    fused = units > len(nodes) * samples  # then few rows per node: turn the operators once, not all targets
    stacked = xp.concat([one @ fit.turn.T for one in scaled] if fused else scaled, axis=0)
    out = np.empty((alphas.size, units))
    for start in range(0, units, BATCH):
        part = slice(start, start + BATCH)
        right = fit.right[:, part] if fused else fit.turn.T @ fit.right[:, part]
        seen = xp.reshape(stacked @ right, (len(nodes), samples, -1))
        aim = target[:, part]
        if len(nodes) == alphas.size:
            out[:, part] = np.stack([squares(aim - one) for one in seen])
            continue
        linear = np.stack([dots(one, aim) for one in seen])
        square = np.empty((len(nodes), *linear.shape))
        for i in range(len(nodes)):
            for j in range(i, len(nodes)):
                square[i, j] = square[j, i] = dots(seen[i], seen[j])
        quadratic = np.einsum("ijt,ia,ja->at", square, mixing, mixing, optimize=True)
        out[:, part] = squares(aim)[None] - 2 * mixing.T @ linear + quadratic
    return out


def nested(
    x: Any, y: Any, whole: Moments, outer: Sequence[Fold], inner: Sequence[Sequence[Fold]], alphas: Any,
    standardize: bool,
) -> tuple[list[Any], np.ndarray, Chosen]:  # fmt: skip
    """Predict each outer test set by a model whose scaling, weights and alphas come from its training set.

    Parameters
    ----------
    x, y
        (sample, feature) and (sample, unit).
    whole
        Sums of all samples that any fold trains on.
    outer, inner
        (train, test) int arrays per fold; per outer fold, a list of such pairs inside its training set.
    alphas
        (alpha,).
    standardize
        Scale features by their deviation over the training samples.

    Returns
    -------
    predictions
        (test sample, unit) per outer fold.
    alpha
        (fold, unit), those that the predictions were made with.
    chosen
        For a model of all data: alpha (unit) and error (alpha, unit) over the outer folds.
    """
    predictions, used = [], []
    for (train, test), folds in zip(outer, inner, strict=True):
        sums = moments(x, y, train, whole)
        alpha = choose(x, y, sums, folds, alphas, standardize).alpha
        fit = decompose(x, y, sums, standardize=standardize, smallest=float(alphas.min()))
        held = rows_of(x, test)
        predictions.append(in_batches(fit, held, alpha))
        used.append(to_numpy(alpha).astype(np.float64))
    return predictions, np.stack(used), choose(x, y, whole, outer, alphas, standardize)


def in_batches(fit: Fit, features: Any, alpha: Any) -> Any:
    """Predict (sample, unit), some samples and units at a time."""
    from array_api_compat import device

    xp, units = namespace(features), alpha.shape[0]
    out = xp.empty((features.shape[0], units), dtype=features.dtype, device=device(features))
    for start in range(0, features.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        turned = probe(fit, features[rows]) @ fit.basis
        for first in range(0, units, BATCH):
            part = slice(first, first + BATCH)
            known = (fit.turn.T @ fit.right[:, part]) / (fit.values[:, None] + alpha[None, part])
            out[rows, part] = turned @ known + fit.response_mean[part]
    return out


def pick_nodes(fit: Fit, alphas: np.ndarray, tolerance: float) -> np.ndarray:
    """Pick penalties whose shrinkages span those of all: `l / (l + a) = sum_m C[m, a] l / (l + a_m)`, nearly.

    Columns of the Cauchy matrix `l / (l + a)`, one per penalty, are nearly dependent: a pivoted QR finds a few that
    the others are combinations of, to `tolerance` in the norm over eigenvalues.
    """
    from scipy.linalg import qr

    shrinkage, norm = _shrinkage(fit, alphas)
    _, triangle, order = qr(shrinkage / norm, mode="economic", pivoting=True)
    size = np.abs(np.diagonal(triangle))
    count = max(1, int((size > tolerance * size[0]).sum()))
    ends = [alphas.argmin(), alphas.argmax()]  # nothing is extrapolated
    found: np.ndarray = np.union1d(order[:count], ends)
    return found if found.size < alphas.size - 1 else np.arange(alphas.size)


def _mixing(fit: Fit, alphas: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Give the combination (node, alpha) of shrinkages at nodes that comes closest to that of each penalty."""
    from scipy.linalg import lstsq

    if nodes.size == alphas.size:
        return np.eye(alphas.size)
    shrinkage, norm = _shrinkage(fit, alphas)
    found: np.ndarray = lstsq(shrinkage[:, nodes] / norm[nodes], shrinkage)[0] / norm[nodes][:, None]
    found[:, nodes] = np.eye(nodes.size)
    return found


def _shrinkage(fit: Fit, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = to_numpy(fit.values).astype(np.float64)[:, None]
    shrinkage = values / (values + alphas[None])
    norm = np.linalg.norm(shrinkage, axis=0)
    return shrinkage, np.where(norm > 0, norm, 1.0)


def _settle(
    errors: np.ndarray, power: np.ndarray, x: Any, y: Any, folds: Sequence[Fold], fits: Sequence[Fit],
    alphas: np.ndarray,
) -> None:  # fmt: skip
    """Compute errors (alpha, unit) of near ties again in float64, in place.

    Solutions of the float32 decomposition are corrected by their float64 residuals (iterative refinement).
    """
    close = (errors <= errors.min(axis=0) + TIE * power) & np.isfinite(errors)
    units = np.flatnonzero(close.sum(axis=0) > 1)
    if not units.size:
        return
    xp = namespace(fits[0].basis)
    near, found = close[:, units], np.zeros((alphas.size, units.size))
    some = columns_of(y, like(units, fits[0].basis))
    for (train, test), fit in zip(folds, fits, strict=True):
        rows = xp.astype(rows_of(x, train), xp.float64)
        sides = [xp.astype(rows_of(some, index), xp.float64) for index in (train, test)]
        mean, level = xp.mean(rows, axis=0), xp.mean(sides[0], axis=0)
        scale = xp.astype(fit.feature_scale, xp.float64)
        rows = (rows - mean) / scale
        held = (xp.astype(rows_of(x, test), xp.float64) - mean) / scale
        dual, right = fit.rows is not None, sides[0] - level
        outer = rows if dual else rows.T
        right, operator = (right, held @ rows.T) if dual else (rows.T @ right, held)
        matrix = outer @ outer.T if near.sum() > 2 * min(rows.shape) else None
        for index, alpha in enumerate(alphas):
            which = np.flatnonzero(near[index])
            if which.size:
                aim = right[:, like(which, right)]
                answer = _solved(fit, (outer, matrix), aim, float(alpha))
                missed = (sides[1] - level)[:, like(which, right)] - operator @ answer
                found[index, which] += squares(missed)
    errors[:, units] = np.where(near, found, np.inf)


def _solved(fit: Fit, system: tuple[Any, Any], right: Any, alpha: float) -> Any:
    """Solve `(A A' + alpha) z = right` in float64, `A A'` given too where many ask; float32 is the preconditioner."""
    xp, (factor, matrix) = namespace(right), system
    penalty = xp.full_like(right[0, :], alpha)
    low = fit.basis.dtype
    found, left = xp.zeros_like(right), right
    for _ in range(3):
        size = xp.clip(xp.max(xp.abs(left), axis=0), min=1e-300)
        turned = fit.basis.T @ xp.astype(left / size, low)
        step = fit.basis @ (turned / (fit.values[:, None] + xp.astype(penalty, low)[None, :]))
        found = found + xp.astype(step, xp.float64) * size
        applied = factor @ (factor.T @ found) if matrix is None else matrix @ found
        left = right - applied - alpha * found
    return found
