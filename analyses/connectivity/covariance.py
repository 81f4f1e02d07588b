"""Covariance of every pair of units, as it is or shrunk."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._moments import pairwise
from neurointerp.analyses.connectivity._pairs import (
    by_subject,
    grouped,
    has_missing,
    one_of,
    per_subject,
    require_shared,
    shared,
)
from neurointerp.analyses.connectivity._shrinkage import SHRINKAGES, centred, shrunk, shrunk_pairwise
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result

_ANALYSIS = "connectivity.covariance"


def covariance(
    recording: xr.DataArray,
    *,
    method: str = "empirical",
    centre: str = "recording",
    min_samples: int = 2,
    seed: int = 0,
) -> xr.Dataset:
    r"""Give the covariance of every pair of units over all samples that both have.

    .. math:: C = (1 - \lambda) S + \lambda \frac{\operatorname{tr} S}{p} I, \quad
        S_{ij} = \frac{1}{n_{ij}} \sum_t (x_i(t) - \bar x_i)(x_j(t) - \bar x_j)

    Parameters
    ----------
    recording
        Any recording; the samples of all trials and segments are pooled, each subject is taken alone. Missing
        values are left out pair by pair (sum, means and number are those of the samples that both units have), so
        that the matrix may have negative eigenvalues. float32 stays float32.
    method
        `empirical` (default, :math:`\lambda = 0`, divided by the number of samples), or :math:`\lambda` by
        `ledoit_wolf` or `oas` (oracle approximating shrinkage).
    centre
        `recording` (default): one mean of each unit; `segment`: one in each segment of each trial.
    min_samples
        A pair with fewer samples in common is NaN, or refused where there is shrinkage; at least 2.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, symmetric, in the square of the recording's units; `shrinkage`, :math:`\lambda`
        in [0, 1]; `samples (source, target)`, how many a pair has in common. With a `subject` dim `connectivity` is
        the mean of `by_subject (subject, source, target)` over the `subjects (source, target)` that have it, and
        `shrinkage` is per subject.

    Raises
    ------
    AnalysisError
        When there are fewer than two samples, an option is not known, or pairs share too few samples for shrinkage.

    References
    ----------
    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, J Multivar
    Anal 88:365-411; Chen et al. (2010), Shrinkage algorithms for MMSE covariance estimation, IEEE Trans Sign
    Process 58:5016-5029, eq. 23 without its factor 2/p, as in scikit-learn. Both take samples as independent;
    those of a recording seldom are, so that :math:`\lambda` is smaller than it should be. Deviation where values are
    missing: the variance of each element is taken over its own samples (Ledoit-Wolf), or the number of samples is the
    harmonic mean of those of the pairs (OAS).

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> values = np.array([[0.0, 2.0], [2.0, 0.0], [4.0, 4.0]])
    >>> rec = ni.recording(values, modality="eeg", units="uV", sampling_rate=1.0)
    >>> cov = connectivity.covariance(rec).connectivity
    >>> cov.values.round(3), cov.attrs["units"]
    (array([[2.667, 1.333],
           [1.333, 2.667]]), '(uV)**2')
    """
    one_of(method, SHRINKAGES, _ANALYSIS, "method")
    require_shared(min_samples, _ANALYSIS)
    stacked, subjects = by_subject(recording, _ANALYSIS, centre=centre)
    analysed = pending(recording)
    found = [_covariance(values, method, min_samples) for values in subjects]
    units = str(recording.attrs["units"])
    squared = units if units.strip() == "1" else f"({units})**2"
    variables = grouped(recording, [matrix for matrix, _, _ in found], stacked, fisher=False, units=squared)
    variables["shrinkage"] = per_subject(recording, [amount for _, amount, _ in found])
    variables["samples"] = shared([samples for _, _, samples in found], variables["connectivity"])
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=analysed,
        parameters={"method": method, "centre": centre, "min_samples": min_samples},
        seed=seed,
    )


def _covariance(values: np.ndarray, method: str, least: int) -> tuple[np.ndarray, float, np.ndarray | int]:
    """Give the covariances (unit, unit) of (sample, unit) values, their shrinkage, and each pair's samples."""
    if len(values) >= least and not has_missing(values):
        z = centred(values)
        largest = float(np.abs(z).max(initial=0.0)) or 1.0
        matrix, amount = shrunk(z / largest, method)
        return matrix * largest**2, amount, len(values)
    found = pairwise(values)
    few = found.samples < least
    if method != "empirical" and few.any():
        raise AnalysisError(
            f"{_ANALYSIS}: {int(np.triu(few).sum())} pairs of units have fewer than {least} samples in common, too few "
            "to shrink all by one amount; drop units, or use method='empirical'"
        )
    largest = found.scale.max(initial=0.0)
    scale = np.outer(found.scale, found.scale) / largest**2  # one scale for all: shrinkage compares variances
    matrix, amount = shrunk_pairwise(found.covariance * scale, found.fourth * scale**2, found.samples, method)
    return np.where(few, np.nan, matrix * largest**2).astype(values.dtype), amount, found.samples
