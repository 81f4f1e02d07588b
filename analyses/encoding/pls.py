"""Partial least squares: responses from the few directions of feature space that covary with them most."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.encoding._problem import held_out, prepare, with_units
from neurointerp.backend import to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import rows_of
from neurointerp.result import result
from neurointerp.split import Fold

_ANALYSIS = "encoding.pls"


def pls(
    features: xr.DataArray, responses: xr.DataArray, rank: int = 10, *,
    cv: int | Iterable[tuple[Any, Any]] = 5, lags: Sequence[int] | xr.DataArray | None = None,
    standardize: bool = True, gap: int | None = None, high_pass: float | None = None, device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Predict responses by partial least squares, each unit with the number of components that is best for it.

    One fit of all units (PLS2) gives components in order; what is chosen for each unit, by folds inside each training
    set, is after how many to stop.

    Parameters
    ----------
    features, responses, cv, lags, gap, high_pass, device
        As for `ridge`, but in memory, and all computed in float64.
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
        When sample labels differ, as for `ridge`.
    AnalysisError
        As `ridge`; when the rank is out of range.

    References
    ----------
    Wold et al. (2001), PLS-regression: a basic tool of chemometrics, Chemometrics 58:109-130; the fit is scikit-learn's
    `PLSRegression`, and on a device the same components from singular vectors in place of power iterations (within
    some 1e-5 of these).

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=6, n_units=3, snr=9.0)
    >>> found = encoding.pls(tree["recordings/features/recording"], tree["recordings/responses/recording"], 6)
    >>> bool((found.score.mean("fold") > 0.8).all())
    True
    """
    problem = prepare(_ANALYSIS, features, responses, cv=cv, lags=lags, gap=gap, high_pass=high_pass, device=device)
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
        predictions.append(_at(_rows(problem.x, test) @ weights + constant, best))
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
    rows, known = _rows(x, train), _rows(y, train)
    varies = np.ptp(known, axis=0) > 0
    weights = np.zeros((rank, rows.shape[1], known.shape[1]))
    if varies.any() and np.ptp(rows, axis=0).any():
        values = x.values if hasattr(x, "rows") else x
        steps = _steps if isinstance(values, np.ndarray) else partial(_steps_on, values.device)
        kept = np.cumsum(steps(rows, known[:, varies], rank, standardize), axis=0)
        weights[: len(kept), :, varies] = kept
    constant = known.mean(axis=0) - rows.mean(axis=0) @ weights
    return weights, constant[:, None, :]


def _rows(array: Any, index: NDArray[np.int64]) -> NDArray[np.float64]:
    return to_numpy(rows_of(array, index)).astype(np.float64)


def _steps(rows: NDArray[np.float64], known: NDArray[np.float64], rank: int, standardize: bool) -> NDArray[np.float64]:
    """Give what each component adds to the weights (component, feature, unit)."""
    from sklearn.cross_decomposition import PLSRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # residuals that are all explained; slow power iterations
        model = PLSRegression(rank, scale=standardize, max_iter=1000, tol=1e-9).fit(rows, known)
    steps = np.einsum("fk,uk->kfu", model.x_rotations_, model.y_loadings_)
    found: NDArray[np.float64] = steps * model._y_std / model._x_std[:, None]  # coef_ is for the last rank alone
    return found


def _steps_on(
    place: Any, rows: NDArray[np.float64], known: NDArray[np.float64], rank: int, standardize: bool
) -> NDArray[np.float64]:
    """Give what `_steps` gives, from singular vectors, on a torch device."""
    import torch

    scales = [side.std(axis=0, ddof=1) if standardize else np.ones(side.shape[1]) for side in (rows, known)]
    scales = [np.where(scale > 0, scale, 1.0) for scale in scales]
    X, Y = (
        torch.as_tensor((side - side.mean(axis=0)) / scale, device=place)
        for side, scale in zip((rows, known), scales, strict=True)
    )
    directions, loads, targets = [], [], []
    for _ in range(rank):
        cross = X.T @ Y
        if not bool(cross.abs().max() > torch.finfo(X.dtype).eps):
            break  # nothing is left to explain
        direction = torch.linalg.svd(cross, full_matrices=False)[0][:, 0]
        along = X @ direction
        power = along @ along
        directions.append(direction)
        loads.append(X.T @ along / power)
        targets.append(Y.T @ along / power)
        X, Y = X - torch.outer(along, loads[-1]), Y - torch.outer(along, targets[-1])
    W, P = torch.stack(directions, dim=1), torch.stack(loads, dim=1)
    steps = torch.einsum("fk,ku->kfu", W @ torch.linalg.pinv(P.T @ W), torch.stack(targets))
    found: NDArray[np.float64] = to_numpy(steps) * scales[1] / scales[0][:, None]
    return found


def _errors(x: Any, y: Any, rank: int, standardize: bool, folds: Sequence[Fold]) -> NDArray[np.float64]:
    """Give the squared error (rank, unit) over folds."""
    total = np.zeros((rank, y.shape[1]))
    for train, test in folds:
        weights, constant = _fitted(x, y, rank, standardize, train)
        total += ((_rows(y, test) - (_rows(x, test) @ weights + constant)) ** 2).sum(axis=1)
    return total


def _at(values: NDArray[np.float64], best: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pick, for each unit of (rank, row, unit), its own rank."""
    found: NDArray[np.float64] = np.take_along_axis(values, best[None, None, :], axis=0)[0]
    return found
