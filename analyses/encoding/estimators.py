"""Estimators for scikit-learn pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from neurointerp.analyses.encoding._bands import Banded, refit, search, shares
from neurointerp.analyses.encoding._search import choose
from neurointerp.errors import AnalysisError
from neurointerp.least_squares import BATCH, Moments, decompose, moments, weights


class _Linear(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What predicts from `coef_` and `intercept_`."""

    coef_: Any
    intercept_: Any
    alphas: Any
    cv: Any
    standardize: bool

    def predict(self, X: Any) -> Any:
        """Give predictions (n_samples,) or (n_samples, n_targets) for features (n_samples, n_features)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return X @ self.coef_.T + self.intercept_

    def _laid_out(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Give features, targets (n_samples, n_targets), penalties, and whether there is one target without a dim."""
        X, y = validate_data(self, X, y, multi_output=True, dtype=[np.float64, np.float32], y_numeric=True)
        grid = np.atleast_1d(np.asarray(self.alphas, dtype=np.float64))
        if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid > 0)).all():
            raise ValueError(f"alphas must be finite numbers above 0; found {self.alphas!r}")
        return X, np.asarray(y, dtype=X.dtype).reshape(len(X), -1), grid, np.ndim(y) == 1

    def _searched(self, search: Callable[..., Any], X: Any, targets: Any, whole: Moments, grid: Any, *more: Any) -> Any:
        """Search on the folds that `cv` asks for; a refusal is what scikit-learn's users catch."""
        folds = list(check_cv(self.cv).split(X))
        try:
            return search(X, targets, whole, folds, grid.astype(X.dtype), self.standardize, *more)
        except AnalysisError as error:
            raise ValueError(str(error)) from error

    def _keep(self, coef: np.ndarray, intercept: np.ndarray, alpha: np.ndarray, single: bool) -> Self:
        self.coef_, self.intercept_ = (coef[0], intercept[0]) if single else (coef, intercept)
        self.alpha_: Any = alpha[0] if single else alpha
        return self


class RidgeCV(_Linear):
    """Ridge regression with a penalty per target, chosen by cross-validation, as a scikit-learn regressor.

    What `ridge` fits, for arrays: one search, without held-out scores (`cross_val_score` gives those).

    Parameters
    ----------
    alphas
        Penalties to choose from, above 0, as scikit-learn's `Ridge` counts them.
    cv
        Number of folds, or a splitter of scikit-learn.
    standardize
        Scale features by their deviation over the training samples of each fold.

    Attributes
    ----------
    coef_
        (n_targets, n_features), or (n_features,) for one target.
    intercept_
        (n_targets,), or a number.
    alpha_
        (n_targets,), or a number: the penalty with the least squared error summed over folds.
    n_features_in_
        Number of features.

    Examples
    --------
    >>> import numpy as np
    >>> from neurointerp.analyses.encoding import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 3))
    >>> Y = X @ np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]) + rng.standard_normal((100, 2))
    >>> alpha = RidgeCV(np.logspace(-1, 5, 7)).fit(X, Y).alpha_
    >>> alpha.shape, bool(alpha[1] > alpha[0])
    ((2,), True)
    """

    def __init__(
        self, alphas: Any = (0.1, 1.0, 10.0, 100.0, 1000.0), *, cv: Any = 5, standardize: bool = False
    ) -> None:
        self.alphas, self.cv, self.standardize = alphas, cv, standardize

    def fit(self, X: Any, y: Any) -> Self:
        """Choose penalties and fit weights.

        Parameters
        ----------
        X
            (n_samples, n_features).
        y
            (n_samples,) or (n_samples, n_targets).

        Returns
        -------
        self
        """
        X, targets, grid, single = self._laid_out(X, y)
        whole = moments(X, targets, np.arange(len(X)))
        if grid.size > 1:
            alpha = self._searched(choose, X, targets, whole, grid).alpha
        else:
            alpha = choose(X, targets, whole, [], grid.astype(X.dtype), self.standardize).alpha
        fit = decompose(X, targets, whole, standardize=self.standardize, smallest=float(grid.min()))
        coef = np.empty((targets.shape[1], X.shape[1]), dtype=X.dtype)
        intercept = np.empty(targets.shape[1], dtype=X.dtype)
        for start in range(0, len(coef), BATCH):
            part = slice(start, start + BATCH)
            some = fit._replace(right=fit.right[:, part], response_mean=fit.response_mean[part])
            own, intercept[part] = weights(some, alpha[part])
            coef[part] = own.T
        return self._keep(coef, intercept, alpha, single)


class BandedRidgeCV(_Linear):
    """Ridge regression on several bands of features, each with a penalty of its own, as a scikit-learn regressor.

    What `banded_ridge` fits, for arrays: one search, without held-out scores (`cross_val_score` gives those). The
    penalty of band b is `alpha_ / share_[b]`, for each target.

    Parameters
    ----------
    groups
        (n_features,), the band of each feature: numbers or names. Default: all are one band, which is `RidgeCV`.
    alphas
        Penalties to choose from, above 0, as scikit-learn's `Ridge` counts them.
    draws
        Number of shares of the bands that are tried: equal ones, each band alone, then Dirichlet draws.
    cv
        Number of folds, or a splitter of scikit-learn.
    standardize
        Scale features by their deviation over the training samples of each fold.
    random_state
        Seed of the draws (int), or what scikit-learn takes for one.

    Attributes
    ----------
    coef_
        (n_targets, n_features), or (n_features,) for one target.
    intercept_
        (n_targets,), or a number.
    alpha_
        (n_targets,), or a number.
    share_
        (n_targets, n_bands), or (n_bands,) for one target; each row sums to 1.
    bands_
        (n_bands,), the bands in the order of `share_`.
    n_features_in_
        Number of features.

    References
    ----------
    Dupre la Tour, Eickenberg, Nunez-Elizalde, Gallant (2022), Feature-space selection with banded ridge regression,
    NeuroImage 264:119728. Deviation: the first draws are fixed.

    Examples
    --------
    >>> import numpy as np
    >>> from neurointerp.analyses.encoding import BandedRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 30))
    >>> y = X[:, 0] + X[:, 1] + rng.standard_normal(100)
    >>> model = BandedRidgeCV(groups=["few"] * 2 + ["many"] * 28).fit(X, y)
    >>> bool(model.share_[0] > 0.9), model.bands_.tolist()
    (True, ['few', 'many'])
    """

    def __init__(
        self, groups: Any = None, *, alphas: Any = (0.1, 1.0, 10.0, 100.0, 1000.0), draws: int = 20, cv: Any = 5,
        standardize: bool = False, random_state: Any = 0,
    ) -> None:  # fmt: skip
        self.groups, self.alphas, self.draws, self.cv = groups, alphas, draws, cv
        self.standardize, self.random_state = standardize, random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Choose shares and penalties, and fit weights.

        Parameters
        ----------
        X
            (n_samples, n_features).
        y
            (n_samples,) or (n_samples, n_targets).

        Returns
        -------
        self
        """
        X, targets, grid, single = self._laid_out(X, y)
        names, groups = self._bands(X.shape[1])
        if self.draws < 1:
            raise ValueError(f"draws is {self.draws!r}: at least 1 is needed")
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(check_random_state(seed).randint(2**31))
        gammas = shares(len(names), self.draws, np.random.default_rng(int(seed)))
        whole = moments(X, targets, np.arange(len(X)))
        if grid.size * len(gammas) > 1:
            found = self._searched(search, X, targets, whole, grid, groups, gammas)
        else:
            units = targets.shape[1]
            found = Banded(np.zeros(units), np.full(units, grid[0]), np.repeat(gammas, units, axis=0))
        own, intercept = refit(X, targets, whole, found, self.standardize, groups)
        self.bands_ = names
        self.share_: Any = found.share[0] if single else found.share
        return self._keep(own.T, intercept, found.alpha, single)

    def _bands(self, features: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the names of the bands, as they come, and the band of each feature."""
        if self.groups is None:
            return np.zeros(1, dtype=np.int64), np.zeros(features, dtype=np.int64)
        groups = np.asarray(self.groups)
        if groups.shape != (features,):
            raise ValueError(f"groups has shape {groups.shape}: the band of each of {features} features is needed")
        names, first, number = np.unique(groups, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return names[order], np.argsort(order)[number.ravel()]
