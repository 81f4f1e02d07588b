"""What units share over all samples: covariance, Pearson and Spearman correlation, mutual information."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.connectivity._covariance import covariance_of
from neurointerp.analyses.connectivity._moments import (
    has_missing,
    pairwise,
    pairwise_pearson,
    pairwise_spearman,
    pearson,
    ranks,
    sums,
    varying_pearson,
)
from neurointerp.analyses.connectivity._pairs import (
    by_subject,
    grouped,
    one_of,
    per_subject,
    require_pairs,
    require_shared,
    require_whole,
    shared,
    subject_coords,
)
from neurointerp.analyses.connectivity._shrinkage import (
    SHRINKAGES,
    shrunk_pairwise,
    shrunk_product,
)
from neurointerp.device import in_blocks, on_device, require_none
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES, side_coords
from neurointerp.result import pending, result

_COVARIANCE = "connectivity.covariance"
_CORRELATION = "connectivity.correlation"
_INFORMATION = "connectivity.mutual_information"
METHODS = ("pearson", "spearman", "ledoit_wolf")


def correlation(
    recording: xr.DataArray, *, method: str = "pearson", centre: str = "recording", min_samples: int = 2,
    device: str | None = None, precision: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Correlate every pair of units over all samples that both have.

    :math:`r_{ij} = \sum_t z_i(t)\, z_j(t)` with each unit centred and scaled to unit length over the samples that
    neither misses. Samples of all trials and segments are pooled; each subject is correlated alone.

    Parameters
    ----------
    recording
        Any recording. Missing values are left out pair by pair, so that the matrix may have negative eigenvalues.
        float32 stays float32: on 100,000 samples of normal
        values it is within 1e-6 of the answer in float64, also where means are 100 standard deviations from 0.
    method
        `pearson` (default); `spearman`: the same of the ranks of each unit's values (among the samples of the
        pair), ties sharing their mean rank; or `ledoit_wolf`: :math:`(1 - \lambda) r_{ij}`, the covariance of the
        standardised units shrunk as in `covariance`. `spearman` of a chunked (dask) recording needs all values in
        memory at once, and is refused where there is no room; the others read block by block.
    centre
        `recording` (default): one mean of each unit; `segment`: a mean of its own in each segment of each trial, so
        that what differs from run to run is no correlation.
    min_samples
        A pair with fewer samples in common has no correlation; at least 2.
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy. Not for `spearman`; where values are missing numpy works on the blocks.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, dimensionless in [-1, 1], symmetric, 1 on the diagonal; `samples (source,
        target)`, how many the pair has in common, of all subjects. `source` and `target` are the unit labels; a
        coordinate `region` of the units becomes `source_region` and `target_region`. A constant unit has no
        correlation: its row and column, diagonal included, are NaN, and the attr `undefined_units` of `connectivity`
        counts such units. With a `subject` dim `connectivity` is the average over subjects of Fisher's z, turned back
        into a correlation, `by_subject (subject, source, target)` are those averaged, and `subjects (source, target)`
        is how many there were. With `ledoit_wolf` also `shrinkage`, :math:`\lambda` in [0, 1], per subject where there
        are several.

    Raises
    ------
    AnalysisError
        When there are fewer than two samples, an option is not known, or pairs share too few samples for shrinkage.

    References
    ----------
    Pearson (1895), Proc R Soc Lond 58:240-242; Spearman (1904), Am J Psychol 15:72-101; Fisher (1921), Metron 1:3-32
    (z); Ledoit and Wolf (2004), J Multivar Anal 88:365-411, as nilearn's `ConnectivityMeasure` estimates correlations
    by default. No deviations.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> values = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 1.0], [3.0, 6.0, 2.0]])
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    >>> connectivity.correlation(rec).connectivity.values.round(6) + 0.0
    array([[ 1. ,  1. , -0.5],
           [ 1. ,  1. , -0.5],
           [-0.5, -0.5,  1. ]])
    """
    one_of(method, METHODS, _CORRELATION, "method")
    require_shared(min_samples, _CORRELATION)
    if method == "spearman":
        require_none(device, _CORRELATION, "method='spearman', whose ranks order all samples")
    analysed = pending(recording)
    recording = in_blocks(recording, device, precision, _CORRELATION)
    stacked, subjects = by_subject(recording, _CORRELATION, centre=centre, lazy=method != "spearman")
    subjects = on_device(subjects, device, precision)
    units = stacked.values.shape[1]
    matrices = np.empty((len(subjects), units, units), dtype=stacked.values.dtype)
    found = [_correlate(v, method, min_samples, out) for v, out in zip(subjects, matrices, strict=True)]
    variables = grouped(recording, matrices, stacked, fisher=True, units="1")
    variables["samples"] = shared([samples for samples, _ in found], variables["connectivity"])
    if method == "ledoit_wolf":
        variables["shrinkage"] = per_subject(recording, [amount for _, amount in found])
    return result(
        variables,
        analysis=_CORRELATION,
        recording=analysed,
        parameters={"method": method, "centre": centre, "min_samples": min_samples, "device": device,
                    "precision": precision},
        seed=seed,
    )  # fmt: skip


def _correlate(values: Any, method: str, least: int, out: np.ndarray) -> tuple[np.ndarray | int, float]:
    """Write the correlations (unit, unit) of (sample, unit) values to `out`; give the samples of pairs, and shrinkage.

    The latter is 0 but for `ledoit_wolf`.
    """
    known = sums(values)
    if has_missing(values, known):
        if method == "ledoit_wolf":
            return _correlate_shrunk(values, least, out)
        r, samples = (pairwise_spearman if method == "spearman" else pairwise_pearson)(values)
        out[:] = np.where(samples >= least, r, np.nan)
        return samples, 0.0
    amount = 0.0
    if method == "spearman":
        pearson(ranks(values), out)
    elif method == "pearson":
        pearson(values, out, known)
    else:
        r, norms, varies = varying_pearson(values, out, known)
        r, amount = shrunk_product(r, norms, len(values), method) if varies.any() else (r, float("nan"))
        np.fill_diagonal(r, 1.0)
        if r is not out:
            out[:] = np.nan
            out[np.ix_(varies, varies)] = r
    if len(values) < least:
        out[:] = np.nan
    return len(values), amount


def _correlate_shrunk(values: Any, least: int, out: np.ndarray) -> tuple[np.ndarray, float]:
    """Write shrunk correlations of pairs that have samples of their own."""
    found = pairwise(values)
    varies = np.diag(found.variance) > 0
    keep = np.ix_(varies, varies)
    require_pairs(found.samples[keep], least, _CORRELATION, "pearson")
    scale = 1 / np.sqrt(np.diag(found.variance)[varies])
    both = np.outer(scale, scale)
    r, amount = shrunk_pairwise(
        found.covariance[keep] * both, found.fourth[keep] * both**2, found.samples[keep], "ledoit_wolf"
    )
    np.fill_diagonal(r, 1.0)
    out[:] = np.nan
    out[keep] = np.clip(r, -1.0, 1.0)
    return found.samples, amount


def covariance(
    recording: xr.DataArray,
    *,
    method: str = "empirical",
    centre: str = "recording",
    min_samples: int = 2,
    device: str | None = None,
    precision: str | None = None,
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
    device
        Where torch works on the blocks of the recording (`"cuda"`, `"cpu"`, ...), copying one beside the products of
        another; None (default): numpy. Where values are missing numpy works on the blocks.
    precision
        On a device: None (default), that of the values; `"tf32"`, products of float32 in TF32 (10 bits of mantissa,
        about 1e-3; devices that have none use float32); `"bfloat16"`, the values themselves rounded to 8 bits (4e-3).
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
    one_of(method, SHRINKAGES, _COVARIANCE, "method")
    require_shared(min_samples, _COVARIANCE)
    analysed = pending(recording)
    recording = in_blocks(recording, device, precision, _COVARIANCE)
    stacked, subjects = by_subject(recording, _COVARIANCE, centre=centre)
    subjects = on_device(subjects, device, precision)
    found = [covariance_of(values, method, min_samples, _COVARIANCE) for values in subjects]
    units = str(recording.attrs["units"])
    squared = units if units.strip() == "1" else f"({units})**2"
    variables = grouped(recording, [matrix for matrix, _, _ in found], stacked, fisher=False, units=squared)
    variables["shrinkage"] = per_subject(recording, [amount for _, amount, _ in found])
    variables["samples"] = shared([samples for _, _, samples in found], variables["connectivity"])
    return result(
        variables,
        analysis=_COVARIANCE,
        recording=analysed,
        parameters={"method": method, "centre": centre, "min_samples": min_samples, "device": device,
                    "precision": precision},
        seed=seed,
    )  # fmt: skip


def mutual_information(recording: xr.DataArray, *, n_neighbors: int = 3, seed: int = 0) -> xr.Dataset:
    r"""Estimate the mutual information of every pair of units from distances to nearest neighbours.

    .. math:: I(x; y) = \iint p(x, y) \ln \frac{p(x, y)}{p(x)\, p(y)}\, dx\, dy

    Parameters
    ----------
    recording
        Any recording; missing values are left out pair by pair. Samples of all trials and segments are pooled, each
        subject is taken alone. Samples count as independent: those of a slow recording are not, and need a null. All
        values of a chunked (dask) recording are needed in memory at once: refused where there is no room.
    n_neighbors
        Neighbours in the estimate; more are smoother and more biased.
    seed
        Seed of the noise, 1e-10 of a standard deviation, that breaks ties.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, nats, 0 or more, symmetric, NaN on the diagonal. NaN too where a unit is
        constant or a pair has fewer than `n_neighbors + 1` samples in common; the attr `undefined_units` counts units
        without any pair. With a `subject` dim the mean over subjects, `by_subject (subject, source, target)`, and
        `subjects (source, target)`, how many had the pair.

    Raises
    ------
    AnalysisError
        When there are fewer than two samples, or `n_neighbors` is under 1.

    References
    ----------
    Kraskov, Stoegbauer and Grassberger (2004), Estimating mutual information, Phys Rev E 69:066138, in the form of
    Ross (2014), PLoS ONE 9:e87357, as scikit-learn has it (`mutual_info_regression`), which does the work.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> x = np.random.default_rng(0).standard_normal((300, 2))
    >>> values = np.stack([x[:, 0], x[:, 0] ** 2, x[:, 1]], axis=1)  # the second is a square, uncorrelated
    >>> rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    >>> out = connectivity.mutual_information(rec).connectivity
    >>> bool(out[0, 1] > 1), bool(out[0, 2] < 0.2)
    (True, True)
    """
    require_whole(_INFORMATION, n_neighbors=n_neighbors)
    if n_neighbors < 1:
        raise AnalysisError(f"{_INFORMATION}: n_neighbors is {n_neighbors!r}; at least 1 is needed")
    stacked, subjects = by_subject(recording, _INFORMATION, lazy=False)
    analysed = pending(recording)
    each = np.stack([_information(values, n_neighbors, seed) for values in subjects])
    there = ~np.isnan(each)
    count = there.sum(axis=0)
    mean = np.where(count > 0, np.where(there, each, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    coords = side_coords(stacked.unit_coords)
    attrs = {"units": "1", "undefined_units": int((count == 0).all(axis=0).sum())}
    variables = {"connectivity": xr.DataArray(mean, dims=SIDES, coords=coords, attrs=attrs)}
    if "subject" in recording.dims:
        labels = {**subject_coords(recording), **coords}
        variables["by_subject"] = xr.DataArray(each, dims=("subject", *SIDES), coords=labels, attrs={"units": "1"})
        variables["subjects"] = xr.DataArray(count, dims=SIDES, coords=coords, attrs={"units": "1"})
    return result(
        variables, analysis=_INFORMATION, recording=analysed, parameters={"n_neighbors": n_neighbors}, seed=seed
    )


def _information(values: np.ndarray, n_neighbors: int, seed: int) -> np.ndarray:
    """Give the information (unit, unit) of the pairs of (sample, unit) values, over the samples that both have."""
    from sklearn.feature_selection import mutual_info_regression

    units = values.shape[1]
    out = np.full((units, units), np.nan)
    there = ~np.isnan(values)
    for i in range(units):
        for j in range(i):
            rows = there[:, i] & there[:, j]
            x, y = values[rows, i].astype(np.float64), values[rows, j].astype(np.float64)
            if rows.sum() > n_neighbors and np.ptp(x) > 0 and np.ptp(y) > 0:
                # so that no variance under- or overflows, and the noise that breaks ties stays small beside it
                x, y = ((v / np.ptp(v)) - (v / np.ptp(v)).mean() for v in (x, y))
                out[i, j] = out[j, i] = mutual_info_regression(
                    x[:, None], y, n_neighbors=n_neighbors, random_state=seed, discrete_features=False
                )[0]
    return out
