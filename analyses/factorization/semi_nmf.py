"""Semi-non-negative matrix factorization with winner-take-all sparsity over units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurointerp import backend, matrix, result
from neurointerp.analyses.factorization._checks import require_count
from neurointerp.analyses.factorization._spectrum import leading
from neurointerp.errors import AnalysisError

NAME = "factorization.semi_nmf"
FLOOR = 1e-6
"""Smallest initial coefficient, ridge of the least squares and (times the mean square) floor of a divisor."""
SERIAL = 2e8
"""An iteration of fewer flops than this runs on one thread: waking others costs more than they bring."""
LLOYD_STEPS = 15


def semi_nmf(
    recording: xr.DataArray,
    rank: int,
    *,
    keep_fraction: float = 1.0,
    init: str = "random",
    max_iter: int = 2000,
    tolerance: float = 1e-7,
    patience: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Split a signed recording into signed patterns over units and how much of each is present.

    Minimise `||X - G F||^2` over `G >= 0` (sample, component) and `F` (component, unit), where each row of
    `F` has at most `ceil(keep_fraction * units)` entries that are not zero. One iteration: `F` by least
    squares; the largest entries of each of its rows kept (hard winner-take-all, signs kept); columns of `G`
    scaled to norm 1; `G` by the multiplicative update of Ding, Li and Jordan or, where `keep_fraction` is 1 and
    nothing is cut, by coordinate descent. Nothing is centred or scaled.

    Parameters
    ----------
    recording
        Any complete recording; every dim but `unit` is a sample dim.
    rank
        Number of components, at most the number of samples.
    keep_fraction
        Part of the units that a component may use, in (0, 1]. Below 1 components become identifiable, but the
        loss may rise between iterations: the best iterate is returned, not the last.
    init
        Start of `G`: `"random"`, uniform on (0, 1); `"kmeans"`, membership after 15 Lloyd steps; `"svd"`, the
        larger half (positive or negative) of each left singular vector: the other half is lost. `"svd"` does
        not depend on `seed` unless `rank` exceeds the number of units.
    max_iter
        Most iterations.
    tolerance, patience
        Stop once `patience` iterations together have lowered the best loss by no more than `tolerance`, a
        part of the sum of squares of the recording.
    seed
        Seed of the start.

    Returns
    -------
    xarray.Dataset
        - `features(component, unit)`: signed, in the units of the recording (norm = size of the component),
          by descending explained energy, the sum of squares of the component's own part of the fit.
        - `coefficients(<sample dims>, component)`: >= 0, dimensionless, unit L2 norm over all samples (a
          component that died is zero).
        - `support(component, unit)`: where `features` is not zero.
        - `loss(iteration)`: squared relative error, SSE / sum of squares, after each iteration.
        - `relative_error`: square root of the best loss.
        - `explained_variance`: 1 - SSE / sum of squares about the unit means (NaN where no unit varies).
        - `best_iteration`: label of the iteration returned.
        - `stop_reason`: `"tolerance"` or `"max_iter"`.

    Raises
    ------
    AnalysisError
        When values are missing or all zero, or an argument is out of range.
    RecordingError
        When `recording` breaks the contract.

    Notes
    -----
    Deviations from the reference code of Shafran et al.: the stopping rule is relative to the data (theirs is
    1e-4 absolute), and so is the 1e-6 under the division of the multiplicative update (times the mean square
    of the data), so that volts and microvolts give one answer. Without winner-take-all the problem is the plain
    one of Ding, Li and Jordan, where coordinate descent lowers the loss several times faster than their update.

    References
    ----------
    Ding, Li, Jordan (2010), Convex and semi-nonnegative matrix factorizations, IEEE TPAMI 32:45.
    Shafran, Geiger, Geva (2025), arXiv:2506.10920.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(60, 2)) @ np.array([[1.0, -2.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    >>> rec = ni.recording(values, modality="activations", units="1", time=np.arange(60))
    >>> res = factorization.semi_nmf(rec, 2, keep_fraction=0.5)
    >>> res.support.values.astype(int)
    array([[1, 1, 0, 0],
           [0, 0, 1, 1]])
    """
    stacked = matrix.stack(recording)
    matrix.require_complete(recording, NAME)
    X = stacked.values
    rank = require_count(rank, "rank", NAME, high=X.shape[0], why="the number of samples")
    max_iter = require_count(max_iter, "max_iter", NAME)
    patience = require_count(patience, "patience", NAME)
    kept = _kept(keep_fraction, X.shape[1])
    if init not in STARTS:
        raise AnalysisError(f"{NAME}: init is {init!r}; one of {', '.join(STARTS)} is needed")
    if not tolerance >= 0:
        raise AnalysisError(f"{NAME}: tolerance is {tolerance!r}; a number of at least 0 is needed")
    peak = float(np.abs(X).max(initial=0.0))
    if peak == 0:
        raise AnalysisError(f"{NAME}: all {X.size} values are zero; there is nothing to factor")
    scale = 2.0 ** math.frexp(peak)[1]  # exact, and keeps the squares of float32 teslas above underflow
    X = X / X.dtype.type(scale)
    with threadpool_limits(1 if 4 * X.size * rank < SERIAL else None):
        start = STARTS[init](X, rank, np.random.default_rng(seed))
        fit = _fit(X, start, kept, max_iter, tolerance, patience)
    parameters = {
        "rank": rank, "keep_fraction": keep_fraction, "init": init, "max_iter": max_iter,
        "tolerance": tolerance, "patience": patience,
    }  # fmt: skip
    return result.result(
        _variables(fit, stacked, X, scale, recording.attrs["units"]),
        analysis=NAME,
        recording=recording,
        parameters=parameters,
        seed=seed,
    )


@dataclass(frozen=True)
class _Fit:
    features: Any  # (component, unit)
    coefficients: Any  # (sample, component), columns of norm 1
    losses: list[float]
    best: int
    stop_reason: str


def _fit(X: Any, G: Any, kept: int, max_iter: int, tolerance: float, patience: int) -> _Fit:
    """Iterate from coefficients `G` and keep the best iterate. Two products with `X` per iteration."""
    power = _sum_of_squares(X)
    floor = FLOOR * power / (X.shape[0] * X.shape[1])
    losses: list[float] = []
    mark, marked, reason = math.inf, 0, "max_iter"
    lowest, best, F_best, G_best = math.inf, 0, None, None
    gram = _gram(G)
    for iteration in range(max_iter):
        F, G = _features(X, G, gram, kept)
        P, inner = X @ F.T, _gram(F.T)
        G = _multiplied(P, inner, G, floor) if kept < F.shape[1] else _descended(P, inner, G)
        gram = _gram(G)
        loss = _loss(P, G, inner, gram, power)
        losses.append(loss)
        if loss < lowest:
            lowest, best, F_best, G_best = loss, iteration, F, G
        if loss < mark - tolerance:
            mark, marked = loss, iteration
        elif iteration - marked >= patience:
            reason = "tolerance"
            break
    return _Fit(*_ordered(F_best, G_best), losses, best, reason)


def _features(X: Any, G: Any, gram: Any, kept: int) -> tuple[Any, Any]:
    """Solve for the features, keep the largest of each, and move the norms of `G` into them."""
    xp = backend.namespace(X)
    ridge = FLOOR * xp.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    F = xp.astype(xp.linalg.solve(gram + ridge, xp.astype(G.T @ X, gram.dtype)), X.dtype)
    F = _keep_largest(F, kept) if kept < F.shape[1] else F
    norms = xp.astype(xp.clip(xp.sqrt(xp.linalg.diagonal(gram)), min=1e-8), X.dtype)
    return F * norms[:, None], G / norms


def _keep_largest(F: Any, kept: int) -> Any:
    """Zero all but the `kept` largest magnitudes of each row; of equal ones the first stay."""
    xp = backend.namespace(F)
    size = xp.abs(F)
    last = xp.sort(size, axis=1)[:, F.shape[1] - kept][:, None]
    above, equal = size > last, size == last
    room = kept - xp.count_nonzero(above, axis=1)[:, None]
    winner = above | (equal & (xp.cumulative_sum(xp.astype(equal, xp.int64), axis=1) <= room))
    return xp.where(winner, F, xp.zeros_like(F))


def _multiplied(P: Any, inner: Any, G: Any, floor: float) -> Any:
    """Multiply `G` by the update of Ding, Li and Jordan (eq. 11), given `P = X F'` and `inner = F F'`."""
    xp = backend.namespace(G)
    Q = xp.astype(inner, G.dtype)
    P_plus, P_minus = (xp.abs(P) + P) / 2, (xp.abs(P) - P) / 2
    Q_plus, Q_minus = (xp.abs(Q) + Q) / 2, (xp.abs(Q) - Q) / 2
    return G * xp.sqrt((P_plus + G @ Q_minus) / (P_minus + G @ Q_plus + floor))


def _descended(P: Any, inner: Any, G: Any) -> Any:
    """Set each column of `G` in turn to its best non-negative value, the others fixed (coordinate descent)."""
    xp = backend.namespace(G)
    Q, targets = xp.astype(inner, G.dtype), P.T
    rows = xp.asarray(G.T, copy=True)
    for k in range(rows.shape[0]):
        if Q[k, k] > 0:
            rows[k, :] = xp.clip(rows[k, :] + (targets[k, :] - Q[k, :] @ rows) / Q[k, k], min=0.0)
    return rows.T


def _loss(P: Any, G: Any, inner: Any, gram: Any, power: float) -> float:
    """Give the squared relative error from `P = X F'` and the two Gram matrices."""
    xp = backend.namespace(P)
    cross, model = float(xp.sum(P * G, dtype=xp.float64)), float(xp.sum(inner * gram))
    return max(0.0, (power - 2 * cross + model) / power)


def _gram(columns: Any) -> Any:
    """Give the Gram matrix in float64: the loss is a small difference of sums of its entries."""
    xp = backend.namespace(columns)
    exact = xp.astype(columns, xp.float64)
    return exact.T @ exact


def _ordered(F: Any, G: Any) -> tuple[Any, Any]:
    """Scale the columns of `G` to norm 1 and sort by the energy that then lies in the features."""
    xp = backend.namespace(F)
    norms = xp.linalg.vector_norm(G, axis=0)
    F, G = F * norms[:, None], G / xp.where(norms > 0, norms, xp.ones_like(norms))
    order = xp.argsort(xp.linalg.vector_norm(F, axis=1), descending=True, stable=True)
    return xp.take(F, order, axis=0), xp.take(G, order, axis=1)


def _sum_of_squares(X: Any) -> float:
    xp = backend.namespace(X)
    return float(xp.sum(xp.vecdot(X, X), dtype=xp.float64))


def _random_start(X: Any, rank: int, rng: np.random.Generator) -> Any:
    return backend.like(np.maximum(rng.random((X.shape[0], rank)), FLOOR), X)


def _kmeans_start(X: Any, rank: int, rng: np.random.Generator) -> Any:
    """Give one-hot membership (floored) of k-means; an empty cluster moves to a random sample."""
    xp = backend.namespace(X)
    index = backend.like(np.arange(rank), X)
    centres = xp.take(X, backend.like(rng.choice(X.shape[0], rank, replace=False), X), axis=0)
    member = None
    for _ in range(LLOYD_STEPS):
        distance = xp.sum(centres * centres, axis=1) - 2 * (X @ centres.T)
        member = xp.astype(xp.argmin(distance, axis=1)[:, None] == index, X.dtype)
        count = xp.sum(member, axis=0)[:, None]
        spare = xp.take(X, backend.like(rng.integers(X.shape[0], size=rank), X), axis=0)
        centres = xp.where(count > 0, (member.T @ X) / xp.clip(count, min=1.0), spare)
    return xp.clip(member, min=FLOOR)


def _svd_start(X: Any, rank: int, rng: np.random.Generator) -> Any:
    """Give the larger half of each left singular vector; singular values drop out, `F` being solved first."""
    xp = backend.namespace(X)
    zero = xp.zeros(X.shape[1], dtype=xp.float64, device=X.device)
    vectors, _ = leading(X, zero, min(rank, *X.shape))
    course = X @ xp.astype(vectors.T, X.dtype)
    positive = xp.sum(course * xp.abs(course), axis=0) >= 0
    half = xp.clip(xp.where(positive, course, -course), min=0.0)
    norms = xp.linalg.vector_norm(half, axis=0)
    start = xp.clip(half / xp.where(norms > 0, norms, xp.ones_like(norms)), min=FLOOR)
    return xp.concat([start, _random_start(X, rank - start.shape[1], rng)], axis=1)


STARTS = {"random": _random_start, "kmeans": _kmeans_start, "svd": _svd_start}


def _kept(keep_fraction: float, units: int) -> int:
    if not 0 < keep_fraction <= 1:
        raise AnalysisError(f"{NAME}: keep_fraction is {keep_fraction!r}; a number in (0, 1] is needed")
    return math.ceil(keep_fraction * units * (1 - 1e-12))


def _variables(fit: _Fit, stacked: matrix.Stacked, X: np.ndarray, scale: float, units: str) -> dict[str, xr.DataArray]:
    power, mean = _sum_of_squares(X), X.mean(axis=0, dtype=np.float64)
    spread = power - X.shape[0] * float(mean @ mean)
    labels = {"component": np.arange(fit.features.shape[0]), **stacked.unit_coords}
    loss = fit.losses[fit.best]
    explained = 1 - loss * power / spread if spread > 1e-12 * power else math.nan
    return {
        "features": xr.DataArray(
            fit.features * X.dtype.type(scale),
            dims=("component", "unit"),
            coords=labels,
            attrs={"units": units},
        ),
        "coefficients": stacked.unstack(fit.coefficients, "component").assign_attrs(units="1"),
        "support": xr.DataArray(fit.features != 0, dims=("component", "unit"), coords=labels),
        "loss": xr.DataArray(fit.losses, dims="iteration", coords={"iteration": np.arange(len(fit.losses))}),
        "relative_error": xr.DataArray(loss**0.5),
        "explained_variance": xr.DataArray(explained),
        "best_iteration": xr.DataArray(fit.best),
        "stop_reason": xr.DataArray(np.array(fit.stop_reason, dtype=object)),
    }
