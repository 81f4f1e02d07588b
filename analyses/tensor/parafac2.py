"""PARAFAC2: components shared by subjects or trials of unequal length, each with its own time courses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import backend, threads
from neurointerp.analyses.tensor._alternate import PASSES, Fit, Problem, fit
from neurointerp.analyses.tensor._labelled import restarts_of
from neurointerp.analyses.tensor._rules import SIGNED
from neurointerp.analyses.tensor._slices import Slices, slices_of
from neurointerp.analyses.tensor._values import Given, count, require_tolerance
from neurointerp.device import require_device, require_room, working_on
from neurointerp.errors import AnalysisError
from neurointerp.result import result

NAME = "tensor.parafac2"
Array = NDArray[np.float64]


def parafac2(
    recording: Given,
    rank: int,
    *,
    dim: str = "time",
    max_iter: int = 1000,
    tolerance: float = 1e-7,
    restarts: int = 1,
    device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Split subjects or trials of unequal length into components that share one dim.

    Minimise the sum over k of `||X_k - P_k H diag(d_k) V'||^2`, where `P_k` has orthonormal columns: the factor
    `P_k H` of the ragged dim is each slice's own, but its Gram matrix `H'H` is the same in all; that is what makes
    components unique.

    Parameters
    ----------
    recording
        A dict or list of the recordings of several subjects, (time, unit) each, unequal in `dim` alone. Or one
        recording of three dims, such as (trial, time, unit), whose shorter trials end in samples that are missing in
        all units (`align.fold`): those are left out. Single missing values are refused.
        All values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    rank
        Number of components, at most the samples of the shortest slice.
    dim
        The dim that is each slice's own; `"unit"` where subjects share the clock and have other units.
    max_iter, tolerance
        Most sweeps, and the part of `loss` by which a plain one must lower it for the fit to go on.
    restarts
        Number of starts; the one that ends with the smallest error is kept.
    device
        Where torch works (`"cuda"`, `"cpu"`, ...); all values are copied there, in float64, and refused where three
        times their size is not free. None (default): numpy.
    seed
        Seed of the first start; the next ones follow.

    Returns
    -------
    xarray.Dataset
        For subjects of unequal time (other dims take the places accordingly):

        - `factor_time(subject, time, component)`: columns of norm 1 within each subject, on every label that any
          subject has, NaN where this one has none.
        - `factor_unit(unit, component)`, `factor_subject(subject, component)`: columns of norm 1; the larger half of
          each is positive. A negative entry of `factor_subject` turns the time course of that subject.
        - `weight(component)`: descending, in the units of the recording.
        - `loss(iteration)`: squared relative error after each sweep; never rises.
        - `relative_error`, `restart_error`, `explained_variance` (about the mean of each unit; within each slice where
          `dim` is `"unit"`), `stop_reason`: as for `tensor.cp`.

    Raises
    ------
    AnalysisError
        When slices differ in more than `dim`, single values are missing, all values are zero, or an argument is out of
        range.
    RecordingError
        When a recording breaks the contract.

    Notes
    -----
    The direct algorithm of Kiers, ten Berge and Bro: each `P_k` from a singular value decomposition, then one sweep of
    `tensor.cp`'s kernel over the tensor of `P_k' X_k`, extrapolated while that pays (an addition). Slices longer than
    the shared dim are first replaced by the triangular factor of their QR decomposition, which changes nothing in the
    answer. All is computed in float64. With fewer than four slices components need not be unique.

    References
    ----------
    Harshman (1972), PARAFAC2: mathematical and technical notes. Kiers, ten Berge, Bro (1999), PARAFAC2 part I: a direct
    fitting algorithm for the PARAFAC2 model, Journal of Chemometrics 13:275.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import tensor
    >>> rng = np.random.default_rng(0)
    >>> units = rng.random((6, 2))
    >>> subjects = {
    ...     f"s{k}": ni.recording(
    ...         np.linalg.qr(rng.standard_normal((n, 2)))[0] * rng.uniform(1, 2, 2) @ units.T,
    ...         modality="calcium", units="1", sampling_rate=1.0,
    ...     )
    ...     for k, n in enumerate((20, 25, 30, 35))
    ... }
    >>> res = tensor.parafac2(subjects, 2)
    >>> dict(res.factor_time.sizes), bool(res.relative_error < 0.01)
    ({'subject': 4, 'time': 35, 'component': 2}, True)
    """
    require_device(device, None, NAME)
    slices = slices_of(recording, dim, NAME)
    least = min(len(X) for X in slices.values)
    rank = count(rank, "rank", NAME, high=least, why=f"the shortest slice along {dim!r}")
    max_iter, restarts = count(max_iter, "max_iter", NAME), count(restarts, "restarts", NAME)
    tolerance = require_tolerance(tolerance, NAME)
    scale = max(float(np.abs(X).max()) for X in slices.values)
    if not scale > 0:
        raise AnalysisError(f"{NAME}: all values are zero; there is nothing to factor")
    values = [X / scale for X in slices.values]
    with threads.for_work(0):
        fits = _fits(values, device, rank, range(seed, seed + restarts), max_iter, tolerance)
    errors = np.array([found.losses[-1] ** 0.5 for found, _ in fits])
    ranking = np.argsort(errors, kind="stable")
    best, own = fits[ranking[0]]
    variables = _labelled(slices, own, best, scale)
    variables["restart_error"] = restarts_of(errors, ranking, seed)
    parameters = {"rank": rank, "dim": dim, "max_iter": max_iter, "tolerance": tolerance, "restarts": restarts,
                  "device": device}  # fmt: skip
    return result(variables, analysis=NAME, recording=slices.source, parameters=parameters, seed=seed)


def _fits(
    values: list[Array], device: str | None, rank: int, seeds: range, max_iter: int, tolerance: float
) -> list[tuple[Fit, list[Array]]]:
    """Fit from each start, here or on a device; give each fit and what is each slice's own, of numpy."""
    if device is None:
        turns, small = _compressed(values, rank)
        return [_whole(turns, *_started(small, rank, one, max_iter, tolerance)) for one in seeds]
    require_room(sum(X.nbytes for X in values), device, NAME)
    with working_on(device):
        turns, small = _compressed([backend.placed(X, device) for X in values], rank)
        return [_whole(turns, *_started(small, rank, one, max_iter, tolerance)) for one in seeds]


def _whole(turns: list[Any], fit: Fit, courses: list[Any]) -> tuple[Fit, list[Array]]:
    own = [backend.to_numpy(turn @ course) for turn, course in zip(turns, courses, strict=True)]
    factors = [backend.to_numpy(factor) for factor in fit.factors]
    return replace(fit, factors=factors, weight=backend.to_numpy(fit.weight)), own


@dataclass(frozen=True)
class _Ragged(Problem):
    """Slices whose projections on their own orthonormal bases are a tensor (component, shared, slice)."""

    slices: list[Any]

    @property
    def power(self) -> float:
        """Give the sum of squares of all slices."""
        return float(sum(float((X**2).sum()) for X in self.slices))

    def sweep(self, factors: list[Any], power: float, passes: int = PASSES[0]) -> tuple[list[Any], float]:
        """Set each basis to its best, and every factor once; give their squared relative error."""
        bases = [_basis(X, factors, k) for k, X in enumerate(self.slices)]
        xp = backend.namespace(*bases)
        tensor = xp.stack([P.T @ X for P, X in zip(bases, self.slices, strict=True)], axis=2)
        inside = float((tensor**2).sum())
        found, loss = Problem(tensor, None, self.rule).sweep(factors, inside, passes)
        return found, max(0.0, (power - inside + loss * inside) / power)


def _basis(X: Any, factors: list[Any], k: int) -> Any:
    """Give the orthonormal `P` for which `P H diag(d_k) V'` is nearest to `X`."""
    H, V, D = factors
    left, _, right = backend.namespace(X).linalg.svd(X @ (V * D[k, :]) @ H.T, full_matrices=False)
    return left @ right


def _compressed(values: list[Any], rank: int) -> tuple[list[Any], list[Any]]:
    """Give each slice as an orthonormal matrix times one that is no longer than the shared dim.

    Of more components than the shared dim is long, the bases have no room there: those slices stay as they are.
    """
    xp = backend.namespace(*values)
    pairs = [xp.linalg.qr(X) if len(X) > X.shape[1] >= rank else (backend.like(np.eye(len(X)), X), X) for X in values]
    return [Q for Q, _ in pairs], [R for _, R in pairs]


def _started(slices: list[Any], rank: int, seed: int, max_iter: int, tolerance: float) -> tuple[Fit, list[Any]]:
    """Fit from one start: unit factors along the leading directions, the first start without chance."""
    xp, rng = backend.namespace(*slices), np.random.default_rng(seed)
    shared = slices[0].shape[1]
    start = [np.eye(rank), rng.standard_normal((shared, rank)), rng.uniform(0.5, 1.5, (len(slices), rank))]
    start = [backend.like(factor / np.linalg.norm(factor, axis=0), slices[0]) for factor in start]
    problem = _Ragged(np.empty(0), None, SIGNED, slices)
    found = fit(problem, start, max_iter, tolerance)
    H, V, D = found.factors
    signs = [xp.sign(xp.sum(one * xp.abs(one), axis=0)) for one in (V, D)]
    signs = [xp.where(sign < 0, -xp.ones_like(sign), xp.ones_like(sign)) for sign in signs]
    H, V, D = H * signs[0] * signs[1], V * signs[0], D * signs[1]
    scaled = [H, V, D * found.weight]
    bases = [_basis(X, scaled, k) for k, X in enumerate(slices)]
    model = [P @ (H * scaled[2][k, :]) @ V.T for k, P in enumerate(bases)]
    loss = sum(float(((X - M) ** 2).sum()) for X, M in zip(slices, model, strict=True)) / problem.power
    losses = [*found.losses[:-1], min(loss, *found.losses[-2:-1]) if len(found.losses) > 1 else loss]
    return replace(found, factors=[H, V, D], losses=losses), [P @ H for P in bases]


def _labelled(slices: Slices, own: list[Array], best: Fit, scale: float) -> dict[str, xr.DataArray]:
    """Give factors on the labels of subjects, samples and units."""
    _, V, D = best.factors
    component = np.arange(best.weight.size)
    over, ragged, shared = slices.over, slices.ragged, slices.shared
    whole = np.full((len(own), slices.ticks.size, component.size), np.nan)
    for k, (course, places) in enumerate(zip(own, slices.places, strict=True)):
        whole[k, places] = course
    on = {**slices.labels[over], ragged: slices.ticks, "component": component}
    at = {"component": component}
    loss = best.losses[-1]
    return {
        f"factor_{ragged}": xr.DataArray(whole, dims=(over, ragged, "component"), coords=on, attrs={"units": "1"}),
        f"factor_{shared}": xr.DataArray(
            V, dims=(shared, "component"), coords={**slices.labels[shared], **at}, attrs={"units": "1"}
        ),
        f"factor_{over}": xr.DataArray(
            D, dims=(over, "component"), coords={**slices.labels[over], **at}, attrs={"units": "1"}
        ),
        "weight": xr.DataArray(best.weight * scale, dims="component", coords=at, attrs={"units": slices.units}),
        "loss": xr.DataArray(best.losses, dims="iteration", coords={"iteration": np.arange(len(best.losses))}),
        "relative_error": xr.DataArray(loss**0.5),
        "explained_variance": xr.DataArray(_explained(slices, loss)),
        "stop_reason": xr.DataArray(np.array(best.stop_reason, dtype=object)),
    }


def _explained(slices: Slices, loss: float) -> float:
    """Give 1 - SSE / sum of squares about the mean of each unit."""
    values = slices.values if slices.shared == "unit" else [X.T for X in slices.values]
    power = sum(float((X**2).sum()) for X in values)
    if slices.shared == "unit":
        values = [np.concatenate(values)]
    spread = sum(float(((X - X.mean(axis=0)) ** 2).sum()) for X in values)
    return 1 - loss * power / spread if spread > 1e-12 * power else float("nan")
