"""Correlation of every pair of units with all other units held fixed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._pairs import SIDES, complete, one_of, pair_coords
from neurointerp.analyses.connectivity._shrinkage import SHRINKAGES, scaled, shrunk
from neurointerp.backend import namespace
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "connectivity.partial_correlation"
METHODS = (*SHRINKAGES, "graphical_lasso")


def partial_correlation(
    recording: xr.DataArray, *, method: str = "ledoit_wolf", alpha: float | None = None, seed: int = 0
) -> xr.Dataset:
    r"""Correlate every pair of units given all other units.

    .. math:: \rho_{ij} = \frac{-P_{ij}}{\sqrt{P_{ii} P_{jj}}}, \quad P = C^{-1}

    with :math:`C` the estimated covariance of the units scaled to unit variance, so that the answer does not
    depend on their scales.

    Parameters
    ----------
    recording
        Any recording without missing values; the samples of all trials, segments and subjects are pooled.
        float32 stays float32 (`graphical_lasso` computes in float64).
    method
        How :math:`C` is estimated: `ledoit_wolf` (default), `oas`, `empirical` (needs more samples than units),
        or `graphical_lasso`, which makes :math:`P` sparse.
    alpha
        Penalty of the graphical lasso, above 0; left out, it is chosen by five-fold cross-validation on blocks of
        consecutive samples.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, dimensionless in [-1, 1], symmetric, 1 on the diagonal; `shrinkage`, a
        scalar in [0, 1] (or `alpha`, the penalty of the graphical lasso). A constant unit is left out of
        :math:`C`; its row and column are NaN, and the attr `undefined_units` counts such units.

    Raises
    ------
    AnalysisError
        When values are missing, there are fewer than two samples, :math:`C` is singular, the graphical lasso
        does not converge, or an option is not known.

    References
    ----------
    Ledoit and Wolf (2004), J Multivar Anal 88:365-411; Friedman, Hastie and Tibshirani (2008), Sparse inverse
    covariance estimation with the graphical lasso, Biostatistics 9:432-441, as implemented in scikit-learn.
    Deviation from nilearn: units are scaled before shrinkage.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((5000, 3)).cumsum(axis=1)  # a chain: 0 -> 1 -> 2
    >>> rec = ni.recording(x, modality="eeg", units="V", sampling_rate=1.0)
    >>> r = connectivity.correlation(rec).connectivity.values
    >>> partial = connectivity.partial_correlation(rec).connectivity.values
    >>> bool(r[0, 2] > 0.5), bool(abs(partial[0, 2]) < 0.05)
    (True, True)
    """
    one_of(method, METHODS, _ANALYSIS, "method")
    if alpha is not None and (method != "graphical_lasso" or not alpha > 0):
        raise AnalysisError(
            f"{_ANALYSIS}: alpha is {alpha!r} with method {method!r}; it is the penalty of 'graphical_lasso', above 0"
        )
    stacked = complete(recording, _ANALYSIS)
    z, varies = scaled(stacked.values)
    partial, amount = _partial(z[:, varies] * np.sqrt(len(z), dtype=z.dtype), method, alpha)
    full = np.full((len(varies), len(varies)), np.nan, dtype=z.dtype)
    full[np.ix_(varies, varies)] = partial
    attrs = {"units": "1", "undefined_units": int((~varies).sum())}
    name = "alpha" if method == "graphical_lasso" else "shrinkage"
    return result(
        {
            "connectivity": xr.DataArray(full, dims=SIDES, coords=pair_coords(stacked.unit_coords), attrs=attrs),
            name: xr.DataArray(amount, attrs={"units": "1"}),
        },
        analysis=_ANALYSIS,
        recording=recording,
        parameters={"method": method, "alpha": alpha},
        seed=seed,
    )


def _partial(z: Any, method: str, alpha: float | None) -> tuple[Any, float]:
    """Give the partial correlations of (sample, unit) values of unit variance, and the shrinkage or penalty."""
    if z.shape[1] == 0:
        return z.T @ z, float("nan")
    if method == "graphical_lasso":
        precision, amount = _graphical_lasso(z, alpha)
    else:
        covariance, amount = shrunk(z, method)
        precision = _inverse(covariance)
    return _normalised(precision), amount


def _normalised(precision: Any) -> Any:
    """Turn a precision matrix into partial correlations."""
    xp = namespace(precision)
    scale = 1 / xp.sqrt(xp.linalg.diagonal(precision))
    r = xp.clip(-precision * scale[:, None] * scale[None, :], -1.0, 1.0)
    same = xp.eye(r.shape[0], dtype=xp.bool, device=r.device)
    return xp.where(same, xp.ones_like(r), (r + r.T) / 2)


def _inverse(covariance: Any) -> Any:
    """Invert a covariance, from its Cholesky factor; refuse one that is singular to rounding."""
    xp = namespace(covariance)
    units = covariance.shape[0]
    try:
        factor = xp.linalg.cholesky(covariance)
        smallest = float(xp.min(xp.linalg.diagonal(factor))) ** 2
    except (np.linalg.LinAlgError, RuntimeError):  # torch raises a subclass of the latter
        smallest = 0.0
    if not smallest > units * float(xp.finfo(covariance.dtype).eps) * float(xp.max(xp.linalg.diagonal(covariance))):
        raise AnalysisError(
            f"{_ANALYSIS}: the covariance of {units} units is singular (fewer samples than units, or "
            "units that are sums of others); use method='ledoit_wolf' or 'graphical_lasso'"
        )
    if not isinstance(covariance, np.ndarray):
        return xp.linalg.inv(covariance)
    from scipy.linalg import lapack

    invert: Any = lapack.get_lapack_funcs("potri", (factor,))
    lower: np.ndarray = invert(factor, lower=1)[0]
    return np.tril(lower) + np.tril(lower, -1).T


def _graphical_lasso(z: np.ndarray, alpha: float | None) -> tuple[np.ndarray, float]:
    from sklearn.covariance import GraphicalLassoCV, graphical_lasso
    from sklearn.exceptions import ConvergenceWarning

    values = z.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            if alpha is not None:
                return graphical_lasso(values.T @ values / len(values), alpha)[1], float(alpha)
            found = GraphicalLassoCV(cv=5).fit(values)
        except (ConvergenceWarning, FloatingPointError) as error:
            raise AnalysisError(
                f"{_ANALYSIS}: the graphical lasso did not converge ({error}); pass a larger alpha, or "
                "method='ledoit_wolf'"
            ) from error
    return found.precision_, float(found.alpha_)
