"""Non-negative canonical polyadic (CP) decomposition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from numbers import Integral
from operator import mul
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurointerp import backend, result
from neurointerp.errors import AnalysisError
from neurointerp.schema import check

NAME = "tensor.nonnegative_cp"
SERIAL = 2e8
"""A sweep of fewer flops than this runs on one thread: waking others costs more than they bring."""
INNER = 2
"""Passes over the other factors for each contraction of the last."""
TINY = 1e-30


def nonnegative_cp(
    recording: xr.DataArray | xr.Dataset,
    rank: int,
    *,
    max_iter: int = 500,
    tolerance: float = 1e-7,
    init: str = "random",
    restarts: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    """Split a non-negative recording into components with one non-negative factor per dim.

    Minimise `||X - sum_r w_r a_r (x) b_r (x) ... ||^2` with every factor >= 0, by hierarchical alternating
    least squares (HALS): each column of each factor in turn is set to its best value, the others fixed.

    Parameters
    ----------
    recording
        Non-negative, of three or more dims, such as (trial, time, unit) or (subject, trial, time, unit);
        `align.windows` makes one of a continuous recording. Or the result of `connectivity.affinity`. Missing values
        (NaN) are left out of the error: what stands there has no influence.
    rank
        Number of components; it may exceed the size of a dim.
    max_iter
        Most sweeps over all factors.
    tolerance
        Stop when a plain sweep lowers `loss` by no more than this.
    init
        `"random"`, uniform on (0, 1); or `"svd"`, the larger half (positive or negative) of each leading
        singular vector of each unfolding, which does not depend on `seed` unless `rank` exceeds a dim.
    restarts
        Number of starts; the one that ends with the smallest error is kept.
    seed
        Seed of the first start; the next ones follow. Different starts can end in different minima.

    Returns
    -------
    xarray.Dataset
        - `factor_<dim>(<dim>, component)` for each dim: >= 0, dimensionless, columns of norm 1.
        - `weight(component)`: the norm of each component, descending, in the units of the recording.
        - `loss(iteration)`: squared relative error, SSE / sum of squares of what is observed, after each sweep of the
          start that was kept; never rises.
        - `relative_error`: square root of the last loss. `restart_error(restart)`: the same of every start,
          ascending; their seeds are the coordinate `restart_seed`.
        - `explained_variance`: 1 - SSE / sum of squares about the means of the last dim (NaN where nothing varies).
        - `stop_reason`: `"tolerance"` or `"max_iter"`.

    Raises
    ------
    AnalysisError
        When the recording has two dims, values are negative or all zero, all values of one label (a unit, a pair, a
        trial) are missing, or an argument is out of range.
    RecordingError
        When `recording` breaks the contract.

    Notes
    -----
    The largest dim is contracted once per sweep and the other factors are updated twice from the small
    result, so that a sweep reads the data twice. Between sweeps the factors are extrapolated as in Ang and
    Gillis; a sweep that does not pay is followed by a plain one, and only a plain sweep can end the fit.

    Where values are missing each sweep works on the data completed by the model it starts from, which lowers the
    error on what is observed (Dempster, Laird and Rubin); a sweep then costs about twice as much.

    References
    ----------
    Cichocki, Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor factorizations.
    Phan, Tichavsky, Cichocki (2013), Fast alternating LS algorithms for high order CP decompositions.
    Ang, Cohen, Gillis, Hien (2021), Accelerating block coordinate descent for nonnegative tensor
    factorization. Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> rng = np.random.default_rng(0)
    >>> values = np.einsum("ir,jr,kr->ijk", *(rng.random((size, 2)) for size in (5, 20, 4)))
    >>> rec = ni.recording(
    ...     values, modality="calcium", units="1", sampling_rate=1.0, dims=("trial", "time", "unit")
    ... )
    >>> res = tensor.nonnegative_cp(rec, 2)
    >>> res.factor_time.dims, bool(res.relative_error < 0.01)
    (('time', 'component'), True)
    """
    tensor = _tensor(recording)
    X = _values(tensor)
    scale = 2.0 ** math.frexp(float(np.nanmax(X)))[1]  # exact, and keeps squares of float32 away from underflow
    X = X / X.dtype.type(scale)
    limit = X.size // max(X.shape)
    rank = _count(rank, "rank", limit)
    max_iter, restarts = _count(max_iter, "max_iter", None), _count(restarts, "restarts", None)
    if init not in STARTS:
        raise AnalysisError(f"{NAME}: init is {init!r}; one of {', '.join(STARTS)} is needed")
    if not tolerance >= 0:
        raise AnalysisError(f"{NAME}: tolerance is {tolerance!r}; a number of at least 0 is needed")
    order = np.argsort(X.shape, kind="stable")
    turned = np.ascontiguousarray(X.transpose(order))
    missing = np.isnan(turned)
    seen = ~missing if missing.any() else None
    turned = np.where(missing, X.dtype.type(0), turned)
    with threadpool_limits(1 if 4 * X.size * rank < SERIAL else None):
        fits = []
        for each in range(seed, seed + restarts):
            start = _balanced(turned, STARTS[init](turned, rank, np.random.default_rng(each)))
            fits.append(_fit(turned, start, max_iter, tolerance, seen))
    errors = np.array([fit.losses[-1] ** 0.5 for fit in fits])
    ranking = np.argsort(errors, kind="stable")
    fit = fits[ranking[0]]
    variables = _variables(tensor, X, fit, [fit.factors[place] for place in np.argsort(order)], scale)
    labels = {"restart": np.arange(restarts), "restart_seed": ("restart", seed + ranking)}
    variables["restart_error"] = xr.DataArray(errors[ranking], dims="restart", coords=labels)
    parameters = {"rank": rank, "max_iter": max_iter, "tolerance": tolerance, "init": init, "restarts": restarts}
    return result.result(variables, analysis=NAME, recording=recording, parameters=parameters, seed=seed)


@dataclass(frozen=True)
class _Fit:
    factors: list[Any]  # (size, component) each, columns of norm 1
    weight: Any
    losses: list[float]
    stop_reason: str


def _fit(X: Any, factors: list[Any], max_iter: int, tolerance: float, seen: Any = None) -> _Fit:
    """Sweep from `factors`, extrapolating while it pays; the last dim of `X` should be the largest.

    Where `seen` is given and False, `X` is unknown and must be 0.
    """
    xp = backend.namespace(X)
    power = _sum_of_squares(X)
    start, plain, loss, losses = factors, True, math.inf, []
    step, most = 0.5, 1.0
    reason = "max_iter"
    for _ in range(max_iter):
        swept, reached = _sweep(X, start, power) if seen is None else _masked_sweep(X, seen, start, power)
        previous, gain = factors, loss - reached
        if gain > 0:
            factors, loss = swept, reached
        losses.append(loss)
        if gain > tolerance:
            start = [xp.clip(new + step * (new - old), min=0.0) for new, old in zip(swept, previous, strict=True)]
            plain, step, most = False, min(1.05 * step, most), min(1.01 * most, 1.0)
        elif plain:
            reason = "tolerance"
            break
        else:
            start, plain, step, most = factors, True, step / 1.5, step
    return _Fit(*_ordered(factors), losses, reason)


def _sweep(X: Any, factors: list[Any], power: float) -> tuple[list[Any], float]:
    """Update every factor once (all but the last: twice) with two products that touch the whole tensor."""
    xp = backend.namespace(X)
    flat = xp.reshape(X, (-1, X.shape[-1]))
    *outer, last = factors
    small = xp.reshape(last.T @ flat.T, (-1, *X.shape[:-1]))
    gram = last.T @ last
    for _ in range(INNER):
        for mode in range(len(outer)):
            others = outer[:mode] + outer[mode + 1 :]
            outer[mode] = _hals(outer[mode], _contract(small, outer, mode), gram * _gram(others))
    norms = [_norms(factor) for factor in outer]
    outer = [factor / norm for factor, norm in zip(outer, norms, strict=True)]
    image, gram = flat.T @ reduce(_khatri_rao, outer), _gram(outer)
    last = _hals(last * reduce(mul, norms), image, gram)
    cross = float(xp.sum(image * last, dtype=xp.float64))
    model = float(xp.sum(gram * (last.T @ last), dtype=xp.float64))
    return [*outer, last], max(0.0, (power - 2 * cross + model) / power)


def _masked_sweep(X: Any, seen: Any, factors: list[Any], power: float) -> tuple[list[Any], float]:
    """Sweep over `X` completed by the model; the loss is that of what is seen."""
    xp = backend.namespace(X)
    swept, _ = _sweep(xp.where(seen, X, _model(factors, X.shape)), factors, power)
    residual = xp.where(seen, X - _model(swept, X.shape), xp.zeros_like(X))
    return swept, _sum_of_squares(residual) / power


def _model(factors: list[Any], shape: tuple[int, ...]) -> Any:
    xp = backend.namespace(*factors)
    return xp.reshape(reduce(_khatri_rao, factors[:-1]) @ factors[-1].T, shape)


def _hals(factor: Any, image: Any, gram: Any) -> Any:
    """Set each column of `factor` to its best non-negative value, given the MTTKRP and the Gram matrix."""
    xp = backend.namespace(factor)
    rows, images, zero = xp.asarray(factor.T, copy=True), image.T, xp.zeros_like(factor[0, 0])
    for r in range(gram.shape[0]):
        step = (images[r, :] - gram[r, :] @ rows) / (gram[r, r] + TINY)
        rows[r, :] = xp.maximum(rows[r, :] + step, zero)
    return rows.T


def _contract(small: Any, outer: list[Any], mode: int) -> Any:
    """Contract (component, *sizes) with the columns of every factor but `mode`: (size of mode, component)."""
    xp = backend.namespace(small)
    rank = small.shape[0]
    for factor in reversed(outer[mode + 1 :]):
        small = xp.reshape(small, (rank, -1, factor.shape[0])) @ factor.T[:, :, None]
    for factor in outer[:mode]:
        small = factor.T[:, None, :] @ xp.reshape(small, (rank, factor.shape[0], -1))
    return xp.reshape(small, (rank, -1)).T


def _gram(factors: list[Any]) -> Any:
    return reduce(mul, (factor.T @ factor for factor in factors))


def _khatri_rao(left: Any, right: Any) -> Any:
    xp = backend.namespace(left)
    return xp.reshape(left[:, None, :] * right[None, :, :], (-1, left.shape[1]))


def _norms(factor: Any) -> Any:
    """Give the norms of columns, 1 for a zero column: it stays as it is and may come back to life."""
    xp = backend.namespace(factor)
    norms = xp.linalg.vector_norm(factor, axis=0)
    return xp.where(norms > 0, norms, xp.ones_like(norms))


def _ordered(factors: list[Any]) -> tuple[list[Any], Any]:
    """Give columns of norm 1 and the weights, largest first; a component that died has weight 0."""
    xp = backend.namespace(*factors)
    weight = reduce(mul, (xp.linalg.vector_norm(factor, axis=0) for factor in factors))
    order = xp.argsort(weight, descending=True, stable=True)
    return [xp.take(f / _norms(f), order, axis=1) for f in factors], xp.take(weight, order, axis=0)


def _sum_of_squares(X: Any) -> float:
    xp = backend.namespace(X)
    return float(xp.sum(xp.vecdot(X, X), dtype=xp.float64))


def _balanced(X: Any, factors: list[Any]) -> list[Any]:
    """Scale the start as sweeps leave it, columns of norm 1 but in the last, with a model as large as `X`."""
    xp = backend.namespace(X)
    norms = [_norms(factor) for factor in factors[:-1]]
    outer = [factor / norm for factor, norm in zip(factors[:-1], norms, strict=True)]
    last = factors[-1] * reduce(mul, norms)
    model = float(xp.sum(_gram([*outer, last]), dtype=xp.float64))
    return [*outer, last * math.sqrt(_sum_of_squares(X) / model)]


def _random_start(X: Any, rank: int, rng: np.random.Generator) -> list[Any]:
    return [backend.like(rng.random((size, rank)), X) for size in X.shape]


def _svd_start(X: Any, rank: int, rng: np.random.Generator) -> list[Any]:
    """Give the larger half of each leading singular vector of each unfolding; random beyond its size."""
    xp = backend.namespace(X)
    factors = []
    for mode, size in enumerate(X.shape):
        axes = [axis for axis in range(X.ndim) if axis != mode]
        gram = xp.astype(xp.tensordot(X, X, axes=(axes, axes)), xp.float64)
        vectors = xp.flip(xp.linalg.eigh(gram)[1], axis=1)[:, :rank]
        positive = xp.sum(vectors * xp.abs(vectors), axis=0) >= 0
        half = xp.astype(xp.clip(xp.where(positive, vectors, -vectors), min=0.0), X.dtype)
        spare = backend.like(rng.random((size, max(rank - size, 0))), X)
        factors.append(xp.concat([half, spare], axis=1))
    return factors


STARTS = {"random": _random_start, "svd": _svd_start}


def _tensor(recording: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give the array to factor: a recording, or the affinity of a result."""
    if isinstance(recording, xr.Dataset):
        if "affinity" not in recording:
            raise AnalysisError(
                f"{NAME}: a recording or the result of connectivity.affinity is needed, found a Dataset of "
                f"{', '.join(map(str, recording.data_vars)) or 'nothing'}"
            )
        return recording["affinity"]
    check(recording)
    return recording


def _values(recording: xr.DataArray) -> np.ndarray:
    """Give the tensor as a non-negative float array, missing values NaN, or refuse it."""
    if recording.ndim < 3:
        raise AnalysisError(
            f"{NAME}: dims are {tuple(recording.dims)}, three or more are needed; cut a continuous recording into "
            "trials with neurointerp.align.windows(recording, length)"
        )
    X = np.asarray(recording.values)
    X = X if X.dtype == np.float32 else X.astype(np.float64)
    _require_some(recording, np.isnan(X))
    negative = int((X < 0).sum())
    if negative:
        raise AnalysisError(
            f"{NAME}: {negative} of {X.size} values are negative (least {np.nanmin(X):g}); rectify "
            "(recording.clip(min=0)), take a power or an affinity, or use factorization.semi_nmf on signed data"
        )
    if not np.nansum(X) > 0:
        raise AnalysisError(f"{NAME}: all {X.size} values are zero; there is nothing to factor")
    return X


def _require_some(recording: xr.DataArray, missing: np.ndarray) -> None:
    """Refuse labels of which every value is missing: nothing says what their factor is."""
    if not missing.any():
        return
    for axis, dim in enumerate(map(str, recording.dims)):
        empty = missing.all(axis=tuple(other for other in range(missing.ndim) if other != axis))
        if empty.any():
            where = recording[dim].values[int(empty.argmax())] if dim in recording.coords else int(empty.argmax())
            raise AnalysisError(
                f"{NAME}: {int(missing.sum())} values are missing, and all of {int(empty.sum())} of {empty.size} "
                f"labels of {dim!r} (first {where!r}): drop those (.isel({dim}=keep))"
            )


def _count(value: Any, name: str, high: int | None) -> int:
    span = "of at least 1" if high is None else f"from 1 to {high} (all sizes but the largest, multiplied)"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < 1 or (high is not None and value > high):
        raise AnalysisError(f"{NAME}: {name} is {value!r}; a whole number {span} is needed")
    return int(value)


def _variables(
    recording: xr.DataArray, X: np.ndarray, fit: _Fit, factors: list[np.ndarray], scale: float
) -> dict[str, xr.DataArray]:
    component = {"component": np.arange(fit.weight.size)}
    variables = {}
    for dim, factor in zip(map(str, recording.dims), factors, strict=True):
        coords = {name: c for name, c in recording.coords.items() if c.dims == (dim,)}
        variables[f"factor_{dim}"] = xr.DataArray(
            factor, dims=(dim, "component"), coords={**coords, **component}, attrs={"units": "1"}
        )
    rows = X.reshape(-1, X.shape[-1])
    seen = ~np.isnan(rows)
    rows = np.where(seen, rows, X.dtype.type(0))
    count = seen.sum(axis=0)
    mean = rows.sum(axis=0, dtype=np.float64) / count
    power = _sum_of_squares(rows)
    spread = power - float(count @ mean**2)
    loss = fit.losses[-1]
    explained = 1 - loss * power / spread if spread > 1e-12 * power else math.nan
    variables["weight"] = xr.DataArray(
        fit.weight * X.dtype.type(scale),
        dims="component",
        coords=component,
        attrs={"units": recording.attrs["units"]},
    )
    variables["loss"] = xr.DataArray(fit.losses, dims="iteration", coords={"iteration": np.arange(len(fit.losses))})
    variables["relative_error"] = xr.DataArray(loss**0.5)
    variables["explained_variance"] = xr.DataArray(explained)
    variables["stop_reason"] = xr.DataArray(np.array(fit.stop_reason, dtype=object))
    return variables
