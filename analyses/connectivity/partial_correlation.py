"""Correlation of every pair of units with all other units held fixed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._moments import has_missing, pairwise, sums, varying_pearson
from neurointerp.analyses.connectivity._pairs import by_subject, grouped, one_of, per_subject, shared
from neurointerp.analyses.connectivity._shrinkage import LARGE, SHRINKAGES, scaled, shrunk_pairwise, shrunk_product
from neurointerp.backend import namespace
from neurointerp.device import in_blocks, on_device, require_none
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result
from neurointerp.streaming import Rows

_ANALYSIS = "connectivity.partial_correlation"
METHODS = (*SHRINKAGES, "graphical_lasso")
FOLDS = 5
"""Blocks of consecutive samples between which the penalty of the graphical lasso is chosen."""
SMALL = 50
"""Triangles up to this size are inverted by LAPACK, larger ones by halves."""


def partial_correlation(
    recording: xr.DataArray,
    *,
    method: str = "ledoit_wolf",
    alpha: float | None = None,
    centre: str = "recording",
    device: str | None = None,
    precision: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Correlate every pair of units given all other units.

    .. math:: \rho_{ij} = \frac{-P_{ij}}{\sqrt{P_{ii} P_{jj}}}, \quad P = C^{-1}

    with :math:`C` the estimated covariance of the units scaled to unit variance, so that the answer does not
    depend on their scales.

    Parameters
    ----------
    recording
        Any recording; the samples of all trials and segments are pooled, each subject is taken alone. Where values
        are missing, :math:`C` is estimated pair by pair as in `covariance`, and refused where it then has no inverse.
        float32 stays float32 (`graphical_lasso` computes in float64).
        One that is chunked (dask) is read block by block, but for the graphical lasso without `alpha`, which needs all
        values in memory at once.
    method
        How :math:`C` is estimated: `ledoit_wolf` (default), `oas`, `empirical` (needs more samples than units),
        or `graphical_lasso`, which makes :math:`P` sparse.
    alpha
        Penalty of the graphical lasso, above 0; left out, it is chosen by five-fold cross-validation on blocks of
        consecutive samples.
    centre
        `recording` (default): one mean of each unit; `segment`: one in each segment of each trial.
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy. The products alone: :math:`C` is inverted by numpy,
        which also works on the blocks where values are missing. Not for the graphical lasso without `alpha`.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, dimensionless in [-1, 1], symmetric, 1 on the diagonal; `shrinkage` in
        [0, 1] (or `alpha`, the penalty of the graphical lasso); `samples (source, target)`, how many a pair has in
        common. A constant unit, or one without a value, is left out of :math:`C`; its row and column are NaN, and the
        attr `undefined_units` counts such units. With a `subject` dim `connectivity` is the average over subjects of
        Fisher's z, turned back; `by_subject (subject, source, target)` are those averaged, `subjects (source,
        target)` is how many, and `shrinkage` or `alpha` is per subject.

    Raises
    ------
    AnalysisError
        When there are fewer than two samples, :math:`C` is singular or (pair by pair) not positive definite, two units
        share no samples, the graphical lasso does not converge, or an option is not known.

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
    whole = method == "graphical_lasso" and alpha is None
    if whole:
        require_none(device, _ANALYSIS, "method='graphical_lasso' without alpha, whose cross-validation is numpy's")
    analysed = pending(recording)
    recording = in_blocks(recording, device, precision, _ANALYSIS)
    stacked, subjects = by_subject(recording, _ANALYSIS, centre=centre, lazy=not whole)
    subjects = on_device(subjects, device, precision)
    units = stacked.values.shape[1]
    matrices = np.empty((len(subjects), units, units), dtype=stacked.values.dtype)
    found = [_on_units(values, method, alpha, out) for values, out in zip(subjects, matrices, strict=True)]
    variables = grouped(recording, matrices, stacked, fisher=True, units="1")
    amounts = per_subject(recording, [amount for amount, _ in found])
    variables["alpha" if method == "graphical_lasso" else "shrinkage"] = amounts
    variables["samples"] = shared([samples for _, samples in found], variables["connectivity"])
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=analysed,
        parameters={"method": method, "alpha": alpha, "centre": centre, "device": device, "precision": precision},
        seed=seed,
    )


def _on_units(
    values: np.ndarray | Rows, method: str, alpha: float | None, out: np.ndarray
) -> tuple[float, np.ndarray | int]:
    """Write the partial correlations of (sample, unit) values to `out`, NaN for units that do not vary."""
    samples: np.ndarray | int
    known = sums(values)
    if has_missing(values, known):
        partial, amount, varies, samples = _partial_pairwise(values, method, alpha)
    else:
        partial, amount, varies = _partial(values, method, alpha, out, known)
        samples = len(values)
    if not varies.all():
        out[:] = np.nan
        out[np.ix_(varies, varies)] = partial
    elif partial is not out:
        out[:] = partial
    return amount, samples


def _partial_pairwise(
    values: Any, method: str, alpha: float | None
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Give partial correlations from a covariance whose pairs have samples of their own, and what varies."""
    found = pairwise(values)
    varies = np.diag(found.variance) > 0
    keep = np.ix_(varies, varies)
    alone = int(np.triu(found.samples[keep] < 2).sum())
    if alone:
        raise AnalysisError(
            f"{_ANALYSIS}: {alone} pairs of units have fewer than 2 samples in common, so that nothing says how they "
            "go together; drop units (.drop_sel(unit=[...]))"
        )
    if not varies.any():
        return np.empty((0, 0)), float("nan"), varies, found.samples
    scale = 1 / np.sqrt(np.diag(found.variance)[varies])
    both = np.outer(scale, scale)
    covariance = found.covariance[keep] * both
    if method == "graphical_lasso":
        if alpha is None:
            raise AnalysisError(
                f"{_ANALYSIS}: {int(np.isnan(values).sum())} missing values, and cross-validation of the penalty needs "
                "whole samples; pass alpha, or use method='ledoit_wolf'"
            )
        precision, amount = _graphical_lasso(covariance, alpha)
    else:
        covariance, amount = shrunk_pairwise(covariance, found.fourth[keep] * both**2, found.samples[keep], method)
        precision = _inverse(covariance)
    return _normalised(precision).astype(values.dtype), amount, varies, found.samples


def _partial(
    values: Any, method: str, alpha: float | None, out: np.ndarray | None = None, known: Any = None
) -> tuple[Any, float, Any]:
    """Give the partial correlations of those of (sample, unit) values that vary, the shrinkage or alpha, and which.

    Where all vary the first may be `out`.
    """
    r, norms, varies = varying_pearson(values, known=known)
    if not varies.any():
        return r[:0, :0], float("nan"), varies
    if method != "graphical_lasso":
        covariance, amount = shrunk_product(r, norms, values.shape[0], method)
        return _normalised(_inverse(covariance), out if varies.all() else None), amount, varies
    if alpha is None:
        z = scaled(values[:, varies].astype(np.float64))[0] * np.sqrt(len(values))
        precision, amount = _cross_validated_lasso(z)
    else:
        precision, amount = _graphical_lasso(r.astype(np.float64), alpha)
    return _normalised(precision).astype(values.dtype), amount, varies


def _normalised(precision: Any, out: np.ndarray | None = None) -> Any:
    """Turn a precision matrix, of which the upper triangle is read and which may be overwritten, into correlations."""
    if isinstance(precision, np.ndarray) and precision.size >= LARGE:
        from neurointerp.analyses.connectivity import _fused

        out = np.empty(precision.shape, precision.dtype) if out is None else out
        _fused.normalise(precision, out)
        return out
    xp = namespace(precision)
    scale = 1 / xp.sqrt(xp.linalg.diagonal(precision))
    r = xp.triu(precision, k=1)
    r *= -scale[:, None] * scale[None, :]
    r = r + r.T
    if isinstance(r, np.ndarray):
        np.clip(r, -1.0, 1.0, out=r)
        np.fill_diagonal(r, 1.0)
        return r
    return xp.clip(r, -1.0, 1.0) + xp.eye(r.shape[0], dtype=r.dtype, device=r.device)


def _inverse(covariance: Any) -> Any:
    """Give the upper triangle of the inverse, from a Cholesky factor; refuse what is singular to rounding.

    `covariance` may be overwritten.
    """
    xp = namespace(covariance)
    limit = covariance.shape[0] * float(xp.finfo(covariance.dtype).eps) * float(xp.max(xp.linalg.diagonal(covariance)))
    if isinstance(covariance, np.ndarray):
        from scipy.linalg import lapack

        factorise, square = lapack.get_lapack_funcs(("potrf", "lauum"), (covariance,))
        # its transpose is what LAPACK calls columns; the other triangle is never read, so that it needs no zeros
        factor, failed = factorise(covariance.T, lower=1, overwrite_a=1, clean=0)
        smallest = 0.0 if failed else float(np.diagonal(factor).min()) ** 2
        if smallest > limit:
            inverse: np.ndarray = square(_triangular_inverse(factor), lower=1, overwrite_c=1)[0]
            return inverse.T
    else:
        try:
            smallest = float(xp.min(xp.linalg.diagonal(xp.linalg.cholesky(covariance)))) ** 2
        except RuntimeError:  # which torch's error is a subclass of
            smallest = 0.0
        if smallest > limit:
            return xp.linalg.inv(covariance)
    raise AnalysisError(
        f"{_ANALYSIS}: the covariance of {covariance.shape[0]} units is singular (fewer samples than units, units that "
        "are sums of others, or pairs with different samples); use method='ledoit_wolf' or 'graphical_lasso', or drop "
        "the units that miss most"
    )


def _triangular_inverse(factor: np.ndarray) -> np.ndarray:
    """Invert a lower triangular matrix by halves: products of triangles, which LAPACK's own way is slower than.

    What stands above the diagonal is neither read nor meant.
    """
    from scipy.linalg import blas, lapack

    size = len(factor)
    if size <= SMALL:
        inverse: np.ndarray = lapack.get_lapack_funcs("trtri", (factor,))(factor, lower=1)[0]
        return inverse
    half = size // 2
    multiply = blas.get_blas_funcs("trmm", (factor,))
    first, second = _triangular_inverse(factor[:half, :half]), _triangular_inverse(factor[half:, half:])
    below = multiply(1.0, first, factor[half:, :half], side=1, lower=1)
    out = np.empty_like(factor, order="F")
    out[:half, :half], out[half:, half:] = first, second
    out[half:, :half] = multiply(-1.0, second, below, lower=1, overwrite_b=1)
    return out


def _graphical_lasso(covariance: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    from sklearn.covariance import graphical_lasso

    with _converging():
        return graphical_lasso(covariance, alpha)[1], float(alpha)


def _cross_validated_lasso(values: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.covariance import GraphicalLassoCV

    if len(values) < FOLDS:
        raise AnalysisError(
            f"{_ANALYSIS}: {len(values)} samples cannot be cut into the {FOLDS} blocks that choose the penalty; pass "
            "alpha, or use method='ledoit_wolf'"
        )
    with _converging():
        found = GraphicalLassoCV(cv=FOLDS).fit(values)
    return found.precision_, float(found.alpha_)


@contextmanager
def _converging() -> Iterator[None]:
    """Turn scikit-learn's signs of a graphical lasso that fails into one error."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            yield
        except (ConvergenceWarning, FloatingPointError) as error:
            raise AnalysisError(
                f"{_ANALYSIS}: the graphical lasso did not converge ({error}); pass a larger alpha, or "
                "method='ledoit_wolf'"
            ) from error
