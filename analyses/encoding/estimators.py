"""Estimators for scikit-learn pipelines."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted, validate_data

from neurointerp.analyses.encoding._search import choose
from neurointerp.analyses.encoding._spectrum import BATCH, decompose, moments, weights
from neurointerp.errors import AnalysisError


class RidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
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
        X, y = validate_data(self, X, y, multi_output=True, dtype=[np.float64, np.float32], y_numeric=True)
        targets = np.asarray(y, dtype=X.dtype).reshape(len(X), -1)
        grid = np.atleast_1d(np.asarray(self.alphas, dtype=np.float64))
        if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid > 0)).all():
            raise ValueError(f"alphas must be finite numbers above 0; found {self.alphas!r}")
        folds = list(check_cv(self.cv).split(X)) if grid.size > 1 else []
        whole = moments(X, targets, np.arange(len(X)))
        try:
            alpha = choose(X, targets, whole, folds, grid.astype(X.dtype), self.standardize).alpha
        except AnalysisError as error:
            raise ValueError(str(error)) from error  # what scikit-learn's users catch
        fit = decompose(X, targets, whole, standardize=self.standardize, smallest=float(grid.min()))
        coef = np.empty((targets.shape[1], X.shape[1]), dtype=X.dtype)
        intercept = np.empty(targets.shape[1], dtype=X.dtype)
        for start in range(0, len(coef), BATCH):
            part = slice(start, start + BATCH)
            some = fit._replace(right=fit.right[:, part], response_mean=fit.response_mean[part])
            own, intercept[part] = weights(some, alpha[part])
            coef[part] = own.T
        single = np.ndim(y) == 1
        self.coef_: Any = coef[0] if single else coef
        self.intercept_: Any = intercept[0] if single else intercept
        self.alpha_: Any = alpha[0] if single else alpha
        return self

    def predict(self, X: Any) -> Any:
        """Give predictions (n_samples,) or (n_samples, n_targets) for features (n_samples, n_features)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return X @ self.coef_.T + self.intercept_
