"""Estimators for scikit-learn pipelines."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from neurointerp import backend, threads
from neurointerp.analyses.factorization._alternate import Fit, descended
from neurointerp.analyses.factorization._checks import require_count, search_of
from neurointerp.analyses.factorization._samples import Samples, gram, of_array
from neurointerp.analyses.factorization._starts import require_start
from neurointerp.analyses.factorization.nmf import factor as factor_nmf
from neurointerp.analyses.factorization.nmf import require_non_negative
from neurointerp.analyses.factorization.semi_nmf import factor as factor_semi_nmf
from neurointerp.analyses.factorization.semi_nmf import kept_units
from neurointerp.errors import AnalysisError

TRANSFORM_PASSES, TRANSFORM_TOLERANCE = 30, 1e-9
"""Most rounds of coordinate descent for the coefficients of new samples, and the relative change that ends them."""


class _Factorization(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What the two share: fitting, and the coefficients of new samples with the components fixed."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the components of `X`.

        Parameters
        ----------
        X
            (n_samples, n_features), numpy or torch (which then stays on its device); NaN is missing.
        y
            Ignored.

        Returns
        -------
        self
        """
        X = self._validated(X, reset=True)
        try:
            return self._fitted(X)
        except AnalysisError as error:
            raise ValueError(str(error)) from error  # what scikit-learn's users catch

    def _fitted(self, X: Any) -> Self:
        name = type(self).__name__
        samples = of_array(X, name)
        rank = min(samples.shape) if self.n_components is None else self.n_components
        rank = require_count(rank, "n_components", name)
        require_start(self.init, name)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(check_random_state(seed).randint(2**31))
        search = search_of(name, self.max_iter, self.tol, self.patience, self.n_init)
        with threads.for_work(4 * math.prod(samples.shape) * rank):
            fit = self._factor(samples, rank, search, int(seed))
        norm = np.sqrt(X.shape[0])  # coefficients of mean square 1: components keep the scale of a sample
        self.components_ = fit.features * (samples.scale / norm)
        self.n_components_ = rank
        self.n_iter_ = len(fit.losses)
        self.reconstruction_err_ = samples.scale * math.sqrt(fit.losses[fit.best] * samples.power)
        return self

    def transform(self, X: Any) -> Any:
        """Give the coefficients of samples, the components fixed.

        Parameters
        ----------
        X
            (n_samples, n_features).

        Returns
        -------
        array
            (n_samples, n_components), >= 0: the non-negative least squares of each sample on its own.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        F = self.components_
        xp = backend.namespace(X)
        scale = 2.0 ** math.frexp(float(xp.max(xp.abs(F))))[1]  # exact, and the squares of float32 stay in range
        F, X = xp.astype(F / scale, X.dtype), X / scale
        G = xp.zeros((X.shape[0], F.shape[0]), dtype=X.dtype, device=X.device)
        holes = xp.isnan(X)
        missing, Q = bool(xp.any(holes)), gram(F.T)
        for _ in range(TRANSFORM_PASSES):
            P = (xp.where(holes, G @ F, X) if missing else X) @ F.T
            new = descended(G, P, Q, 10)
            moved = float(xp.max(xp.abs(new - G))) if G.shape[0] else 0.0
            G = new
            if moved <= max(TRANSFORM_TOLERANCE, 10 * float(xp.finfo(X.dtype).eps)) * float(xp.max(xp.abs(G))):
                break
        return _exact(G, X, F)

    def inverse_transform(self, G: Any) -> Any:
        """Give samples from coefficients: `G components_`."""
        check_is_fitted(self)
        return G @ self.components_

    def _validated(self, X: Any, *, reset: bool) -> Any:
        if hasattr(X, "detach"):
            X = _floating(X.detach())
            if reset:
                self.n_features_in_ = int(X.shape[1])
            elif int(X.shape[1]) != self.n_features_in_:
                raise ValueError(f"X has {X.shape[1]} features, {self.n_features_in_} were fitted")
            return X
        return validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")

    def _factor(self, samples: Samples, rank: int, search: Any, seed: int) -> Fit:
        raise NotImplementedError

    @property
    def _n_features_out(self) -> int:
        return int(self.n_components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class SemiNMF(_Factorization):
    """Semi-non-negative matrix factorization, as a scikit-learn transformer.

    What `semi_nmf` does, for arrays: `X = G components_`, `G >= 0`, components of any sign.

    Parameters
    ----------
    n_components
        Number of components; by default the smaller of the numbers of samples and features.
    keep_fraction, init, max_iter
        As for `semi_nmf`.
    tol, patience, n_init
        Its `tolerance`, `patience` and `restarts`.
    random_state
        Seed.

    Attributes
    ----------
    components_
        (n_components, n_features).
    n_components_, n_iter_, n_features_in_
        Counts.
    reconstruction_err_
        Frobenius norm of what is left of the fitted `X`, on observed entries.

    Examples
    --------
    >>> import numpy as np
    >>> from neurointerp.analyses.factorization import SemiNMF
    >>> X = np.random.default_rng(0).gamma(0.3, size=(60, 2)) @ np.array([[1.0, -2.0, 0.0], [0.0, 1.0, -1.0]])
    >>> model = SemiNMF(2).fit(X)
    >>> model.transform(X).shape, bool(np.allclose(model.inverse_transform(model.transform(X)), X, atol=1e-2))
    ((60, 2), True)
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        keep_fraction: float = 1.0,
        init: str = "random",
        max_iter: int = 2000,
        tol: float = 1e-7,
        patience: int = 100,
        n_init: int = 1,
        random_state: Any = 0,
    ) -> None:
        self.n_components, self.keep_fraction, self.init = n_components, keep_fraction, init
        self.max_iter, self.tol, self.patience = max_iter, tol, patience
        self.n_init, self.random_state = n_init, random_state

    def _factor(self, samples: Samples, rank: int, search: Any, seed: int) -> Fit:
        kept = kept_units(self.keep_fraction, samples.shape[1])
        return factor_semi_nmf(samples, rank, kept, self.init, search, seed)


class NMF(_Factorization):
    """Non-negative matrix factorization, as a scikit-learn transformer.

    What `nmf` does, for arrays: `X = G components_`, all of them >= 0.

    Parameters
    ----------
    n_components
        Number of components; by default the smaller of the numbers of samples and features.
    init, max_iter
        As for `nmf`.
    tol, patience, n_init
        Its `tolerance`, `patience` and `restarts`.
    random_state
        Seed.

    Attributes
    ----------
    components_
        (n_components, n_features), >= 0.
    n_components_, n_iter_, n_features_in_
        Counts.
    reconstruction_err_
        Frobenius norm of what is left of the fitted `X`, on observed entries.

    Examples
    --------
    >>> import numpy as np
    >>> from neurointerp.analyses.factorization import NMF
    >>> X = np.random.default_rng(0).gamma(0.3, size=(60, 2)) @ np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    >>> bool((NMF(2).fit(X).components_ >= 0).all())
    True
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        init: str = "random",
        max_iter: int = 1000,
        tol: float = 1e-7,
        patience: int = 20,
        n_init: int = 1,
        random_state: Any = 0,
    ) -> None:
        self.n_components, self.init = n_components, init
        self.max_iter, self.tol, self.patience = max_iter, tol, patience
        self.n_init, self.random_state = n_init, random_state

    def _factor(self, samples: Samples, rank: int, search: Any, seed: int) -> Fit:
        require_non_negative(samples, "Negative values in data")  # words that scikit-learn looks for
        return factor_nmf(samples, rank, self.init, search, seed)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


def _floating(X: Any) -> Any:
    """Give a torch matrix as float32 or float64, or refuse it with the words that scikit-learn has for arrays."""
    if X.ndim != 2:
        raise ValueError(f"X has {X.ndim} dims, 2 are needed: Reshape your data")
    X = X if X.dtype.is_floating_point and X.dtype.itemsize > 2 else X.double()
    infinite = int(X.isinf().sum())
    if infinite:
        raise ValueError(f"X has {infinite} infinite values: a missing value is NaN")
    return X


def _exact(G: Any, X: Any, F: Any) -> Any:
    """Solve, sample by sample, what coordinate descent left short of the optimum: components nearly dependent, holes.

    A sample is there when no coefficient would rise, nor a positive one fall: by their gradients.
    """
    from scipy.optimize import nnls

    xp = backend.namespace(X)
    least = TRANSFORM_TOLERANCE if X.dtype == xp.float64 else 1e-5
    g, x, components = (xp.astype(array, xp.float64) for array in (G, X, F))
    holes, zero = xp.isnan(x), xp.zeros_like(x)
    pull = xp.where(holes, zero, x - g @ components) @ components.T
    size = xp.linalg.vector_norm(xp.where(holes, zero, x), axis=1)[:, None]
    limit = least * size * xp.linalg.vector_norm(components, axis=1)
    short = np.flatnonzero(backend.to_numpy(xp.any((pull > limit) | ((g > 0) & (pull < -limit)), axis=1)))
    if not short.size:
        return G
    out, rows, patterns = backend.to_numpy(g).copy(), backend.to_numpy(x), backend.to_numpy(components).T
    for row in short:
        there = ~np.isnan(rows[row])
        out[row] = nnls(patterns[there], rows[row, there], maxiter=100 * patterns.shape[1])[0]
    return backend.like(out, G)
