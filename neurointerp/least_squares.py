"""Ridge regression for all penalties, units and folds, on plain arrays: one symmetric system per training set.

The system is `(S + alpha) z = r`. With no more features than samples, `S = X'X` and `r = X'Y` (Gram form), and those of
a fold are what the left-out samples take from the whole; else `S = XX'` and `r = Y` (kernel form). Where rounding of
`S` would reach the smallest penalty, its eigenvectors come from an SVD of `X` instead.

Arrays are numpy's or torch's. Beside them go objects with `rows(index)`, `columns(which)`, `shape` and `dtype`, whose
rows depend on those that are asked for with them (a high-pass within a fold).
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import iadd
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurointerp.backend import like, namespace
from neurointerp.errors import AnalysisError

Indices = NDArray[np.int64]
BATCH = 2000
"""Units predicted at a time."""
ROWS = 2**14
"""Samples that are copied at a time: what is new in memory is written at a fraction of the speed of what is not."""
WORTH = 1e9
"""Multiplications from which a fold is taken from the whole; below, it is summed anew, to the last bit without it."""
KEPT = 0.01
"""A fold that leaves less than this share of a sum of squares is summed anew: the difference would be rounding."""
ROUNDING = 100.0
"""A penalty (plus the least eigenvalue) this many roundings of the largest eigenvalue or smaller asks for an SVD."""


class Moments(NamedTuple):
    """Second moments of a training set about its own means; no matrices in kernel form.

    Attributes
    ----------
    train
        (sample,) int.
    feature_mean, response_mean
        (feature,), (unit,).
    power
        (unit,), sums of squares of the responses.
    gram, cross
        (feature, feature), (feature, unit) (a unit's lie together), or None.
    """

    train: Indices
    feature_mean: Any
    response_mean: Any
    power: Any
    gram: Any
    cross: Any


class Fit(NamedTuple):
    """A training set, decomposed.

    Attributes
    ----------
    values, basis
        (direction,) and (row, direction): eigenvalues and eigenvectors of the system.
    turn
        (row, direction), what takes right-hand sides to directions: the basis over the scale of features, which spares
        a scaled copy of as many numbers as there are features and units.
    right
        (row, unit), right-hand sides, in Gram form of features in their own scale.
    feature_mean, feature_scale, response_mean
        What was taken from the features and what they were then divided by; what was taken from the responses.
    rows
        (sample, feature), scaled training features in kernel form, else None.
    """

    values: Any
    basis: Any
    turn: Any
    right: Any
    feature_mean: Any
    feature_scale: Any
    response_mean: Any
    rows: Any


def moments(x: Any, y: Any, train: Indices, parent: Moments | None = None) -> Moments:
    """Sum a training set, or take from its parent's sums what it leaves out.

    Parameters
    ----------
    x, y
        (sample, feature), (sample, unit).
    train
        (sample,) int, among the parent's.
    parent
        The sums of more samples; None: there are none.
    """
    if parent is not None and parent.gram is not None and not hasattr(x, "rows"):
        found = _downdated(x, y, train, parent)
        if found is not None:
            return found
    index = train
    if x.shape[1] > len(train) or hasattr(x, "rows"):  # whose rows depend on those that are asked for with them
        x, y, index = rows_of(x, train), rows_of(y, train), np.arange(len(train))
    x_mean, y_mean = (row_mean(array, index) for array in (x, y))
    if x.shape[1] > len(train):
        return Moments(train, x_mean, y_mean, _squares(y - y_mean), None, None)
    total: list[Any] = []
    for xt, yt in zip(row_blocks(x, index), row_blocks(y, index), strict=True):
        xt, yt = xt - x_mean, yt - y_mean
        parts = [_squares(yt), xt.T @ xt, yt.T @ xt]
        total = list(map(iadd, total, parts)) if total else parts
    power, gram, cross = total
    return Moments(train, x_mean, y_mean, power, gram, cross.T)


def _downdated(x: Any, y: Any, train: Indices, parent: Moments) -> Moments | None:
    n, n_all = len(train), len(parent.train)
    n_left = n_all - n
    work = (n - n_left) * x.shape[1] * float(x.shape[1] + y.shape[1])
    if not n_left or x.shape[1] > n or work < WORTH:
        return None
    left = without(parent.train, train)
    if len(left) != n_left:
        return None  # samples that are drawn twice, or that the parent does not have
    xp, xl, yl = namespace(x), rows_of(x, left), rows_of(y, left)
    xl_mean, yl_mean = column_mean(xl), column_mean(yl)
    x_mean, y_mean = (
        (n_all / n) * whole - (n_left / n) * part
        for whole, part in ((parent.feature_mean, xl_mean), (parent.response_mean, yl_mean))
    )
    xl, yl, between = xl - xl_mean, yl - yl_mean, n * n_left / n_all
    dx, dy = x_mean - xl_mean, y_mean - yl_mean
    xl, yl = (  # what the means moved by is one more row
        xp.concat([rows, (between**0.5 * moved)[None, :]], axis=0) for rows, moved in ((xl, dx), (yl, dy))
    )
    gram = parent.gram - xl.T @ xl
    was, now = _diagonal(xp, parent.gram), _diagonal(xp, gram)
    power = parent.power - _squares(yl)
    for left_over, all_of_it in ((now, was), (power, parent.power)):
        if bool(xp.any((left_over < KEPT * all_of_it) & (all_of_it > 0))):
            return None
    cross = yl.T @ -xl  # it may be as large as all features and units together: nothing of its size beside it
    cross += parent.cross.T
    return Moments(train, x_mean, y_mean, power, gram, cross.T)


def decompose(
    x: Any, y: Any, sums: Moments, *, standardize: bool, smallest: float, share: Any | None = None,
    resolution: float | None = None,
) -> Fit:  # fmt: skip
    """Decompose a training set.

    Parameters
    ----------
    x, y, sums
        The arrays, and the sums of the training set. Without arrays (None) it must have a Gram matrix.
    standardize
        Scale features by their deviation.
    smallest
        The least penalty that will be asked for.
    share
        (feature,), >= 0: features are multiplied by the root of it, so that the penalty is divided by it.
    resolution
        Least relative step of the features, of which those that are constant have a few; default that of their dtype.
    """
    xp, n = namespace(sums.feature_mean), len(sums.train)
    step = float(xp.finfo(sums.feature_mean.dtype).eps) if resolution is None else resolution
    if sums.gram is None:
        rows = rows_of(x, sums.train) - sums.feature_mean
        scale = _shared(column_scale(xp, xp.sum(rows * rows, axis=0), n, sums.feature_mean, standardize, step), share)
        rows = rows / scale
        matrix, right = rows @ rows.T, rows_of(y, sums.train) - sums.response_mean
    else:
        rows = None
        scale = _shared(column_scale(xp, _diagonal(xp, sums.gram), n, sums.feature_mean, standardize, step), share)
        matrix, right = sums.gram, sums.cross
        if standardize or share is not None:
            matrix = matrix / scale[:, None] / scale[None, :]
    values, basis = _eigh(matrix)
    least, largest = float(values[0]), float(values[-1])
    limit = ROUNDING * float(xp.finfo(sums.feature_mean.dtype).eps) * largest
    if max(least, 0.0) + smallest < limit:
        if x is None:
            raise AnalysisError(
                f"encoding: a penalty of {smallest:.1e} is lost in the rounding of the features' Gram matrix; out of "
                f"core penalties from {limit:.1e} are needed (alphas=), or features in memory (.load())"
            )
        held = (rows_of(x, sums.train) - sums.feature_mean) / scale if rows is None else rows
        u, s, vt = xp.linalg.svd(held, full_matrices=False)
        values, basis = s * s, (vt.T if rows is None else u)
    values = xp.where(values > 0, values, xp.zeros_like(values))  # rounding makes zero eigenvalues negative
    turn = basis if rows is not None or not (standardize or share is not None) else basis / scale[:, None]
    return Fit(values, basis, turn, right, sums.feature_mean, scale, sums.response_mean, rows)


def fitted(x: Any, y: Any, train: Indices, *, standardize: bool, smallest: float) -> Fit:
    """Sum and decompose a training set, which no other is taken from."""
    return decompose(x, y, moments(x, y, train), standardize=standardize, smallest=smallest)


def probe(fit: Fit, features: Any) -> Any:
    """Give the operator (sample, row) that makes predictions for features (sample, feature) of solutions."""
    scaled = (features - fit.feature_mean) / fit.feature_scale
    return scaled if fit.rows is None else scaled @ fit.rows.T


def solve(fit: Fit, right: Any, alpha: Any) -> Any:
    """Give solutions (row, unit) for right-hand sides (row, unit) as those of the fit, and alpha (unit)."""
    return fit.basis @ ((fit.turn.T @ right) / (fit.values[:, None] + alpha[None, :]))


def weights(fit: Fit, alpha: Any) -> tuple[Any, Any]:
    """Give weights (feature, unit) in the features' own units and the intercept (unit), for alpha (unit)."""
    found = solve(fit, fit.right, alpha)
    own = (found if fit.rows is None else fit.rows.T @ found) / fit.feature_scale[:, None]
    return own, fit.response_mean - fit.feature_mean @ own


def predict(fit: Fit, features: Any, alpha: Any) -> Any:
    """Give predictions (sample, unit) for features (sample, feature), with alpha (unit)."""
    return predict_from(fit, probe(fit, features), alpha)


def predict_from(fit: Fit, operator: Any, alpha: Any) -> Any:
    """Give predictions (sample, unit) for an operator (sample, row), with alpha (unit)."""
    turned = operator @ fit.basis
    return turned @ ((fit.turn.T @ fit.right) / (fit.values[:, None] + alpha[None, :])) + fit.response_mean


def rows_of(array: Any, index: Indices) -> Any:
    """Give rows of an array, a view where they follow each other; or of what makes its rows."""
    if hasattr(array, "rows"):
        return array.rows(index)
    if index.size and index[-1] - index[0] == index.size - 1 and bool((np.diff(index) == 1).all()):
        return array[int(index[0]) : int(index[-1]) + 1]
    return array[like(index, array)]


def row_blocks(array: Any, index: Indices) -> Iterator[Any]:
    """Give rows of an array, some at a time; not of what makes its rows from all that are asked for."""
    for start in range(0, len(index), ROWS):
        yield rows_of(array, index[start : start + ROWS])


def without(index: Indices, left_out: Indices) -> Indices:
    """Give positions that are not among others; linear in them, where `np.setdiff1d` sorts."""
    out = np.zeros(int(max(index.max(initial=-1), left_out.max(initial=-1))) + 1, dtype=bool)
    out[left_out] = True
    return index[~out[index]]


def columns_of(array: Any, which: Any) -> Any:
    """Give columns of an array, or of what makes its rows."""
    return array.columns(which) if hasattr(array, "rows") else array[:, which]


def column_mean(values: Any) -> Any:
    """Give the mean of each column, summed in float64."""
    xp = namespace(values)
    return xp.astype(xp.sum(values, axis=0, dtype=xp.float64) / values.shape[0], values.dtype)


def row_mean(values: Any, index: Indices) -> Any:
    """Give the mean of each column over some rows, summed in float64."""
    xp = namespace(values)
    total = sum(xp.sum(rows, axis=0, dtype=xp.float64) for rows in row_blocks(values, index))
    return xp.astype(total / len(index), values.dtype)


def column_scale(xp: Any, power: Any, samples: int, mean: Any, standardize: bool, step: float) -> Any:
    """Give the standard deviation of each feature, or 1 where it is constant up to rounding."""
    if not standardize:
        return xp.ones_like(mean)
    scale = xp.sqrt(xp.where(power > 0, power, xp.zeros_like(power)) / samples)
    rounding = (10 * step + samples * float(np.finfo(np.float64).eps)) * xp.abs(mean)  # of a value, and of the mean
    return xp.where(scale > rounding, scale, xp.ones_like(scale))


def _shared(scale: Any, share: Any | None) -> Any:
    """Divide a scale by the root of a share; infinite where it is none, which takes the feature out."""
    if share is None:
        return scale
    xp = namespace(scale)
    some = xp.where(share > 0, share, xp.ones_like(share))
    return xp.where(share > 0, scale / xp.sqrt(some), xp.full_like(scale, xp.inf))


def _eigh(matrix: Any) -> tuple[Any, Any]:
    """Decompose by divide and conquer; scipy's is twice as fast as numpy's."""
    if isinstance(matrix, np.ndarray):
        from scipy.linalg import eigh

        values, basis = eigh(matrix, driver="evd", check_finite=False)
        return values, basis
    found = namespace(matrix).linalg.eigh(matrix)
    return found[0], found[1]


def _diagonal(xp: Any, matrix: Any) -> Any:
    return xp.linalg.diagonal(matrix)


def _squares(values: Any) -> Any:
    """Give the sum of squares of each column."""
    if isinstance(values, np.ndarray):
        return np.einsum("nt,nt->t", values, values)
    return namespace(values).sum(values * values, axis=0)
