"""Partial least squares: responses from the few directions of feature space that covary with them most."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.encoding._problem import held_out, prepare, with_units
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import rows_of
from neurointerp.result import result
from neurointerp.split import Fold

_ANALYSIS = "encoding.pls"


def pls(
    features: xr.DataArray, responses: xr.DataArray, rank: int = 10, *,
    cv: int | Iterable[tuple[Any, Any]] = 5, lags: Sequence[int] | xr.DataArray | None = None,
    standardize: bool = True, gap: int | None = None, high_pass: float | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Predict responses by partial least squares, each unit with the number of components that is best for it.

    One fit of all units (PLS2) gives components in order; what is chosen for each unit, by folds inside each training
    set, is after how many to stop.

    Parameters
    ----------
    features, responses, cv, lags, gap, high_pass
        As for `ridge`.
    rank
        Most components, at most the number of features and of samples in the smallest training set less one.
    standardize
        Scale features and responses by their deviation over the training samples.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `score`, `correlation`, `prediction`, `weights (feature, unit)` and, without `high_pass`, `intercept (unit)` as
        `ridge`; `rank (unit)` of that fit to all samples, and `fold_rank (fold, unit)`.

    Raises
    ------
    AlignmentError
        When sample labels differ.
    AnalysisError
        As `ridge`; when the rank is out of range.

    References
    ----------
    Wold et al. (2001), PLS-regression: a basic tool of chemometrics, Chemometrics 58:109-130; the fit is scikit-learn's
    `PLSRegression`.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=6, n_units=3, snr=9.0)
    >>> found = encoding.pls(tree["recordings/features/recording"], tree["recordings/responses/recording"], 6)
    >>> bool((found.score.mean("fold") > 0.8).all())
    True
    """
    problem = prepare(_ANALYSIS, features, responses, cv=cv, lags=lags, gap=gap, high_pass=high_pass)
    every = [train for train, _ in problem.outer] + [train for folds in problem.inner for train, _ in folds]
    most = min(problem.x.shape[1], min(len(train) for train in every) - 1)
    if not 1 <= rank <= most:
        raise AnalysisError(
            f"{_ANALYSIS}: rank is {rank}; with {problem.x.shape[1]} features and the smallest training set it is 1 to "
            f"{most}"
        )
    setting = (problem.x, problem.y, rank, standardize)
    predictions, used = [], []
    for (train, test), folds in zip(problem.outer, problem.inner, strict=True):
        best = _errors(*setting, folds).argmin(axis=0)
        weights, constant = _fitted(*setting, train)
        predictions.append(_at(rows_of(problem.x, test) @ weights + constant, best))
        used.append(best + 1)
    best = _errors(*setting, problem.outer).argmin(axis=0)
    weights, constant = _fitted(*setting, problem.inputs.usable)
    units = problem.target.unit_coords
    variables = held_out(problem, predictions)
    variables |= {
        "weights": xr.DataArray(_at(weights, best), dims=("feature", "unit"), coords=problem.inputs.coords | units),
        "rank": xr.DataArray(best + 1, dims="unit", coords=units),
        "fold_rank": variables["score"].copy(data=np.stack(used)),
    }
    if high_pass is None:
        variables["intercept"] = xr.DataArray(_at(constant, best)[0], dims="unit", coords=units)
    return result(
        with_units(problem, variables), analysis=_ANALYSIS, recording=[problem.features, problem.responses],
        parameters={"rank": rank, "standardize": standardize, **problem.parameters}, seed=seed,
    )  # fmt: skip


def _fitted(
    x: Any, y: Any, rank: int, standardize: bool, train: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give weights (rank, feature, unit) and constants (rank, 1, unit) after each number of components."""
    from sklearn.cross_decomposition import PLSRegression

    rows, known = (np.asarray(rows_of(array, train), dtype=np.float64) for array in (x, y))
    varies = np.ptp(known, axis=0) > 0
    weights = np.zeros((rank, rows.shape[1], known.shape[1]))
    if varies.any() and np.ptp(rows, axis=0).any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # residuals that are all explained; slow power iterations
            model = PLSRegression(rank, scale=standardize, max_iter=1000, tol=1e-9).fit(rows, known[:, varies])
        scales = (model._x_std, model._y_std)  # scikit-learn gives coef_ for the last rank alone
        steps = np.einsum("fk,uk->kfu", model.x_rotations_, model.y_loadings_)
        kept = np.cumsum(steps, axis=0) * scales[1] / scales[0][None, :, None]
        weights[: len(kept), :, varies] = kept
    constant = known.mean(axis=0) - rows.mean(axis=0) @ weights
    return weights, constant[:, None, :]


def _errors(x: Any, y: Any, rank: int, standardize: bool, folds: Sequence[Fold]) -> NDArray[np.float64]:
    """Give the squared error (rank, unit) over folds."""
    total = np.zeros((rank, y.shape[1]))
    for train, test in folds:
        weights, constant = _fitted(x, y, rank, standardize, train)
        total += ((rows_of(y, test) - (rows_of(x, test) @ weights + constant)) ** 2).sum(axis=1)
    return total


def _at(values: NDArray[np.float64], best: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pick, for each unit of (rank, row, unit), its own rank."""
    found: NDArray[np.float64] = np.take_along_axis(values, best[None, None, :], axis=0)[0]
    return found
