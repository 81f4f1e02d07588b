"""Poisson regression of spike counts on features and on the recent spikes of all units."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import split
from neurointerp.analyses.encoding._design import design
from neurointerp.analyses.encoding._folds import outer_folds
from neurointerp.analyses.encoding._poisson import minimum
from neurointerp.analyses.encoding._problem import Problem, checked_alphas, held_out, model, prepare, with_units
from neurointerp.backend import placed, to_numpy, torch_device
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.result import result
from neurointerp.split import Fold

_ANALYSIS = "encoding.poisson_glm"
Floats = NDArray[np.float64]


def poisson_glm(
    features: xr.DataArray, responses: xr.DataArray, *, coupling: Sequence[int] = (),
    alphas: float | Sequence[float] = (1e-4, 1e-2, 1.0), cv: int | Iterable[tuple[Any, Any]] = 5,
    lags: Sequence[int] | xr.DataArray | None = None, standardize: bool = True, gap: int | None = None,
    device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Predict spike counts by Poisson regression, with coupling filters from the past of every unit.

    .. math:: y_u(t) \sim \operatorname{Poisson}\left(\exp\left(b_u + \sum_{f, l} w_{(f, l) u}\, x_f(t - l)
        + \sum_{v, l} c_{(v, l) u}\, y_v(t - l)\right)\right)

    The penalty is :math:`\alpha / 2 \lVert (w, c) \rVert^2` on the mean negative log-likelihood. For each outer
    fold scales, weights and alphas come from its training samples alone.

    Parameters
    ----------
    features, cv, lags, standardize
        As for `ridge`; the standardised columns include those of the couplings.
    responses
        Spike counts on the same clock: whole numbers, none negative.
    coupling
        Lags, in samples and 1 or more, at which the counts of all units (a unit's own past, refractory or bursting,
        among them) are predictors. Predictions are of the next bin, given the true past.
    alphas
        Penalties to choose from, above 0, in the convention of scikit-learn's `PoissonRegressor`.
    gap
        As for `ridge`; by default the largest lag, those of couplings among them.
    device
        Fit with torch on this device (`"cuda"`, `"cpu"`), all units at once, by Newton's method: the same minimum,
        which scikit-learn's L-BFGS comes to within some 1e-4 of at these penalties (further off at smaller ones).
        Default: scikit-learn, unit by unit. No GPU was measured.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `score (fold, unit)`, here the share of the deviance explained on held-out samples,
        :math:`1 - D(y, \hat y) / D(y, \bar y)` with the mean of the training set; `correlation`, `prediction` (expected
        counts), `fold_alpha`, `alpha`, `intercept` (log counts) and `weights (feature, unit)` of a fit to all
        samples, in log counts per unit of a feature. `feature_kind` says `stimulus` or `coupling`; those of couplings
        are called `<unit>@<lag>`, behind `coupling:`.

    Raises
    ------
    AlignmentError
        When sample labels differ, as for `ridge`.
    AnalysisError
        When counts are none, a unit has no spike in a training set, there is no such device, or as `ridge`.

    References
    ----------
    Pillow et al. (2008), Spatio-temporal correlations and visual signalling in a complete neuronal population, Nature
    454:995-999. Deviations: an L2 penalty chosen by cross-validation, lags instead of raised cosines; the fit is
    scikit-learn's `PoissonRegressor` (L-BFGS).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((2000, 1))
    >>> drive = ni.recording(x, modality="stimulus", units="1", sampling_rate=100.0)
    >>> spikes = ni.recording(rng.poisson(np.exp(x - 1)), modality="spikes", units="1", sampling_rate=100.0)
    >>> encoding.poisson_glm(drive, spikes).weights.values.round(1)
    array([[1.]])
    """
    if device is not None:
        torch_device(device, _ANALYSIS)
    grid, fit = checked_alphas(_ANALYSIS, alphas, np.ones(1)), partial(_fitted, standardize=standardize, device=device)
    past = [int(lag) for lag in coupling]
    if past != list(coupling) or len(set(past)) != len(past) or any(lag < 1 for lag in past):
        raise AnalysisError(f"{_ANALYSIS}: coupling must be different whole lags of 1 or more; found {coupling!r}")
    cv = cv if isinstance(cv, int | np.integer) else list(cv)  # read twice where there are couplings
    problem = prepare(_ANALYSIS, features, responses, cv=cv, lags=lags, gap=gap, high_pass=None)
    _require_counts(problem)
    if past:
        problem = _with_past(problem, past, cv, gap)
    x, y = (np.asarray(array, dtype=np.float64) for array in (problem.x, problem.y))
    predictions, used, deviance = [], [], []
    for (train, test), folds in zip(problem.outer, problem.inner, strict=True):
        alpha = _chosen(x, y, folds, grid, fit)
        own, constant = fit(x[train], y[train], alpha)
        predictions.append(_expected(x[test], own, constant))
        flat = np.broadcast_to(y[train].mean(axis=0), predictions[-1].shape)
        whole = _deviance(y[test], flat)
        share = 1 - _deviance(y[test], predictions[-1]) / np.where(whole > 0, whole, 1.0)
        deviance.append(np.where(whole > 0, share, np.nan))
        used.append(alpha)
    alpha = _chosen(x, y, problem.outer, grid, fit)
    usable = problem.inputs.usable
    variables = model(problem, *fit(x[usable], y[usable], alpha), alpha)
    variables |= held_out(problem, predictions)
    variables["score"] = variables["score"].copy(data=np.stack(deviance))
    variables["fold_alpha"] = variables["score"].copy(data=np.stack(used))
    return result(
        with_units(problem, variables), analysis=_ANALYSIS, recording=[problem.features, problem.responses],
        parameters={"alphas": grid, "coupling": past, "standardize": standardize, **problem.parameters,
                    "device": None if device is None else str(device)}, seed=seed,
    )  # fmt: skip


def _require_counts(problem: Problem) -> None:
    counts = problem.target.values
    wrong = int(((counts < 0) | (counts != np.round(counts))).sum())
    if wrong:
        raise AnalysisError(
            f"{_ANALYSIS}: {wrong} of {counts.size} responses are negative or no whole numbers; spike counts are needed"
        )
    for train, _ in problem.outer:
        silent = np.flatnonzero(counts[train].sum(axis=0) == 0)
        if silent.size:
            unit = str(problem.responses["unit"].values[silent[0]])
            raise AnalysisError(
                f"{_ANALYSIS}: {silent.size} units have no spike in a training set, first {unit!r}; drop them, or use "
                "fewer folds"
            )


def _with_past(problem: Problem, past: list[int], cv: Any, gap: int | None) -> Problem:
    """Put the past of all units beside the features; folds keep those samples that have it."""
    from dataclasses import replace

    from neurointerp.analyses.encoding._folds import inner_folds

    if "segment" in problem.features.coords and "segment" not in problem.responses.coords:
        raise AlignmentError(
            f"{_ANALYSIS}: the features have segments that the responses do not name, so couplings would reach across "
            "them: responses.assign_coords(segment=features.segment)"
        )
    own, history = problem.inputs, design(problem.responses, past)
    usable = split.common(own.usable, history.usable)
    margin = max([problem.parameters["gap"], *past]) if gap is None else gap
    pair = [problem.responses, problem.features]
    outer, kind = outer_folds(pair, usable, cv, margin)
    inner = inner_folds(pair, outer, cv if isinstance(cv, int) else 5, margin)
    labels = [*own.coords["feature"][1], *(f"coupling:{name}" for name in history.coords["feature"][1])]
    kinds = ["stimulus"] * own.values.shape[1] + ["coupling"] * history.values.shape[1]
    coords = {
        "feature": ("feature", np.array(labels, dtype=object)),
        "feature_kind": ("feature", np.array(kinds, dtype=object)),
    }
    names = [*own.coords["feature_unit"][1], *history.coords["feature_unit"][1]]
    coords["feature_unit"] = ("feature", np.array([str(name) for name in names], dtype=object))
    if "feature_lag" in own.coords:
        delays = np.concatenate([own.coords["feature_lag"][1], history.coords["feature_lag"][1]])
        coords["feature_lag"] = ("feature", delays)
    values = np.concatenate([own.values, history.values], axis=1)
    return replace(
        problem, inputs=own._replace(values=values, usable=usable, coords=coords), x=values, outer=outer, inner=inner,
        split=kind, parameters={**problem.parameters, "gap": margin},
    )  # fmt: skip


def _fitted(x: Floats, y: Floats, alpha: Floats, *, standardize: bool, device: Any) -> tuple[Floats, Floats]:
    """Give weights (feature, unit) and intercepts (unit), for alpha (unit)."""
    mean = x.mean(axis=0)
    scale = x.std(axis=0) if standardize else np.ones(x.shape[1])
    scale = np.where(scale > 1e-14 * np.abs(mean), scale, 1.0)
    rows = (x - mean) / scale
    if device is not None:
        own, constant = map(to_numpy, minimum(*(placed(array, device) for array in (rows, y, alpha))))
    else:
        own, constant = _unit_by_unit(rows, y, alpha)
    own = own / scale[:, None]
    return own, constant - mean @ own


def _unit_by_unit(rows: Floats, y: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    from sklearn.linear_model import PoissonRegressor

    own, constant = np.empty((rows.shape[1], y.shape[1])), np.empty(y.shape[1])
    for unit in range(y.shape[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a step limit at tiny penalties: what is reached is scored like the rest
            fit = PoissonRegressor(alpha=alpha[unit], max_iter=300, tol=1e-6).fit(rows, y[:, unit])
        own[:, unit], constant[unit] = fit.coef_, fit.intercept_
    return own, constant


def _chosen(x: Floats, y: Floats, folds: Sequence[Fold], grid: Floats, fit: Callable[..., Any]) -> Floats:
    """Give the penalty (unit) with the least held-out deviance; of equals, the largest."""
    if grid.size == 1:
        return np.full(y.shape[1], grid[0])
    order, units = np.sort(grid)[::-1], y.shape[1]
    total, each, every = np.zeros((grid.size, units)), np.repeat(order, units), np.tile(y, grid.size)
    for train, test in folds:
        expected = _expected(x[test], *fit(x[train], every[train], each))
        total += _deviance(every[test], expected).reshape(total.shape)
    found: Floats = order[total.argmin(axis=0)]
    return found


def _expected(x: Floats, own: Floats, constant: Floats) -> Floats:
    """Give the expected counts (sample, unit), kept finite where weights carry far beyond the training samples."""
    found: Floats = np.exp(np.clip(x @ own + constant, -50, 50))
    return found


def _deviance(counts: Floats, expected: Floats) -> Floats:
    """Give the Poisson deviance (unit), summed over samples."""
    from scipy.special import xlogy

    safe = np.maximum(expected, 1e-12)
    found: Floats = 2 * (xlogy(counts, counts / safe) - counts + safe).sum(axis=0)
    return found
