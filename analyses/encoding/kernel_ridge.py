"""Kernel ridge regression: responses as a smooth, not only a linear, function of features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.encoding._problem import checked_alphas, held_out, prepare, with_units
from neurointerp.analyses.encoding._search import fold_errors, lowest
from neurointerp.backend import like, namespace, to_numpy
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import Fit, column_mean, predict_from, rows_of, solve
from neurointerp.result import result
from neurointerp.split import Fold

_ANALYSIS = "encoding.kernel_ridge"
Kernel = Literal["linear", "rbf", "poly", "laplacian", "cosine", "sigmoid"]


def kernel_ridge(
    features: xr.DataArray, responses: xr.DataArray, *, kernel: Kernel = "rbf",
    gammas: float | Sequence[float] | None = None, alphas: float | Sequence[float] | None = None,
    cv: int | Iterable[tuple[Any, Any]] = 5, lags: Sequence[int] | xr.DataArray | None = None,
    standardize: bool = True, gap: int | None = None, high_pass: float | None = None, device: str | None = None,
    seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Predict each unit's responses by kernel ridge regression, with an alpha and a kernel width of its own.

    :math:`\hat y_u(t) = b_u + \sum_s k(x(t), x(s))\, d_{su}` over training samples :math:`s`, with the kernel about its
    mean in feature space and :math:`(K + \alpha_u) d_u = y_u - b_u`. Honest as `ridge`: alphas and widths come from
    folds inside each training set.

    Parameters
    ----------
    features, responses, cv, lags, standardize, gap, high_pass, device
        As for `ridge`, but in memory: the kernel is a (sample, sample) matrix.
    kernel
        Any of scikit-learn's `pairwise_kernels` named here; the kernels' other parameters are its defaults.
    gammas
        Kernel parameters to choose from (`rbf`, `poly`, `laplacian`, `sigmoid`): default one over the number of
        features, times 0.1, 1 and 10. The others have none.
    alphas
        Penalties to choose from; default `np.logspace(-4, 4, 17)`, kernels being of order 1. For `"linear"` times the
        number of features.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `score`, `correlation`, `prediction`, `fold_alpha` as `ridge`; `alpha (unit)`, `gamma (unit)` (NaN without one)
        and `dual (<sample dims>, unit)`, the weights of samples, of a fit to all samples; 0 at those without all
        lags. There are no weights of features.

    Raises
    ------
    AlignmentError
        When sample labels differ, as for `ridge`.
    AnalysisError
        As `ridge`; when the kernel is unknown.

    References
    ----------
    Saunders, Gammerman, Vovk (1998), Ridge regression learning algorithm in dual variables, ICML 515-521; centring in
    feature space: Schoelkopf, Smola, Mueller (1998), Neural Computation 10:1299-1319. Kernels are scikit-learn's.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> x = np.random.default_rng(0).standard_normal((200, 1))
    >>> rec = [ni.recording(v, modality="behavior", units="1", sampling_rate=1.0) for v in (x, x**2)]
    >>> bool(encoding.ridge(*rec).score.mean() < 0.1), bool(encoding.kernel_ridge(*rec).score.mean() > 0.9)
    (True, True)
    """
    widths = _widths(kernel, gammas)
    search = alphas is None or np.size(alphas) != 1 or len(widths) != 1
    problem = prepare(
        _ANALYSIS, features, responses, cv=cv, lags=lags, gap=gap, high_pass=high_pass, device=device, search=search
    )  # fmt: skip
    count = problem.x.shape[1]
    grid = checked_alphas(_ANALYSIS, alphas, np.logspace(-4, 4, 17) * (count if kernel == "linear" else 1.0))
    own = [None if width is None else width / (count if gammas is None else 1.0) for width in widths]
    setting = (problem.x, problem.y, kernel, standardize)
    predictions, used = [], []
    for (train, test), folds in zip(problem.outer, problem.inner, strict=True):
        alpha, which = _chosen(*setting, folds, grid, own)
        predictions.append(_predicted(*setting, train, test, alpha, [own[i] for i in which]))
        used.append(alpha)
    alpha, which = _chosen(*setting, problem.outer, grid, own)
    units = problem.target.unit_coords
    gamma = np.array([np.nan if own[i] is None else own[i] for i in which], dtype=np.float64)
    dual = np.zeros(problem.target.values.shape)
    for index in np.unique(which):
        some = np.flatnonzero(which == index)
        fit = _fit(*setting, problem.inputs.usable, own[index])[0]
        own_right, own_alpha = fit.right[:, like(some, fit.right)], like(alpha[some], fit.right)
        dual[np.ix_(problem.inputs.usable, some)] = to_numpy(solve(fit, own_right, own_alpha))
    variables = held_out(problem, predictions)
    variables |= {
        "alpha": xr.DataArray(alpha, dims="unit", coords=units),
        "gamma": xr.DataArray(gamma, dims="unit", coords=units),
        "dual": problem.target.unstack(dual, "unit"),
        "fold_alpha": variables["score"].copy(data=np.stack(used)),
    }
    parameters = {"kernel": kernel, "gammas": own, "alphas": grid, "standardize": standardize, **problem.parameters}
    return result(
        with_units(problem, variables), analysis=_ANALYSIS, recording=[problem.features, problem.responses],
        parameters=parameters, seed=seed,
    )  # fmt: skip


def _widths(kernel: str, gammas: float | Sequence[float] | None) -> list[float | None]:
    with_one, without = ("rbf", "poly", "laplacian", "sigmoid"), ("linear", "cosine")
    if kernel in without and gammas is None:
        return [None]
    found = np.atleast_1d(np.asarray([0.1, 1.0, 10.0] if gammas is None else gammas, dtype=np.float64))
    if kernel not in with_one or not found.size or not (np.isfinite(found) & (found > 0)).all():
        raise AnalysisError(
            f"{_ANALYSIS}: kernel {kernel!r}, gammas {gammas!r}: one of {', '.join(with_one)} with gammas above 0, "
            f"or of {', '.join(without)} without, is needed"
        )
    return [float(value) for value in found]


def _fit(
    x: Any, y: Any, kernel: str, standardize: bool, train: NDArray[np.int64], gamma: float | None
) -> tuple[Fit, Any]:
    """Give the decomposed kernel of a training set, and what makes the operator of test features."""
    rows, known = rows_of(x, train), rows_of(y, train)
    xp, mean = namespace(rows), column_mean(rows)
    rows = rows - mean
    scale = xp.std(rows, axis=0) if standardize else xp.ones_like(mean)
    scale = xp.where(scale > 10 * xp.finfo(mean.dtype).eps * xp.abs(mean), scale, xp.ones_like(scale))
    rows = rows / scale
    matrix = _kernel(rows, rows, kernel, gamma)
    level, whole = xp.mean(matrix, axis=0), xp.mean(matrix)

    def operator(features: Any) -> Any:
        found = _kernel((features - mean) / scale, rows, kernel, gamma)
        return found - level - xp.mean(found, axis=1, keepdims=True) + whole

    centred = matrix - level - level[:, None] + whole
    values, basis = xp.linalg.eigh(centred)
    top = column_mean(known)
    kept = xp.where(values > 0, values, xp.zeros_like(values))
    return Fit(kept, basis, basis, known - top, mean, scale, top, rows), operator


def _kernel(one: Any, other: Any, kernel: str, gamma: float | None) -> Any:
    """Give the kernel (sample, sample): scikit-learn's, and its formulas for torch."""
    if isinstance(one, np.ndarray):
        from sklearn.metrics.pairwise import pairwise_kernels

        return pairwise_kernels(one, other, metric=kernel, **({} if gamma is None else {"gamma": gamma}))
    import torch

    if kernel in ("rbf", "laplacian"):
        apart = torch.cdist(one, other) ** 2 if kernel == "rbf" else torch.cdist(one, other, p=1)
        return torch.exp(-float(gamma or 0.0) * apart)
    if kernel == "cosine":
        one, other = (torch.nn.functional.normalize(side, dim=1) for side in (one, other))
    inner = one @ other.T
    if kernel in ("linear", "cosine"):
        return inner
    inner = float(gamma or 0.0) * inner + 1
    return inner**3 if kernel == "poly" else torch.tanh(inner)


def _chosen(
    x: Any, y: Any, kernel: str, standardize: bool, folds: Sequence[Fold], grid: NDArray[np.float64],
    gammas: Sequence[float | None],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:  # fmt: skip
    """Give each unit its alpha and the place of its gamma."""
    units = y.shape[1]
    if grid.size == 1 and len(gammas) == 1:
        return np.full(units, grid[0]), np.zeros(units, dtype=np.int64)
    errors = np.zeros((len(gammas), grid.size, units))
    for index, gamma in enumerate(gammas):
        for train, test in folds:
            fit, operator = _fit(x, y, kernel, standardize, train, gamma)
            target = rows_of(y, test) - fit.response_mean
            errors[index] += fold_errors(fit, operator(rows_of(x, test)), target, grid)
    which = errors.min(axis=1).argmin(axis=0)
    return lowest(np.take_along_axis(errors, which[None, None], axis=0)[0], grid), which


def _predicted(
    x: Any, y: Any, kernel: str, standardize: bool, train: NDArray[np.int64], test: NDArray[np.int64],
    alpha: NDArray[np.float64], gammas: Sequence[float | None],
) -> NDArray[Any]:  # fmt: skip
    found: NDArray[Any] = np.empty((len(test), y.shape[1]))
    for gamma in dict.fromkeys(gammas):
        units = np.flatnonzero([one == gamma for one in gammas])
        fit, operator = _fit(x, y, kernel, standardize, train, gamma)
        where = like(units, fit.right)
        some = fit._replace(right=fit.right[:, where], response_mean=fit.response_mean[where])
        predicted = to_numpy(predict_from(some, operator(rows_of(x, test)), like(alpha[units], fit.right)))
        found = found.astype(predicted.dtype, copy=False)
        found[:, units] = predicted
    return found
