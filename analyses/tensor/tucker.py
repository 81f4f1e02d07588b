"""Tucker decomposition: orthonormal factors of every dim and a core that joins them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from neurointerp import backend, threads
from neurointerp.analyses.tensor._alternate import sum_of_squares
from neurointerp.analyses.tensor._decompose import FINE
from neurointerp.analyses.tensor._labelled import course_of, factor_of
from neurointerp.analyses.tensor._values import Given, count, read, require_tolerance
from neurointerp.device import computed_on, require_device, require_room
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.streaming import COPIES

NAME = "tensor.tucker"


def tucker(
    recording: Given,
    rank: int | Mapping[str, int],
    *,
    max_iter: int = 100,
    tolerance: float = 1e-7,
    device: str | None = None,
    precision: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Compress every dim of a recording to a few orthonormal directions, joined by a small core.

    Minimise `||X - G x_1 U_1 x_2 U_2 ... ||^2` over a core `G` and factors `U_n` with orthonormal columns, by
    higher-order orthogonal iteration: each factor in turn is set to the leading left singular vectors of the tensor
    projected on all the others.

    Parameters
    ----------
    recording
        As for `tensor.cp`. Missing values (NaN) are left out of the error: what stands there has no influence.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    rank
        Number of directions of every dim, or of each: `{"trial": 2, "time": 5, "unit": 8}`. At most the size of the dim
        and the product of the other ranks.
    max_iter
        Most sweeps over all factors.
    tolerance
        Stop when a sweep lowers `loss` by no more than this part of it.
    device
        Where torch works (`"cuda"`, `"cpu"`, ...); all values are copied there, and refused where what is worked on
        with them is not free. That is, at ranks far below the sizes, three times them, four where values are missing;
        of float32 values, with which a close fit goes on in float64, five and nine. None (default): numpy.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        - `factor_<dim>(<dim>, component_<dim>)` for each dim: orthonormal columns, on the recording's own coordinates;
          the larger half of each is positive.
        - `core(component_<dim>, ...)`, in the units of the recording. Its slices along each dim are orthogonal, and
          their norms descend: directions are ordered by what they carry.
        - `loss(iteration)`: squared relative error on what is observed, after each sweep; never rises. Of float32
          values it is known to about 1e-7, and where it falls below 0.01 the fit goes on in float64.
        - `relative_error`, `explained_variance`, `stop_reason`: as for `tensor.cp`.

    Raises
    ------
    AnalysisError
        When the recording has two dims, all values are zero, all values of one label are missing, or an argument is out
        of range.
    RecordingError
        When a recording breaks the contract.

    Notes
    -----
    The start is the truncated higher-order singular value decomposition, the smallest dim first. Each sweep
    contracts the largest dim once and updates the other factors from the small result. Factors are unique up to
    rotation; the order and orthogonality of the core's slices fix them, where norms differ. Where values are
    missing, each sweep works on the data completed by the model it starts from, the first one on means over the last
    dim's labels, which lowers the error on what is observed.

    References
    ----------
    Tucker (1966), Some mathematical notes on three-mode factor analysis. De Lathauwer, De Moor, Vandewalle (2000), A
    multilinear singular value decomposition; On the best rank-1 and rank-(R1, ..., RN) approximation of higher-order
    tensors. Vannieuwenhoven, Vandebril, Meerbergen (2012), A new truncation strategy for the higher-order singular
    value decomposition.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> tree = ni.synthetic.tensor_trials(rank=2, n_trials=10, n_samples=20, n_units=8)
    >>> res = tensor.tucker(tree["recordings/tensor_trials/recording"], {"trial": 1, "time": 2, "unit": 2})
    >>> dict(res.core.sizes)
    {'component_trial': 1, 'component_time': 2, 'component_unit': 2}
    """
    require_device(device, precision, NAME)
    tensor = read(recording, NAME, signed=True)
    dims = [str(dim) for dim in tensor.array.dims]
    ranks = _ranks(rank, dict(zip(dims, tensor.X.shape, strict=True)))
    count(max_iter, "max_iter", NAME)
    require_tolerance(tolerance, NAME)
    X, seen = tensor.turned
    sizes = [ranks[dims[place]] for place in tensor.order]
    with threads.for_work(4 * X.size * max(sizes)):
        if device is None:
            fit = _fit(X, seen, sizes, max_iter, tolerance)
        else:
            require_room(X.nbytes, device, NAME, copies_of(X, seen is not None, sizes))
            fit = computed_on(device, precision, _fit_on, X, seen, sizes, max_iter, tolerance)
    back = np.argsort(tensor.order)
    factors = [factor.astype(tensor.X.dtype, copy=False) for factor in fit.factors]
    variables = {
        f"factor_{dim}": factor_of(tensor.array, dim, factors[place], f"component_{dim}")
        for dim, place in zip(dims, back, strict=True)
    }
    core = fit.core.transpose(back) * tensor.X.dtype.type(tensor.scale)
    names = [f"component_{dim}" for dim in dims]
    labels = {name: np.arange(size) for name, size in zip(names, core.shape, strict=True)}
    variables["core"] = xr.DataArray(core, dims=names, coords=labels, attrs={"units": tensor.array.attrs["units"]})
    variables |= course_of(tensor, fit.losses, fit.stop_reason)
    parameters = {"rank": ranks, "max_iter": max_iter, "tolerance": tolerance, "device": device, "precision": precision}
    return result(variables, analysis=NAME, recording=tensor.source, parameters=parameters, seed=seed)


@dataclass(frozen=True)
class _Fit:
    factors: list[Any]  # (size, component of that dim), orthonormal
    core: Any
    losses: list[float]
    stop_reason: str


def _fit(X: Any, seen: Any, ranks: list[int], max_iter: int, tolerance: float) -> _Fit:
    """Iterate from the truncated higher-order SVD; the last dim of `X` should be the largest.

    Where float32 cannot tell one small loss from the next, it goes on in float64.
    """
    xp = backend.namespace(X)
    found = _iterated(X, seen, None, ranks, max_iter, tolerance)
    left = max_iter - len(found.losses)
    if X.dtype == xp.float32 and found.losses[-1] <= FINE and left:
        wide = xp.astype(X, xp.float64)
        factors, core = [xp.astype(f, xp.float64) for f in found.factors], xp.astype(found.core, xp.float64)
        more = _iterated(wide, seen, (core, factors), ranks, left, tolerance)
        losses = [max(loss, more.losses[0]) for loss in found.losses] + more.losses
        found = _Fit(more.factors, more.core, losses, more.stop_reason)
    factors, core = _ordered(found.factors, found.core)
    factors, core = [xp.astype(f, X.dtype) for f in factors], xp.astype(core, X.dtype)
    return _Fit(factors, core, found.losses, found.stop_reason)


def _fit_on(X: Any, seen: np.ndarray | None, ranks: list[int], max_iter: int, tolerance: float) -> _Fit:
    """Fit values that lie on a device; what comes back is numpy's."""
    there = None if seen is None else backend.like(seen, X)
    fit = _fit(X, there, ranks, max_iter, tolerance)
    return replace(fit, factors=[backend.to_numpy(one) for one in fit.factors], core=backend.to_numpy(fit.core))


def copies_of(X: Any, missing: bool, ranks: list[int]) -> float:
    """Give how many times the size of `X` a fit holds at its peak, itself included; `COPIES` at least.

    Beside `X` lie, of a float32 one, its float64 copy; where values are missing what is seen, `X` as completed, the
    model, and room for the squares of what that leaves; and what projections on few directions leave of all.
    """
    wide = 2 if X.dtype.itemsize == 4 else 1
    first, second, last = (ranks[mode] / X.shape[mode] for mode in (0, 1, -1))
    projected = 3 * last + first * (2 + second)  # of each a copy, for its unfolding, and the next
    held = 1 + (wide if wide > 1 else 0) + (1 / X.dtype.itemsize if missing else 0)
    return max(COPIES, float(held + wide * max(3 if missing else 1, missing + projected)))


def _iterated(X: Any, seen: Any, begun: Any, ranks: list[int], max_iter: int, tolerance: float) -> _Fit:
    """Sweep until that no longer pays, from a core and factors or, where there are none, from the truncated HOSVD.

    Where values are missing, `whole` is `X` completed; no more than it, the model and `X` are held of that size.
    """
    xp = backend.namespace(X)
    whole = X
    if seen is not None:
        whole = xp.where(seen, X, _means(X, seen) if begun is None else _expanded(*begun))
    factors = _start(whole, ranks) if begun is None else begun[1]
    power, reason = sum_of_squares(X), "max_iter"
    losses = list[float]()
    for _ in range(max_iter):
        factors, core = _sweep(whole, factors, ranks)
        if seen is None:
            loss = max(0.0, 1 - sum_of_squares(core) / power)
        else:
            whole = None  # lest three of its size lie beside `X`
            model = _expanded(core, factors)
            whole = xp.where(seen, X, model)
            model -= whole  # 0 where nothing is seen
            loss = sum_of_squares(model) / power
            del model
        losses.append(min(loss, *losses[-1:]) if losses else loss)
        if len(losses) > 1 and losses[-2] - loss <= tolerance * loss:
            reason = "tolerance"
            break
    return _Fit(factors, core, losses, reason)


def _sweep(X: Any, factors: list[Any], ranks: list[int]) -> tuple[list[Any], Any]:
    """Update every factor once, each from the tensor projected on all the others; give the core too."""
    factors = list(factors)
    last = X.ndim - 1
    small = _project(X, factors[last], last)
    for mode in range(last):
        factors[mode] = _leading(_projected(small, factors, mode), mode, ranks[mode])
    image = X
    for mode in range(last):
        image = _project(image, factors[mode], mode)
    factors[last] = _leading(image, last, ranks[last])
    return factors, _project(image, factors[last], last)


def _projected(small: Any, factors: list[Any], keep: int) -> Any:
    for mode in range(small.ndim - 1):
        if mode != keep:
            small = _project(small, factors[mode], mode)
    return small


def _project(Y: Any, factor: Any, mode: int) -> Any:
    """Contract one dim with the columns of a factor, which take its place."""
    xp = backend.namespace(Y)
    before, size, after = math.prod(Y.shape[:mode]), Y.shape[mode], math.prod(Y.shape[mode + 1 :])
    last = after == 1  # one product, not one for each row
    out = xp.reshape(Y, (before, size)) @ factor if last else factor.T @ xp.reshape(Y, (before, size, after))
    return xp.reshape(out, (*Y.shape[:mode], factor.shape[1], *Y.shape[mode + 1 :]))


def _leading(Y: Any, mode: int, rank: int) -> Any:
    """Give the leading left singular vectors of an unfolding."""
    xp = backend.namespace(Y)
    unfolded = xp.reshape(xp.moveaxis(Y, mode, 0), (Y.shape[mode], -1))
    if unfolded.shape[1] < unfolded.shape[0]:
        return xp.linalg.svd(unfolded, full_matrices=False)[0][:, :rank]
    gram = xp.astype(unfolded @ unfolded.T, xp.float64)
    return xp.astype(xp.flip(xp.linalg.eigh(gram)[1], axis=1)[:, :rank], Y.dtype)


def _start(X: Any, ranks: list[int]) -> list[Any]:
    factors = []
    for mode, rank in enumerate(ranks):
        factors.append(_leading(X, mode, rank))
        X = _project(X, factors[-1], mode)
    return factors


def _expanded(core: Any, factors: list[Any]) -> Any:
    """Give the tensor that core and factors stand for."""
    for mode, factor in enumerate(factors):
        core = _project(core, factor.T, mode)
    return core


def _ordered(factors: list[Any], core: Any) -> tuple[list[Any], Any]:
    """Rotate to the singular directions of the core's own unfoldings, signs fixed."""
    xp = backend.namespace(core)
    factors = list(factors)
    turns = [_leading(core, mode, core.shape[mode]) for mode in range(core.ndim)]
    for mode, turn in enumerate(turns):
        factor = factors[mode] @ turn
        sign = xp.where(xp.sum(factor * xp.abs(factor), axis=0) < 0, -1.0, 1.0)
        turn = turn * xp.astype(sign, turn.dtype)
        factors[mode] = factors[mode] @ turn
        core = _project(core, turn, mode)
    return factors, core


def _means(X: Any, seen: Any) -> Any:
    """Give the mean over what is seen, by label of the last of the sorted dims."""
    xp = backend.namespace(X)
    axes = tuple(range(X.ndim - 1))
    return xp.sum(X, axis=axes) / xp.astype(xp.sum(xp.astype(seen, xp.int64), axis=axes), X.dtype)


def _ranks(rank: Any, sizes: dict[str, int]) -> dict[str, int]:
    """Give the rank of every dim, or refuse one that is out of range."""
    given = dict(rank) if isinstance(rank, Mapping) else dict.fromkeys(sizes, rank)
    if set(given) != set(sizes):
        raise AnalysisError(
            f"{NAME}: rank names {', '.join(map(str, given)) or 'no dim'}; one number for each of "
            f"{', '.join(sizes)} is needed"
        )
    found = {dim: count(given[dim], f"rank of {dim!r}", NAME, high=sizes[dim], why="its size") for dim in sizes}
    for dim, size in found.items():
        others = math.prod(found.values()) // size
        if size > others:
            raise AnalysisError(
                f"{NAME}: rank of {dim!r} is {size}; no more than the product of the other ranks, {others}, can be "
                "told apart"
            )
    return found
